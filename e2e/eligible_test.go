package e2e_test

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// governance lets compliance decide on the roster, or administrators.
const governance = `
  - id: governance
    match: 'action.kind.startsWith("user.")'
    all_of: [{n: 1, label: compliance, who: '"compliance" in reviewer.roles'}]
    fallback: '"admin" in reviewer.roles'
    veto: 1
    expires: 1h
    single_use: true
`

// alonePolicies are policies that analysts decide under, or administrators when
// no analyst can.
const alonePolicies = governance + `
  - id: brief
    match: 'action.kind.startsWith("desk.brief")'
    all_of: [{n: 1, label: an analyst, who: '"analyst" in reviewer.roles'}]
    fallback: '"admin" in reviewer.roles'
    veto: 1
    expires: 12s
    single_use: true
    channel: mail
  - id: long
    match: 'true'
    all_of: [{n: 1, label: an analyst, who: '"analyst" in reviewer.roles'}]
    fallback: '"admin" in reviewer.roles'
    veto: 1
    expires: 1h
    single_use: true
    channel: mail
`

// rosterDelay is the longest that a change of the roster may take to reach the
// requests that wait.
const rosterDelay = 5 * time.Second

func TestNobodyIsEligible(t *testing.T) {
	t.Parallel()
	l := newLife(t, alonePolicies, member("alice", "analyst")+member("victor", "viewer")+member("dave", "admin")+member("carol", "compliance"))
	mail := l.startMail(t)
	l.startWorkers(t, 2)
	l.startAPIs(t, 1)

	e := l.wants(t, "alice", "desk.brief")
	long := l.wants(t, "alice", "desk.long")
	e.untilNotice(t, "nobody-eligible", "sent")
	if got := mail.about(t, e.id); len(got) != 1 || strings.Join(got[0].To, " ") != "dave@desk.example" {
		t.Errorf("the mails are %v; want one, to the administrator", got)
	}
	if n := e.entries(t, "approval.nobody_eligible"); n != 1 {
		t.Errorf("%d entries approval.nobody_eligible, want 1", n)
	}
	if n := count(t, l.stack, "SELECT count(*) FROM finobs.notification WHERE approval_id = $1::bigint AND status = 'dead'", e.id); n != 0 {
		t.Errorf("%d dead letters to nobody", n)
	}
	if e.status(t) != "pending" {
		t.Errorf("the request is %s", e.status(t))
	}
	e.untilStatus(t, "expired")
	e.untilNotice(t, "outcome", "sent")
	if n := count(t, l.stack, "SELECT count(*) FROM finobs.approval_decision WHERE approval_id = $1::bigint", e.id); n != 0 {
		t.Errorf("%d decisions, and nobody made one", n)
	}

	t.Run("the fallback list decides", func(t *testing.T) {
		third := l.wants(t, "alice", "desk.other")
		third.untilNotice(t, "nobody-eligible", "sent")
		want(t, third.decide(t, "dave", "approve"), http.StatusOK)
		third.untilStatus(t, "approved")
	})
	t.Run("an approver who is added is told within seconds", func(t *testing.T) {
		body := `{"sub":"bob","roles":["analyst"],"desk":"EQ","email":"bob@desk.example"}`
		change := exportCase{s: l.stack, id: want(t, l.call(t, "dave", "POST", "/users", body), http.StatusAccepted).str("approval_request_id")}
		change.untilStatus(t, "pending")
		if s := long.notice(t, "requested", "status"); s != "" {
			t.Errorf("that it waits for somebody was told before anybody could decide: %s", s)
		}
		want(t, change.decide(t, "carol", "approve"), http.StatusOK)
		change.untilStatus(t, "consumed")
		began := time.Now()
		long.untilNotice(t, "requested", "sent")
		t.Logf("a new approver was told after %s", time.Since(began).Round(100*time.Millisecond))
		if took := time.Since(began); took > rosterDelay+time.Second {
			t.Errorf("the request heard of the change after %s, want %s", took, rosterDelay)
		}
		if to := long.notice(t, "requested", "recipients"); !strings.Contains(to, "bob") || strings.Contains(to, "dave") {
			t.Errorf("it is told to %s, not to the new approver alone", to)
		}
		if n := long.entries(t, "approval.nobody_eligible"); n != 1 {
			t.Errorf("%d entries approval.nobody_eligible, want 1", n)
		}
		want(t, long.decide(t, "bob", "approve"), http.StatusOK)
		long.untilStatus(t, "approved")
	})
}

// The last approver leaves while requests wait: they are looked at again, also
// when the roster is changed by hand.
func TestLastApproverLeaves(t *testing.T) {
	t.Parallel()
	l := newLife(t, alonePolicies, member("alice", "analyst")+member("bob", "analyst")+member("dave", "admin"))
	l.startMail(t)
	l.startWorkers(t, 1)
	l.startAPIs(t, 1)
	e := l.wants(t, "alice", "desk.long")
	e.untilNotice(t, "requested", "sent")
	if n := e.entries(t, "approval.nobody_eligible"); n != 0 {
		t.Errorf("%d entries approval.nobody_eligible while bob is there", n)
	}
	var sub string
	scan(t, l.stack, &sub, "UPDATE finobs.person SET active = false, version = version + 1, updated_at = clock_timestamp() WHERE sub = 'bob' RETURNING sub")
	began := time.Now()
	eventually(t, "nobody is eligible", func() bool { return e.entries(t, "approval.nobody_eligible") == 1 })
	if took := time.Since(began); took > rosterDelay+time.Second {
		t.Errorf("the request heard of the change after %s, want %s", took, rosterDelay)
	}
	e.untilNotice(t, "nobody-eligible", "sent")
	if got := e.decide(t, "bob", "approve"); got.Status != http.StatusForbidden {
		t.Errorf("who left decides: %d %s", got.Status, got.Body)
	}
	want(t, e.decide(t, "dave", "approve"), http.StatusOK)
	e.untilStatus(t, "approved")
}
