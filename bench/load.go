package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Rows of the file that is loaded.
const (
	loadRows     = 100_000
	loadRowsFull = 1_000_000
)

// loadHeader are the columns of the file.
const loadHeader = "trade_id,execution_id,trade_date,settlement_date,side,symbol,quantity,price,currency,gross_amount,fees,account,counterparty,venue,status,desk"

// measureLoad compares loading a file of transactions, from the command to the end of
// its workflow, with psql's \copy of the same file into a table with the same
// columns, constraints and indexes.
func measureLoad(ctx context.Context, b *bench) (err error) {
	s, err := b.newStack(ctx, "load", "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	l := &loader{stack: s, finobs: filepath.Join(b.dir, "bin-load", "finobs"), path: filepath.Join(b.dir, "trades.csv"), rows: loadRows}
	if b.full {
		l.rows = loadRowsFull
	}
	if err := l.write(); err != nil {
		return err
	}
	_, err = s.admin.ExecContext(ctx, `CREATE SCHEMA bench; CREATE TABLE bench.same (LIKE finobs.transaction INCLUDING ALL);
		ALTER TABLE bench.same ALTER source SET DEFAULT 'bench', ALTER isin SET DEFAULT '', ALTER cusip SET DEFAULT '', ALTER origin SET DEFAULT 'demo',
			ALTER import_id SET DEFAULT 1, ALTER created_at SET DEFAULT now(), ALTER updated_at SET DEFAULT now(), ALTER trace_id SET DEFAULT ''`)
	if err != nil {
		return fmt.Errorf("making the floor's table: %w", err)
	}
	return b.measure(ctx, comparison{
		name: "load/transactions", unit: "rows/s", better: higher, floor: `psql's \copy into a table with the same constraints and indexes`,
		ours: l.imported, plain: l.copied,
	})
}

// loader loads one file over and over.
type loader struct {
	*stack
	finobs string // the program
	path   string
	rows   int
	times  int
}

// write makes the file: trades of various securities and accounts.
func (l *loader) write() error {
	f, err := os.Create(l.path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	_, err = io.WriteString(w, loadHeader+"\n")
	for i := 0; i < l.rows && err == nil; i++ {
		_, err = fmt.Fprintf(w, "INT-%08d,EXEC-%08d,2026-%02d-%02d,2026-12-31,%s,SYM%d,%d,%d.%02d,USD,%d.5,%d.3856,PA_%d,BRKR_%d,XNAS,settled,EQ%d\n",
			i, i, i%12+1, i%28+1, []string{"buy", "sell", "sell_short"}[i%3], i%3000, i%5000+1, i%700+1, i%100, i, i%9, i%50, i%20, i%5)
	}
	return errors.Join(err, w.Flush(), f.Close())
}

// emptied makes a table as it was before the first round.
func (l *loader) emptied(ctx context.Context, table string) error {
	if _, err := l.admin.ExecContext(ctx, "TRUNCATE "+table+" CASCADE"); err != nil {
		return fmt.Errorf("emptying %s: %w", table, err)
	}
	_, err := l.admin.ExecContext(ctx, "CHECKPOINT") // of the round before, or this one would wait for it
	return err
}

func (l *loader) imported(ctx context.Context) (float64, error) {
	if err := l.emptied(ctx, "finobs.transaction"); err != nil {
		return 0, err
	}
	l.times++
	began := time.Now()
	out, err := exec.CommandContext(ctx, l.finobs, "import", "transactions", l.path, "--state", l.Dir, "--source", fmt.Sprintf("bench-%d", l.times)).CombinedOutput()
	took := time.Since(began)
	if err != nil {
		return 0, fmt.Errorf("importing: %w\n%s", err, out)
	}
	var n int
	if err := l.admin.QueryRowContext(ctx, "SELECT count(*) FROM finobs.transaction").Scan(&n); err != nil {
		return 0, err
	}
	if n != l.rows {
		return 0, fmt.Errorf("%d of %d rows are there", n, l.rows)
	}
	return float64(n) / took.Seconds(), nil
}

func (l *loader) copied(ctx context.Context) (float64, error) {
	if err := l.emptied(ctx, "bench.same"); err != nil {
		return 0, err
	}
	began := time.Now()
	out, err := exec.CommandContext(ctx, "psql", l.AdminURL, "-qc", `\copy bench.same (`+loadHeader+`) FROM '`+l.path+`' CSV HEADER`).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("psql: %w\n%s", err, out)
	}
	return float64(l.rows) / time.Since(began).Seconds(), nil
}
