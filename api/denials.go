package api

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"finobs/internal/approval"
	"finobs/internal/store"
	"finobs/internal/telemetry"

	"github.com/google/uuid"
)

const (
	foldInterval  = time.Minute
	maxDenialKeys = 4096
	appendTimeout = 2 * time.Second
)

// securityLog appends refusals to the ledger.
type securityLog interface {
	AppendSecurityEvent(ctx context.Context, e store.SecurityEvent) error
}

// denial is one refused request.
type denial struct {
	Action    string // authenticate, authorize, sign_in; signed_in and signed_out are none, and recorded the same way
	Reason    string
	Route     string
	Actor     approval.Principal // zero when nobody was authenticated
	RequestID string
	TraceID   string
}

// denials records refusals. The first of its kind is an entry at once; those
// that follow within foldInterval are counted and become one more entry, so that
// a flood of requests is not a flood of rows.
type denials struct {
	log securityLog

	mu     sync.Mutex
	folded map[denialKey]*fold
}

type denialKey struct{ action, reason, route, actor string }

type fold struct {
	last  denial
	count int
	since time.Time
}

func newDenials(log securityLog) *denials {
	return &denials{log: log, folded: map[denialKey]*fold{}}
}

// record takes one refusal. It never fails a request: what cannot be written now
// is counted and written later.
func (d *denials) record(ctx context.Context, x denial) {
	telemetry.Denials.Add(ctx, 1, telemetry.Denied.Of(x.Action))
	now := time.Now()
	key := denialKey{x.Action, x.Reason, x.Route, x.Actor.Key()}
	d.mu.Lock()
	if _, known := d.folded[key]; !known && len(d.folded) >= maxDenialKeys {
		key, x = denialKey{action: x.Action}, denial{Action: x.Action, Reason: "many kinds of refusals at once", Route: "*"}
	}
	f, known := d.folded[key]
	if known {
		f.count++
		f.last = x
		d.mu.Unlock()
		return
	}
	f = &fold{last: x, since: now}
	d.folded[key] = f
	d.mu.Unlock()
	if err := d.append(ctx, x, 1, now); err != nil {
		slog.ErrorContext(ctx, "refusal not recorded yet", "error", err)
		d.mu.Lock()
		f.count++
		d.mu.Unlock()
	}
}

// run writes folded refusals until ctx ends, and once more then.
func (d *denials) run(ctx context.Context) {
	tick := time.NewTicker(foldInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			d.flush(ctx)
		case <-ctx.Done():
			d.flush(context.WithoutCancel(ctx))
			return
		}
	}
}

func (d *denials) flush(ctx context.Context) {
	d.mu.Lock()
	due := d.folded
	d.folded = map[denialKey]*fold{}
	d.mu.Unlock()
	for key, f := range due {
		if f.count == 0 {
			continue
		}
		if err := d.append(ctx, f.last, f.count, f.since); err != nil {
			slog.ErrorContext(ctx, "refusals not recorded yet", "count", f.count, "error", err)
			d.restore(key, f)
		}
	}
}

func (d *denials) restore(key denialKey, f *fold) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if newer, there := d.folded[key]; there {
		newer.count += f.count
		newer.since = f.since
		return
	}
	d.folded[key] = f
}

func (d *denials) append(ctx context.Context, x denial, count int, since time.Time) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), appendTimeout)
	defer cancel()
	id := uuid.Must(uuid.NewV7()).String()
	return d.log.AppendSecurityEvent(ctx, store.SecurityEvent{
		EntryID: id, Idem: id, Action: x.Action, Reason: x.Reason, Actor: x.Actor, Route: x.Route,
		RequestID: x.RequestID, TraceID: x.TraceID, Count: count, FirstAt: since,
	})
}
