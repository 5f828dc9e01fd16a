package incident

import (
	"slices"

	"finobs/internal/desk"
)

// Status is where an incident stands.
type Status string

// The closed set of statuses.
const (
	Open         Status = "open"         // nobody has said that he deals with it
	Acknowledged Status = "acknowledged" // somebody deals with it
	Resolved     Status = "resolved"     // it is over; it may come back
	Closed       Status = "closed"       // it is over and stays so, or was merged into another
)

// Statuses lists all of them in the order of an incident's life.
func Statuses() []Status { return []Status{Open, Acknowledged, Resolved, Closed} }

// Valid reports whether s is one of the statuses above.
func (s Status) Valid() bool { return slices.Contains(Statuses(), s) }

// Active reports whether somebody has something to do about the incident. At most
// one incident per dedup key is active.
func (s Status) Active() bool { return s == Open || s == Acknowledged }

// CanBecome reports whether an incident may go from s to next. A merge closes an
// incident from wherever it stands; nothing leads away from a merge. The trigger
// incident_status_moves_as_it_may holds everybody to it.
func (s Status) CanBecome(next Status, merged bool) bool {
	if merged {
		return s.Valid() && next == Closed
	}
	switch s {
	case Open:
		return next == Acknowledged || next == Resolved
	case Acknowledged:
		return next == Open || next == Resolved
	case Resolved:
		return next == Open || next == Closed
	case Closed:
		return next == Open
	}
	return false
}

// Priority is in which order a desk deals with incidents; p1 comes first.
type Priority string

// The closed set of priorities.
const (
	P1 Priority = "p1"
	P2 Priority = "p2"
	P3 Priority = "p3"
	P4 Priority = "p4"
)

// Priorities lists all of them, the most urgent first.
func Priorities() []Priority { return []Priority{P1, P2, P3, P4} }

// Valid reports whether p is one of the priorities above.
func (p Priority) Valid() bool { return slices.Contains(Priorities(), p) }

// PriorityOf is the priority that an incident has by its severity, unless a
// person gives it another.
func PriorityOf(s desk.Severity) Priority {
	switch s {
	case desk.Critical:
		return P1
	case desk.High:
		return P2
	case desk.Medium:
		return P3
	default:
		return P4
	}
}

// rank orders severities; worse is higher.
func rank(s desk.Severity) int { return slices.Index(desk.Severities(), s) }

// worse is the worse of two severities; "" is better than all.
func worse(a, b desk.Severity) desk.Severity {
	if rank(b) > rank(a) {
		return b
	}
	return a
}
