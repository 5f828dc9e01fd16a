package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/lib/pq"
)

// floor copies both files into tables as they are, joins them in full by the id of
// the execution, and keeps what differs. It looks for no likeness, keeps no record
// of what was found before, and writes no ledger.
func (r *reconciling) floor(ctx context.Context) (float64, error) {
	left, right, err := r.files()
	if err != nil {
		return 0, err
	}
	_, err = r.s.admin.ExecContext(ctx, `CREATE SCHEMA IF NOT EXISTS bench; DROP TABLE IF EXISTS bench.l, bench.r, bench.breaks;
		CREATE TABLE bench.l (id text, exec text, "order" text, symbol text, side text, qty numeric, px numeric, fees numeric, ccy text, traded date, settles date, account text);
		CREATE TABLE bench.r (LIKE bench.l)`)
	if err != nil {
		return 0, fmt.Errorf("making the floor's tables: %w", err)
	}
	began := time.Now()
	if err := errors.Join(r.copyInto(ctx, "l", left), r.copyInto(ctx, "r", right)); err != nil {
		return 0, err
	}
	_, err = r.s.admin.ExecContext(ctx, `CREATE TABLE bench.breaks AS
		SELECT coalesce(l.exec, r.exec) AS exec, l.id AS left_id, r.id AS right_id, l.px AS left_px, r.px AS right_px, l.qty AS left_qty, r.qty AS right_qty
		FROM bench.l l FULL JOIN bench.r r ON l.exec = r.exec
		WHERE l.exec IS NULL OR r.exec IS NULL OR (l.symbol, l.side, l.qty, l.px, l.fees, l.ccy, l.traded, l.settles, l.account)
			IS DISTINCT FROM (r.symbol, r.side, r.qty, r.px, r.fees, r.ccy, r.traded, r.settles, r.account)`)
	if err != nil {
		return 0, fmt.Errorf("joining: %w", err)
	}
	took := time.Since(began)
	var found int
	if err := r.s.admin.QueryRowContext(ctx, "SELECT count(*) FROM bench.breaks").Scan(&found); err != nil {
		return 0, err
	}
	// Prices, those that are missing, and both of those whose ids differ.
	if want := 3*r.trades/1000 + 2*r.trades/2000; found != want {
		return 0, fmt.Errorf("the join found %d differences, planted were %d", found, want)
	}
	return float64(r.trades) / took.Seconds(), nil
}

func (r *reconciling) copyInto(ctx context.Context, table, path string) (err error) {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	tx, err := r.s.admin.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after a commit it says so
	rows := csv.NewReader(file)
	names, err := rows.Read()
	if err != nil {
		return err
	}
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = pq.QuoteIdentifier(name)
	}
	into, err := tx.PrepareContext(ctx, fmt.Sprintf("COPY bench.%s (%s) FROM STDIN", table, strings.Join(quoted, ", ")))
	if err != nil {
		return err
	}
	defer into.Close()
	cells := make([]any, len(names))
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		for i, cell := range row {
			cells[i] = cell
		}
		if _, err := into.ExecContext(ctx, cells...); err != nil {
			return err
		}
	}
	if _, err := into.ExecContext(ctx); err != nil {
		return err
	}
	return tx.Commit()
}
