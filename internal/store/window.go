package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"finobs/internal/approval"
	"finobs/internal/fault"
	"finobs/internal/incident"

	"github.com/lib/pq"
)

type windowRow struct {
	WindowID   int64        `db:"window_id"`
	Title      string       `db:"title"`
	System     string       `db:"system"`
	Source     string       `db:"source"`
	Kind       string       `db:"kind"`
	Desk       string       `db:"desk"`
	StartsAt   time.Time    `db:"starts_at"`
	EndsAt     time.Time    `db:"ends_at"`
	CreatedIss string       `db:"created_iss"`
	CreatedSub string       `db:"created_sub"`
	CreatedAt  time.Time    `db:"created_at"`
	EndedAt    sql.NullTime `db:"ended_at"`
	EndedIss   string       `db:"ended_iss"`
	EndedSub   string       `db:"ended_sub"`
}

const windowColumns = `window_id, title, system, source, kind, desk, starts_at, ends_at, created_iss, created_sub, created_at,
	ended_at, ended_iss, ended_sub`

func (r windowRow) domain() (incident.Window, error) {
	return incident.Window{
		ID: r.WindowID, Title: r.Title, System: r.System, Source: r.Source, Kind: r.Kind, Desk: r.Desk,
		StartsAt: r.StartsAt.UTC(), EndsAt: r.EndsAt.UTC(), CreatedBy: approval.Person{Issuer: r.CreatedIss, Subject: r.CreatedSub},
		CreatedAt: r.CreatedAt.UTC(), EndedAt: momentOf(r.EndedAt), EndedBy: approval.Person{Issuer: r.EndedIss, Subject: r.EndedSub},
	}, nil
}

// WindowsNow lists the windows of maintenance that hold now.
func (t *Tx) WindowsNow(ctx context.Context) ([]incident.Window, error) {
	var rows []windowRow
	err := t.list(ctx, &rows, `SELECT `+windowColumns+` FROM finobs.maintenance_window
		WHERE starts_at <= $1 AND ends_at > $1 AND ended_at IS NULL`, t.now)
	if err != nil {
		return nil, fmt.Errorf("reading windows of maintenance: %w", err)
	}
	return collect(rows, windowRow.domain)
}

// InsertWindow records a window of maintenance that an act makes.
func (t *Tx) InsertWindow(ctx context.Context, actID string, w incident.Window) (int64, error) {
	var id int64
	err := t.get(ctx, &id, `INSERT INTO finobs.maintenance_window (act_id, title, system, source, kind, desk, starts_at, ends_at,
			created_iss, created_sub, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING window_id`,
		actID, w.Title, w.System, w.Source, w.Kind, w.Desk, w.StartsAt, w.EndsAt, w.CreatedBy.Issuer, w.CreatedBy.Subject, t.now)
	if err != nil {
		return 0, fmt.Errorf("recording a window of maintenance: %w", err)
	}
	return id, nil
}

// WindowOfAct finds the window that an act made; 0 when it made none.
func (t *Tx) WindowOfAct(ctx context.Context, actID string) (int64, error) {
	var id int64
	if err := t.get(ctx, &id, `SELECT coalesce(max(window_id), 0) FROM finobs.maintenance_window WHERE act_id = $1`, actID); err != nil {
		return 0, fmt.Errorf("finding the window of act %s: %w", actID, err)
	}
	return id, nil
}

// LockWindow reads a window of maintenance and keeps others from changing it. One
// that is not there is a fault of kind NotFound.
func (t *Tx) LockWindow(ctx context.Context, id int64) (incident.Window, error) {
	var row windowRow
	err := t.get(ctx, &row, `SELECT `+windowColumns+` FROM finobs.maintenance_window WHERE window_id = $1 FOR UPDATE`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return incident.Window{}, fault.New(fault.NotFound, "no-such-window", "there is no maintenance window %d", id)
	}
	if err != nil {
		return incident.Window{}, fmt.Errorf("reading maintenance window %d: %w", id, err)
	}
	return row.domain()
}

// EndWindow ends a window of maintenance before its time.
func (t *Tx) EndWindow(ctx context.Context, id int64, by approval.Person) error {
	_, err := t.exec(ctx, `UPDATE finobs.maintenance_window SET ended_at = $2, ended_iss = $3, ended_sub = $4 WHERE window_id = $1`,
		id, t.now, by.Issuer, by.Subject)
	if err != nil {
		return fmt.Errorf("ending maintenance window %d: %w", id, err)
	}
	return nil
}

// NudgeCovered has the lives of the active incidents that a window covers look at
// the record, and returns how many they are.
func (t *Tx) NudgeCovered(ctx context.Context, w incident.Window) (int64, error) {
	res, err := t.exec(ctx, `UPDATE finobs.incident SET nudge_at = clock_timestamp() WHERE status IN ('open', 'acknowledged')
		AND $1 IN ('*', system) AND $2 IN ('*', source) AND $3 IN ('*', kind) AND $4 IN ('*', desk)`, w.System, w.Source, w.Kind, w.Desk)
	if err != nil {
		return 0, fmt.Errorf("nudging the incidents of maintenance window %d: %w", w.ID, err)
	}
	return res.RowsAffected()
}

// Windows lists windows of maintenance, newest first; those that hold, or are to
// come, when only is "current".
func (r *Reader) Windows(ctx context.Context, only string, p Page) ([]incident.Window, error) {
	return r.windows(ctx, only, nil, p)
}

// windows limits them to desks; nil limits nothing.
func (r *Reader) windows(ctx context.Context, only string, desks pq.StringArray, p Page) ([]incident.Window, error) {
	var rows []windowRow
	err := r.db.SelectContext(ctx, &rows, `SELECT `+windowColumns+` FROM api.maintenance_window
		WHERE ($1 = 0 OR window_id < $1) AND ($3 <> 'current' OR ends_at > now() AND ended_at IS NULL) AND ($4::text[] IS NULL OR desk = ANY ($4))
		ORDER BY window_id DESC LIMIT $2`, p.Before, p.Limit, only, desks)
	if err != nil {
		return nil, fmt.Errorf("listing windows of maintenance: %w", classify(err))
	}
	return collect(rows, windowRow.domain)
}

// Window reads a window of maintenance; a fault of kind NotFound when there is
// none.
func (r *Reader) Window(ctx context.Context, id int64) (incident.Window, error) {
	var row windowRow
	err := r.db.GetContext(ctx, &row, `SELECT `+windowColumns+` FROM api.maintenance_window WHERE window_id = $1`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return incident.Window{}, fault.New(fault.NotFound, "no-such-window", "there is no maintenance window %d", id)
	}
	if err != nil {
		return incident.Window{}, fmt.Errorf("reading maintenance window %d: %w", id, classify(err))
	}
	return row.domain()
}
