package rulebook

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"finobs/internal/agent"
	"finobs/internal/desk"
	"finobs/internal/fault"
)

// How many claims each part of an output may make, so that all parts fit into
// agent.MaxClaims. Every rule that fired is named in Rules.
const (
	categoryClaims = 6
	severityClaims = 5
	causeClaims    = 3
)

// maxObjects is on how many objects, or pairs of them, a proposal is tried.
const maxObjects = 500

// Classify says what a bundle's incident is about: the class whose rules that fired
// have the highest score together, the first of the file among equals. Confidence
// comes from the margin to the next class. When no rule speaks for any class, it is
// the class that the file names under otherwise.
//
// Errors are faults of kind Invalid: the bundle has no incident, or a condition
// fails over it.
func (r *Rulebook) Classify(bundle []agent.Evidence) (Class, error) {
	v, err := look(bundle)
	if err != nil {
		return Class{}, err
	}
	c, _, err := r.classify(v)
	return c, err
}

func (r *Rulebook) classify(v *view) (Class, []hit, error) {
	best, second := Class{}, 0
	var why []hit
	var bestScore int
	for _, c := range r.classes {
		score, hits := 0, []hit(nil)
		for _, one := range c.rules {
			h, fired, err := v.fire(one, v.reading, v.stating, objects{})
			if err != nil {
				return Class{}, nil, err
			}
			if fired {
				score += h.score
				hits = append(hits, h)
			}
		}
		if score > bestScore {
			second, bestScore = bestScore, score
			best, why = Class{Label: c.label, Category: c.category}, hits
		} else if score > second {
			second = score
		}
	}
	if bestScore == 0 {
		return r.otherwise, nil, nil
	}
	best.Margin = bestScore - second
	best.Confidence = r.confidence(best.Margin)
	best.Rules = names(why)
	return best, why, nil
}

func names(hits []hit) []string {
	var out []string
	for _, h := range hits {
		out = append(out, h.rule)
	}
	return out
}

// Analyse says what the rules find in the evidence of a run. The same bundle always
// gives the same output, and agent.Check changes nothing of it.
//
// It is inconclusive when no rule of causes fires. Severity is the worst of the
// rules that fire, and low when none does. An action is proposed over each target
// for which a rule fires and every fact that its parameters need is in evidence, at
// most agent.MaxProposals in the order of the file.
//
// Errors are faults of kind Invalid: the rulebook does not answer this kind of run,
// the bundle has no incident, or a condition fails over it.
func (r *Rulebook) Analyse(kind agent.Kind, bundle []agent.Evidence) (agent.Output, error) {
	if !slices.Contains(r.kinds, kind) {
		return agent.Output{}, fault.New(fault.Invalid, "rulebook-kind", "rulebook %s answers runs of %v, not of %q", r.Name, r.kinds, kind)
	}
	v, err := look(bundle)
	if err != nil {
		return agent.Output{}, err
	}
	class, why, err := r.classify(v)
	if err != nil {
		return agent.Output{}, err
	}
	out := agent.Output{Category: class.Category, Confidence: class.Confidence, Claims: []agent.Claim{}, Proposals: []agent.Proposal{}}
	keep(&out, why, categoryClaims)
	worst, err := r.grade(v, &out)
	if err != nil {
		return agent.Output{}, err
	}
	if err := r.cause(v, &out); err != nil {
		return agent.Output{}, err
	}
	if err := r.propose(v, &out); err != nil {
		return agent.Output{}, err
	}
	if len(out.Claims) == 0 { // agent.Check would say the same
		out.Inconclusive, out.ProbableCause, out.Confidence = true, "", min(out.Confidence, "0.20")
	}
	out.Summary = summary(v, class, out.Severity, worst)
	return out, nil
}

// keep adds rules that fired to an output, and claims of the first of them.
func keep(out *agent.Output, hits []hit, claims int) {
	for n, h := range hits {
		out.Rules = append(out.Rules, h.rule)
		if n < claims && len(h.cites) > 0 {
			out.Claims = append(out.Claims, h.claim())
		}
	}
}

// grade sets the severity and returns the rule that gave it; "" when none fired.
func (r *Rulebook) grade(v *view, out *agent.Output) (string, error) {
	out.Severity = desk.Low
	by, rank := "", -1
	var hits []hit
	for _, g := range r.severity {
		h, fired, err := v.fire(g.rule, v.reading, v.stating, objects{})
		if err != nil {
			return "", err
		}
		if !fired {
			continue
		}
		hits = append(hits, h)
		if at := slices.Index(desk.Severities(), g.then); at > rank {
			by, rank = g.name, at
		}
	}
	if h, severity, fired := r.matrix(v); fired {
		hits = append(hits, h)
		if at := slices.Index(desk.Severities(), severity); at > rank {
			by, rank = h.rule, at
		}
	}
	if rank >= 0 {
		out.Severity = desk.Severities()[rank]
	}
	// The rule that decided comes first, whatever is left out.
	slices.SortStableFunc(hits, func(a, b hit) int { return boolRank(a.rule == by) - boolRank(b.rule == by) })
	keep(out, hits, severityClaims)
	return by, nil
}

func boolRank(first bool) int {
	if first {
		return 0
	}
	return 1
}

// matrixRule is the name under which the matrix of impact and urgency is on record.
const matrixRule = "priority.matrix"

// matrix is the severity of the priority that impact and urgency give.
func (r *Rulebook) matrix(v *view) (hit, desk.Severity, bool) {
	level, _, found := r.Priority(v.incident.Facts)
	if !found || level == 0 {
		return hit{}, "", false
	}
	h := hit{rule: matrixRule, text: fmt.Sprintf("%s: impact and urgency give priority %d", matrixRule, level)}
	for _, key := range []string{agent.FactImpact, agent.FactUrgency, agent.FactScale} {
		if c, shown := agent.FactSpan(v.incident, key); shown {
			h.cites = append(h.cites, c)
		}
	}
	return h, r.priority.severities[level], true
}

func (r *Rulebook) cause(v *view, out *agent.Output) error {
	var hits []hit
	for _, c := range r.causes {
		h, fired, err := v.fire(c, v.reading, v.stating, objects{})
		if err != nil {
			return err
		}
		if fired && len(h.cites) > 0 {
			hits = append(hits, h)
		}
	}
	if len(hits) == 0 {
		out.Inconclusive = true
		return nil
	}
	out.ProbableCause = strings.TrimPrefix(hits[0].text, hits[0].rule+": ")
	keep(out, hits, causeClaims)
	return nil
}

func (r *Rulebook) propose(v *view, out *agent.Output) error {
	for _, p := range r.proposals {
		for _, on := range v.objects(p) {
			if len(out.Proposals) == agent.MaxProposals || proposed(out.Proposals, p.action, on.target.ID) {
				continue
			}
			vars := maps.Clone(v.stating)
			vars["target"], vars["with"] = orEmpty(on.target.Facts), orEmpty(on.with.Facts)
			h, fired, err := v.fire(p.rule, vars, vars, on)
			if err != nil {
				return err
			}
			params, complete := v.parameters(p, on)
			if !fired || !complete || len(h.cites) == 0 {
				continue
			}
			if !slices.Contains(out.Rules, h.rule) {
				out.Rules = append(out.Rules, h.rule)
			}
			out.Claims = append(out.Claims, h.claim())
			out.Proposals = append(out.Proposals, agent.Proposal{Action: p.action, Target: on.target.ID, Parameters: params, Reason: h.text})
		}
	}
	return nil
}

// objects are the targets of a proposal, each with every other object that it is to
// be tried with.
func (v *view) objects(p proposal) []objects {
	var out []objects
	for _, target := range v.targets {
		if target.Facts[agent.FactKind] != p.target {
			continue
		}
		if p.with == "" {
			out = append(out, objects{target: target})
			continue
		}
		for _, with := range v.targets {
			if with.Facts[agent.FactKind] == p.with && with.ID != target.ID {
				out = append(out, objects{target, with})
			}
		}
	}
	return out[:min(len(out), maxObjects)]
}

func proposed(list []agent.Proposal, action, target string) bool {
	return slices.ContainsFunc(list, func(p agent.Proposal) bool { return p.Action == action && p.Target == target })
}

// parameters takes an action's parameters from facts; it reports false when one of
// them is not in evidence, or has not the form of a parameter.
func (v *view) parameters(p proposal, on objects) (map[string]string, bool) {
	out := map[string]string{}
	maps.Copy(out, p.values)
	for name, f := range p.facts {
		value := on.of(f, v.first).Facts[f.key]
		if !agent.ValidValue(value) {
			return nil, false
		}
		out[name] = value
	}
	return out, true
}

// summary is made of closed sets and facts.
func summary(v *view, c Class, severity desk.Severity, by string) string {
	f := v.incident.Facts
	var b strings.Builder
	fmt.Fprintf(&b, "%s of severity %s", strings.ReplaceAll(string(c.Category), "_", " "), severity)
	if f[agent.FactSystem] != "" {
		fmt.Fprintf(&b, ", system %s", f[agent.FactSystem])
	} else if f[agent.FactSubjectID] != "" {
		fmt.Fprintf(&b, ", %s %s", strings.ReplaceAll(f[agent.FactSubjectKind], "_", " "), f[agent.FactSubjectID])
	}
	if f[agent.FactExposureUSD] != "" {
		fmt.Fprintf(&b, ", USD %s at risk", f[agent.FactExposureUSD])
	}
	if len(c.Rules) > 0 {
		fmt.Fprintf(&b, ". Category by %s", strings.Join(c.Rules[:min(3, len(c.Rules))], ", "))
	} else {
		b.WriteString(". No rule speaks for a category")
	}
	if by != "" {
		fmt.Fprintf(&b, "; severity by %s", by)
	}
	b.WriteString(".")
	return agent.Clean(b.String())
}
