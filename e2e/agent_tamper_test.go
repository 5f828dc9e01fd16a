package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"finobs/activities"
	"finobs/internal/agent"
	"finobs/internal/canonical"
	"finobs/internal/remediation"
	"finobs/workflows"

	commonpb "go.temporal.io/api/common/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/converter"
)

// tampering has a superuser turn 82,000 approved shares into 820,000, in every place
// where they stand, after people have approved and before the effect.
func (p *peopleDesk) tampering(t *testing.T) {
	_, ids := p.planned(t, "alice", false, 3, "settlement:R-1", "settlement:R-2", "settlement:R-3")
	for _, id := range ids {
		if r := p.action(t, id); r.str("quantity") != "82000" {
			t.Fatalf("planned: %s", r.Body)
		}
	}
	// What is decided now waits for the next worker.
	if err := p.worker.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		p.releases(t, id)
	}
	before := len(p.sandboxEffects(t))
	const more = "convert_to(replace(convert_from(%[1]s, 'UTF8'), '82000', '820000'), 'UTF8')"
	plan := []byte(strings.ReplaceAll(text(t, p.stack, "SELECT convert_from(plan, 'UTF8') FROM finobs.agent_action WHERE action_id = $1", ids[1]), "82000", "820000"))
	for _, statement := range []string{
		fmt.Sprintf("UPDATE finobs.agent_action SET plan = "+more+" WHERE action_id = %[2]d", "plan", ids[0]),
		fmt.Sprintf("UPDATE finobs.agent_action SET plan = "+more+", plan_digest = '%[3]s' WHERE action_id = %[2]d", "plan", ids[1],
			canonical.DigestBytes(remediation.PlanDigestDomain, plan)),
		fmt.Sprintf("SET session_replication_role = replica; UPDATE finobs.approval_request SET action = "+more+" WHERE approval_id = %[2]d", "action", ids[2]),
	} {
		if err := exec1(p.stack, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	p.work(t, "")
	for n, id := range ids {
		denied := func() int {
			return count(t, p.stack, "SELECT count(*) FROM ledger.entry WHERE subject_kind = 'approval' AND subject_id = $1::text AND type = 'effect.denied'", fmt.Sprint(id))
		}
		patiently(t, fmt.Sprintf("effect %d is denied", n+1), func() bool { return denied() > 0 })
		if status := text(t, p.stack, "SELECT status FROM finobs.agent_action WHERE action_id = $1", id); status != "planned" {
			t.Errorf("action %d is %s", id, status)
		}
		if got := p.field(t, "settlement", fmt.Sprintf("R-%d", n+1), "status"); got != "failed" {
			t.Errorf("settlement R-%d is %s", n+1, got)
		}
	}
	if effects := p.sandboxEffects(t); len(effects) != before {
		t.Errorf("effects: %v", effects)
	}
	// What is broken is broken for itself, however much it is and though it stands before
	// all others: others are still asked for and done, and the list says what is broken.
	if err := exec1(p.stack, fmt.Sprintf(`CREATE TEMP TABLE broken AS SELECT * FROM finobs.agent_action WHERE action_id = %d;
		UPDATE broken SET asked = false;
		INSERT INTO finobs.agent_action SELECT (jsonb_populate_record(b, jsonb_build_object('action_id', nextval('finobs.approval_id'), 'ordinal', 100 + n))).*
		FROM broken b, generate_series(1, 120) n`, ids[0])); err != nil {
		t.Fatal(err)
	}
	_, next := p.planned(t, "alice", false, 1, "settlement:R-4")
	p.releases(t, next[0])
	p.until(t, next[0], "done", "recovered")
	p.brokenAreListed(t, ids[0])
	p.riskUnderstated(t)
}

// riskUnderstated plants plans beside one that a run made, as whoever writes as a worker
// can: one whose row says that it is of low risk, and one more than a run may plan. The
// first is asked for under the risk that the catalogue knows, the other never.
func (p *peopleDesk) riskUnderstated(t *testing.T) {
	t.Helper()
	_, ids := p.planned(t, "alice", false, 1, "settlement:R-5")
	plan := text(t, p.stack, "SELECT convert_from(plan, 'UTF8') FROM finobs.agent_action WHERE action_id = $1", ids[0])
	plant := func(ordinal int) (id int64) {
		b := []byte(strings.Replace(plan, "late_matching", fmt.Sprintf("late_matching_%d", ordinal), 1))
		scan(t, p.stack, &id, fmt.Sprintf(`INSERT INTO finobs.agent_action SELECT (jsonb_populate_record(a, jsonb_build_object('action_id', nextval('finobs.approval_id'),
			'ordinal', %d, 'asked', false, 'risk_tier', 'low', 'plan', '\x%x', 'plan_digest', '%s'))).* FROM finobs.agent_action a WHERE action_id = %d RETURNING action_id`,
			ordinal, b, canonical.DigestBytes(remediation.PlanDigestDomain, b), ids[0]))
		return id
	}
	surplus, understated := plant(agent.MaxProposals+1), plant(2)
	p.pending(t, understated)
	if got := p.call(t, "alice", "GET", fmt.Sprintf("/approval/%d", understated), "").str("risk_tier"); got != "high" {
		t.Errorf("a plan of high risk is asked for as %s", got)
	}
	if r := p.action(t, surplus); r.str("status") != "planned" || r.str("broken") != "" {
		t.Errorf("the sixth plan of a run: %s", r.Body)
	}
}

// brokenAreListed looks at lists in which one plan, and one run, was changed behind
// everybody's back: they are shown and say so, beside all others.
func (p *peopleDesk) brokenAreListed(t *testing.T, broken int64) {
	t.Helper()
	run := p.action(t, broken).str("run_id")
	if err := exec1(p.stack, fmt.Sprintf(`SET session_replication_role = replica; UPDATE finobs.agent_run SET parameters = '{"targets":"nothing that is one"}' WHERE run_id = %s`, run)); err != nil {
		t.Fatal(err)
	}
	var list struct {
		Items []struct {
			Broken string `json:"broken"`
		}
	}
	for path, wanted := range map[string]int{"/agent/ops/actions?limit=500": 121, "/agent/runs?limit=500": 1} {
		list.Items = nil
		if err := json.Unmarshal(want(t, p.call(t, "alice", "GET", path, ""), http.StatusOK).Body, &list); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, item := range list.Items {
			if item.Broken != "" {
				n++
			}
		}
		if n != wanted || len(list.Items) <= n {
			t.Errorf("%s shows %d broken ones of %d, not %d", path, n, len(list.Items), wanted)
		}
	}
	if r := p.action(t, broken); r.str("broken") == "" || r.str("target") != "settlement:R-1" || r.str("status") == "done" {
		t.Errorf("a plan that was changed is shown as %s", r.Body)
	}
}

// takes polls tasks of activities, as somebody who may reach Temporal can, until one
// of a workflow comes, and completes it with a result that is made up.
func (p *peopleDesk) takes(t *testing.T, workflowID, activity string, result any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	service := p.temporal.WorkflowService()
	var taken *workflowservice.PollActivityTaskQueueResponse
	for taken.GetWorkflowExecution().GetWorkflowId() != workflowID || taken.GetActivityType().GetName() != activity {
		var err error
		taken, err = service.PollActivityTaskQueue(ctx, &workflowservice.PollActivityTaskQueueRequest{
			Namespace: "default", TaskQueue: &taskqueuepb.TaskQueue{Name: workflows.TaskQueue}, Identity: "intruder",
		})
		if err != nil {
			t.Fatalf("taking %s of %s: %v", activity, workflowID, err)
		}
	}
	request := &workflowservice.RespondActivityTaskCompletedRequest{Namespace: "default", TaskToken: taken.GetTaskToken()}
	if result != nil {
		fake, err := converter.GetDefaultDataConverter().ToPayload(result)
		if err != nil {
			t.Fatal(err)
		}
		request.Result = &commonpb.Payloads{Payloads: []*commonpb.Payload{fake}}
	}
	if _, err := service.RespondActivityTaskCompleted(ctx, request); err != nil {
		t.Fatal(err)
	}
}

// completedByHand has somebody complete in Temporal, with results that he made up,
// the step that sends a command, and the steps by which an agent looks.
func (p *peopleDesk) completedByHand(t *testing.T) {
	_, ids := p.planned(t, "alice", false, 1, "position:P-46")
	i := p.incident(t, "other", "low", "Nothing", "at all")
	triage := p.wants(t, "/agent/triage", fmt.Sprintf(`{"incident_id":%s}`, i.id))
	workflowOf := func(id any) string {
		return p.call(t, "alice", "GET", fmt.Sprintf("/approval/%v", id), "").str("workflow_id")
	}
	p.work(t, "", "--record-only")
	p.releases(t, ids[0])
	p.takes(t, workflowOf(ids[0]), workflows.ActivityApplyAction, activities.ActionState{ActionID: ids[0], Status: "done", Recovery: "recovered"})
	r := p.until(t, ids[0], "failed", "")
	if n := p.sandboxEffects(t)[r.str("idempotency_key")]; n != 0 || p.actionEntries(t, ids[0], "effect.done") != 0 {
		t.Errorf("a result that was made up became an effect: %s", r.Body)
	}
	if n := count(t, p.stack, "SELECT count(*) FROM finobs.agent_action WHERE leased"); n != 0 {
		t.Errorf("%d targets are held", n)
	}
	p.lets(t, triage)
	for _, step := range []string{workflows.ActivityGatherEvidence, workflows.ActivityAnalyse} {
		p.takes(t, workflowOf(triage), step, nil)
	}
	if run := p.runOf(t, triage); run.Status != "failed" || run.Output != "" {
		t.Errorf("a run that was completed by hand is %+v", run)
	}
	p.work(t, "")
}
