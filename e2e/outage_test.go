package e2e_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestWorkersStoppedDecisionIsAcceptedAndAppliedLater(t *testing.T) {
	e := world.ask(t)
	if err := world.worker.Kill(); err != nil {
		t.Fatal(err)
	}
	answer := want(t, e.decide(t, "bob", "approve"), http.StatusAccepted)
	if answer.str("recorded") != "false" || answer.str("decision_id") == "" {
		t.Errorf("got %s", answer.Body)
	}
	incident := world.call(t, "alice", "POST", "/incidents", `{"kind":"other","severity":"low","title":"while no worker runs"}`, "Idempotency-Key", "outage-1")
	want(t, incident, http.StatusAccepted)
	if err := world.startWorker(""); err != nil {
		t.Fatal(err)
	}
	e.sealedOnce(t)
	if n := count(t, world, "SELECT count(*) FROM finobs.approval_decision WHERE decision_id = $1::uuid AND outcome = 'counted'", answer.str("decision_id")); n != 1 {
		t.Errorf("the accepted decision is recorded %d times", n)
	}
	eventually(t, "the incident is open", func() bool {
		return count(t, world, "SELECT count(*) FROM finobs.incident WHERE title = 'while no worker runs'") == 1
	})
}

// A second stack beside the first, in a folder of its own; then its Temporal
// stops.
func TestTemporalStoppedBesideAnotherStack(t *testing.T) {
	t.Parallel()
	second := ownStack(t)
	e := second.ask(t)
	if second.APIAddress == world.APIAddress || second.AdminURL == world.AdminURL {
		t.Errorf("two stacks share %s or %s", second.APIAddress, second.AdminURL)
	}
	if err := second.StopTemporal(); err != nil {
		t.Fatal(err)
	}
	for path, body := range map[string]string{
		"/approval/" + e.id + "/decision": `{"decision":"approve"}`,
		"/incidents/export?desk=OTHER":    "",
		"/incidents":                      `{"kind":"other","severity":"low","title":"t"}`,
		"/approval/":                      `{"kind":"desk.override"}`,
	} {
		r := second.call(t, "bob", "POST", path, body)
		if r.Status != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" {
			t.Errorf("POST %s answered %d, Retry-After %q: %s", path, r.Status, r.Header.Get("Retry-After"), r.Body)
		}
	}
	for _, path := range []string{"/approval/", "/approval/" + e.id, "/incidents", "/exports/", "/approval/" + e.id + "/history", "/healthz"} {
		want(t, second.call(t, "alice", "GET", path, ""), http.StatusOK)
	}
	want(t, second.call(t, "", "GET", "/readyz", ""), http.StatusServiceUnavailable)
	// A worker may still complete what it had begun; of these calls there is no trace.
	if n := count(t, second, "SELECT count(*) FROM ledger.entry WHERE actor_sub = 'bob'"); n != 0 {
		t.Errorf("%d entries say that something was done for bob while Temporal was down", n)
	}
	want(t, world.call(t, "", "GET", "/readyz", ""), http.StatusOK) // the first stack is undisturbed
}

// An operator terminates a workflow that people should decide on. The request can
// be renewed, and the old one does not pend for ever.
func TestTerminatedWorkflowIsRenewed(t *testing.T) {
	e := world.ask(t)
	if err := world.temporal.TerminateWorkflow(context.Background(), e.workflowID(t), "", "by mistake"); err != nil {
		t.Fatal(err)
	}
	r := want(t, e.decide(t, "bob", "approve"), http.StatusConflict)
	if !strings.Contains(r.str("detail"), "renew") {
		t.Errorf("the answer does not say what to do: %s", r.Body)
	}
	old := e
	e.id = want(t, world.call(t, "alice", "POST", e.path+"&renew=true", ""), http.StatusAccepted).str("approval_request_id")
	if e.id == old.id {
		t.Fatal("the dead request answers")
	}
	old.untilStatus(t, "cancelled")
	again := want(t, world.call(t, "alice", "POST", e.path+"&renew=true", ""), http.StatusAccepted)
	if again.str("approval_request_id") != e.id {
		t.Errorf("renewing a request that people can decide on made another: %s", again.Body)
	}
	want(t, e.decide(t, "bob", "approve"), http.StatusOK)
	e.sealedOnce(t)
}

// A call that waits long for the record is answered, and so is the next one on its
// connection.
func TestALongAnswerSparesItsConnection(t *testing.T) {
	s := engineStack(t)
	e := s.asks(t, "alice", "test.plain")
	restart := func(wait string) {
		if err := s.api.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := s.startAPI("FINOBS_ANSWER_WAIT=" + wait); err != nil {
			t.Fatal(err)
		}
	}
	restart("7s")
	defer restart("20s")
	if err := s.worker.Kill(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	answer := want(t, e.decide(t, "bob", "approve"), http.StatusAccepted)
	if took := time.Since(began); took < 6*time.Second || answer.str("recorded") != "false" {
		t.Errorf("answered after %s: %s", took, answer.Body)
	}
	for range 5 {
		want(t, s.call(t, "alice", "GET", "/approval/"+e.id, ""), http.StatusOK)
	}
	if err := s.startWorker(""); err != nil {
		t.Fatal(err)
	}
	e.untilStatus(t, "approved")
}
