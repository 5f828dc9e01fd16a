package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"finobs/internal/approval"

	"github.com/lib/pq"
)

// openQuery reads the requests that the reconciler looks at, each kind by an index
// that holds no other: what is over makes it no slower.
const openQuery = `SELECT approval_id, workflow_id, first_run_id, kind, action_digest, desk, is_simulation,
		request_id, trace_id, created_at, expires_at, status, closed_at, use_by
	FROM finobs.approval_request WHERE approval_id IN (
		(SELECT approval_id FROM finobs.approval_request WHERE status IN ('pending', 'approved') AND approval_id > $1 ORDER BY 1 LIMIT $2)
		UNION ALL (SELECT approval_id FROM finobs.export WHERE status = 'intended' AND schedule_id IS NULL AND approval_id > $1 ORDER BY 1 LIMIT $2)
		UNION ALL (SELECT approval_id FROM finobs.agent_run WHERE status = 'running' AND approval_id > $1 ORDER BY 1 LIMIT $2)
		UNION ALL (SELECT action_id FROM finobs.agent_action
			WHERE leased AND status <> 'unknown' AND recovery <> 'compensation_unknown' AND action_id > $1 ORDER BY 1 LIMIT $2))
	ORDER BY approval_id LIMIT $2`

// OpenRequests lists requests that are pending or approved, and those that are
// consumed by an export that is not complete, by a run that goes on or by an action
// that needs its workflow (see remediation.Action.Abandonable), by id from after
// on. What was asked for, and under which policy, is left out.
func (w *Writer) OpenRequests(ctx context.Context, after int64, limit int) ([]approval.Request, error) {
	var rows []requestRow
	if err := w.db.SelectContext(ctx, &rows, openQuery, after, limit); err != nil {
		return nil, fmt.Errorf("listing open approvals: %w", classify(err))
	}
	return collect(rows, requestRow.domain)
}

// StatusesOf reads the statuses of the requests with the given ids; those that
// are not recorded are left out.
func (w *Writer) StatusesOf(ctx context.Context, ids []int64) (map[int64]approval.Status, error) {
	var rows []struct {
		ID     int64           `db:"approval_id"`
		Status approval.Status `db:"status"`
	}
	err := w.db.SelectContext(ctx, &rows, `SELECT approval_id, status FROM finobs.approval_request WHERE approval_id = ANY ($1)`, pq.Array(ids))
	if err != nil {
		return nil, fmt.Errorf("reading statuses: %w", classify(err))
	}
	out := make(map[int64]approval.Status, len(rows))
	for _, r := range rows {
		out[r.ID] = r.Status
	}
	return out, nil
}

// Now is the database's time.
func (w *Writer) Now(ctx context.Context) (time.Time, error) {
	var now time.Time
	if err := w.db.GetContext(ctx, &now, "SELECT clock_timestamp()"); err != nil {
		return now, fmt.Errorf("reading the database's clock: %w", classify(err))
	}
	return now.UTC(), nil
}

// turn is how long a reconciler has its turn, when it dies and does not give it
// back. One that takes longer shares it: repairs meet under the rows' own locks.
const turn = 15 * time.Second

// AsReconciler runs fn while no other holder does. It reports false, and does not
// run fn, when another one does. peopleChanged says that the roster or a
// delegation changed since the last run whose fn succeeded.
//
// The turn is a lease and not a lock: a transaction that stays open would hold up
// the sequencer, which waits for all that began before.
func (w *Writer) AsReconciler(ctx context.Context, holder string, fn func(ctx context.Context, peopleChanged bool) error) (bool, error) {
	var row struct {
		Seen   sql.NullTime `db:"seen"`
		Latest sql.NullTime `db:"latest"`
	}
	err := w.db.GetContext(ctx, &row, `UPDATE finobs.reconciler SET holder = $1, held_until = clock_timestamp() + make_interval(secs => $2)
		WHERE holder = $1 OR held_until < clock_timestamp()
		RETURNING nullif(people_seen_at, '-infinity') AS seen, greatest((SELECT max(updated_at) FROM finobs.person),
			(SELECT max(greatest(created_at, revoked_at)) FROM finobs.delegation)) AS latest`, holder, turn.Seconds())
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("taking the reconciler's turn: %w", classify(err))
	}
	changed := row.Latest.Valid && (!row.Seen.Valid || row.Latest.Time.After(row.Seen.Time))
	runErr := fn(ctx, changed)
	seen := row.Seen
	if changed && runErr == nil {
		seen = row.Latest
	}
	// A change that began earlier may be committed later: the last moments are
	// looked at again.
	_, err = w.db.ExecContext(context.WithoutCancel(ctx), `UPDATE finobs.reconciler SET held_until = clock_timestamp(),
		people_seen_at = coalesce(least($2, clock_timestamp() - interval '2 seconds'), people_seen_at) WHERE holder = $1`, holder, seen)
	if err != nil {
		err = fmt.Errorf("giving back the reconciler's turn: %w", classify(err))
	}
	return true, errors.Join(runErr, err)
}
