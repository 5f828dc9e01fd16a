// Package detect says which conditions finobs looks for by itself, and what each
// makes of what is on record. It is pure: the record is read by others.
package detect

import (
	"fmt"
	"slices"
	"time"

	"finobs/internal/approval"
	"finobs/internal/desk"
	"finobs/internal/event"
	"finobs/internal/fault"
	"finobs/internal/incident"
)

// Name names a detector.
type Name string

// The closed set of detectors.
const (
	TradeBreaks       Name = "trade_breaks"       // breaks that reconciliation found
	FailedSettlements Name = "failed_settlements" // balances that fail too long, and trades that failed
	SilentSystems     Name = "silent_systems"     // systems whose heartbeats have stopped
	RejectBursts      Name = "reject_bursts"      // many refusals in a short time
	StaleFeeds        Name = "stale_feeds"        // sources that have sent nothing for too long
	UnknownOutcomes   Name = "unknown_outcomes"   // sendings of which nobody knows what became
)

// Names lists all of them.
func Names() []Name {
	return []Name{TradeBreaks, FailedSettlements, SilentSystems, RejectBursts, StaleFeeds, UnknownOutcomes}
}

// Describe says in a sentence what a detector looks for.
func (n Name) Describe() string {
	switch n {
	case TradeBreaks:
		return "Breaks between two books that reconciliation found and that are open."
	case FailedSettlements:
		return "Securities that fail the share test of Regulation SHO, and trades whose source says that settlement failed."
	case SilentSystems:
		return "Systems of which no heartbeat came for several of their own periods."
	case RejectBursts:
		return "Many refusals of orders or messages by one system within a short time."
	case StaleFeeds:
		return "Sources that have sent nothing for longer than they may within their hours."
	case UnknownOutcomes:
		return "Notifications and deliveries whose outcome is not known, or which failed for good, and that nobody has looked after."
	}
	return ""
}

// Source is what incidents say opened them.
func (n Name) Source() string { return "detector:" + string(n) }

// Spec says how a detector works on a desk.
type Spec struct {
	Name     Name
	Enabled  bool
	Every    time.Duration
	Owner    string        // the queue of its incidents
	Severity desk.Severity // of its incidents, where the condition says nothing better
	Window   time.Duration // reject_bursts: within which refusals are counted
	Count    int           // reject_bursts: from which number on they are a burst; trade_breaks: breaks of one type and owner beyond which they are one incident
	Missed   int           // silent_systems: periods without a heartbeat
	After    time.Duration // unknown_outcomes: how long an outcome may be unknown
	Feeds    []Feed        // stale_feeds
}

// Defaults are the detectors of a desk that says nothing about them.
func Defaults() []Spec {
	return []Spec{
		{Name: TradeBreaks, Enabled: true, Every: time.Minute, Owner: "trade-support", Severity: desk.Medium, Count: 100},
		{Name: FailedSettlements, Enabled: true, Every: 15 * time.Minute, Owner: "settlements", Severity: desk.Medium},
		{Name: SilentSystems, Enabled: true, Every: 10 * time.Second, Owner: "technology", Severity: desk.High, Missed: 3},
		{Name: RejectBursts, Enabled: true, Every: 10 * time.Second, Owner: "trading", Severity: desk.High, Window: 5 * time.Minute, Count: 10},
		{Name: StaleFeeds, Enabled: true, Every: 30 * time.Second, Owner: "technology", Severity: desk.High},
		{Name: UnknownOutcomes, Enabled: true, Every: time.Minute, Owner: "operations", Severity: desk.High, After: 15 * time.Minute},
	}
}

// Validate reports what is wrong with a spec.
func (s Spec) Validate() error {
	switch {
	case !slices.Contains(Names(), s.Name):
		return fmt.Errorf("there is no detector %q; known are %v", s.Name, Names())
	case s.Every < time.Second || s.Every > 24*time.Hour:
		return fmt.Errorf("%s: every %s must be 1s to 24h", s.Name, s.Every)
	case !s.Severity.Valid():
		return fmt.Errorf("%s: severity %q must be low, medium, high or critical", s.Name, s.Severity)
	case len(s.Owner) > event.MaxKey:
		return fmt.Errorf("%s: the owner's name is too long", s.Name)
	case s.Name == RejectBursts && (s.Window < time.Second || s.Window > 24*time.Hour || s.Count < 2):
		return fmt.Errorf("%s: window must be 1s to 24h, and count at least 2", s.Name)
	case s.Name == TradeBreaks && s.Count < 1:
		return fmt.Errorf("%s: count must be at least 1", s.Name)
	case s.Name == SilentSystems && s.Missed < 1:
		return fmt.Errorf("%s: missed must be at least 1", s.Name)
	case s.Name == UnknownOutcomes && s.After < 0:
		return fmt.Errorf("%s: after must not be negative", s.Name)
	}
	for i, f := range s.Feeds {
		if err := f.validate(); err != nil {
			return fmt.Errorf("%s: feeds[%d]: %w", s.Name, i, err)
		}
	}
	return nil
}

// Find finds a spec by its name; a fault of kind NotFound when there is no such
// detector.
func Find(specs []Spec, name string) (Spec, error) {
	for _, s := range specs {
		if string(s.Name) == name {
			return s, nil
		}
	}
	return Spec{}, fault.New(fault.NotFound, "no-such-detector", "there is no detector %q; known are %v", event.Cut(name, 64), Names())
}

// begin is the occurrence of a condition that holds since a moment. It counts once
// for that moment, however often the detector runs.
func (s Spec) begin(key string, since time.Time, i incident.Incident) incident.Occurrence {
	i.Source, i.DedupKey, i.OpenedBy, i.Status = s.Name.Source(), event.Bounded(key), event.Detector(), incident.Open
	if i.Severity == "" {
		i.Severity = s.Severity
	}
	if i.Owner == "" {
		i.Owner = s.Owner
	}
	if i.Details == nil {
		i.Details = map[string]string{}
	}
	i.Title, i.Description = event.Cut(i.Title, event.MaxTitle), event.Cut(i.Description, event.MaxDetail)
	return incident.Occurrence{
		Key: event.Bounded(key + "@" + since.UTC().Format(time.RFC3339Nano)), Firing: true, At: since, AutoResolve: true, Incident: i,
	}
}

// Ended are the ends of the conditions that a detector opened incidents for and
// that do not hold any more: open are the dedup keys of these incidents, hold those
// of the conditions that hold.
func (s Spec) Ended(open, hold []string, now time.Time) []incident.Occurrence {
	holds := map[string]bool{}
	for _, key := range hold {
		holds[key] = true
	}
	var out []incident.Occurrence
	for _, key := range open {
		if !holds[key] {
			out = append(out, incident.Occurrence{
				Key: event.Bounded(key + "@end@" + now.UTC().Format(time.RFC3339Nano)), At: now, AutoResolve: true,
				Incident: incident.Incident{DedupKey: key, Source: s.Name.Source()},
			})
		}
	}
	return out
}

// Run is what a run of a detector found.
type Run struct {
	ID         string // UUID
	Detector   Name
	WorkflowID string
	StartedAt  time.Time
	Examined   int64           // things that it looked at
	Found      int64           // conditions that hold
	Opened     int64           // incidents
	Resolved   int64           // incidents
	AskedBy    approval.Person // zero: it was due
}
