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
	"finobs/internal/desk"
	"finobs/internal/export"
	"finobs/internal/fault"
	"finobs/internal/incident"

	"github.com/shopspring/decimal"
)

type incidentRow struct {
	IncidentID   int64               `db:"incident_id"`
	Kind         string              `db:"kind"`
	Severity     string              `db:"severity"`
	Status       string              `db:"status"`
	Title        string              `db:"title"`
	Description  string              `db:"description"`
	Desk         string              `db:"desk"`
	Source       string              `db:"source"`
	DedupKey     string              `db:"dedup_key"`
	SubjectKind  string              `db:"subject_kind"`
	SubjectID    string              `db:"subject_id"`
	ExposureUSD  decimal.NullDecimal `db:"exposure_usd"`
	Details      []byte              `db:"details"`
	Origin       string              `db:"origin"`
	OpenedByType string              `db:"opened_by_type"`
	OpenedByIss  string              `db:"opened_by_iss"`
	OpenedBySub  string              `db:"opened_by_sub"`
	Version      int64               `db:"version"`
	TraceID      string              `db:"trace_id"`
	OpenedAt     time.Time           `db:"opened_at"`
	UpdatedAt    time.Time           `db:"updated_at"`
}

const incidentColumns = `incident_id, kind, severity, status, title, description, desk, source, dedup_key,
	subject_kind, subject_id, exposure_usd, details, origin, opened_by_type, opened_by_iss, opened_by_sub,
	version, trace_id, opened_at, updated_at`

func (r incidentRow) domain() (incident.Incident, error) {
	i := incident.Incident{
		ID: r.IncidentID, Kind: incident.Kind(r.Kind), Severity: desk.Severity(r.Severity), Status: incident.Status(r.Status),
		Title: r.Title, Description: r.Description, Desk: r.Desk, Source: r.Source, DedupKey: r.DedupKey,
		SubjectKind: r.SubjectKind, SubjectID: r.SubjectID, ExposureUSD: r.ExposureUSD, Origin: incident.Origin(r.Origin),
		OpenedBy: approval.Principal{
			Person: approval.Person{Issuer: r.OpenedByIss, Subject: r.OpenedBySub}, Kind: approval.ActorKind(r.OpenedByType),
		},
		Version: r.Version, TraceID: r.TraceID, OpenedAt: r.OpenedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(),
	}
	if err := json.Unmarshal(r.Details, &i.Details); err != nil {
		return i, fmt.Errorf("reading details of incident %d: %w", r.IncidentID, err)
	}
	return i, nil
}

// OpenIncident inserts i unless an open incident has its dedup key. It returns
// the id of the open incident and whether this call opened it.
func (t *Tx) OpenIncident(ctx context.Context, i incident.Incident) (id int64, opened bool, err error) {
	details, err := json.Marshal(i.Details)
	if err != nil {
		return 0, false, fmt.Errorf("encoding details: %w", err)
	}
	err = t.get(ctx, &id, `
		INSERT INTO finobs.incident (kind, severity, title, description, desk, source, dedup_key, subject_kind, subject_id,
			exposure_usd, details, origin, opened_by_type, opened_by_iss, opened_by_sub, trace_id, opened_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $17)
		ON CONFLICT (dedup_key) WHERE status IN ('open', 'acknowledged') DO NOTHING
		RETURNING incident_id`,
		i.Kind, i.Severity, i.Title, i.Description, i.Desk, i.Source, i.DedupKey, i.SubjectKind, i.SubjectID,
		i.ExposureUSD, string(details), i.Origin, i.OpenedBy.Kind, i.OpenedBy.Issuer, i.OpenedBy.Subject, i.TraceID, t.now)
	if err == nil {
		return id, true, nil
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return 0, false, fmt.Errorf("opening incident %s: %w", i.DedupKey, err)
	}
	err = t.get(ctx, &id, `SELECT incident_id FROM finobs.incident
		WHERE dedup_key = $1 AND status IN ('open', 'acknowledged')`, i.DedupKey)
	if err != nil {
		return 0, false, fmt.Errorf("finding open incident %s: %w", i.DedupKey, err)
	}
	return id, false, nil
}

// UpdateIncident replaces what a detector says about an open incident. It
// reports false when that is what the row says already.
func (t *Tx) UpdateIncident(ctx context.Context, id int64, i incident.Incident) (bool, error) {
	details, err := json.Marshal(i.Details)
	if err != nil {
		return false, fmt.Errorf("encoding details: %w", err)
	}
	res, err := t.exec(ctx, `
		UPDATE finobs.incident
		SET severity = $2, title = $3, description = $4, exposure_usd = $5, details = $6, version = version + 1, updated_at = $7
		WHERE incident_id = $1 AND details IS DISTINCT FROM $6::jsonb`,
		id, i.Severity, i.Title, i.Description, i.ExposureUSD, string(details), t.now)
	if err != nil {
		return false, fmt.Errorf("updating incident %d: %w", id, err)
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

// Incident reads one incident; a fault of kind NotFound when there is none.
func (r *Reader) Incident(ctx context.Context, id int64) (incident.Incident, error) {
	var row incidentRow
	err := r.db.GetContext(ctx, &row, `SELECT `+incidentColumns+` FROM api.incident WHERE incident_id = $1`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return incident.Incident{}, fault.New(fault.NotFound, "no-such-incident", "there is no incident %d", id)
	}
	if err != nil {
		return incident.Incident{}, fmt.Errorf("reading incident %d: %w", id, classify(err))
	}
	return row.domain()
}

// Page asks for at most Limit rows with an id below Before (0: from the newest).
type Page struct {
	Before int64
	Limit  int
}

// Incidents lists incidents that match every set filter, newest first. Filters
// are named as in export.Incidents.
func (r *Reader) Incidents(ctx context.Context, filters map[string]string, p Page) ([]incident.Incident, error) {
	var rows []incidentRow
	c := filtered(export.Incidents, filters)
	if p.Before != 0 {
		c.add("incident_id < ?", p.Before)
	}
	query := `SELECT ` + incidentColumns + ` FROM api.incident WHERE true` + c.text + ` ORDER BY incident_id DESC LIMIT ` + strconv.Itoa(p.Limit)
	if err := r.db.SelectContext(ctx, &rows, query, c.args...); err != nil {
		return nil, fmt.Errorf("listing incidents: %w", classify(err))
	}
	return collect(rows, incidentRow.domain)
}
