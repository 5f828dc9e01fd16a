package approval

import (
	"errors"
	"fmt"
	"io"
	"time"

	"finobs/internal/yamldoc"
)

// policyFile is the YAML form of Policies.
type policyFile struct {
	Version  int          `yaml:"version"`
	Risk     []riskForm   `yaml:"risk"`
	Policies []policyForm `yaml:"policies"`
}

type riskForm struct {
	Match string   `yaml:"match"`
	Tier  RiskTier `yaml:"tier"`
}

type policyForm struct {
	ID         string         `yaml:"id"`
	Match      string         `yaml:"match"`
	Auto       bool           `yaml:"auto"`
	AllOf      []groupForm    `yaml:"all_of"` // with any_of, short for a single stage
	AnyOf      []groupForm    `yaml:"any_of"`
	Stages     []stageForm    `yaml:"stages"`
	Fallback   string         `yaml:"fallback"`
	Veto       int            `yaml:"veto"`
	Expires    time.Duration  `yaml:"expires"`
	ReuseFor   *time.Duration `yaml:"reuse_for"`
	SingleUse  *bool          `yaml:"single_use"`
	Roster     RosterRule     `yaml:"roster"`
	Delegation *bool          `yaml:"delegation"`
	Channel    string         `yaml:"channel"`
	Reminders  []rungForm     `yaml:"reminders"`
	Escalation []rungForm     `yaml:"escalation"`
}

type stageForm struct {
	Label string      `yaml:"label"`
	AllOf []groupForm `yaml:"all_of"`
	AnyOf []groupForm `yaml:"any_of"`
}

type groupForm struct {
	N     int    `yaml:"n"`
	Who   string `yaml:"who"`
	Label string `yaml:"label"`
}

type rungForm struct {
	After   time.Duration `yaml:"after"`
	To      string        `yaml:"to"`
	Channel string        `yaml:"channel"`
	Label   string        `yaml:"label"`
}

// LoadPolicies reads a policy file, type-checks every condition and refuses
// unknown fields. Errors name the policy and the field.
func LoadPolicies(r io.Reader) (*Policies, error) {
	var file policyFile
	if err := yamldoc.Read(r, &file); err != nil {
		return nil, fmt.Errorf("reading policy file: %w", err)
	}
	if file.Version != 1 {
		return nil, fmt.Errorf("policy file has version %d; this program reads version 1", file.Version)
	}
	if len(file.Policies) == 0 {
		return nil, errors.New("policy file has no policies")
	}
	out := &Policies{}
	for i, f := range file.Risk {
		if !f.Tier.Valid() {
			return nil, fmt.Errorf("risk rule %d: tier is %q; it must be low, medium or high", i+1, f.Tier)
		}
		match, err := compileMatch(f.Match)
		if err != nil {
			return nil, fmt.Errorf("risk rule %d: match: %w", i+1, err)
		}
		out.risk = append(out.risk, riskRule{f.Tier, match})
	}
	seen := map[string]bool{}
	for i, f := range file.Policies {
		p, err := f.policy()
		if err != nil {
			return nil, fmt.Errorf("policy %d (%q): %w", i+1, f.ID, err)
		}
		if seen[p.ID] {
			return nil, fmt.Errorf("policy %d: the id %q is taken", i+1, p.ID)
		}
		seen[p.ID] = true
		out.list = append(out.list, p)
	}
	return out, nil
}

// policy checks and compiles what the file says.
func (f policyForm) policy() (*Policy, error) {
	if f.SingleUse != nil && !*f.SingleUse {
		return nil, errors.New("single_use: false is not supported; an approval authorises one execution")
	}
	short := len(f.AllOf)+len(f.AnyOf) > 0
	if short && len(f.Stages) > 0 {
		return nil, errors.New("it has stages beside all_of or any_of; put all groups into stages")
	}
	p := &Policy{
		ID: f.ID, Match: f.Match, Auto: f.Auto, Fallback: f.Fallback, Veto: f.Veto,
		Expires: f.Expires, ReuseFor: f.Expires, Roster: f.Roster, Channel: f.Channel,
		NoDelegation: f.Delegation != nil && !*f.Delegation,
	}
	if f.ReuseFor != nil {
		if p.ReuseFor = *f.ReuseFor; p.ReuseFor == 0 {
			return nil, fmt.Errorf("reuse_for is 0s; it must be %s to %s", minExpires, maxExpires)
		}
	}
	if short {
		f.Stages = []stageForm{{AllOf: f.AllOf, AnyOf: f.AnyOf}}
	}
	for _, s := range f.Stages {
		p.Stages = append(p.Stages, Stage{Label: s.Label, AllOf: groups(s.AllOf), AnyOf: groups(s.AnyOf)})
	}
	for _, r := range f.Reminders {
		p.Ladder = append(p.Ladder, r.rung(Reminder))
	}
	for _, r := range f.Escalation {
		p.Ladder = append(p.Ladder, r.rung(Escalation))
	}
	if err := p.compile(); err != nil {
		return nil, err
	}
	return p, nil
}

func (f rungForm) rung(kind RungKind) Rung {
	return Rung{Kind: kind, After: f.After, To: f.To, Channel: f.Channel, Label: f.Label}
}

func groups(forms []groupForm) []Group {
	var out []Group
	for _, g := range forms {
		out = append(out, Group{N: g.N, Who: g.Who, Label: g.Label})
	}
	return out
}
