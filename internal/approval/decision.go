package approval

import (
	"fmt"
	"strings"
)

// Verdict is what an approver says.
type Verdict string

// The closed set of verdicts.
const (
	Approve Verdict = "approve"
	Reject  Verdict = "reject"
)

// ParseVerdict reads the spellings that the API accepts: approve, approved,
// reject and rejected.
func ParseVerdict(s string) (Verdict, bool) {
	switch s {
	case "approve", "approved":
		return Approve, true
	case "reject", "rejected":
		return Reject, true
	}
	return "", false
}

// Principal is a person or a machine at the moment of deciding, with what the policy may ask
// about.
type Principal struct {
	Person
	Kind  ActorKind `json:"kind"`
	Roles []string  `json:"roles"`
	Desk  string    `json:"desk"`
}

// ActorKind tells people from machines; only people approve.
type ActorKind string

// The closed set of actor kinds, as in the field actor_type of the record.
const (
	Human  ActorKind = "human"
	Agent  ActorKind = "agent"
	System ActorKind = "system"
)

// Valid reports whether k is one of the kinds above.
func (k ActorKind) Valid() bool { return k == Human || k == Agent || k == System }

// Decision is one reviewer's verdict.
type Decision struct {
	ID         string     `json:"id"`
	Verdict    Verdict    `json:"verdict"`
	Reviewer   Principal  `json:"reviewer"`
	OnBehalfOf *Principal `json:"on_behalf_of,omitempty"` // the delegator, when the reviewer decides in his place
	Fallback   bool       `json:"fallback,omitempty"`     // made while the fallback list was admitted
}

// standing is whose roles and desk the decision counts by.
func (d Decision) standing() Principal {
	if d.OnBehalfOf != nil {
		return *d.OnBehalfOf
	}
	return d.Reviewer
}

// people lists who is used up by the decision.
func (d Decision) people() []Person {
	if d.OnBehalfOf != nil {
		return []Person{d.Reviewer.Person, d.OnBehalfOf.Person}
	}
	return []Person{d.Reviewer.Person}
}

// Ineligible says why a decision on an action cannot count, whatever was decided
// before and whatever the roster says, or returns "". The order matters: the
// rules that hold for everybody, admin included, come before the policy's own
// words.
func (p *Policy) Ineligible(a Action, d Decision) string {
	if why := p.barred(a, d); why != "" {
		return why
	}
	_, why := p.admits(a, d)
	return why
}

// barred says why nobody like the reviewer may decide, before the conditions of
// the policy are asked.
func (p *Policy) barred(a Action, d Decision) string {
	by := d.Reviewer
	switch {
	case p.Auto:
		return fmt.Sprintf("policy %s approves by itself; nobody decides", p.ID)
	case by.Kind != Human:
		return "only people approve; " + plain(string(by.Kind)) + " principals never do"
	case by.Same(a.Requester):
		return "the requester of an action never decides on it"
	case a.Editor != nil && by.Same(*a.Editor):
		return "the editor of an action never decides on it"
	case d.OnBehalfOf == nil:
		return ""
	}
	giver := *d.OnBehalfOf
	switch {
	case giver.Kind != Human:
		return "nobody decides in the place of " + plain(string(giver.Kind)) + " principals; only people approve"
	case giver.Same(by.Person):
		return "nobody decides in his own place; decide without a delegation"
	case giver.Same(a.Requester):
		return "nobody decides on an action in the place of its requester"
	case a.Editor != nil && giver.Same(*a.Editor):
		return "nobody decides on an action in the place of its editor"
	case p.NoDelegation:
		return fmt.Sprintf("policy %s counts no delegates", p.ID)
	}
	return ""
}

// admits finds the groups in which the decision could take a place, or says that
// there is none. A condition that cannot be evaluated admits nobody.
func (p *Policy) admits(a Action, d Decision) (places, string) {
	who := d.standing()
	if d.Fallback && p.Fallback != "" {
		if ok, err := p.fallback.eval(a, who); err == nil && ok {
			return everywhere, ""
		}
	}
	var at places
	for i := range p.Stages {
		for _, g := range p.Stages[i].groups() {
			if ok, err := g.who.eval(a, who); err == nil && ok {
				at |= 1 << g.bit
			}
		}
	}
	if at == 0 {
		return 0, fmt.Sprintf("policy %s does not admit the roles [%s]", p.ID, plain(strings.Join(who.Roles, " ")))
	}
	return at, ""
}
