package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"
)

// lose brings something about while the worker dies at a failpoint, terminates the
// workflow of an approval, and starts a worker again.
func (d *deskStack) lose(t *testing.T, approvalID string, begun func() bool) (began time.Time) {
	t.Helper()
	eventually(t, "it is begun, and its worker dead", func() bool { return d.dead() && begun() })
	if err := d.temporal.TerminateWorkflow(context.Background(), exportCase{s: d.stack, id: approvalID}.workflowID(t), "", "by mistake"); err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	d.work(t, "")
	return began
}

func (d *deskStack) dead() bool {
	select {
	case <-d.worker.Done():
		return true
	default:
		return false
	}
}

// Runs and actions whose workflow an operator terminated are brought to what is
// certain within half a minute, and hold nobody up.
func TestTerminatedRunsAndActionsAreRepaired(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	i := d.incident(t, "failed_settlement", "high", "Settlement S-1001 failed", "again")
	body := func(renew bool) string {
		return fmt.Sprintf(`{"incident_id":%s,"targets":["settlement:S-1001"],"renew":%t}`, i.id, renew)
	}
	row := func(query, id string) bool { return count(t, d.stack, query, id) == 1 }
	byReconciler := func(typ string) int {
		return count(t, d.stack, "SELECT count(*) FROM ledger.entry WHERE type = $1 AND actor_sub = 'reconciler' AND subject_kind = 'incident' AND subject_id = $2", typ, i.id)
	}

	d.work(t, "agent.after-begin")
	id := want(t, d.call(t, "alice", "POST", "/agent/remediate", body(false)), http.StatusAccepted).str("approval_request_id")
	eventually(t, "the request for the run is decided", func() bool {
		return d.call(t, "bob", "POST", "/approval/"+id+"/decision", `{"decision":"approve","reason":"let it look"}`).Status == http.StatusOK
	})
	began := d.lose(t, id, func() bool {
		return row("SELECT count(*) FROM finobs.agent_run WHERE approval_id = $1::bigint AND status = 'running'", id)
	})
	repaired(t, "the run has failed", began, func() bool {
		return row("SELECT count(*) FROM finobs.agent_run WHERE approval_id = $1::bigint AND status = 'failed'", id)
	})
	if n := byReconciler("agent.failed"); n != 1 {
		t.Errorf("%d entries agent.failed of the reconciler", n)
	}

	planned := func() int64 { return d.plans(t, d.runs(t, "/agent/remediate", body(true)), 1)[0] }
	executing := func(id int64) func() bool {
		return func() bool { return d.action(t, id).str("status") == "executing" }
	}
	notSent := planned()
	d.work(t, "action.after-begin")
	d.approves(t, notSent)
	began = d.lose(t, strconv.FormatInt(notSent, 10), executing(notSent))
	repaired(t, "the action that was not sent has failed", began, func() bool { return d.action(t, notSent).str("status") == "failed" })
	if effects := d.sandboxEffects(t); len(effects) != 0 {
		t.Errorf("effects %v of what was not sent", effects)
	}

	sent := planned() // over the same target: its lease is free again
	d.work(t, "action.after-send")
	d.approves(t, sent)
	began = d.lose(t, strconv.FormatInt(sent, 10), executing(sent))
	repaired(t, "the action that was sent is unknown", began, func() bool { return d.action(t, sent).str("status") == "unknown" })
	if n, m := byReconciler("effect.failed"), byReconciler("effect.unknown"); n != 1 || m != 1 {
		t.Errorf("%d entries effect.failed and %d effect.unknown of the reconciler", n, m)
	}
	resolve := fmt.Sprintf("/agent/ops/actions/%d/resolve", sent)
	want(t, d.call(t, "bob", "POST", resolve, `{"outcome":"done","reason":"the settlement has it"}`), http.StatusOK)
	if got := d.action(t, sent); got.str("status") != "done" {
		t.Errorf("resolved: %s", got.Body)
	}
	if effects := d.sandboxEffects(t); len(effects) != 1 {
		t.Errorf("effects %v", effects)
	}
	if n := count(t, d.stack, "SELECT count(*) FROM finobs.agent_action WHERE leased"); n != 0 {
		t.Errorf("%d targets are held still", n)
	}
}
