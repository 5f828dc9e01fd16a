package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"finobs/internal/approval"
	"finobs/internal/export"
	"finobs/internal/fault"
)

type scheduleRow struct {
	ScheduleID         int64           `db:"schedule_id"`
	Name               string          `db:"name"`
	Version            int64           `db:"version"`
	State              string          `db:"state"`
	StateReason        string          `db:"state_reason"`
	ApprovalID         int64           `db:"approval_id"`
	ActionDigest       string          `db:"action_digest"`
	Dataset            string          `db:"dataset"`
	DatasetVersion     string          `db:"dataset_version"`
	Format             string          `db:"format"`
	Compression        string          `db:"compression"`
	Destination        string          `db:"destination"`
	DestinationDigest  string          `db:"destination_digest"`
	Filters            json.RawMessage `db:"filters"`
	Cron               string          `db:"cron"`
	Zone               string          `db:"zone"`
	RowsIn             string          `db:"rows_in"`
	Overlap            string          `db:"overlap"`
	CatchUpSeconds     int64           `db:"catch_up_seconds"`
	MaxLatenessSeconds int64           `db:"max_lateness_seconds"`
	ExpiresAt          time.Time       `db:"expires_at"`
	RequesterIss       string          `db:"requester_iss"`
	RequesterSub       string          `db:"requester_sub"`
	Desk               string          `db:"desk"`
	IsSimulation       bool            `db:"is_simulation"`
	CreatedAt          time.Time       `db:"created_at"`
	GrantedAt          time.Time       `db:"granted_at"`
	PausedAt           *time.Time      `db:"paused_at"`
	SettledUntil       time.Time       `db:"settled_until"`
}

const scheduleColumns = `schedule_id, name, version, state, state_reason, approval_id, action_digest, dataset, dataset_version, format, compression,
	destination, destination_digest, filters, cron, zone, rows_in, overlap, catch_up_seconds, max_lateness_seconds, expires_at, requester_iss,
	requester_sub, desk, is_simulation, created_at, granted_at, paused_at, settled_until`

// domain leaves the dataset as the program has it: when its version is another
// one, the schedule's grant no longer matches, and nothing runs by it.
func (r scheduleRow) domain() (export.Schedule, error) {
	d, known := export.DatasetNamed(r.Dataset)
	if !known {
		d = export.Dataset{Name: r.Dataset}
	}
	d.Version = r.DatasetVersion
	s := export.Schedule{
		ID: r.ScheduleID, Name: r.Name, Version: r.Version, State: export.ScheduleState(r.State), StateReason: r.StateReason,
		ApprovalID: r.ApprovalID, ActionDigest: r.ActionDigest, Cron: r.Cron, Zone: r.Zone, Window: export.Window(r.RowsIn),
		Overlap: export.Overlap(r.Overlap), CatchUp: time.Duration(r.CatchUpSeconds) * time.Second,
		MaxLateness: time.Duration(r.MaxLatenessSeconds) * time.Second, ExpiresAt: r.ExpiresAt.UTC(),
		Requester: approval.Person{Issuer: r.RequesterIss, Subject: r.RequesterSub}, Desk: r.Desk, Simulation: r.IsSimulation,
		CreatedAt: r.CreatedAt.UTC(), GrantedAt: r.GrantedAt.UTC(), PausedAt: utc(r.PausedAt), SettledUntil: r.SettledUntil.UTC(),
		Spec: export.Spec{
			Dataset: d, Format: export.Format(r.Format), Compression: export.Compression(r.Compression),
			Destination: export.Destination{Name: r.Destination, Digest: r.DestinationDigest},
		},
	}
	if err := json.Unmarshal(r.Filters, &s.Spec.Filters); err != nil {
		return s, fmt.Errorf("reading filters of schedule %d: %w", r.ScheduleID, err)
	}
	return s, nil
}

// grant are the columns that a grant sets, in the order of the statements below.
func grant(s export.Schedule) ([]any, error) {
	filters, err := json.Marshal(s.Spec.Filters)
	if err != nil {
		return nil, fmt.Errorf("encoding filters: %w", err)
	}
	return []any{
		s.Name, s.ApprovalID, s.ActionDigest, s.Spec.Dataset.Name, s.Spec.Dataset.Version, s.Spec.Format, s.Spec.Compression,
		s.Spec.Destination.Name, s.Spec.Destination.Digest, string(filters), s.Cron, s.Zone, s.Window, s.Overlap,
		int64(s.CatchUp / time.Second), int64(s.MaxLateness / time.Second), s.ExpiresAt, s.Requester.Issuer, s.Requester.Subject, s.Desk,
		s.Simulation,
	}, nil
}

// InsertSchedule records a schedule that was granted and returns its id. The name
// of a schedule that has not ended is a fault of kind Conflict.
func (t *Tx) InsertSchedule(ctx context.Context, s export.Schedule) (int64, error) {
	args, err := grant(s)
	if err != nil {
		return 0, err
	}
	var id int64
	err = t.get(ctx, &id, `
		INSERT INTO finobs.export_schedule (name, approval_id, action_digest, dataset, dataset_version, format, compression, destination,
			destination_digest, filters, cron, zone, rows_in, overlap, catch_up_seconds, max_lateness_seconds, expires_at, requester_iss,
			requester_sub, desk, is_simulation, version, created_at, granted_at, settled_until)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, 1, $22, $22, $22)
		RETURNING schedule_id`, append(args, t.now)...)
	if violates(err, "schedule_name_is_taken_once") {
		return 0, fault.Wrap(err, fault.Conflict, "target-moved", "a schedule named %s was made since this was asked for", s.Name)
	}
	if err != nil {
		return 0, fmt.Errorf("recording schedule %s: %w", s.Name, err)
	}
	return id, nil
}

// ChangeSchedule puts the grant of s in the place of the one that version
// s.Version has. Slots up to now must be settled before.
func (t *Tx) ChangeSchedule(ctx context.Context, s export.Schedule) (bool, error) {
	args, err := grant(s)
	if err != nil {
		return false, err
	}
	res, err := t.exec(ctx, `
		UPDATE finobs.export_schedule SET name = $1, approval_id = $2, action_digest = $3, dataset = $4, dataset_version = $5, format = $6,
			compression = $7, destination = $8, destination_digest = $9, filters = $10, cron = $11, zone = $12, rows_in = $13, overlap = $14,
			catch_up_seconds = $15, max_lateness_seconds = $16, expires_at = $17, requester_iss = $18, requester_sub = $19, desk = $20,
			is_simulation = $21, version = version + 1, granted_at = $22, settled_until = $22
		WHERE schedule_id = $23 AND version = $24 AND state <> 'deleted'`, append(args, t.now, s.ID, s.Version)...)
	if violates(err, "schedule_name_is_taken_once") {
		return false, fault.Wrap(err, fault.Conflict, "target-moved", "another schedule is named %s", s.Name)
	}
	if err != nil {
		return false, fmt.Errorf("changing schedule %d: %w", s.ID, err)
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

// LockSchedule reads a schedule and keeps others from changing it until the
// transaction ends; a fault of kind NotFound when there is none.
func (t *Tx) LockSchedule(ctx context.Context, id int64) (export.Schedule, error) {
	var row scheduleRow
	err := t.get(ctx, &row, `SELECT `+scheduleColumns+` FROM finobs.export_schedule WHERE schedule_id = $1 FOR UPDATE`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return export.Schedule{}, noSchedule(id)
	}
	if err != nil {
		return export.Schedule{}, fmt.Errorf("reading schedule %d: %w", id, err)
	}
	return row.domain()
}

func noSchedule(id int64) error {
	return fault.New(fault.NotFound, "no-such-schedule", "there is no schedule %d", id)
}

// SetScheduleState pauses, resumes or ends a schedule.
func (t *Tx) SetScheduleState(ctx context.Context, id int64, state export.ScheduleState, reason string) error {
	_, err := t.exec(ctx, `UPDATE finobs.export_schedule SET state = $2, state_reason = $3,
		paused_at = CASE WHEN $2 = 'paused' THEN coalesce(paused_at, $4) END WHERE schedule_id = $1`, id, state, reason, t.now)
	if err != nil {
		return fmt.Errorf("making schedule %d %s: %w", id, state, err)
	}
	return nil
}

// SettleSchedule records that what became of each slot up to a moment is on
// record.
func (t *Tx) SettleSchedule(ctx context.Context, id int64, until time.Time) error {
	_, err := t.exec(ctx, `UPDATE finobs.export_schedule SET settled_until = greatest(settled_until, $2) WHERE schedule_id = $1`, id, until)
	if err != nil {
		return fmt.Errorf("settling schedule %d: %w", id, err)
	}
	return nil
}

// LiveSchedules lists the schedules that have not ended.
func (w *Writer) LiveSchedules(ctx context.Context) ([]export.Schedule, error) {
	var rows []scheduleRow
	err := w.db.SelectContext(ctx, &rows, `SELECT `+scheduleColumns+` FROM finobs.export_schedule WHERE state <> 'deleted' ORDER BY schedule_id`)
	if err != nil {
		return nil, fmt.Errorf("listing schedules: %w", classify(err))
	}
	return collect(rows, scheduleRow.domain)
}

// ScheduleLives reports whether a schedule has not ended.
func (w *Writer) ScheduleLives(ctx context.Context, id int64) (bool, error) {
	var lives bool
	err := w.db.GetContext(ctx, &lives, `SELECT EXISTS (SELECT FROM finobs.export_schedule WHERE schedule_id = $1 AND state <> 'deleted')`, id)
	if err != nil {
		return false, fmt.Errorf("looking for schedule %d: %w", id, classify(err))
	}
	return lives, nil
}

// Schedule reads one schedule; a fault of kind NotFound when there is none.
func (r *Reader) Schedule(ctx context.Context, id int64) (export.Schedule, error) {
	var row scheduleRow
	err := r.db.GetContext(ctx, &row, `SELECT `+scheduleColumns+` FROM api.export_schedule WHERE schedule_id = $1`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return export.Schedule{}, noSchedule(id)
	}
	if err != nil {
		return export.Schedule{}, fmt.Errorf("reading schedule %d: %w", id, classify(err))
	}
	return row.domain()
}

// ScheduleFilter selects schedules; zero fields select all.
type ScheduleFilter struct {
	Name, State, Dataset string
}

// Schedules lists schedules, newest first.
func (r *Reader) Schedules(ctx context.Context, f ScheduleFilter, p Page) ([]export.Schedule, error) {
	var rows []scheduleRow
	err := r.db.SelectContext(ctx, &rows, `SELECT `+scheduleColumns+` FROM api.export_schedule
		WHERE ($1 = '' OR name = $1) AND ($2 = '' OR state = $2) AND ($3 = '' OR dataset = $3) AND ($4 = 0 OR schedule_id < $4)
		ORDER BY schedule_id DESC LIMIT `+strconv.Itoa(p.Limit), f.Name, f.State, f.Dataset, p.Before)
	if err != nil {
		return nil, fmt.Errorf("listing schedules: %w", classify(err))
	}
	return collect(rows, scheduleRow.domain)
}
