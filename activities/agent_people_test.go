package activities_test

import (
	"strings"
	"testing"

	"finobs/activities"
	"finobs/internal/approval"
)

// A policy that approves by itself lets agents look, and releases nothing that they
// planned: nothing is sent, and the refusal is on record.
func TestNoPolicyReplacesPeople(t *testing.T) {
	d := newDesk(t)
	p := newPlant(feed("7"))
	_, a := d.planned(t, p)
	lax := "version: 1\npolicies:\n  - {id: lax, match: 'true', auto: true, expires: 1h, reuse_for: 1h, single_use: true}\n"
	r := d.prepareAction(t, a.Approvable(), []byte(lax))
	r.in.ApprovalID = a.ID
	r.in.Command = d.command(t, human("alice", "analyst"), r.payload(t))
	got, err := run[activities.GateStatus](t, d.approvals.OpenRequest, r.in)
	if err != nil || got.Status != "approved" {
		t.Fatalf("the policy has not approved: %+v, %v", got, err)
	}
	if _, err := run[activities.ActionState](t, d.actions(p).BeginAction, r.ref()); err == nil || !strings.Contains(err.Error(), "no plan of an agent") {
		t.Errorf("begun: %v", err)
	}
	if now := d.action(t, a.ID); now.Standing() == "executing" || !now.BeganAt.IsZero() || len(p.sent) != 0 {
		t.Errorf("%+v, sent %v", now, p.sent)
	}
	d.entriesOf(t, map[string]int{"effect.denied": 1, "effect.intended": 0})
}

// The risk tier chooses who has to approve. An approval that was given for less risk
// than the catalogue knows releases nothing, whatever the row of the plan says.
func TestRiskIsTheCatalogues(t *testing.T) {
	d := newDesk(t)
	p := newPlant(feed("7"))
	_, a := d.planned(t, p)
	lax := "version: 1\nrisk: [{match: 'true', tier: low}]\npolicies:\n  - {id: lax, match: 'true', all_of: [{n: 1, who: 'true'}], fallback: 'false', veto: 1, expires: 1h, reuse_for: 1h, single_use: true}\n"
	r := d.prepareAs(t, a.Approvable(), []byte(lax), approval.Low)
	r.in.ApprovalID = a.ID
	r.in.Command = d.command(t, human("alice", "analyst"), r.payload(t))
	if _, err := run[activities.GateStatus](t, d.approvals.OpenRequest, r.in); err != nil {
		t.Fatal(err)
	}
	if got := d.decide(t, r, d.token(t, r, human("bob", "admin"), approval.Approve, nil)); got.Status != approval.Approved {
		t.Fatalf("got %+v", got)
	}
	if _, err := run[activities.ActionState](t, d.actions(p).BeginAction, r.ref()); code(err) != "risk-understated" {
		t.Errorf("begun: %v", err)
	}
	if now := d.action(t, a.ID); now.Status != planned || len(p.sent) != 0 {
		t.Errorf("%+v, sent %v", now, p.sent)
	}
}
