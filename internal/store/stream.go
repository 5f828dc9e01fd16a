package store

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"finobs/internal/approval"
	events "finobs/internal/stream"

	"github.com/lib/pq"
)

// logChannel is where the sequencer tells that the log has grown. What it says
// there is not relied on: it only makes who listens look sooner.
const logChannel = "finobs_log"

// decisionChannel is where workers tell that a request or a decision was recorded.
const decisionChannel = "finobs_decision"

const (
	relistenMin = time.Second
	relistenMax = 30 * time.Second
)

// streamRow is a row of api.stream_entry.
type streamRow struct {
	Index       int64     `db:"leaf_index"`
	Type        string    `db:"type"`
	RecordedAt  time.Time `db:"recorded_at"`
	SubjectKind string    `db:"subject_kind"`
	SubjectID   string    `db:"subject_id"`
	Desk        string    `db:"desk"`
	ActorType   string    `db:"actor_type"`
	ActorSub    string    `db:"actor_sub"`
	Simulation  bool      `db:"is_simulation"`
}

// LastIndex is the index of the last entry of the log; -1 when it has none.
func (r *Reader) LastIndex(ctx context.Context) (int64, error) {
	tree, err := r.Tree(ctx)
	return tree.Size - 1, err
}

// EntriesAfter lists at most limit entries of the log behind an index, in order.
// Places whose entries are gone are listed without a type.
func (r *Reader) EntriesAfter(ctx context.Context, index int64, limit int) ([]events.Entry, error) {
	//nolint:sqlclosecheck // it is prepared once, for as long as the pool lives
	stmt, err := r.db.statement(ctx, `SELECT leaf_index, type, recorded_at, subject_kind, subject_id, desk, actor_type, actor_sub, is_simulation
		FROM api.stream_entry WHERE leaf_index > $1 ORDER BY leaf_index LIMIT $2`)
	if err != nil {
		return nil, fmt.Errorf("reading entries to stream: %w", err)
	}
	rows := []streamRow{}
	if err := stmt.SelectContext(ctx, &rows, index, limit); err != nil {
		return nil, fmt.Errorf("reading entries to stream: %w", classify(err))
	}
	out := make([]events.Entry, len(rows))
	for i, row := range rows {
		out[i] = events.Entry(row)
	}
	return out, nil
}

// LogNudges sends something whenever the log may have grown, until ctx ends. A
// nudge may be lost: who waits for one looks by himself now and then.
func (r *Reader) LogNudges(ctx context.Context) <-chan struct{} {
	return r.nudges(ctx, logChannel, "not told when the log grows; looking every now and then")
}

// DecisionNudges sends something whenever a request or a decision may have been
// recorded, until ctx ends. A nudge may be lost.
func (r *Reader) DecisionNudges(ctx context.Context) <-chan struct{} {
	return r.nudges(ctx, decisionChannel, "not told when decisions are recorded; looking every now and then")
}

func (r *Reader) nudges(ctx context.Context, channel, broken string) <-chan struct{} {
	nudges := make(chan struct{}, 1)
	nudge := func() {
		select {
		case nudges <- struct{}{}:
		default: // one is waiting
		}
	}
	listener := pq.NewListener(r.url, relistenMin, relistenMax, func(_ pq.ListenerEventType, err error) {
		if err != nil {
			slog.WarnContext(ctx, broken, "error", err)
		}
		nudge()
	})
	go func() { _ = listener.Listen(channel) }() // waits for the first connection; Close ends that
	go func() {
		defer listener.Close()
		for {
			select {
			case <-ctx.Done():
				return
			case <-listener.Notify:
				nudge()
			}
		}
	}()
	return nudges
}

// nudgeDecisions tells who waits for a request or a decision, once it is there.
// Within the transaction the notification would make all commits of the database
// wait for each other; after it, it may be lost, and costs somebody a moment.
func (t *Tx) nudgeDecisions() {
	t.onCommit(func(ctx context.Context) {
		if _, err := t.db.ExecContext(ctx, "NOTIFY "+decisionChannel); err != nil {
			slog.DebugContext(ctx, "nobody was told of a record", "error", err)
		}
	})
}

// Members reads those of the people who are on the roster, by approval.Person.Key.
func (r *Reader) Members(ctx context.Context, keys []string) (map[string]approval.Member, error) {
	rows := []personRow{}
	err := r.db.SelectContext(ctx, &rows, `SELECT `+personColumns+` FROM api.person WHERE person_key = ANY($1)`, pq.Array(keys))
	if err != nil {
		return nil, fmt.Errorf("reading roster: %w", classify(err))
	}
	members, err := collect(rows, personRow.domain)
	if err != nil {
		return nil, err
	}
	out := make(map[string]approval.Member, len(members))
	for _, m := range members {
		out[m.Key()] = m
	}
	return out, nil
}
