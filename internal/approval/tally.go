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
	ID       string    `json:"id"`
	Verdict  Verdict   `json:"verdict"`
	Reviewer Principal `json:"reviewer"`
}

// Outcome is what a sequence of decisions amounts to.
type Outcome struct {
	Status  Status   // Pending, Approved or Rejected
	Counted []string // ids of the decisions that count, in order
	Missing []string // in words, what is still needed; empty unless Pending
}

// Ineligible says why a reviewer's decision on an action cannot count, or
// returns "". The order matters: the rules that hold for everybody, admin
// included, come before the policy's own words.
func (p *Policy) Ineligible(a Action, r Principal) string {
	switch {
	case r.Kind != Human:
		return "only people approve; " + string(r.Kind) + " principals never do"
	case r.Same(a.Requester):
		return "the requester of an action never decides on it"
	}
	for i := range p.AllOf {
		ok, err := p.AllOf[i].admits(a, r)
		if err == nil && ok {
			return ""
		}
	}
	return fmt.Sprintf("policy %s does not admit the roles [%s]", p.ID, strings.Join(r.Roles, " "))
}

// Tally decides. Decisions are taken in the order of recording: the first veto
// or the first complete quorum closes the request, and what comes after changes
// nothing. One person counts once and fills one slot, however many groups would
// admit him.
func Tally(p *Policy, a Action, decisions []Decision) Outcome {
	out := Outcome{Status: Pending}
	voted := map[string]bool{}
	var approvals []Principal
	rejections := 0
	for _, d := range decisions {
		if voted[d.Reviewer.Key()] || p.Ineligible(a, d.Reviewer) != "" {
			continue
		}
		voted[d.Reviewer.Key()] = true
		out.Counted = append(out.Counted, d.ID)
		if d.Verdict == Reject {
			rejections++
			if rejections >= p.Veto {
				out.Status = Rejected
				return out
			}
			continue
		}
		approvals = append(approvals, d.Reviewer)
		if len(p.missing(a, approvals)) == 0 {
			out.Status = Approved
			return out
		}
	}
	out.Missing = p.missing(a, approvals)
	return out
}

// missing says in words which slots stay empty when the approvals are given to
// groups in the best possible way (bipartite matching by augmenting paths).
func (p *Policy) missing(a Action, approvals []Principal) []string {
	slots := p.slots()
	filledBy := make([]int, len(slots)) // slot -> approval, -1 when empty
	for i := range filledBy {
		filledBy[i] = -1
	}
	var place func(approval int, tried []bool) bool
	place = func(approval int, tried []bool) bool {
		for s, group := range slots {
			ok, err := group.admits(a, approvals[approval])
			if err != nil || !ok || tried[s] {
				continue
			}
			tried[s] = true
			if filledBy[s] < 0 || place(filledBy[s], tried) {
				filledBy[s] = approval
				return true
			}
		}
		return false
	}
	for i := range approvals {
		place(i, make([]bool, len(slots)))
	}
	empty := map[*Group]int{}
	for s, by := range filledBy {
		if by < 0 {
			empty[slots[s]]++
		}
	}
	var words []string
	for i := range p.AllOf {
		if n := empty[&p.AllOf[i]]; n > 0 {
			words = append(words, fmt.Sprintf("%d more of %s", n, p.AllOf[i].Name()))
		}
	}
	return words
}

// slots lists each group as often as the people it asks for.
func (p *Policy) slots() []*Group {
	var slots []*Group
	for i := range p.AllOf {
		for range p.AllOf[i].N {
			slots = append(slots, &p.AllOf[i])
		}
	}
	return slots
}
