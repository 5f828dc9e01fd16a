package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// appendRound is how long rows are inserted in one round.
const appendRound = 4 * time.Second

// measureLedger compares appends to the ledger, with its constraints, triggers,
// grants and the sequencer at work, with plain inserts of the same rows into a
// table without any of that.
func measureLedger(ctx context.Context, b *bench) (err error) {
	s, err := b.newStack(ctx, "ledger")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	_, err = s.admin.ExecContext(ctx, `CREATE SCHEMA bench; CREATE TABLE bench.plain (LIKE ledger.entry INCLUDING DEFAULTS INCLUDING INDEXES);
		GRANT USAGE ON SCHEMA bench TO finobs_worker; GRANT INSERT ON bench.plain TO finobs_worker`)
	if err != nil {
		return fmt.Errorf("making the floor's table: %w", err)
	}
	for _, c := range []struct {
		connections int
		goal        float64
	}{{8, 0.8}, {32, 0.75}} {
		from, err := s.entries(ctx)
		if err != nil {
			return err
		}
		err = b.measure(ctx, comparison{
			name: fmt.Sprintf("ledger/appends at %d connections", c.connections), unit: "rows/s", better: higher, goal: c.goal,
			floor: "prepared inserts into a plain table with the same columns and indexes",
			ours:  s.hammer("ledger.entry", c.connections), plain: s.hammer("bench.plain", c.connections),
		})
		if err != nil {
			return err
		}
		if err := s.lag(ctx, b, c.connections, from); err != nil {
			return err
		}
	}
	return nil
}

// hammer makes a round of inserts, each a transaction, over many connections.
func (s *stack) hammer(table string, connections int) func(context.Context) (float64, error) {
	return func(ctx context.Context) (rate float64, err error) {
		db, err := sql.Open("postgres", s.Settings()["FINOBS_WORKER_DATABASE_URL"])
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, db.Close()) }()
		var rows atomic.Int64
		errs := make([]error, connections)
		var all sync.WaitGroup
		began := time.Now()
		for i := range connections {
			all.Go(func() { errs[i] = insertFor(ctx, db, table, began, &rows) })
		}
		all.Wait()
		return float64(rows.Load()) / time.Since(began).Seconds(), errors.Join(errs...)
	}
}

func insertFor(ctx context.Context, db *sql.DB, table string, began time.Time, rows *atomic.Int64) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	//nolint:gosec // the table is one of two constants
	insert, err := conn.PrepareContext(ctx, `INSERT INTO `+table+` (entry_id, idem_key, content_sha256, leaf, leaf_sha256, recorded_at, type, actor_type,
		actor_iss, actor_sub, subject_kind, subject_id, action, outcome, reason, desk, request_id, trace_id, workflow_id, is_simulation)
		VALUES ($1, $2, $3, $4, $5, clock_timestamp(), 'approval.decided', 'human', 'finobs-dev', 'bob', 'approval', '42', 'approve', 'counted',
			'seen', 'EQ', 'r', 't', 'w', false)`)
	if err != nil {
		return err
	}
	defer insert.Close()
	leaf := make([]byte, 700)
	for time.Since(began) < appendRound {
		id := uuid.Must(uuid.NewV7())
		own := slices.Concat(leaf, id[:])
		sum := sha256.Sum256(own)
		if _, err := insert.ExecContext(ctx, id.String(), sum[:], sum[:], own, sum[:]); err != nil {
			return err
		}
		rows.Add(1)
	}
	return nil
}

func (s *stack) entries(ctx context.Context) (n int64, err error) {
	err = s.admin.QueryRowContext(ctx, "SELECT count(*) FROM ledger.entry").Scan(&n)
	return n, err
}

// lag waits until everything is in the log, and tells how long entries took to get
// there. An entry that is skipped is an error.
func (s *stack) lag(ctx context.Context, b *bench, connections int, from int64) error {
	n, err := s.entries(ctx)
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		var size int64
		if err := s.admin.QueryRowContext(ctx, "SELECT size FROM ledger.tree").Scan(&size); err != nil {
			return err
		}
		if size >= n {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d of %d entries are in the log after two minutes", size, n)
		}
	}
	var p95 float64
	err = s.admin.QueryRowContext(ctx, `SELECT percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM l.sequenced_at - e.recorded_at) * 1000)
		FROM ledger.leaf l JOIN ledger.entry e USING (entry_id) WHERE l.leaf_index >= $1`, from).Scan(&p95)
	if err != nil {
		return err
	}
	b.note(fmt.Sprintf("ledger/lag of the log at %d connections, p95", connections), "ms", 300, p95)
	return nil
}
