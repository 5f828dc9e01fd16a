package incident

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"finobs/internal/approval"
	"finobs/internal/canonical"
	"finobs/internal/desk"
	"finobs/internal/fault"
)

// Verb is something that a person does to an incident, or to a window of
// maintenance.
type Verb string

// The closed set of verbs.
const (
	Acknowledge   Verb = "acknowledge" // I deal with it
	Unacknowledge Verb = "unacknowledge"
	Assign        Verb = "assign"
	Comment       Verb = "comment"
	Resolve       Verb = "resolve"
	Close         Verb = "close"
	Reopen        Verb = "reopen"
	Rate          Verb = "severity"
	Prioritise    Verb = "priority"
	Link          Verb = "link"   // to a transaction
	Adopt         Verb = "parent" // gives it a parent, or none
	Merge         Verb = "merge"  // into another, which survives
	OpenWindow    Verb = "open_window"
	EndWindow     Verb = "end_window"
)

// Verbs lists those that are done to one incident, in the order in which they are
// offered.
func Verbs() []Verb {
	return []Verb{Acknowledge, Unacknowledge, Assign, Comment, Resolve, Close, Reopen, Rate, Prioritise, Link, Adopt, Merge}
}

// maxText is the size of a comment, reason or resolution in bytes.
const maxText = 4000

// Act is something that a person does, bound in full by the API's command. Which
// fields are set depends on the verb.
type Act struct {
	ID         string          `json:"id"` // UUID; an act is done once
	Verb       Verb            `json:"verb"`
	IncidentID int64           `json:"incident_id,omitempty"`
	Version    int64           `json:"version,omitempty"` // the incident's as the person saw it; 0: whatever it is
	Text       string          `json:"text,omitempty"`    // the comment, note, reason or resolution
	To         approval.Person `json:"to"`                // Assign; zero: to nobody
	Severity   desk.Severity   `json:"severity,omitempty"`
	Priority   Priority        `json:"priority,omitempty"`
	Other      int64           `json:"other,omitempty"` // transaction, parent or survivor; 0: none
	WindowID   int64           `json:"window_id,omitempty"`
	Window     *WindowAsked    `json:"window,omitempty"`
}

// WindowAsked is a window of maintenance as a person asks for it.
type WindowAsked struct {
	Title    string    `json:"title"`
	System   string    `json:"system"`
	Source   string    `json:"source"`
	Kind     string    `json:"kind"`
	Desk     string    `json:"desk"`
	StartsAt time.Time `json:"starts_at"`
	EndsAt   time.Time `json:"ends_at"`
}

// Window is the window that is asked for; who asks is not known yet.
func (w WindowAsked) Window() Window {
	return Window{Title: w.Title, System: w.System, Source: w.Source, Kind: w.Kind, Desk: w.Desk, StartsAt: w.StartsAt, EndsAt: w.EndsAt}
}

// Digest is what the API's command is bound to.
func (a Act) Digest() (string, error) {
	o := canonical.Object{
		"id": a.ID, "verb": string(a.Verb), "incident_id": strconv.FormatInt(a.IncidentID, 10), "version": strconv.FormatInt(a.Version, 10),
		"text": a.Text, "to": canonical.Object{"iss": a.To.Issuer, "sub": a.To.Subject}, "severity": string(a.Severity),
		"priority": string(a.Priority), "other": strconv.FormatInt(a.Other, 10), "window_id": strconv.FormatInt(a.WindowID, 10),
	}
	if w := a.Window; w != nil {
		o["window"] = canonical.Object{
			"title": w.Title, "system": w.System, "source": w.Source, "kind": w.Kind, "desk": w.Desk,
			"starts_at": w.StartsAt.UTC().Format(time.RFC3339Nano), "ends_at": w.EndsAt.UTC().Format(time.RFC3339Nano),
		}
	}
	return canonical.Digest("finobs.incident_act.v1", o)
}

// Validate reports the first thing that is wrong with an act by itself, as a
// fault of kind Invalid.
func (a Act) Validate() error {
	bad := func(format string, args ...any) error {
		return fault.New(fault.Invalid, "invalid-act", format, args...)
	}
	switch {
	case len(a.Text) > maxText:
		return bad("the text is over %d bytes", maxText)
	case !utf8.ValidString(a.Text) || strings.ContainsRune(a.Text, 0):
		return bad("the text holds a NUL or bytes that are not UTF-8")
	case strings.TrimSpace(a.Text) == "" && slices.Contains([]Verb{Comment, Resolve, Reopen, Rate, Prioritise, Merge}, a.Verb):
		return bad("say why, or what: %s needs a text", a.Verb)
	case slices.Contains(Verbs(), a.Verb) && a.IncidentID < 1:
		return bad("%s names no incident", a.Verb)
	case a.Other < 0 || a.Version < 0:
		return bad("an id or the version is negative")
	}
	switch a.Verb {
	case Rate:
		if !a.Severity.Valid() {
			return bad("severity %q must be low, medium, high or critical", a.Severity)
		}
	case Prioritise:
		if !a.Priority.Valid() {
			return bad("priority %q must be p1, p2, p3 or p4", a.Priority)
		}
	case Merge:
		if a.Other == 0 {
			return bad("name the incident that survives")
		}
	case OpenWindow:
		if a.Window == nil {
			return bad("say when the window begins and ends, and what it covers")
		}
		return a.Window.Window().Validate()
	case EndWindow:
		if a.WindowID < 1 {
			return bad("name the window")
		}
	case Acknowledge, Unacknowledge, Assign, Comment, Resolve, Close, Reopen, Link, Adopt:
	default:
		return bad("%q is nothing that can be done to an incident", a.Verb)
	}
	if (a.Verb == Adopt || a.Verb == Merge) && a.Other == a.IncidentID {
		return bad("an incident is not its own parent or survivor")
	}
	return nil
}
