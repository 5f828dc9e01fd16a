package compliance_test

import (
	"strings"
	"testing"

	"finobs/internal/compliance"
	"finobs/rulebooks"
)

func shipped(t testing.TB) *compliance.Rules {
	t.Helper()
	r, err := compliance.LoadRules(strings.NewReader(rulebooks.Compliance))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestShippedRulesLoad(t *testing.T) {
	if r := shipped(t); r.Name != "general" || len(r.List) < 15 || len(r.Digest) != 64 {
		t.Errorf("rules %s, %d, %s", r.Name, len(r.List), r.Digest)
	}
}
