package approval

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"finobs/internal/fault"
	"finobs/internal/yamldoc"
)

// caseIssuer vouches for everybody in a case.
const caseIssuer = "case"

// Case is an example of what a policy file is to do, written by those who own
// the file: an action, decisions on it, and what comes of them.
type Case struct {
	Name      string
	action    Action
	policy    string // expected id; empty for any
	decisions []Decision
	expect    string   // approved, pending, rejected or refused
	missing   []string // nil for anything
}

type caseForm struct {
	Name   string `yaml:"name"`
	Action struct {
		Kind       string            `yaml:"kind"`
		Desk       string            `yaml:"desk"`
		Requester  string            `yaml:"requester"`
		Editor     string            `yaml:"editor"`
		Mode       Mode              `yaml:"mode"`
		RiskTier   RiskTier          `yaml:"risk_tier"`
		Parameters map[string]string `yaml:"parameters"`
		Targets    []struct {
			Kind    string `yaml:"kind"`
			ID      string `yaml:"id"`
			Version string `yaml:"version"`
		} `yaml:"targets"`
	} `yaml:"action"`
	Policy    string `yaml:"policy"`
	Decisions []struct {
		By         string    `yaml:"by"`
		Kind       ActorKind `yaml:"kind"`
		Roles      []string  `yaml:"roles"`
		Desk       string    `yaml:"desk"`
		Verdict    string    `yaml:"verdict"`
		Fallback   bool      `yaml:"fallback"`
		OnBehalfOf *struct {
			By    string   `yaml:"by"`
			Roles []string `yaml:"roles"`
			Desk  string   `yaml:"desk"`
		} `yaml:"on_behalf_of"`
	} `yaml:"decisions"`
	Expect  string   `yaml:"expect"`
	Missing []string `yaml:"missing"`
}

// LoadCases reads a file of cases and refuses unknown fields.
func LoadCases(r io.Reader) ([]Case, error) {
	var file struct {
		Cases []caseForm `yaml:"cases"`
	}
	if err := yamldoc.Read(r, &file); err != nil {
		return nil, fmt.Errorf("reading cases: %w", err)
	}
	if len(file.Cases) == 0 {
		return nil, errors.New("the file has no cases")
	}
	var out []Case
	for i, f := range file.Cases {
		c, err := f.load()
		if err != nil {
			return nil, fmt.Errorf("case %d (%q): %w", i+1, f.Name, err)
		}
		out = append(out, c)
	}
	return out, nil
}

func (f caseForm) load() (Case, error) {
	c := Case{Name: f.Name, policy: f.Policy, expect: f.Expect, missing: f.Missing}
	if f.Name == "" {
		return c, errors.New("it has no name")
	}
	if !slices.Contains([]string{string(Approved), string(Pending), string(Rejected), "refused"}, f.Expect) {
		return c, fmt.Errorf("expect is %q; it must be approved, pending, rejected or refused", f.Expect)
	}
	c.action = Action{
		Kind: f.Action.Kind, Desk: f.Action.Desk, Mode: f.Action.Mode, RiskTier: f.Action.RiskTier,
		Parameters: f.Action.Parameters, Requester: Person{caseIssuer, f.Action.Requester},
	}
	if c.action.Mode == "" {
		c.action.Mode = Live
	}
	if f.Action.Editor != "" {
		c.action.Editor = &Person{caseIssuer, f.Action.Editor}
	}
	for _, t := range f.Action.Targets {
		c.action.Targets = append(c.action.Targets, Target{t.Kind, t.ID, t.Version})
	}
	for i, d := range f.Decisions {
		verdict, ok := ParseVerdict(d.Verdict)
		if !ok {
			return c, fmt.Errorf("decision %d: verdict is %q; it must be approve or reject", i+1, d.Verdict)
		}
		if d.By == "" || d.OnBehalfOf != nil && d.OnBehalfOf.By == "" {
			return c, fmt.Errorf("decision %d: by is empty; name who decides", i+1)
		}
		if d.Kind == "" {
			d.Kind = Human
		}
		out := Decision{
			ID: fmt.Sprint(i + 1), Verdict: verdict, Fallback: d.Fallback,
			Reviewer: Principal{Person: Person{caseIssuer, d.By}, Kind: d.Kind, Roles: d.Roles, Desk: d.Desk},
		}
		if o := d.OnBehalfOf; o != nil {
			out.OnBehalfOf = &Principal{Person: Person{caseIssuer, o.By}, Kind: Human, Roles: o.Roles, Desk: o.Desk}
		}
		c.decisions = append(c.decisions, out)
	}
	return c, nil
}

// Check says in words how ps does otherwise than the case expects; nothing when
// it does the same.
func (c Case) Check(ps *Policies) []string {
	a := c.action
	p, err := c.governing(ps, &a)
	switch {
	case err != nil && fault.KindOf(err) == fault.Forbidden && c.expect == "refused":
		return nil
	case err != nil:
		return []string{fmt.Sprintf("expected %s, but %v", c.expect, err)}
	}
	if err := a.Validate(); err != nil {
		return []string{err.Error()}
	}
	var out []string
	if c.policy != "" && p.ID != c.policy {
		out = append(out, fmt.Sprintf("expected policy %s, got %s", c.policy, p.ID))
	}
	got := Tally(p, a, c.decisions)
	if string(got.Status) != c.expect {
		out = append(out, fmt.Sprintf("expected %s, got %s under policy %s%s", c.expect, got.Status, p.ID, c.whyNot(p, a)))
	}
	if c.missing != nil && !slices.Equal(got.Missing, c.missing) {
		out = append(out, fmt.Sprintf("expected missing %q, got %q", c.missing, got.Missing))
	}
	return out
}

// governing classifies a and finds its policy.
func (c Case) governing(ps *Policies, a *Action) (*Policy, error) {
	tier, err := ps.Classify(*a)
	if err != nil {
		return nil, err
	}
	a.RiskTier = tier
	return ps.For(*a)
}

// whyNot says which decisions did not count.
func (c Case) whyNot(p *Policy, a Action) string {
	var out strings.Builder
	for i, d := range c.decisions {
		if why := Judge(p, a, c.decisions[:i], d); why != "" {
			fmt.Fprintf(&out, "; decision %s does not count: %s", d.ID, why)
		}
	}
	return out.String()
}
