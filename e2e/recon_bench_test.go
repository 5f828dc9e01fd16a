package e2e_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// sideOfMany writes n trades of one side. One in a thousand differs from the other
// side in its price, one in a thousand is missing on each side, and one in two
// thousand has another execution id there.
func sideOfMany(t *testing.T, n int, right bool) string {
	t.Helper()
	name := "left.csv"
	if right {
		name = "right.csv"
	}
	file, err := os.Create(filepath.Join(t.TempDir(), name))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	b := bufio.NewWriter(file)
	fmt.Fprintln(b, "id,exec,order,symbol,side,qty,px,fees,ccy,traded,settles,account")
	for j := range n {
		i := j
		if right {
			i = n - 1 - j
		}
		exec, price := fmt.Sprintf("EXEC-%08d", i), i%70000
		switch {
		case i%1000 == 1 && right, i%1000 == 2 && !right:
			continue
		case i%1000 == 3 && right:
			price += 100
		case i%2000 == 4 && right:
			exec = "B" + exec
		}
		fmt.Fprintf(b, "%s%08d,%s,ORD-%d,SYM%d,%s,%d,%d.%02d,1.25,USD,2026-06-%02d,2026-06-30,PA_%d\n", name[:1], i, exec, i/4, i%3000,
			[]string{"buy", "sell"}[i%2], i%5000+1, price/100+1, price%100, i%20+1, i%50)
	}
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	return file.Name()
}

const manyProfile = `version: 1
name: many
left: &side
  columns: {trade_id: id, execution_id: exec, order_id: order, symbol: symbol, side: side, quantity: qty, price: px, fees: fees, currency: ccy,
    trade_date: traded, settlement_date: settles, account: account}
right: {<<: *side}
match:
  keys: [[execution_id]]
  fuzzy: {agree: [symbol, side, trade_date, account], quantity: {percent: 1}, price: {percent: 1}, weights: {quantity: 0.5, price: 0.5}, minimum: 0.9}
`

// A million trades a side are compared within constant memory of the worker, and the
// log does not wait for it.
func TestAMillionTradesASide(t *testing.T) {
	if os.Getenv("FINOBS_BENCH") == "" {
		t.Skip("takes minutes; make bench-recon sets FINOBS_BENCH")
	}
	const n = 1_000_000
	left, right := sideOfMany(t, n, false), sideOfMany(t, n, true)
	profile := filepath.Join(t.TempDir(), "many.yaml")
	if err := os.WriteFile(profile, []byte(manyProfile), 0o600); err != nil {
		t.Fatal(err)
	}
	world.restartWorker(t, "")
	idle := peakMemory(t, world.worker.PID())
	stop, waited := make(chan struct{}), make(chan time.Duration)
	go func() { waited <- longestWait(t, stop) }()
	began := time.Now()
	a := reconcileJSON(t, 3, left, right, "--profile", profile)
	took := time.Since(began)
	close(stop)
	memory := peakMemory(t, world.worker.PID())
	t.Logf("%d breaks in %s; worker: peak %d MiB (%d at rest); the log waited %s at most", a.Run.Report.Breaks, took.Round(time.Millisecond), memory, idle, (<-waited).Round(time.Millisecond))
	t.Logf("seconds by phase: %s", reportOfRun(t, a.Run.ID))
	// 1,000 prices; 1,000 a side are missing, 500 have other ids, which likeness finds.
	for kind, want := range map[string]int{"price": n / 1000, "missing_left": n / 1000, "missing_right": n / 1000} {
		if got := a.Run.Report.ByType[kind].Count; got != want {
			t.Errorf("%d breaks of type %s, want %d", got, kind, want)
		}
	}
	if memory > 200 {
		t.Errorf("the worker used %d MiB", memory)
	}
}

func reportOfRun(t *testing.T, id string) string {
	t.Helper()
	var v struct {
		Report struct{ Seconds json.RawMessage }
	}
	if err := json.Unmarshal(world.call(t, "victor", "GET", "/recon/runs/"+id, "").Body, &v); err != nil {
		t.Fatal(err)
	}
	return string(v.Report.Seconds)
}

// longestWait is the longest that the oldest transaction with an id was open, while
// the sequencer waits for it.
func longestWait(t *testing.T, stop chan struct{}) (longest time.Duration) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return longest
		case <-tick.C:
			ms := count(t, world, `SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start) * 1000), 0)::integer FROM pg_stat_activity
				WHERE usename = 'finobs_worker' AND backend_xid IS NOT NULL`)
			longest = max(longest, time.Duration(ms)*time.Millisecond)
		}
	}
}
