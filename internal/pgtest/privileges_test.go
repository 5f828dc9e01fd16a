package pgtest_test

import (
	"context"
	"database/sql"
	"strings"
	"testing"

	"finobs/internal/pgtest"
	"finobs/internal/schema"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// relations lists every table and view of the schemas of finobs.
func relations(t *testing.T, url string) []string {
	t.Helper()
	db, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(`SELECT format('%I.%I', nspname, relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
		WHERE nspname IN ('finobs', 'ledger', 'api') AND relkind IN ('r', 'v', 'p', 'm') ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if len(names) < 12 {
		t.Fatalf("only %d relations found: %v", len(names), names)
	}
	return names
}

// denied fails the test unless the statement is refused for want of a privilege.
func denied(t *testing.T, url, statement string) {
	t.Helper()
	err := pgtest.Exec(t, url, statement)
	if err == nil {
		t.Errorf("went through: %s", statement)
		return
	}
	text := err.Error()
	if !strings.Contains(text, "permission denied") && !strings.Contains(text, "must be") &&
		!strings.Contains(text, "append-only") && !strings.Contains(text, " view ") {
		t.Errorf("%s: refused for another reason: %v", statement, err)
	}
}

func TestAPIRoleChangesNothing(t *testing.T) {
	db := pgtest.New(t)
	for _, name := range relations(t, db.Admin) {
		denied(t, db.API, "INSERT INTO "+name+" DEFAULT VALUES")
		denied(t, db.API, "DELETE FROM "+name)
		column := lastColumn(t, db.Admin, name)
		denied(t, db.API, "UPDATE "+name+" SET "+column+" = "+column)
		if strings.HasPrefix(name, "api.") {
			denied(t, db.API, "DROP VIEW "+name)
			denied(t, db.API, "ALTER VIEW "+name+" RENAME TO x")
			continue
		}
		denied(t, db.API, "SELECT * FROM "+name)
		denied(t, db.API, "TRUNCATE "+name)
		denied(t, db.API, "ALTER TABLE "+name+" ADD COLUMN x int")
		denied(t, db.API, "DROP TABLE "+name)
	}
	for _, statement := range []string{
		"CREATE TABLE api.x (a int)", "CREATE TABLE finobs.x (a int)", "CREATE TABLE public.x (a int)", "CREATE TEMP TABLE x (a int)",
		"CREATE SCHEMA x", "CREATE FUNCTION api.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "SELECT lo_create(0)",
		"SET ROLE finobs_owner", "SET ROLE finobs_worker", "SET session_replication_role = replica",
		"COPY (SELECT 1) TO PROGRAM 'true'", "SELECT nextval('finobs.approval_id')",
	} {
		denied(t, db.API, statement)
	}
}

func lastColumn(t *testing.T, url, relation string) string {
	return pgtest.Value(t, url, `SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 ORDER BY attnum DESC LIMIT 1`, relation)
}

const securityEvent = `SELECT ledger.append_security_event('018f0000-0000-7000-8000-000000000001', 'k', 'authorize', 'no', 'human',
	'iss', 'alice', 'GET /x', 'r', 't', 1, now())`

func TestAPIRoleDoesWhatItIsFor(t *testing.T) {
	db := pgtest.New(t)
	for _, statement := range []string{
		"SELECT * FROM api.approval_request", "SELECT * FROM api.agent_action_audit_log", "SELECT api.next_approval_id()", securityEvent,
	} {
		if err := pgtest.Exec(t, db.API, statement); err != nil {
			t.Errorf("%s: %v", statement, err)
		}
	}
	err := pgtest.Exec(t, db.API, strings.Replace(securityEvent, "authorize", "approve", 1))
	if err == nil {
		t.Error("the API wrote an entry that is not a refusal")
	}
}

func TestLedgerIsAppendOnly(t *testing.T) {
	db := pgtest.New(t)
	if err := pgtest.Exec(t, db.API, securityEvent); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"ledger.entry", "ledger.blob"} {
		column := lastColumn(t, db.Admin, table)
		for _, url := range []string{db.Worker, db.Sequencer} {
			for _, statement := range []string{
				"UPDATE " + table + " SET " + column + " = " + column, "DELETE FROM " + table, "TRUNCATE " + table, "DROP TABLE " + table,
				"ALTER TABLE " + table + " DISABLE TRIGGER ALL", "SET session_replication_role = replica", "SET ROLE finobs_owner",
			} {
				denied(t, url, statement)
			}
		}
	}
	// Not even a superuser gets past the triggers by the ways that replicas use.
	for _, statement := range []string{
		"DELETE FROM ledger.entry", "UPDATE ledger.entry SET reason = 'x'", "TRUNCATE ledger.entry CASCADE",
		"SET session_replication_role = replica; DELETE FROM ledger.entry",
	} {
		denied(t, db.Admin, statement)
	}
	if n := pgtest.Value(t, db.Admin, "SELECT count(*) FROM ledger.entry"); n != "1" {
		t.Errorf("%s entries are left, want 1", n)
	}
}

func TestMigrationsGoUpAndDown(t *testing.T) {
	db, ctx := pgtest.New(t), context.Background()
	all, err := schema.List(ctx, db.Migrate)
	if err != nil || len(all) == 0 {
		t.Fatalf("got %v, %v", all, err)
	}
	for _, m := range all {
		if m.AppliedAt.IsZero() {
			t.Errorf("%s waits", m.ID)
		}
	}
	if n, err := schema.Down(ctx, db.Migrate, 1); err != nil || n != 1 {
		t.Fatalf("one down: %d, %v", n, err)
	}
	if n, err := schema.Up(ctx, db.Migrate); err != nil || n != 1 {
		t.Fatalf("one up: %d, %v", n, err)
	}
	if n, err := schema.Down(ctx, db.Migrate, 0); err != nil || n != len(all) {
		t.Fatalf("all down: %d, %v", n, err)
	}
	if n := pgtest.Value(t, db.Admin, "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname IN ('api', 'ledger')"); n != "0" {
		t.Errorf("%s objects are left after all migrations went down", n)
	}
	// Several processes may migrate at once; each migration is applied once.
	errs := make(chan error, 4)
	for range cap(errs) {
		go func() { _, err := schema.Up(ctx, db.Migrate); errs <- err }()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}
