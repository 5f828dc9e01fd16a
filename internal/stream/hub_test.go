package stream_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"finobs/internal/stream"

	"pgregory.net/rapid"
)

// log is a Source in memory. Every third entry is in no stream, so that windows and
// pages have holes.
type log struct {
	mu      sync.Mutex
	size    int64
	fails   int // so many calls fail from now on
	reading int
	most    int // calls at once, at most
	pause   time.Duration
}

var errDown = errors.New("down")

func entryAt(i int64) stream.Entry {
	e := stream.Entry{Index: i, Type: "approval.decided", SubjectKind: "approval", SubjectID: strconv.FormatInt(i, 10), Desk: "EQ", ActorType: "human", ActorSub: "alice"}
	if i%3 == 2 {
		e.Type, e.SubjectKind = "events.received", "segment"
	}
	return e
}

func streamed(i int64) bool { return i%3 != 2 }

func (l *log) grow(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.size += int64(n)
}

func (l *log) LastIndex(context.Context) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.size - 1, l.fail()
}

func (l *log) fail() error {
	if l.fails > 0 {
		l.fails--
		return errDown
	}
	return nil
}

func (l *log) EntriesAfter(_ context.Context, index int64, limit int) ([]stream.Entry, error) {
	l.mu.Lock()
	l.reading++
	l.most = max(l.most, l.reading)
	l.mu.Unlock()
	time.Sleep(l.pause)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reading--
	var out []stream.Entry
	for i := index + 1; i < l.size && len(out) < limit; i++ {
		out = append(out, entryAt(i))
	}
	return out, l.fail()
}

// reader is one subscription and what it has seen.
type reader struct {
	*stream.Subscription
	from int64
	seen []int64
	slow bool
}

// read takes what is there without waiting.
func (r *reader) read(t interface{ Fatalf(string, ...any) }, batches int) {
	ended, cancel := context.WithCancel(context.Background())
	cancel() // Next does not wait then
	for range batches {
		events, err := r.Next(ended, nil)
		switch {
		case errors.Is(err, stream.ErrSlow):
			r.slow = true
			return
		case errors.Is(err, context.Canceled) || errors.Is(err, errDown):
			continue // a turn to read is taken or not, by chance, once the context has ended
		case err != nil:
			t.Fatalf("%v", err)
		}
		for _, e := range events {
			r.seen = append(r.seen, e.Index)
		}
	}
}

// complete reports what is wrong with what a reader saw: it must be every streamed
// entry behind where it began, up to its cursor, in order, each once.
func (r *reader) complete() error {
	at := 0
	for i := r.from + 1; i <= r.Cursor(); i++ {
		if !streamed(i) {
			continue
		}
		if at >= len(r.seen) || r.seen[at] != i {
			return fmt.Errorf("from %d: entry %d is not the %dth that was seen: %v", r.from, i, at, r.seen)
		}
		at++
	}
	if at != len(r.seen) {
		return fmt.Errorf("from %d: %d entries were seen beyond the cursor %d", r.from, len(r.seen)-at, r.Cursor())
	}
	return nil
}

// Whatever the order of growth, pulls, failures, subscriptions and reads: each
// reader sees each event once and in order, or is told that it is too slow.
func TestEachEventOnceAndInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		source := &log{size: int64(rapid.IntRange(0, 1500).Draw(t, "before"))}
		window := rapid.IntRange(1, 200).Draw(t, "window")
		hub := stream.NewHub(source, window)
		var readers []*reader
		t.Repeat(map[string]func(*rapid.T){
			"grow": func(t *rapid.T) { source.grow(rapid.IntRange(1, 900).Draw(t, "entries")) },
			"pull": func(t *rapid.T) {
				if err := hub.Pull(context.Background()); err != nil && !errors.Is(err, errDown) {
					t.Fatalf("%v", err)
				}
			},
			"skip":  func(*rapid.T) { hub.Skip(source.size - 1) },
			"break": func(t *rapid.T) { source.fails = rapid.IntRange(0, 3).Draw(t, "failures") },
			"subscribe": func(t *rapid.T) {
				after := rapid.Int64Range(-1, source.size-1).Draw(t, "after")
				readers = append(readers, &reader{Subscription: hub.Subscribe(after), from: after})
			},
			"read": func(t *rapid.T) {
				if len(readers) > 0 {
					readers[rapid.IntRange(0, len(readers)-1).Draw(t, "reader")].read(t, rapid.IntRange(1, 40).Draw(t, "batches"))
				}
			},
			"": func(t *rapid.T) {
				for _, r := range readers {
					if err := r.complete(); err != nil {
						t.Fatalf("%v", err)
					}
				}
			},
		})
		source.fails = 0
		if err := hub.Pull(context.Background()); err != nil {
			t.Fatalf("%v", err)
		}
		for _, r := range readers {
			r.read(t, 2000)
			if err := r.complete(); err != nil {
				t.Fatalf("%v", err)
			}
			if !r.slow && r.Cursor() != source.size-1 {
				t.Fatalf("a reader is at %d of %d and was not closed", r.Cursor(), source.size-1)
			}
		}
	})
}

// Readers, the puller and the log run at once; run with -race.
func TestManyAtOnce(t *testing.T) {
	const size = 20_000 // its last entry is in a stream
	source := &log{}
	hub := stream.NewHub(source, size) // nobody is slow
	if err := hub.Pull(t.Context()); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for grown := 0; grown < size; {
			n := min(1+rand.IntN(300), size-grown)
			source.grow(n)
			grown += n
			if err := hub.Pull(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range 50 {
		all.Go(func() {
			time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
			r := &reader{Subscription: hub.Subscribe(-1), from: -1}
			if i%2 == 0 {
				head, err := hub.Head()
				if err != nil {
					t.Error(err)
				}
				r.from = head
				r.Subscription = hub.Subscribe(head)
			}
			for r.Cursor() < size-1 {
				events, err := r.Next(t.Context(), nil)
				if err != nil {
					t.Error(err)
					return
				}
				for _, e := range events {
					r.seen = append(r.seen, e.Index)
				}
			}
			if err := r.complete(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestASlowReaderIsToldAndOthersAreNot(t *testing.T) {
	source := &log{size: 10}
	hub := stream.NewHub(source, 50)
	if err := hub.Pull(t.Context()); err != nil {
		t.Fatal(err)
	}
	slow, quick := hub.Subscribe(5), hub.Subscribe(5)
	behind := &reader{Subscription: slow, from: 5}
	behind.read(t, 10)
	ahead := &reader{Subscription: quick, from: 5}
	for range 100 {
		source.grow(10)
		if err := hub.Pull(t.Context()); err != nil {
			t.Fatal(err)
		}
		ahead.read(t, 10)
	}
	if behind.read(t, 10); !behind.slow {
		t.Errorf("who is at %d of %d with a window of 50 was not closed", slow.Cursor(), source.size)
	}
	if err := ahead.complete(); err != nil || ahead.slow || quick.Cursor() != source.size-1 {
		t.Errorf("who keeps up is at %d: %v", quick.Cursor(), err)
	}
	again := &reader{Subscription: hub.Subscribe(slow.Cursor()), from: slow.Cursor()}
	if again.read(t, 1000); again.slow || again.complete() != nil || again.Cursor() != source.size-1 {
		t.Errorf("who comes back at %d is at %d: %v", slow.Cursor(), again.Cursor(), again.complete())
	}
}

func TestCatchingUpLeavesTheSourceToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &log{size: 5000, pause: time.Millisecond}
		hub := stream.NewHub(source, 10)
		if err := hub.Pull(t.Context()); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				r := &reader{Subscription: hub.Subscribe(-1), from: -1}
				for r.Cursor() < 4990 {
					events, err := r.Next(t.Context(), nil)
					if err != nil {
						t.Error(err)
						return
					}
					for _, e := range events {
						r.seen = append(r.seen, e.Index)
					}
				}
				if err := r.complete(); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if source.most > 5 {
			t.Errorf("%d readers were at the source at once", source.most)
		}
	})
}

func TestNextWaitsForGrowthOrTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &log{size: 3}
		hub := stream.NewHub(source, 10)
		if _, err := hub.Head(); !errors.Is(err, stream.ErrNotReady) {
			t.Errorf("a hub that never looked: %v", err)
		}
		if err := hub.Pull(t.Context()); err != nil {
			t.Fatal(err)
		}
		s := hub.Subscribe(2)
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Next(short, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nothing came: %v", err)
		}
		go func() {
			time.Sleep(time.Minute)
			source.grow(1)
			_ = hub.Pull(context.Background())
		}()
		began := time.Now()
		events, err := s.Next(t.Context(), nil)
		if err != nil || len(events) != 1 || events[0].Index != 3 || time.Since(began) != time.Minute {
			t.Errorf("got %v, %v after %s", events, err, time.Since(began))
		}
	})
}

// A source that leaves an entry out is not believed.
func TestAGapIsNoEvent(t *testing.T) {
	hub := stream.NewHub(gapped{}, 10)
	if err := hub.Pull(t.Context()); err == nil {
		t.Error("a page with a gap was taken")
	}
	if head, err := hub.Head(); head != 0 || err != nil {
		t.Errorf("the head is %d, %v", head, err)
	}
}

type gapped struct{}

func (gapped) LastIndex(context.Context) (int64, error) { return 0, nil }
func (gapped) EntriesAfter(context.Context, int64, int) ([]stream.Entry, error) {
	return []stream.Entry{entryAt(1), entryAt(3)}, nil
}
