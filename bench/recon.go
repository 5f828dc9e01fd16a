package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

const (
	reconTrades = 200_000   // of each side
	reconAll    = 1_000_000 // in full
)

// reconProfile describes both files.
const reconProfile = `version: 1
name: many
left: &side
  columns: {trade_id: id, execution_id: exec, order_id: order, symbol: symbol, side: side, quantity: qty, price: px, fees: fees, currency: ccy,
    trade_date: traded, settlement_date: settles, account: account}
right: {<<: *side}
match:
  keys: [[execution_id]]
  fuzzy: {agree: [symbol, side, trade_date, account], quantity: {percent: 1}, price: {percent: 1}, weights: {quantity: 0.5, price: 0.5}, minimum: 0.9}
`

// reconciling compares two files of trades, new ones each time.
type reconciling struct {
	s       *stack
	finobs  string
	dir     string
	trades  int
	round   int
	phases  map[string][]float64 // seconds, by the name of the phase
	longest []float64            // that the log waited, in ms
}

// measureRecon compares a whole reconciliation, from two files on disk to breaks that
// are on record, with the same join in plain SQL.
func measureRecon(ctx context.Context, b *bench) (err error) {
	s, err := b.newStack(ctx, "recon")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	r := &reconciling{s: s, finobs: filepath.Join(b.dir, "bin-recon", "finobs"), dir: filepath.Join(b.dir, "trades"), trades: reconTrades, phases: map[string][]float64{}}
	if b.full {
		r.trades = reconAll
	}
	if err := errors.Join(os.MkdirAll(r.dir, 0o755), os.WriteFile(filepath.Join(r.dir, "many.yaml"), []byte(reconProfile), 0o600)); err != nil {
		return err
	}
	err = b.measure(ctx, comparison{
		name: fmt.Sprintf("recon/trades of a side, %d a side", r.trades), unit: "trades/s", better: higher,
		floor: "COPY of both files and a full join in SQL, its differences into a table",
		ours:  r.ours, plain: r.floor,
	})
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(r.phases)) {
		b.note("recon/phase "+name, "s", 0, r.phases[name][1:]...)
	}
	b.note("recon/longest that the log waits", "ms", 0, r.longest[1:]...)
	return nil
}

// files writes both sides. One in a thousand differs from the other side in its
// price, one in a thousand is missing on each side, and one in two thousand has
// another execution id there.
func (r *reconciling) files() (left, right string, err error) {
	r.round++
	left, right = filepath.Join(r.dir, "left.csv"), filepath.Join(r.dir, "right.csv")
	return left, right, errors.Join(r.write(left, false), r.write(right, true))
}

func (r *reconciling) write(path string, right bool) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	b := bufio.NewWriter(file)
	fmt.Fprintln(b, "id,exec,order,symbol,side,qty,px,fees,ccy,traded,settles,account")
	side := "l"
	if right {
		side = "r"
	}
	for j := range r.trades {
		i := j
		if right {
			i = r.trades - 1 - j
		}
		exec, price := fmt.Sprintf("EXEC-%d-%08d", r.round, i), i%70000
		switch {
		case i%1000 == 1 && right, i%1000 == 2 && !right:
			continue
		case i%1000 == 3 && right:
			price += 100
		case i%2000 == 4 && right:
			exec = "B" + exec
		}
		fmt.Fprintf(b, "%s%d-%08d,%s,ORD-%d,SYM%d,%s,%d,%d.%02d,1.25,USD,2026-06-%02d,2026-06-30,PA_%d\n", side, r.round, i, exec, i/4, i%3000,
			[]string{"buy", "sell"}[i%2], i%5000+1, price/100+1, price%100, i%20+1, i%50)
	}
	return b.Flush()
}

// ours runs finobs recon run, which loads both files and waits for the breaks.
func (r *reconciling) ours(ctx context.Context) (float64, error) {
	left, right, err := r.files()
	if err != nil {
		return 0, err
	}
	watching, stop := context.WithCancel(ctx)
	waited := make(chan time.Duration)
	go func() { waited <- r.s.longestWait(watching) }()
	began := time.Now()
	run := exec.CommandContext(ctx, r.finobs, "recon", "run", "--state", r.s.Dir, "--json", "--breaks", "all", "--profile", filepath.Join(r.dir, "many.yaml"), left, right)
	out, err := run.Output()
	took := time.Since(began)
	stop()
	r.longest = append(r.longest, milliseconds(<-waited))
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != breaksFound) {
		if exit != nil {
			out = append(out, exit.Stderr...)
		}
		return 0, fmt.Errorf("reconciling: %w: %s", err, out)
	}
	var answer struct {
		Run struct {
			ID     string `json:"run_id"`
			Report struct {
				ByType map[string]struct{ Count int } `json:"by_type"`
			}
		}
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		return 0, fmt.Errorf("reading what was found: %w", err)
	}
	// The likeness of trades pairs those whose ids differ.
	for _, kind := range []string{"price", "missing_left", "missing_right"} {
		if got := answer.Run.Report.ByType[kind].Count; got != r.trades/1000 {
			return 0, fmt.Errorf("%d breaks of type %s were found, planted were %d", got, kind, r.trades/1000)
		}
	}
	if err := r.readPhases(ctx, answer.Run.ID); err != nil {
		return 0, err
	}
	return float64(r.trades) / took.Seconds(), nil
}

// breaksFound is the exit code of finobs recon run when there are breaks.
const breaksFound = 3

func (r *reconciling) readPhases(ctx context.Context, id string) error {
	var v struct {
		Report struct{ Seconds map[string]string }
	}
	if err := r.s.expect(ctx, "bob", http.MethodGet, "/recon/runs/"+id, nil, http.StatusOK, &v); err != nil {
		return err
	}
	for name, text := range v.Report.Seconds {
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("reading how long a phase took: %w", err)
		}
		r.phases[name] = append(r.phases[name], seconds)
	}
	return nil
}

// longestWait is the longest that the oldest transaction with an id was open, while
// the sequencer waits for it, until ctx ends.
func (s *stack) longestWait(ctx context.Context) (longest time.Duration) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return longest
		case <-tick.C:
			var seconds float64
			if s.admin.QueryRowContext(ctx, `SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::float8 FROM pg_stat_activity
				WHERE usename = 'finobs_worker' AND backend_xid IS NOT NULL`).Scan(&seconds) == nil {
				longest = max(longest, time.Duration(seconds*float64(time.Second)))
			}
		}
	}
}
