package approval

import (
	"slices"
	"time"
)

// NoticeKind says what a notice is about.
type NoticeKind string

// The closed set of kinds of notices.
const (
	NoticeRequested      NoticeKind = "approval.requested"
	NoticeReminder       NoticeKind = "approval.reminder"
	NoticeEscalation     NoticeKind = "approval.escalation"
	NoticeNobodyEligible NoticeKind = "approval.nobody_eligible"
	NoticeOutcome        NoticeKind = "approval.outcome"

	NoticeIncident          NoticeKind = "incident.reminder"   // tells those who have it
	NoticeIncidentEscalated NoticeKind = "incident.escalation" // tells others
	NoticeIncidentOverdue   NoticeKind = "incident.overdue"    // is not resolved in time
)

// Occasions on which a request is told of, beside the rungs of its ladder.
const (
	OccasionRequested      = "requested"
	OccasionNobodyEligible = "nobody-eligible"
	OccasionOutcome        = "outcome"
)

// NoticeStatus is where a notice stands.
type NoticeStatus string

// The closed set of statuses of a notice.
const (
	NoticeQueued  NoticeStatus = "queued"
	NoticeSending NoticeStatus = "sending" // an attempt began; what became of it is not on record
	NoticeSent    NoticeStatus = "sent"
	NoticeSkipped NoticeStatus = "skipped" // there was no need any more, or no such channel
	NoticeDead    NoticeStatus = "dead"    // every attempt failed; a person may send it again
	NoticeUnknown NoticeStatus = "unknown" // it may have arrived; only a person sends it again
)

// Notice tells people about a request or an incident: once per occasion, whatever
// restarts.
type Notice struct {
	ID           string
	ApprovalID   int64  // 0: about an incident
	IncidentID   int64  // 0: about a request
	Occasion     string // unique within the request or incident: requested, outcome, or the name of a rung
	Kind         NoticeKind
	Channel      string
	Recipients   []Recipient
	Subject      string
	Body         string
	WhilePending bool // not sent once the request is decided, or the incident acknowledged or over
	Status       NoticeStatus
	Detail       string // what the last attempt said
	Attempts     int
	Round        int // 1, and one more for each re-send by a person
	TraceID      string
	CreatedAt    time.Time
	UpdatedAt    time.Time
}

// Recipient is somebody whom a notice is for.
type Recipient struct {
	Person
	Email string `json:"email"`
}

// Printable shows untrusted text so that it stays on its line and hides nothing.
func Printable(text string) string { return plain(text) }

// WithRole lists the active people who have a role.
func (r Roster) WithRole(role string) []Member {
	var out []Member
	for _, m := range r.people() {
		if slices.Contains(m.Roles, role) {
			out = append(out, m)
		}
	}
	return out
}

// NextRung is the first rung of a kind, or of any kind when it is "", that has
// not fired.
func (p *Policy) NextRung(kind RungKind, fired []string) (Rung, bool) {
	for _, r := range p.Ladder {
		if (kind == "" || r.Kind == kind) && !slices.Contains(fired, r.Name) {
			return r, true
		}
	}
	return Rung{}, false
}
