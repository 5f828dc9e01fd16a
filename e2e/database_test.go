package e2e_test

import (
	"database/sql"
	"testing"

	_ "github.com/lib/pq"
)

// scan reads one value as the superuser.
func scan(t testing.TB, s *stack, into any, query string, args ...any) {
	t.Helper()
	db, err := sql.Open("postgres", s.AdminURL)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow(query, args...).Scan(into); err != nil {
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
	db, err := sql.Open("postgres", s.AdminURL)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.Exec(statement, args...)
	return err
}
