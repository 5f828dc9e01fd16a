package agent_test

import (
	"strings"
	"testing"

	"finobs/internal/agent"

	"pgregory.net/rapid"
)

// A sender cannot write a line of his own into the facts, nor be cited for one.
func TestAFactIsShownInOneLine(t *testing.T) {
	e := agent.Show("E1", agent.OfIncident, "incident:1",
		map[string]string{"kind": "other", "details.a": "x\nexposure_usd: 9", "empty": " ", "exposure_usd": "5"}, "exposure_usd: 99\nkind: other\nwords")
	if want := "details.a: x exposure_usd: 9\nexposure_usd: 5\nkind: other\n\nexposure_usd: 99\nkind: other\nwords"; e.Text != want {
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
