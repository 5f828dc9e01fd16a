package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"finobs/internal/approval"
	"finobs/internal/fault"

	"github.com/lib/pq"
)

type noticeRow struct {
	NotificationID string    `db:"notification_id"`
	ApprovalID     int64     `db:"approval_id"`
	IncidentID     int64     `db:"incident_id"`
	Occasion       string    `db:"occasion"`
	Kind           string    `db:"kind"`
	Channel        string    `db:"channel"`
	Recipients     []byte    `db:"recipients"`
	Subject        string    `db:"subject"`
	Body           string    `db:"body"`
	WhilePending   bool      `db:"while_pending"`
	Status         string    `db:"status"`
	Detail         string    `db:"detail"`
	Attempts       int       `db:"attempts"`
	Round          int       `db:"round"`
	CreatedAt      time.Time `db:"created_at"`
	UpdatedAt      time.Time `db:"updated_at"`
}

const noticeColumns = `notification_id, coalesce(approval_id, 0) AS approval_id, coalesce(incident_id, 0) AS incident_id, occasion, kind, channel, recipients, subject, body, while_pending, status, detail,
	attempts, round, created_at, updated_at`

func (r noticeRow) domain() (approval.Notice, error) {
	n := approval.Notice{
		ID: r.NotificationID, ApprovalID: r.ApprovalID, IncidentID: r.IncidentID, Occasion: r.Occasion, Kind: approval.NoticeKind(r.Kind), Channel: r.Channel,
		Subject: r.Subject, Body: r.Body, WhilePending: r.WhilePending, Status: approval.NoticeStatus(r.Status), Detail: r.Detail,
		Attempts: r.Attempts, Round: r.Round, CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(),
	}
	if err := json.Unmarshal(r.Recipients, &n.Recipients); err != nil {
		return n, fmt.Errorf("reading recipients of notification %s: %w", r.NotificationID, err)
	}
	return n, nil
}

// InsertNotice queues a notice; the occasion of a request or an incident has one,
// and a second changes nothing. Over a channel that no worker has, nobody is told anything.
func (t *Tx) InsertNotice(ctx context.Context, n approval.Notice) error {
	recipients, err := json.Marshal(append([]approval.Recipient{}, n.Recipients...))
	if err != nil {
		return fmt.Errorf("queueing notification: %w", err)
	}
	_, err = t.exec(ctx, `
		INSERT INTO finobs.notification (notification_id, approval_id, occasion, kind, channel, recipients, subject, body,
			while_pending, trace_id, created_at, updated_at, incident_id)
		SELECT $1, nullif($2::bigint, 0), $3, $4, name, $6, $7, $8, $9, $10, $11, $11, nullif($12::bigint, 0) FROM finobs.channel WHERE name = $5
		ON CONFLICT DO NOTHING`,
		n.ID, n.ApprovalID, n.Occasion, n.Kind, n.Channel, string(recipients), n.Subject, n.Body, n.WhilePending, n.TraceID, t.now, n.IncidentID)
	if err != nil {
		return fmt.Errorf("queueing notification %s of approval %d or incident %d: %w", n.Occasion, n.ApprovalID, n.IncidentID, err)
	}
	return nil
}

// LockNotice reads a notice and keeps others from changing it. One that is not
// there is a fault of kind NotFound.
func (t *Tx) LockNotice(ctx context.Context, id string) (approval.Notice, error) {
	var row noticeRow
	err := t.get(ctx, &row, `SELECT `+noticeColumns+` FROM finobs.notification WHERE notification_id = $1 FOR UPDATE`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return approval.Notice{}, fault.New(fault.NotFound, "no-such-notification", "there is no notification %s", id)
	}
	if err != nil {
		return approval.Notice{}, fmt.Errorf("reading notification %s: %w", id, err)
	}
	return row.domain()
}

// UpdateNotice records how far the sending of a notice has come.
func (t *Tx) UpdateNotice(ctx context.Context, n approval.Notice) error {
	_, err := t.exec(ctx, `UPDATE finobs.notification SET status = $2, detail = $3, attempts = $4, round = $5, updated_at = $6
		WHERE notification_id = $1`, n.ID, n.Status, n.Detail, n.Attempts, n.Round, t.now)
	if err != nil {
		return fmt.Errorf("updating notification %s: %w", n.ID, err)
	}
	return nil
}

// RequestStatus reads the status of a request without locking it.
func (t *Tx) RequestStatus(ctx context.Context, id int64) (approval.Status, error) {
	var s approval.Status
	if err := t.get(ctx, &s, `SELECT status FROM finobs.approval_request WHERE approval_id = $1`, id); err != nil {
		return "", fmt.Errorf("reading status of approval %d: %w", id, err)
	}
	return s, nil
}

// SetChannels makes known that this worker can send over the given channels.
func (w *Writer) SetChannels(ctx context.Context, names []string) error {
	_, err := w.db.ExecContext(ctx, `INSERT INTO finobs.channel (name, updated_at)
		SELECT name, clock_timestamp() FROM unnest($1::text[]) AS name
		ON CONFLICT (name) DO UPDATE SET updated_at = excluded.updated_at`, pq.Array(names))
	if err != nil {
		return fmt.Errorf("making channels known: %w", classify(err))
	}
	return nil
}

// QueuedNotices lists notices that nobody has begun to send, and those at which
// nothing has happened for so long that whoever sent them must be gone; oldest
// first.
func (w *Writer) QueuedNotices(ctx context.Context, gone time.Duration, limit int) ([]approval.Notice, error) {
	var rows []noticeRow
	err := w.db.SelectContext(ctx, &rows, `SELECT `+noticeColumns+` FROM finobs.notification
		WHERE status IN ('queued', 'sending')
			AND (status = 'queued' AND attempts = 0 OR updated_at < clock_timestamp() - $1 * interval '1 second')
		ORDER BY created_at LIMIT $2`, gone.Seconds(), limit)
	if err != nil {
		return nil, fmt.Errorf("looking for queued notifications: %w", classify(err))
	}
	return collect(rows, noticeRow.domain)
}

// NoticeFilter selects notices; zero fields select all.
type NoticeFilter struct {
	Status     string
	ApprovalID int64
	IncidentID int64
}

// Notices lists notices, newest first. before is the created_at of the last one
// of the page before; the zero time begins with the newest.
func (r *Reader) Notices(ctx context.Context, f NoticeFilter, before time.Time, limit int) ([]approval.Notice, error) {
	var rows []noticeRow
	var cursor *time.Time
	if !before.IsZero() {
		cursor = &before
	}
	err := r.db.Filtered(ctx, &rows, `SELECT `+noticeColumns+` FROM api.notification
		WHERE ($1 = '' OR status = $1) AND ($2 = 0 OR approval_id = $2) AND ($5 = 0 OR incident_id = $5) AND ($3::timestamptz IS NULL OR created_at < $3)
		ORDER BY created_at DESC, notification_id LIMIT $4`, f.Status, f.ApprovalID, cursor, limit, f.IncidentID)
	if err != nil {
		return nil, fmt.Errorf("listing notifications: %w", classify(err))
	}
	return collect(rows, noticeRow.domain)
}

// Notice reads one notice; a fault of kind NotFound when there is none.
func (r *Reader) Notice(ctx context.Context, id string) (approval.Notice, error) {
	var row noticeRow
	err := r.db.GetContext(ctx, &row, `SELECT `+noticeColumns+` FROM api.notification WHERE notification_id = $1`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return approval.Notice{}, fault.New(fault.NotFound, "no-such-notification", "there is no notification %s", id)
	}
	if err != nil {
		return approval.Notice{}, fmt.Errorf("reading notification %s: %w", id, classify(err))
	}
	return row.domain()
}

// CancelNotices skips the notices about an incident that nobody has begun to send,
// and returns how many they were.
func (t *Tx) CancelNotices(ctx context.Context, incidentID int64, why string) (int64, error) {
	res, err := t.exec(ctx, `UPDATE finobs.notification SET status = 'skipped', detail = $2, updated_at = $3
		WHERE incident_id = $1 AND status = 'queued' AND while_pending`, incidentID, why, t.now)
	if err != nil {
		return 0, fmt.Errorf("cancelling the notifications about incident %d: %w", incidentID, err)
	}
	return res.RowsAffected()
}
