package incident

import (
	"time"

	"finobs/internal/approval"
)

// Do does an act that concerns one incident alone. The caller has asked MayAct,
// and checks what the act names; who is a person.
func (i *Incident) Do(r Rules, a Act, who approval.Person, now time.Time) {
	switch a.Verb {
	case Acknowledge:
		i.acknowledge(who, now)
		if i.Assignee.Subject == "" {
			i.Assignee = who
		}
	case Unacknowledge:
		// The promise stays as it was: taking a word back gains no time.
		i.Status, i.AcknowledgedAt, i.AcknowledgedBy = Open, time.Time{}, approval.Person{}
		i.restart(now)
	case Assign:
		i.Assignee = a.To
	case Resolve:
		if i.AcknowledgedAt.IsZero() { // whoever ends it has seen it
			i.acknowledge(who, now)
		}
		i.EndedAt = later(i.EndedAt, now)
		i.resolve(who, a.Text, now)
		return
	case Close:
		i.Status, i.ClosedAt, i.Nudge = Closed, now, true
	case Reopen:
		i.begin(r, now)
		i.Reopened++
		i.FiringAt = later(i.FiringAt, now) // so that an end from before does not end it again
		return
	case Rate:
		i.SeveritySet = true
		i.SetSeverity(r, a.Severity, now)
		return
	case Prioritise:
		i.Priority, i.PrioritySet = a.Priority, true
	case Link:
		i.TransactionID = a.Other
	case Adopt:
		i.ParentID = a.Other
	case Comment, Merge, OpenWindow, EndWindow:
		return
	}
	i.moved(now)
}

func (i *Incident) acknowledge(who approval.Person, now time.Time) {
	i.Status, i.AcknowledgedAt, i.AcknowledgedBy, i.Nudge = Acknowledged, now, who, true
}

// CloseItself closes an incident that stayed resolved.
func (i *Incident) CloseItself(now time.Time) {
	i.Status, i.ClosedAt = Closed, now
	i.moved(now)
}

// Absorb merges another incident into i, which survives. What was said about the
// other, its occurrences and its children are moved by the caller; so are children
// of i's that it was one of.
func (i *Incident) Absorb(r Rules, other *Incident, now time.Time) {
	i.Occurrences += other.Occurrences
	i.LastSeenAt, i.FiringAt = later(i.LastSeenAt, other.LastSeenAt), later(i.FiringAt, other.FiringAt)
	if i.TransactionID == 0 {
		i.TransactionID = other.TransactionID
	}
	if i.ParentID == other.ID {
		i.ParentID = 0
	}
	if !i.SeveritySet && rank(other.Severity) > rank(i.Severity) {
		i.SetSeverity(r, other.Severity, now)
	}
	i.moved(now)
	other.Status, other.MergedInto, other.ClosedAt, other.ParentID, other.Nudge = Closed, i.ID, now, 0, true
	other.moved(now)
}
