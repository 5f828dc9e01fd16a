package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"finobs/activities"
	"finobs/internal/approval"
	"finobs/workflows"

	commonpb "go.temporal.io/api/common/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// noArtefact proves that nothing was released.
func (e exportCase) noArtefact(t *testing.T) {
	t.Helper()
	if n := count(t, e.s, "SELECT count(*) FROM finobs.export WHERE approval_id = $1::bigint", e.id); n != 0 {
		t.Errorf("approval %s has %d exports", e.id, n)
	}
	if s := e.status(t); s != "pending" {
		t.Errorf("approval %s is %s", e.id, s)
	}
}

func TestForgedSignalsAreRecordedAndIgnored(t *testing.T) {
	e := world.ask(t)
	for i, payload := range []any{
		map[string]any{"token": "eyJhbGciOiJub25lIn0.e30."},
		map[string]any{"decision": "approve", "approver": "bob"},
		"approve", 42, nil, []string{"approve"}, strings.Repeat("A", 100_000), []byte{0, 1, 2, 255},
	} {
		if err := world.temporal.SignalWorkflow(context.Background(), e.workflowID(t), "", workflows.SignalDecision, payload); err != nil {
			t.Fatal(err)
		}
		eventually(t, fmt.Sprintf("forged signal %d is on record", i), func() bool { return e.entries(t, "approval.signal_refused") == i+1 })
	}
	e.noArtefact(t)
	want(t, e.decide(t, "bob", "approve"), http.StatusOK) // the workflow is none the worse for it
	e.sealedOnce(t)
}

func TestReplayedTokenOfAnotherApproval(t *testing.T) {
	first := world.ask(t)
	want(t, first.decide(t, "bob", "approve"), http.StatusOK)
	var token string
	scan(t, world, &token, "SELECT token FROM finobs.approval_decision WHERE approval_id = $1::bigint", first.id)
	second := world.ask(t)
	for range 2 { // twice: the same forgery is one entry
		err := world.temporal.SignalWorkflow(context.Background(), second.workflowID(t), "", workflows.SignalDecision, workflows.DecisionSignal{Token: token})
		if err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the replay is on record", func() bool { return second.entries(t, "approval.signal_refused") == 1 })
	second.noArtefact(t)
}

func TestForgedStarts(t *testing.T) {
	e := world.ask(t)
	var action, policy, command string
	scan(t, world, &action, "SELECT convert_from(action, 'UTF8') FROM finobs.approval_request WHERE approval_id = $1::bigint", e.id)
	scan(t, world, &policy, "SELECT convert_from(policy, 'UTF8') FROM finobs.approval_request WHERE approval_id = $1::bigint", e.id)
	scan(t, world, &command, "SELECT command FROM finobs.approval_request WHERE approval_id = $1::bigint", e.id)
	for name, in := range map[string]workflows.GateInput{
		"everything made up":             {ApprovalID: 900_000_001, Action: `{"kind":"export.incidents"}`, Policy: "{}", Command: "x"},
		"real action, made-up approval":  {ApprovalID: 900_000_002, Action: action, Policy: policy, Command: command},
		"a real start in other clothing": {ApprovalID: mustInt(t, e.id), Action: action, Policy: policy, Command: command},
		"another policy":                 {ApprovalID: mustInt(t, e.id), Action: action, Policy: strings.Replace(policy, `"veto":"1"`, `"veto":"2"`, 1), Command: command},
	} {
		id := fmt.Sprintf("forged-%d", unique.Add(1))
		run, err := world.temporal.ExecuteWorkflow(context.Background(),
			client.StartWorkflowOptions{ID: id, TaskQueue: workflows.TaskQueue}, workflows.Export, in)
		if err != nil {
			t.Fatal(err)
		}
		err = run.Get(context.Background(), nil)
		var refused *temporal.ApplicationError
		if !errors.As(err, &refused) {
			t.Errorf("%s: ended with %v", name, err)
		}
		if n := count(t, world, "SELECT count(*) FROM ledger.entry WHERE type = 'workflow.refused' AND subject_id = $1", id); n != 1 {
			t.Errorf("%s: %d entries, want 1", name, n)
		}
	}
	e.noArtefact(t)
	if n := count(t, world, "SELECT count(*) FROM finobs.approval_request WHERE approval_id > 900000000"); n != 0 {
		t.Errorf("%d made-up approvals are recorded", n)
	}
}

func mustInt(t *testing.T, s string) (n int64) {
	t.Helper()
	if _, err := fmt.Sscan(s, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// A rogue worker can have any registered activity run with any input. The effect
// does not believe it.
func TestRogueWorkflowSchedulesTheEffect(t *testing.T) {
	e := world.ask(t)
	queue := fmt.Sprintf("rogue-%d", unique.Add(1))
	rogue := worker.New(world.temporal, queue, worker.Options{})
	rogue.RegisterWorkflowWithOptions(func(ctx workflow.Context, activity string, in any) error {
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{TaskQueue: workflows.TaskQueue, StartToCloseTimeout: 20 * time.Second})
		return workflow.ExecuteActivity(ctx, activity, in).Get(ctx, nil)
	}, workflow.RegisterOptions{Name: "Rogue"})
	if err := rogue.Start(); err != nil {
		t.Fatal(err)
	}
	defer rogue.Stop()
	ref := activities.GateRef{FirstRun: "made-up", ApprovalID: mustInt(t, e.id)}
	run := func(activity string, in any) error {
		r, err := world.temporal.ExecuteWorkflow(context.Background(), client.StartWorkflowOptions{
			ID: fmt.Sprintf("rogue-%d", unique.Add(1)), TaskQueue: queue,
		}, "Rogue", activity, in)
		if err != nil {
			t.Fatal(err)
		}
		return r.Get(context.Background(), nil)
	}
	if err := run(workflows.ActivityGenerateExport, ref); err == nil {
		t.Error("the effect ran on a pending approval")
	}
	if n := e.entries(t, "effect.denied"); n != 1 {
		t.Errorf("%d entries effect.denied, want 1", n)
	}
	if err := run(workflows.ActivityRecordDecision, activities.DecisionInput{GateRef: ref, Token: "forged"}); err != nil {
		t.Errorf("a forged decision is an error, not an entry: %v", err)
	}
	if n := e.entries(t, "approval.signal_refused"); n != 1 {
		t.Errorf("%d entries approval.signal_refused, want 1", n)
	}
	for _, activity := range []string{workflows.ActivityExpireRequest, workflows.ActivityCancelRequest} {
		if err := run(activity, ref); err != nil {
			t.Errorf("%s: %v", activity, err)
		}
	}
	e.noArtefact(t)
}

// An operator takes the effect's task off the queue and completes it by hand with
// a result that he made up. The workflow asks the record, and does it again.
func TestHandCompletedEffect(t *testing.T) {
	world.restartWorker(t, "", "--record-only")
	defer world.restartWorker(t, "")
	e := world.ask(t)
	if r := e.decide(t, "bob", "approve"); r.Status/100 != 2 {
		t.Fatalf("answered %d: %s", r.Status, r.Body)
	}
	e.untilStatus(t, "approved")
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var taken *workflowservice.PollActivityTaskQueueResponse
	for taken.GetWorkflowExecution().GetWorkflowId() != e.workflowID(t) {
		var err error
		taken, err = world.temporal.WorkflowService().PollActivityTaskQueue(ctx, &workflowservice.PollActivityTaskQueueRequest{
			Namespace: "default", TaskQueue: &taskqueuepb.TaskQueue{Name: workflows.TaskQueue}, Identity: "intruder",
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	fake, err := converter.GetDefaultDataConverter().ToPayload(activities.ExportDone{ExportID: 4711, ContentSHA256: "made up", Sealed: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = world.temporal.WorkflowService().RespondActivityTaskCompleted(ctx, &workflowservice.RespondActivityTaskCompletedRequest{
		Namespace: "default", TaskToken: taken.GetTaskToken(), Result: &commonpb.Payloads{Payloads: []*commonpb.Payload{fake}},
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the contradiction is on record", func() bool { return e.entries(t, "activity.contradicted") == 1 })
	world.restartWorker(t, "")
	e.sealedOnce(t)
}

// A started workflow's own signed start, sent again after everything is over,
// cannot spend the approval twice.
func TestReplayedStart(t *testing.T) {
	e := world.ask(t)
	want(t, e.decide(t, "bob", "approve"), http.StatusOK)
	e.sealedOnce(t)
	var in workflows.GateInput
	in.ApprovalID = mustInt(t, e.id)
	scan(t, world, &in.Action, "SELECT convert_from(action, 'UTF8') FROM finobs.approval_request WHERE approval_id = $1::bigint", e.id)
	scan(t, world, &in.Policy, "SELECT convert_from(policy, 'UTF8') FROM finobs.approval_request WHERE approval_id = $1::bigint", e.id)
	scan(t, world, &in.Command, "SELECT command FROM finobs.approval_request WHERE approval_id = $1::bigint", e.id)
	eventually(t, "the first workflow has ended", func() bool {
		run, err := world.temporal.ExecuteWorkflow(context.Background(), client.StartWorkflowOptions{
			ID: e.workflowID(t), TaskQueue: workflows.TaskQueue, WorkflowExecutionErrorWhenAlreadyStarted: true,
		}, workflows.Export, in)
		if err != nil {
			return false
		}
		err = run.Get(context.Background(), nil)
		return err != nil || e.status(t) == string(approval.Consumed)
	})
	e.sealedOnce(t)
}
