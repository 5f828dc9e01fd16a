package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"finobs/internal/devstack"

	enumspb "go.temporal.io/api/enums/v1"
)

// repairTime is the longest that a row and a workflow may disagree.
const repairTime = 30 * time.Second

// operate runs the temporal command as an operator does.
func (l *life) operate(t *testing.T, args ...string) {
	t.Helper()
	path, err := devstack.EnsureTemporal(context.Background(), "../.finobs/bin", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(path, append([]string{"workflow"}, append(args, "--address", l.Settings()["TEMPORAL_ADDRESS"])...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("temporal workflow %v: %v\n%s", args, err, out)
	}
}

// operations are what an operator can do to a workflow, whose id follows.
var operations = map[string][]string{
	"terminate": {"terminate", "--reason", "by mistake", "--workflow-id"},
	"cancel":    {"cancel", "--workflow-id"},
	"delete":    {"delete", "--workflow-id"},
	"reset":     {"reset", "--type", "FirstWorkflowTask", "--reason", "by mistake", "--workflow-id"},
}

// operateOn asks for one export for each operation, brings it to a state, and does
// the operation.
func (l *life) operateOn(t *testing.T, reach func(exportCase)) map[string]exportCase {
	t.Helper()
	out := map[string]exportCase{}
	for name := range operations {
		out[name] = l.ask(t)
		reach(out[name])
	}
	for name, e := range out {
		l.operate(t, append(append([]string{}, operations[name]...), e.workflowID(t))...)
	}
	return out
}

// repaired waits until something holds, measures how long that takes, and fails
// the test when it is too long.
func repaired(t *testing.T, what string, began time.Time, holds func() bool) {
	t.Helper()
	eventually(t, what, holds)
	took := time.Since(began)
	t.Logf("%s: after %s", what, took.Round(100*time.Millisecond))
	if took > repairTime {
		t.Errorf("%s: after %s, want %s", what, took, repairTime)
	}
}

// byReconciler counts the entries of a type that the reconciler wrote.
func (e exportCase) byReconciler(t *testing.T, kind string) int {
	t.Helper()
	return count(t, e.s, `SELECT count(*) FROM ledger.entry WHERE type = $2 AND actor_sub = 'reconciler'
		AND (subject_kind = 'approval' AND subject_id = $1 OR convert_from(leaf, 'UTF8')::jsonb #>> '{details,approval_id}' = $1)`, e.id, kind)
}

// learnDestinations has a worker that carries out effects tell where exports can
// go, and ends it.
func (l *life) learnDestinations(t *testing.T) {
	t.Helper()
	effects := &replica{l: l, name: "effects"}
	effects.start(t)
	effects.untilWorking(t, 1)
	if err := effects.process.Kill(); err != nil {
		t.Fatal(err)
	}
}

// Operators terminate, cancel, reset and delete workflows in every state: rows
// follow within half a minute, once though two workers look, and nothing is
// released that was not approved.
func TestRowsFollowWhatOperatorsDoToWorkflows(t *testing.T) {
	t.Parallel()
	l := newLife(t, told, desk)
	l.learnDestinations(t)
	workers := l.startWorkers(t, 2, "--record-only")
	apis := l.startAPIs(t, 1)
	approve := func(status string) func(exportCase) {
		return func(e exportCase) {
			want(t, e.decide(t, "bob", "approve"), http.StatusOK)
			e.untilStatus(t, status)
		}
	}
	began := time.Now()
	pending := l.operateOn(t, func(exportCase) {})
	for _, name := range []string{"terminate", "delete"} {
		e := pending[name]
		repaired(t, "pending, "+name, began, func() bool { return e.status(t) == "cancelled" })
	}
	began = time.Now()
	approved := l.operateOn(t, approve("approved"))
	for _, name := range []string{"terminate", "delete"} {
		e := approved[name]
		repaired(t, "approved, "+name, began, func() bool { return e.status(t) == "cancelled" })
	}
	pending["cancel"].untilStatus(t, "cancelled")
	if n := count(t, l.stack, "SELECT count(*) FROM finobs.export"); n != 0 {
		t.Fatalf("%d exports exist, and no worker could make one", n)
	}

	// A worker whose folder is gone begins exports, and completes none.
	for _, w := range workers {
		w.args = nil
	}
	workers[0].restart(t)
	intendedOnly := func() int { return count(t, l.stack, "SELECT count(*) FROM finobs.export WHERE status = 'intended'") }
	workers[0].untilWorking(t, 2)
	if err := os.RemoveAll(l.Path("artefacts")); err != nil {
		t.Fatal(err)
	}
	if n := count(t, l.stack, "SELECT count(*) FROM finobs.export WHERE status = 'sealed'"); n != 0 {
		t.Skipf("%d exports were complete before the folder was gone", n)
	}
	began = time.Now()
	intended := l.operateOn(t, approve("consumed"))
	for _, name := range []string{"terminate", "delete"} {
		e := intended[name]
		repaired(t, "begun, "+name, began, func() bool { return e.byReconciler(t, "effect.failed") == 1 })
	}
	t.Logf("%d exports are begun", intendedOnly())
	if err := os.MkdirAll(l.Path("artefacts"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, r := range append(apis, workers...) { // they hold the folder that was there
		r.restart(t)
	}
	apis[0].use(t)
	eventually(t, "the request of the reset workflow is decided", func() bool { return pending["reset"].decide(t, "bob", "approve").Status == http.StatusOK })
	for _, e := range []exportCase{pending["reset"], approved["reset"], approved["cancel"], intended["reset"], intended["cancel"]} {
		e.sealedOnce(t)
		if n := e.byReconciler(t, "approval.cancelled") + e.byReconciler(t, "effect.failed"); n != 0 {
			t.Errorf("approval %s: the reconciler repaired what was whole", e.id)
		}
	}
	for _, name := range []string{"terminate", "delete"} {
		for _, e := range []exportCase{pending[name], approved[name]} {
			if n, all := e.byReconciler(t, "approval.cancelled"), e.entries(t, "approval.cancelled"); n != 1 || all != 1 {
				t.Errorf("%s, approval %s: %d entries approval.cancelled, %d of the reconciler, want 1", name, e.id, all, n)
			}
		}
		failed := intended[name]
		if n := count(t, l.stack, "SELECT count(*) FROM finobs.export WHERE approval_id = $1::bigint AND status = 'failed' AND sealed_at IS NULL", failed.id); n != 1 {
			t.Errorf("%s, approval %s: %d failed exports, want 1", name, failed.id, n)
		}
		if got := failed.byReconciler(t, "effect.failed"); got != 1 || failed.status(t) != "consumed" {
			t.Errorf("%s, approval %s: %d entries effect.failed, the request is %s", name, failed.id, got, failed.status(t))
		}
	}
	if n := count(t, l.stack, "SELECT count(*) FROM finobs.export WHERE status = 'sealed'"); n != 5 {
		t.Errorf("%d exports are complete, want the 5 whose workflows went on", n)
	}
}

// Whatever is sent or started by hand releases nothing and changes nothing.
func TestMadeUpMessagesReleaseNothing(t *testing.T) {
	t.Parallel()
	l := newLife(t, told, desk)
	l.startWorkers(t, 2)
	l.startAPIs(t, 1)
	e := l.ask(t)
	sent := l.wants(t, "alice", "hook.sent")
	sent.untilNotice(t, "requested", "sent")
	state := func() string {
		var s string
		scan(t, l.stack, &s, `SELECT concat_ws(' ', (SELECT count(*) FROM finobs.approval_request), (SELECT count(*) FROM finobs.export),
			(SELECT string_agg(sub || version || roles::text, ',' ORDER BY sub) FROM finobs.person), (SELECT count(*) FROM finobs.policy_set),
			(SELECT count(*) FROM finobs.delegation), (SELECT count(*) FROM finobs.approval_comment), (SELECT count(*) FROM finobs.notification),
			(SELECT string_agg(status, ',' ORDER BY approval_id) FROM finobs.approval_request))`)
		return s
	}
	before := state()
	for i, payload := range []string{`{"token":"made up"}`, `{"decision":"approve","approver":"bob"}`, `"approve"`, `{"status":"approved"}`} {
		l.operate(t, "signal", "--workflow-id", e.workflowID(t), "--name", "approval.decision", "--input", payload)
		l.operate(t, "signal", "--workflow-id", e.workflowID(t), "--name", "approval.nudge", "--input", payload)
		eventually(t, "the signal is on record", func() bool { return e.entries(t, "approval.signal_refused") == i+1 })
	}
	action := `{"desk":"EQ","kind":"export.incidents","mode":"live","parameters":{"format":"csv"},"policy_digest":"sha256:00","requester":{"iss":"finobs-dev","sub":"alice"},"risk_tier":"low","targets":[]}`
	made := map[string]string{
		"Approval": fmt.Sprintf(`{"approval_id":4711,"action":%q,"policy":"{}","reason":"","command":"made up"}`, action),
		"Export":   fmt.Sprintf(`{"approval_id":%s,"action":%q,"policy":"{}","reason":"","command":"made up"}`, e.id, action),
		"Change":   `{"approval_id":4712,"action":"{\"kind\":\"user.add\"}","policy":"{}","reason":"","command":"made up"}`,
		"Act":      `{"command":"made up","act":{"id":"0199aaaa-0000-7000-8000-000000000000","verb":"cancel","approval_id":` + e.id + `,"to":{"iss":"","sub":""}}}`,
		"Notify":   `{"notification_id":"` + sent.notice(t, "requested", "notification_id") + `"}`,
	}
	for name, input := range made {
		l.operate(t, "start", "--type", name, "--task-queue", "finobs", "--workflow-id", "made-up-"+name, "--input", input)
		l.operate(t, "start", "--type", name, "--task-queue", "finobs", "--workflow-id", "odd-"+name, "--input", `"nonsense"`)
	}
	for name := range made {
		for _, id := range []string{"made-up-" + name, "odd-" + name} {
			eventually(t, id+" has ended", func() bool { return !l.runs(t, id) })
		}
	}
	if after := state(); after != before {
		t.Errorf("before: %s\nafter: %s", before, after)
	}
	for _, name := range []string{"Approval", "Export", "Change", "Act"} {
		if n := count(t, l.stack, "SELECT count(*) FROM ledger.entry WHERE type = 'workflow.refused' AND workflow_id = $1", "made-up-"+name); n != 1 {
			t.Errorf("%s: %d entries workflow.refused, want 1", name, n)
		}
	}
	if got := l.hook.got(sent.id); len(got) != 1 {
		t.Errorf("a notice was sent %d times", len(got))
	}
	e.noArtefact(t)
}

func (l *life) runs(t *testing.T, workflowID string) bool {
	t.Helper()
	d, err := l.temporal.DescribeWorkflowExecution(context.Background(), workflowID, "")
	return err == nil && d.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
}

func TestWorkflowsFollowTheirRows(t *testing.T) {
	t.Parallel()
	l := newLife(t, told, desk)
	workers := l.startWorkers(t, 2)
	l.startAPIs(t, 1)
	exec := func(query string, args ...any) {
		var n int
		scan(t, l.stack, &n, "WITH done AS ("+query+" RETURNING 1) SELECT count(*) FROM done", args...)
		if n != 1 {
			t.Fatalf("%s: changed %d rows", query, n)
		}
	}
	deleted, closed, withdrawn := l.ask(t), l.ask(t), l.ask(t)
	ids := map[string]string{"deleted": deleted.workflowID(t), "closed": closed.workflowID(t), "withdrawn": withdrawn.workflowID(t)}
	want(t, l.call(t, "alice", "POST", "/approval/"+withdrawn.id+"/cancel", `{"reason":"not needed"}`), http.StatusOK)
	began := time.Now()
	exec("DELETE FROM finobs.approval_request WHERE approval_id = $1::bigint", deleted.id)
	exec("UPDATE finobs.approval_request SET status = 'cancelled', closed_at = clock_timestamp() WHERE approval_id = $1::bigint", closed.id)
	for what, id := range ids {
		repaired(t, "the workflow of a row that was "+what+" has ended", began, func() bool { return !l.runs(t, id) })
	}
	terminated := func(id string) int {
		return count(t, l.stack, "SELECT count(*) FROM ledger.entry WHERE type = 'workflow.terminated' AND subject_id = $1 AND actor_sub = 'reconciler'", id)
	}
	eventually(t, "the termination is on record", func() bool { return terminated(ids["deleted"]) == 1 })
	if n := terminated(ids["closed"]) + terminated(ids["withdrawn"]); n != 0 {
		t.Errorf("%d workflows with a row were terminated", n)
	}

	t.Run("a workflow that cannot record its request is terminated", func(t *testing.T) {
		scanExec(t, l, "REVOKE INSERT ON finobs.approval_request FROM finobs_worker")
		r := want(t, l.call(t, "alice", "POST", "/incidents/export?desk=NOROW", ""), http.StatusAccepted)
		began := time.Now()
		var id string
		eventually(t, "it runs", func() bool { id = l.workflowOf(t, r.str("approval_request_id")); return id != "" })
		repaired(t, "a workflow without a row has ended", began, func() bool { return !l.runs(t, id) })
		scanExec(t, l, "GRANT INSERT ON finobs.approval_request TO finobs_worker")
		eventually(t, "the termination is on record", func() bool { return terminated(id) == 1 })
	})
	t.Run("requests that waited for a worker are recorded, not terminated", func(t *testing.T) {
		for _, w := range workers {
			if err := w.process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		var ids []string
		for i := range 10 {
			ids = append(ids, want(t, l.call(t, "alice", "POST", fmt.Sprintf("/incidents/export?desk=LATE%d", i), ""), http.StatusAccepted).str("approval_request_id"))
		}
		for _, w := range workers {
			w.start(t)
		}
		for _, id := range ids {
			exportCase{s: l.stack, id: id}.untilStatus(t, "pending")
		}
		if n := count(t, l.stack, "SELECT count(*) FROM ledger.entry WHERE type = 'workflow.terminated'"); n != 2 {
			t.Errorf("%d workflows were terminated, want the 2 from before", n)
		}
	})
}

// workflowOf finds the running workflow of an approval that is not recorded.
func (l *life) workflowOf(t *testing.T, id string) string {
	t.Helper()
	list, err := l.temporal.ListWorkflow(context.Background(), listRunning(id))
	if err != nil || len(list.GetExecutions()) == 0 {
		return ""
	}
	return list.GetExecutions()[0].GetExecution().GetWorkflowId()
}

// A row that a superuser has spoilt is named and left; it keeps no other from
// being listed or repaired.
func TestASpoiltRowHarmsNoOther(t *testing.T) {
	t.Parallel()
	l := newLife(t, told, desk)
	l.startWorkers(t, 1)
	l.startAPIs(t, 1)
	spoilt, orphan := l.wants(t, "alice", "test.spoilt"), l.wants(t, "alice", "test.orphan")
	ids := []string{spoilt.workflowID(t), orphan.workflowID(t)}
	scanExec(t, l, "SET session_replication_role = replica; UPDATE finobs.approval_request SET policy = 'spoilt' WHERE approval_id = "+spoilt.id)
	for _, id := range ids {
		if err := l.temporal.TerminateWorkflow(t.Context(), id, "", "test"); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the other row is repaired", func() bool { return orphan.status(t) == "cancelled" })
	list := want(t, l.call(t, "alice", "GET", "/approval/", ""), http.StatusOK)
	if !bytes.Contains(list.Body, []byte(`"approval_request_id":`+spoilt.id+",")) || !bytes.Contains(list.Body, []byte(`"approval_request_id":`+orphan.id+",")) {
		t.Errorf("the list lacks one: %s", list.Body)
	}
}
