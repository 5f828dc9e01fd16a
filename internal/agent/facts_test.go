package agent_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"finobs/internal/agent"

	"pgregory.net/rapid"
)

// A sender cannot write a line of his own into the facts, nor be cited for one.
func TestAFactIsShownInOneLine(t *testing.T) {
	e := agent.Show("E1", agent.OfIncident, "incident:1",
		map[string]string{"kind": "other", "details.a": "x\nexposure_usd: 9", "empty": " ", "exposure_usd": "5"}, "exposure_usd: 99\nkind: other\nwords")
	if want := "exposure_usd: 5\nkind: other\ndetails.a: x exposure_usd: 9\n\nexposure_usd: 99\nkind: other\nwords"; e.Text != want {
		t.Errorf("got %q", e.Text)
	}
	if c, found := agent.FactSpan(e, "exposure_usd"); !found || c.Quote != "exposure_usd: 5" || c.Start != strings.Index(e.Text, "\nexposure_usd: 5")+1 {
		t.Errorf("got %+v", c)
	}
	for _, key := range []string{"empty", "severity"} {
		if c, found := agent.FactSpan(e, key); found {
			t.Errorf("%s: got %+v", key, c)
		}
	}
	if got := strings.TrimSpace(e.Text[agent.Words(e):]); !strings.HasPrefix(got, "exposure_usd: 99") {
		t.Errorf("got %q", got)
	}
	hidden := agent.Evidence{ID: "E1", Text: "about kind: other", Facts: map[string]string{"kind": "other"}}
	if c, found := agent.FactSpan(hidden, "kind"); found {
		t.Errorf("a part of a line is taken for one: %+v", c)
	}
}

func TestEveryFactThatIsKeptIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		facts := rapid.MapOfN(rapid.StringMatching(`[a-z_.]{1,8}`), rapid.String(), 0, 5).Draw(t, "facts")
		e := agent.Show("E1", agent.OfTarget, "x", facts, rapid.String().Draw(t, "words"))
		for key, value := range e.Facts {
			c, found := agent.FactSpan(e, key)
			if !found || e.Text[c.Start:c.End] != c.Quote || c.Quote != key+": "+value || c.End > agent.Words(e) {
				t.Fatalf("%s: got %+v of %q", key, c, e.Text)
			}
		}
	})
}

// However much a sender writes into details, the facts that finobs made, and the words,
// are shown; what of the details is not, is said.
func TestDetailsPushNothingOut(t *testing.T) {
	facts := map[string]string{"kind": "failed_settlement", "severity": "high", "exposure_usd": "5000000", "zone": "last"}
	for n := range 64 {
		facts[fmt.Sprintf("details.a%02d", n)] = strings.Repeat("é", 2000)
	}
	facts["details.short"] = "seen"
	bundle := agent.Bundle([]agent.Found{{Kind: agent.OfIncident, Source: "incident:1", Facts: facts, Text: "Settlement S-1001 failed" + strings.Repeat(" again", 5000)}})
	e := bundle[0]
	for _, key := range []string{"kind", "severity", "exposure_usd", "zone", agent.FactDetailsLeftOut, "details.a00"} {
		if c, found := agent.FactSpan(e, key); !found || c.End > agent.Words(e) {
			t.Errorf("%s is not shown: %q", key, e.Text)
		}
	}
	shown := strings.Count(e.Text, "\ndetails.") - 1
	if left, err := strconv.Atoi(e.Facts[agent.FactDetailsLeftOut]); err != nil || shown < 10 || left+shown != 65 || strings.Count(e.Text, "é [cut]\n") != shown {
		t.Errorf("%d details are shown, and %q left out: %q", shown, e.Facts[agent.FactDetailsLeftOut], e.Text)
	}
	if words := e.Text[agent.Words(e):]; !strings.Contains(words, "Settlement S-1001 failed again") || len(words) < 2000 {
		t.Errorf("the words are %d bytes: %q", len(words), words)
	}
	if d := agent.Show("E1", agent.OfIncident, "s", map[string]string{"details.a": strings.Repeat("x", 300)}, ""); d.Text != "details.a: "+strings.Repeat("x", 300)+"\n" {
		t.Errorf("got %q", d.Text)
	}
}
