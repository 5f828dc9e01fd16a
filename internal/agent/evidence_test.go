package agent_test

import (
	"bytes"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"finobs/internal/agent"
	"finobs/internal/desk"
	"finobs/internal/fault"

	"pgregory.net/rapid"
)

func drawFound(t *rapid.T) agent.Found {
	return agent.Found{
		Kind: rapid.SampledFrom([]agent.EvidenceKind{agent.OfIncident, agent.OfTrade, agent.OfTarget, agent.OfCounts}).Draw(t, "kind"), Source: "s",
		Facts: rapid.MapOfN(rapid.StringMatching(`[a-z._]{1,8}`), rapid.String(), 0, 5).Draw(t, "facts"), Text: rapid.String().Draw(t, "text"),
	}
}

// A bundle is kept and read back as it was; what was changed in between is refused.
func TestBundlesAreReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		found := rapid.SliceOfN(rapid.Custom(drawFound), 0, 6).Draw(t, "found")
		bundle := agent.Bundle(found)
		if len(bundle) != len(found) {
			t.Fatalf("%d evidences of %d", len(bundle), len(found))
		}
		b, err := agent.EncodeBundle(bundle)
		if err != nil {
			t.Fatal(err)
		}
		got, err := agent.DecodeBundle(b)
		if err != nil || len(got) != len(bundle) {
			t.Fatalf("%d, %v", len(got), err)
		}
		again, err := agent.EncodeBundle(got)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("kept %q, then %q, %v", b, again, err)
		}
		for n, e := range got {
			if e.ID != "E"+strconv.Itoa(n+1) || e.Text != bundle[n].Text || !utf8.ValidString(e.Text) || len(e.Text) > agent.MaxEvidenceText {
				t.Fatalf("evidence %d: %+v", n, e)
			}
			for key := range e.Facts {
				if cite, shown := agent.FactSpan(e, key); shown && e.Text[cite.Start:cite.End] != cite.Quote {
					t.Fatalf("fact %q is shown as %+v", key, cite)
				}
			}
		}
	})
}

func TestChangedBundlesAreRefused(t *testing.T) {
	kept := func() []agent.Evidence {
		return agent.Bundle([]agent.Found{{Kind: agent.OfIncident, Source: "incident:1", Text: "one"}, {Kind: agent.OfTrade, Source: "t", Text: "two"}})
	}
	for name, change := range map[string]func([]agent.Evidence) []agent.Evidence{
		"another text":   func(b []agent.Evidence) []agent.Evidence { b[0].Text = "One"; return b },
		"another digest": func(b []agent.Evidence) []agent.Evidence { b[1].SHA256 = b[0].SHA256; return b },
		"another order":  func(b []agent.Evidence) []agent.Evidence { b[0], b[1] = b[1], b[0]; return b },
		"one less":       func(b []agent.Evidence) []agent.Evidence { return b[1:] },
		"one twice":      func(b []agent.Evidence) []agent.Evidence { return append(b, b[1]) },
	} {
		b, err := agent.EncodeBundle(change(kept()))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := agent.DecodeBundle(b); err == nil {
			t.Errorf("%s: read %+v", name, got)
		}
	}
	for _, odd := range []string{"", "{}", `[{"id":1}]`, `[`} {
		if _, err := agent.DecodeBundle([]byte(odd)); err == nil {
			t.Errorf("%q was read", odd)
		}
	}
}

// However much is found, a bundle stays within its limits, and says what was cut.
func TestBundlesHaveLimits(t *testing.T) {
	var found []agent.Found
	for n := range 60 {
		found = append(found, agent.Found{Kind: agent.OfTimeline, Source: fmt.Sprint(n), Text: strings.Repeat("é", 20_000)})
	}
	size := 0
	bundle := agent.Bundle(found)
	for n, e := range bundle {
		if size += len(e.Text); n == len(bundle)-1 {
			if rest := len(found) - n; e.Source != "bundle" || e.Facts["left_out"] != strconv.Itoa(rest) || !strings.Contains(e.Text, fmt.Sprintf("found at %d, %d", n, n+1)) {
				t.Errorf("of %d found, %d are left out, and that is said so: %+v", len(found), rest, e)
			}
			continue
		}
		if len(e.Text) > agent.MaxEvidenceText || !utf8.ValidString(e.Text) || !strings.HasSuffix(e.Text, "[cut]\n") {
			t.Errorf("evidence %s has %d bytes", e.ID, len(e.Text))
		}
	}
	if size > agent.MaxBundle || size < agent.MaxBundle-agent.MaxEvidenceText-1024 {
		t.Errorf("%d evidences of %d bytes", len(bundle), size)
	}
}

func TestShorten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, limit := rapid.String().Draw(t, "text"), rapid.IntRange(0, 40).Draw(t, "limit")
		got := agent.Shorten(text, limit)
		switch {
		case len(text) <= limit && got != text:
			t.Fatalf("%q became %q", text, got)
		case len(got) > limit || !utf8.ValidString(got):
			t.Fatalf("%q at %d became %q", text, limit, got)
		}
	})
}

func TestOutputsAreReadBack(t *testing.T) {
	o := agent.Output{Category: agent.CategoryAccess, Severity: desk.High, Summary: "s", Confidence: "0.50", Claims: []agent.Claim{}, Proposals: []agent.Proposal{
		{Action: "feed.switch", Target: "E1", Parameters: map[string]string{"to": "backup"}, Reason: "r"},
	}}
	b, err := agent.EncodeOutput(o)
	if err != nil {
		t.Fatal(err)
	}
	got, err := agent.DecodeOutput(b)
	again, encodeErr := agent.EncodeOutput(got)
	if err != nil || encodeErr != nil || !bytes.Equal(b, again) || got.Proposals[0].Parameters["to"] != "backup" {
		t.Errorf("got %+v, %v, %v", got, err, encodeErr)
	}
	if _, err := agent.DecodeOutput([]byte("[]")); err == nil {
		t.Error("a list is no output")
	}
}

// Only typed facts name objects; prose, details and odd ids bring in nothing.
func TestTargetsIn(t *testing.T) {
	for name, tc := range map[string]struct {
		facts map[string]string
		want  string
	}{
		"a subject":            {map[string]string{"subject_kind": "settlement", "subject_id": "S-1"}, "settlement:S-1"},
		"a system":             {map[string]string{"system": "GW-1"}, "gateway:GW-1 feed:GW-1"},
		"a trade":              {map[string]string{"trade_id": "T-1", "counterparty": "GALE"}, "counterparty:GALE trade:T-1"},
		"a list":               {map[string]string{"eligible_ssis": "A, B,C"}, "ssi:A ssi:B ssi:C"},
		"a detail":             {map[string]string{"details.order": "O-1", "details.settlement": "S-1"}, ""},
		"prose":                {map[string]string{"title": "order:O-1", "note": "settlement S-1"}, ""},
		"a subject of no kind": {map[string]string{"subject_id": "S-1"}, ""},
		"odd ids":              {map[string]string{"order": "../etc", "trade": "a b", "system": "http://x", "feed": ""}, ""},
	} {
		keys := []string{}
		for _, target := range agent.TargetsIn(tc.facts) {
			keys = append(keys, target.Key())
		}
		if got := strings.Join(keys, " "); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

func counts(facts map[string]string) []agent.Evidence {
	return agent.Bundle([]agent.Found{{Kind: agent.OfCounts, Source: "log:0-100", Facts: facts}})
}

func TestSumUp(t *testing.T) {
	facts := map[string]string{"from": "0", "to": "100", "entries": "98", "checkpoint": "128"}
	for n := range 12 {
		facts["type.t"+strconv.Itoa(n)] = strconv.Itoa(1 << n)
	}
	bundle := counts(facts)
	o, err := agent.SumUp(agent.AuditSummary, bundle)
	if err != nil || o.Severity != desk.Low || o.Confidence != "1.00" || !strings.Contains(o.Summary, "Leaves 0 to 100") || !strings.Contains(o.Summary, "98 entries") {
		t.Fatalf("got %+v, %v", o, err)
	}
	if len(o.Claims) != 9 || o.Claims[1].Text != "type t11: 2048" || o.Claims[8].Text != "type t4: 16" {
		t.Errorf("claims %+v", o.Claims)
	}
	if _, problems := agent.Check(agent.Scope{Kind: agent.AuditSummary, Rulebook: true}, bundle, o); len(problems) != 0 {
		t.Errorf("problems %v", problems)
	}
	if problems := agent.CheckNumbers(bundle, o); len(problems) != 0 {
		t.Errorf("problems %v", problems)
	}
	if _, err := agent.SumUp(agent.AuditSummary, nil); fault.CodeOf(err) != "no-counts" {
		t.Errorf("without counts: %v", err)
	}
}

// A summary of compliance is as severe as the worst finding, and names each.
func TestSumUpFindings(t *testing.T) {
	found := []agent.Found{{Kind: agent.OfCounts, Source: "compliance", Facts: map[string]string{"records": "7", "findings": "40", "rule.wash": "40"}}}
	for n := range 40 {
		severity := "medium"
		if n == 30 {
			severity = "critical"
		}
		found = append(found, agent.Found{Kind: agent.OfFinding, Source: "f", Facts: map[string]string{"rule": "wash", "party": "A-" + strconv.Itoa(n), "severity": severity}})
	}
	bundle := agent.Bundle(found)
	o, err := agent.SumUp(agent.Compliance, bundle)
	if err != nil || o.Severity != desk.Critical || len(o.Claims) != agent.MaxClaims || !strings.Contains(o.Summary, "7 transactions and found 40") {
		t.Errorf("got %+v, %v", o, err)
	}
	if problems := agent.CheckNumbers(bundle, o); len(problems) != 0 {
		t.Errorf("problems %v", problems)
	}
}

func TestCheckNumbers(t *testing.T) {
	bundle := counts(map[string]string{"entries": "12345", "type.x": "7", "rate": "0.25"})
	for text, fatal := range map[string]bool{
		"There are 12345 entries.":           false,
		"There are 12,345 entries, 7 of x.":  false,
		"A share of 0.25 is x.":              false,
		"No number at all.":                  false,
		"There are 12346 entries.":           true,
		"There are 8 of x.":                  true,
		"A share of 25 percent.":             true,
		"Leaf 7 came 1 time.":                true,
		"12,34 entries, which is 1234 less.": true,
	} {
		for where, o := range map[string]agent.Output{
			"summary": {Summary: text}, "probable_cause": {ProbableCause: text}, "claims[0].text": {Claims: []agent.Claim{{Text: text}}},
		} {
			problems := agent.CheckNumbers(bundle, o)
			if (len(problems) > 0) != fatal || fatal && (problems[0].Where != where || !problems[0].Fatal || strings.Contains(problems[0].Message, text)) {
				t.Errorf("%q in %s: %v", text, where, problems)
			}
		}
	}
}

// Whatever is counted: the summary of it says no number that was not counted, and
// one that somebody changes is found.
func TestSummariesInventNoNumber(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		facts := map[string]string{"from": "0", "to": strconv.Itoa(rapid.IntRange(1, 1<<30).Draw(t, "to")), "checkpoint": "4096", "entries": strconv.Itoa(rapid.IntRange(0, 1<<30).Draw(t, "entries"))}
		maps.Copy(facts, rapid.MapOfN(rapid.StringMatching(`type\.[a-z_]{1,8}\.[a-z_]{1,8}`), rapid.StringMatching(`[1-9][0-9]{0,8}`), 0, 12).Draw(t, "counts"))
		bundle := counts(facts)
		o, err := agent.SumUp(agent.AuditSummary, bundle)
		if err != nil {
			t.Fatal(err)
		}
		if problems := agent.CheckNumbers(bundle, o); len(problems) > 0 {
			t.Fatalf("%+v: %v", o, problems)
		}
		kept, problems := agent.Check(agent.Scope{Kind: agent.AuditSummary, Rulebook: true}, bundle, o)
		if len(problems) > 0 || kept.Inconclusive {
			t.Fatalf("%+v: %v", o, problems)
		}
		o.Summary += " 99999999999 more."
		if problems := agent.CheckNumbers(bundle, o); len(problems) != 1 {
			t.Fatalf("an invented number: %v", problems)
		}
	})
}
