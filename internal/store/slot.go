package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"finobs/internal/export"
)

type slotRow struct {
	ScheduleID int64      `db:"schedule_id"`
	Slot       time.Time  `db:"slot"`
	Version    int64      `db:"version"`
	Status     string     `db:"status"`
	Reason     string     `db:"reason"`
	Origin     string     `db:"origin"`
	ExportID   *int64     `db:"export_id"`
	WorkflowID string     `db:"workflow_id"`
	FirstRunID string     `db:"first_run_id"`
	StartedAt  *time.Time `db:"started_at"`
	EndedAt    *time.Time `db:"ended_at"`
}

const slotColumns = `schedule_id, slot, version, status, reason, origin, export_id, workflow_id, first_run_id, started_at, ended_at`

func (r slotRow) domain() (export.Slot, error) {
	return export.Slot{
		ScheduleID: r.ScheduleID, At: r.Slot.UTC(), Version: r.Version, Status: export.SlotStatus(r.Status), Reason: r.Reason,
		Origin: export.Origin(r.Origin), ExportID: orZero(r.ExportID), WorkflowID: r.WorkflowID, FirstRunID: r.FirstRunID,
		StartedAt: utc(r.StartedAt), EndedAt: utc(r.EndedAt),
	}, nil
}

// Slot reads what is on record of a slot, if anything is.
func (t *Tx) Slot(ctx context.Context, scheduleID int64, at time.Time) (export.Slot, bool, error) {
	var row slotRow
	err := t.get(ctx, &row, `SELECT `+slotColumns+` FROM finobs.export_slot WHERE schedule_id = $1 AND slot = $2`, scheduleID, at)
	if errors.Is(err, sql.ErrNoRows) {
		return export.Slot{}, false, nil
	}
	if err != nil {
		return export.Slot{}, false, fmt.Errorf("reading slot %s of schedule %d: %w", at.Format(time.RFC3339), scheduleID, err)
	}
	s, err := row.domain()
	return s, true, err
}

// SlotTimes lists which slots after one moment and not after another are on
// record.
func (t *Tx) SlotTimes(ctx context.Context, scheduleID int64, after, until time.Time) ([]time.Time, error) {
	var times []time.Time
	err := t.list(ctx, &times, `SELECT slot FROM finobs.export_slot WHERE schedule_id = $1 AND slot > $2 AND slot <= $3`, scheduleID, after, until)
	if err != nil {
		return nil, fmt.Errorf("listing slots of schedule %d: %w", scheduleID, err)
	}
	return times, nil
}

// OpenSlots lists the slots of a schedule that wait or run.
func (t *Tx) OpenSlots(ctx context.Context, scheduleID int64) ([]export.Slot, error) {
	var rows []slotRow
	err := t.list(ctx, &rows, `SELECT `+slotColumns+` FROM finobs.export_slot
		WHERE schedule_id = $1 AND status IN ('waiting', 'running') ORDER BY slot`, scheduleID)
	if err != nil {
		return nil, fmt.Errorf("listing open slots of schedule %d: %w", scheduleID, err)
	}
	return collect(rows, slotRow.domain)
}

// RanAt reports whether a slot of a schedule ran at a moment, another than the
// slot of that moment.
func (t *Tx) RanAt(ctx context.Context, scheduleID int64, at time.Time) (bool, error) {
	var ran bool
	err := t.get(ctx, &ran, `SELECT EXISTS (SELECT FROM finobs.export_slot
		WHERE schedule_id = $1 AND slot <> $2 AND started_at <= $2 AND (ended_at IS NULL OR ended_at > $2))`, scheduleID, at)
	if err != nil {
		return false, fmt.Errorf("looking for slots of schedule %d that ran: %w", scheduleID, err)
	}
	return ran, nil
}

// PutSlot records what became of a slot; the times of its beginning and end are
// set by its status. A slot that has its export keeps it.
func (t *Tx) PutSlot(ctx context.Context, s export.Slot) error {
	_, err := t.exec(ctx, `
		INSERT INTO finobs.export_slot (schedule_id, slot, version, status, reason, origin, export_id, workflow_id, first_run_id, started_at, ended_at)
		VALUES ($1, $2, $3, $4, $5, $6, nullif($7::bigint, 0), $8, $9, CASE WHEN $4 = 'running' THEN $10::timestamptz END,
			CASE WHEN $4 IN ('done', 'failed', 'skipped') THEN $10::timestamptz END)
		ON CONFLICT (schedule_id, slot) DO UPDATE SET version = excluded.version, status = excluded.status, reason = excluded.reason,
			origin = excluded.origin, export_id = excluded.export_id, workflow_id = excluded.workflow_id, first_run_id = excluded.first_run_id,
			started_at = coalesce(export_slot.started_at, excluded.started_at), ended_at = excluded.ended_at`,
		s.ScheduleID, s.At, s.Version, s.Status, s.Reason, s.Origin, s.ExportID, s.WorkflowID, s.FirstRunID, t.now)
	if err != nil {
		return fmt.Errorf("recording slot %s of schedule %d: %w", s.At.Format(time.RFC3339), s.ScheduleID, err)
	}
	return nil
}

// FailExportOfSlot records that the export of a slot, which was begun, will not be
// completed. It reports whether it did so just now.
func (t *Tx) FailExportOfSlot(ctx context.Context, exportID int64) (bool, error) {
	res, err := t.exec(ctx, `UPDATE finobs.export SET status = 'failed' WHERE export_id = $1 AND schedule_id IS NOT NULL AND status = 'intended'`, exportID)
	if err != nil {
		return false, fmt.Errorf("failing export %d: %w", exportID, err)
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

// BusyBefore reports whether a transaction that may still write rows began before
// a moment: its rows would be of the time before it, and not yet seen.
func (t *Tx) BusyBefore(ctx context.Context, at time.Time) (bool, error) {
	var busy bool
	err := t.get(ctx, &busy, `SELECT EXISTS (SELECT FROM pg_stat_activity
		WHERE usename = current_user AND datname = current_database() AND pid <> pg_backend_pid() AND backend_xid IS NOT NULL AND xact_start < $1)`, at)
	if err != nil {
		return false, fmt.Errorf("looking for transactions under way: %w", err)
	}
	return busy, nil
}

// OpenSlots lists the slots that wait or run, of all schedules.
func (w *Writer) OpenSlots(ctx context.Context) ([]export.Slot, error) {
	var rows []slotRow
	err := w.db.SelectContext(ctx, &rows, `SELECT `+slotColumns+` FROM finobs.export_slot WHERE status IN ('waiting', 'running') ORDER BY schedule_id, slot`)
	if err != nil {
		return nil, fmt.Errorf("listing open slots: %w", classify(err))
	}
	return collect(rows, slotRow.domain)
}

// Slots lists the slots of a schedule that are on record, newest first; before,
// unless it is zero, only those before it.
func (r *Reader) Slots(ctx context.Context, scheduleID int64, status string, before time.Time, limit int) ([]export.Slot, error) {
	var rows []slotRow
	var until *time.Time
	if !before.IsZero() {
		until = &before
	}
	err := r.db.SelectContext(ctx, &rows, `SELECT `+slotColumns+` FROM api.export_slot
		WHERE schedule_id = $1 AND ($2 = '' OR status = $2) AND ($3::timestamptz IS NULL OR slot < $3)
		ORDER BY slot DESC LIMIT `+strconv.Itoa(limit), scheduleID, status, until)
	if err != nil {
		return nil, fmt.Errorf("listing slots of schedule %d: %w", scheduleID, classify(err))
	}
	return collect(rows, slotRow.domain)
}
