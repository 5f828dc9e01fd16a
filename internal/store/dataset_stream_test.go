package store_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"finobs/internal/export"
	"finobs/internal/pgtest"
	"finobs/internal/store"

	"github.com/jmoiron/sqlx"
)

// serverText is how the server itself writes a column of the transactions.
func serverText(c export.Column) string {
	switch c.Kind {
	case export.Time:
		return "to_char(" + c.Name + ` AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
	case export.Date:
		return "to_char(" + c.Name + ", 'YYYY-MM-DD')"
	case export.Text, export.Word, export.JSON, export.Integer, export.Decimal, export.Bool:
	}
	return c.Name + "::text"
}

// plantTransactions inserts n transactions of many amounts, days and times.
func plantTransactions(t *testing.T, admin *sqlx.DB, n int) {
	t.Helper()
	for _, statement := range []string{
		`INSERT INTO finobs.import (import_id, kind, source, content_sha256, origin, file_name, byte_count, report, imported_iss, imported_sub, workflow_id, trace_id, imported_at)
			VALUES (1, 'transactions', 'test', sha256('test'), 'live', '', 0, '{}', 'i', 's', 'w', '', now())`,
		fmt.Sprintf(`INSERT INTO finobs.transaction (source, trade_id, execution_id, trade_date, settlement_date, side, symbol, isin, cusip, quantity, price,
				currency, gross_amount, fees, account, counterparty, venue, status, desk, origin, import_id, created_at, updated_at, trace_id)
			SELECT 'test', 'T' || n, CASE WHEN n %% 7 = 0 THEN '=cmd|''/c calc''!A1' ELSE 'é"\,' || chr(n %% 500 + 1) END,
				date '1999-12-30' + n * 17, date '2000-01-01' + n * 17, 'buy', 'SYM', '', '', n * 10 ^ (n %% 9), round((n %% 10007) / 7.0 ^ (n %% 5) + 0.0001, n %% 9),
				'USD', n * 12.34, n / 1000000.0, 'ACC', 'B', 'XNYS', 'new', 'EQ', 'live', 1,
				timestamptz '1999-12-31 23:59:59.999999+00' + n * interval '11:22:33.456789', timestamptz '2000-01-01Z' - n * interval '1 day 3 h', ''
			FROM generate_series(1, %d) n`, n),
	} {
		if _, err := admin.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
}

// What the worker writes of the server's binary form is what the server itself
// writes, byte by byte: exports of one version of a dataset stay the same.
func TestCellsAreTheServersOwnText(t *testing.T) {
	d := pgtest.New(t)
	admin, err := sqlx.Open("postgres", d.Admin)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	const n = 2000
	plantTransactions(t, admin, n)
	w, err := store.OpenWriter(t.Context(), d.Worker)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	var expressions []string
	for _, c := range export.Transactions.Columns {
		expressions = append(expressions, serverText(c))
	}
	var want []string
	rows, err := admin.Query("SELECT " + strings.Join(expressions, ", ") + " FROM api.transaction d ORDER BY d.transaction_id")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	raw, into := make([]sql.RawBytes, len(expressions)), make([]any, len(expressions))
	for i := range raw {
		into[i] = &raw[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		want = append(want, fmt.Sprintf("%q", raw))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	var from export.Snapshot
	seen := 0
	err = w.StreamDataset(t.Context(), export.Spec{Dataset: export.Transactions}, func(s export.Snapshot) error { from = s; return nil },
		func(cells []export.Cell) error {
			if got := fmt.Sprintf("%q", cells); got != want[seen] && !t.Failed() {
				t.Errorf("row %d is\n%s\nthe server says\n%s", seen, got, want[seen])
			}
			seen++
			return nil
		})
	if err != nil || seen != n || from.Rows != n || from.ID == "" || from.At.IsZero() {
		t.Errorf("%d rows of %+v, %v", seen, from, err)
	}
}
