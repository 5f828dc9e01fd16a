package approval_test

import (
	"testing"

	"finobs/internal/approval"
)

func BenchmarkTally(b *testing.B) {
	p := policyFor(b, twoComplianceOneAdmin)
	decisions := []approval.Decision{
		{ID: "1", Verdict: approval.Approve, Reviewer: reviewer("ann", "admin", "compliance")},
		{ID: "2", Verdict: approval.Approve, Reviewer: reviewer("c1", "compliance")},
		{ID: "3", Verdict: approval.Approve, Reviewer: reviewer("c2", "compliance")},
	}
	b.ReportAllocs()
	for b.Loop() {
		if out := approval.Tally(p, action(), decisions); out.Status != approval.Approved {
			b.Fatal(out)
		}
	}
}

// BenchmarkPolicyFor finds the policy of an action.
func BenchmarkPolicyFor(b *testing.B) {
	ps := load(b, twoComplianceOneAdmin)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ps.For(action()); err != nil {
			b.Fatal(err)
		}
	}
}
