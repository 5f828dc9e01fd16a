package incident

import (
	"strings"

	"finobs/internal/approval"
	"finobs/internal/fault"
)

// MayAct says why who may not do something to an incident as it stands, or
// returns nil: a fault of kind Forbidden for who he is, of kind Conflict for where
// the incident stands. The permission of the route is checked before.
func (i Incident) MayAct(who approval.Principal, verb Verb) error {
	switch {
	case peopleOnly(who, verb):
		return fault.New(fault.Forbidden, "people-only", "only people %s incidents; a machine's word ends no alarm", verb)
	case i.MergedInto != 0:
		return fault.New(fault.Conflict, "incident-merged", "incident %d was merged into %d; act on that one", i.ID, i.MergedInto)
	}
	why := i.statusAgainst(verb)
	if why == "" {
		return nil
	}
	why = strings.ReplaceAll(why, "{status}", string(i.Status))
	if i.Status == Acknowledged && verb == Acknowledge {
		why += ", by " + approval.Printable(i.AcknowledgedBy.Subject)
	}
	return fault.New(fault.Conflict, "act-refused", "incident %d %s", i.ID, why)
}

// peopleOnly reports whether who is a machine and verb is for people.
func peopleOnly(who approval.Principal, verb Verb) bool {
	return who.Kind != approval.Human && verb != Comment && verb != Link
}

// statusAgainst says why an incident's status keeps everybody from doing
// something to it, with {status} in the status' place, or returns "". Lists ask it
// for every row and verb, so it makes no text.
func (i Incident) statusAgainst(verb Verb) string {
	switch verb {
	case Acknowledge:
		if i.Status == Acknowledged {
			return "is acknowledged already"
		}
		if i.Status != Open {
			return "is {status}; there is nothing to acknowledge"
		}
	case Unacknowledge:
		if i.Status != Acknowledged {
			return "is {status}, not acknowledged"
		}
	case Assign, Rate, Prioritise, Resolve:
		if !i.Status.Active() {
			return "is {status}; reopen it first"
		}
	case Close:
		if i.Status != Resolved {
			return "is {status}; only what is resolved is closed"
		}
	case Reopen:
		if i.Status.Active() {
			return "is {status}"
		}
	case Merge, Adopt:
		if i.Status == Closed {
			return "is closed; reopen it first"
		}
	case Comment, Link, OpenWindow, EndWindow:
	}
	return ""
}

// Allowed lists what who may do to an incident as it stands: that of which MayAct
// says nothing.
func (i Incident) Allowed(who approval.Principal) []Verb {
	verbs := Verbs()
	out := make([]Verb, 0, len(verbs))
	for _, verb := range verbs {
		if !peopleOnly(who, verb) && i.MergedInto == 0 && i.statusAgainst(verb) == "" {
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
