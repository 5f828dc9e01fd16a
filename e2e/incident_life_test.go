package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
)

// quickDesk is a desk file whose whole ladder takes seconds.
const quickDesk = `version: 1
channel: mail
repeat: 3s
close_after: 4s
severities:
  critical:
    ladder: [{after: 0s, kind: escalation, label: admin, to: '"admin" in member.roles', channel: hook}]
  high:
    acknowledge: 30s
    resolve: 1h
    ladder:
      - {after: 1s, kind: reminder, label: analysts, to: '"analyst" in member.roles'}
      - {after: 3s, kind: escalation, label: compliance, to: '"compliance" in member.roles'}
      - {after: 5s, kind: escalation, label: admin, to: '"admin" in member.roles', channel: hook}
    overdue: [{after: 0s, label: compliance, to: '"compliance" in member.roles'}]
  medium:
    acknowledge: 1h
    ladder: [{after: 2s, kind: reminder, label: analysts, to: '"analyst" in member.roles'}]
`

// withDesk has the workers of a stack read a desk file.
func (l *life) withDesk(t *testing.T, text string) {
	t.Helper()
	path := l.Path("desk.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l.Settings()["FINOBS_DESK_FILE"] = path
}

// incidentCase is an incident that one test opens.
type incidentCase struct {
	s  *stack
	id string
}

// opens has somebody open an incident.
func (s *stack) opens(t *testing.T, who, severity, more string) incidentCase {
	t.Helper()
	body := fmt.Sprintf(`{"kind":"system_outage","severity":%q,"title":"Gateway %d is down"%s}`, severity, unique.Add(1), more)
	var opened struct {
		Incident struct {
			ID json.Number `json:"incident_id"`
		}
	}
	var r reply
	key := fmt.Sprintf("opens-%d", unique.Add(1))
	eventually(t, "a worker has opened it", func() bool {
		r = s.call(t, who, "POST", "/incidents", body, "Idempotency-Key", key)
		return r.Status == http.StatusCreated
	})
	if err := json.Unmarshal(r.Body, &opened); err != nil {
		t.Fatal(err)
	}
	return incidentCase{s, opened.Incident.ID.String()}
}

func (i incidentCase) path(what string) string { return "/incidents/" + i.id + what }

func (i incidentCase) does(t testing.TB, who, what, body string) reply {
	t.Helper()
	return i.s.call(t, who, "POST", i.path("/"+what), body)
}

func (i incidentCase) member(t testing.TB, name string) string {
	t.Helper()
	return i.s.call(t, "alice", "GET", i.path(""), "").str(name)
}

func (i incidentCase) untilStatus(t *testing.T, wanted string) {
	t.Helper()
	eventually(t, "incident "+i.id+" is "+wanted, func() bool { return i.member(t, "status") == wanted })
}

// rungs lists the names of the rungs that fired, in their order.
func (i incidentCase) rungs(t testing.TB) string {
	t.Helper()
	var names string
	scan(t, i.s, &names, "SELECT coalesce(string_agg(name, ' ' ORDER BY fired_at, name), '') FROM finobs.incident_rung WHERE incident_id = $1::bigint", i.id)
	return names
}

// untilRung waits for a rung whose name begins so.
func (i incidentCase) untilRung(t *testing.T, name string) {
	t.Helper()
	eventually(t, "rung "+name+" of incident "+i.id+" has fired", func() bool { return strings.Contains(" "+i.rungs(t), " "+name) })
}

func (i incidentCase) entries(t testing.TB, kind string) int {
	t.Helper()
	return count(t, i.s, "SELECT count(*) FROM ledger.entry WHERE subject_kind = 'incident' AND subject_id = $1 AND type = $2", i.id, kind)
}

// Workers die between rungs: each rung is told once, the top one again and again,
// and an acknowledgement ends it at once. Who has acknowledged in time and does not
// resolve in time is told of all the same.
func TestAnIncidentClimbsUntilAPersonAcknowledges(t *testing.T) {
	t.Parallel()
	l := newLife(t, told, desk)
	l.withDesk(t, quickDesk)
	mail := l.startMail(t)
	workers := l.startWorkers(t, 2)
	l.startAPIs(t, 1)
	i := l.opens(t, "alice", "high", "")
	for n, rung := range []string{"1-reminder-1", "1-escalation-2", "1-escalation-3", "1-repeat-"} {
		i.untilRung(t, rung)
		workers[n%2].restart(t)
	}
	// What is queued when somebody acknowledges is cancelled, and each worker died.
	eventually(t, "the webhook is called", func() bool { return len(l.hook.about("incident_id", i.id)) > 0 })
	done := want(t, i.does(t, "bob", "acknowledge", `{"note":"I look at it"}`), http.StatusOK)
	if done.str("status") != "acknowledged" {
		eventually(t, "it is acknowledged", func() bool { return i.member(t, "status") == "acknowledged" })
	}
	before := i.rungs(t)
	scanExec(t, l, "UPDATE finobs.incident SET resolve_due_at = clock_timestamp() + interval '4 seconds', nudge_at = clock_timestamp() WHERE incident_id = "+i.id)
	i.untilRung(t, "1-overdue-1")
	if after := i.rungs(t); after != before+" 1-overdue-1" {
		t.Errorf("rungs before the acknowledgement: %s; after it: %s", before, after)
	}
	if got := i.member(t, "escalation_level"); got != "2" {
		t.Errorf("the level is %s", got)
	}
	for kind, wanted := range map[string]int{"incident.reminded": 1, "incident.overdue": 1, "incident.acknowledged": 1} {
		if n := i.entries(t, kind); n != wanted {
			t.Errorf("%d entries %s, want %d", n, kind, wanted)
		}
	}
	i.toldOnce(t, mail, l.hook)
	want(t, i.does(t, "bob", "resolve", `{"resolution":"the gateway was restarted"}`), http.StatusOK)
	i.untilStatus(t, "closed")
	eventually(t, "its life has ended", func() bool { return !l.runs(t, "incident-life-"+i.id) })
	var how enumspb.WorkflowExecutionStatus
	described, err := l.temporal.DescribeWorkflowExecution(context.Background(), "incident-life-"+i.id, "")
	if err == nil {
		how = described.GetWorkflowExecutionInfo().GetStatus()
	}
	if how != enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED {
		t.Errorf("its life is %s, %v", how, err)
	}
}

// A worker that dies when a rung has fired and nobody is told yet, or at the moment
// of telling, leaves a rung that is told once by the next.
func TestAWorkerDiesBetweenARungAndItsNotice(t *testing.T) {
	t.Parallel()
	l := newLife(t, told, desk)
	l.withDesk(t, strings.ReplaceAll(quickDesk, "repeat: 3s", "repeat: 0s"))
	mail := l.startMail(t)
	workers := l.startWorkers(t, 1)
	l.startAPIs(t, 1)
	for _, failpoint := range []string{"life.after-advance", "notice.after-begin"} {
		workers[0].restart(t)
		i := l.opens(t, "alice", "medium", "") // its rung comes after two seconds
		eventually(t, "it lives", func() bool {
			return count(t, l.stack, "SELECT count(*) FROM finobs.incident WHERE incident_id = $1::bigint AND life_run_id <> ''", i.id) == 1
		})
		workers[0].restart(t, "FINOBS_FAILPOINT="+failpoint)
		i.untilRung(t, "1-reminder-1")
		select {
		case <-workers[0].process.Done():
		case <-time.After(time.Minute):
			t.Fatalf("the worker does not die at %s", failpoint)
		}
		workers[0].start(t)
		var status string
		eventually(t, "the notice is dealt with", func() bool {
			scan(t, l.stack, &status, "SELECT status FROM finobs.notification WHERE incident_id = $1::bigint", i.id)
			return status == "sent" || status == "unknown"
		})
		if failpoint == "life.after-advance" && status != "sent" {
			t.Errorf("%s: the notice is %s", failpoint, status)
		}
		all, err := mail.Messages(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, m := range all {
			if strings.Contains(m.Subject, "incident "+i.id+" ") {
				n++
			}
		}
		if status == "sent" && n != 1 || n > 1 {
			t.Errorf("%s: %d mails, and the notice is %s", failpoint, n, status)
		}
		if got := i.rungs(t); got != "1-reminder-1" || i.entries(t, "incident.reminded") != 1 {
			t.Errorf("%s: rungs %s", failpoint, got)
		}
		want(t, i.does(t, "bob", "acknowledge", ""), http.StatusOK)
	}
}

// toldOnce proves that no notification about an incident was sent twice.
func (i incidentCase) toldOnce(t *testing.T, mail *mailbox, hook *receiver) {
	t.Helper()
	open := func() int {
		return count(t, i.s, "SELECT count(*) FROM finobs.notification WHERE incident_id = $1::bigint AND status IN ('queued', 'sending')", i.id)
	}
	eventually(t, "nothing is left to send", func() bool { return open() == 0 })
	all, err := mail.Messages(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, m := range all {
		seen[strings.Split(m.MessageID, "@")[0]]++
	}
	sent := count(t, i.s, "SELECT count(*) FROM finobs.notification WHERE incident_id = $1::bigint AND status = 'sent' AND channel = 'mail'", i.id)
	unsure := count(t, i.s, "SELECT count(*) FROM finobs.notification WHERE incident_id = $1::bigint AND status = 'unknown' AND channel = 'mail'", i.id)
	if len(seen) < sent || len(seen) > sent+unsure {
		t.Errorf("%d mails; %d are recorded as sent and %d may be", len(seen), sent, unsure)
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("notification %s came %d times", id, n)
		}
	}
	if got := hook.about("incident_id", i.id); len(got) == 0 {
		t.Errorf("the webhook was called %d times", len(got))
	}
}

// What an operator does to a life ends no alarm: another one takes over within half
// a minute, once though two workers look.
func TestALifeThatAnOperatorEndsIsTakenOver(t *testing.T) {
	t.Parallel()
	l := newLife(t, told, desk)
	l.withDesk(t, strings.ReplaceAll(quickDesk, "after: 2s", "after: 25s"))
	l.startWorkers(t, 2)
	l.startAPIs(t, 1)
	ended := map[string]incidentCase{}
	for name := range operations {
		if name != "reset" { // a reset life goes on by itself
			ended[name] = l.opens(t, "alice", "medium", "")
		}
	}
	reset := l.opens(t, "alice", "medium", "")
	for _, i := range append([]incidentCase{reset}, ended["terminate"], ended["cancel"], ended["delete"]) {
		eventually(t, "it lives", func() bool {
			return l.runs(t, "incident-life-"+i.id) && count(t, l.stack, "SELECT count(*) FROM finobs.incident WHERE incident_id = $1::bigint AND life_run_id <> ''", i.id) == 1
		})
	}
	began := time.Now()
	for name, i := range ended {
		l.operate(t, append(append([]string{}, operations[name]...), "incident-life-"+i.id)...)
	}
	l.operate(t, append(append([]string{}, operations["reset"]...), "incident-life-"+reset.id)...)
	for name, i := range ended {
		repaired(t, name, began, func() bool { return i.entries(t, "incident.life_restarted") == 1 })
	}
	for name, i := range ended {
		eventually(t, "it lives again", func() bool { return l.runs(t, "incident-life-"+i.id) })
		i.untilRung(t, "1-reminder-1")
		if n := i.entries(t, "incident.life_restarted"); n != 1 {
			t.Errorf("%s: %d entries, want 1", name, n)
		}
	}
	reset.untilRung(t, "1-reminder-1")
	if n := reset.entries(t, "incident.life_restarted"); n != 0 {
		t.Errorf("a life that was reset was restarted %d times", n)
	}
}

// Within a window of maintenance nobody is paged. After it, whoever is still open
// pages; who was resolved in it never does.
func TestWindowsOfMaintenance(t *testing.T) {
	t.Parallel()
	l := newLife(t, told, desk)
	l.withDesk(t, quickDesk)
	l.startMail(t)
	l.startWorkers(t, 2)
	l.startAPIs(t, 1)
	ends := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	made := want(t, l.call(t, "bob", "POST", "/maintenance-windows", `{"title":"upgrade","system":"fix-1","ends_at":"`+ends+`"}`), http.StatusCreated)
	var window struct {
		Window struct {
			ID json.Number `json:"window_id"`
		}
	}
	if err := json.Unmarshal(made.Body, &window); err != nil {
		t.Fatal(err)
	}
	still, resolved := l.opens(t, "alice", "medium", `,"system":"fix-1"`), l.opens(t, "alice", "medium", `,"system":"fix-1"`)
	other := l.opens(t, "alice", "medium", `,"system":"fix-2"`)
	other.untilRung(t, "1-reminder-1")
	for _, i := range []incidentCase{still, resolved} {
		eventually(t, "it is suppressed", func() bool { return i.entries(t, "incident.suppressed") == 1 })
		if got := i.rungs(t); got != "" {
			t.Errorf("in the window %s fired", got)
		}
	}
	want(t, resolved.does(t, "bob", "resolve", `{"resolution":"part of the upgrade"}`), http.StatusOK)
	want(t, l.call(t, "tim", "POST", "/maintenance-windows/"+window.Window.ID.String()+"/end", ""), http.StatusOK)
	want(t, l.call(t, "tim", "POST", "/maintenance-windows/"+window.Window.ID.String()+"/end", ""), http.StatusConflict)
	still.untilRung(t, "2-reminder-1")
	resolved.untilStatus(t, "closed")
	if got := resolved.rungs(t); got != "" {
		t.Errorf("resolved in the window: %s fired", got)
	}
	list := want(t, l.call(t, "victor", "GET", "/maintenance-windows?only=current", ""), http.StatusOK)
	if !strings.Contains(string(list.Body), `"items":[]`) {
		t.Errorf("current windows: %s", list.Body)
	}
}

// about lists the calls with a member of the data.
func (r *receiver) about(key, value string) (out []posted) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.calls {
		if strings.Contains(p.body, fmt.Sprintf("%q:%q", key, value)) {
			out = append(out, p)
		}
	}
	return out
}
