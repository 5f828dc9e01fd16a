package approval

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"finobs/internal/canonical"
)

// PolicyDigestDomain separates policy digests from every other digest.
const PolicyDigestDomain = "finobs.policy.v1"

// frozenPolicy is the form in which a policy is kept with a request. All values
// are text; see package canonical.
type frozenPolicy struct {
	ID         string        `json:"id"`
	Match      string        `json:"match"`
	Auto       bool          `json:"auto,string"`
	Stages     []frozenStage `json:"stages"`
	Fallback   string        `json:"fallback"`
	Veto       int           `json:"veto,string"`
	Expires    string        `json:"expires"`
	ReuseFor   string        `json:"reuse_for"`
	Roster     RosterRule    `json:"roster"`
	Delegation bool          `json:"delegation,string"`
	Channel    string        `json:"channel"`
	Ladder     []frozenRung  `json:"ladder"`
}

type frozenStage struct {
	Label string        `json:"label"`
	AllOf []frozenGroup `json:"all_of"`
	AnyOf []frozenGroup `json:"any_of"`
}

type frozenGroup struct {
	N     int    `json:"n,string"`
	Who   string `json:"who"`
	Label string `json:"label"`
}

type frozenRung struct {
	Kind    RungKind `json:"kind"`
	After   string   `json:"after"`
	To      string   `json:"to"`
	Channel string   `json:"channel"`
	Label   string   `json:"label"`
}

// Freeze returns the canonical bytes of p and their digest. Both are stored with
// a request: later edits of the file do not reach it.
func (p *Policy) Freeze() ([]byte, string, error) {
	stages := make([]canonical.Object, 0, len(p.Stages))
	for _, s := range p.Stages {
		stages = append(stages, canonical.Object{
			"label": s.Label, "all_of": freezeGroups(s.AllOf), "any_of": freezeGroups(s.AnyOf),
		})
	}
	ladder := make([]canonical.Object, 0, len(p.Ladder))
	for _, r := range p.Ladder {
		ladder = append(ladder, canonical.Object{
			"kind": string(r.Kind), "after": r.After.String(), "to": r.To, "channel": r.Channel, "label": r.Label,
		})
	}
	b, err := canonical.JSON(canonical.Object{
		"id": p.ID, "match": p.Match, "auto": strconv.FormatBool(p.Auto),
		"stages": stages, "fallback": p.Fallback, "veto": strconv.Itoa(p.Veto),
		"expires": p.Expires.String(), "reuse_for": p.ReuseFor.String(),
		"roster": string(p.Roster), "delegation": strconv.FormatBool(!p.NoDelegation),
		"channel": p.Channel, "ladder": ladder,
	})
	if err != nil {
		return nil, "", fmt.Errorf("freezing policy %s: %w", p.ID, err)
	}
	return b, canonical.DigestBytes(PolicyDigestDomain, b), nil
}

func freezeGroups(groups []Group) []canonical.Object {
	out := make([]canonical.Object, 0, len(groups))
	for _, g := range groups {
		out = append(out, canonical.Object{"n": strconv.Itoa(g.N), "who": g.Who, "label": g.Label})
	}
	return out
}

// Thaw compiles frozen bytes again after checking them against their digest. It
// refuses bytes that Freeze would not write. Callers must not change the policy:
// they share it.
func Thaw(frozen []byte, digest string) (*Policy, error) {
	if t, known := thawed.get(digest); known && t.frozen == string(frozen) {
		return t.policy, nil
	}
	if got := canonical.DigestBytes(PolicyDigestDomain, frozen); got != digest {
		return nil, fmt.Errorf("frozen policy has digest %s, the record says %s", got, digest)
	}
	p, err := thaw(frozen)
	if err != nil {
		return nil, err
	}
	thawed.put(digest, thawedPolicy{string(frozen), p})
	return p, nil
}

// maxThawed bounds how many policies are remembered.
const maxThawed = 256

// thawed remembers compiled policies by their digests: most requests share a few, and
// compiling one takes a thousand times as long as judging by it.
var thawed = remember[thawedPolicy](maxThawed)

type thawedPolicy struct {
	frozen string
	policy *Policy
}

func thaw(frozen []byte) (*Policy, error) {
	var f frozenPolicy
	if err := json.Unmarshal(frozen, &f); err != nil {
		return nil, fmt.Errorf("reading frozen policy: %w", err)
	}
	p, err := f.policy()
	if err != nil {
		return nil, fmt.Errorf("reading frozen policy: %w", err)
	}
	if err := p.compile(); err != nil {
		return nil, fmt.Errorf("compiling frozen policy: %w", err)
	}
	again, _, err := p.Freeze()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, frozen) {
		return nil, errors.New("reading frozen policy: it has members that no policy has, or another spelling of them")
	}
	return p, nil
}

func (f frozenPolicy) policy() (*Policy, error) {
	p := &Policy{
		ID: f.ID, Match: f.Match, Auto: f.Auto, Fallback: f.Fallback, Veto: f.Veto,
		Roster: f.Roster, NoDelegation: !f.Delegation, Channel: f.Channel,
	}
	var err error
	if p.Expires, err = time.ParseDuration(f.Expires); err != nil {
		return nil, fmt.Errorf("expires: %w", err)
	}
	if p.ReuseFor, err = time.ParseDuration(f.ReuseFor); err != nil {
		return nil, fmt.Errorf("reuse_for: %w", err)
	}
	for _, s := range f.Stages {
		p.Stages = append(p.Stages, Stage{Label: s.Label, AllOf: thawGroups(s.AllOf), AnyOf: thawGroups(s.AnyOf)})
	}
	for _, r := range f.Ladder {
		after, err := time.ParseDuration(r.After)
		if err != nil {
			return nil, fmt.Errorf("after: %w", err)
		}
		p.Ladder = append(p.Ladder, Rung{Kind: r.Kind, After: after, To: r.To, Channel: r.Channel, Label: r.Label})
	}
	return p, nil
}

func thawGroups(frozen []frozenGroup) []Group {
	var out []Group
	for _, g := range frozen {
		out = append(out, Group{N: g.N, Who: g.Who, Label: g.Label})
	}
	return out
}
