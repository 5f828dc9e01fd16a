package worker

import (
	"strings"
	"testing"

	"finobs/internal/agent"
	"finobs/internal/compliance"
)

// Whoever reads that nothing was found reads too what was not looked at.
func TestWhatWasNotJudgedIsShown(t *testing.T) {
	counts := shownBreaches(nil, compliance.Stats{
		Records: 7, NoLimit: map[string]int{"order-notional": 3}, NotRun: map[string]string{"sanctioned-name": "no sanctions list was given"}, Cut: map[string]int{"round-trip": 2},
	})[0]
	for _, want := range []string{
		"rule sanctioned-name did not run: no sanctions list was given", "rule order-notional did not judge 3 records: their currency has no limit",
		"rule round-trip gave up its search for 2 records",
	} {
		if !strings.Contains(counts.Text, want+"\n") {
			t.Errorf("%q is not in %q", want, counts.Text)
		}
	}
	output, err := agent.SumUp(agent.Compliance, agent.Bundle([]agent.Found{counts}))
	if err != nil || !strings.Contains(output.Explain(), "not_judged order-notional: 3") || !strings.Contains(output.Explain(), "cut round-trip: 2") {
		t.Errorf("the summary says %q, %v", output.Explain(), err)
	}
}
