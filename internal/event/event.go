// Package event says what gateways, monitors and systems report, and which of it
// is a condition that a desk has to deal with. It is pure.
package event

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"finobs/internal/desk"
	"finobs/internal/fault"
	"finobs/internal/incident"
)

// Kind says what happened.
type Kind string

// The closed set of kinds.
const (
	Alert          Kind = "alert"           // a monitor's condition began or ended
	OrderReject    Kind = "order_reject"    // FIX execution report with OrdStatus 8
	CancelReject   Kind = "cancel_reject"   // FIX 35=9
	BusinessReject Kind = "business_reject" // FIX 35=j
	SessionReject  Kind = "session_reject"  // FIX 35=3
	DontKnowTrade  Kind = "dont_know_trade" // FIX 35=Q
	SequenceGap    Kind = "sequence_gap"    // of a FIX session
	Disconnect     Kind = "disconnect"      // of a FIX session
	Logon          Kind = "logon"           // of a FIX session
	Logout         Kind = "logout"          // of a FIX session
	TradeBust      Kind = "trade_bust"      // FIX ExecType H, or ExecTransType 1
	TradeCorrect   Kind = "trade_correct"   // FIX ExecType G, or ExecTransType 2
)

// Kinds lists all of them.
func Kinds() []Kind {
	return []Kind{
		Alert, OrderReject, CancelReject, BusinessReject, SessionReject, DontKnowTrade, SequenceGap, Disconnect, Logon, Logout, TradeBust, TradeCorrect,
	}
}

// Valid reports whether k is one of the kinds above.
func (k Kind) Valid() bool { return slices.Contains(Kinds(), k) }

// Rejects lists the kinds by which a counterparty refuses what was sent to it.
func Rejects() []Kind {
	return []Kind{OrderReject, CancelReject, BusinessReject, SessionReject, DontKnowTrade}
}

// State says whether a condition holds from here on.
type State string

// The closed set of states.
const (
	Firing       State = "firing"
	Acknowledged State = "acknowledged" // by somebody in the sender's own system
	Resolved     State = "resolved"
	Point        State = "point" // it happened, and that is all
)

// Severity is how urgent the sender says it is: those of a desk, and Info below
// them.
type Severity string

// The closed set of severities.
const (
	Info     Severity = "info"
	Low      Severity = "low"
	Medium   Severity = "medium"
	High     Severity = "high"
	Critical Severity = "critical"
)

// Desk is the severity that an incident gets.
func (s Severity) Desk() desk.Severity {
	if s == Info {
		return desk.Low
	}
	return desk.Severity(s)
}

// Bounds on text, in bytes.
const (
	MaxKey    = 200
	MaxTitle  = incident.MaxTitle
	MaxDetail = incident.MaxDescription
	maxSystem = 200
	maxURL    = 2048
	maxLabels = 64
)

// Event is one thing that a source reported.
type Event struct {
	ID            int64 // 0 until it is recorded
	Source        string
	Key           string // the same event has the same key, however often it is sent
	Timeless      bool   // the source states neither an id nor a time: the key is that of the state alone
	Kind          Kind
	State         State
	Severity      Severity
	Fingerprint   string // of the condition: the same when it begins and when it ends
	System        string // what it is about; empty when not known
	Title         string
	Detail        string
	Ref           string // what it refers to: the trade that is busted
	Labels        map[string]string
	URL           string
	OccurredAt    time.Time // by its source
	ReceivedAt    time.Time
	ContentSHA256 string // hexadecimal, of the payload or file that it stood in
	Line          int    // of the file, from 1; 0 in a payload
	Origin        incident.Origin
	TraceID       string
}

// Validate reports the first thing about e that keeps it from being recorded, as
// a fault of kind Invalid.
func (e Event) Validate() error {
	bad := func(format string, args ...any) error {
		return fault.New(fault.Invalid, "invalid-event", format, args...)
	}
	switch {
	case !e.Kind.Valid():
		return bad("kind %q is not known", e.Kind)
	case e.State != Firing && e.State != Acknowledged && e.State != Resolved && e.State != Point:
		return bad("state %q must be firing, acknowledged, resolved or point", e.State)
	case e.Severity != Info && !e.Severity.Desk().Valid():
		return bad("severity %q must be info, low, medium, high or critical", e.Severity)
	case e.Source == "" || e.Key == "" || len(e.Key) > MaxKey:
		return bad("the source must be named, and the key must have 1 to %d bytes", MaxKey)
	case !e.Origin.Valid():
		return bad("origin %q must be live or demo", e.Origin)
	case len(e.Title) > MaxTitle || len(e.Detail) > MaxDetail || len(e.System) > maxSystem || len(e.Source) > maxSystem,
		len(e.Fingerprint) > MaxKey || len(e.Ref) > MaxKey || len(e.URL) > maxURL:
		return bad("a text of event %s is too long", e.Key)
	case len(e.Labels) > maxLabels:
		return bad("event %s has %d labels, over the limit of %d", e.Key, len(e.Labels), maxLabels)
	case !Plausible(e.OccurredAt):
		return bad("event %s has the time %s, outside the years %d to %d", e.Key, e.OccurredAt.Format(time.RFC3339), minYear, maxYear)
	}
	texts := []string{e.Source, e.Key, e.Fingerprint, e.System, e.Title, e.Detail, e.Ref, e.URL}
	for name, value := range e.Labels {
		texts = append(texts, name, value)
	}
	for _, text := range texts {
		if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			return bad("a text of event %s holds a NUL or bytes that are not UTF-8", e.Key)
		}
	}
	return nil
}

// Times outside these years are mistakes of a clock or of a unit.
const (
	minYear = 1990
	maxYear = 2100
)

// Plausible reports whether an event may have happened at a time.
func Plausible(at time.Time) bool {
	year := at.UTC().Year()
	return year >= minYear && year <= maxYear
}

// Cut returns the valid UTF-8 in the first n bytes of s.
func Cut(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "")
}

// Latest is the newest event of a condition: its state, its key, and how many came
// before it. The zero value is of a condition without events.
type Latest struct {
	State State
	Key   string
	Count int64
}

// Settle gives an event without id and time its key, and returns it as the newest
// of its condition.
func (e *Event) Settle(l Latest) Latest {
	if l.State == e.State {
		e.Key = l.Key
		return l
	}
	e.Key = Bounded(e.Key + "#" + strconv.FormatInt(l.Count, 10))
	return Latest{State: e.State, Key: e.Key, Count: l.Count + 1}
}
