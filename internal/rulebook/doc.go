// Package rulebook is the analyst that needs no model: rules in a YAML file, each
// with a name, over the evidence of a run. It is deterministic and pure, and says of
// every conclusion which rule drew it and where in the evidence it is seen.
//
// What a rule may read depends on what it may cause. Categories, severity and causes
// may look at the words of a text; the sentences that are said, and everything about
// proposals, are made of facts alone. An action's parameters are facts of evidence
// that was read from typed columns or through a connector, or constants of the file.
package rulebook

import (
	"finobs/internal/agent"
	"finobs/internal/desk"
)

// Rulebook is a file that was read by Load. It is safe for concurrent use.
type Rulebook struct {
	Name     string
	Revision int
	SHA256   string // of the file's bytes, hexadecimal

	kinds       []agent.Kind
	classes     []class
	otherwise   Class
	calibration []point
	severity    []grade
	causes      []rule
	proposals   []proposal
	priority    *priority
}

// Version is what is on record with each run of this rulebook.
func (r *Rulebook) Version() agent.Version {
	return agent.Version{Analyst: "rulebook/" + r.Name + "@" + itoa(r.Revision), RulebookSHA256: r.SHA256}
}

// Labels lists the names of the classes that the rulebook tells apart, in the order
// of the file, with that of Class when no rule fires at the end.
func (r *Rulebook) Labels() []string {
	var out []string
	for _, c := range r.classes {
		out = append(out, c.label)
	}
	for _, label := range out {
		if label == r.otherwise.Label {
			return out
		}
	}
	return append(out, r.otherwise.Label)
}

// class is a category with the rules that speak for it.
type class struct {
	label    string
	category agent.Category
	rules    []rule
}

// rule fires when one of its words is found, when its condition holds, or, if it has
// both, when both are so.
type rule struct {
	name   string
	weight int // score for each different word that is found, or for the condition
	most   int // words that count
	words  []phrase
	when   *expression
	say    *expression // nil: the claim names the words or the facts
}

// grade is a rule of the rubric of severity.
type grade struct {
	rule
	then desk.Severity
}

// proposal is a rule that proposes an action over each target of a kind for which its
// condition holds, alone or together with another object.
type proposal struct {
	rule
	action string
	target string            // kind of the target
	with   string            // kind of another target that the condition is about; empty: none
	facts  map[string]fact   // of parameters
	values map[string]string // of parameters that are constants
}

// fact names one fact of the first evidence of a kind, of the target, or of the
// object that a proposal is tried with.
type fact struct {
	kind agent.EvidenceKind
	key  string
}

// withObject is the kind of a fact of the other object.
const withObject agent.EvidenceKind = "with"

// point is the confidence of an answer whose score is that far above the next.
type point struct{ margin, confidence int } // confidence in hundredths

// Class is what a rulebook takes a text for.
type Class struct {
	Label      string
	Category   agent.Category
	Confidence string // "0.00" to "1.00", by the file's table of margins
	Margin     int    // score above the next class
	Rules      []string
}
