package store

import "finobs/internal/export"

// Filtered are the conditions of a dataset's filters, for tests of package store_test.
func Filtered(d export.Dataset, values map[string]string) (string, []any) {
	c := filtered(d, values)
	return c.text, c.args
}
