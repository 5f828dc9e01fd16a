package siem

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"
)

// lane is the way of leaves to one sink: what a sink needs for its work, and what
// is known of it. Only its own goroutine moves it; others look.
type lane struct {
	feeder *Feeder
	sink   sink
	ctx    context.Context // of the one run that it lives for
	timing Timing

	mu      sync.Mutex
	known   bool // acked was read
	status  SinkStatus
	failing time.Time // since when; zero when it is not
	backoff time.Duration

	lag *Lag // of the monitor alone: what was reported and has not recovered
}

func (l *lane) look(f func(s *SinkStatus)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(&l.status)
}

// fail keeps what went wrong, until ok.
func (l *lane) fail(err error) {
	if l.ctx.Err() != nil {
		return // it was told to stop
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failing.IsZero() {
		l.failing = l.feeder.Now()
	}
	l.status.LastError = oneLine(err)
}

func (l *lane) ok() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failing, l.backoff = time.Time{}, 0
	l.status.LastError, l.status.LastSuccess = "", l.feeder.Now()
}

func (l *lane) connected(yes bool) { l.look(func(s *SinkStatus) { s.Connected = yes }) }

// retreat waits longer after each failure in a row.
func (l *lane) retreat() {
	l.mu.Lock()
	l.backoff = min(max(2*l.backoff, l.timing.BackoffMin), l.timing.BackoffMax)
	d := l.backoff
	l.mu.Unlock()
	l.pause(d, nil)
}

// pause waits for d, less when the run ends or wake does.
func (l *lane) pause(d time.Duration, wake <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-l.ctx.Done():
	case <-wake:
	case <-timer.C:
	}
}

// cursor reads how far the sink has come.
func (l *lane) cursor() (int64, error) {
	ctx, cancel := context.WithTimeout(l.ctx, l.timing.Query)
	defer cancel()
	acked, err := l.feeder.Cursors.Cursor(ctx, l.sink.name())
	if err != nil {
		return 0, fmt.Errorf("reading cursor: %w", err)
	}
	if acked < 0 {
		return 0, fmt.Errorf("the cursor is %d", acked)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known, l.status.Acked = true, acked
	return acked, nil
}

// advance moves the cursor.
func (l *lane) advance(acked int64) error {
	ctx, cancel := context.WithTimeout(l.ctx, l.timing.Query)
	defer cancel()
	if err := l.feeder.Cursors.Advance(ctx, l.sink.name(), acked); err != nil {
		return fmt.Errorf("moving cursor: %w", err)
	}
	l.look(func(s *SinkStatus) { s.Acked = acked })
	return nil
}

// read returns the next leaves, checked. With an error it returns the leaves in
// front of the one that is wrong.
func (l *lane) read(from int64, limit int) ([]Event, error) {
	ctx, cancel := context.WithTimeout(l.ctx, l.timing.Query)
	defer cancel()
	events, err := l.feeder.Source.Leaves(ctx, from, limit)
	if err != nil {
		return nil, fmt.Errorf("reading leaves: %w", err)
	}
	if len(events) > limit {
		return nil, fmt.Errorf("asked for %d leaves and got %d", limit, len(events))
	}
	for i, e := range events {
		if err := e.check(from + int64(i)); err != nil {
			return events[:i], err
		}
		l.feeder.saw(e.TreeSize)
	}
	return events, nil
}

// check refuses an event that is not the leaf at an index. A leaf with another
// digest was changed after it was recorded, and must not be passed on as if
// nothing were wrong.
func (e *Event) check(index int64) error {
	switch {
	case e.Index != index:
		return fmt.Errorf("the log has a gap: leaf %d follows where %d should be", e.Index, index)
	case e.TreeSize <= e.Index:
		return fmt.Errorf("leaf %d is in a log of %d leaves", e.Index, e.TreeSize)
	case sha256.Sum256(e.Leaf) != e.SHA256:
		return fmt.Errorf("leaf %d does not have its digest: it was changed", e.Index)
	}
	return nil
}

// batches serves a sink that says of each batch whether it was taken. send returns
// how many leaves of the batch were.
func (l *lane) batches(limit int, send func([]Event) (int, error)) {
	for l.ctx.Err() == nil {
		acked, err := l.cursor()
		for err == nil && l.ctx.Err() == nil {
			acked, err = l.batch(acked, limit, send)
		}
		l.fail(err)
		l.retreat()
	}
}

func (l *lane) batch(acked int64, limit int, send func([]Event) (int, error)) (int64, error) {
	events, readErr := l.read(acked, limit)
	n, sendErr := 0, error(nil)
	if len(events) > 0 {
		n, sendErr = send(events)
	}
	if n > 0 {
		if err := l.advance(acked + int64(n)); err != nil {
			return acked, err
		}
		acked += int64(n)
		l.look(func(s *SinkStatus) { s.Sent = max(s.Sent, acked) })
	}
	if err := errors.Join(sendErr, readErr); err != nil {
		return acked, err
	}
	l.ok()
	if len(events) == 0 {
		l.pause(l.timing.Idle, nil)
	}
	return acked, nil
}
