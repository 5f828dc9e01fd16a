package rulebook_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"finobs/internal/agent"
	"finobs/internal/rulebook"
	"finobs/rulebooks"
)

const minimal = `version: 1
name: small
revision: 3
kinds: [triage]
otherwise: {category: other, confidence: "0.10"}
calibration: [{margin: 0, confidence: "0.50"}, {margin: 10, confidence: "0.90"}]
categories:
  - category: access
    rules: [{name: access.words, weight: 5, words: [password*, "log in"]}]
severity:
  - {name: severity.money, then: high, when: 'atLeast(incident.exposure_usd, "100")', say: '"money"'}
causes:
  - {name: cause.words, words: [expired], say: '"It expired at " + incident.system + "."'}
proposals:
  - name: propose.restart
    action: counterparty.notify
    target: counterparty
    when: target.get("status") == "down"
    facts: {reference: target.id}
    values: {template: buy_in_warning}
    say: '"down"'
priority:
  severities: {1: critical, 2: low}
  missing: "0.50"
  scales: {2: {confidence: "0.90", matrix: [[1, 1], [1, 2]]}}
`

func load(t testing.TB, text string) *rulebook.Rulebook {
	t.Helper()
	r, err := rulebook.Load(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestShippedRulebooksLoad(t *testing.T) {
	for name, text := range rulebooks.All() {
		r, err := rulebook.LoadBytes(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if r.Name != name || len(r.SHA256) != 64 || !strings.HasPrefix(r.Version().String(), "rulebook/"+name+"@") || len(r.Labels()) < 5 {
			t.Errorf("%s: got %s, %s, %v", name, r.Name, r.Version(), r.Labels())
		}
	}
}

func TestErrorsNameTheLineAndTheElement(t *testing.T) {
	load(t, minimal)
	for _, tc := range []struct{ from, to, want string }{
		{"version: 1", "version: 2", "line 1: version: it is 2"},
		{"name: small", "name: Small!", "line 2: name"},
		{"revision: 3", "revision: 0", "line 3: revision"},
		{"[triage]", "[panic]", "line 4: kinds[0]"},
		{"[triage]", "[]", "line 4: kinds"},
		{"category: other", "category: sundry", "line 5: otherwise.category"},
		{`"0.10"`, `"0.90"`, "line 5: otherwise.confidence"},
		{`"0.50"}, {margin: 10`, `"half"}, {margin: 10`, "line 6: calibration[0].confidence"},
		{"margin: 10", "margin: 0", "line 6: calibration[1].margin"},
		{"margin: 10", "margin: 99999999999", "line 6: calibration[1].margin"},
		{"category: access", "category: excess", "line 8: categories[0].category"},
		{"weight: 5", "weight: 500", "line 9: categories[0].rules[0].weight"},
		{"weight: 5", "wieght: 5", "line 9"},
		{`[password*, "log in"]`, `[password*, "!!"]`, "line 9: categories[0].rules[0].words[1]"},
		{`words: [password*, "log in"]`, "say: '\"x\"'", "it has neither words nor a when"},
		{"name: access.words", "name: severity.money", "is there twice"},
		{"name: access.words", "name: Access", "line 9: categories[0].rules[0].name"},
		{"incident.exposure_usd", "incident.exposure", "line 11: severity[0].when"},
		{"then: high", "then: huge", "line 11: severity[0].then"},
		{"then: high", "then: high, weight: 3", "line 11: severity[0]: weight and most"},
		{`atLeast(incident.exposure_usd, "100")`, `incident.exposure_usd`, "it must be bool"},
		{`'"money"'`, `'1 + 1'`, "it must be string"},
		{`incident.system + "."`, `text`, "line 13: causes[0].say"},
		{`incident.system + "."`, `incident.details.get("x")`, "line 13: causes[0].say"},
		{"action: counterparty.notify", "action: gateway.explode", "line 16: proposals[0].action: there is no action"},
		{"target: counterparty", "target: ../x", "line 17: proposals[0].target"},
		{"target: counterparty", "target: trade", "must be counterparty, the kind of what counterparty.notify works on"},
		{"{reference: target.id}", "{ref: target.id}", "counterparty.notify needs the parameter reference"},
		{"{reference: target.id}", "{reference: target.id, by: target.id}", "line 19: proposals[0].facts.by: counterparty.notify has no parameter of this name"},
		{"{template: buy_in_warning}", "{template: buy_in_warning, how: clean}", "line 20: proposals[0].values.how"},
		{`target.get("status") == "down"`, `text.says("restart")`, "line 18: proposals[0].when"},
		{`target.get("status") == "down"`, `incident.details.get("status") == "down"`, "line 18: proposals[0].when"},
		{`target.get("status") == "down"`, `with.get("status") == "down"`, "line 15: proposals[0]: it reads another object"},
		{"{reference: target.id}", "{reference: incident.system}", "line 19: proposals[0].facts.reference"},
		{"{reference: target.id}", "{reference: trade.colour}", "line 19: proposals[0].facts.reference"},
		{"{reference: target.id}", "{reference: target.id, template: target.id}", "under values as well"},
		{"{template: buy_in_warning}", "{template: 'https://x'}", "line 20: proposals[0].values.template"},
		{"when: target", "words: [down]\n    when: target", "what is said, never what is done"},
		{"1: critical", "1: huge", "line 23: priority.severities.1"},
		{"[1, 2]]", "[1]]", "line 25: priority.scales.2: row 2"},
		{"[1, 2]]", "[1, 3]]", "priority 3 has no severity"},
		{"[[1, 1], [1, 2]]", "[[1, 1]]", "line 25: priority.scales.2"},
		{`missing: "0.50"`, `missing: "x"`, "line 24: priority.missing"},
		{"version: 1", "version: 1\n---", "second document"},
	} {
		if !strings.Contains(minimal, tc.from) {
			t.Fatalf("%q is not in the file", tc.from)
		}
		_, err := rulebook.Load(strings.NewReader(strings.Replace(minimal, tc.from, tc.to, 1)))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q for %q: got %v, want %q", tc.to, tc.from, err, tc.want)
		}
	}
}

// The file that docs/rulebook.md explains is one.
func TestTheDocumentedFileLoads(t *testing.T) {
	text, err := os.ReadFile("../../docs/rulebook.md")
	if err != nil {
		t.Fatal(err)
	}
	_, file, found := strings.Cut(string(text), "```yaml\n")
	file, _, closed := strings.Cut(file, "```")
	if !found || !closed {
		t.Fatal("docs/rulebook.md has no file")
	}
	if r := load(t, file); r.Name != "mine" || r.Revision != 4 || r.Labels()[0] != "Password desk" {
		t.Errorf("got %s@%d, %v", r.Name, r.Revision, r.Labels())
	}
	for _, kind := range []agent.EvidenceKind{agent.OfIncident, agent.OfSettlement, agent.OfSystem, agent.OfTrade, agent.OfTarget} {
		for _, key := range agent.FactsOf(kind) {
			if !strings.Contains(string(text), key) {
				t.Errorf("fact %s of %s is not documented", key, kind)
			}
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(minimal))
	for _, text := range rulebooks.All() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := rulebook.Load(bytes.NewReader(text))
		if err != nil {
			return
		}
		out, err := r.Analyse("triage", bundleOf("password of the gateway expired", nil))
		if err == nil && (out.Summary == "" || !out.Severity.Valid()) {
			t.Errorf("got %+v", out)
		}
	})
}
