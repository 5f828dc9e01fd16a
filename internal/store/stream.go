package store

import (
	"context"
	"fmt"
	"time"

	"finobs/internal/approval"
	events "finobs/internal/stream"

	"github.com/lib/pq"
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
