package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"go.temporal.io/api/enums/v1"
)

// gateRound is how long flows are driven in one round.
const gateRound = 6 * time.Second

// measureGate compares whole flows through the HTTP API with minimal ones on the
// same Temporal server and the same Postgres.
func measureGate(ctx context.Context, b *bench) (err error) {
	s, err := b.newStack(ctx, "gate", "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
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
		ours, floor := &driven{one: s.gated, n: inFlight}, &driven{one: local.one, n: inFlight}
		err := b.measure(ctx, comparison{
			name: fmt.Sprintf("gate/flows in flight %d", inFlight), unit: "flows/s", better: higher, goal: 0.8,
			floor: "minimal flow, local activities, no HTTP", ours: ours.rate, plain: floor.rate,
		})
		if err != nil {
			return err
		}
		b.report.add(comparison{
			name: fmt.Sprintf("gate/decide to recorded, in flight %d, p50", inFlight), unit: "ms", better: lower, goal: goalOf(inFlight),
			floor: "signal to recorded of the minimal flow",
		}, ours.medians[1:], floor.medians[1:])
	}
	ours, shape := &driven{one: s.gated, n: 32}, &driven{one: normal.one, n: 32}
	err = b.measure(ctx, comparison{
		name: "gate/flows in flight 32, normal activities", unit: "flows/s", better: higher, goal: 3,
		floor: "the same shape with normal activities", ours: ours.rate, plain: shape.rate,
	})
	if err != nil {
		return err
	}
	return s.measureHistory(ctx, b)
}

// goalOf is the goal for latency, which is set for a flow that is alone.
func goalOf(inFlight int) float64 {
	if inFlight == 1 {
		return 1.3
	}
	return 0
}

// driven drives flows, n at a time.
type driven struct {
	one     func(context.Context) (time.Duration, error)
	n       int
	medians []float64 // of each round, in ms
}

// rate drives flows for a round and returns how many ended in a second.
func (d *driven) rate(ctx context.Context) (float64, error) {
	var mu sync.Mutex
	var latencies []time.Duration
	var failed error
	began := time.Now()
	var all sync.WaitGroup
	for range d.n {
		all.Go(func() {
			for time.Since(began) < gateRound {
				took, err := d.one(ctx)
				mu.Lock()
				latencies, failed = append(latencies, took), errors.Join(failed, err)
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	all.Wait()
	d.medians = append(d.medians, milliseconds(percentile(latencies, 0.5)))
	return float64(len(latencies)) / time.Since(began).Seconds(), failed
}

// gated is a whole flow: alice asks, bob approves, and the answer says that it is
// recorded. It returns how long bob waited.
func (s *stack) gated(ctx context.Context) (time.Duration, error) {
	id, err := s.asks(ctx)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	var out struct {
		Recorded bool `json:"recorded"`
	}
	err = s.expect(ctx, "bob", http.MethodPost, fmt.Sprintf("/approval/%d/decision", id), map[string]string{"decision": "approve", "reason": "seen"}, http.StatusOK, &out)
	if err == nil && !out.Recorded {
		err = fmt.Errorf("approval %d: the decision was not recorded in time", id)
	}
	return time.Since(began), err
}

func (s *stack) asks(ctx context.Context) (int64, error) {
	var out struct {
		ID int64 `json:"approval_request_id"`
	}
	body := map[string]any{"kind": "desk.override", "parameters": map[string]string{"n": fmt.Sprint(flows.Add(1))}, "reason": "measured"}
	err := s.expect(ctx, "alice", http.MethodPost, "/approval/", body, http.StatusAccepted, &out)
	return out.ID, err
}

// measureHistory counts what one flow leaves in Temporal and costs the database.
func (s *stack) measureHistory(ctx context.Context, b *bench) error {
	const several = 20
	before, err := s.transactions(ctx)
	if err != nil {
		return err
	}
	var events, size []float64
	for range several {
		id, err := s.asks(ctx)
		if err != nil {
			return err
		}
		var out struct{}
		if err := s.expect(ctx, "bob", http.MethodPost, fmt.Sprintf("/approval/%d/decision", id), map[string]string{"decision": "approve", "reason": "seen"}, http.StatusOK, &out); err != nil {
			return err
		}
		var shown struct {
			WorkflowID string `json:"workflow_id"`
		}
		if err := s.expect(ctx, "alice", http.MethodGet, fmt.Sprintf("/approval/%d", id), nil, http.StatusOK, &shown); err != nil {
			return err
		}
		if err := s.temporal.GetWorkflow(ctx, shown.WorkflowID, "").Get(ctx, nil); err != nil {
			return err
		}
		n, bytes, err := s.history(ctx, shown.WorkflowID)
		if err != nil {
			return err
		}
		events, size = append(events, float64(n)), append(size, float64(bytes))
	}
	after, err := s.transactions(ctx)
	if err != nil {
		return err
	}
	b.note("gate/history of a plain approval", "events", 12, events...)
	b.note("gate/history of a plain approval, size", "bytes", 0, size...)
	b.note("gate/database transactions of a flow, with reads", "transactions", 0, float64(after-before)/several)
	return nil
}

func (s *stack) history(ctx context.Context, workflowID string) (events, size int, err error) {
	list := s.temporal.GetWorkflowHistory(ctx, workflowID, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for list.HasNext() {
		e, err := list.Next()
		if err != nil {
			return 0, 0, err
		}
		events, size = events+1, size+e.Size()
	}
	return events, size, nil
}

// transactions are those that the database has committed so far.
func (s *stack) transactions(ctx context.Context) (n int64, err error) {
	// Backends report what they did a moment later.
	time.Sleep(2 * time.Second)
	err = s.admin.QueryRowContext(ctx, "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()").Scan(&n)
	return n, err
}
