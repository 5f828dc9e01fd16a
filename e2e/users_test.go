package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
)

// change asks for a change of roster or policies; the answer has exactly the three
// keys of every gated call.
func (s *stack) change(t *testing.T, who, method, path, body string) exportCase {
	t.Helper()
	r := want(t, s.call(t, who, method, path, body), http.StatusAccepted)
	var keys map[string]any
	if err := json.Unmarshal(r.Body, &keys); err != nil || len(keys) != 3 || keys["detail"] == nil || keys["status"] != "pending" {
		t.Errorf("the answer is %s, not the brief's three keys", r.Body)
	}
	e := exportCase{s: s, id: r.str("approval_request_id")}
	e.untilStatus(t, "pending")
	return e
}

// added puts somebody on the roster by the front door.
func (s *stack) added(t *testing.T, roles string) (name string) {
	t.Helper()
	name = fmt.Sprintf("user-%d", unique.Add(1))
	e := s.change(t, "dave", "POST", "/users", `{"sub":"`+name+`","roles":[`+roles+`],"desk":"EQ","reason":"joins"}`)
	want(t, e.decide(t, "cora", "approve"), http.StatusOK)
	e.untilStatus(t, "consumed")
	return name
}

func TestAUserIsAddedOnceApproved(t *testing.T) {
	s := engineStack(t)
	name := fmt.Sprintf("user-%d", unique.Add(1))
	body := `{"sub":"` + name + `","roles":["analyst","trader"],"desk":"EQ","email":"` + name + `@example.com","reason":"joins"}`
	e := s.change(t, "dave", "POST", "/users", body)
	want(t, s.call(t, "dave", "GET", "/users/"+name, ""), http.StatusNotFound)
	if again := want(t, s.call(t, "dave", "POST", "/users", body), http.StatusAccepted); again.str("approval_request_id") != e.id {
		t.Errorf("asking again made another request: %s", again.Body)
	}
	refusedAs(t, e.decide(t, "dave", "approve"), 403, "not-eligible", "requester")
	refusedAs(t, e.decide(t, "bob", "approve"), 403, "not-eligible", "does not admit")
	want(t, e.decide(t, "cora", "approve"), http.StatusOK)
	e.untilStatus(t, "consumed")
	got := want(t, s.call(t, "dave", "GET", "/users/"+name, ""), http.StatusOK)
	if got.str("roles") != "[analyst trader]" || got.str("desk") != "EQ" || got.str("version") != "1" || got.str("active") != "true" {
		t.Errorf("on the roster is %s", got.Body)
	}
	if n := count(t, s, `SELECT count(*) FROM ledger.entry WHERE type = 'user.added' AND subject_kind = 'user' AND subject_id = 'finobs-dev|' || $1
		AND actor_sub = 'dave' AND reason = 'joins' AND convert_from(leaf, 'UTF8')::jsonb #>> '{details,approval_id}' = $2`, name, e.id); n != 1 {
		t.Errorf("%d entries user.added", n)
	}
	if again := want(t, s.call(t, "dave", "POST", "/users", body), http.StatusOK); !strings.Contains(string(again.Body), name) {
		t.Errorf("the repeated call answers %s", again.Body)
	}
	refusedAs(t, s.call(t, "dave", "POST", "/users", `{"sub":"`+name+`","roles":["admin"]}`), 409, "user-exists", "PATCH /users/"+name)
	refusedAs(t, s.call(t, "bob", "POST", "/users", `{"sub":"x"}`), 403, "not-permitted", "user.ask")
	refusedAs(t, s.call(t, "dave", "POST", "/users", `{"sub":"x","roles":["emperor"]}`), 422, "invalid-request", "roles")
	refusedAs(t, s.call(t, "dave", "POST", "/users", `{"sub":"x","kind":"agent","roles":["admin"]}`), 422, "invalid-user", "service and viewer only")
	refusedAs(t, s.call(t, "dave", "POST", "/users", `{"sub":"x","email":"no address"}`), 422, "invalid-user", "no address")
}

func TestARejectedChangeChangesNothing(t *testing.T) {
	s := engineStack(t)
	name := s.added(t, `"analyst"`)
	e := s.change(t, "dave", "PATCH", "/users/"+name, `{"roles":["admin"]}`)
	want(t, e.decide(t, "cora", "reject"), http.StatusOK)
	if got := s.call(t, "dave", "GET", "/users/"+name, ""); got.str("roles") != "[analyst]" || got.str("version") != "1" {
		t.Errorf("after a rejection: %s", got.Body)
	}
	refusedAs(t, s.call(t, "dave", "PATCH", "/users/"+name, `{"roles":["admin"]}`), 403, "change-rejected", "renew")
}

// Two people ask for changes of the same state; the second is judged by a state
// that is no longer there.
func TestAChangeOfAStaleStateIsSuperseded(t *testing.T) {
	s := engineStack(t)
	name := s.added(t, `"analyst"`)
	first := s.change(t, "dave", "PATCH", "/users/"+name, `{"desk":"FX"}`)
	second := s.change(t, "abel", "PATCH", "/users/"+name, `{"desk":"IR"}`)
	want(t, first.decide(t, "cora", "approve"), http.StatusOK)
	first.untilStatus(t, "consumed")
	if r := second.decide(t, "cora", "approve"); r.Status != http.StatusConflict || !strings.Contains(r.str("detail"), "superseded") {
		t.Errorf("a decision on a stale change: %d %s", r.Status, r.Body)
	}
	second.untilStatus(t, "superseded")
	if got := s.call(t, "dave", "GET", "/users/"+name, ""); got.str("desk") != "FX" || got.str("version") != "2" {
		t.Errorf("the roster has %s", got.Body)
	}
	if r := want(t, s.call(t, "dave", "PATCH", "/users/"+name, `{"desk":"FX"}`), http.StatusOK); !strings.Contains(string(r.Body), "as you ask") {
		t.Errorf("a change that is in force answers %s", r.Body)
	}
	refusedAs(t, s.call(t, "dave", "PATCH", "/users/nobody-such", `{"desk":"FX"}`), 404, "no-such-user", "nobody-such")
}

func TestADeactivatedPersonIsRefusedAtOnce(t *testing.T) {
	s := engineStack(t)
	name := s.added(t, `"analyst"`)
	before := s.asks(t, "alice", "test.plain")
	want(t, before.decide(t, name, "approve"), http.StatusOK)
	open := s.asks(t, "alice", "test.plain")
	e := s.change(t, "dave", "PATCH", "/users/"+name, `{"active":false,"reason":"left"}`)
	want(t, e.decide(t, "cora", "approve"), http.StatusOK)
	e.untilStatus(t, "consumed")
	if r := open.decide(t, name, "approve"); r.Status != http.StatusForbidden {
		t.Errorf("a decision right after: %d %s", r.Status, r.Body)
	}
	eventually(t, "he may not even read", func() bool { return s.call(t, name, "GET", "/approval/", "").Status == http.StatusForbidden })
	if st := open.status(t); st != "pending" {
		t.Errorf("the request is %s", st)
	}
	if n := denials(t, s, name); n == 0 {
		t.Error("the refusals left no entry")
	}
}

// Somebody approves an export and loses his role before it is carried out: what he
// said no longer counts, and the worker does not act on it.
func TestARoleLostBetweenDecisionAndEffect(t *testing.T) {
	s := engineStack(t)
	name := s.added(t, `"analyst"`)
	s.restartWorker(t, "", "--record-only")
	defer s.restartWorker(t, "")
	e := s.ask(t)
	want(t, e.decide(t, name, "approve"), http.StatusOK)
	e.untilStatus(t, "approved")
	change := s.change(t, "dave", "PATCH", "/users/"+name, `{"roles":["viewer"]}`)
	want(t, change.decide(t, "cora", "approve"), http.StatusOK)
	change.untilStatus(t, "consumed")
	eventually(t, "the decision is shown not to count", func() bool {
		return strings.Contains(fmt.Sprint(e.detail(t, "eve")["explanation"]), "approval by "+name+" does not count")
	})
	s.restartWorker(t, "")
	eventually(t, "the effect is denied", func() bool { return e.entries(t, "effect.denied") > 0 })
	e.entryBy(t, "effect.denied", "worker", "the recorded decisions amount to pending, not to an approval")
	if n := count(t, s, "SELECT count(*) FROM finobs.export WHERE approval_id = $1::bigint", e.id); n != 0 {
		t.Errorf("it led to %d exports", n)
	}
	e.untilStatus(t, "cancelled") // its workflow has failed, so nobody can use it any more
}

func TestPoliciesAreActivatedOnceApproved(t *testing.T) {
	s := engineStack(t)
	text, err := os.ReadFile("testdata/engine.yaml")
	if err != nil {
		t.Fatal(err)
	}
	old := s.asks(t, "alice", "test.drift")
	changed := strings.Replace(string(text), `who: '"analyst" in reviewer.roles'`, `who: '"compliance" in reviewer.roles'`, 1)
	post := func(who, content string) reply {
		body, err := json.Marshal(map[string]string{"content": content, "reason": "tighter"})
		if err != nil {
			t.Fatal(err)
		}
		return s.call(t, who, "POST", "/policies", string(body))
	}
	if r := want(t, post("dave", string(text)), http.StatusOK); r.str("approval_request_id") != "" {
		t.Errorf("what is in force answers %s", r.Body)
	}
	refusedAs(t, post("dave", strings.Replace(string(text), "n: 2", "n: 15", 1)), 409, "unsatisfiable", "test.quorum")
	refusedAs(t, post("dave", strings.Replace(string(text), "veto: 1", "vetoes: 1", 1)), 422, "invalid-policies", "vetoes")
	refusedAs(t, post("dave", "version: [1"), 422, "invalid-policies", "yaml")
	refusedAs(t, post("dave", strings.Replace(string(text), "n: 2", "n: -2", 1)), 422, "invalid-policies", "all_of[0].n is -2")
	refusedAs(t, post("bob", changed), 403, "not-permitted", "policy.ask")
	body, _ := json.Marshal(map[string]string{"content": changed, "reason": "tighter"})
	e := s.change(t, "dave", "POST", "/policies", string(body))
	refusedAs(t, e.decide(t, "dave", "approve"), 403, "not-eligible", "requester")
	want(t, e.decide(t, "cora", "approve"), http.StatusOK)
	e.untilStatus(t, "consumed")
	if n := count(t, s, "SELECT count(*) FROM ledger.entry WHERE type = 'policy.activated' AND actor_sub = 'dave' AND reason = 'tighter'"); n != 1 {
		t.Errorf("%d entries policy.activated", n)
	}
	eventually(t, "the new policies are in force", func() bool { return s.call(t, "eve", "GET", "/policies", "").str("content") == changed })
	// What was asked before is judged by the policy that it was asked under.
	fresh := s.asks(t, "alice", "test.drift")
	refusedAs(t, fresh.decide(t, "bob", "approve"), 403, "not-eligible", "does not admit")
	want(t, old.decide(t, "bob", "approve"), http.StatusOK)
	want(t, fresh.decide(t, "cora", "approve"), http.StatusOK)
	if old.status(t) != "approved" || fresh.status(t) != "approved" {
		t.Errorf("the old request is %s, the new one %s", old.status(t), fresh.status(t))
	}
}
