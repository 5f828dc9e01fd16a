package e2e_test

import (
	"net/http"
	"strings"
	"testing"
)

// told has one policy for each way of telling people.
const told = `
  - {id: mail, match: 'action.kind.startsWith("mail.")', all_of: [{n: 1, who: '"analyst" in reviewer.roles'}], fallback: 'false', veto: 1, expires: 1h, single_use: true, channel: mail}
  - {id: hook, match: 'action.kind.startsWith("hook.")', all_of: [{n: 1, who: '"analyst" in reviewer.roles'}], fallback: 'false', veto: 1, expires: 1h, single_use: true, channel: hook}
  - {id: none, match: 'true', all_of: [{n: 1, who: '"analyst" in reviewer.roles'}], fallback: 'false', veto: 1, expires: 1h, single_use: true, channel: pigeon}
`

func TestFaultsOfChannels(t *testing.T) {
	t.Parallel()
	whole := t
	l := newLife(t, told, desk)
	workers := l.startWorkers(t, 2)
	l.startAPIs(t, 1)
	var mail *mailbox
	t.Run("a mail server that is down gets one mail when it is back", func(t *testing.T) {
		e := l.wants(t, "alice", "mail.later")
		eventually(t, "it was tried twice", func() bool { return e.notice(t, "requested", "attempts") >= "2" })
		if s := e.notice(t, "requested", "status"); s != "queued" && s != "sending" {
			t.Errorf("without a mail server the notice is %s", s)
		}
		mail = l.startMail(whole)
		e.untilNotice(t, "requested", "sent")
		if got := mail.about(t, e.id); len(got) != 1 {
			t.Errorf("%d mails: %v", len(got), got)
		}
		if n := e.entries(t, "notification.sent"); n != 1 {
			t.Errorf("%d entries notification.sent, want 1", n)
		}
	})
	t.Run("a webhook that fails twice is called until it takes the notice", func(t *testing.T) {
		l.hook.answer(500, 500)
		e := l.wants(t, "alice", "hook.shaky")
		e.untilNotice(t, "requested", "sent")
		got := l.hook.got(e.id)
		if len(got) != 3 || e.notice(t, "requested", "attempts") != "3" {
			t.Fatalf("%d calls, %s attempts, want 3", len(got), e.notice(t, "requested", "attempts"))
		}
		for _, call := range got {
			if call.valid != nil || call.key != e.notice(t, "requested", "notification_id") || call.body != got[0].body {
				t.Errorf("the call with key %s differs from the notice or the first call, or does not verify: %v", call.key, call.valid)
			}
		}
		if n := e.entries(t, "notification.sent"); n != 1 {
			t.Errorf("%d entries notification.sent, want 1", n)
		}
	})
	t.Run("a webhook that refuses makes a dead letter, which a person sends again", l.deadLetter)
	t.Run("a channel that nobody has queues nothing and fails nothing", func(t *testing.T) {
		e := l.wants(t, "alice", "other.thing")
		want(t, e.decide(t, "bob", "approve"), http.StatusOK)
		e.untilStatus(t, "approved")
		if n := count(t, l.stack, "SELECT count(*) FROM finobs.notification WHERE approval_id = $1::bigint", e.id); n != 0 {
			t.Errorf("%d notices for a channel that nobody has", n)
		}
	})
	t.Run("notices that wait for a repeat, or whose sender is gone, hold up nobody", l.notHeldUp)
	if err := workers[1].process.Kill(); err != nil {
		t.Fatal(err)
	}
	for place, mails := range map[string]int{"notice.after-begin": 0, "notice.after-send": 1} {
		t.Run("worker dies at "+place, func(t *testing.T) { l.workerDiesSending(t, workers[0], mail, place, mails) })
	}
}

func (l *life) deadLetter(t *testing.T) {
	l.hook.answer(400)
	e := l.wants(t, "alice", "hook.refused")
	e.untilNotice(t, "requested", "dead")
	id := e.notice(t, "requested", "notification_id")
	dead := want(t, l.call(t, "dave", "GET", "/notifications?status=dead&approval_request_id="+e.id, ""), http.StatusOK)
	if !strings.Contains(string(dead.Body), `"notification_id":"`+id+`"`) || !strings.Contains(string(dead.Body), "400") {
		t.Errorf("the dead letter is not listed with its reason: %s", dead.Body)
	}
	want(t, l.call(t, "alice", "POST", "/notifications/"+id+"/resend", `{}`), http.StatusForbidden)
	want(t, l.call(t, "dave", "POST", "/notifications/"+id+"/resend", `{"reason":"mended"}`), http.StatusOK)
	e.untilNotice(t, "requested", "sent")
	got := l.hook.got(e.id)
	if len(got) != 2 || got[0].key == got[1].key || got[1].valid != nil || got[1].status != http.StatusOK {
		t.Errorf("the calls are %+v; want a second one under a key of its own", got)
	}
	for kind, wanted := range map[string]int{"notification.dead": 1, "notification.resent": 1, "notification.sent": 1} {
		if n := e.entries(t, kind); n != wanted {
			t.Errorf("%d entries %s, want %d", n, kind, wanted)
		}
	}
	want(t, l.call(t, "dave", "POST", "/notifications/"+id+"/resend", `{}`), http.StatusConflict)
}

func (l *life) notHeldUp(t *testing.T) {
	e := l.wants(t, "alice", "hook.gone")
	e.untilNotice(t, "requested", "sent")
	scanExec(t, l, `INSERT INTO finobs.notification (notification_id, approval_id, occasion, kind, channel, recipients, subject, body,
			while_pending, attempts, trace_id, created_at, updated_at)
		SELECT gen_random_uuid(), approval_id, 'copy-' || n, kind, channel, recipients, subject, body, while_pending, 1, trace_id,
			created_at - interval '1 hour', clock_timestamp()
		FROM finobs.notification, generate_series(1, 300) n WHERE occasion = 'requested' AND approval_id = `+e.id)
	scanExec(t, l, `UPDATE finobs.notification SET status = 'sending', updated_at = clock_timestamp() - interval '2 hours'
		WHERE occasion = 'requested' AND approval_id = `+e.id)
	e.untilNotice(t, "requested", "sent")
	if got := l.hook.got(e.id); len(got) != 2 || got[0].key != got[1].key {
		t.Errorf("a notice whose sender was gone was posted %d times, want twice under one key", len(got))
	}
	l.wants(t, "alice", "hook.after").untilNotice(t, "requested", "sent")
}

// workerDiesSending kills a worker around the moment of sending, by mail and by
// webhook.
func (l *life) workerDiesSending(t *testing.T, w *replica, mail *mailbox, place string, sent int) {
	dies := func(kind string) exportCase {
		w.restart(t, "FINOBS_FAILPOINT="+place)
		dying := w.process
		e := l.wants(t, "alice", kind)
		died(t, dying)
		w.start(t)
		return e
	}
	e := dies("mail.death")
	e.untilNotice(t, "requested", "unknown")
	if got := mail.about(t, e.id); len(got) != sent {
		t.Errorf("%d mails, want %d", len(got), sent)
	}
	if n := e.entries(t, "notification.unknown"); n != 1 {
		t.Errorf("%d entries notification.unknown, want 1", n)
	}
	want(t, l.call(t, "dave", "POST", "/notifications/"+e.notice(t, "requested", "notification_id")+"/resend", `{"reason":"nobody saw it"}`), http.StatusOK)
	e.untilNotice(t, "requested", "sent")
	if got := mail.about(t, e.id); len(got) != sent+1 {
		t.Errorf("%d mails after a person sent it again, want %d", len(got), sent+1)
	}

	e = dies("hook.death")
	e.untilNotice(t, "requested", "sent")
	got := l.hook.got(e.id)
	if len(got) != sent+1 {
		t.Errorf("%d calls, want %d", len(got), sent+1)
	}
	for _, call := range got {
		if call.key != e.notice(t, "requested", "notification_id") || call.valid != nil {
			t.Errorf("a call has key %s; it verifies: %v", call.key, call.valid)
		}
	}
}
