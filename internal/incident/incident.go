// Package incident holds what an incident is. It is pure.
package incident

import (
	"strings"
	"time"
	"unicode/utf8"

	"finobs/internal/approval"
	"finobs/internal/desk"
	"finobs/internal/fault"

	"github.com/shopspring/decimal"
)

// Kind classifies incidents.
type Kind string

// The closed set of kinds.
const (
	TradeBreak       Kind = "trade_break"
	FailedSettlement Kind = "failed_settlement"
	SystemOutage     Kind = "system_outage"
	Other            Kind = "other"
)

// Valid reports whether k is one of the kinds above.
func (k Kind) Valid() bool {
	return k == TradeBreak || k == FailedSettlement || k == SystemOutage || k == Other
}

// Origin tells rows of the demonstration from rows of the desk.
type Origin string

// The closed set of origins.
const (
	Live Origin = "live"
	Demo Origin = "demo"
)

// Valid reports whether o is one of the origins above.
func (o Origin) Valid() bool { return o == Live || o == Demo }

// Limits on text, in bytes.
const (
	MaxTitle       = 200
	MaxDescription = 4000
	maxName        = 200
)

// Incident is something that a desk has to deal with. Its moments are the
// database's, except FiringAt and EndedAt, which are its source's.
type Incident struct {
	ID          int64
	Kind        Kind
	Severity    desk.Severity
	Priority    Priority
	Status      Status
	Title       string
	Description string
	Desk        string
	Source      string // what opened it
	System      string // where it is wrong, such as the name of a gateway
	Owner       string // the queue that has to deal with it
	DedupKey    string // at most one open incident has it
	SubjectKind string // such as "security"
	SubjectID   string // such as a CUSIP
	ExposureUSD decimal.NullDecimal
	Details     map[string]string
	Origin      Origin
	OpenedBy    approval.Principal
	Version     int64 // moves with everything that is more than a repetition
	TraceID     string
	OpenedAt    time.Time
	UpdatedAt   time.Time

	SeveritySet   bool            // by a person: no machine changes it again
	PrioritySet   bool            // by a person: it does not follow the severity any more
	Assignee      approval.Person // zero: nobody
	ParentID      int64           // 0: none
	MergedInto    int64           // 0: not merged
	TransactionID int64           // 0: not linked

	Occurrences int64 // how often it was reported, each occurrence once
	LastSeenAt  time.Time
	FiringAt    time.Time // the latest moment at which its condition held
	EndedAt     time.Time // the latest moment at which it is known to have ended; zero: never

	Reopened       int       // how often
	BeganAt        time.Time // when it was opened, or reopened last
	AcknowledgedAt time.Time // zero: nobody has, or he took it back
	AcknowledgedBy approval.Person
	ResolvedAt     time.Time
	ResolvedBy     approval.Person // Auto: its condition ended
	Resolution     string
	ClosedAt       time.Time

	AckDueAt        time.Time // by when somebody is to acknowledge it; zero: nothing is promised
	ResolveDueAt    time.Time
	EscalationLevel int
	LadderRun       int       // counts how often the ladder began
	LadderFrom      time.Time // when it began last
	SuppressedUntil time.Time // nobody is paged before; zero: not suppressed
	Nudge           bool      // its life is to look at it; only ever written
	LifeRunID       string    // first run of the workflow that looked at it last; empty: none has
}

// Auto is who resolves an incident whose condition ended, and closes one that
// stayed resolved.
func Auto() approval.Person { return approval.Person{Issuer: "finobs", Subject: "auto"} }

// NoticesPrefix begins the dedup key under which notices of one system fold into
// one incident, whose severity rises with their number.
const NoticesPrefix = "notices:"

// Validate reports the first thing about i that keeps it from being opened, as a
// fault of kind Invalid.
func (i Incident) Validate() error {
	bad := func(format string, args ...any) error {
		return fault.New(fault.Invalid, "invalid-incident", format, args...)
	}
	switch {
	case !i.Kind.Valid():
		return bad("kind %q must be trade_break, failed_settlement, system_outage or other", i.Kind)
	case !i.Severity.Valid():
		return bad("severity %q must be low, medium, high or critical", i.Severity)
	case !i.Origin.Valid():
		return bad("origin %q must be live or demo", i.Origin)
	case strings.TrimSpace(i.Title) == "" || len(i.Title) > MaxTitle:
		return bad("the title must have 1 to %d bytes", MaxTitle)
	case len(i.Description) > MaxDescription:
		return bad("the description has %d bytes, over the limit of %d", len(i.Description), MaxDescription)
	case i.DedupKey == "" || len(i.DedupKey) > maxName:
		return bad("the dedup key must have 1 to %d bytes", maxName)
	case len(i.SubjectKind) > maxName || len(i.SubjectID) > maxName:
		return bad("the subject's kind or id is over %d bytes", maxName)
	case len(i.System) > maxName || len(i.Owner) > maxName:
		return bad("the system or the owner is over %d bytes", maxName)
	case i.Priority != "" && !i.Priority.Valid():
		return bad("priority %q must be p1, p2, p3 or p4", i.Priority)
	}
	for name, text := range map[string]string{
		"title": i.Title, "description": i.Description, "dedup key": i.DedupKey, "subject": i.SubjectKind + i.SubjectID,
		"system": i.System, "owner": i.Owner,
	} {
		if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			return bad("the %s is not valid text: it holds a NUL or bytes that are not UTF-8", name)
		}
	}
	return nil
}
