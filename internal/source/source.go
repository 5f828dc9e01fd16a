// Package source says where events come from: under which name, in whose form, and
// how a sender without a token of finobs proves who it is.
package source

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"finobs/internal/alert"
	"finobs/internal/event"
	"finobs/internal/fault"
	"finobs/internal/inbound"
	"finobs/internal/incident"
)

// Kind is in whose form a source sends: one of alert.Kinds, or one of these.
type Kind string

// The kinds beside those of alerts.
const (
	FIX       Kind = "fix"       // logs and drop copies
	Heartbeat Kind = "heartbeat" // see event.ReadHeartbeats
)

// Alert reports whether k is a kind of alerts.
func (k Kind) Alert() bool { return alert.Kind(k).Valid() }

// Kinds lists all of them.
func Kinds() []Kind {
	out := []Kind{FIX, Heartbeat}
	for _, k := range alert.Kinds() {
		out = append(out, Kind(k))
	}
	return out
}

// Source is somebody who sends.
type Source struct {
	Name     string
	Kind     Kind
	Desk     string // of the incidents that it opens; empty: of no desk
	Currency string // ISO 4217, of executions of a FIX source that name none; empty: they must

	Mapping  *alert.Mapping    // of a generic source
	Verifier *inbound.Verifier // nil: senders need a token of finobs
}

var namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,63}$`)

// Reserved lists the names that routes of their own have.
func Reserved() []string { return []string{"fails", "trades", "confirmations"} }

// Sources are those that an API knows.
type Sources struct {
	byName map[string]Source
}

// DropCopy is the name of the default source of drop copies: the book of one's own
// executions, which the shipped profile of reconciliation compares with a broker's.
const DropCopy = "dropcopy"

// Default are the sources that are there without a file: one of each kind but the
// generic one, named by it, and DropCopy. Their senders need a token.
func Default() *Sources {
	s := &Sources{byName: map[string]Source{DropCopy: {Name: DropCopy, Kind: FIX}}}
	for _, k := range Kinds() {
		if k != Kind(alert.Generic) {
			s.byName[string(k)] = Source{Name: string(k), Kind: k}
		}
	}
	return s
}

// Get finds a source; a fault of kind NotFound when there is none of that name.
func (s *Sources) Get(name string) (Source, error) {
	found, known := s.byName[name]
	if !known {
		return found, fault.New(fault.NotFound, "no-such-source", "there is no source %q; known are %s", event.Cut(name, 64), strings.Join(s.Names(), ", "))
	}
	return found, nil
}

// Names lists the sources by name.
func (s *Sources) Names() []string {
	names := make([]string, 0, len(s.byName))
	for name := range s.byName {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Alerts reads a body and says what happened, and notes on what was cut or
// supposed. received stands in where the sender states no time.
func (s Source) Alerts(body []byte, contentSHA256 string, origin incident.Origin, received time.Time, traceID string) ([]event.Event, []string, error) {
	alerts, err := s.read(body)
	if err != nil {
		return nil, nil, err
	}
	out := make([]event.Event, 0, len(alerts))
	var notes []string
	for i, a := range alerts {
		for _, n := range a.Notes {
			notes = append(notes, fmt.Sprintf("alert %d: %s", i, n))
		}
		e := event.Event{
			Source: s.Name, Key: a.Key, Timeless: a.Timeless, Kind: event.Alert, State: event.State(a.State), Severity: event.Severity(a.Severity),
			Fingerprint: a.Fingerprint, System: a.System, Title: a.Title, Detail: a.Description, Labels: a.Labels, URL: a.URL,
			OccurredAt: occurred(a, received), ReceivedAt: received, ContentSHA256: contentSHA256, Origin: origin, TraceID: traceID,
		}
		if err := e.Validate(); err != nil {
			return nil, nil, err
		}
		out = append(out, e)
	}
	return out, notes, nil
}

func (s Source) read(body []byte) ([]alert.Alert, error) {
	if s.Kind == Kind(alert.Generic) {
		return s.Mapping.Read(body)
	}
	return alert.Read(alert.Kind(s.Kind), body)
}

// occurred is when the state that an alert tells of began.
func occurred(a alert.Alert, received time.Time) time.Time {
	at := a.StartsAt
	if a.State == alert.Resolved && !a.EndsAt.IsZero() {
		at = a.EndsAt
	}
	if at.IsZero() || a.State == alert.Resolved && a.EndsAt.IsZero() && !a.At.IsZero() {
		at = a.At
	}
	if at.IsZero() || at.After(received) { // a sender's clock that is ahead must not hide what comes later
		at = received
	}
	return at
}
