package api

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// rows stand for a table that is written to meanwhile.
type rows struct {
	mu    sync.Mutex
	there map[int]string
	err   error
	looks atomic.Int64
}

func (r *rows) look(_ context.Context, keys []int) (map[int]string, error) {
	r.looks.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	found := map[int]string{}
	for _, k := range keys {
		if v, ok := r.there[k]; ok {
			found[k] = v
		}
	}
	return found, r.err
}

func (r *rows) write(key int, value string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.there[key] = value
}

func TestManyWaitWithFewLooks(t *testing.T) {
	const callers = 500
	r := &rows{there: map[int]string{}}
	a := newAwaited(r.look)
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			v, found, err := a.wait(t.Context(), i%250) // two wait for each
			if !found || err != nil || v != "x" {
				t.Errorf("%d: %q, %v, %v", i, v, found, err)
			}
		})
	}
	for i := range 250 {
		r.write(i, "x")
		a.nudge()
	}
	all.Wait()
	if n := r.looks.Load(); n > callers/2 {
		t.Errorf("%d looks for %d callers", n, callers)
	}
	eventuallyQuiet(t, a)
}

// eventuallyQuiet waits until nobody looks any longer.
func eventuallyQuiet(t *testing.T, a *awaited[int, string]) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		a.mu.Lock()
		running, left := a.running, len(a.waiting)
		a.mu.Unlock()
		if !running && left == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("running %v, %d keys left", running, left)
		}
	}
}

func TestWaitingEndsWithItsContext(t *testing.T) {
	broken := errors.New("no database")
	r := &rows{there: map[int]string{}, err: broken}
	a := newAwaited(r.look)
	stays := make(chan string, 1)
	go func() {
		v, _, _ := a.wait(t.Context(), 1)
		stays <- v
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, found, err := a.wait(ctx, 1); found || !errors.Is(err, broken) {
		t.Errorf("found %v, %v", found, err)
	}
	r.mu.Lock()
	r.err = nil
	r.mu.Unlock()
	r.write(1, "late") // nobody tells: it is looked for all the same
	if v := <-stays; v != "late" {
		t.Errorf("who stayed got %q", v)
	}
	eventuallyQuiet(t, a)
	if v, found, err := a.wait(t.Context(), 1); v != "late" || !found || err != nil {
		t.Errorf("after a rest: %q, %v, %v", v, found, err)
	}
}
