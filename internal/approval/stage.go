package approval

import (
	"errors"
	"fmt"
	"strings"
)

const maxStages = 10

// Group asks for N distinct people who satisfy Who.
type Group struct {
	N     int    // people, at least 1
	Who   string // CEL over action and reviewer, of type bool
	Label string // how the group is named to people; optional

	who condition
	bit uint // which bit stands for the group in a places
}

// Name is how the group is named to people.
func (g *Group) Name() string {
	if g.Label != "" {
		return g.Label
	}
	return "people with " + g.Who
}

// Stage is one step of an approval. It is complete when all groups of AllOf are
// filled and, unless AnyOf is empty, at least one group of AnyOf, all by distinct
// people.
type Stage struct {
	Label string // how the stage is named to people; optional
	AllOf []Group
	AnyOf []Group
}

// places is the set of groups of a policy in which somebody could take a place,
// one bit for each. A policy has at most maxSlots groups.
type places uint32

const everywhere = ^places(0)

func (g *Group) in(m places) bool { return m&(1<<g.bit) != 0 }

// groups lists the groups of the stage, those of AllOf first.
func (s *Stage) groups() []*Group {
	out := s.required()
	for i := range s.AnyOf {
		out = append(out, &s.AnyOf[i])
	}
	return out
}

func (s *Stage) required() []*Group {
	out := make([]*Group, 0, len(s.AllOf)+len(s.AnyOf))
	for i := range s.AllOf {
		out = append(out, &s.AllOf[i])
	}
	return out
}

// alternatives lists the ways to complete the stage beside AllOf: one of AnyOf,
// or nothing when AnyOf is empty.
func (s *Stage) alternatives() []*Group {
	if len(s.AnyOf) == 0 {
		return []*Group{nil}
	}
	return s.groups()[len(s.AllOf):]
}

// places is the set of all groups of the stage.
func (s *Stage) places() places {
	var m places
	for _, g := range s.groups() {
		m |= 1 << g.bit
	}
	return m
}

// name is how the stage at index i of p is named to people.
func (p *Policy) stageName(i int) string {
	name := fmt.Sprintf("stage %d", i+1)
	if label := p.Stages[i].Label; label != "" {
		name += ", " + label
	}
	return name
}

// compileStages checks and compiles the groups and numbers them.
func (p *Policy) compileStages() error {
	if len(p.Stages) > maxStages {
		return fmt.Errorf("stages has %d entries; the limit is %d", len(p.Stages), maxStages)
	}
	slots, bit := 0, uint(0)
	for i := range p.Stages {
		stage := &p.Stages[i]
		if err := checkLabel(stage.Label); err != nil {
			return fmt.Errorf("stage %d: %w", i+1, err)
		}
		if len(stage.AllOf)+len(stage.AnyOf) == 0 {
			return fmt.Errorf("stage %d: all_of and any_of are empty; say who must approve", i+1)
		}
		for j, g := range stage.groups() {
			field := fmt.Sprintf("all_of[%d]", j)
			if j >= len(stage.AllOf) {
				field = fmt.Sprintf("any_of[%d]", j-len(stage.AllOf))
			}
			if err := g.compile(); err != nil {
				return fmt.Errorf("stage %d: %s.%w", i+1, field, err)
			}
			g.bit = bit
			bit++
			slots += g.N
			if slots > maxSlots {
				return fmt.Errorf("stage %d: %s brings the policy to %d people; the limit is %d", i+1, field, slots, maxSlots)
			}
		}
	}
	return nil
}

func (g *Group) compile() error {
	if g.N < 1 || g.N > maxSlots {
		return fmt.Errorf("n is %d; it must be 1 to %d", g.N, maxSlots)
	}
	if err := checkLabel(g.Label); err != nil {
		return err
	}
	var err error
	if g.who, err = compileWho(g.Who); err != nil {
		return fmt.Errorf("who: %w", err)
	}
	return nil
}

const maxLabelLength = 128

// checkLabel keeps out of the file what could forge a line where people read it.
func checkLabel(label string) error {
	if len(label) > maxLabelLength {
		return fmt.Errorf("label is over %d bytes", maxLabelLength)
	}
	if strings.ContainsFunc(label, hidden) {
		return errors.New("label holds a character that does not print")
	}
	return nil
}
