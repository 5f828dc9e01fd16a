package store

import (
	"context"
	"fmt"
	"time"

	"finobs/internal/detect"
)

// Feed is when a source was heard of last.
type Feed struct {
	Source     string    `db:"source"`
	ReceivedAt time.Time `db:"received_at"`
	Payloads   int64     `db:"payloads"`
}

// Feeds reads when each source was heard of last, by its name.
func (r *Reader) Feeds(ctx context.Context) (map[string]Feed, error) {
	var rows []Feed
	if err := r.db.SelectContext(ctx, &rows, `SELECT source, received_at, payloads FROM api.feed`); err != nil {
		return nil, fmt.Errorf("reading when sources were heard of: %w", classify(err))
	}
	out := map[string]Feed{}
	for _, f := range rows {
		f.ReceivedAt = f.ReceivedAt.UTC()
		out[f.Source] = f
	}
	return out, nil
}

// Detector is a detector as a worker made it known, with its last run.
type Detector struct {
	Name        string     `db:"name"`
	Description string     `db:"description"`
	Every       int64      `db:"every_seconds"`
	Owner       string     `db:"owner"`
	Severity    string     `db:"severity"`
	Enabled     bool       `db:"enabled"`
	LastRunAt   *time.Time `db:"last_run_at"`
	Examined    *int64     `db:"examined"`
	Found       *int64     `db:"found"`
	Opened      *int64     `db:"opened"`
	Resolved    *int64     `db:"resolved"`
}

// Detectors lists the detectors by name.
func (r *Reader) Detectors(ctx context.Context) ([]Detector, error) {
	rows := []Detector{}
	err := r.db.SelectContext(ctx, &rows, `SELECT name, description, every_seconds, owner, severity, enabled, last_run_at, examined, found, opened, resolved
		FROM api.detector ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("listing detectors: %w", classify(err))
	}
	return rows, nil
}

// DetectorRuns lists the newest runs of a detector.
func (r *Reader) DetectorRuns(ctx context.Context, name string, limit int) ([]detect.Run, error) {
	var rows []struct {
		ID         string    `db:"run_id"`
		Detector   string    `db:"detector"`
		WorkflowID string    `db:"workflow_id"`
		StartedAt  time.Time `db:"started_at"`
		Examined   int64     `db:"examined"`
		Found      int64     `db:"found"`
		Opened     int64     `db:"opened"`
		Resolved   int64     `db:"resolved"`
		AskedIss   string    `db:"asked_iss"`
		AskedSub   string    `db:"asked_sub"`
	}
	err := r.db.SelectContext(ctx, &rows, `SELECT run_id, detector, workflow_id, started_at, examined, found, opened, resolved, asked_iss, asked_sub
		FROM api.detector_run WHERE detector = $1 ORDER BY started_at DESC LIMIT $2`, name, limit)
	if err != nil {
		return nil, fmt.Errorf("listing runs of detector %s: %w", name, classify(err))
	}
	out := make([]detect.Run, 0, len(rows))
	for _, x := range rows {
		d := detect.Run{
			ID: x.ID, Detector: detect.Name(x.Detector), WorkflowID: x.WorkflowID, StartedAt: x.StartedAt.UTC(),
			Examined: x.Examined, Found: x.Found, Opened: x.Opened, Resolved: x.Resolved,
		}
		d.AskedBy.Issuer, d.AskedBy.Subject = x.AskedIss, x.AskedSub
		out = append(out, d)
	}
	return out, nil
}
