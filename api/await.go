package api

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// awaitInterval is how often rows that somebody waits for are looked for, when
	// nobody tells that they may be there. However many wait, it is one query.
	awaitInterval = 40 * time.Millisecond
	// awaitPause is kept between two looks, however often somebody tells.
	awaitPause = 2 * time.Millisecond
	// awaitTimeout bounds one such query.
	awaitTimeout = 5 * time.Second
)

// awaited lets many callers wait for rows that others are about to write. While
// anybody waits, one goroutine looks for all of them at once: a query for each
// would be thousands a second under load.
type awaited[K comparable, V any] struct {
	look   func(context.Context, []K) (map[K]V, error)
	nudged chan struct{} // the rows may be there

	mu      sync.Mutex
	running bool
	waiting map[K][]chan V
	failed  error // how the last look failed; nil when it did not
}

func newAwaited[K comparable, V any](look func(context.Context, []K) (map[K]V, error)) *awaited[K, V] {
	return &awaited[K, V]{look: look, nudged: make(chan struct{}, 1), waiting: map[K][]chan V{}}
}

// nudge tells that rows may be there which somebody waits for.
func (a *awaited[K, V]) nudge() {
	select {
	case a.nudged <- struct{}{}:
	default: // it has been told, and has not looked yet
	}
}

// wait returns the row of a key as soon as it is there. When ctx ends first, found
// is false, and the error is the one that kept the database from being asked.
func (a *awaited[K, V]) wait(ctx context.Context, key K) (row V, found bool, err error) {
	told := make(chan V, 1)
	a.mu.Lock()
	a.waiting[key] = append(a.waiting[key], told)
	if !a.running {
		a.running = true
		go a.run()
	}
	a.mu.Unlock()
	select {
	case row = <-told:
		return row, true, nil
	case <-ctx.Done():
		return row, false, a.leave(key, told)
	}
}

func (a *awaited[K, V]) leave(key K, told chan V) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	rest := a.waiting[key][:0]
	for _, c := range a.waiting[key] {
		if c != told {
			rest = append(rest, c)
		}
	}
	if a.waiting[key] = rest; len(rest) == 0 {
		delete(a.waiting, key)
	}
	return a.failed
}

// run looks until nobody waits any longer. A database that is slow is asked less
// often: at least half of the time it has rest.
func (a *awaited[K, V]) run() {
	for {
		select {
		case <-a.nudged:
		case <-time.After(awaitInterval):
		}
		keys := a.keys()
		if len(keys) == 0 {
			return
		}
		began := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), awaitTimeout)
		rows, err := a.look(ctx, keys)
		cancel()
		if !a.tell(rows, err) {
			return
		}
		time.Sleep(max(awaitPause, time.Since(began)))
	}
}

// keys are those that somebody waits for. When there are none, run ends.
func (a *awaited[K, V]) keys() []K {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.running = len(a.waiting) > 0
	return slices.Collect(maps.Keys(a.waiting))
}

// tell hands out what was found, and reports whether somebody waits on. When
// nobody does, run ends.
func (a *awaited[K, V]) tell(rows map[K]V, err error) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failed = err
	for key, row := range rows {
		for _, c := range a.waiting[key] {
			c <- row // it has room for one, and gets one
		}
		delete(a.waiting, key)
	}
	a.running = len(a.waiting) > 0
	return a.running
}
