// Package attempt bounds calls that may not heed their context: a driver that waits
// for a server which was stopped, a disk that is not there any more.
package attempt

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// One makes one kind of call, at most one at a time. The zero value is ready.
type One[T any] struct {
	mu    sync.Mutex
	since time.Time // when the call that has not returned began; zero: there is none
}

// Do calls fn and waits for it no longer than limit, whether fn heeds the end of its
// context or not. As long as an earlier call has not returned, no other is made, so
// that what hangs does not pile up. took is how long the caller waited.
func (o *One[T]) Do(ctx context.Context, limit time.Duration, fn func(context.Context) (T, error)) (got T, took time.Duration, err error) {
	began := time.Now()
	o.mu.Lock()
	if since := o.since; !since.IsZero() {
		o.mu.Unlock()
		return got, 0, fmt.Errorf("no answer for %s", time.Since(since).Round(100*time.Millisecond))
	}
	o.since = began
	o.mu.Unlock()
	type result struct {
		got T
		err error
	}
	done := make(chan result, 1)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	go func() {
		got, err := fn(ctx)
		o.mu.Lock()
		o.since = time.Time{}
		o.mu.Unlock()
		done <- result{got, err}
	}()
	select {
	case r := <-done:
		return r.got, time.Since(began), r.err
	case <-ctx.Done():
	}
	select {
	case r := <-done: // it did heed the context: it knows better what was the matter
		return r.got, time.Since(began), r.err
	case <-time.After(limit / 10):
	}
	return got, time.Since(began), fmt.Errorf("no answer within %s", limit)
}
