package e2e_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A million transactions load within constant memory, in a time that is told as a
// ratio to psql's \copy of the same rows into a table with the same constraints
// and indexes, and into one with none.
func TestAMillionTransactions(t *testing.T) {
	if os.Getenv("FINOBS_BENCH") == "" {
		t.Skip("takes minutes; make bench-load sets FINOBS_BENCH")
	}
	const rows = 1_000_000
	dir := t.TempDir()
	path := filepath.Join(dir, "million.csv")
	if err := os.WriteFile(path, manyTrades(rows), 0o644); err != nil {
		t.Fatal(err)
	}
	header, _, _ := strings.Cut(string(manyTrades(0)), "\n")
	copied := func(table string) time.Duration {
		began := time.Now()
		out, err := exec.Command("psql", world.AdminURL, "-qc", `\copy `+table+` (`+header+`) FROM '`+path+`' CSV HEADER`).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return time.Since(began)
	}
	for _, statement := range []string{
		"CREATE TABLE public.bench_same (LIKE finobs.transaction INCLUDING ALL)",
		`ALTER TABLE public.bench_same ALTER source SET DEFAULT 'bench', ALTER isin SET DEFAULT '', ALTER cusip SET DEFAULT '', ALTER origin SET DEFAULT 'demo',
			ALTER import_id SET DEFAULT 1, ALTER created_at SET DEFAULT now(), ALTER updated_at SET DEFAULT now(), ALTER trace_id SET DEFAULT ''`,
		"CREATE TABLE public.bench_bare AS SELECT " + header + " FROM finobs.transaction WITH NO DATA",
	} {
		if err := exec1(world, statement); err != nil {
			t.Fatal(err)
		}
	}
	defer exec1(world, "DROP TABLE public.bench_same, public.bench_bare") //nolint:errcheck // clean-up
	bare, same := copied("public.bench_bare"), copied("public.bench_same")
	world.restartWorker(t, "")
	restartAPI(t)
	idle := peakMemory(t, world.worker.PID())
	run := func(path, name string) time.Duration {
		began := time.Now()
		out, err := exec.Command(filepath.Join(bin, "finobs"), "import", "transactions", path, "--state", world.Dir, "--source", name).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		t.Logf("%s", out)
		return time.Since(began)
	}
	ours := run(path, "bench")
	worker, api := peakMemory(t, world.worker.PID()), peakMemory(t, world.api.PID())
	t.Logf("psql \\copy: %s into the same table, %s into a bare one; finobs: %s, ratio %.2f to the same, %.2f to the bare; "+
		"peak memory: worker %d MiB (%d at rest), API %d MiB", same.Round(time.Millisecond), bare.Round(time.Millisecond), ours.Round(time.Millisecond),
		ours.Seconds()/same.Seconds(), ours.Seconds()/bare.Seconds(), worker, idle, api)
	if worker > 200 || api > 200 {
		t.Errorf("worker and API used %d and %d MiB", worker, api)
	}
	if n := count(t, world, "SELECT count(*) FROM finobs.transaction WHERE source = 'bench'"); n != rows {
		t.Errorf("%d rows", n)
	}
	// The same rows again, one of them corrected.
	again := filepath.Join(dir, "again.csv")
	if err := os.WriteFile(again, bytes.Replace(manyTrades(rows), []byte(",BRKR_0,"), []byte(",BRKR_X,"), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("all of them again, one corrected: %s", run(again, "bench").Round(time.Millisecond))
	if n := count(t, world, "SELECT count(*) FROM finobs.transaction WHERE source = 'bench' AND version > 1"); n != 1 {
		t.Errorf("%d were corrected", n)
	}
}
