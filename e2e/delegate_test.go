package e2e_test

import (
	"net/http"
	"testing"
	"time"

	"finobs/internal/approval"
)

func to(name string) string {
	return `{"to":{"sub":"` + name + `"},"ends_at":"` + soon(time.Hour) + `","reason":"on leave"}`
}

func TestADelegateDecidesInTheDelegatorsPlace(t *testing.T) {
	s := engineStack(t)
	e := s.asks(t, "alice", "test.quorum")
	refusedAs(t, e.decide(t, "bob", "approve"), 403, "not-eligible", "does not admit")
	given := want(t, e.does(t, "cora", "delegate", to("bob")), http.StatusOK)
	e.entryBy(t, "approval.delegated", "cora", "on leave")
	refusedAs(t, e.does(t, "bob", "delegate", to("ann")), 409, "act-refused", "does not admit") // nothing of his own to hand on
	if r := e.decide(t, "ann", "approve"); r.Status != http.StatusForbidden {
		t.Errorf("somebody without a delegation: %d", r.Status)
	}
	decided := want(t, e.decide(t, "bob", "approve"), http.StatusOK)
	refusedAs(t, e.decide(t, "cora", "approve"), 409, "not-your-turn", "in his place")
	d := e.receipt(t).Decisions[0]
	if d.ID != decided.str("decision_id") || d.Reviewer.Subject != "bob" || d.OnBehalfOf == nil || d.OnBehalfOf.Subject != "cora" || d.Outcome != approval.Counted {
		t.Errorf("the receipt says %+v", d)
	}
	if short := e.receipt(t).Statement.Deciders; len(short) != 1 || short[0].OnBehalfOf == nil || short[0].OnBehalfOf.Subject != "cora" {
		t.Errorf("the receipt's statement says %+v", short)
	}
	view := e.detail(t, "eve")["decisions"].([]any)[0].(map[string]any)
	if view["approver"].(map[string]any)["sub"] != "bob" || view["on_behalf_of"].(map[string]any)["sub"] != "cora" {
		t.Errorf("the decision is shown as %v", view)
	}
	n := count(t, s, `SELECT count(*) FROM ledger.entry WHERE type = 'approval.decided' AND subject_id = $1 AND actor_sub = 'bob'
		AND convert_from(leaf, 'UTF8')::jsonb #>> '{details,on_behalf_of,sub}' = 'cora'
		AND convert_from(leaf, 'UTF8')::jsonb #>> '{details,delegation_id}' = $2`, e.id, given.str("delegation_id"))
	if n != 1 {
		t.Errorf("%d entries say for whom bob decided", n)
	}
	other := s.asks(t, "alice", "test.quorum")
	refusedAs(t, other.decide(t, "bob", "approve"), 403, "not-eligible", "does not admit")
}

func TestDelegationsThatAreRefused(t *testing.T) {
	s := engineStack(t)
	e := s.asks(t, "alice", "test.quorum")
	refusedAs(t, e.does(t, "cora", "delegate", to("alice")), 409, "act-refused", "never decides")
	refusedAs(t, e.does(t, "cora", "delegate", to("ALICE")), 409, "act-refused", "never decides")
	refusedAs(t, e.does(t, "cora", "delegate", to("Cora")), 409, "act-refused", "himself")
	refusedAs(t, e.does(t, "bob", "delegate", to("ann")), 409, "act-refused", "does not admit")
	refusedAs(t, e.does(t, "alice", "delegate", to("ann")), 409, "act-refused", "requester")
	refusedAs(t, e.does(t, "tim", "delegate", to("ann")), 403, "not-permitted", "approval.judge")
	refusedAs(t, e.does(t, "cora", "delegate", `{"to":{"sub":"bob"},"ends_at":"2020-01-01T00:00:00Z","reason":"r"}`), 422, "invalid-act", "past")
	refusedAs(t, e.does(t, "cora", "delegate", `{"to":{"sub":"bob"},"ends_at":"`+soon(100*24*time.Hour)+`","reason":"r"}`), 422, "invalid-act", "92 days")
	refusedAs(t, e.does(t, "cora", "delegate", `{"to":{"sub":"bob"},"ends_at":"`+soon(time.Hour)+`"}`), 422, "invalid-request", "reason")
	refusedAs(t, e.does(t, "cora", "delegate", `{"to":{"sub":"bob"},"ends_at":"tomorrow","reason":"r"}`), 422, "invalid-request", "ends_at")
	if n := count(t, s, "SELECT count(*) FROM finobs.delegation WHERE approval_id = $1::bigint", e.id); n != 0 || e.entries(t, "approval.delegated") != 0 {
		t.Errorf("%d delegations, %d entries", n, e.entries(t, "approval.delegated"))
	}
}

func TestAStandingDelegationHoldsUntilItIsRevoked(t *testing.T) {
	s := engineStack(t)
	given := want(t, s.call(t, "ada", "POST", "/delegations", to("axel")), http.StatusOK)
	id := given.str("delegation_id")
	if n := count(t, s, `SELECT count(*) FROM ledger.entry WHERE type = 'approval.delegated' AND subject_kind = 'delegation' AND subject_id = $1
		AND actor_sub = 'ada' AND reason = 'on leave'`, id); n != 1 {
		t.Errorf("%d entries of the delegation", n)
	}
	e := s.asks(t, "alice", "test.quorum")
	want(t, e.decide(t, "axel", "approve"), http.StatusOK)
	// What ada asks for is not decided on in her place, nor by her delegate.
	own := s.asks(t, "ada", "test.plain")
	refusedAs(t, own.decide(t, "axel", "approve"), 403, "not-eligible", "delegate of the requester")
	refusedAs(t, s.call(t, "bob", "POST", "/delegations/"+id+"/revoke", `{"reason":"not mine"}`), 403, "act-refused", "who gave it")
	refusedAs(t, s.call(t, "ada", "POST", "/delegations/"+id+"/revoke", `{}`), 422, "invalid-request", "reason")
	refusedAs(t, s.call(t, "ada", "POST", "/delegations/987654321/revoke", `{"reason":"r"}`), 404, "no-such-delegation", "987654321")
	want(t, s.call(t, "ada", "POST", "/delegations/"+id+"/revoke", `{"reason":"back again"}`), http.StatusOK)
	if n := count(t, s, "SELECT count(*) FROM ledger.entry WHERE type = 'approval.delegation_revoked' AND subject_id = $1 AND actor_sub = 'ada' AND reason = 'back again'", id); n != 1 {
		t.Errorf("%d entries of the revocation", n)
	}
	later := s.asks(t, "alice", "test.quorum")
	refusedAs(t, later.decide(t, "axel", "approve"), 403, "not-eligible", "does not admit")
	want(t, later.decide(t, "ada", "approve"), http.StatusOK)
	// What was decided while it held stands.
	want(t, e.decide(t, "cora", "approve"), http.StatusOK)
	want(t, e.decide(t, "cyril", "approve"), http.StatusOK)
	if st := e.status(t); st != "approved" {
		t.Errorf("the request is %s", st)
	}
}
