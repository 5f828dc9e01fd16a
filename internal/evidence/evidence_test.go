package evidence_test

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/evidence"
	"finobs/internal/fault"
	"finobs/internal/keys"
	"finobs/policies"
)

var (
	ctx   = context.Background()
	asked = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
)

// record is an approved request with everything that proves it.
type record struct {
	signer    attest.Signer
	verifier  *attest.Verifier
	request   approval.Request
	decisions []approval.Recorded
}

func human(name, role string) approval.Principal {
	return approval.Principal{Person: approval.Person{Issuer: "i", Subject: name}, Kind: approval.Human, Roles: []string{role}}
}

func newRecord(t *testing.T) *record {
	t.Helper()
	key, err := keys.LoadOrCreate(filepath.Join(t.TempDir(), "k.pem"))
	if err != nil {
		t.Fatal(err)
	}
	r := &record{signer: attest.Signer{Key: key}, verifier: attest.NewVerifier(key.Public())}
	loaded, err := approval.LoadPolicies(bytes.NewReader(policies.Desk))
	if err != nil {
		t.Fatal(err)
	}
	a := approval.Action{Kind: "export.incidents", Requester: human("alice", "").Person, Mode: approval.Live, RiskTier: approval.Medium}
	policy, err := loaded.For(a)
	if err != nil {
		t.Fatal(err)
	}
	r.request = approval.Request{ID: 7, WorkflowID: "w", Kind: a.Kind, Requester: a.Requester, Reason: "why",
		CreatedAt: asked, ExpiresAt: asked.Add(time.Hour), PolicyID: policy.ID}
	if r.request.Policy, r.request.PolicyDigest, err = policy.Freeze(); err != nil {
		t.Fatal(err)
	}
	a.PolicyDigest = r.request.PolicyDigest
	if r.request.Action, err = a.Canonical(); err != nil {
		t.Fatal(err)
	}
	if r.request.ActionDigest, err = a.Digest(); err != nil {
		t.Fatal(err)
	}
	payload, err := evidence.RequestDigest(7, r.request.ActionDigest, r.request.PolicyDigest, "why", approval.Links{})
	if err != nil {
		t.Fatal(err)
	}
	r.request.Command, err = r.signer.Command(ctx, attest.Command{WorkflowID: "w", PayloadDigest: payload, Principal: human("alice", "analyst")})
	if err != nil {
		t.Fatal(err)
	}
	r.decide(t, human("bob", "analyst"), approval.Approve, nil)
	return r
}

// decide adds a decision; change alters what is signed.
func (r *record) decide(t *testing.T, who approval.Principal, v approval.Verdict, change func(*attest.Decision)) string {
	t.Helper()
	said := attest.Decision{
		ID: who.Subject, IssuedAt: asked.Add(time.Minute), ApprovalID: 7, WorkflowID: "w", ActionDigest: r.request.ActionDigest,
		PolicyDigest: r.request.PolicyDigest, Verdict: v, Reviewer: who,
	}
	if change != nil {
		change(&said)
	}
	token, err := r.signer.Decision(ctx, said)
	if err != nil {
		t.Fatal(err)
	}
	r.decisions = append(r.decisions, approval.Recorded{
		Decision: approval.Decision{ID: said.ID, Verdict: said.Verdict, Reviewer: said.Reviewer}, Token: token, Outcome: approval.Counted,
	})
	return token
}

func TestApproved(t *testing.T) {
	r := newRecord(t)
	a, err := evidence.Approved(r.verifier, r.request, r.decisions, nil)
	if err != nil || a.Kind != "export.incidents" {
		t.Fatalf("the good record does not hold: %+v, %v", a, err)
	}
	for name, change := range map[string]func(*record){
		"no decision":               func(r *record) { r.decisions = nil },
		"a decision that only came": func(r *record) { r.decisions[0].Outcome = approval.Refused },
		"another reviewer":          func(r *record) { r.decisions[0].Reviewer.Subject = "carol" },
		"another verdict":           func(r *record) { r.decisions[0].Verdict = approval.Reject },
		"another reason":            func(r *record) { r.decisions[0].Reason = "x" },
		"other roles":               func(r *record) { r.decisions[0].Reviewer.Roles = []string{"admin"} },
		"another id":                func(r *record) { r.decisions[0].ID = "x" },
		"the same token again":      func(r *record) { r.decisions[0].Token = strings.ToUpper(r.decisions[0].Token) },
		"another action": func(r *record) {
			r.request.Action = bytes.Replace(r.request.Action, []byte("live"), []byte("simulation"), 1)
		},
		"another digest": func(r *record) { r.request.ActionDigest = strings.Repeat("0", 64) },
		"another policy": func(r *record) {
			r.request.Policy = bytes.Replace(r.request.Policy, []byte("admin"), []byte("viewer"), 1)
		},
		"another request":       func(r *record) { r.request.ID = 8 },
		"another workflow":      func(r *record) { r.request.WorkflowID = "x" },
		"another requester":     func(r *record) { r.request.Requester.Subject = "bob" },
		"another kind":          func(r *record) { r.request.Kind = "x" },
		"another mode":          func(r *record) { r.request.Simulation = true },
		"another reason asked":  func(r *record) { r.request.Reason = "x" },
		"no command":            func(r *record) { r.request.Command = "" },
		"a decision as command": func(r *record) { r.request.Command = r.decisions[0].Token },
		"deadline before it":    func(r *record) { r.request.ExpiresAt = asked.Add(time.Second) },
		"asked after it":        func(r *record) { r.request.CreatedAt = asked.Add(30 * time.Minute) },
		"keys of somebody else": func(r *record) { r.verifier = newRecord(t).verifier },
	} {
		r := newRecord(t)
		change(r)
		if _, err := evidence.Approved(r.verifier, r.request, r.decisions, nil); fault.KindOf(err) != fault.Forbidden {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// Who counts is judged again from the signed words, whatever outcome is recorded.
func TestApprovedJudgesThePeopleAgain(t *testing.T) {
	agent := approval.Principal{Person: approval.Person{Issuer: "i", Subject: "bot"}, Kind: approval.Agent, Roles: []string{"admin"}}
	for name, who := range map[string]approval.Principal{
		"the requester": human("alice", "admin"), "a viewer": human("victor", "viewer"), "an agent": agent,
	} {
		r := newRecord(t)
		r.decisions = nil
		r.decide(t, who, approval.Approve, nil)
		if _, err := evidence.Approved(r.verifier, r.request, r.decisions, nil); fault.KindOf(err) != fault.Forbidden {
			t.Errorf("%s: got %v", name, err)
		}
	}
	r := newRecord(t)
	r.decisions = nil
	r.decide(t, human("bob", "analyst"), approval.Reject, nil)
	r.decide(t, human("carol", "analyst"), approval.Approve, nil)
	if _, err := evidence.Approved(r.verifier, r.request, r.decisions, nil); fault.KindOf(err) != fault.Forbidden {
		t.Errorf("approved after a veto: %v", err)
	}
}

func TestDecisionSaysWhyNot(t *testing.T) {
	for code, change := range map[string]func(*attest.Decision){
		"decision-for-another-request": func(d *attest.Decision) { d.ApprovalID = 8 },
		"decision-for-another-action":  func(d *attest.Decision) { d.ActionDigest = "x" },
		"decision-too-late":            func(d *attest.Decision) { d.IssuedAt = asked.Add(2 * time.Hour) },
		"decision-too-early":           func(d *attest.Decision) { d.IssuedAt = asked.Add(-time.Second) },
		"decision-not-signed":          func(d *attest.Decision) { d.Verdict = "maybe" },
	} {
		r := newRecord(t)
		token := r.decide(t, human("carol", "analyst"), approval.Approve, change)
		if _, err := evidence.Decision(r.verifier, r.request, token); fault.CodeOf(err) != code {
			t.Errorf("want %s, got %v", code, err)
		}
	}
	r := newRecord(t)
	exactly := r.decide(t, human("carol", "analyst"), approval.Approve, func(d *attest.Decision) { d.IssuedAt = r.request.ExpiresAt })
	if _, err := evidence.Decision(r.verifier, r.request, exactly); err != nil {
		t.Errorf("at the deadline itself: %v", err)
	}
}
