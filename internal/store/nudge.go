package store

import (
	"context"
	"log/slog"
	"time"

	"github.com/lib/pq"
)

// Channels of LISTEN. What is said there is not relied on: it only makes who listens
// look sooner.
const (
	// logChannel is where the sequencer tells that the log has grown.
	logChannel = "finobs_log"
	// entryChannel is where workers tell that they have appended to the ledger.
	entryChannel = "finobs_entry"
)

const (
	relistenMin = time.Second
	relistenMax = 30 * time.Second
	// tellPause is kept between two notifications of a worker: under load, one is for
	// the entries of many transactions.
	tellPause = 2 * time.Millisecond
)

// LogNudges sends something whenever the log may have grown, until ctx ends. A
// nudge may be lost: who waits for one looks by himself now and then.
func (r *Reader) LogNudges(ctx context.Context) <-chan struct{} {
	return nudges(ctx, r.url, logChannel, "not told when the log grows; looking every now and then")
}

// EntryNudges sends something whenever a worker may have recorded something, until
// ctx ends. A nudge may be lost.
func (r *Reader) EntryNudges(ctx context.Context) <-chan struct{} {
	return nudges(ctx, r.url, entryChannel, "not told when something is recorded; looking every now and then")
}

// EntryNudges sends something whenever there may be entries without a place in the
// log, until ctx ends. A nudge may be lost, and the API's entries give none.
func (s *Sequencer) EntryNudges(ctx context.Context) <-chan struct{} {
	return nudges(ctx, s.url, entryChannel, "not told when there are new entries; looking every now and then")
}

func nudges(ctx context.Context, url, channel, broken string) <-chan struct{} {
	nudges := make(chan struct{}, 1)
	listener := pq.NewListener(url, relistenMin, relistenMax, func(_ pq.ListenerEventType, err error) {
		if err != nil {
			slog.WarnContext(ctx, broken, "error", err)
		}
		nudge(nudges)
	})
	go func() { _ = listener.Listen(channel) }() // waits for the first connection; Close ends that
	go func() {
		defer listener.Close()
		for {
			select {
			case <-ctx.Done():
				return
			case <-listener.Notify:
				nudge(nudges)
			}
		}
	}()
	return nudges
}

// nudge sends to a channel that has room for one, unless one is waiting there.
func nudge(nudges chan<- struct{}) {
	select {
	case nudges <- struct{}{}:
	default:
	}
}

// tell notifies who listens of entries that were committed, until ctx ends. Within
// their transactions a notification would make all commits of the database wait for
// each other; after them it may be lost, and costs somebody a moment.
func (d *db) tell(ctx context.Context, appended <-chan struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-appended:
		}
		if _, err := d.ExecContext(ctx, "NOTIFY "+entryChannel); err != nil {
			slog.DebugContext(ctx, "nobody was told of new entries", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(tellPause):
		}
	}
}
