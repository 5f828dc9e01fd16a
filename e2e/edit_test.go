package e2e_test

import (
	"fmt"
	"net/http"
	"testing"
)

// edits has somebody replace the request, and returns the one that takes its place.
func (e exportCase) edits(t *testing.T, who string) exportCase {
	t.Helper()
	body := fmt.Sprintf(`{"parameters":{"n":"%d"},"reason":"a digit was wrong"}`, unique.Add(1))
	r := want(t, e.does(t, who, "edit", body), http.StatusAccepted)
	next := exportCase{s: e.s, id: r.str("approval_request_id")}
	next.untilStatus(t, "pending")
	return next
}

// superseded wants the request closed because another takes its place, with its
// workflow ended.
func (e exportCase) superseded(t *testing.T, by exportCase) {
	t.Helper()
	if st := e.status(t); st != "superseded" {
		t.Errorf("approval %s is %s", e.id, st)
	}
	e.entryBy(t, "approval.superseded", "worker", "approval "+by.id+" takes its place")
	if st := e.ended(t); st != "superseded" {
		t.Errorf("its workflow ended with %s", st)
	}
	refusedAs(t, e.decide(t, "bob", "approve"), 409, "approval-not-pending", "superseded already")
}

func TestAnotherPersonEdits(t *testing.T) {
	s := engineStack(t)
	e := s.asks(t, "alice", "test.plain")
	next := e.edits(t, "ann")
	e.superseded(t, next)
	next.entryBy(t, "approval.requested", "ann", "a digit was wrong")
	d := next.detail(t, "eve")
	if fmt.Sprint(d["supersedes"]) != e.id || d["requester"].(map[string]any)["sub"] != "alice" || d["editor"].(map[string]any)["sub"] != "ann" {
		t.Errorf("got supersedes %v, requester %v, editor %v", d["supersedes"], d["requester"], d["editor"])
	}
	refusedAs(t, next.decide(t, "ann", "approve"), 403, "not-eligible", "editor")
	refusedAs(t, next.decide(t, "alice", "approve"), 403, "not-eligible", "requester")
	refusedAs(t, next.does(t, "ann", "delegate", `{"to":{"sub":"bob"},"ends_at":"2100-01-01T00:00:00Z","reason":"r"}`), 422, "invalid-act", "92 days")
	want(t, next.decide(t, "bob", "approve"), http.StatusOK)
	refusedAs(t, next.does(t, "bob", "edit", `{"parameters":{"n":"x"},"reason":"late"}`), 409, "act-refused", "approved already")
}

func TestTheRequesterEdits(t *testing.T) {
	s := engineStack(t)
	for _, spelling := range []string{"alice", "Alice"} {
		e := s.asks(t, "alice", "test.plain")
		next := e.edits(t, spelling)
		e.superseded(t, next)
		if d := next.detail(t, "eve"); d["editor"] != nil {
			t.Errorf("the requester's own edit has an editor, %v", d["editor"])
		}
		refusedAs(t, next.decide(t, "alice", "approve"), 403, "not-eligible", "requester")
		want(t, next.decide(t, "bob", "approve"), http.StatusOK)
	}
}

func TestEditsThatAreRefused(t *testing.T) {
	s := engineStack(t)
	e := s.asks(t, "alice", "test.plain")
	n := e.detail(t, "eve")["action"].(map[string]any)["parameters"].(map[string]any)["n"].(string)
	refusedAs(t, e.does(t, "alice", "edit", `{"parameters":{"n":"`+n+`"},"reason":"nothing"}`), 409, "nothing-changed", "approval "+e.id)
	refusedAs(t, e.does(t, "alice", "edit", `{"parameters":{"n":"1"}}`), 422, "invalid-request", "reason")
	refusedAs(t, e.does(t, "alice", "edit", `{"parameters":{"BAD NAME!":"1"},"reason":"r"}`), 422, "invalid-action", "BAD NAME")
	refusedAs(t, e.does(t, "victor", "edit", `{"parameters":{},"reason":"r"}`), 403, "not-permitted", "approval.ask")
	if st := e.status(t); st != "pending" || e.entries(t, "approval.superseded") != 0 {
		t.Errorf("refused edits left the request %s", st)
	}
}

func TestANewerRequestOverTheSameTargetTakesTheOldOnesPlace(t *testing.T) {
	s := engineStack(t)
	target := fmt.Sprintf(`"targets":[{"kind":"ticket","id":"T%d","version":"1"}]`, unique.Add(1))
	first := s.asks(t, "alice", "test.plain", target)
	others := []exportCase{s.asks(t, "bob", "test.plain", target), s.asks(t, "alice", "test.other", target), s.asks(t, "alice", "test.plain", target, `"mode":"simulation"`)}
	second := s.asks(t, "alice", "test.plain", target)
	first.superseded(t, second)
	for _, e := range append(others, second) {
		if st := e.status(t); st != "pending" {
			t.Errorf("approval %s is %s", e.id, st)
		}
	}
}

func TestADecisionOnATargetThatMovedIsNotCounted(t *testing.T) {
	s := engineStack(t)
	opened := want(t, s.call(t, "alice", "POST", "/incidents", `{"kind":"other","severity":"low","title":"moves"}`), http.StatusCreated)
	var id string
	scan(t, s, &id, "SELECT max(incident_id)::text FROM finobs.incident WHERE title = 'moves'")
	target := `"targets":[{"kind":"incident","id":"` + id + `"}]`
	e := s.asks(t, "alice", "test.plain", target)
	var version int
	scan(t, s, &version, "UPDATE finobs.incident SET version = version + 1 WHERE incident_id = $1::bigint RETURNING version", id)
	r := e.decide(t, "bob", "approve")
	refusedAs(t, r, 409, "decision-not-counted", "superseded")
	why := fmt.Sprintf("incident %s is at version %d now, not %d", id, version, version-1)
	e.entryBy(t, "approval.superseded", "worker", why)
	e.entryBy(t, "approval.decided", "bob", "seen")
	if d := e.detail(t, "eve"); d["status"] != "superseded" || d["status_reason"] != why {
		t.Errorf("the request is %v: %v; %s", d["status"], d["status_reason"], opened.Body)
	}
	stale := s.call(t, "alice", "POST", "/approval/", `{"kind":"test.plain","targets":[{"kind":"incident","id":"`+id+`","version":"1"}]}`)
	refusedAs(t, stale, 409, "target-moved", "look at it again")
	gone := s.call(t, "alice", "POST", "/approval/", `{"kind":"test.plain","targets":[{"kind":"incident","id":"987654321"}]}`)
	if gone.Status != http.StatusNotFound {
		t.Errorf("an incident that is not there: %d %s", gone.Status, gone.Body)
	}
}
