package siem

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Defaults of a Feeder.
const (
	DefaultThreshold = 10_000 // leaves
	DefaultBatch     = 500    // leaves
)

// Timing are the times that a Feeder keeps. A zero field has its default.
type Timing struct {
	Idle       time.Duration // between two looks for new leaves: 200 ms
	Query      time.Duration // limit of one call of Source or Cursors: 30 s
	Dial       time.Duration // limit of connecting, and of the TLS handshake: 10 s each
	Write      time.Duration // limit of writing 64 KiB, and of a receiver's taking them: 30 s
	Stay       time.Duration // how long a connection must stay up after what was sent left this machine: 5 s
	BackoffMin time.Duration // after the first failure: 500 ms
	BackoffMax time.Duration // after many: 30 s
	LagAfter   time.Duration // how long a sink may fail unreported: 30 s
	LagCheck   time.Duration // between two looks for lag: 1 s
}

func (t Timing) withDefaults() Timing {
	for _, field := range []struct {
		value    *time.Duration
		fallback time.Duration
	}{
		{&t.Idle, 200 * time.Millisecond},
		{&t.Query, 30 * time.Second},
		{&t.Dial, 10 * time.Second},
		{&t.Write, 30 * time.Second},
		{&t.Stay, 5 * time.Second},
		{&t.BackoffMin, 500 * time.Millisecond},
		{&t.BackoffMax, 30 * time.Second},
		{&t.LagAfter, 30 * time.Second},
		{&t.LagCheck, time.Second},
	} {
		if *field.value <= 0 {
			*field.value = field.fallback
		}
	}
	return t
}

// Feeder sends leaves to sinks. One feeder at a time may serve a set of cursors.
type Feeder struct {
	Source  Source
	Cursors Cursors
	Sinks   *Sinks

	// Notify is told once when a sink is behind or failing, and once with
	// recovered when it no longer is. It may take its time: sinks do not wait for
	// it. It may be nil.
	Notify func(lag Lag, recovered bool)
	// Now is the clock, time.Now outside tests. It also makes deadlines, so it must
	// not stand still.
	Now func() time.Time

	// Threshold is how many leaves a sink may be behind unreported;
	// DefaultThreshold when 0. A syslog sink is always behind by what is written in
	// Timing.Stay.
	Threshold int64
	Batch     int // most leaves that are read at once; DefaultBatch when 0
	Timing    Timing

	tree  atomic.Int64 // the largest tree size that was seen
	mu    sync.Mutex
	lanes []*lane
}

// Run feeds every sink until ctx ends, whatever fails on the way. It may be called
// once.
func (f *Feeder) Run(ctx context.Context) error {
	if f.Source == nil || f.Cursors == nil || f.Now == nil {
		return errors.New("feeding sinks: Source, Cursors and Now must be set")
	}
	var wg sync.WaitGroup
	lanes := f.open()
	for _, l := range lanes {
		l.ctx = ctx
		wg.Go(func() { l.sink.run(l) })
	}
	if len(lanes) > 0 {
		wg.Go(func() { f.monitor(ctx, lanes) })
	}
	wg.Wait()
	return nil
}

// open makes the lanes when there are none yet.
func (f *Feeder) open() []*lane {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lanes == nil && f.Sinks != nil {
		for _, s := range f.Sinks.list {
			l := &lane{feeder: f, sink: s, timing: f.Timing.withDefaults()}
			l.status.Name, l.status.Lossy = s.name(), s.lossy()
			f.lanes = append(f.lanes, l)
		}
	}
	return f.lanes
}

// Status says how every sink is doing, in the order of the sink file. Before Run
// it knows names alone.
func (f *Feeder) Status() []SinkStatus {
	lanes := f.open()
	out := make([]SinkStatus, 0, len(lanes))
	for _, l := range lanes {
		l.mu.Lock()
		out = append(out, l.current())
		l.mu.Unlock()
	}
	return out
}

// current is the status with what follows from the log's size; with l.mu held.
func (l *lane) current() SinkStatus {
	s := l.status
	if l.known {
		s.Behind = max(0, l.feeder.tree.Load()-s.Acked)
		s.Sent = max(s.Sent, s.Acked)
	}
	return s
}

func (f *Feeder) batch() int {
	if f.Batch <= 0 {
		return DefaultBatch
	}
	return f.Batch
}

func (f *Feeder) threshold() int64 {
	if f.Threshold <= 0 {
		return DefaultThreshold
	}
	return f.Threshold
}

// saw keeps the size of the log.
func (f *Feeder) saw(size int64) {
	for {
		old := f.tree.Load()
		if size <= old || f.tree.CompareAndSwap(old, size) {
			return
		}
	}
}

// monitor reports lag. It asks for the log's size itself, because a sink that
// fails does not.
func (f *Feeder) monitor(ctx context.Context, lanes []*lane) {
	timing := f.Timing.withDefaults()
	ticker := time.NewTicker(timing.LagCheck)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		query, cancel := context.WithTimeout(ctx, timing.Query)
		// An error is not reported here: the sinks meet it too.
		if events, err := f.Source.Leaves(query, f.tree.Load(), 1); err == nil && len(events) > 0 {
			f.saw(events[0].TreeSize)
		}
		cancel()
		for _, l := range lanes {
			if ctx.Err() == nil {
				l.report()
			}
		}
	}
}

// report tells Notify when the sink has begun to lag, and when it has recovered.
// Half the threshold ends a lag, so that a sink at its edge is not reported again
// and again.
func (l *lane) report() {
	l.mu.Lock()
	now, status, failing := l.feeder.Now(), l.current(), l.failing
	l.mu.Unlock()
	threshold := l.feeder.threshold()
	lag := Lag{Sink: status.Name, Behind: status.Behind, Since: now, Err: status.LastError}
	switch {
	case l.lag == nil:
		late := !failing.IsZero() && now.Sub(failing) > l.timing.LagAfter
		if !late && status.Behind <= threshold {
			return
		}
		if late {
			lag.Since = failing
		}
		l.lag = &lag
		l.tell(lag, false)
	case failing.IsZero() && status.Behind <= threshold/2:
		lag.Since = l.lag.Since
		l.lag = nil
		l.tell(lag, true)
	}
}

func (l *lane) tell(lag Lag, recovered bool) {
	if l.feeder.Notify != nil {
		l.feeder.Notify(lag, recovered)
	}
}
