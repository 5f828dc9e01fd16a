package remediation_test

import (
	"testing"

	"finobs/internal/approval"
	"finobs/internal/fault"
	"finobs/internal/remediation"
)

func TestNoPolicyReplacesPeople(t *testing.T) {
	if err := remediation.NeedsPeople(&approval.Policy{ID: "desk.default"}); err != nil {
		t.Errorf("a policy that asks people is refused: %v", err)
	}
	err := remediation.NeedsPeople(&approval.Policy{ID: "lax", Auto: true})
	if fault.KindOf(err) != fault.Forbidden || fault.CodeOf(err) != "people-required" {
		t.Errorf("a policy that approves by itself: %v", err)
	}
}
