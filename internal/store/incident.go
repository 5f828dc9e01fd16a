package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"finobs/internal/approval"
	"finobs/internal/desk"
	"finobs/internal/export"
	"finobs/internal/fault"
	"finobs/internal/incident"

	"github.com/lib/pq"
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
	lifeRow
}

// lifeRow are the columns that change in the life of an incident.
type lifeRow struct {
	Priority        string        `db:"priority"`
	SeveritySet     bool          `db:"severity_set"`
	PrioritySet     bool          `db:"priority_set"`
	System          string        `db:"system"`
	Owner           string        `db:"owner"`
	AssigneeIss     string        `db:"assignee_iss"`
	AssigneeSub     string        `db:"assignee_sub"`
	ParentID        sql.NullInt64 `db:"parent_id"`
	MergedInto      sql.NullInt64 `db:"merged_into"`
	TransactionID   sql.NullInt64 `db:"transaction_id"`
	Occurrences     int64         `db:"occurrences"`
	LastSeenAt      time.Time     `db:"last_seen_at"`
	FiringAt        time.Time     `db:"firing_at"`
	EndedAt         sql.NullTime  `db:"ended_at"`
	Reopened        int           `db:"reopened"`
	BeganAt         time.Time     `db:"began_at"`
	AcknowledgedAt  sql.NullTime  `db:"acknowledged_at"`
	AcknowledgedIss string        `db:"acknowledged_iss"`
	AcknowledgedSub string        `db:"acknowledged_sub"`
	ResolvedAt      sql.NullTime  `db:"resolved_at"`
	ResolvedIss     string        `db:"resolved_iss"`
	ResolvedSub     string        `db:"resolved_sub"`
	Resolution      string        `db:"resolution"`
	ClosedAt        sql.NullTime  `db:"closed_at"`
	AckDueAt        sql.NullTime  `db:"ack_due_at"`
	ResolveDueAt    sql.NullTime  `db:"resolve_due_at"`
	EscalationLevel int           `db:"escalation_level"`
	LadderRun       int           `db:"ladder_run"`
	LadderFrom      time.Time     `db:"ladder_from"`
	SuppressedUntil sql.NullTime  `db:"suppressed_until"`
	LifeRunID       string        `db:"life_run_id"`
}

const incidentColumns = `incident_id, kind, severity, status, title, description, desk, source, dedup_key,
	subject_kind, subject_id, exposure_usd, details, origin, opened_by_type, opened_by_iss, opened_by_sub,
	version, trace_id, opened_at, updated_at, priority, severity_set, priority_set, system, owner, assignee_iss, assignee_sub,
	parent_id, merged_into, transaction_id, occurrences, last_seen_at, firing_at, ended_at, reopened, began_at,
	acknowledged_at, acknowledged_iss, acknowledged_sub, resolved_at, resolved_iss, resolved_sub, resolution, closed_at,
	ack_due_at, resolve_due_at, escalation_level, ladder_run, ladder_from, suppressed_until, life_run_id`

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
	r.into(&i)
	if err := json.Unmarshal(r.Details, &i.Details); err != nil {
		return i, fmt.Errorf("reading details of incident %d: %w", r.IncidentID, err)
	}
	return i, nil
}

func (r lifeRow) into(i *incident.Incident) {
	i.Priority, i.SeveritySet, i.PrioritySet, i.System, i.Owner = incident.Priority(r.Priority), r.SeveritySet, r.PrioritySet, r.System, r.Owner
	i.Assignee = approval.Person{Issuer: r.AssigneeIss, Subject: r.AssigneeSub}
	i.ParentID, i.MergedInto, i.TransactionID = r.ParentID.Int64, r.MergedInto.Int64, r.TransactionID.Int64
	i.Occurrences, i.LastSeenAt, i.FiringAt, i.EndedAt = r.Occurrences, r.LastSeenAt.UTC(), r.FiringAt.UTC(), momentOf(r.EndedAt)
	i.Reopened, i.BeganAt = r.Reopened, r.BeganAt.UTC()
	i.AcknowledgedAt, i.AcknowledgedBy = momentOf(r.AcknowledgedAt), approval.Person{Issuer: r.AcknowledgedIss, Subject: r.AcknowledgedSub}
	i.ResolvedAt, i.ResolvedBy, i.Resolution = momentOf(r.ResolvedAt), approval.Person{Issuer: r.ResolvedIss, Subject: r.ResolvedSub}, r.Resolution
	i.ClosedAt, i.AckDueAt, i.ResolveDueAt = momentOf(r.ClosedAt), momentOf(r.AckDueAt), momentOf(r.ResolveDueAt)
	i.EscalationLevel, i.LadderRun, i.LadderFrom = r.EscalationLevel, r.LadderRun, r.LadderFrom.UTC()
	i.SuppressedUntil, i.LifeRunID = momentOf(r.SuppressedUntil), r.LifeRunID
}

// momentOf is the zero time for a moment that is not set.
func momentOf(t sql.NullTime) time.Time {
	if !t.Valid {
		return time.Time{}
	}
	return t.Time.UTC()
}

// moment is null for the zero time.
func moment(t time.Time) sql.NullTime { return sql.NullTime{Time: t, Valid: !t.IsZero()} }

// reference is null for 0.
func reference(id int64) sql.NullInt64 { return sql.NullInt64{Int64: id, Valid: id != 0} }

// OpenIncident inserts i unless an open incident has its dedup key. It returns
// the id of the open incident and whether this call opened it.
func (t *Tx) OpenIncident(ctx context.Context, i incident.Incident) (id int64, opened bool, err error) {
	i.Start(t.Desk(), t.now, t.now)
	id, opened, err = t.InsertIncident(ctx, i)
	if err != nil || opened {
		return id, opened, err
	}
	err = t.get(ctx, &id, `SELECT incident_id FROM finobs.incident
		WHERE dedup_key = $1 AND status IN ('open', 'acknowledged')`, i.DedupKey)
	if err != nil {
		return 0, false, fmt.Errorf("finding open incident %s: %w", i.DedupKey, err)
	}
	return id, false, nil
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

// IncidentFilter selects incidents; zero fields select all.
type IncidentFilter struct {
	Set      map[string]string // filters of export.Incidents, by their names
	Assignee string            // sub
	Owner    string
	System   string
	Priority string
	Parent   int64
	Text     string // that stands in the title, the description, the system or the subject, in any case of letters
	Overdue  bool   // not acknowledged, or not resolved, by when it was promised

	desks pq.StringArray // see Sighted
}

func (f IncidentFilter) conditions() conditions {
	c := filtered(export.Incidents, f.Set)
	for _, equal := range []struct{ column, value string }{
		{"assignee_sub", f.Assignee}, {"owner", f.Owner}, {"system", f.System}, {"priority", f.Priority},
	} {
		if equal.value != "" {
			c.add(equal.column+" = ?", equal.value)
		}
	}
	if f.desks != nil {
		c.add("desk = ANY (?)", f.desks)
	}
	if f.Parent != 0 {
		c.add("parent_id = ?", f.Parent)
	}
	if f.Text != "" {
		c.add(`incident_id IN (SELECT incident_id FROM api.incident_words WHERE words LIKE lower(?))`, "%"+likeText.Replace(f.Text)+"%")
	}
	if f.Overdue {
		c.text += ` AND (status = 'open' AND ack_due_at < now() OR status IN ('open', 'acknowledged') AND resolve_due_at < now())`
	}
	return c
}

// likeText keeps text that stands in a pattern from being one.
var likeText = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// Incidents lists incidents that match every set filter, newest first.
func (r *Reader) Incidents(ctx context.Context, f IncidentFilter, p Page) ([]incident.Incident, error) {
	var rows []incidentRow
	c := f.conditions()
	if p.Before != 0 {
		c.add("incident_id < ?", p.Before)
	}
	query := `SELECT ` + incidentColumns + ` FROM api.incident WHERE true` + c.text + ` ORDER BY incident_id DESC LIMIT ` + strconv.Itoa(p.Limit)
	if err := r.db.Filtered(ctx, &rows, query, c.args...); err != nil {
		return nil, fmt.Errorf("listing incidents: %w", classify(err))
	}
	return collect(rows, incidentRow.domain)
}
