package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"finobs/internal/store"

	"github.com/google/uuid"
)

// size is how much a stack has stored.
type size struct{ entries, incidents, pending, running int }

// What a desk of either size stores in 35 days, and how many of its requests have a
// workflow that runs: the other pending ones are copies. Ten times as much is the record of a
// year, for which there are minutes; a hundred times as much that of ten.
var (
	smallDesk = size{20_000, 4_000, 1_000, 100}
	largeDesk = size{100_000, 10_000, 1_000, 100}
)

func (s size) times(n int) size {
	return size{s.entries * n, s.incidents * n, s.pending * n, s.running * n}
}

// growthCalls is how often a thing is done in a round; the median counts.
const growthCalls = 31

// flatGoal is how much more a thing may cost with ten or a hundred times the stored
// data: trees grow a level, and caches hold a smaller part.
const flatGoal = 1.5

// measureGrowth does the same on a stack with little and on one with much stored, in
// turns. Both run at once, each in its own processes.
func measureGrowth(ctx context.Context, b *bench) (err error) {
	base, times := smallDesk, 10
	if b.full {
		base, times = largeDesk, 100
	}
	small, err := b.newGrown(ctx, "small", base, 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, small.stop()) }()
	large, err := b.newGrown(ctx, "large", base, times)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, large.stop()) }()
	for _, name := range deeds {
		ours, plain := large.deed(name), small.deed(name)
		goal := flatGoal
		if open[name] {
			goal = 0
		}
		err := b.measure(ctx, comparison{
			name: "growth/" + name, unit: "ms", better: lower, goal: goal, floor: fmt.Sprintf("the same with 1/%d of the stored data", times),
			ours: medianOf(ours), plain: medianOf(plain),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// medianOf times a thing again and again.
func medianOf(do func(context.Context) error) func(context.Context) (float64, error) {
	return func(ctx context.Context) (float64, error) {
		var took []time.Duration
		for range growthCalls {
			began := time.Now()
			if err := do(ctx); err != nil {
				return 0, err
			}
			took = append(took, time.Since(began))
		}
		return milliseconds(percentile(took, 0.5)), nil
	}
}

// open are deeds that count or read all that is open, of which there is more in
// proportion: no goal is set for them.
var open = map[string]bool{"gauges of what waits": true}

// deeds are what is measured, in this order.
var deeds = []string{
	"requests: newest", "requests: pending by deadline", "request", "request: history", "figures of requests",
	"incidents: newest", "incidents: open", "incidents: rare words", "incidents: common words", "incident", "incident: timeline", "figures of incidents",
	"tasks: count", "log: newest", "log: rare type", "log: of one request", "leaf", "proof of a leaf", "checkpoint", "notifications: newest",
	"append to the ledger", "sequencer with nothing to do", "reconciler: a page of open requests", "lives: a page", "outbox: nothing queued", "nudges: none",
	"detector: unknown outcomes", "detector: failed trades", "request, approve, recorded", "gauges of what waits", "lag of the log",
}

// deed does one of the deeds once.
func (g *grown) deed(name string) func(context.Context) error {
	if path, listed := g.paths()[name]; listed {
		return func(ctx context.Context) error {
			text, status, err := g.call(ctx, "bob", http.MethodGet, path, nil)
			if err == nil && status != http.StatusOK {
				err = fmt.Errorf("%s answered %d: %s", path, status, text)
			}
			return err
		}
	}
	return map[string]func(context.Context) error{
		"append to the ledger":                g.append,
		"sequencer with nothing to do":        func(ctx context.Context) error { _, _, err := g.sequencer.Sequence(ctx, 1000); return err },
		"lag of the log":                      func(ctx context.Context) error { _, _, err := g.sequencer.Behind(ctx, 100_000); return err },
		"reconciler: a page of open requests": func(ctx context.Context) error { _, err := g.writer.OpenRequests(ctx, 0, 1000); return err },
		"lives: a page":                       func(ctx context.Context) error { _, err := g.writer.Lives(ctx, 0, 1000); return err },
		"outbox: nothing queued":              func(ctx context.Context) error { _, err := g.writer.QueuedNotices(ctx, time.Hour, 200); return err },
		"nudges: none":                        func(ctx context.Context) error { _, err := g.writer.TakeNudged(ctx, 200); return err },
		"gauges of what waits":                func(ctx context.Context) error { _, err := g.reader.Standing(ctx); return err },
		"request, approve, recorded": func(ctx context.Context) error {
			flow := gated{g.stack}
			id, err := flow.open(ctx)
			if err != nil {
				return err
			}
			return flow.decide(ctx, id)
		},
		"detector: unknown outcomes": g.tx(func(ctx context.Context, tx *store.Tx) error {
			_, _, err := tx.UnknownOutcomes(ctx, time.Hour)
			return err
		}),
		"detector: failed trades": g.tx(func(ctx context.Context, tx *store.Tx) error { _, _, err := tx.FailedTrades(ctx); return err }),
	}[name]
}

// paths are the deeds that are one call of the API.
func (g *grown) paths() map[string]string {
	middle := g.size.entries / 2
	return map[string]string{
		"requests: newest":              "/approval/?limit=50",
		"requests: pending by deadline": "/approval/?status=pending&sort=deadline&limit=50",
		"request":                       fmt.Sprintf("/approval/%d", g.request),
		"request: history":              fmt.Sprintf("/approval/%d/history", g.request),
		"figures of requests":           "/approval/metrics",
		"incidents: newest":             "/incidents?limit=50",
		"incidents: open":               "/incidents?status=open&limit=50",
		"incidents: rare words":         "/incidents?q=needle%20fund&limit=50",
		"incidents: common words":       "/incidents?q=gateway&limit=50",
		"incident":                      fmt.Sprintf("/incidents/%d", g.incident),
		"incident: timeline":            fmt.Sprintf("/incidents/%d/timeline", g.incident),
		"figures of incidents":          "/incidents/metrics",
		"tasks: count":                  "/tasks/count",
		"log: newest":                   "/audit?limit=50",
		"log: rare type":                "/audit?type=key.rotated&limit=50",
		"log: of one request":           fmt.Sprintf("/audit?subject_kind=approval&subject_id=%d", g.request),
		"leaf":                          fmt.Sprintf("/audit/%d/leaf", middle),
		"proof of a leaf":               fmt.Sprintf("/audit/%d/proof", middle),
		"checkpoint":                    "/log/checkpoint",
		"notifications: newest":         "/notifications?limit=50",
	}
}

func (g *grown) tx(do func(context.Context, *store.Tx) error) func(context.Context) error {
	return func(ctx context.Context) error {
		return store.InTx[*store.Tx](g.writer)(ctx, func(tx *store.Tx) error { return do(ctx, tx) })
	}
}

// append adds an entry, as insertFor does.
func (g *grown) append(ctx context.Context) error {
	id := uuid.Must(uuid.NewV7())
	_, err := g.insert.ExecContext(ctx, id.String(), id[:], append(make([]byte, 700), id[:]...))
	return err
}
