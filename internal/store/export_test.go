package store

import "finobs/internal/export"

// For tests of package store_test.
var (
	TransactionQuery = transactionQuery
	RunQuery         = runQuery
	ActionQuery      = actionQuery
)

// What is looked for every few seconds, with the arguments of a first page.
const (
	ToAskQuery    = toAskQuery
	OpenQuery     = openQuery
	OutcomesQuery = outcomesQuery
	TasksQuery    = outcomeTasksQuery
)

// Filtered are the conditions of a dataset's filters.
func Filtered(d export.Dataset, values map[string]string) (string, []any) {
	c := filtered(d, values)
	return c.text, c.args
}
