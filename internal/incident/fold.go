package incident

import (
	"maps"
	"time"

	"finobs/internal/approval"
	"finobs/internal/desk"
)

// Terms are what a desk promises for incidents of one severity; 0 promises
// nothing.
type Terms struct {
	Acknowledge time.Duration // from opening, until somebody deals with it
	Resolve     time.Duration // from opening, until it is over
}

// Rules are what a desk file says about occurrences; see package deskfile.
type Rules interface {
	Terms(owner string, s desk.Severity) Terms
	// ReopenWindow is how long after its end a condition that holds again is the
	// same incident.
	ReopenWindow() time.Duration
	// RaisedTo is the severity that a number of notices has at least; "" for none.
	RaisedTo(occurrences int64) desk.Severity
}

// Thread is what is known of a dedup key while occurrences are folded into it.
type Thread struct {
	EndedAt time.Time // the latest end that was reported, also one of nothing; zero: none
	Current *Incident // the newest incident of the key, or the survivor of a merge; nil: none
	Merged  bool      // Current has another key: the condition of this one alone does not end it
}

// Fold takes in an occurrence that was not seen before and says what became of
// it. When that is a new incident, or one that is on record as over at once,
// Current is that incident, with ID 0. The result does not depend on the order
// in which occurrences with different times come in, as long as the pauses
// between them are within the reopen window. o.At must be set and not after now.
func (t *Thread) Fold(r Rules, o Occurrence, now time.Time) Folding {
	if !o.Firing {
		return t.end(o, now)
	}
	i := t.Current
	switch {
	case i == nil:
		return t.open(r, o, now)
	case i.Status.Active():
		return i.repeat(r, o, now, !t.Merged)
	case t.Merged:
		return t.open(r, o, now)
	case o.At.Before(i.EndedAt):
		return i.repeat(r, o, now, true) // it came late: what it tells of is over
	case i.Status == Resolved && o.At.Sub(i.EndedAt) <= r.ReopenWindow():
		i.repeat(r, o, now, true)
		i.begin(r, now)
		i.Reopened++
		return Reopened
	}
	return t.open(r, o, now)
}

// end takes in that a condition has ended.
func (t *Thread) end(o Occurrence, now time.Time) Folding {
	i := t.Current
	if !o.AutoResolve {
		if i == nil || !i.Status.Active() {
			return Ignored
		}
		return Updated // noted, and people decide
	}
	t.EndedAt = later(t.EndedAt, o.At)
	if i == nil || t.Merged {
		return Ignored
	}
	i.EndedAt = later(i.EndedAt, o.At)
	if !i.Status.Active() || !o.At.After(i.FiringAt) {
		return Ignored
	}
	i.resolve(Auto(), "its condition ended", now)
	return AutoEnded
}

// open makes a new incident of an occurrence. One whose end was reported before
// it is on record as over at once.
func (t *Thread) open(r Rules, o Occurrence, now time.Time) Folding {
	said := o.Incident
	i := &Incident{
		Kind: said.Kind, Severity: said.Severity, Priority: said.Priority, Title: said.Title, Description: said.Description,
		Desk: said.Desk, Source: said.Source, System: said.System, Owner: said.Owner, DedupKey: said.DedupKey,
		SubjectKind: said.SubjectKind, SubjectID: said.SubjectID, ExposureUSD: said.ExposureUSD, Details: maps.Clone(said.Details),
		Origin: said.Origin, OpenedBy: said.OpenedBy, TraceID: said.TraceID, TransactionID: said.TransactionID,
	}
	i.Start(r, o.At, now)
	t.Current, t.Merged = i, false
	if t.EndedAt.After(o.At) {
		i.EndedAt = t.EndedAt
		i.resolve(Auto(), "its condition had ended before it was reported", now)
		return AutoEnded
	}
	return Opened
}

// Start gives a new incident the first values of what changes in its life.
func (i *Incident) Start(r Rules, at, now time.Time) {
	if i.Priority == "" {
		i.Priority = PriorityOf(i.Severity)
	}
	if i.Details == nil {
		i.Details = map[string]string{}
	}
	i.Version, i.Occurrences, i.OpenedAt, i.UpdatedAt, i.LastSeenAt, i.FiringAt = 0, 1, now, now, now, at
	i.begin(r, now)
	i.LadderRun = 1
}

// begin opens a round: the promises and the ladder count from now on.
func (i *Incident) begin(r Rules, now time.Time) {
	terms := r.Terms(i.Owner, i.Severity)
	i.Status, i.BeganAt, i.EscalationLevel = Open, now, 0
	i.AckDueAt, i.ResolveDueAt = due(now, terms.Acknowledge), due(now, terms.Resolve)
	i.AcknowledgedAt, i.AcknowledgedBy = time.Time{}, approval.Person{}
	i.ResolvedAt, i.ResolvedBy, i.Resolution, i.ClosedAt = time.Time{}, approval.Person{}, "", time.Time{}
	i.restart(now)
	i.moved(now)
}

// restart has the ladder begin anew.
func (i *Incident) restart(now time.Time) {
	i.LadderRun++
	i.LadderFrom, i.Nudge = now, true
}

// moved marks a change that whoever saw the incident before has to know of.
func (i *Incident) moved(now time.Time) {
	i.Version++
	i.UpdatedAt = now
}

func (i *Incident) resolve(by approval.Person, resolution string, now time.Time) {
	i.Status, i.ResolvedAt, i.ResolvedBy, i.Resolution, i.Nudge = Resolved, now, by, resolution, true
	i.moved(now)
}

// repeat counts an occurrence. The latest one has the words, unless it is of
// another key; the worst one has the severity.
func (i *Incident) repeat(r Rules, o Occurrence, now time.Time, speaks bool) Folding {
	i.Occurrences++
	i.LastSeenAt = now
	said, changed := o.Incident, false
	if speaks && !o.At.Before(i.FiringAt) && i.saysOtherwise(said) {
		i.Title, i.Description, i.ExposureUSD, i.Details = said.Title, said.Description, said.ExposureUSD, maps.Clone(said.Details)
		if i.Details == nil {
			i.Details = map[string]string{}
		}
		i.moved(now)
		changed = true
	}
	i.FiringAt = later(i.FiringAt, o.At)
	least := said.Severity
	if i.Notices() {
		least = worse(least, r.RaisedTo(i.Occurrences))
	}
	if !i.SeveritySet && rank(least) > rank(i.Severity) {
		i.SetSeverity(r, least, now)
		changed = true
	}
	if changed {
		return Updated
	}
	return Repeated
}

// Notices reports whether the incident is one into which notices fold.
func (i *Incident) Notices() bool {
	return len(i.DedupKey) > len(NoticesPrefix) && i.DedupKey[:len(NoticesPrefix)] == NoticesPrefix
}

func (i *Incident) saysOtherwise(said Incident) bool {
	return i.Title != said.Title || i.Description != said.Description || !maps.Equal(i.Details, said.Details) ||
		i.ExposureUSD.Valid != said.ExposureUSD.Valid || i.ExposureUSD.Valid && !i.ExposureUSD.Decimal.Equal(said.ExposureUSD.Decimal)
}

// SetSeverity gives an incident another severity. A worse one shortens the
// promises and has the ladder of that severity begin; a better one lengthens
// neither.
func (i *Incident) SetSeverity(r Rules, s desk.Severity, now time.Time) {
	rises := rank(s) > rank(i.Severity)
	i.Severity = s
	if !i.PrioritySet {
		i.Priority = PriorityOf(s)
	}
	i.moved(now)
	if !i.Status.Active() {
		return
	}
	i.Nudge = true
	if !rises {
		return
	}
	terms := r.Terms(i.Owner, s)
	i.ResolveDueAt = sooner(i.ResolveDueAt, due(now, terms.Resolve))
	if i.Status == Open {
		i.AckDueAt = sooner(i.AckDueAt, due(now, terms.Acknowledge))
		i.restart(now)
	}
}

// due is when a promise made at a moment falls due; zero when nothing is promised.
func due(from time.Time, promised time.Duration) time.Time {
	if promised == 0 {
		return time.Time{}
	}
	return from.Add(promised)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// sooner is the earlier of two moments, of which one or both may not be set.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
