package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"finobs/internal/devstack"
	"finobs/internal/export"
)

// Rows of the transactions that are exported.
const (
	exportRows     = 1_000_000
	exportRowsFull = 10_000_000
)

// memoryLimit is that of the worker's Go runtime while it exports.
const memoryLimit = "GOMEMLIMIT=64MiB"

// exported is a kind of export that is measured, with its goal of the rate of the
// floor; 0: none is set.
type exported struct {
	format      export.Format
	compression export.Compression
	goal        float64
}

func (e exported) String() string { return fmt.Sprintf("%s, %s", e.format, e.compression) }

var exportKinds = []exported{
	{export.CSV, export.Plain, 0.8},
	{export.NDJSON, export.Zstd, 1.6},
	{export.Parquet, export.Zstd, 0},
}

// measureExports compares sealing exports of the transactions, as the worker does it
// when they are approved, with psql's COPY of the same rows.
func measureExports(ctx context.Context, b *bench) (err error) {
	s, err := b.newStack(ctx, "exports")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	e := &exporter{stack: s, finobs: filepath.Join(b.dir, "bin-exports", "finobs")}
	rows := exportRows
	if b.full {
		rows = exportRowsFull
	}
	if err := e.measureMemory(ctx, b, rows); err != nil {
		return err
	}
	for _, kind := range exportKinds {
		if err := e.checked(ctx, kind); err != nil {
			return err
		}
		statement, what := copyOf(kind.format)
		err := b.measure(ctx, comparison{
			name: fmt.Sprintf("exports/%s", kind), unit: "rows/s", better: higher, goal: kind.goal, floor: "psql's " + what,
			ours:  func(ctx context.Context) (float64, error) { return e.rate(ctx, kind) },
			plain: func(ctx context.Context) (float64, error) { return e.copied(ctx, statement) },
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// exporter exports from a stack.
type exporter struct {
	*stack
	finobs string // the program
	rows   int    // in the table
	asked  int    // exports so far
	worker *devstack.Process
}

// fill brings the transactions to a number of rows, by one statement.
func (e *exporter) fill(ctx context.Context, rows int) error {
	for _, statement := range []string{
		`INSERT INTO finobs.import (import_id, kind, source, content_sha256, origin, file_name, byte_count, report, imported_iss, imported_sub, workflow_id, trace_id, imported_at)
			VALUES (1, 'transactions', 'bench', sha256('bench'), 'live', '', 0, '{}', 'i', 's', 'w', '', now()) ON CONFLICT DO NOTHING`,
		// Replicas do not look for the import of each row.
		fmt.Sprintf(`SET LOCAL session_replication_role = replica; INSERT INTO finobs.transaction (source, trade_id, execution_id, trade_date, settlement_date, side, symbol, isin, cusip, quantity, price, currency,
				gross_amount, fees, account, counterparty, venue, status, desk, origin, import_id, created_at, updated_at, trace_id)
			SELECT 'bench', 'T' || n, CASE WHEN n %% 1000 = 0 THEN '=cmd|''/c calc''!A1' ELSE 'E' || n END, date '2026-11-02' + n %% 20, date '2026-11-03' + n %% 20,
				'buy', 'SYM' || n %% 500, '', '', n %% 997 + 1, round((n %% 10007) / 7.0 + 0.01, 4), 'USD', round((n %% 997 + 1) * 12.34, 2), 1.25,
				'ACC' || n %% 50, 'Broker, "A"', 'XNYS', 'new', 'EQ', 'live', 1, timestamptz '2026-11-02Z' + n * interval '1.000003 s',
				timestamptz '2026-11-03Z' + n * interval '1.000007 s', ''
			FROM generate_series(%d, %d) n`, e.rows+1, rows),
		"VACUUM (FREEZE, ANALYZE) finobs.transaction", //nolint:misspell // it is SQL
	} {
		if _, err := e.admin.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("making %d transactions: %w", rows, err)
		}
	}
	e.rows = rows
	return nil
}

// restart begins a worker that has done nothing yet, with its memory limited.
func (e *exporter) restart() error {
	if e.worker == nil {
		i := slices.IndexFunc(e.processes, func(p *devstack.Process) bool {
			line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.PID()))
			return err == nil && strings.HasSuffix(string(line), "\x00worker\x00")
		})
		if i < 0 {
			return errors.New("none of the processes is the worker")
		}
		e.worker = e.processes[i]
	}
	if err := e.worker.Stop(); err != nil {
		return err
	}
	var err error
	i := slices.Index(e.processes, e.worker)
	if e.worker, err = e.Launch("worker", []string{memoryLimit}, e.finobs, "worker"); err == nil {
		e.processes[i] = e.worker
	}
	return err
}

// done is an export that is complete, delivered and read back.
type done struct {
	id   int64
	file string  // its artefact
	took float64 // seconds from the record of what is intended to that of its seal
}

// one has an export asked for, approved and carried out.
func (e *exporter) one(ctx context.Context, kind exported) (out done, err error) {
	var asked struct {
		ID int64 `json:"approval_request_id"`
	}
	e.asked++ // what was asked for and done before is not done again; all rows are before any of these days
	until := time.Date(2100, 1, e.asked, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
	path := fmt.Sprintf("/transactions/export?format=%s&compression=%s&to=%s", kind.format, kind.compression, until)
	if err := e.expect(ctx, "alice", http.MethodPost, path, nil, http.StatusAccepted, &asked); err != nil {
		return out, err
	}
	var decided struct{}
	body := map[string]string{"decision": "approve", "reason": "measured"}
	if err := e.expect(ctx, "bob", http.MethodPost, fmt.Sprintf("/approval/%d/decision", asked.ID), body, http.StatusOK, &decided); err != nil {
		return out, err
	}
	var rows int64
	var status, verdict, name string
	for verdict = "unverified"; verdict == "unverified"; time.Sleep(50 * time.Millisecond) {
		err := e.admin.QueryRowContext(ctx, `SELECT export_id, status, coalesce(row_count, 0), verification_status, coalesce(file_name, '')
			FROM finobs.export WHERE approval_id = $1`, asked.ID).Scan(&out.id, &status, &rows, &verdict, &name)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return out, err
		}
		if status == "failed" {
			return out, fmt.Errorf("export %d failed; see %s", out.id, e.Path("logs"))
		}
	}
	if verdict != "verified" || rows != int64(e.rows) {
		return out, fmt.Errorf("export %d has %d of %d rows and is %s", out.id, rows, e.rows, verdict)
	}
	out.file = filepath.Join(e.Settings()["FINOBS_ARTEFACT_DIR"], "export-"+strconv.FormatInt(out.id, 10), name)
	err = e.admin.QueryRowContext(ctx, `SELECT extract(epoch FROM max(recorded_at) FILTER (WHERE type = 'effect.done') - min(recorded_at) FILTER (WHERE type = 'effect.intended'))
		FROM ledger.entry WHERE subject_kind = 'export' AND subject_id = $1`, strconv.FormatInt(out.id, 10)).Scan(&out.took)
	return out, err
}

// rate makes an export and tells how many rows were sealed in a second.
func (e *exporter) rate(ctx context.Context, kind exported) (float64, error) {
	d, err := e.one(ctx, kind)
	if err != nil {
		return 0, err
	}
	return float64(e.rows) / d.took, os.RemoveAll(filepath.Dir(d.file))
}

// copied is the rate of psql's COPY to nowhere.
func (e *exporter) copied(ctx context.Context, statement string) (float64, error) {
	began := time.Now()
	if out, err := exec.CommandContext(ctx, "psql", e.AdminURL, "-qAtc", statement, "-o", os.DevNull).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("psql: %w\n%s", err, out)
	}
	return float64(e.rows) / time.Since(began).Seconds(), nil
}

// copyOf is the floor of a format, and its name.
func copyOf(f export.Format) (statement, what string) {
	rows := "SELECT " + strings.Join(export.Transactions.ColumnNames(), ", ") + " FROM finobs.transaction ORDER BY transaction_id"
	if f == export.NDJSON {
		return "COPY (SELECT row_to_json(t) FROM (" + rows + ") t) TO STDOUT", "COPY of row_to_json"
	}
	return "COPY (" + rows + ") TO STDOUT WITH (FORMAT csv)", "COPY as CSV"
}
