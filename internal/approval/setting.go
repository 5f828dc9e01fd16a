package approval

import (
	"cmp"
	"slices"
	"time"
)

// Setting is what is known beside policy and action when somebody is judged. Its
// methods judge earlier decisions by it first: those that do not stand now do not
// count.
type Setting struct {
	Roster      Roster
	Delegations []Delegation
	ApprovalID  int64
	Now         time.Time
}

// Standing returns d with the roles that the roster gives reviewer and delegator
// now, and says why it does not stand, or "". It does not ask whether the
// delegation is still in force; Claim did when the decision was made.
func (s Setting) Standing(p *Policy, a Action, d Decision) (Decision, string) {
	d.Reviewer = s.Roster.Reduce(d.Reviewer)
	who := []Person{d.Reviewer.Person}
	if d.OnBehalfOf != nil {
		giver := s.Roster.Reduce(*d.OnBehalfOf)
		d.OnBehalfOf = &giver
		who = append(who, giver.Person)
	}
	if why := p.barred(a, d); why != "" {
		return d, why
	}
	for _, person := range who {
		if why := s.barred(p, a, person); why != "" {
			return d, why
		}
	}
	return d, p.Ineligible(a, d)
}

// barred says why a person does not count now, whatever his roles.
func (s Setting) barred(p *Policy, a Action, who Person) string {
	m, ok := s.Roster.Member(who)
	switch {
	case !ok && p.Roster == RosterRequired:
		return plain(who.Subject) + " is not on the roster, which policy " + p.ID + " requires"
	case ok && !m.Active:
		return plain(who.Subject) + " is not active on the roster"
	}
	for _, d := range s.Delegations {
		// A delegate of the requester acts for him elsewhere, so that even a
		// delegation for another approval makes them one party.
		if d.From.Same(a.Requester) && d.To.Same(who) && d.holds(s.Now) {
			return plain(who.Subject) + " is a delegate of the requester, who never decides"
		}
	}
	return ""
}

// Stand returns the decisions that stand now, with reduced roles.
func (s Setting) Stand(p *Policy, a Action, ds []Decision) []Decision {
	var out []Decision
	for _, d := range ds {
		if d, why := s.Standing(p, a, d); why == "" {
			out = append(out, d)
		}
	}
	return out
}

// Claim finds the capacity in which who decides now: for himself if that counts
// after the earlier decisions, else through the first delegation to him that
// counts. Otherwise it says why he cannot decide for himself. The decision has no
// ID yet.
func (s Setting) Claim(p *Policy, a Action, earlier []Decision, who Principal, v Verdict, fallback bool) (Decision, string) {
	return s.claim(s.ballot(p, a, earlier), who, v, fallback)
}

// Verdicts are those that who can give now, in whatever capacity; see Claim. Whether he
// stands does not depend on the verdict, so that is asked once.
func (s Setting) Verdicts(p *Policy, a Action, earlier []Decision, who Principal, fallback bool) []Verdict {
	var out []Verdict
	b := s.ballot(p, a, earlier)
	own, barred := s.Standing(p, a, Decision{Reviewer: who, Fallback: fallback})
	for _, v := range []Verdict{Approve, Reject} {
		why := barred
		if why == "" {
			own.Verdict = v
			_, why = b.judge(own)
		}
		if why != "" && len(s.given(who.Person)) > 0 {
			_, why = s.claim(b, who, v, fallback)
		}
		if why == "" {
			out = append(out, v)
		}
	}
	return out
}

// ballot is the state after those of the earlier decisions that stand.
func (s Setting) ballot(p *Policy, a Action, earlier []Decision) *ballot {
	b := newBallot(p, a)
	for _, d := range s.Stand(p, a, earlier) {
		b.cast(d)
	}
	return b
}

func (s Setting) claim(b *ballot, who Principal, v Verdict, fallback bool) (Decision, string) {
	own, why := s.counts(b, Decision{Verdict: v, Reviewer: who, Fallback: fallback})
	if why == "" {
		return own, ""
	}
	for _, given := range s.given(who.Person) {
		d, reason := s.counts(b, Decision{Verdict: v, Reviewer: who, OnBehalfOf: &given.From, Fallback: fallback})
		if reason == "" {
			return d, ""
		}
	}
	return own, why
}

// counts reduces d and says why it would not count on b.
func (s Setting) counts(b *ballot, d Decision) (Decision, string) {
	d, why := s.Standing(b.policy, b.action, d)
	if why == "" {
		_, why = b.judge(d)
	}
	return d, why
}

// given lists the delegations in force to a person, by ID.
func (s Setting) given(to Person) []Delegation {
	var out []Delegation
	for _, d := range s.Delegations {
		if d.To.Same(to) && d.InForce(s.Now, s.ApprovalID) {
			out = append(out, d)
		}
	}
	slices.SortStableFunc(out, func(x, y Delegation) int { return cmp.Compare(x.ID, y.ID) })
	return out
}

// Eligible lists the active people on the roster whose approval would count now,
// for themselves or for somebody else.
func (s Setting) Eligible(p *Policy, a Action, earlier []Decision, fallback bool) []Member {
	return s.eligible(s.ballot(p, a, earlier), fallback)
}

func (s Setting) eligible(b *ballot, fallback bool) []Member {
	if b.status != Pending {
		return nil
	}
	var out []Member
	for _, m := range s.Roster.people() {
		if _, why := s.claim(b, m.Principal(), Approve, fallback); why == "" {
			out = append(out, m)
		}
	}
	return out
}
