package stream

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync/atomic"
	"time"
)

const (
	// pageSize is how many entries are read from the source at once.
	pageSize = 500
	// batchSize is how many events a subscription takes from the window at once.
	batchSize = 64
	// maxReaders is how many subscriptions read from the source at once; the others
	// wait, so that catching up leaves the database to those who work.
	maxReaders = 4
)

var (
	// ErrSlow is returned to a subscription that has kept up with the log once, and
	// now needs what the window no longer holds.
	ErrSlow = errors.New("the subscription has fallen behind the window")
	// ErrNotReady is returned while the hub does not know yet how long the log is.
	ErrNotReady = errors.New("the hub has not read the log yet")
)

// Source is the log.
type Source interface {
	// LastIndex is the index of the last entry; -1 when there is none.
	LastIndex(ctx context.Context) (int64, error)
	// EntriesAfter lists at most limit entries behind an index: all that there are,
	// in order, without a gap.
	EntriesAfter(ctx context.Context, index int64, limit int) ([]Entry, error)
}

// Hub keeps the newest events for all subscriptions. One goroutine calls Pull and
// Skip; each makes a window of its own, so that subscriptions read without a lock,
// a thousand at once when the log grows.
type Hub struct {
	source Source
	size   int // most events in the window
	turns  chan struct{}
	now    atomic.Pointer[window]
}

// window is what the hub knows at one time. It is never changed.
type window struct {
	started bool
	events  []*Event      // in order: all with from < Index <= head
	from    int64         // the window begins behind this index
	head    int64         // the last index that is known
	grown   chan struct{} // closed when there is a newer window
}

// NewHub returns a hub over a source whose window holds at most size events.
func NewHub(source Source, size int) *Hub {
	h := &Hub{source: source, size: size, turns: make(chan struct{}, maxReaders)}
	h.now.Store(&window{grown: make(chan struct{})})
	return h
}

// Head is the last index that the hub knows; ErrNotReady before the first Pull.
func (h *Hub) Head() (int64, error) {
	w := h.now.Load()
	if !w.started {
		return 0, ErrNotReady
	}
	return w.head, nil
}

// Pull reads what the log has that the window has not. The first call finds out
// where the log ends; the window begins there.
func (h *Hub) Pull(ctx context.Context) error {
	head, err := h.Head()
	if err != nil {
		if head, err = h.source.LastIndex(ctx); err != nil {
			return err
		}
		h.Skip(head)
	}
	for {
		page, err := h.source.EntriesAfter(ctx, head, pageSize)
		if err != nil {
			return err
		}
		events, last, err := eventsOf(page, head)
		if err != nil {
			return err
		}
		if last > head {
			h.publish(events, last)
		}
		if head = last; len(page) < pageSize {
			return nil
		}
	}
}

// Skip moves the head to an index without reading what lies between: the window
// begins there. It is for while nobody is subscribed; who was in the window and is
// not at that index gets ErrSlow.
func (h *Hub) Skip(head int64) {
	if w := h.now.Load(); !w.started || head > w.head {
		h.show(window{from: head, head: head})
	}
}

// publish adds the events up to an index to the window and wakes who waits. The
// events before stay where they are, for those who are reading them.
func (h *Hub) publish(events []*Event, head int64) {
	w := *h.now.Load()
	w.events, w.head = append(w.events, events...), head
	if over := len(w.events) - h.size; over > 0 {
		w.from = w.events[over-1].Index
		w.events = w.events[over:]
	}
	h.show(w)
}

func (h *Hub) show(w window) {
	w.started, w.grown = true, make(chan struct{})
	before := h.now.Swap(&w)
	close(before.grown)
}

// eventsOf makes the events of a page, and returns the index up to which it goes.
func eventsOf(page []Entry, after int64) ([]*Event, int64, error) {
	events := make([]*Event, 0, len(page))
	for _, entry := range page {
		after++
		if entry.Index != after {
			return nil, 0, fmt.Errorf("the log has leaf %d where leaf %d must be", entry.Index, after)
		}
		e, err := NewEvent(entry)
		if err != nil {
			return nil, 0, err
		}
		if e != nil {
			events = append(events, e)
		}
	}
	return events, after, nil
}

// look is what the window says about a cursor.
type look struct {
	events []*Event // behind the cursor, the next batch
	upTo   int64    // the cursor after them
	within bool     // the window holds all that follows the cursor
	grown  <-chan struct{}
}

func (h *Hub) look(cursor int64) look {
	w := h.now.Load()
	l := look{upTo: cursor, within: w.started && cursor >= w.from, grown: w.grown}
	if !l.within || cursor >= w.head {
		return l
	}
	at := sort.Search(len(w.events), func(i int) bool { return w.events[i].Index > cursor })
	l.upTo, l.events = w.head, w.events[at:]
	if len(l.events) > batchSize {
		l.events, l.upTo = l.events[:batchSize], l.events[batchSize-1].Index
	}
	return l
}

// Subscription is one reader's place in the log. It belongs to one goroutine.
type Subscription struct {
	hub    *Hub
	cursor int64
	live   bool // the window held all that it needed once
}

// Subscribe returns a subscription to what follows an index; -1 begins with the
// first entry of the log. It holds nothing that had to be given back.
func (h *Hub) Subscribe(after int64) *Subscription { return &Subscription{hub: h, cursor: after} }

// Cursor is the index up to which Next has returned all events.
func (s *Subscription) Cursor() int64 { return s.cursor }

// Next returns the next events, and waits until there are some, wake sends
// something, or ctx ends; after a wake there are none. What the window does not hold
// is read from the source; only a subscription that was in the window before gets
// ErrSlow instead. After any other error, Next goes on where it was. The events
// are not the caller's to change.
func (s *Subscription) Next(ctx context.Context, wake <-chan time.Time) ([]*Event, error) {
	for {
		l := s.hub.look(s.cursor)
		switch {
		case l.within:
			s.live = true
		case s.live:
			return nil, ErrSlow
		default:
			var err error
			l.events, l.upTo, err = s.hub.page(ctx, s.cursor, wake)
			if errors.Is(err, errWoken) {
				return nil, nil
			}
			if err != nil {
				return nil, err
			}
		}
		moved := l.upTo > s.cursor
		s.cursor = l.upTo
		if len(l.events) > 0 {
			return l.events, nil
		}
		if moved {
			continue
		}
		select {
		case <-l.grown:
		case <-wake:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// errWoken says that the caller was woken before it was his turn.
var errWoken = errors.New("woken")

// page reads from the source, when it is the caller's turn.
func (h *Hub) page(ctx context.Context, cursor int64, wake <-chan time.Time) ([]*Event, int64, error) {
	select {
	case h.turns <- struct{}{}:
		defer func() { <-h.turns }()
	case <-wake:
		return nil, 0, errWoken
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
	page, err := h.source.EntriesAfter(ctx, cursor, pageSize)
	if err != nil {
		return nil, 0, err
	}
	return eventsOf(page, cursor)
}
