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

// Status is where an incident stands.
type Status string

// The closed set of statuses.
const (
	Open         Status = "open"
	Acknowledged Status = "acknowledged"
	Resolved     Status = "resolved"
	Closed       Status = "closed"
)

// Valid reports whether s is one of the statuses above.
func (s Status) Valid() bool {
	return s == Open || s == Acknowledged || s == Resolved || s == Closed
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

// Incident is something that a desk has to deal with.
type Incident struct {
	ID          int64
	Kind        Kind
	Severity    desk.Severity
	Status      Status
	Title       string
	Description string
	Desk        string
	Source      string // what opened it
	DedupKey    string // at most one open incident has it
	SubjectKind string // such as "security"
	SubjectID   string // such as a CUSIP
	ExposureUSD decimal.NullDecimal
	Details     map[string]string
	Origin      Origin
	OpenedBy    approval.Principal
	Version     int64
	TraceID     string
	OpenedAt    time.Time
	UpdatedAt   time.Time
}

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
	}
	for name, text := range map[string]string{
		"title": i.Title, "description": i.Description, "dedup key": i.DedupKey, "subject": i.SubjectKind + i.SubjectID,
	} {
		if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			return bad("the %s is not valid text: it holds a NUL or bytes that are not UTF-8", name)
		}
	}
	return nil
}
