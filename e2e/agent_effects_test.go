package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// runPlaces and actionPlaces are where a worker may die on the way from a request to
// the recovery of a target.
var (
	runPlaces    = []string{"agent.after-begin", "agent.after-evidence", "agent.after-analyse", "agent.after-output", "agent.after-plan"}
	actionPlaces = []string{"action.after-begin", "action.before-send", "action.after-send", "action.after-record", "action.after-verify"}
)

// actionCase is a desk on which many actions are planned, and those that are not
// carried out yet.
type actionCase struct {
	*deskStack
	waiting []int64 // over positions
}

// next takes n of the actions that wait.
func (c *actionCase) next(t *testing.T, n int) []int64 {
	t.Helper()
	if len(c.waiting) < n {
		t.Fatalf("%d actions wait, and %d are wanted", len(c.waiting), n)
	}
	taken := c.waiting[:n]
	c.waiting = c.waiting[n:]
	return taken
}

// wantsPlans asks for a run over targets, about an incident of its own, and returns
// the approval that it needs.
func (c *actionCase) wantsPlans(t *testing.T, targets ...string) string {
	t.Helper()
	list := ""
	for n, target := range targets {
		if n > 0 {
			list += ","
		}
		list += strconv.Quote(target)
	}
	i := c.incident(t, "trade_break", "high", "Objects break", "the statement came since")
	return c.wants(t, "/agent/remediate", fmt.Sprintf(`{"incident_id":%s,"targets":[%s]}`, i.id, list))
}

// once proves that an action was applied once, and that the record says so.
func (c *actionCase) once(t *testing.T, id int64) {
	t.Helper()
	done := c.until(t, id, "done", "recovered")
	if n := c.sandboxEffects(t)[done.str("idempotency_key")]; n != 1 || done.str("idempotency_key") == "" {
		t.Errorf("action %d was applied %d times", id, n)
	}
	for typ, most := range map[string]int{"effect.intended": 1, "effect.done": 1, "effect.recovered": 1, "effect.failed": 0, "effect.superseded": 0} {
		if n := c.actionEntries(t, id, typ); n != most {
			t.Errorf("action %d has %d entries %s, not %d", id, n, typ, most)
		}
	}
	if n := c.actionEntries(t, id, "effect.unknown"); n > 1 {
		t.Errorf("action %d became unknown %d times", id, n)
	}
}

// never proves that an action was not applied, and that the record says so.
func (c *actionCase) never(t *testing.T, id int64, status string) reply {
	t.Helper()
	r := c.until(t, id, status, "")
	if n := c.sandboxEffects(t)[r.str("idempotency_key")]; n != 0 {
		t.Errorf("action %d is %s and was applied %d times", id, status, n)
	}
	if n := c.actionEntries(t, id, "effect.done"); n != 0 {
		t.Errorf("action %d has %d entries effect.done", id, n)
	}
	return r
}

// Workers die at every place, the desk's system fails in every way, is gone, and
// hangs after it has applied: each approved action happens once or not at all, and
// the record says which.
func TestActionsHappenOnceWhateverFails(t *testing.T) {
	t.Parallel()
	c := &actionCase{deskStack: newDesk(t)}
	for _, part := range []struct {
		name string
		test func(*actionCase, *testing.T)
	}{
		{"the worker dies while an agent looks", (*actionCase).workerDiesInRuns},
		{"the worker dies while it acts", (*actionCase).workerDies},
		{"the worker dies and the system hangs", (*actionCase).workerDiesAndSystemHangs},
		{"the system applies and does not say so", (*actionCase).appliedUnsaid},
		{"the system does not apply and does not say so", (*actionCase).unappliedUnsaid},
		{"the system is gone before the act", (*actionCase).goneBefore},
		{"the system is gone after the act", (*actionCase).goneAfter},
		{"two workers", (*actionCase).twoWorkers},
		{"the target has moved", (*actionCase).moved},
		{"the standing instruction has moved", (*actionCase).instructionMoved},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(c, t) })
	}
}

func (c *actionCase) workerDiesInRuns(t *testing.T) {
	var asked []string
	for n := range runPlaces {
		var targets []string
		for k := range 5 {
			targets = append(targets, fmt.Sprintf("position:P-%d", 5*n+k+1))
		}
		asked = append(asked, c.wantsPlans(t, targets...))
	}
	for n, place := range runPlaces {
		c.work(t, place)
		c.lets(t, asked[n])
		dies(t, c.worker)
	}
	c.work(t, "")
	for n, id := range asked {
		run := c.runOf(t, id)
		if run.Status != "done" {
			t.Fatalf("run %d after %s: %+v", run.ID, runPlaces[n], run)
		}
		c.waiting = append(c.waiting, c.plans(t, run, 5)...)
		for typ, want := range map[string]int{"agent.begun": 1, "agent.evidence": 1, "agent.output": 1, "agent.planned": 5, "agent.failed": 0} {
			got := count(t, c.stack, "SELECT count(*) FROM ledger.entry WHERE type = $1 AND convert_from(leaf, 'UTF8')::jsonb #>> '{details,run_id}' = $2::text", typ, fmt.Sprint(run.ID))
			if got != want {
				t.Errorf("run %d has %d entries %s, not %d", run.ID, got, typ, want)
			}
		}
	}
	for _, id := range c.waiting {
		c.pending(t, id)
	}
	if effects := c.sandboxEffects(t); len(effects) != 0 {
		t.Errorf("effects before anybody approved: %v", effects)
	}
}

func (c *actionCase) workerDies(t *testing.T) {
	ids := c.next(t, len(actionPlaces))
	for n, place := range actionPlaces {
		c.work(t, place)
		c.releases(t, ids[n])
		dies(t, c.worker)
	}
	c.work(t, "")
	for _, id := range ids {
		c.once(t, id)
	}
}

func (c *actionCase) workerDiesAndSystemHangs(t *testing.T) {
	ids := c.next(t, len(actionPlaces))
	for n, place := range actionPlaces {
		c.fault(t, "hang_after", "")
		c.work(t, place)
		c.releases(t, ids[n])
		dies(t, c.worker)
	}
	c.work(t, "")
	for _, id := range ids {
		c.once(t, id)
	}
	if r, err := c.sandboxCall("DELETE", "/v1/faults", ""); err != nil || r.Status != http.StatusNoContent {
		t.Fatal(r, err)
	}
}

// outOfOrder has the system go wrong once in each way, and approves as many actions
// at once.
func (c *actionCase) outOfOrder(t *testing.T, faults map[string]string) []int64 {
	t.Helper()
	ids := c.next(t, len(faults))
	for name, delay := range faults {
		c.fault(t, name, delay)
	}
	for _, id := range ids {
		c.releases(t, id)
	}
	return ids
}

func (c *actionCase) appliedUnsaid(t *testing.T) {
	for _, id := range c.outOfOrder(t, map[string]string{"hang_after": "", "fail_after": "", "drop_after": "", "lie": "", "endless": ""}) {
		c.once(t, id)
		if c.actionEntries(t, id, "effect.unknown") != 1 {
			t.Errorf("action %d was never unknown", id)
		}
	}
}

func (c *actionCase) unappliedUnsaid(t *testing.T) {
	for _, id := range c.outOfOrder(t, map[string]string{"hang_before": "", "fail_before": "", "drop_before": "", "lie_before": "", "redirect": ""}) {
		c.never(t, id, "failed")
		if c.actionEntries(t, id, "effect.unknown") != 1 || c.actionEntries(t, id, "effect.failed") != 1 {
			t.Errorf("action %d: what nobody knew was not found out once", id)
		}
	}
}

func (c *actionCase) goneBefore(t *testing.T) {
	id := c.next(t, 1)[0]
	if err := c.sandbox.Kill(); err != nil {
		t.Fatal(err)
	}
	c.releases(t, id)
	if r := c.until(t, id, "executing", ""); r.str("sent_at") != "" {
		t.Errorf("it left without a connection: %s", r.Body)
	}
	c.startSandbox(t)
	c.once(t, id)
}

// goneAfter has the system die with a command that it applied and did not answer.
func (c *actionCase) goneAfter(t *testing.T) {
	asked := c.wantsPlans(t, "settlement:S-1", "settlement:S-2")
	c.lets(t, asked)
	run := c.runOf(t, asked)
	ids := c.plans(t, run, 2)
	for n, id := range ids {
		c.pending(t, id)
		before := len(c.sandboxEffects(t))
		c.fault(t, "hang_after", "")
		c.releases(t, id)
		eventually(t, "the system has applied it", func() bool { return len(c.sandboxEffects(t)) == before+1 })
		if err := c.sandbox.Kill(); err != nil {
			t.Fatal(err)
		}
		unknown := c.until(t, id, "unknown", "")
		if n == 0 {
			c.startSandbox(t)
			c.once(t, id)
			continue
		}
		c.resolves(t, id)
		c.startSandbox(t)
		c.ended(t, id)
		if target := unknown.str("target"); c.field(t, "settlement", target[len("settlement:"):], "ssi") != "SSI-GALE-DTC" {
			t.Errorf("%s was taken back although nobody looked whether it helped", target)
		}
	}
}

// ended waits until the workflow of an action does nothing any more.
func (c *actionCase) ended(t *testing.T, id int64) {
	t.Helper()
	workflow := c.call(t, "alice", "GET", fmt.Sprintf("/approval/%d", id), "").str("workflow_id")
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := c.temporal.GetWorkflow(ctx, workflow, "").Get(ctx, nil); err != nil {
		t.Errorf("the workflow of action %d: %v", id, err)
	}
}

// resolves has a person say that an action was applied whose outcome nobody knows.
func (c *actionCase) resolves(t *testing.T, id int64) {
	t.Helper()
	path, found := fmt.Sprintf("/agent/ops/actions/%d/resolve", id), `{"outcome":"done","reason":"their operations desk sees it"}`
	if own := c.call(t, "alice", "POST", path, found); own.Status != http.StatusForbidden {
		t.Errorf("whoever asked for it judged it: %d %s", own.Status, own.Body)
	}
	want(t, c.call(t, "carol", "POST", path, found), http.StatusOK)
	r := c.until(t, id, "done", "not_recovered")
	want(t, c.call(t, "dave", "POST", path, found), http.StatusConflict)
	if n := c.actionEntries(t, id, "effect.resolved"); n != 1 {
		t.Errorf("%d entries effect.resolved", n)
	}
	// Somebody else may act on the target now, and nothing of this action comes after.
	if n := count(t, c.stack, "SELECT count(*) FROM finobs.agent_action WHERE action_id = $1 AND leased", id); n != 0 {
		t.Errorf("a resolved action holds its target: %s", r.Body)
	}
}

func (c *actionCase) twoWorkers(t *testing.T) {
	second := c.anotherWorker(t, "worker2", "")
	ids := c.next(t, 2)
	before := len(c.sandboxEffects(t))
	for _, id := range ids {
		c.fault(t, "slow", "500ms")
		c.releases(t, id)
	}
	eventually(t, "one is applied", func() bool { return len(c.sandboxEffects(t)) > before })
	if err := c.worker.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		c.once(t, id)
	}
	if err := second.Kill(); err != nil {
		t.Fatal(err)
	}
	c.work(t, "")
}

func (c *actionCase) moved(t *testing.T) {
	id := c.next(t, 1)[0]
	planned := c.action(t, id)
	target := planned.str("target")[len("position:"):]
	effects := c.sandboxEffects(t)
	c.sends(t, "recon.rerun", "position", target, planned.str("target_version"))
	c.releases(t, id)
	r := c.never(t, id, "superseded")
	if r.str("sent_at") != "" || len(c.sandboxEffects(t)) != len(effects)+1 {
		t.Errorf("something was sent over a target that had moved: %s", r.Body)
	}
}

// instructionMoved has somebody change the standing instruction to which people approved
// to put a settlement: the approval is for the account that they saw, and nothing is
// sent.
func (c *actionCase) instructionMoved(t *testing.T) {
	asked := c.wantsPlans(t, "settlement:S-3")
	c.lets(t, asked)
	id := c.plans(t, c.runOf(t, asked), 1)[0]
	c.pending(t, id)
	if planned := c.action(t, id); !strings.Contains(string(planned.Body), `"object":"ssi:SSI-GALE-DTC","version":"1"`) {
		t.Errorf("the plan does not show what it depends on: %s", planned.Body)
	}
	if err := c.sandbox.Kill(); err != nil {
		t.Fatal(err)
	}
	state, err := os.OpenFile(c.Path("sandbox.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = state.WriteString(`{"object":{"kind":"ssi","id":"SSI-GALE-DTC","version":"2","fields":{"counterparty":"GALE","place":"DTCYUS33","agent":"EVILUS33XXX","status":"active","verified":"yes"}}}` + "\n")
	if err := errors.Join(err, state.Close()); err != nil {
		t.Fatal(err)
	}
	c.startSandbox(t)
	c.releases(t, id)
	r := c.never(t, id, "superseded")
	if r.str("sent_at") != "" || r.str("status_reason") != "ssi:SSI-GALE-DTC is at version 2 now, not 1" || c.field(t, "settlement", "S-3", "ssi") != "SSI-GALE-EOC" {
		t.Errorf("the settlement went to an account that nobody approved: %s", r.Body)
	}
}
