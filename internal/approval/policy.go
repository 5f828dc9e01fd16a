package approval

import (
	"errors"
	"fmt"
	"time"

	"finobs/internal/fault"
)

// Limits on a policy, so that a mistake in a file cannot pend requests for a
// year or ask for more people than a desk has.
const (
	maxSlots   = 20
	maxExpires = 31 * 24 * time.Hour
	minExpires = time.Second
)

// RosterRule says what becomes of a person who is not on the roster.
type RosterRule string

// The closed set of rules. Who is on the roster has at most the roles that the
// roster gives, under either rule.
const (
	RosterOptional RosterRule = "optional" // he counts by the roles of his token
	RosterRequired RosterRule = "required" // he does not count
)

// Valid reports whether r is one of the rules above.
func (r RosterRule) Valid() bool { return r == RosterOptional || r == RosterRequired }

// Policy says who must approve the actions that it matches. A request keeps the
// policy that it started under; see Freeze.
type Policy struct {
	ID           string
	Match        string        // CEL over action, of type bool
	Auto         bool          // approved by the policy itself, recorded as actor_type system
	Stages       []Stage       // ordered; empty only with Auto
	Fallback     string        // CEL: who else may decide once nobody on the roster is eligible; empty for nobody
	Veto         int           // rejections that close a request, at least 1 unless Auto
	Expires      time.Duration // from request to deadline
	ReuseFor     time.Duration // how long an approval may be used, and a closed request answers the same question
	Roster       RosterRule
	NoDelegation bool   // delegates do not count
	Channel      string // tells the eligible people of a new request, and the requester of the outcome; empty for nobody
	Ladder       []Rung // reminders and escalations, ordered by After

	match    condition
	fallback condition

	untouched *Outcome // of no decisions, over whatever action
}

// Policies is the ordered content of one policy file; the first match wins.
type Policies struct {
	risk []riskRule
	list []*Policy
}

// riskRule gives a tier to the actions that it matches.
type riskRule struct {
	tier  RiskTier
	match condition
}

// List returns the policies in their order. The caller must not change them.
func (ps *Policies) List() []*Policy { return append([]*Policy(nil), ps.list...) }

// For returns the policy that governs a. Where none matches, and where a
// condition before the first match cannot be evaluated, the action is refused:
// nothing is released without a policy.
func (ps *Policies) For(a Action) (*Policy, error) {
	for _, p := range ps.list {
		ok, err := p.match.eval(a, Principal{})
		if err != nil {
			return nil, fault.Wrap(err, fault.Forbidden, "policy-not-evaluable",
				"policy %s cannot say whether it covers this action: %v; mend the action or the policy's match", p.ID, err)
		}
		if ok {
			return p, nil
		}
	}
	return nil, fault.New(fault.Forbidden, "no-policy",
		"no approval policy covers actions of kind %s; add one to the policy file", a.Kind)
}

// Classify returns the risk tier of a: that of the first risk rule that matches,
// Medium when none does, and never less than the tier that a states already.
func (ps *Policies) Classify(a Action) (RiskTier, error) {
	if a.RiskTier != "" && !a.RiskTier.Valid() {
		return "", fault.New(fault.Invalid, "invalid-action", "risk tier %q must be low, medium or high", a.RiskTier)
	}
	tier := Medium
	for i, rule := range ps.risk {
		ok, err := rule.match.eval(a, Principal{})
		if err != nil {
			return "", fault.Wrap(err, fault.Forbidden, "policy-not-evaluable",
				"risk rule %d cannot say whether it covers this action: %v; mend the action or the rule's match", i+1, err)
		}
		if ok {
			tier = rule.tier
			break
		}
	}
	if a.RiskTier.AtLeast(tier) {
		return a.RiskTier, nil
	}
	return tier, nil
}

// compile fills in defaults, checks p and compiles its conditions.
func (p *Policy) compile() error {
	if p.ReuseFor == 0 {
		p.ReuseFor = p.Expires
	}
	if p.Roster == "" {
		p.Roster = RosterOptional
	}
	if err := p.check(); err != nil {
		return err
	}
	var err error
	if p.match, err = compileMatch(p.Match); err != nil {
		return fmt.Errorf("match: %w", err)
	}
	if p.Fallback != "" {
		if p.fallback, err = compileWho(p.Fallback); err != nil {
			return fmt.Errorf("fallback: %w", err)
		}
	}
	if err := p.compileStages(); err != nil {
		return err
	}
	if err := p.compileLadder(); err != nil {
		return err
	}
	p.untouched = new(tally(p, Action{}, nil))
	return nil
}

func (p *Policy) check() error {
	least := 1
	if p.Auto {
		least = 0
	}
	switch {
	case len(p.ID) > maxKindLength || !kindPattern.MatchString(p.ID):
		return fmt.Errorf("id must be dotted lower-case words, %d characters at most", maxKindLength)
	case p.Auto && (len(p.Stages) > 0 || p.Fallback != "" || len(p.Ladder) > 0):
		return errors.New("auto: true approves at once; take out the stages, the fallback, the reminders and the escalation, or auto")
	case !p.Auto && len(p.Stages) == 0:
		return errors.New("all_of is empty; say who must approve, in all_of, any_of or stages")
	case p.Veto < least || p.Veto > maxSlots:
		return fmt.Errorf("veto is %d; it must be %d to %d", p.Veto, least, maxSlots)
	case p.Expires < minExpires || p.Expires > maxExpires:
		return fmt.Errorf("expires is %s; it must be %s to %s", p.Expires, minExpires, maxExpires)
	case p.ReuseFor < minExpires || p.ReuseFor > maxExpires:
		return fmt.Errorf("reuse_for is %s; it must be %s to %s", p.ReuseFor, minExpires, maxExpires)
	case !p.Roster.Valid():
		return fmt.Errorf("roster is %q; it must be optional or required", p.Roster)
	}
	return checkChannel(p.Channel)
}
