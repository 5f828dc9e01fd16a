package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"finobs/internal/approval"
	"finobs/internal/fault"
	"finobs/internal/incident"
)

// ReadIncident reads an incident without locking it.
func (t *Tx) ReadIncident(ctx context.Context, id int64) (incident.Incident, error) {
	var row incidentRow
	err := t.get(ctx, &row, `SELECT `+incidentColumns+` FROM finobs.incident WHERE incident_id = $1`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return incident.Incident{}, fault.New(fault.NotFound, "no-such-incident", "there is no incident %d", id)
	}
	if err != nil {
		return incident.Incident{}, fmt.Errorf("reading incident %d: %w", id, err)
	}
	return row.domain()
}

// InsertIncidentComment records what somebody says about an incident.
func (t *Tx) InsertIncidentComment(ctx context.Context, commentID string, incidentID int64, by approval.Person, text string) error {
	_, err := t.exec(ctx, `INSERT INTO finobs.incident_comment (comment_id, incident_id, author_iss, author_sub, text, created_at)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (comment_id) DO NOTHING`, commentID, incidentID, by.Issuer, by.Subject, text, t.now)
	if err != nil {
		return fmt.Errorf("recording a comment on incident %d: %w", incidentID, err)
	}
	return nil
}

// HasChildren reports whether an incident is a parent.
func (t *Tx) HasChildren(ctx context.Context, id int64) (bool, error) {
	var has bool
	if err := t.get(ctx, &has, `SELECT EXISTS (SELECT FROM finobs.incident WHERE parent_id = $1)`, id); err != nil {
		return false, fmt.Errorf("looking for children of incident %d: %w", id, err)
	}
	return has, nil
}

// HasTransaction reports whether there is a transaction.
func (t *Tx) HasTransaction(ctx context.Context, id int64) (bool, error) {
	var has bool
	if err := t.get(ctx, &has, `SELECT EXISTS (SELECT FROM finobs.transaction WHERE transaction_id = $1)`, id); err != nil {
		return false, fmt.Errorf("looking for transaction %d: %w", id, err)
	}
	return has, nil
}

// MoveToSurvivor moves the occurrences, comments and children of a merged incident,
// and what was merged into it before, to the survivor. Children of a survivor that
// is a child itself become its parent's. It returns how many children there were.
func (t *Tx) MoveToSurvivor(ctx context.Context, merged int64, survivor incident.Incident) (children int64, err error) {
	for _, statement := range []string{
		`UPDATE finobs.incident_occurrence SET incident_id = $2 WHERE incident_id = $1`,
		`UPDATE finobs.incident_comment SET incident_id = $2 WHERE incident_id = $1`,
		`UPDATE finobs.incident SET merged_into = $2 WHERE merged_into = $1`,
	} {
		if _, err := t.exec(ctx, statement, merged, survivor.ID); err != nil {
			return 0, fmt.Errorf("merging incident %d into %d: %w", merged, survivor.ID, err)
		}
	}
	parent := survivor.ID
	if survivor.ParentID != 0 {
		parent = survivor.ParentID
	}
	res, err := t.exec(ctx, `UPDATE finobs.incident SET parent_id = $2, version = version + 1, updated_at = $4
		WHERE parent_id = $1 AND incident_id <> $3`, merged, parent, survivor.ID, t.now)
	if err != nil {
		return 0, fmt.Errorf("moving the children of incident %d: %w", merged, err)
	}
	return res.RowsAffected()
}

// FiredIncidentRungs lists the names of the rungs of an incident that have fired.
func (t *Tx) FiredIncidentRungs(ctx context.Context, id int64) (map[string]bool, error) {
	var names []string
	if err := t.list(ctx, &names, `SELECT name FROM finobs.incident_rung WHERE incident_id = $1`, id); err != nil {
		return nil, fmt.Errorf("reading the ladder of incident %d: %w", id, err)
	}
	fired := make(map[string]bool, len(names))
	for _, name := range names {
		fired[name] = true
	}
	return fired, nil
}

// FireIncidentRung records that a rung of an incident fires. It reports false when
// it has fired before.
func (t *Tx) FireIncidentRung(ctx context.Context, id int64, name, kind string) (bool, error) {
	res, err := t.exec(ctx, `INSERT INTO finobs.incident_rung (incident_id, name, kind, fired_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		id, name, kind, t.now)
	if err != nil {
		return false, fmt.Errorf("firing rung %s of incident %d: %w", name, id, err)
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

// BeginLook records that the life of an incident looks at it: nudges until now are
// heard.
func (t *Tx) BeginLook(ctx context.Context, id int64, firstRun string) error {
	_, err := t.exec(ctx, `UPDATE finobs.incident SET nudge_at = NULL, life_started_at = coalesce(life_started_at, $3), life_run_id = $2
		WHERE incident_id = $1`, id, firstRun, t.now)
	if err != nil {
		return fmt.Errorf("looking at incident %d: %w", id, err)
	}
	return nil
}

// NudgeLife has the life of an incident look at it, and starts one where none
// runs.
func (t *Tx) NudgeLife(ctx context.Context, id int64) error {
	if _, err := t.exec(ctx, `UPDATE finobs.incident SET nudge_at = clock_timestamp() WHERE incident_id = $1`, id); err != nil {
		return fmt.Errorf("nudging the life of incident %d: %w", id, err)
	}
	return nil
}

// nudgePause is how long a nudge that was taken by one worker is left to it.
const nudgePause = "20 seconds"

// TakeNudged takes incidents whose lives are to look at them, longest waiting
// first. Another worker does not get them for a while; then, unless a life has
// looked, they are there again.
func (w *Writer) TakeNudged(ctx context.Context, limit int) ([]incident.Incident, error) {
	var rows []incidentRow
	err := w.db.SelectContext(ctx, &rows, `
		UPDATE finobs.incident SET nudge_at = clock_timestamp() + interval '`+nudgePause+`'
		WHERE incident_id IN (SELECT incident_id FROM finobs.incident WHERE nudge_at <= now()
			ORDER BY nudge_at LIMIT $1 FOR UPDATE SKIP LOCKED)
		RETURNING `+incidentColumns, limit)
	if err != nil {
		return nil, fmt.Errorf("looking for nudged incidents: %w", classify(err))
	}
	return collect(rows, incidentRow.domain)
}

// ForgetNudge forgets that the life of an incident is to look at it: nothing is
// left to look.
func (w *Writer) ForgetNudge(ctx context.Context, id int64) error {
	if _, err := w.db.ExecContext(ctx, `UPDATE finobs.incident SET nudge_at = NULL WHERE incident_id = $1 AND status = 'closed'`, id); err != nil {
		return fmt.Errorf("forgetting a nudge of incident %d: %w", id, classify(err))
	}
	return nil
}

// Life is an incident that is not closed and the run that looked at it last.
type Life struct {
	IncidentID int64  `db:"incident_id"`
	Status     string `db:"status"`
	RunID      string `db:"life_run_id"`
}

// Lives lists the incidents that are not closed, that a life looked at some time
// ago, and that nobody has nudged since, by id from after on.
func (w *Writer) Lives(ctx context.Context, after int64, limit int) ([]Life, error) {
	var rows []Life
	err := w.db.SelectContext(ctx, &rows, `SELECT incident_id, status, life_run_id FROM finobs.incident
		WHERE incident_id > $1 AND status <> 'closed' AND nudge_at IS NULL AND life_started_at < clock_timestamp() - interval '8 seconds'
		ORDER BY incident_id LIMIT $2`, after, limit)
	if err != nil {
		return nil, fmt.Errorf("listing the lives of incidents: %w", classify(err))
	}
	return rows, nil
}
