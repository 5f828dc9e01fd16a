package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"finobs/internal/canonical"
	"finobs/internal/ledger"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"golang.org/x/mod/sumdb/tlog"
)

// Sequencer writes the log over the ledger; it connects as finobs_sequencer.
type Sequencer struct {
	db  *db
	url string // to listen on a connection of its own
}

// OpenSequencer connects to the database that url names.
func OpenSequencer(ctx context.Context, url string) (*Sequencer, error) {
	d, err := open(ctx, url, "sequencer")
	if err != nil {
		return nil, err
	}
	return &Sequencer{d, url}, nil
}

// Close ends all connections.
func (s *Sequencer) Close() error { return s.db.Close() }

// Lead reports whether holder is the writer until the lease ends. The time is
// the database's.
func (s *Sequencer) Lead(ctx context.Context, holder string, lease time.Duration) (bool, error) {
	res, err := s.db.ExecContext(ctx, `UPDATE ledger.sequencer SET holder = $1, beat_at = clock_timestamp()
		WHERE holder = $1 OR beat_at IS NULL OR beat_at < clock_timestamp() - make_interval(secs => $2)`, holder, lease.Seconds())
	if err != nil {
		return false, fmt.Errorf("taking the sequencer's turn: %w", classify(err))
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

// Report makes known what the writer signs with and why it refuses.
func (s *Sequencer) Report(ctx context.Context, holder, refused, keys string) (before string, err error) {
	err = s.db.GetContext(ctx, &before, `UPDATE ledger.sequencer n SET refused = $2, keys = $3 FROM ledger.sequencer o
		WHERE n.holder = $1 RETURNING o.keys`, holder, refused, keys)
	if errors.Is(err, sql.ErrNoRows) {
		return keys, nil // another one writes by now
	}
	if err != nil {
		return "", fmt.Errorf("reporting the sequencer's state: %w", classify(err))
	}
	return before, nil
}

// treeRow is the row of ledger.tree.
type treeRow struct {
	Size int64  `db:"size"`
	Root []byte `db:"root"`
}

func (r treeRow) tree() (ledger.Tree, error) {
	if len(r.Root) != tlog.HashSize {
		return ledger.Tree{}, errors.New("the tree's root has the wrong length")
	}
	return ledger.Tree{Size: r.Size, Root: tlog.Hash(r.Root)}, nil
}

// Tree is the tree as it is committed.
func (s *Sequencer) Tree(ctx context.Context) (ledger.Tree, error) {
	var row treeRow
	if err := s.db.GetContext(ctx, &row, `SELECT size, root FROM ledger.tree`); err != nil {
		return ledger.Tree{}, fmt.Errorf("reading tree: %w", classify(err))
	}
	return row.tree()
}

// Waiting reports whether there are entries that Sequence would give places.
func (s *Sequencer) Waiting(ctx context.Context) (waiting bool, err error) {
	stmt, err := s.db.statement(ctx, `SELECT EXISTS (SELECT FROM ledger.tree t, LATERAL (
			SELECT FROM ledger.entry e WHERE (e.xid, e.entry_id) > (t.last_xid, t.last_entry) AND e.xid < pg_snapshot_xmin(pg_current_snapshot())
			ORDER BY e.xid, e.entry_id LIMIT 1) first)`)
	if err != nil {
		return false, fmt.Errorf("looking for entries: %w", err)
	}
	if err := stmt.GetContext(ctx, &waiting); err != nil {
		return false, fmt.Errorf("looking for entries: %w", classify(err))
	}
	return waiting, nil
}

// Sequence gives places to at most limit entries and grows the tree by them, in
// one transaction. Only entries of transactions that ended before the snapshot
// are taken, in the order of (xid, entry_id): what comes later sorts behind them.
func (s *Sequencer) Sequence(ctx context.Context, limit int) (ledger.Tree, int, error) {
	tx, err := s.db.BeginTxx(ctx, nil)
	if err != nil {
		return ledger.Tree{}, 0, fmt.Errorf("beginning a batch: %w", classify(err))
	}
	defer tx.Rollback() // after a commit it says so
	var at struct {
		treeRow
		LastXid   string `db:"last_xid"`
		LastEntry string `db:"last_entry"`
	}
	if err := tx.GetContext(ctx, &at, `SELECT size, root, last_xid, last_entry FROM ledger.tree WHERE only_row FOR UPDATE`); err != nil {
		return ledger.Tree{}, 0, fmt.Errorf("locking tree: %w", classify(err))
	}
	old, err := at.tree()
	if err != nil {
		return ledger.Tree{}, 0, err
	}
	batch, err := s.unsequenced(ctx, tx, at.LastXid, at.LastEntry, limit)
	if err != nil || len(batch.ids) == 0 {
		return old, 0, err
	}
	grown, tiles, err := ledger.Grow(old, batch.hashes, s.db.tilesOf(ctx, tx, tileQuery))
	if err != nil {
		return ledger.Tree{}, 0, err
	}
	if err := s.store(ctx, tx, old, grown, tiles, batch); err != nil {
		return ledger.Tree{}, 0, err
	}
	if err := tx.Commit(); err != nil {
		return ledger.Tree{}, 0, fmt.Errorf("committing a batch: %w", classify(err))
	}
	return grown, len(batch.ids), nil
}

// batch is the entries that get places, in order.
type batch struct {
	ids     []string
	hashes  []tlog.Hash
	lastXid string
}

func (s *Sequencer) unsequenced(ctx context.Context, tx *sqlx.Tx, lastXid, lastEntry string, limit int) (b batch, err error) {
	stmt, err := s.db.statement(ctx, `SELECT entry_id, xid, sha256('\x00'::bytea || leaf) AS hash FROM ledger.entry
		WHERE (xid, entry_id) > ($1::xid8, $2::uuid) AND xid < pg_snapshot_xmin(pg_current_snapshot())
		ORDER BY xid, entry_id LIMIT $3`)
	if err != nil {
		return b, err
	}
	rows, err := tx.StmtxContext(ctx, stmt).QueryxContext(ctx, lastXid, lastEntry, limit)
	if err != nil {
		return b, fmt.Errorf("reading entries: %w", classify(err))
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var hash []byte
		if err := rows.Scan(&id, &b.lastXid, &hash); err != nil {
			return b, fmt.Errorf("reading entries: %w", err)
		}
		b.ids, b.hashes = append(b.ids, id), append(b.hashes, tlog.Hash(hash))
	}
	return b, classify(rows.Err())
}

func (s *Sequencer) store(ctx context.Context, tx *sqlx.Tx, old, grown ledger.Tree, tiles []ledger.Tile, b batch) error {
	levels, numbers, hashes := make([]int64, len(tiles)), make([]int64, len(tiles)), make([][]byte, len(tiles))
	for i, t := range tiles {
		levels[i], numbers[i], hashes[i] = int64(t.Level), t.N, t.Hashes
	}
	for _, step := range []struct {
		query string
		args  []any
	}{
		{`INSERT INTO ledger.leaf (leaf_index, entry_id, sequenced_at)
			SELECT $1::bigint + i - 1, id, clock_timestamp() FROM unnest($2::uuid[]) WITH ORDINALITY AS t (id, i)`,
			[]any{old.Size, pq.Array(b.ids)}},
		{`INSERT INTO ledger.tile (level, n, hashes) SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bytea[])
			ON CONFLICT (level, n) DO UPDATE SET hashes = excluded.hashes`,
			[]any{pq.Array(levels), pq.Array(numbers), pq.ByteaArray(hashes)}},
		{`UPDATE ledger.tree SET size = $1, root = $2, last_xid = $3::xid8, last_entry = $4, grown_at = clock_timestamp()
			RETURNING pg_notify($5, '')`,
			[]any{grown.Size, grown.Root[:], b.lastXid, b.ids[len(b.ids)-1], logChannel}},
	} {
		stmt, err := s.db.statement(ctx, step.query)
		if err != nil {
			return err
		}
		if _, err := tx.StmtxContext(ctx, stmt).ExecContext(ctx, step.args...); err != nil {
			return fmt.Errorf("writing a batch: %w", classify(err))
		}
	}
	return nil
}

// tileQueries read tiles, from the state tables and from the view of the API.
const (
	tileQuery = `SELECT i, hashes FROM unnest($1::smallint[], $2::bigint[]) WITH ORDINALITY AS w (level, n, i)
		JOIN ledger.tile USING (level, n)`
	tileViewQuery = `SELECT i, hashes FROM unnest($1::smallint[], $2::bigint[]) WITH ORDINALITY AS w (level, n, i)
		JOIN api.tile USING (level, n)`
)

// tilesOf reads tiles by one of the tileQueries, in a transaction unless tx is nil.
func (d *db) tilesOf(ctx context.Context, tx *sqlx.Tx, query string) ledger.TileSource {
	return func(tiles []tlog.Tile) ([][]byte, error) {
		levels, numbers := make([]int64, len(tiles)), make([]int64, len(tiles))
		for i, t := range tiles {
			levels[i], numbers[i] = int64(t.L), t.N
		}
		stmt, err := d.statement(ctx, query)
		if err != nil {
			return nil, fmt.Errorf("reading tiles: %w", err)
		}
		if tx != nil {
			stmt = tx.StmtxContext(ctx, stmt)
		}
		var rows []struct {
			I      int    `db:"i"`
			Hashes []byte `db:"hashes"`
		}
		if err := stmt.SelectContext(ctx, &rows, pq.Array(levels), pq.Array(numbers)); err != nil {
			return nil, fmt.Errorf("reading tiles: %w", classify(err))
		}
		out := make([][]byte, len(tiles))
		for _, r := range rows {
			out[r.I-1] = r.Hashes
		}
		return out, nil
	}
}

// Tiles reads tiles of the committed tree.
func (s *Sequencer) Tiles(ctx context.Context) ledger.TileSource {
	return s.db.tilesOf(ctx, nil, tileQuery)
}

// LatestCheckpoint is the newest checkpoint; empty when there is none.
func (s *Sequencer) LatestCheckpoint(ctx context.Context) ([]byte, error) {
	var text []byte
	err := s.db.GetContext(ctx, &text, `SELECT note FROM ledger.checkpoint ORDER BY size DESC LIMIT 1`)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading checkpoint: %w", classify(err))
	}
	return text, nil
}

// PutCheckpoint publishes a checkpoint; one of the same size stands.
func (s *Sequencer) PutCheckpoint(ctx context.Context, size int64, checkpoint []byte) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO ledger.checkpoint (size, note, signed_at) VALUES ($1, $2, clock_timestamp())
		ON CONFLICT (size) DO NOTHING`, size, string(checkpoint))
	if err != nil {
		return fmt.Errorf("publishing checkpoint: %w", classify(err))
	}
	return nil
}

// AppendRotation records that the log is signed with other keys now.
func (s *Sequencer) AppendRotation(ctx context.Context, before, now string, size int64) error {
	return s.appendEvent(ctx, fmt.Sprintf("rotation %d %s", size, now), "key.rotated", ledger.Subject{Kind: "log", ID: "keys"}, "done",
		"the log is signed with other keys from here on", map[string]string{"before": before, "now": now, "size": fmt.Sprint(size)})
}

// AppendLag records that a sink lags behind, or has caught up.
func (s *Sequencer) AppendLag(ctx context.Context, sink string, recovered bool, reason string, behind int64) error {
	typ, outcome := "siem.lagging", "lagging"
	if recovered {
		typ, outcome = "siem.recovered", "recovered"
	}
	return s.appendEvent(ctx, uuid.NewString(), typ, ledger.Subject{Kind: "sink", ID: sink}, outcome, reason,
		map[string]string{"behind": fmt.Sprint(behind)})
}

func (s *Sequencer) appendEvent(ctx context.Context, idem, typ string, subject ledger.Subject, outcome, reason string, details map[string]string) error {
	object := canonical.Object{}
	for k, v := range details {
		object[k] = v
	}
	text, err := canonical.JSON(object)
	if err != nil {
		return fmt.Errorf("recording %s: %w", typ, err)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("recording %s: %w", typ, err)
	}
	_, err = s.db.ExecContext(ctx, `SELECT ledger.append_log_event($1, $2, $3, $4, $5, $6, $7, $8)`,
		id.String(), idem, typ, subject.Kind, subject.ID, outcome, reason, string(text))
	if err != nil {
		return fmt.Errorf("recording %s: %w", typ, classify(err))
	}
	return nil
}
