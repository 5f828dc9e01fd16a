package incident

import (
	"fmt"

	"finobs/internal/approval"
	"finobs/internal/fault"
)

// MayAct says why who may not do something to an incident as it stands, or
// returns nil: a fault of kind Forbidden for who he is, of kind Conflict for where
// the incident stands. The permission of the route is checked before.
func (i Incident) MayAct(who approval.Principal, verb Verb) error {
	if who.Kind != approval.Human && verb != Comment && verb != Link {
		return fault.New(fault.Forbidden, "people-only", "only people %s incidents; a machine's word ends no alarm", verb)
	}
	if i.MergedInto != 0 {
		return fault.New(fault.Conflict, "incident-merged", "incident %d was merged into %d; act on that one", i.ID, i.MergedInto)
	}
	if why := i.statusAgainst(verb); why != "" {
		return fault.New(fault.Conflict, "act-refused", "incident %d %s", i.ID, why)
	}
	return nil
}

// statusAgainst says why an incident's status keeps everybody from doing
// something to it, or returns "".
func (i Incident) statusAgainst(verb Verb) string {
	switch verb {
	case Acknowledge:
		if i.Status == Acknowledged {
			return "is acknowledged already, by " + approval.Printable(i.AcknowledgedBy.Subject)
		}
		if i.Status != Open {
			return fmt.Sprintf("is %s; there is nothing to acknowledge", i.Status)
		}
	case Unacknowledge:
		if i.Status != Acknowledged {
			return fmt.Sprintf("is %s, not acknowledged", i.Status)
		}
	case Assign, Rate, Prioritise, Resolve:
		if !i.Status.Active() {
			return fmt.Sprintf("is %s; reopen it first", i.Status)
		}
	case Close:
		if i.Status != Resolved {
			return fmt.Sprintf("is %s; only what is resolved is closed", i.Status)
		}
	case Reopen:
		if i.Status.Active() {
			return fmt.Sprintf("is %s", i.Status)
		}
	case Merge, Adopt:
		if i.Status == Closed {
			return "is closed; reopen it first"
		}
	case Comment, Link, OpenWindow, EndWindow:
	}
	return ""
}

// Allowed lists what who may do to an incident as it stands, by the code that will
// judge it.
func (i Incident) Allowed(who approval.Principal) []Verb {
	out := []Verb{}
	for _, verb := range Verbs() {
		if i.MayAct(who, verb) == nil {
			out = append(out, verb)
		}
	}
	return out
}

// Survives says why an incident cannot be the one that another is merged into, or
// returns nil.
func (i Incident) Survives() error {
	if i.Status.Active() {
		return nil
	}
	return fault.New(fault.Conflict, "act-refused", "incident %d is %s; only one that is open or acknowledged survives a merge", i.ID, i.Status)
}

// Fosters says why an incident cannot be a parent, or returns nil: families have
// two generations.
func (i Incident) Fosters() error {
	switch {
	case i.Status == Closed:
		return fault.New(fault.Conflict, "act-refused", "incident %d is closed; it becomes no parent", i.ID)
	case i.ParentID != 0:
		return fault.New(fault.Conflict, "act-refused", "incident %d is a child of %d itself; name that one", i.ID, i.ParentID)
	}
	return nil
}
