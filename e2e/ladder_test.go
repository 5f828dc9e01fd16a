package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// quick is a policy whose whole ladder takes seconds: only analysts decide.
const quick = `
  - id: quick
    match: 'action.kind.startsWith("desk.")'
    all_of: [{n: 1, label: an analyst, who: '"analyst" in reviewer.roles'}]
    fallback: '"admin" in reviewer.roles'
    veto: 1
    expires: %s
    single_use: true
    channel: mail
    reminders: [{after: 3s, label: analysts, to: '"analyst" in reviewer.roles', channel: mail}]
    escalation:
      - {after: 6s, label: compliance, to: '"compliance" in reviewer.roles', channel: mail}
      - {after: 9s, label: admin, to: '"admin" in reviewer.roles', channel: hook}
`

var desk = member("alice", "analyst") + member("bob", "analyst") + member("carol", "compliance") + member("dave", "admin")

// ladder is what happens to a request on which nobody decides, in order.
var ladder = []struct{ occasion, kind, to string }{
	{"requested", "", "bob@desk.example"},
	{"reminder-1", "approval.reminded", "alice@desk.example bob@desk.example"},
	{"escalation-1", "approval.escalated", "carol@desk.example"},
	{"escalation-2", "approval.escalated", ""}, // by webhook
}

// The whole life of requests while every process dies once or more: each rung and
// each outcome is told exactly once.
func TestLadderFiresOnceWhileEveryProcessDies(t *testing.T) {
	t.Parallel()
	l := newLife(t, fmt.Sprintf(quick, "50s"), desk)
	mail := l.startMail(t)
	workers := l.startWorkers(t, 2)
	apis := l.startAPIs(t, 3)

	early := l.wants(t, "alice", "desk.early")
	want(t, early.decide(t, "bob", "approve"), http.StatusOK)
	waiting := l.wants(t, "alice", "desk.waiting")
	alone := l.wants(t, "alice", "desk.alone")
	for i, rung := range ladder {
		eventually(t, "it is told: "+rung.occasion, func() bool { return waiting.notice(t, rung.occasion, "status") != "" })
		workers[i%2].restart(t)
		apis[i%3].restart(t)
	}
	apis[2].use(t)
	for _, rung := range ladder {
		waiting.toldOnce(t, mail, rung.occasion)
	}
	want(t, l.call(t, "carol", "POST", "/approval/"+waiting.id+"/decision", `{"decision":"approve"}`), http.StatusForbidden)
	ends := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	given := l.call(t, "bob", "POST", "/approval/"+waiting.id+"/delegate", `{"to":{"sub":"carol"},"ends_at":"`+ends+`","reason":"on the train"}`)
	if given.Status/100 != 2 { // 202 while the worker that had the workflow is missed
		t.Fatalf("answered %d: %s", given.Status, given.Body)
	}
	apis[1].use(t)
	eventually(t, "the delegate's decision is taken", func() bool { return waiting.decide(t, "carol", "approve").Status/100 == 2 })
	waiting.untilStatus(t, "approved")
	if n := count(t, l.stack, `SELECT count(*) FROM finobs.approval_decision WHERE approval_id = $1::bigint
		AND outcome = 'counted' AND approver_sub = 'carol' AND on_behalf_of ->> 'sub' = 'bob'`, waiting.id); n != 1 {
		t.Errorf("%d decisions of carol's for bob, want 1", n)
	}
	waiting.toldOnce(t, mail, "outcome")
	alone.untilStatus(t, "expired")
	alone.toldOnce(t, mail, "outcome")

	for _, e := range []exportCase{waiting, alone} {
		e.ladderOnRecord(t, mail, l.hook)
		if got := e.entries(t, "approval.delegated"); (got == 1) != (e == waiting) {
			t.Errorf("approval %s: %d entries approval.delegated", e.id, got)
		}
	}
	if n := early.entries(t, "approval.reminded") + early.entries(t, "approval.escalated"); n != 0 {
		t.Errorf("%d rungs fired on a request that was decided at once", n)
	}
	early.toldOnce(t, mail, "outcome")
	if got := len(mail.about(t, early.id)); got > 2 { // requested, unless bob was quicker, and outcome
		t.Errorf("%d mails about a request that was decided at once", got)
	}
}

// toldOnce waits until a notice was sent and proves that it was sent once. A
// process that died at the moment of sending leaves a notice that may have
// arrived, and is not sent again.
func (e exportCase) toldOnce(t *testing.T, mail *mailbox, occasion string) {
	t.Helper()
	var status string
	eventually(t, "the notice "+occasion+" of approval "+e.id+" is sent", func() bool {
		status = e.notice(t, occasion, "status")
		return status == "sent" || status == "unknown" || status == "skipped"
	})
	if e.notice(t, occasion, "channel") != "mail" {
		return
	}
	got := mail.counts(t, e.id, e.notice(t, occasion, "notification_id"))
	if status == "sent" && got != 1 || got > 1 || status == "skipped" && got != 0 {
		t.Errorf("approval %s: %s is %s, and there are %d mails", e.id, occasion, status, got)
	}
}

// ladderOnRecord proves that every rung of the ladder has fired once, by entries,
// mails and calls of the webhook.
func (e exportCase) ladderOnRecord(t *testing.T, mail *mailbox, hook *receiver) {
	t.Helper()
	for kind, wanted := range map[string]int{"approval.reminded": 1, "approval.escalated": 2, "approval.nobody_eligible": 0} {
		if n := e.entries(t, kind); n != wanted {
			t.Errorf("approval %s: %d entries %s, want %d", e.id, n, kind, wanted)
		}
	}
	sent := count(t, e.s, `SELECT count(*) FROM finobs.notification WHERE approval_id = $1::bigint AND status = 'sent'`, e.id)
	if n := e.entries(t, "notification.sent"); n != sent || sent < 4 {
		t.Errorf("approval %s: %d entries notification.sent, %d notices sent", e.id, n, sent)
	}
	byMail := count(t, e.s, `SELECT count(*) FROM finobs.notification WHERE approval_id = $1::bigint AND status = 'sent' AND channel = 'mail'`, e.id)
	mails := mail.about(t, e.id)
	unsure := count(t, e.s, `SELECT count(*) FROM finobs.notification WHERE approval_id = $1::bigint AND status = 'unknown'`, e.id)
	if len(mails) < byMail || len(mails) > byMail+unsure {
		t.Errorf("approval %s: %d mails, but %d are recorded as sent and %d may be: %v", e.id, len(mails), byMail, unsure, mails)
	}
	ids := map[string]bool{}
	for _, m := range mails {
		if ids[m.MessageID] {
			t.Errorf("approval %s: mail %s came twice", e.id, m.MessageID)
		}
		ids[m.MessageID] = true
		for _, rung := range ladder {
			if strings.HasPrefix(m.MessageID, e.notice(t, rung.occasion, "notification_id")+"@") && strings.Join(m.To, " ") != rung.to {
				t.Errorf("approval %s: %s went to %v, not to %s", e.id, rung.occasion, m.To, rung.to)
			}
		}
		if strings.HasPrefix(m.MessageID, e.notice(t, "outcome", "notification_id")+"@") && strings.Join(m.To, " ") != "alice@desk.example" {
			t.Errorf("approval %s: the outcome went to %v", e.id, m.To)
		}
	}
	keys := map[string]bool{}
	for _, call := range hook.got(e.id) {
		keys[call.key] = true
		if call.valid != nil {
			t.Errorf("approval %s: a call of the webhook does not verify: %v", e.id, call.valid)
		}
	}
	if len(keys) != 1 || !keys[e.notice(t, "escalation-2", "notification_id")] {
		t.Errorf("approval %s: the webhook got the keys %v", e.id, keys)
	}
}
