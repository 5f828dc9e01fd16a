package agent_test

import (
	"testing"

	"finobs/internal/agent"
)

func TestNumbersMustBeInEvidence(t *testing.T) {
	counts := agent.Bundle([]agent.Found{{Kind: agent.OfCounts, Source: "log:0-1512", Facts: map[string]string{"entries": "1512", "rate": "0.25"}, Text: "٧ of them today"}})
	for summary, right := range map[string]bool{
		"There were 1512 entries.": true, "There were 1,512 entries, 0.25 a second.": true, "No number at all.": true, "٧ of them today": true,
		"There were 1513 entries.": false, "There were 151 entries.": false, "There were １５１３ entries.": false, "There were ٩٩ entries.": false,
		"⑨ were refused": false, "Ⅸ were refused": false, "10² were refused": false,
	} {
		if got := len(agent.CheckNumbers(counts, agent.Output{Summary: summary})) == 0; got != right {
			t.Errorf("%q: got %v", summary, got)
		}
	}
}
