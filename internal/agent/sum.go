package agent

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"finobs/internal/desk"
	"finobs/internal/fault"
)

// SumVersion names the analyst that SumUp is.
const SumVersion = "rulebook/summary@1"

// Facts of counts. Others are counts of one kind each, such as "type.approval.decided".
const (
	FactFrom       = "from"       // first leaf
	FactTo         = "to"         // last leaf, exclusive
	FactEntries    = "entries"    // of the log in the range
	FactCheckpoint = "checkpoint" // size of the first checkpoint that covers the range
	FactRecords    = "records"    // transactions that the rules looked at
	FactFindings   = "findings"   // of the rules
)

// mostNamed bounds how many counts or findings a summary names.
const mostNamed = 8

// SumUp sums up a range of the log, or the findings of a compliance run, from the
// counts in evidence. Every number that it says is a fact. Errors are faults of kind
// Invalid: there are no counts in the bundle.
func SumUp(kind Kind, bundle []Evidence) (Output, error) {
	at := slices.IndexFunc(bundle, func(e Evidence) bool { return e.Kind == OfCounts })
	if at < 0 {
		return Output{}, fault.New(fault.Invalid, "no-counts", "there are no counts in the evidence of a run of kind %s", kind)
	}
	counts := bundle[at]
	out := Output{Category: CategoryCompliance, Severity: desk.Low, Confidence: "1.00", Claims: []Claim{}, Proposals: []Proposal{}}
	claim := func(text string, e Evidence, keys ...string) {
		c := Claim{Text: text, Cites: []Cite{}}
		for _, key := range keys {
			if cite, shown := FactSpan(e, key); shown {
				c.Cites = append(c.Cites, cite)
			}
		}
		if len(c.Cites) > 0 {
			out.Claims = append(out.Claims, c)
		}
	}
	f := counts.Facts
	if kind == AuditSummary {
		out.Summary = fmt.Sprintf("Leaves %s to %s (exclusive) of the log, under the checkpoint of size %s: %s entries.",
			f[FactFrom], f[FactTo], f[FactCheckpoint], f[FactEntries])
		claim("the range is covered by a signed checkpoint", counts, FactFrom, FactTo, FactCheckpoint)
	} else {
		out.Summary = fmt.Sprintf("The rules looked at %s transactions and found %s things that people should judge.", f[FactRecords], f[FactFindings])
		claim("the rules looked at these transactions", counts, FactRecords, FactFindings)
	}
	named := 0
	for _, key := range sortedByCount(f) {
		if named++; named > mostNamed {
			break
		}
		claim(strings.Replace(key, ".", " ", 1)+": "+f[key], counts, key)
	}
	for _, e := range bundle {
		if e.Kind != OfFinding {
			continue
		}
		if s := desk.Severity(e.Facts[FactSeverity]); s.Valid() && slices.Index(desk.Severities(), s) > slices.Index(desk.Severities(), out.Severity) {
			out.Severity = s
		}
		if len(out.Claims) < MaxClaims {
			claim(e.Facts["rule"]+" concerns "+e.Facts["party"], e, "rule", "party", FactSeverity)
		}
	}
	out.Summary = Clean(out.Summary)
	return out, nil
}

// sortedByCount lists the keys of counts of one kind each, the largest first.
func sortedByCount(facts map[string]string) []string {
	var keys []string
	for key := range facts {
		if strings.Contains(key, ".") {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b string) int {
		if n := len(facts[b]) - len(facts[a]); n != 0 { // more digits, more
			return n
		}
		if c := strings.Compare(facts[b], facts[a]); c != 0 {
			return c
		}
		return strings.Compare(a, b)
	})
	return keys
}

// numbers are runs of digits of any script, with separators of thousands and a
// decimal part.
var numbers = regexp.MustCompile(`\pN(?:[\pN,]*\pN)?(?:\.\pN+)?`)

// CheckNumbers finds numbers in the prose of an output that are no fact of the
// counts and findings in evidence: a summary of counts invents none. Problems are
// fatal.
func CheckNumbers(bundle []Evidence, o Output) []Problem {
	known := map[string]bool{}
	for _, e := range bundle {
		for _, n := range numbers.FindAllString(e.Text, -1) {
			known[strings.ReplaceAll(n, ",", "")] = true
		}
	}
	var problems []Problem
	check := func(where, text string) {
		for _, n := range numbers.FindAllString(text, -1) {
			if !known[strings.ReplaceAll(n, ",", "")] {
				problems = append(problems, Problem{Fatal: true, Where: where, Message: "it states a number that is not in evidence; state only numbers that are"})
				return
			}
		}
	}
	check("summary", o.Summary)
	check("probable_cause", o.ProbableCause)
	for n, c := range o.Claims {
		check(fmt.Sprintf("claims[%d].text", n), c.Text)
	}
	return problems
}
