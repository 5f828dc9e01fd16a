package stream_test

import (
	"context"
	"testing"
	"time"

	"finobs/internal/stream"
)

// BenchmarkEncode makes the event of an entry, once for all who get it.
func BenchmarkEncode(b *testing.B) {
	e := entryAt(4)
	e.RecordedAt = time.Unix(1_790_000_000, 0)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := stream.NewEvent(e); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFanOut hands an event to 1,000 readers who have caught up.
func BenchmarkFanOut(b *testing.B) {
	source := &log{}
	hub := stream.NewHub(source, 8192)
	if err := hub.Pull(b.Context()); err != nil {
		b.Fatal(err)
	}
	readers := make([]*stream.Subscription, 1000)
	for i := range readers {
		readers[i] = hub.Subscribe(-1)
	}
	b.ReportAllocs()
	for b.Loop() {
		source.grow(3)
		if err := hub.Pull(context.Background()); err != nil {
			b.Fatal(err)
		}
		for _, r := range readers {
			if events, err := r.Next(b.Context(), nil); err != nil || len(events) != 2 {
				b.Fatal(len(events), err)
			}
		}
	}
}
