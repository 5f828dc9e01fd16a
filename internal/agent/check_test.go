package agent_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"finobs/internal/agent"
	"finobs/internal/desk"

	"pgregory.net/rapid"
)

func bundle() []agent.Evidence {
	return []agent.Evidence{
		agent.Show("E1", agent.OfIncident, "incident:42", map[string]string{"kind": "failed_settlement", "severity": "high", "details.ssi": "SSI-EVIL"},
			"Zürich says: not delivered. Zürich says so."),
		agent.Show("E2", agent.OfTarget, "connector:oms", map[string]string{"kind": "settlement", "id": "S-7", "version": "3", "ssi": "SSI-1"}, ""),
		agent.Show("E3", agent.OfSettlement, "fails", map[string]string{"fails_days": "6", "fails_quantity": "82000"}, ""),
	}
}

func scope() agent.Scope {
	return agent.Scope{
		Kind: agent.Triage, MaxProposals: 3,
		Allowed: func(action, kind string, params map[string]string) error {
			if action != "settlement.reinstruct" || kind != "settlement" {
				return errors.New("not of the catalogue")
			}
			for name := range params {
				if name != "ssi" && name != "quantity" {
					return errors.New("unknown parameter")
				}
			}
			return nil
		},
		Identifier: func(_, name string) bool { return name == "ssi" },
	}
}

// good is an output of which everything passes.
func good() agent.Output {
	kind, _ := agent.FactSpan(bundle()[0], "kind")
	days, _ := agent.FactSpan(bundle()[2], "fails_days")
	return agent.Output{
		Category: agent.CategorySettlementFail, Severity: desk.High, Summary: "A fail.", ProbableCause: "A wrong SSI.", Confidence: "0.80",
		Claims: []agent.Claim{{Text: "It is a fail.", Cites: []agent.Cite{kind}}, {Text: "For six days.", Cites: []agent.Cite{days, kind}}},
		Proposals: []agent.Proposal{{Action: "settlement.reinstruct", Target: "E2", Parameters: map[string]string{"ssi": "SSI-1", "quantity": "82000"},
			Reason: "It was not delivered."}},
	}
}

func TestAGoodOutputPassesUnchanged(t *testing.T) {
	out, problems := agent.Check(scope(), bundle(), good())
	if len(problems) != 0 || !reflect.DeepEqual(out, good()) {
		t.Errorf("got %+v, %v", out, problems)
	}
}

func TestOneThingOutOfScopeRefusesTheOutput(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*agent.Output)
		want   string
	}{
		"category":        {func(o *agent.Output) { o.Category = "approved" }, "category"},
		"severity":        {func(o *agent.Output) { o.Severity = "HIGH" }, "severity"},
		"confidence":      {func(o *agent.Output) { o.Confidence = "1e9" }, "confidence"},
		"over one":        {func(o *agent.Output) { o.Confidence = "1.01" }, "confidence"},
		"one digit":       {func(o *agent.Output) { o.Confidence = "0.8" }, "confidence"},
		"no summary":      {func(o *agent.Output) { o.Summary = "\u200b\x1b[2J" }, "summary"},
		"long cause":      {func(o *agent.Output) { o.ProbableCause = strings.Repeat("x", agent.MaxProse+1) }, "probable_cause"},
		"many claims":     {func(o *agent.Output) { o.Claims = make([]agent.Claim, agent.MaxClaims+1) }, "claims"},
		"many cites":      {func(o *agent.Output) { o.Claims[0].Cites = make([]agent.Cite, agent.MaxCites+1) }, "claims[0].cites"},
		"many proposals":  {func(o *agent.Output) { o.Proposals = make([]agent.Proposal, 10_000) }, "proposals"},
		"over the scope":  {func(o *agent.Output) { o.Proposals = slices.Repeat(o.Proposals, 4) }, "proposals"},
		"twice":           {func(o *agent.Output) { o.Proposals = slices.Repeat(o.Proposals, 2) }, "proposals[1]"},
		"action":          {func(o *agent.Output) { o.Proposals[0].Action = "trader.pay" }, "proposals[0]"},
		"no action":       {func(o *agent.Output) { o.Proposals[0].Action = "rm -rf /" }, "proposals[0].action"},
		"foreign target":  {func(o *agent.Output) { o.Proposals[0].Target = "S-8" }, "proposals[0].target"},
		"no target":       {func(o *agent.Output) { o.Proposals[0].Target = "E1" }, "proposals[0].target"},
		"parameter":       {func(o *agent.Output) { o.Proposals[0].Parameters["to"] = "x" }, "proposals[0]"},
		"URL":             {func(o *agent.Output) { o.Proposals[0].Parameters["quantity"] = "https://evil.example" }, "parameters.quantity"},
		"path":            {func(o *agent.Output) { o.Proposals[0].Parameters["quantity"] = "../../etc/passwd" }, "parameters.quantity"},
		"line end":        {func(o *agent.Output) { o.Proposals[0].Parameters["quantity"] = "1\n2" }, "parameters.quantity"},
		"SQL":             {func(o *agent.Output) { o.Proposals[0].Parameters["quantity"] = "1'; DROP TABLE x" }, "parameters.quantity"},
		"invalid UTF-8":   {func(o *agent.Output) { o.Proposals[0].Parameters["quantity"] = "\xff" }, "parameters.quantity"},
		"invented object": {func(o *agent.Output) { o.Proposals[0].Parameters["ssi"] = "SSI-2" }, "parameters.ssi"},
		"a sender's word": {func(o *agent.Output) { o.Proposals[0].Parameters["ssi"] = "SSI-EVIL" }, "parameters.ssi"},
	} {
		raw := good()
		tc.change(&raw)
		out, problems := agent.Check(scope(), bundle(), raw)
		if !reflect.DeepEqual(out, agent.Output{}) || !strings.Contains(strings.Join(agent.Fatal(problems), "; "), tc.want+":") {
			t.Errorf("%s: got %+v, %v", name, out, problems)
		}
	}
}

func TestTheScopeItselfFailsClosed(t *testing.T) {
	for name, change := range map[string]func(*agent.Scope){
		"no catalogue": func(s *agent.Scope) { s.Allowed = nil },
		"no proposals": func(s *agent.Scope) { s.MaxProposals = 0 },
		"no kind":      func(s *agent.Scope) { s.Kind = "" },
		"a summary":    func(s *agent.Scope) { s.Kind = agent.AuditSummary },
	} {
		s := scope()
		change(&s)
		if out, problems := agent.Check(s, bundle(), good()); out.Summary != "" || len(agent.Fatal(problems)) == 0 {
			t.Errorf("%s: got %+v", name, out)
		}
	}
	twice := append(bundle(), agent.Show("E1", agent.OfTarget, "x", map[string]string{"kind": "settlement"}, ""))
	if _, problems := agent.Check(scope(), twice, good()); len(agent.Fatal(problems)) == 0 {
		t.Error("two evidences have one id")
	}
	withRules := good()
	withRules.Rules = []string{"a.b"}
	if out, _ := agent.Check(scope(), bundle(), withRules); out.Rules != nil {
		t.Error("a model's rules are kept")
	}
	s := scope()
	s.Rulebook = true
	if out, _ := agent.Check(s, bundle(), withRules); !slices.Equal(out.Rules, withRules.Rules) {
		t.Error("a rulebook's rules are lost")
	}
}

func TestClaimsFailOneByOne(t *testing.T) {
	text := bundle()[0].Text
	at := strings.Index(text, "not delivered")
	first := strings.Index(text, "Zürich")
	for name, tc := range map[string]struct {
		cite agent.Cite
		why  string
	}{
		"right":            {agent.Cite{Evidence: "E1", Start: at, End: at + 13, Quote: "not delivered"}, ""},
		"mended":           {agent.Cite{Evidence: "E1", Start: 0, End: 13, Quote: "not delivered"}, ""},
		"wild offsets":     {agent.Cite{Evidence: "E1", Start: -5, End: 1 << 40, Quote: "not delivered"}, ""},
		"second of two":    {agent.Cite{Evidence: "E1", Start: first, End: first + 7, Quote: "Zürich"}, ""},
		"ambiguous":        {agent.Cite{Evidence: "E1", Start: 1, End: 8, Quote: "Zürich"}, "more than once"},
		"half a character": {agent.Cite{Evidence: "E1", Start: first, End: first + 2, Quote: text[first : first+2]}, "UTF-8"},
		"invented":         {agent.Cite{Evidence: "E1", Start: at, End: at + 9, Quote: "cancelled"}, "does not occur"},
		"another case":     {agent.Cite{Evidence: "E1", Start: at, End: at + 13, Quote: "NOT DELIVERED"}, "does not occur"},
		"foreign":          {agent.Cite{Evidence: "E9", Start: 0, End: 4, Quote: "kind"}, "no evidence of the bundle"},
		"empty":            {agent.Cite{Evidence: "E1"}, "quotes nothing"},
	} {
		raw := good()
		raw.Claims[1].Cites = []agent.Cite{tc.cite}
		out, problems := agent.Check(scope(), bundle(), raw)
		c := out.Claims[1]
		switch {
		case tc.why == "" && (c.Struck || len(problems) != 0 || out.Confidence != "0.80" || text[c.Cites[0].Start:c.Cites[0].End] != tc.cite.Quote):
			t.Errorf("%s: got %+v, %v", name, c, problems)
		case tc.why != "" && (!c.Struck || !strings.Contains(c.Why, tc.why) || len(c.Cites) != 0 || out.Confidence != "0.40" || len(agent.Fatal(problems)) != 0):
			t.Errorf("%s: got %+v, confidence %s, %v", name, c, out.Confidence, problems)
		}
	}
}

func TestNothingProvenIsInconclusiveAndProposesNothing(t *testing.T) {
	for name, claims := range map[string][]agent.Claim{
		"none": nil, "no cites": {{Text: "Trust me."}}, "struck by itself": {{Text: "x", Struck: true, Why: "so"}},
	} {
		raw := good()
		raw.Claims = claims
		out, problems := agent.Check(scope(), bundle(), raw)
		if out.Confidence > "0.20" || !out.Inconclusive || out.ProbableCause != "" || len(out.Proposals) != 0 || len(problems) == 0 {
			t.Errorf("%s: got %+v", name, out)
		}
	}
}

// Whatever an analyst writes: checking again changes nothing, and what is kept is
// within the scope.
func TestCheckIsIdempotentAndStaysInScope(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := scope()
		s.Rulebook = rapid.Bool().Draw(t, "rulebook")
		raw := anyOutput(t)
		out, problems := agent.Check(s, bundle(), raw)
		again, _ := agent.Check(s, bundle(), out)
		if !reflect.DeepEqual(out, again) {
			t.Fatalf("first %+v\nagain %+v", out, again)
		}
		if len(agent.Fatal(problems)) > 0 {
			if !reflect.DeepEqual(out, agent.Output{}) {
				t.Fatalf("refused, but kept %+v", out)
			}
			return
		}
		inScope(t, out)
	})
}

func inScope(t *rapid.T, out agent.Output) {
	t.Helper()
	text, err := json.Marshal(out)
	if err != nil || !utf8.Valid(text) || strings.Contains(string(text), `\ufffd`) && !utf8.ValidString(out.Summary) {
		t.Fatalf("not UTF-8: %+v", out)
	}
	texts := map[string]string{}
	for _, e := range bundle() {
		texts[e.ID] = e.Text
	}
	for _, c := range out.Claims {
		for _, cite := range c.Cites {
			if texts[cite.Evidence][cite.Start:cite.End] != cite.Quote {
				t.Fatalf("a cite is wrong: %+v", cite)
			}
		}
		if !c.Struck && len(c.Cites) == 0 {
			t.Fatalf("a claim without a cite stands: %+v", c)
		}
		if !utf8.ValidString(c.Text + c.Why) {
			t.Fatal("a claim is not UTF-8")
		}
	}
	for _, p := range out.Proposals {
		if p.Action != "settlement.reinstruct" || p.Target != "E2" || p.Parameters["ssi"] == "SSI-EVIL" || !utf8.ValidString(p.Reason) {
			t.Fatalf("out of scope: %+v", p)
		}
	}
	if !utf8.ValidString(out.Summary + out.ProbableCause) {
		t.Fatal("prose is not UTF-8")
	}
}

func anyOutput(t *rapid.T) agent.Output {
	prose := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "It failed.", "\xff\x1b[31mred\u202e", "see https://x.example/?a=b", strings.Repeat("www.", 250), "a@b.c"}))
	var claims []agent.Claim
	for n := range rapid.IntRange(0, 4).Draw(t, "claims") {
		c := agent.Claim{Text: prose.Draw(t, "text"), Struck: rapid.IntRange(0, 5).Draw(t, "struck") == 0, Why: prose.Draw(t, "why")}
		for range rapid.IntRange(0, 2).Draw(t, "cites") {
			e := bundle()[rapid.IntRange(0, 2).Draw(t, "evidence")]
			start := rapid.IntRange(0, len(e.Text)-1).Draw(t, "start")
			end := rapid.IntRange(start, len(e.Text)).Draw(t, "end")
			c.Cites = append(c.Cites, agent.Cite{Evidence: e.ID, Start: start + rapid.IntRange(-1, 1).Draw(t, "off"), End: end, Quote: e.Text[start:end]})
		}
		if n == 3 {
			c.Cites = append(c.Cites, agent.Cite{Evidence: "E4", Quote: "x"})
		}
		claims = append(claims, c)
	}
	out := agent.Output{
		Category: rapid.SampledFrom(append(agent.Categories(), "approved")).Draw(t, "category"), Severity: desk.Low,
		Inconclusive: rapid.Bool().Draw(t, "inconclusive"), Summary: prose.Draw(t, "summary"), ProbableCause: prose.Draw(t, "cause"),
		Confidence: fmt.Sprintf("0.%02d", rapid.IntRange(0, 99).Draw(t, "confidence")), Claims: claims,
	}
	if rapid.Bool().Draw(t, "proposes") {
		out.Proposals = []agent.Proposal{{
			Action: rapid.SampledFrom([]string{"settlement.reinstruct", "settlement.reinstruct", "order.cancel"}).Draw(t, "action"),
			Target: rapid.SampledFrom([]string{"E2", "E2", "E2", "E1"}).Draw(t, "target"), Reason: prose.Draw(t, "reason"),
			Parameters: rapid.SampledFrom([]map[string]string{nil, {"quantity": "5"}, {"ssi": "SSI-1"}, {"ssi": "SSI-EVIL"}, {"x": "\xff"}}).Draw(t, "params"),
		}}
	}
	if rapid.Bool().Draw(t, "rules") {
		out.Rules = []string{rapid.SampledFrom([]string{"a.b", "a b"}).Draw(t, "rule")}
	}
	return out
}
