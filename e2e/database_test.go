package e2e_test

import (
	"testing"

	_ "github.com/lib/pq"
)

// scan reads one value as the superuser.
func scan(t testing.TB, s *stack, into any, query string, args ...any) {
	t.Helper()
	if err := s.superuser.QueryRow(query, args...).Scan(into); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func count(t testing.TB, s *stack, query string, args ...any) int {
	t.Helper()
	var n int
	scan(t, s, &n, query, args...)
	return n
}

// text reads one text as superuser.
func text(t testing.TB, s *stack, query string, args ...any) string {
	t.Helper()
	var out string
	scan(t, s, &out, query, args...)
	return out
}

// exec1 runs one statement as superuser.
func exec1(s *stack, statement string, args ...any) error {
	_, err := s.superuser.Exec(statement, args...)
	return err
}
