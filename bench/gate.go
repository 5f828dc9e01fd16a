package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"
)

const (
	// gateRound is how long flows are driven in one round.
	gateRound = 9 * time.Second
	// gateTurns is how many turns it has.
	gateTurns = 3
)

// measureGate compares whole flows through the HTTP API with minimal ones on the
// same Temporal server, the development server that finobs dev starts.
func measureGate(ctx context.Context, b *bench) error { return b.gateOn(ctx, "gate", nil) }

// measureGateOnPostgres is measureGate on a Temporal server as production has it.
func measureGateOnPostgres(ctx context.Context, b *bench) (err error) {
	server, err := b.newServer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	if err := os.Setenv("TEMPORAL_ADDRESS", server.address); err != nil { // a stack uses this one then
		return err
	}
	defer func() { err = errors.Join(err, os.Unsetenv("TEMPORAL_ADDRESS")) }()
	return b.gateOn(ctx, "gate-postgres", server)
}

func (b *bench) gateOn(ctx context.Context, suite string, server *server) (err error) {
	s, err := b.newStack(ctx, suite)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	s.server = server
	local, err := newMinimal(ctx, s.temporal, s.AdminURL, true)
	if err != nil {
		return err
	}
	defer local.stop()
	normal, err := newMinimal(ctx, s.temporal, s.AdminURL, false)
	if err != nil {
		return err
	}
	defer normal.stop()
	for _, inFlight := range []int{1, 32, 500} {
		// To open and to end many takes longer than to measure them.
		turns, skipped, warm := gateTurns, gateTurns, false
		if inFlight > maxCallers {
			turns, skipped, warm = 1, 0, true
		}
		ours, floor := newDriven(gated{s}, inFlight, turns), newDriven(local, inFlight, turns)
		ours.cpus, floor.cpus = s.cpus, s.cpus
		err := b.measure(ctx, comparison{
			name: fmt.Sprintf("%s/flows in flight %d", suite, inFlight), unit: "flows/s", better: higher, goal: 0.8, turns: turns, warm: warm,
			floor: "minimal flow, local activities, eager start, no HTTP", ours: ours.rate, plain: floor.rate,
		})
		if err != nil {
			return err
		}
		b.report.add(comparison{
			name: fmt.Sprintf("%s/decide to recorded, in flight %d, p50", suite, inFlight), unit: "ms", better: lower, goal: goalOf(inFlight),
			floor: "signal to recorded of the minimal flow",
		}, ours.medians[skipped:], floor.medians[skipped:])
		if inFlight == maxCallers {
			b.noteCPU(suite+"/CPU of a flow", ours)
			b.noteCPU(suite+"/CPU of a minimal flow", floor)
		}
	}
	ours, shape := newDriven(gated{s}, maxCallers, gateTurns), newDriven(normal, maxCallers, gateTurns)
	err = b.measure(ctx, comparison{
		name: suite + "/flows in flight 32, normal activities", unit: "flows/s", better: higher, goal: 3, turns: gateTurns,
		floor: "the same shape with normal activities", ours: ours.rate, plain: shape.rate,
	})
	if err != nil {
		return err
	}
	return s.measureCost(ctx, b, suite)
}

// goalOf is the goal for latency, which is set for a flow that is alone.
func goalOf(inFlight int) float64 {
	if inFlight == 1 {
		return 1.3
	}
	return 0
}

// flow is a gated flow in its two halves.
type flow interface {
	// open asks and returns once the request is recorded.
	open(context.Context) (id string, err error)
	// decide approves and returns once that is recorded.
	decide(ctx context.Context, id string) error
}

// maxCallers is how many calls are made at once, at most.
const maxCallers = 32

// driven keeps n flows open: each caller approves the oldest of its own and asks
// for the next one.
type driven struct {
	flow    flow
	n       int
	lasts   time.Duration // a turn
	medians []float64     // of each turn: ms from the decision until it is recorded

	cpus          func() map[string]time.Duration // nil: not watched
	before, after map[string]time.Duration        // CPU times around the last turn
	flows         int                             // of the last turn
}

func newDriven(f flow, n, turns int) *driven {
	return &driven{flow: f, n: n, lasts: gateRound / time.Duration(turns)}
}

// rate drives flows for a turn and returns how many ended in a second. Opening the
// first ones and ending the last ones does not count.
func (d *driven) rate(ctx context.Context) (float64, error) {
	callers := min(d.n, maxCallers)
	open := make([][]string, callers)
	errs := make([]error, callers)
	each := func(one func(i int) error) error {
		var all sync.WaitGroup
		for i := range callers {
			all.Go(func() { errs[i] = one(i) })
		}
		all.Wait()
		return first(errs)
	}
	err := each(func(i int) error {
		for len(open[i]) < (d.n+callers-1-i)/callers {
			id, err := d.flow.open(ctx)
			if err != nil {
				return err
			}
			open[i] = append(open[i], id)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	took := make([][]time.Duration, callers)
	if d.cpus != nil {
		d.before = d.cpus()
	}
	began := time.Now()
	err = each(func(i int) error {
		for time.Since(began) < d.lasts {
			at := time.Now()
			if err := d.flow.decide(ctx, open[i][0]); err != nil {
				return err
			}
			took[i] = append(took[i], time.Since(at))
			id, err := d.flow.open(ctx)
			if err != nil {
				return err
			}
			open[i] = append(open[i][1:], id)
		}
		return nil
	})
	flows := slices.Concat(took...)
	rate := float64(len(flows)) / time.Since(began).Seconds()
	if d.cpus != nil {
		d.after, d.flows = d.cpus(), len(flows)
	}
	d.medians = append(d.medians, milliseconds(percentile(flows, 0.5)))
	if err != nil {
		return 0, err
	}
	return rate, each(func(i int) error {
		for _, id := range open[i] {
			if err := d.flow.decide(ctx, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// first is the first error that there is: all callers mostly fail in the same way.
func first(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// gated is a flow through the HTTP API: alice asks, and bob approves.
type gated struct{ *stack }

func (g gated) open(ctx context.Context) (string, error) {
	id, err := g.asks(ctx)
	return fmt.Sprint(id), err
}

func (g gated) decide(ctx context.Context, id string) error {
	var out struct {
		Recorded bool `json:"recorded"`
	}
	err := g.expect(ctx, "bob", http.MethodPost, "/approval/"+id+"/decision", map[string]string{"decision": "approve", "reason": "seen"}, http.StatusOK, &out)
	if err == nil && !out.Recorded {
		err = fmt.Errorf("approval %s: the decision was not recorded in time", id)
	}
	return err
}

func (s *stack) asks(ctx context.Context) (int64, error) {
	var out struct {
		ID int64 `json:"approval_request_id"`
	}
	body := map[string]any{"kind": "desk.override", "parameters": map[string]string{"n": fmt.Sprint(flows.Add(1))}, "reason": "measured"}
	err := s.expect(ctx, "alice", http.MethodPost, "/approval/", body, http.StatusAccepted, &out)
	return out.ID, err
}
