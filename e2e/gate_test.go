package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"finobs/internal/approval"
	"finobs/internal/identity"
)

func TestExportIsGatedAndResumesByItself(t *testing.T) {
	e := world.ask(t)
	first := world.call(t, "alice", "GET", e.path, "")
	var keys map[string]any
	if err := json.Unmarshal(first.Body, &keys); err != nil || len(keys) != 3 || keys["detail"] == nil || keys["status"] != "pending" {
		t.Errorf("the answer is %s, not the brief's three keys", first.Body)
	}
	if again := world.call(t, "alice", "POST", "/api"+e.path, ""); again.str("approval_request_id") != e.id {
		t.Errorf("asking again under /api made another request: %s", again.Body)
	}
	if other := world.call(t, "bob", "POST", e.path, ""); other.str("approval_request_id") == e.id {
		t.Error("another requester got the same request")
	}
	got := want(t, e.decide(t, "bob", "approved"), http.StatusOK)
	if got.str("decision_id") == "" || got.str("verdict") != "approve" {
		t.Errorf("got %s", got.Body)
	}
	e.sealedOnce(t)
	again := want(t, e.decide(t, "bob", "approve"), http.StatusOK)
	if again.str("decision_id") != got.str("decision_id") {
		t.Errorf("the repeated decision has another id: %s", again.Body)
	}
	want(t, e.decide(t, "bob", "reject"), http.StatusConflict)
	want(t, e.decide(t, "carol", "approve"), http.StatusConflict)
}

func TestRejectionHoldsUntilRenewed(t *testing.T) {
	e := world.ask(t)
	want(t, e.decide(t, "carol", "reject"), http.StatusOK)
	e.untilStatus(t, "rejected")
	want(t, world.call(t, "alice", "GET", e.path, ""), http.StatusForbidden)
	renewed := want(t, world.call(t, "alice", "POST", e.path+"&renew=true", ""), http.StatusAccepted)
	if renewed.str("approval_request_id") == e.id {
		t.Error("renew answered with the rejected request")
	}
}

func TestWhoMayDecide(t *testing.T) {
	e := world.ask(t)
	for who, status := range map[string]int{"alice": 403, "ALICE": 403, "victor": 403, "eve": 403, "": 401} {
		if got := e.decide(t, who, "approve"); got.Status != status {
			t.Errorf("%q: answered %d, want %d: %s", who, got.Status, status, got.Body)
		}
	}
	agent := world.tokenOf(t, approval.Principal{
		Person: approval.Person{Issuer: identity.DevIssuer, Subject: "triage"}, Kind: approval.Agent, Roles: []string{"admin"},
	})
	got := world.call(t, "", "POST", "/approval/"+e.id+"/decision", `{"decision":"approve"}`, "Authorization", "Bearer "+agent)
	if got.Status != http.StatusForbidden {
		t.Errorf("an agent with role admin: answered %d", got.Status)
	}
	if e.status(t) != "pending" {
		t.Errorf("the request is %s", e.status(t))
	}
	if n := count(t, world, "SELECT count(*) FROM ledger.entry WHERE type = 'security.denied' AND actor_sub = 'triage'"); n != 1 {
		t.Errorf("%d entries for the agent's attempt, want 1", n)
	}
	detail := world.call(t, "alice", "GET", "/approval/"+e.id, "")
	if !strings.Contains(string(detail.Body), `"allowed_actions":["comment","assign","escalate","cancel","edit"]`) {
		t.Errorf("the requester is offered actions: %s", detail.Body)
	}
	detail = world.call(t, "bob", "GET", "/approval/"+e.id, "")
	if !strings.Contains(string(detail.Body), `"allowed_actions":["approve","reject",`) {
		t.Errorf("an approver is not offered his actions: %s", detail.Body)
	}
}

func TestAHundredDecisionsAtOnceAreOneOutcome(t *testing.T) {
	e := world.ask(t)
	type sent struct {
		status int
		id     string
	}
	answers := make(chan sent, 100)
	var all sync.WaitGroup
	for i := range 100 {
		all.Add(1)
		go func() {
			defer all.Done()
			verdict := "approve"
			if i%20 < 4 {
				verdict = "reject"
			}
			r, err := e.s.try(t, fmt.Sprintf("person-%d", i%20), "POST", "/approval/"+e.id+"/decision", `{"decision":"`+verdict+`"}`)
			if err != nil {
				t.Error(err)
				return
			}
			if r.Status >= 500 {
				t.Errorf("answered %d: %s", r.Status, r.Body)
			}
			answers <- sent{r.Status, r.str("decision_id")}
		}()
	}
	all.Wait()
	close(answers)
	eventually(t, "the request is settled", func() bool { s := e.status(t); return s == "consumed" || s == "rejected" })
	promised := 0
	for a := range answers {
		if a.status/100 != 2 {
			continue
		}
		promised++
		eventually(t, "decision "+a.id+", which was answered with 2xx, is on record", func() bool {
			return count(t, world, "SELECT count(*) FROM finobs.approval_decision WHERE decision_id = $1::uuid", a.id) == 1
		})
	}
	if promised == 0 {
		t.Error("no decision was accepted")
	}
	if n := count(t, world, "SELECT count(*) FROM finobs.approval_decision WHERE approval_id = $1::bigint AND outcome = 'counted'", e.id); n != 1 {
		t.Errorf("%d decisions counted, want 1", n)
	}
	if e.status(t) == "consumed" {
		e.sealedOnce(t)
	}
	if n := count(t, world, "SELECT count(*) FROM finobs.export WHERE approval_id = $1::bigint", e.id); n > 1 {
		t.Errorf("%d exports", n)
	}
}

func TestAHundredRequestsForOneActionAreOneRequest(t *testing.T) {
	path := fmt.Sprintf("/incidents/export?desk=T%d", unique.Add(1))
	ids := make(chan string, 100)
	var all sync.WaitGroup
	for range 100 {
		all.Add(1)
		go func() {
			defer all.Done()
			r, err := world.try(t, "alice", "POST", path, "")
			if err != nil || r.Status != http.StatusAccepted {
				t.Errorf("answered %d, %v: %s", r.Status, err, r.Body)
			}
			ids <- r.str("approval_request_id")
		}()
	}
	all.Wait()
	close(ids)
	distinct := map[string]bool{}
	for id := range ids {
		distinct[id] = true
	}
	if len(distinct) != 1 {
		t.Errorf("%d requests: %v", len(distinct), distinct)
	}
}

func TestPlainApproval(t *testing.T) {
	body := fmt.Sprintf(`{"kind":"desk.override","parameters":{"limit":"%d"},"reason":"quarter end"}`, unique.Add(1))
	got := want(t, world.call(t, "alice", "POST", "/approval/", body), http.StatusAccepted)
	e := exportCase{s: world, id: got.str("approval_request_id")}
	e.untilStatus(t, "pending")
	want(t, e.decide(t, "dave", "approve"), http.StatusOK)
	e.untilStatus(t, "approved")
	list := want(t, world.call(t, "alice", "GET", "/approval/?status=approved", ""), http.StatusOK)
	if !strings.Contains(string(list.Body), `"approval_request_id":`+e.id+",") {
		t.Errorf("the list lacks approval %s", e.id)
	}
	history := want(t, world.call(t, "eve", "GET", "/approval/"+e.id+"/history", ""), http.StatusOK)
	for _, field := range []string{"ai_explanation", "agent_input", "agent_output", "agent_version", "actor_type", "override_type", "is_simulation", "trace_id"} {
		if !strings.Contains(string(history.Body), `"`+field+`"`) {
			t.Errorf("the history lacks %s", field)
		}
	}
	if r := world.call(t, "alice", "POST", "/approval/", `{"kind":"export.incidents"}`); r.Status != http.StatusUnprocessableEntity {
		t.Errorf("an export by the wrong route: answered %d", r.Status)
	}
}

func TestADecisionOnAnotherActionIsRefused(t *testing.T) {
	e := world.askPlain(t)
	digest := world.call(t, "bob", "GET", "/approval/"+e.id, "").str("action_digest")
	path := "/approval/" + e.id + "/decision"
	other := want(t, world.call(t, "bob", "POST", path, `{"decision":"approve","action_digest":"sha256:`+strings.Repeat("0", 64)+`"}`), http.StatusConflict)
	if !strings.HasSuffix(other.str("type"), "digest-differs") || e.status(t) != "pending" {
		t.Errorf("got %s, and the request is %s", other.Body, e.status(t))
	}
	want(t, world.call(t, "bob", "POST", path, `{"decision":"approve","action_digest":"short"}`), http.StatusUnprocessableEntity)
	want(t, world.call(t, "bob", "POST", path, `{"decision":"approve","action_digest":"`+digest+`"}`), http.StatusOK)
}
