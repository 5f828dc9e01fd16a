package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"finobs/workflows"
)

// listed wants the request on the list under a filter, or not.
func (e exportCase) listed(t *testing.T, filter string, wanted bool) {
	t.Helper()
	r := want(t, e.s.call(t, "eve", "GET", "/approval/?limit=500&"+filter, ""), http.StatusOK)
	if strings.Contains(string(r.Body), `"approval_request_id":`+e.id+",") != wanted {
		t.Errorf("approval %s is on the list %s: %t", e.id, filter, !wanted)
	}
}

func TestComments(t *testing.T) {
	e := engineStack(t).asks(t, "alice", "test.plain")
	want(t, e.does(t, "tim", "comment", `{"text":"is this the right desk?"}`), http.StatusOK)
	e.entryBy(t, "approval.commented", "tim", "is this the right desk?")
	var v struct {
		Comments []struct {
			Author struct{ Sub string }
			Text   string
		}
	}
	r := e.s.call(t, "alice", "GET", "/approval/"+e.id, "")
	if err := json.Unmarshal(r.Body, &v); err != nil || len(v.Comments) != 1 || v.Comments[0].Author.Sub != "tim" || v.Comments[0].Text != "is this the right desk?" {
		t.Errorf("%v: %s", err, r.Body)
	}
	refusedAs(t, e.does(t, "bob", "comment", `{}`), 422, "invalid-request", "text")
	refusedAs(t, e.does(t, "bob", "comment", `{"text":""}`), 422, "invalid-request", "text")
	refusedAs(t, e.does(t, "bob", "comment", `{"text":"`+strings.Repeat("x", 4001)+`"}`), 422, "invalid-request", "text")
	refusedAs(t, e.does(t, "bob", "comment", `{"text":"`+strings.Repeat("ü", 3000)+`"}`), 422, "invalid-act", "4000 bytes")
	refusedAs(t, e.does(t, "victor", "comment", `{"text":"x"}`), 403, "not-permitted", "approval.act")
	refusedAs(t, e.s.call(t, "bob", "POST", "/approval/987654321/comment", `{"text":"x"}`), 404, "no-such-approval", "987654321")
	if e.status(t) != "pending" || e.entries(t, "approval.commented") != 1 {
		t.Errorf("refused comments left %d entries", e.entries(t, "approval.commented"))
	}
}

func TestAssigning(t *testing.T) {
	e := engineStack(t).asks(t, "alice", "test.plain")
	want(t, e.does(t, "tim", "assign", `{"to":{"sub":"cora"},"reason":"she knows"}`), http.StatusOK)
	e.entryBy(t, "approval.assigned", "tim", "she knows")
	e.listed(t, "assignee=cora", true)
	e.listed(t, "assignee=cyril", false)
	want(t, e.does(t, "cora", "assign", `{}`), http.StatusOK)
	e.listed(t, "assignee=cora", false)
	if e.detail(t, "eve")["assignee"] != nil {
		t.Errorf("assigned to %v", e.detail(t, "eve")["assignee"])
	}
	refusedAs(t, e.does(t, "bob", "assign", `{"to":{"sub":""}}`), 422, "invalid-request", "sub")
	// Who looks at it decides nothing: another one may.
	want(t, e.decide(t, "bob", "approve"), http.StatusOK)
	refusedAs(t, e.does(t, "tim", "assign", `{"to":{"sub":"cora"}}`), 409, "act-refused", "approved already")
}

func TestEscalating(t *testing.T) {
	e := engineStack(t).asks(t, "alice", "test.plain")
	e.listed(t, "escalated=true", false)
	refusedAs(t, e.does(t, "alice", "escalate", `{}`), 422, "invalid-act", "say why")
	for level, reason := range []string{"waiting", "still waiting"} {
		want(t, e.does(t, "alice", "escalate", `{"reason":"`+reason+`"}`), http.StatusOK)
		e.entryBy(t, "approval.escalated", "alice", reason)
		if d := e.detail(t, "eve"); d["escalation_level"] != float64(level+1) {
			t.Errorf("after %d escalations the level is %v", level+1, d["escalation_level"])
		}
	}
	refusedAs(t, e.does(t, "alice", "escalate", `{"reason":"again"}`), 409, "ladder-exhausted", "last rung")
	e.listed(t, "escalated=true", true)
	e.listed(t, "escalated=false", false)
	if got := fmt.Sprint(e.detail(t, "eve")["fired_rungs"]); got != "[escalation-1 escalation-2]" {
		t.Errorf("fired rungs are %s", got)
	}
	bare := e.s.asks(t, "alice", "test.quorum")
	refusedAs(t, bare.does(t, "alice", "escalate", `{"reason":"no ladder"}`), 409, "ladder-exhausted", "last rung")
}

// ended waits for the request's workflow and returns the status that it ended with.
func (e exportCase) ended(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var out workflows.GateResult
	if err := e.s.temporal.GetWorkflow(ctx, e.workflowID(t), "").Get(ctx, &out); err != nil {
		t.Errorf("the workflow of approval %s ended with %v", e.id, err)
	}
	return string(out.Status)
}

func TestCancelling(t *testing.T) {
	s := engineStack(t)
	e := s.ask(t)
	refusedAs(t, e.does(t, "dave", "cancel", `{"reason":"mine now"}`), 409, "act-refused", "only who asked")
	want(t, e.does(t, "alice", "cancel", `{"reason":"wrong month"}`), http.StatusOK)
	if st := e.status(t); st != "cancelled" {
		t.Errorf("the request is %s", st)
	}
	e.entryBy(t, "approval.cancelled", "alice", "wrong month")
	if st := e.ended(t); st != "cancelled" {
		t.Errorf("the workflow ended with %s", st)
	}
	refusedAs(t, e.decide(t, "bob", "approve"), 409, "approval-not-pending", "cancelled already")
	refusedAs(t, e.does(t, "alice", "cancel", `{}`), 409, "act-refused", "cancelled already")
	want(t, s.call(t, "alice", "GET", e.path, ""), http.StatusGone)
	if n := count(t, s, "SELECT count(*) FROM finobs.export WHERE approval_id = $1::bigint", e.id); n != 0 {
		t.Errorf("the cancelled request led to %d exports", n)
	}
	approved := s.asks(t, "alice", "test.plain")
	want(t, approved.decide(t, "bob", "approve"), http.StatusOK)
	want(t, approved.does(t, "ALICE", "cancel", `{}`), http.StatusOK)
	approved.entryBy(t, "approval.cancelled", "ALICE", "by its requester")
}

// A cancelled approval is not spent by a worker that comes late.
func TestCancellingAnApprovedExport(t *testing.T) {
	s := engineStack(t)
	s.restartWorker(t, "", "--record-only")
	defer s.restartWorker(t, "")
	e := s.ask(t)
	want(t, e.decide(t, "bob", "approve"), http.StatusOK)
	e.untilStatus(t, "approved")
	want(t, e.does(t, "alice", "cancel", `{"reason":"too late after all"}`), http.StatusOK)
	s.restartWorker(t, "")
	eventually(t, "the effect is denied", func() bool { return e.entries(t, "effect.denied") == 1 })
	if st := e.status(t); st != "cancelled" {
		t.Errorf("the request is %s", st)
	}
	if n := count(t, s, "SELECT count(*) FROM finobs.export WHERE approval_id = $1::bigint", e.id); n != 0 {
		t.Errorf("the cancelled request led to %d exports", n)
	}
}

func TestRevoking(t *testing.T) {
	s := engineStack(t)
	e := s.asks(t, "alice", "test.plain")
	refusedAs(t, e.does(t, "carol", "revoke", `{"reason":"early"}`), 409, "act-refused", "pending")
	want(t, e.decide(t, "bob", "approve"), http.StatusOK)
	refusedAs(t, e.does(t, "alice", "revoke", `{"reason":"mine"}`), 409, "act-refused", "requester")
	refusedAs(t, e.does(t, "tim", "revoke", `{"reason":"no"}`), 403, "not-permitted", "approval.judge")
	refusedAs(t, e.does(t, "carol", "revoke", `{}`), 422, "invalid-act", "say why")
	want(t, e.does(t, "carol", "revoke", `{"reason":"seen too late"}`), http.StatusOK)
	e.entryBy(t, "approval.cancelled", "carol", "seen too late")
	if st := e.status(t); st != "cancelled" {
		t.Errorf("the request is %s", st)
	}
	refusedAs(t, e.does(t, "carol", "revoke", `{"reason":"again"}`), 409, "act-refused", "cancelled")
}

func TestReopening(t *testing.T) {
	s := engineStack(t)
	e := s.asks(t, "alice", "test.plain")
	refusedAs(t, e.does(t, "alice", "reopen", `{"reason":"impatient"}`), 409, "act-refused", "still pending")
	want(t, e.decide(t, "bob", "reject"), http.StatusOK)
	eventually(t, "the workflow has ended", func() bool { return e.ended(t) == "rejected" })
	refusedAs(t, e.does(t, "bob", "reopen", `{"reason":"for her"}`), 409, "act-refused", "only who asked")
	again := want(t, e.does(t, "alice", "reopen", `{"reason":"with the form now"}`), http.StatusAccepted)
	next := exportCase{s: s, id: again.str("approval_request_id")}
	next.untilStatus(t, "pending")
	if d := next.detail(t, "eve"); fmt.Sprint(d["reopens"]) != e.id || d["action_digest"] != e.digest(t) {
		t.Errorf("approval %s reopens %v over %v", next.id, d["reopens"], d["action_digest"])
	}
	next.entryBy(t, "approval.requested", "alice", "with the form now")
	if st := e.status(t); st != "rejected" {
		t.Errorf("the reopened request is %s", st)
	}
}
