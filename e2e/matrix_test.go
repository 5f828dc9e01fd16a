package e2e_test

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"finobs/internal/approval"
	"finobs/internal/identity"
)

// deciding is a route by which somebody can decide. The batch answers 200 as a
// whole; its item tells what the single call would have answered.
type deciding struct {
	name string
	call func(t *testing.T, e exportCase, token string) (status int)
}

var decidingRoutes = []deciding{
	{"decision approve", single("decision", `{"decision":"approve","reason":"seen"}`)},
	{"decision reject", single("decision", `{"decision":"reject","reason":"seen"}`)},
	{"batch_decision approve", batch("approve")},
	{"batch_decision reject", batch("reject")},
	{"ops approve", ops("approve")},
	{"ops reject", ops("reject")},
}

func single(what, body string) func(*testing.T, exportCase, string) int {
	return func(t *testing.T, e exportCase, token string) int {
		return callURL(t, token, "POST", "http://"+e.s.APIAddress+"/approval/"+e.id+"/"+what, body).Status
	}
}

func ops(verdict string) func(*testing.T, exportCase, string) int {
	return func(t *testing.T, e exportCase, token string) int {
		return callURL(t, token, "POST", "http://"+e.s.APIAddress+"/agent/ops/actions/"+e.id+"/"+verdict, `{"reason":"seen"}`).Status
	}
}

func batch(verdict string) func(*testing.T, exportCase, string) int {
	return func(t *testing.T, e exportCase, token string) int {
		body := fmt.Sprintf(`{"decision":%q,"items":[{"approval_request_id":%s,"action_digest":%q}]}`, verdict, e.id, e.digest(t))
		r := callURL(t, token, "POST", "http://"+e.s.APIAddress+"/approval/batch_decision", body)
		if r.Status != http.StatusOK {
			return r.Status
		}
		return outcomes(t, r)[0].Status
	}
}

func (e exportCase) digest(t testing.TB) string {
	t.Helper()
	return e.detail(t, "eve")["action_digest"].(string)
}

// principalCase is somebody who tries to decide, and on whose request.
type principalCase struct {
	name      string
	who       approval.Principal
	token     string // in the place of one of who
	requester string // default: alice
	edited    bool   // by ann, beforehand
	status    int
}

func principalCases() []principalCase {
	of := func(kind approval.ActorKind, name string, roles ...string) approval.Principal {
		return approval.Principal{Person: approval.Person{Issuer: identity.DevIssuer, Subject: name}, Kind: kind, Roles: roles, Desk: "EQ"}
	}
	human := func(name string, roles ...string) approval.Principal { return of(approval.Human, name, roles...) }
	return []principalCase{
		{name: "nobody", status: 401},
		{name: "a garbage token", token: "eyJhbGciOiJub25lIn0.e30.", status: 401},
		{name: "the requester", who: human("alice", "analyst"), status: 403},
		{name: "the requester in another letter case", who: human("ALICE", "analyst"), status: 403},
		{name: "an admin who asked", who: human("dave", "admin"), requester: "dave", status: 403},
		{name: "a delegate of the requester", who: human("arno", "analyst"), requester: "axel", status: 403},
		{name: "the editor", who: human("ann", "analyst"), edited: true, status: 403},
		{name: "a viewer", who: human("victor", "viewer"), status: 403},
		{name: "an auditor", who: human("eve", "auditor"), status: 403},
		{name: "a trader", who: human("tim", "trader"), status: 403},
		{name: "a service", who: of(approval.System, "feed", "service"), status: 403},
		{name: "a service with role admin", who: of(approval.System, "feeder", "admin"), status: 403},
		{name: "an agent with role admin", who: of(approval.Agent, "triage", "admin"), status: 403},
		{name: "somebody inactive", who: human("gone", "analyst"), status: 403},
		{name: "somebody whose role the roster took", who: human("lost", "analyst"), status: 403},
		{name: "an analyst", who: human("bob", "analyst"), status: 200},
		{name: "compliance", who: human("carol", "compliance"), status: 200},
		{name: "an admin", who: human("ada", "admin"), status: 200},
	}
}

func TestWhoMayDecideByWhichRoute(t *testing.T) {
	s := engineStack(t)
	given := want(t, s.call(t, "axel", "POST", "/delegations", `{"to":{"sub":"arno"},"ends_at":"`+soon(time.Hour)+`","reason":"on leave"}`), http.StatusOK)
	defer s.call(t, "axel", "POST", "/delegations/"+given.str("delegation_id")+"/revoke", `{"reason":"back"}`)
	for _, p := range principalCases() {
		t.Run(p.name, func(t *testing.T) {
			token := p.token
			if p.who.Subject != "" {
				token = s.tokenOf(t, p.who)
			}
			e := p.request(t, s)
			for _, route := range decidingRoutes {
				if p.status == http.StatusOK {
					e = p.request(t, s)
				}
				before := denials(t, s, p.who.Subject)
				status := route.call(t, e, token)
				if status != p.status {
					t.Errorf("%s by %s: %d, want %d", route.name, p.name, status, p.status)
				}
				p.consequences(t, s, e, route.name, before)
			}
		})
	}
}

func (p principalCase) request(t *testing.T, s *stack) exportCase {
	t.Helper()
	requester := p.requester
	if requester == "" {
		requester = "alice"
	}
	e := s.asks(t, requester, "test.matrix")
	if p.edited {
		body := fmt.Sprintf(`{"parameters":{"n":"%d"},"reason":"typo"}`, unique.Add(1))
		e.id = want(t, e.does(t, "ann", "edit", body), http.StatusAccepted).str("approval_request_id")
		e.untilStatus(t, "pending")
	}
	return e
}

// consequences looks at the record after an attempt: a refusal leaves the request
// as it was and is itself on record, a decision is counted.
func (p principalCase) consequences(t *testing.T, s *stack, e exportCase, route string, before int) {
	t.Helper()
	decisions := count(t, s, "SELECT count(*) FROM finobs.approval_decision WHERE approval_id = $1::bigint", e.id)
	if p.status == http.StatusOK {
		if st := e.status(t); st == "pending" || decisions != 1 {
			t.Errorf("%s by %s: the request is %s with %d decisions", route, p.name, st, decisions)
		}
		return
	}
	if st := e.status(t); st != "pending" || decisions != 0 {
		t.Errorf("%s by %s: the request is %s with %d decisions", route, p.name, st, decisions)
	}
	// The first of a kind is an entry at once; those that follow are counted into
	// one more, a minute later.
	if now := denials(t, s, p.who.Subject); now == 0 || now < before {
		t.Errorf("%s by %s: %d entries security.denied", route, p.name, now)
	}
}

func denials(t *testing.T, s *stack, name string) int {
	t.Helper()
	return count(t, s, "SELECT count(*) FROM ledger.entry WHERE type = 'security.denied' AND actor_sub = $1", name)
}

// Each route's own refusal is on record under its own name.
func TestADenialNamesTheRouteThatWasCalled(t *testing.T) {
	s := engineStack(t)
	agent := approval.Principal{Person: approval.Person{Issuer: identity.DevIssuer, Subject: "agent-" + strconv.FormatInt(unique.Add(1), 10)}, Kind: approval.Agent, Roles: []string{"admin"}}
	for route, call := range map[string]func(*testing.T, exportCase, string) int{
		"POST /approval/:id/decision":         single("decision", `{"decision":"approve"}`),
		"POST /approval/batch_decision":       batch("approve"),
		"POST /agent/ops/actions/:id/approve": ops("approve"),
		"POST /agent/ops/actions/:id/reject":  ops("reject"),
		"POST /approval/:id/delegate":         single("delegate", `{"to":{"sub":"bob"},"ends_at":"`+soon(time.Hour)+`","reason":"r"}`),
	} {
		e := s.asks(t, "alice", "test.matrix")
		call(t, e, s.tokenOf(t, agent))
		n := count(t, s, `SELECT count(*) FROM ledger.entry WHERE type = 'security.denied' AND actor_sub = $1
			AND subject_kind = 'route' AND subject_id = $2`, agent.Subject, route)
		if n != 1 {
			t.Errorf("%d entries for %s, want 1", n, route)
		}
	}
}
