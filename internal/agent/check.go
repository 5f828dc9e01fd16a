package agent

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/shopspring/decimal"
)

// Scope is what a run of an agent may say. Its zero value lets nothing pass.
type Scope struct {
	Kind Kind // of the run

	// Allowed reports why an action of the catalogue cannot be proposed over a target
	// of a kind with these parameters: unknown action, wrong kind, a parameter that is
	// missing, superfluous, ill-typed or out of bounds. Nil: no action is allowed.
	Allowed func(action, targetKind string, params map[string]string) error
	// Identifier reports whether a parameter of an action names an object. Its value
	// has to be a fact of the target or of another typed evidence of the bundle: an
	// analyst cannot bring in objects that nobody gathered. Nil: none does.
	Identifier func(action, parameter string) bool

	MaxProposals int  // at most MaxProposals; 0: none may be proposed
	Rulebook     bool // the analyst is a rulebook, whose Rules are kept
}

// Problem is something that Check found wrong. A fatal one makes the whole output
// invalid: the model is asked again, or the rulebook answers. The message repeats
// nothing of what the analyst wrote, so that it may be sent back to a model.
type Problem struct {
	Fatal   bool   `json:"fatal"`
	Where   string `json:"where"`   // such as "claims[2].cites[0]"
	Message string `json:"message"` // what is wrong and how to mend it
}

// String is the problem in one line.
func (p Problem) String() string { return p.Where + ": " + p.Message }

// Fatal lists the problems that make an output invalid, each in one line.
func Fatal(problems []Problem) []string {
	var out []string
	for _, p := range problems {
		if p.Fatal {
			out = append(out, p.String())
		}
	}
	return out
}

// Limits of what Output holds, in addition to those beside it.
const (
	// unproven is the highest confidence, in hundredths, of an output of which no
	// claim stands.
	unproven      = 20
	maxParameters = 16
	maxParameter  = 200 // bytes of a value
	maxRules      = 100
)

var (
	confidencePattern = regexp.MustCompile(`^(0\.[0-9]{2}|1\.00)$`)
	namePattern       = regexp.MustCompile(`^[a-z][a-z0-9_.-]{0,63}$`)
	// A value is an identifier, a number, a date or a word of a closed set; letters of
	// any script, but nothing that could be a path, a link, an address or a command.
	valuePattern = regexp.MustCompile(`^[\pL\pN][\pL\pN ._:+-]*$`)
)

// Check judges an output of any analyst over the evidence that it was shown, and
// returns what of it is kept.
//
// An output is refused as a whole, and the zero Output returned, when a field is
// outside its closed set or its length, or when a proposal is not within the scope;
// a long list is not cut, since what a hostile analyst puts first is no better than
// the rest. Claims fail one by one: a claim stands when it has a cite and each of
// its cites repeats, byte for byte, a span of an evidence of the bundle. Offsets are
// mended where the quote occurs exactly once. A claim that fails is kept, struck.
//
// Confidence is multiplied by the share of claims that stand among those that were
// not struck already, and rounded down to hundredths. When none stands it is at most
// 0.20, the output is inconclusive, and it proposes nothing. Prose is Clean.
//
// Checking again what was checked changes nothing.
func Check(scope Scope, bundle []Evidence, raw Output) (Output, []Problem) {
	if !Contained {
		return raw, nil
	}
	c := checker{scope: scope, bundle: make(map[string]Evidence, len(bundle))}
	for _, e := range bundle {
		if _, twice := c.bundle[e.ID]; twice {
			c.fatal("evidence", "two evidences of the bundle have the same id; number them anew")
		}
		if !utf8.ValidString(e.Text) {
			c.fatal("evidence", "a text of the bundle is not valid UTF-8; make it so before it is shown")
		}
		c.bundle[e.ID] = e
	}
	if !scope.Kind.Valid() {
		c.fatal("scope", "the kind of the run is not known")
	}
	out := Output{Category: raw.Category, Severity: raw.Severity, Inconclusive: raw.Inconclusive}
	c.closedSets(raw)
	out.Summary = c.prose("summary", raw.Summary, true)
	out.ProbableCause = c.prose("probable_cause", raw.ProbableCause, false)
	var standing, judged int
	out.Claims, standing, judged = c.claims(raw.Claims)
	out.Proposals = c.proposals(raw.Proposals)
	out.Rules = c.rules(raw.Rules)
	if len(Fatal(c.problems)) > 0 {
		return Output{}, c.problems
	}
	out.Confidence = lowered(raw.Confidence, standing, judged)
	if standing == 0 {
		out.Inconclusive = true
		if len(out.Proposals) > 0 {
			c.found("proposals", "dropped, since no claim stands")
			out.Proposals = []Proposal{}
		}
	}
	if out.Inconclusive {
		out.ProbableCause = ""
	}
	return out, c.problems
}

// lowered is a confidence times the share of the claims that stand, by the formula
// at Check. The confidence was matched by its pattern.
func lowered(confidence string, standing, judged int) string {
	hundredths := decimal.RequireFromString(confidence).Shift(2).IntPart()
	if judged > 0 {
		hundredths = hundredths * int64(standing) / int64(judged)
	}
	if standing == 0 {
		hundredths = min(hundredths, unproven)
	}
	return decimal.New(hundredths, -2).StringFixed(2)
}

type checker struct {
	scope    Scope
	bundle   map[string]Evidence
	problems []Problem
}

func (c *checker) fatal(where, format string, args ...any) {
	c.problems = append(c.problems, Problem{Fatal: true, Where: where, Message: fmt.Sprintf(format, args...)})
}

func (c *checker) found(where, format string, args ...any) {
	c.problems = append(c.problems, Problem{Where: where, Message: fmt.Sprintf(format, args...)})
}

func (c *checker) closedSets(raw Output) {
	if !slices.Contains(Categories(), raw.Category) {
		c.fatal("category", "it is none of %v", Categories())
	}
	if !raw.Severity.Valid() {
		c.fatal("severity", "it must be low, medium, high or critical, in lower case")
	}
	if !confidencePattern.MatchString(raw.Confidence) {
		c.fatal("confidence", `it must be a text from "0.00" to "1.00" with two decimals`)
	}
}

func (c *checker) prose(where, text string, required bool) string {
	if len(text) > MaxProse {
		c.fatal(where, "it has %d bytes; the limit is %d", len(text), MaxProse)
		return ""
	}
	out := Clean(text)
	if required && strings.TrimSpace(out) == "" {
		c.fatal(where, "it is empty; say in a sentence or two what the evidence shows")
	}
	return out
}

func (c *checker) rules(names []string) []string {
	if !c.scope.Rulebook {
		return nil
	}
	if len(names) > maxRules {
		c.fatal("rules", "there are %d; the limit is %d", len(names), maxRules)
		return nil
	}
	for n, name := range names {
		if !namePattern.MatchString(name) {
			c.fatal(fmt.Sprintf("rules[%d]", n), "it is no name of a rule")
		}
	}
	return slices.Clone(names)
}

// claims judges each claim; standing are those that pass, judged all that were not
// struck when they came.
func (c *checker) claims(list []Claim) (out []Claim, standing, judged int) {
	out = make([]Claim, 0, min(len(list), MaxClaims))
	if len(list) > MaxClaims {
		c.fatal("claims", "there are %d; the limit is %d", len(list), MaxClaims)
		return out, 0, 0
	}
	for n, claim := range list {
		where := fmt.Sprintf("claims[%d]", n)
		kept := Claim{Text: c.prose(where+".text", claim.Text, false), Cites: []Cite{}, Struck: claim.Struck}
		why := ""
		switch {
		case len(claim.Cites) > MaxCites:
			c.fatal(where+".cites", "there are %d; the limit is %d", len(claim.Cites), MaxCites)
			continue
		case strings.TrimSpace(kept.Text) == "":
			why = "it says nothing"
		case len(claim.Cites) == 0:
			why = "it cites no evidence"
		}
		for k, cite := range claim.Cites {
			mended, wrong := c.cite(cite)
			if wrong == "" {
				kept.Cites = append(kept.Cites, mended)
				continue
			}
			if why == "" {
				why = fmt.Sprintf("cite %d: %s", k+1, wrong)
			}
		}
		if claim.Struck {
			kept.Why = c.prose(where+".why", claim.Why, false)
			out = append(out, kept)
			continue
		}
		judged++
		if why == "" {
			standing++
		} else {
			kept.Struck, kept.Why = true, why
			c.found(where, "struck: %s", why)
		}
		out = append(out, kept)
	}
	return out, standing, judged
}

// cite returns a cite whose span is right, or says what is wrong with it.
func (c *checker) cite(cite Cite) (mended Cite, wrong string) {
	e, known := c.bundle[cite.Evidence]
	switch {
	case !known:
		return Cite{}, "it names no evidence of the bundle"
	case cite.Quote == "":
		return Cite{}, "it quotes nothing"
	case len(cite.Quote) > MaxProse:
		return Cite{}, fmt.Sprintf("its quote is over %d bytes", MaxProse)
	case !utf8.ValidString(cite.Quote):
		return Cite{}, "its quote is not valid UTF-8"
	case cite.Start >= 0 && cite.Start < cite.End && cite.End <= len(e.Text) && e.Text[cite.Start:cite.End] == cite.Quote:
		return cite, "" // whole characters, since both text and quote are valid UTF-8
	}
	at := strings.Index(e.Text, cite.Quote)
	switch {
	case at < 0:
		return Cite{}, "its quote does not occur in the evidence"
	case strings.Contains(e.Text[at+1:], cite.Quote):
		return Cite{}, "its offsets are wrong, and its quote occurs more than once"
	}
	cite.Start, cite.End = at, at+len(cite.Quote)
	return cite, ""
}

func (c *checker) proposals(list []Proposal) []Proposal {
	out := make([]Proposal, 0, min(len(list), MaxProposals))
	limit := min(c.scope.MaxProposals, MaxProposals)
	if c.scope.Kind == AuditSummary {
		limit = 0 // a summary of the log looks back
	}
	if len(list) > limit {
		c.fatal("proposals", "there are %d; the limit is %d", len(list), limit)
		return out
	}
	seen := map[string]bool{}
	for n, p := range list {
		where := fmt.Sprintf("proposals[%d]", n)
		target, known := c.bundle[p.Target]
		if !known || target.Kind != OfTarget {
			c.fatal(where+".target", "it is not the id of an evidence of kind target")
			continue
		}
		if !namePattern.MatchString(p.Action) {
			c.fatal(where+".action", "it is not an action of the catalogue")
			continue
		}
		if key := p.Action + " " + p.Target; seen[key] {
			c.fatal(where, "the same action is proposed over the same target before")
		} else {
			seen[key] = true
		}
		c.parameters(where+".parameters", p, target)
		params := maps.Clone(p.Parameters)
		if params == nil {
			params = map[string]string{}
		}
		if c.scope.Allowed == nil {
			c.fatal(where+".action", "this run may propose no action")
		} else if err := c.scope.Allowed(p.Action, target.Facts[FactKind], maps.Clone(params)); err != nil {
			c.fatal(where, "the catalogue does not allow it: take the action, the kind of its target and its parameters from the catalogue")
		}
		out = append(out, Proposal{Action: p.Action, Target: p.Target, Parameters: params, Reason: c.prose(where+".reason", p.Reason, false)})
	}
	return out
}

// parameters judges the form of parameters, whatever the catalogue says of them, and
// whether the objects that they name are in evidence.
func (c *checker) parameters(where string, p Proposal, target Evidence) {
	if len(p.Parameters) > maxParameters {
		c.fatal(where, "there are %d; the limit is %d", len(p.Parameters), maxParameters)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(p.Parameters)) {
		value := p.Parameters[name]
		switch {
		case !namePattern.MatchString(name):
			c.fatal(where, "a parameter has no name of the catalogue")
		case !ValidValue(value):
			c.fatal(where+"."+name, "it must be an identifier, a number, a date or a word of the catalogue, at most %d bytes", maxParameter)
		case c.scope.Identifier != nil && c.scope.Identifier(p.Action, name) && !c.inEvidence(value, target):
			c.fatal(where+"."+name, "it names an object that is not in evidence")
		}
	}
}

// ValidValue reports whether a text has the form of a parameter: an identifier, a
// number, a date or a word of a closed set, of at most 200 bytes.
func ValidValue(value string) bool {
	return len(value) <= maxParameter && (valuePattern.MatchString(value) || isNumber(value)) && Clean(value) == value
}

func isNumber(s string) bool {
	_, err := decimal.NewFromString(s)
	return err == nil && !strings.ContainsAny(s, "eE")
}

// inEvidence reports whether a value is a fact that finobs read from a typed column
// or through a connector.
func (c *checker) inEvidence(value string, target Evidence) bool {
	if Typed(target, value) {
		return true
	}
	for _, e := range c.bundle {
		if Typed(e, value) {
			return true
		}
	}
	return false
}

// Typed reports whether a value is a fact of an evidence that finobs read from typed
// columns or through a connector. Details of an incident do not count: senders of
// alerts write them.
func Typed(e Evidence, value string) bool {
	switch e.Kind {
	case OfTarget, OfTrade, OfOtherSide, OfSettlement, OfSystem:
		return slices.Contains(slices.Collect(maps.Values(e.Facts)), value)
	default:
		return false
	}
}
