package api

import (
	"context"
	"time"

	"finobs/internal/approval"
	"finobs/internal/incident"
)

// incidentView is an incident in answers.
type incidentView struct {
	ID          int64             `json:"incident_id"`
	Kind        string            `json:"kind"`
	Severity    string            `json:"severity"`
	Priority    string            `json:"priority" enum:"p1,p2,p3,p4"`
	Status      string            `json:"status"`
	Title       string            `json:"title"`
	Description string            `json:"description"`
	Desk        string            `json:"desk"`
	Owner       string            `json:"owner" doc:"the queue that has to deal with it"`
	Assignee    *personView       `json:"assignee" doc:"null: nobody"`
	Source      string            `json:"source"`
	System      string            `json:"system"`
	DedupKey    string            `json:"dedup_key"`
	SubjectKind string            `json:"subject_kind"`
	SubjectID   string            `json:"subject_id"`
	ExposureUSD *string           `json:"exposure_usd" doc:"US dollars, exact decimal; null when not known"`
	Details     map[string]string `json:"details"`
	Origin      string            `json:"origin" enum:"live,demo"`
	OpenedBy    personView        `json:"opened_by"`
	OpenerType  string            `json:"opened_by_type"`
	Version     int64             `json:"version" doc:"send it with an act, and the act is refused when the incident has moved"`
	TraceID     string            `json:"trace_id"`
	OpenedAt    time.Time         `json:"opened_at"`
	UpdatedAt   time.Time         `json:"updated_at"`

	ParentID        *int64          `json:"parent_id"`
	MergedInto      *int64          `json:"merged_into" doc:"the incident that took it in"`
	TransactionID   *int64          `json:"transaction_id"`
	Occurrences     int64           `json:"occurrences" doc:"how often it was reported, each occurrence once"`
	LastSeenAt      time.Time       `json:"last_seen_at"`
	Reopened        int             `json:"reopened" doc:"how often"`
	BeganAt         time.Time       `json:"began_at" doc:"when it was opened, or reopened last"`
	AcknowledgedAt  *time.Time      `json:"acknowledged_at"`
	AcknowledgedBy  *personView     `json:"acknowledged_by"`
	ResolvedAt      *time.Time      `json:"resolved_at"`
	ResolvedBy      *personView     `json:"resolved_by" doc:"finobs, auto: its condition ended"`
	Resolution      string          `json:"resolution"`
	ClosedAt        *time.Time      `json:"closed_at"`
	AckDueAt        *time.Time      `json:"ack_due_at" doc:"null: the desk file promises nothing"`
	ResolveDueAt    *time.Time      `json:"resolve_due_at"`
	EscalationLevel int             `json:"escalation_level"`
	SuppressedUntil *time.Time      `json:"suppressed_until" doc:"nobody is paged before"`
	AllowedActions  []incident.Verb `json:"allowed_actions" doc:"what the caller may do now"`
}

func viewIncident(ctx context.Context, i incident.Incident) incidentView {
	v := incidentView{
		ID: i.ID, Kind: string(i.Kind), Severity: string(i.Severity), Priority: string(i.Priority), Status: string(i.Status), Title: i.Title,
		Description: i.Description, Desk: i.Desk, Owner: i.Owner, Assignee: optionalPerson(i.Assignee), Source: i.Source, System: i.System,
		DedupKey: i.DedupKey, SubjectKind: i.SubjectKind, SubjectID: i.SubjectID, Details: i.Details, Origin: string(i.Origin),
		OpenedBy: viewPerson(i.OpenedBy.Person), OpenerType: string(i.OpenedBy.Kind), Version: i.Version, TraceID: i.TraceID,
		OpenedAt: i.OpenedAt, UpdatedAt: i.UpdatedAt,
		ParentID: optionalID(i.ParentID), MergedInto: optionalID(i.MergedInto), TransactionID: optionalID(i.TransactionID),
		Occurrences: i.Occurrences, LastSeenAt: i.LastSeenAt, Reopened: i.Reopened, BeganAt: i.BeganAt,
		AcknowledgedAt: optionalTime(i.AcknowledgedAt), AcknowledgedBy: optionalPerson(i.AcknowledgedBy),
		ResolvedAt: optionalTime(i.ResolvedAt), ResolvedBy: optionalPerson(i.ResolvedBy), Resolution: i.Resolution,
		ClosedAt: optionalTime(i.ClosedAt), AckDueAt: optionalTime(i.AckDueAt), ResolveDueAt: optionalTime(i.ResolveDueAt),
		EscalationLevel: i.EscalationLevel, SuppressedUntil: optionalTime(i.SuppressedUntil), AllowedActions: allowedOn(principal(ctx), i),
	}
	if i.ExposureUSD.Valid {
		text := i.ExposureUSD.Decimal.String()
		v.ExposureUSD = &text
	}
	return v
}

// allowedOn lists what who may do to an incident, by the permission of the routes
// and the rules of the incident.
func allowedOn(who approval.Principal, i incident.Incident) []incident.Verb {
	if !permits(who, IncidentWork) {
		return []incident.Verb{}
	}
	return i.Allowed(who)
}

// optionalID is nil for none.
func optionalID(id int64) *int64 {
	if id == 0 {
		return nil
	}
	return &id
}

// optionalTime is nil for a moment that is not set.
func optionalTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
