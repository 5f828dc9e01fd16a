package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// bound is the peak of the worker's resident memory, whatever the number of rows.
const bound = 128 << 20

// A million transactions go out in every format, in memory that does not grow
// with them, at a rate that is told as a ratio to psql's COPY of the same rows.
func TestAMillionRows(t *testing.T) {
	t.Parallel()
	rows := 20_000
	if os.Getenv("FINOBS_BENCH") != "" {
		rows = 1_000_000
	}
	s, err := newStack(stateDir(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	s.fill(t, rows)
	columns := `transaction_id, source, trade_id, execution_id, trade_date, settlement_date, side, symbol, isin, cusip, quantity, price,
		currency, gross_amount, fees, account, counterparty, venue, status, desk, origin, version, created_at, updated_at`
	baseline := map[string]time.Duration{
		"csv":    s.psql(t, "COPY (SELECT "+columns+" FROM finobs.transaction ORDER BY transaction_id) TO STDOUT WITH (FORMAT csv)"),
		"ndjson": s.psql(t, "COPY (SELECT row_to_json(t) FROM (SELECT "+columns+" FROM finobs.transaction ORDER BY transaction_id) t) TO STDOUT"),
	}
	baseline["parquet"] = baseline["csv"]
	for _, format := range []string{"csv", "ndjson", "parquet"} {
		for _, compression := range []string{"none", "zstd"} {
			s.restartWorker(t, "")
			e := exportCase{s: s, path: "/transactions/export?format=" + format + "&compression=" + compression}
			e.id = want(t, s.call(t, "alice", "POST", e.path, ""), http.StatusAccepted).str("approval_request_id")
			e.untilStatus(t, "pending")
			if r := e.decide(t, "bob", "approve"); r.Status/100 != 2 {
				t.Fatalf("answered %d: %s", r.Status, r.Body)
			}
			phases := map[string]bool{}
			eventually(t, "the export is done", func() bool {
				phase := s.call(t, "alice", "GET", "/approval/"+e.id+"/progress", "").str("phase")
				phases[phase] = true
				return phase == "done"
			})
			m := e.delivered(t)
			if m.Seal.Rows != int64(rows) || m.VerificationStatus != "verified" {
				t.Errorf("%s %s: %d rows, %s", format, compression, m.Seal.Rows, m.VerificationStatus)
			}
			var took float64
			scan(t, s, &took, "SELECT extract(epoch FROM sealed_at - created_at) FROM finobs.export WHERE export_id = $1::bigint", m.id())
			peak := s.peak(t)
			t.Logf("%-7s %-4s %8.2f s, %4.2f of the rate of psql's COPY, peak memory %d MiB, phases %v", format, compression, took,
				baseline[format].Seconds()/took, peak>>20, phases)
			if peak > bound {
				t.Errorf("%s %s: the worker took %d MiB at its peak", format, compression, peak>>20)
			}
		}
	}
}

// fill makes transactions, every thousandth of which holds what a spreadsheet
// would take for a formula.
func (s *stack) fill(t *testing.T, rows int) {
	t.Helper()
	for _, statement := range []string{
		`INSERT INTO finobs.import (import_id, kind, source, content_sha256, origin, file_name, byte_count, report, imported_iss, imported_sub, workflow_id, trace_id, imported_at)
			VALUES (1, 'transactions', 'bench', sha256('bench'), 'live', '', 0, '{}', 'i', 's', 'w', '', now())`,
		fmt.Sprintf(`INSERT INTO finobs.transaction (source, trade_id, execution_id, trade_date, settlement_date, side, symbol, isin, cusip, quantity, price, currency,
				gross_amount, fees, account, counterparty, venue, status, desk, origin, import_id, created_at, updated_at, trace_id)
			SELECT 'bench', 'T' || n, CASE WHEN n %% 1000 = 0 THEN '=cmd|''/c calc''!A1' ELSE 'E' || n END, date '2026-11-02' + n %% 20, date '2026-11-03' + n %% 20,
				'buy', 'SYM' || n %% 500, '', '', n %% 997 + 1, round((n %% 10007) / 7.0 + 0.01, 4), 'USD', round((n %% 997 + 1) * 12.34, 2), 1.25,
				'ACC' || n %% 50, 'Broker, "A"', 'XNYS', 'new', 'EQ', 'live', (SELECT max(import_id) FROM finobs.import), now(), now(), ''
			FROM generate_series(1, %d) n`, rows),
		"VACUUM (FREEZE) finobs.transaction",
	} {
		if err := exec1(s, statement); err != nil {
			t.Fatal(err)
		}
	}
}

// psql times a COPY to nowhere.
func (s *stack) psql(t *testing.T, statement string) time.Duration {
	t.Helper()
	program, err := exec.LookPath("psql")
	if err != nil {
		t.Skip("psql is not on the path")
	}
	began := time.Now()
	cmd := exec.Command(program, s.AdminURL, "-qAtc", statement)
	if err := cmd.Run(); err != nil {
		t.Fatalf("psql: %v", err)
	}
	return time.Since(began)
}

// peak is the most resident memory that the worker had, in bytes.
func (s *stack) peak(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.worker.PID()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	t.Fatal("the system does not tell the peak memory")
	return 0
}
