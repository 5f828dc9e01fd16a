package approval

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"finobs/internal/canonical"
	"finobs/internal/fault"

	"go.yaml.in/yaml/v3"
)

// PolicyDigestDomain separates policy digests from every other digest.
const PolicyDigestDomain = "finobs.policy.v1"

// Limits on a policy, so that a mistake in a file cannot pend requests for a
// year or ask for more people than a desk has.
const (
	maxSlots   = 20
	maxExpires = 31 * 24 * time.Hour
	minExpires = time.Second
)

// Group asks for N distinct people who satisfy Who.
type Group struct {
	N     int    // people, at least 1
	Who   string // CEL over action and reviewer, of type bool
	Label string // how the group is named to people; optional

	who condition
}

// Name is how the group is named to people.
func (g *Group) Name() string {
	if g.Label != "" {
		return g.Label
	}
	return "people with " + g.Who
}

func (g *Group) admits(a Action, r Principal) (bool, error) { return g.who.eval(a, r) }

// Policy says who must approve the actions that it matches. A request keeps the
// policy that it started under; see Freeze.
type Policy struct {
	ID      string
	Match   string        // CEL over action, of type bool
	AllOf   []Group       // all of them must be filled, by distinct people
	Veto    int           // rejections that close a request, at least 1
	Expires time.Duration // from request to deadline, and from approval to last use

	match condition
}

// Policies is the ordered content of one policy file; the first match wins.
type Policies struct {
	list []*Policy
}

// policyFile is the YAML form of Policies.
type policyFile struct {
	Version  int `yaml:"version"`
	Policies []struct {
		ID    string `yaml:"id"`
		Match string `yaml:"match"`
		AllOf []struct {
			N     int    `yaml:"n"`
			Who   string `yaml:"who"`
			Label string `yaml:"label"`
		} `yaml:"all_of"`
		Veto      int           `yaml:"veto"`
		Expires   time.Duration `yaml:"expires"`
		SingleUse *bool         `yaml:"single_use"`
	} `yaml:"policies"`
}

// LoadPolicies reads a policy file, type-checks every condition and refuses
// unknown fields. Errors name the policy and the field.
func LoadPolicies(r io.Reader) (*Policies, error) {
	dec := yaml.NewDecoder(r)
	dec.KnownFields(true)
	var file policyFile
	if err := dec.Decode(&file); err != nil {
		return nil, fmt.Errorf("reading policy file: %w", err)
	}
	if file.Version != 1 {
		return nil, fmt.Errorf("policy file has version %d; this program reads version 1", file.Version)
	}
	if len(file.Policies) == 0 {
		return nil, errors.New("policy file has no policies")
	}
	out := &Policies{}
	seen := map[string]bool{}
	for i, f := range file.Policies {
		p := &Policy{ID: f.ID, Match: f.Match, Veto: f.Veto, Expires: f.Expires}
		for _, g := range f.AllOf {
			p.AllOf = append(p.AllOf, Group{N: g.N, Who: g.Who, Label: g.Label})
		}
		if f.SingleUse != nil && !*f.SingleUse {
			return nil, fmt.Errorf("policy %q: single_use: false is not supported; an approval authorises one execution", f.ID)
		}
		if err := p.compile(); err != nil {
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

// For returns the policy that governs a. Where none matches, the action is
// refused: nothing is released without a policy.
func (ps *Policies) For(a Action) (*Policy, error) {
	for _, p := range ps.list {
		ok, err := p.match.eval(a, Principal{})
		if err != nil {
			return nil, fault.Wrap(err, fault.Internal, "policy-broken", "policy %s could not be evaluated", p.ID)
		}
		if ok {
			return p, nil
		}
	}
	return nil, fault.New(fault.Forbidden, "no-policy",
		"no approval policy covers actions of kind %s; add one to the policy file", a.Kind)
}

func (p *Policy) compile() error {
	slots := 0
	for _, g := range p.AllOf {
		slots += g.N
	}
	switch {
	case !kindPattern.MatchString(p.ID):
		return errors.New("id must be dotted lower-case words")
	case len(p.AllOf) == 0:
		return errors.New("all_of is empty; say who must approve")
	case slots > maxSlots:
		return fmt.Errorf("all_of asks for %d people; the limit is %d", slots, maxSlots)
	case p.Veto < 1 || p.Veto > maxSlots:
		return fmt.Errorf("veto is %d; it must be 1 to %d", p.Veto, maxSlots)
	case p.Expires < minExpires || p.Expires > maxExpires:
		return fmt.Errorf("expires is %s; it must be %s to %s", p.Expires, minExpires, maxExpires)
	}
	var err error
	if p.match, err = compileCondition(p.Match); err != nil {
		return fmt.Errorf("match: %w", err)
	}
	for i := range p.AllOf {
		g := &p.AllOf[i]
		if g.N < 1 {
			return fmt.Errorf("all_of[%d].n is %d; it must be at least 1", i, g.N)
		}
		if g.who, err = compileCondition(g.Who); err != nil {
			return fmt.Errorf("all_of[%d].who: %w", i, err)
		}
	}
	return nil
}

// Freeze returns the canonical bytes of p and their digest. Both are stored with
// a request: later edits of the file do not reach it.
func (p *Policy) Freeze() ([]byte, string, error) {
	groups := make([]canonical.Object, 0, len(p.AllOf))
	for _, g := range p.AllOf {
		groups = append(groups, canonical.Object{"n": strconv.Itoa(g.N), "who": g.Who, "label": g.Label})
	}
	b, err := canonical.JSON(canonical.Object{
		"id": p.ID, "match": p.Match, "all_of": groups,
		"veto": strconv.Itoa(p.Veto), "expires": p.Expires.String(),
	})
	if err != nil {
		return nil, "", fmt.Errorf("freezing policy %s: %w", p.ID, err)
	}
	return b, canonical.DigestBytes(PolicyDigestDomain, b), nil
}

// Thaw compiles frozen bytes again after checking them against their digest.
func Thaw(frozen []byte, digest string) (*Policy, error) {
	if got := canonical.DigestBytes(PolicyDigestDomain, frozen); got != digest {
		return nil, fmt.Errorf("frozen policy has digest %s, the record says %s", got, digest)
	}
	var f struct {
		ID    string `json:"id"`
		Match string `json:"match"`
		AllOf []struct {
			N     int    `json:"n,string"`
			Who   string `json:"who"`
			Label string `json:"label"`
		} `json:"all_of"`
		Veto    int    `json:"veto,string"`
		Expires string `json:"expires"`
	}
	if err := json.Unmarshal(frozen, &f); err != nil {
		return nil, fmt.Errorf("reading frozen policy: %w", err)
	}
	expires, err := time.ParseDuration(f.Expires)
	if err != nil {
		return nil, fmt.Errorf("reading frozen policy: %w", err)
	}
	p := &Policy{ID: f.ID, Match: f.Match, Veto: f.Veto, Expires: expires}
	for _, g := range f.AllOf {
		p.AllOf = append(p.AllOf, Group{N: g.N, Who: g.Who, Label: g.Label})
	}
	if err := p.compile(); err != nil {
		return nil, fmt.Errorf("compiling frozen policy: %w", err)
	}
	return p, nil
}
