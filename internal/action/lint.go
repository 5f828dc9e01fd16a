package action

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$`)

// Lint lists what is missing or at odds in a catalogue; nothing for one that is
// sound.
func Lint(catalogue []Type) []string {
	var out []string
	seen := map[string]bool{}
	for _, t := range catalogue {
		if seen[t.Name] {
			out = append(out, t.Name+": there are two of this name")
		}
		seen[t.Name] = true
		for _, problem := range append(append(t.lintFacts(), t.lintParts()...), t.lintParameters()...) {
			out = append(out, t.Name+": "+problem)
		}
	}
	return out
}

// finding collects what is wrong.
type finding []string

func (f *finding) when(wrong bool, format string, args ...any) {
	if wrong {
		*f = append(*f, fmt.Sprintf(format, args...))
	}
}

func (t Type) lintFacts() finding {
	var f finding
	f.when(!namePattern.MatchString(t.Name), "its name is no dotted pair of lower-case words")
	f.when(t.Version < 1, "its version is not 1 or more")
	f.when(t.Title == "", "it has no title")
	f.when(t.Doc == "", "it has no doc")
	f.when(!slices.Contains(Kinds(), t.TargetKind), "its target kind %q is none of %s", t.TargetKind, strings.Join(Kinds(), ", "))
	f.when(!t.Risk.Valid(), "it has no risk tier")
	f.when(!t.Reversibility.Valid(), "it does not say whether it can be undone")
	f.when(t.Caps.PerHour < 1, "it has no cap of executions in an hour")
	f.when(t.Moves != t.Caps.MaxAmountUSD.IsPositive(), "a cap in US dollars is for what moves money, and must be there for it")
	f.when(t.Caps.MaxQuantity.IsNegative(), "its cap of quantity is below 0")
	return f
}

func (t Type) lintParts() finding {
	var f finding
	f.when(t.Guard == nil, "it has no precondition")
	f.when(t.Effect == nil, "it has no plan")
	f.when(t.Judge == nil, "it has no verification")
	undone := t.Reversibility == Reversible || t.Reversibility == Compensable
	f.when(undone != (t.Undo != nil), "a compensation is for what is reversible or compensable, and must be there for it")
	f.when(undone != (len(t.Restores) > 0), "what its compensation restores must be said, and only then")
	for _, n := range t.Needs {
		f.when(!slices.Contains(Kinds(), n.Kind), "it needs an object of kind %q, which is none of %s", n.Kind, strings.Join(Kinds(), ", "))
		f.when((n.Parameter == "") == (n.Field == ""), "a %s that it needs is named by a parameter or by a field", n.Kind)
		f.when(n.Parameter != "" && !slices.ContainsFunc(t.Parameters, func(p Parameter) bool { return p.Name == n.Parameter && p.Kind == ID }),
			"it needs the %s of parameter %s, which names no object", n.Kind, n.Parameter)
	}
	return f
}

func (t Type) lintParameters() finding {
	var f finding
	seen := map[string]bool{}
	for _, p := range t.Parameters {
		f.when(!fieldPattern.MatchString(p.Name), "parameter %q has no lower-case name", p.Name)
		f.when(seen[p.Name], "parameter %s is there twice", p.Name)
		seen[p.Name] = true
		f.when(!p.Kind.Valid(), "parameter %s has no known kind", p.Name)
		f.when(p.Doc == "", "parameter %s has no doc", p.Name)
		f.when((p.Kind == Choice) != (len(p.Enum) > 0), "parameter %s: a choice has values, and nothing else has", p.Name)
		for _, value := range p.Enum {
			f.when(!choicePattern.MatchString(value), "parameter %s: %q is no lower-case word", p.Name, value)
		}
		for _, limit := range []string{p.Min, p.Max} {
			if limit == "" {
				continue
			}
			suits := p.Kind == Date && isDate(limit)
			if p.Kind.numeric() {
				_, suits = parseDecimal(limit)
			}
			f.when(!suits, "parameter %s: the limit %q does not suit its kind", p.Name, limit)
		}
	}
	return f
}
