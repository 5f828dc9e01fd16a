package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// Leaf is a sequenced entry as it is hashed.
type Leaf struct {
	Index    int64  `db:"leaf_index"`
	Leaf     []byte `db:"leaf"`
	SHA256   []byte `db:"leaf_sha256"`
	TreeSize int64  `db:"tree_size"`
}

// Leaves lists at most limit leaves from an index on, in order.
func (s *Sequencer) Leaves(ctx context.Context, from int64, limit int) ([]Leaf, error) {
	var rows []Leaf
	err := s.db.SelectContext(ctx, &rows, `SELECT leaf_index, leaf, leaf_sha256, (SELECT size FROM ledger.tree) AS tree_size
		FROM ledger.leaf JOIN ledger.entry USING (entry_id) WHERE leaf_index >= $1 ORDER BY leaf_index LIMIT $2`, from, limit)
	if err != nil {
		return nil, fmt.Errorf("reading leaves from %d: %w", from, classify(err))
	}
	return rows, nil
}

// Cursor is the first index that a sink has not acknowledged; 0 for a new sink.
func (s *Sequencer) Cursor(ctx context.Context, sink string) (int64, error) {
	var acked int64
	err := s.db.GetContext(ctx, &acked, `SELECT acked FROM ledger.sink WHERE name = $1`, sink)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading the cursor of sink %s: %w", sink, classify(err))
	}
	return acked, nil
}

// Advance moves the cursor of a sink, never backwards.
func (s *Sequencer) Advance(ctx context.Context, sink string, acked int64) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO ledger.sink AS s (name, acked, updated_at) VALUES ($1, $2, clock_timestamp())
		ON CONFLICT (name) DO UPDATE SET acked = greatest(s.acked, $2), updated_at = clock_timestamp()`, sink, acked)
	if err != nil {
		return fmt.Errorf("moving the cursor of sink %s: %w", sink, classify(err))
	}
	return nil
}

// ReportSink makes known how a sink is doing; status is JSON.
func (s *Sequencer) ReportSink(ctx context.Context, sink string, status []byte) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO ledger.sink (name, updated_at, status) VALUES ($1, clock_timestamp(), $2)
		ON CONFLICT (name) DO UPDATE SET updated_at = clock_timestamp(), status = $2`, sink, string(status))
	if err != nil {
		return fmt.Errorf("reporting sink %s: %w", sink, classify(err))
	}
	return nil
}
