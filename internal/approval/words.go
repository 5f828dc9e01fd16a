package approval

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Render is the summary of an action and its policy that an approver is shown:
// one fact on each line, the same text for the same action. Values are untrusted;
// none of them can add a line or hide a character.
func Render(a Action, p *Policy) string {
	lines := []string{
		"action: " + plain(a.Kind),
		"mode: " + plain(string(a.Mode)),
		"risk tier: " + plain(string(a.RiskTier)),
		"requester: " + a.Requester.words(),
	}
	if a.Editor != nil {
		lines = append(lines, "edited by: "+a.Editor.words())
	}
	if a.Desk == "" {
		lines = append(lines, "desk: all")
	} else {
		lines = append(lines, "desk: "+quote(a.Desk))
	}
	for i, t := range a.Targets {
		lines = append(lines, fmt.Sprintf("target %d: %s %s, version %s", i+1, plain(t.Kind), quote(t.ID), quote(t.Version)))
	}
	for _, name := range slices.Sorted(maps.Keys(a.Parameters)) {
		shown := name
		if !namePattern.MatchString(name) {
			shown = quote(name)
		}
		lines = append(lines, "parameter "+shown+": "+quote(a.Parameters[name]))
	}
	lines = append(lines, "policy: "+plain(p.ID))
	for _, w := range p.Words() {
		lines = append(lines, "  "+w)
	}
	return strings.Join(lines, "\n") + "\n"
}

func (p Person) words() string { return quote(p.Subject) + " of " + quote(p.Issuer) }

// Words says what the policy asks for, one rule in each entry.
func (p *Policy) Words() []string {
	if p.Auto {
		return []string{
			"the policy itself approves; nobody decides",
			"an approval may be used for " + plainDuration(p.ReuseFor),
		}
	}
	var out []string
	for i := range p.Stages {
		out = append(out, p.inStage(i, "needs "+p.Stages[i].words()))
	}
	out = append(out, "each place is taken by another person; requester and editor take none")
	out = append(out, counted(p.Veto, "rejection closes", "rejections close")+" the request")
	out = append(out, fmt.Sprintf("the deadline is %s after the request; an approval may be used for %s",
		plainDuration(p.Expires), plainDuration(p.ReuseFor)))
	if p.Roster == RosterRequired {
		out = append(out, "only people on the roster count")
	}
	if p.NoDelegation {
		out = append(out, "delegates do not count")
	}
	if p.Fallback != "" {
		out = append(out, "once nobody on the roster is eligible, people with "+plain(p.Fallback)+" may decide too")
	}
	if p.Channel != "" {
		out = append(out, "eligible people and the requester are told on channel "+p.Channel)
	}
	for _, r := range p.Ladder {
		to := r.Label
		if to == "" {
			to = "people with " + r.To
		}
		out = append(out, fmt.Sprintf("%s after %s to %s on channel %s", r.Name, plainDuration(r.After), plain(to), r.Channel))
	}
	return out
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func (s *Stage) words() string {
	of := func(groups []*Group) []string {
		var out []string
		for _, g := range groups {
			out = append(out, fmt.Sprintf("%d of %s", g.N, plain(g.Name())))
		}
		return out
	}
	all, some := of(s.required()), of(s.groups()[len(s.AllOf):])
	switch {
	case len(some) == 0:
		return joinAnd(all)
	case len(all) == 0:
		return joinOr(some)
	}
	return joinAnd(all) + ", and beside them " + joinOr(some)
}

// Explain says how a request stands: what counts, what does not and why, what is
// missing, and who on the roster could give it.
func (s Setting) Explain(p *Policy, a Action, decisions []Decision, fallback bool, status Status) []string {
	if p.Auto {
		return []string{"policy " + p.ID + " approves by itself", "the request is " + string(status)}
	}
	var out []string
	b := newBallot(p, a)
	for _, d := range decisions {
		d, why := s.counts(b, d)
		if why != "" {
			out = append(out, d.words()+" does not count: "+why)
			continue
		}
		out = append(out, p.inStage(b.stage, d.words()+" counts"))
		b.cast(d)
	}
	if status != Pending {
		return append(out, "the request is "+string(status))
	}
	if b.status != Pending {
		return append(out, "the decisions amount to "+string(b.status))
	}
	for _, words := range b.missing() {
		out = append(out, "missing: "+words)
	}
	if fallback && p.Fallback != "" {
		out = append(out, "people with "+plain(p.Fallback)+" may decide too")
	}
	if len(s.Roster) == 0 && p.Roster == RosterOptional {
		return append(out, "the roster is empty: whoever has the roles may decide")
	}
	var names []string
	for _, m := range s.eligible(b, fallback) {
		names = append(names, plain(m.Subject))
	}
	if len(names) == 0 {
		out = append(out, "nobody on the roster can give an approval that counts now")
	} else {
		out = append(out, "could approve now: "+someNames(names))
	}
	if short := s.short(b, fallback); len(short) > 0 {
		out = append(out, "the people on the roster cannot complete this; they lack "+joinAnd(short))
	}
	return out
}

// words is the decision in few words.
func (d Decision) words() string {
	verdict := "approval"
	if d.Verdict == Reject {
		verdict = "rejection"
	}
	text := verdict + " by " + plain(d.Reviewer.Subject)
	if d.OnBehalfOf != nil {
		text += " for " + plain(d.OnBehalfOf.Subject)
	}
	return text
}
