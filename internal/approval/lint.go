package approval

import (
	"slices"
	"strings"
)

// Severity says how bad a finding is.
type Severity string

// The closed set of severities.
const (
	LintError   Severity = "error"   // somebody's requests can never be approved
	LintWarning Severity = "warning" // probably not what was meant
)

// Finding is something wrong with a policy file, given a roster.
type Finding struct {
	Policy   string // id; empty when it concerns the file or the roster
	Problem  string
	Severity Severity
}

// Lint looks for requests that the people on the roster could never approve, and
// for policies and rungs without effect. It asks each policy about a request by
// each active person who may make one; a condition that depends on parameters of
// the action cannot be judged this way.
func Lint(ps *Policies, roster Roster) []Finding {
	var out []Finding
	all := ""
	for _, p := range ps.list {
		if all != "" {
			out = append(out, Finding{p.ID, "it is never reached: policy " + all + " before it matches everything", LintWarning})
		}
		if all == "" && strings.TrimSpace(p.Match) == "true" {
			all = p.ID
		}
	}
	if all == "" {
		out = append(out, Finding{"", "no policy matches everything; an action that none matches is refused", LintWarning})
	}
	if len(roster.people()) == 0 {
		return append(out, Finding{"", "the roster has no active people; add some before anybody asks for an approval", LintError})
	}
	for _, p := range ps.list {
		if !p.Auto {
			out = append(out, lintQuorum(p, roster)...)
			out = append(out, lintLadder(p, roster)...)
		}
	}
	return out
}

// askers are the active people who may ask for something.
func askers(roster Roster) []Member {
	return slices.DeleteFunc(roster.people(), func(m Member) bool {
		return !slices.ContainsFunc(m.Roles, func(role string) bool {
			return slices.Contains([]string{"admin", "compliance", "analyst", "trader"}, role)
		})
	})
}

// probe is an action such as m could ask for.
func probe(m Member) Action {
	return Action{
		Kind: "lint.probe", Mode: Live, RiskTier: Medium, Requester: m.Person, Desk: m.Desk,
		Parameters: map[string]string{"amount": "0", "dataset": "probe"},
	}
}

// lintQuorum finds the people whose requests cannot be approved; those with the
// same problem share a finding.
func lintQuorum(p *Policy, roster Roster) []Finding {
	s := Setting{Roster: roster}
	names := map[Finding][]string{}
	var found []Finding
	for _, m := range askers(roster) {
		a := probe(m)
		short := s.short(newBallot(p, a), false)
		if len(short) == 0 {
			continue
		}
		f := Finding{p.ID, "the roster lacks " + joinAnd(short), LintError}
		if p.Fallback != "" && len(s.short(newBallot(p, a), true)) == 0 {
			f.Problem += "; only the fallback can complete it"
			f.Severity = LintWarning
		}
		if names[f] == nil {
			found = append(found, f)
		}
		names[f] = append(names[f], plain(m.Subject))
	}
	out := make([]Finding, 0, len(found))
	for _, f := range found {
		out = append(out, Finding{f.Policy, "a request by " + someNames(names[f]) + ": " + f.Problem, f.Severity})
	}
	return out
}

// lintLadder finds the rungs that tell nobody, whoever asks.
func lintLadder(p *Policy, roster Roster) []Finding {
	var out []Finding
	for _, r := range p.Ladder {
		tells := slices.ContainsFunc(roster.people(), func(m Member) bool { return len(r.Told(probe(m), roster)) > 0 })
		if !tells {
			out = append(out, Finding{p.ID, r.Name + " tells nobody on the roster", LintWarning})
		}
	}
	return out
}
