package incident

import (
	"strings"
	"time"
	"unicode/utf8"

	"finobs/internal/approval"
	"finobs/internal/fault"
)

// Any matches every system, source, kind or desk.
const Any = "*"

// maxWindow is how long a window of maintenance may last; for longer, mend what
// pages.
const maxWindow = 31 * 24 * time.Hour

// Window is a time of maintenance. Incidents that match all four patterns open,
// and page nobody before its end. A pattern is a text, compared exactly, or Any.
type Window struct {
	ID        int64
	Title     string
	System    string
	Source    string
	Kind      string
	Desk      string
	StartsAt  time.Time
	EndsAt    time.Time // the first moment at which it is over
	CreatedBy approval.Person
	CreatedAt time.Time
	EndedAt   time.Time // by a person, before its time; zero: not
	EndedBy   approval.Person
}

// Validate reports the first thing that is wrong with a window, as a fault of
// kind Invalid.
func (w Window) Validate() error {
	bad := func(format string, args ...any) error {
		return fault.New(fault.Invalid, "invalid-window", format, args...)
	}
	text := w.Title + w.System + w.Source + w.Kind + w.Desk
	switch {
	case strings.TrimSpace(w.Title) == "" || len(w.Title) > MaxTitle:
		return bad("the window's title must have 1 to %d bytes", MaxTitle)
	case w.System == "" || w.Source == "" || w.Kind == "" || w.Desk == "":
		return bad("system, source, kind and desk must each be a name, or * for any")
	case max(len(w.System), len(w.Source), len(w.Kind), len(w.Desk)) > maxName:
		return bad("a pattern is over %d bytes", maxName)
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return bad("the window holds a NUL or bytes that are not UTF-8")
	case w.Kind != Any && !Kind(w.Kind).Valid():
		return bad("kind %q must be trade_break, failed_settlement, system_outage, other or *", w.Kind)
	case !w.EndsAt.After(w.StartsAt):
		return bad("the window ends at %s, not after its start at %s", w.EndsAt.Format(time.RFC3339), w.StartsAt.Format(time.RFC3339))
	case w.EndsAt.Sub(w.StartsAt) > maxWindow:
		return bad("a window lasts %d days at most", maxWindow/(24*time.Hour))
	}
	return nil
}

// In reports whether now is within the window.
func (w Window) In(now time.Time) bool {
	return !now.Before(w.StartsAt) && now.Before(w.EndsAt) && (w.EndedAt.IsZero() || now.Before(w.EndedAt))
}

// Covers reports whether the window is about an incident.
func (w Window) Covers(i Incident) bool {
	for _, p := range [][2]string{{w.System, i.System}, {w.Source, i.Source}, {w.Kind, string(i.Kind)}, {w.Desk, i.Desk}} {
		if p[0] != Any && p[0] != p[1] {
			return false
		}
	}
	return true
}

// SuppressedBy says until when windows keep an incident from paging anybody now;
// zero when they do not.
func (i Incident) SuppressedBy(windows []Window, now time.Time) time.Time {
	var until time.Time
	for _, w := range windows {
		if w.In(now) && w.Covers(i) {
			until = later(until, w.EndsAt)
		}
	}
	return until
}

// Suppress takes up what windows say now, and reports whether that changed
// anything. The promise to acknowledge an open incident counts from when it pages
// again; so does its ladder.
func (i *Incident) Suppress(r Rules, windows []Window, now time.Time) bool {
	until := i.SuppressedBy(windows, now)
	if until.Equal(i.SuppressedUntil) {
		return false
	}
	i.SuppressedUntil = until
	if i.Status != Open {
		return true
	}
	i.AckDueAt = due(later(now, until), r.Terms(i.Owner, i.Severity).Acknowledge)
	if until.IsZero() {
		i.restart(now)
	}
	return true
}
