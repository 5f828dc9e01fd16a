package workflows

import (
	"errors"
	"time"

	"finobs/activities"
	"finobs/internal/agent"
	"finobs/internal/approval"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

const (
	// lookUps bounds how often the target system is asked what became of an action
	// before a person has to find out.
	lookUps = 8
	// firstLookUp is the pause before the first of them; each is twice the last.
	firstLookUp = 2 * time.Second
	// actionAttempts bounds the attempts at one step of an action. What is certainly
	// not sent is then failed, what may have been is unknown.
	actionAttempts = 8
	// actionTimeout bounds one attempt: some systems take minutes to recover.
	actionTimeout = 15 * time.Minute
)

// agentRunWorkflow waits for approval and lets an agent look at what it was asked
// about. Nothing that the agent says is carried out here: what it proposes is
// planned, and each plan needs an approval of its own.
func agentRunWorkflow(ctx workflow.Context, in GateInput) (AgentResult, error) {
	g, err := openGate(ctx, in)
	if err != nil {
		return AgentResult{}, err
	}
	if err := g.wait(ctx); err != nil {
		return AgentResult{}, err
	}
	// From here on nothing is cancelled half-way: what was begun is recorded.
	apart, _ := workflow.NewDisconnectedContext(ctx)
	var out AgentResult
	if g.state.Status == approval.Approved || g.state.Status == approval.Consumed {
		if out, err = runAgent(apart, g); err != nil {
			return out, err
		}
	}
	if err := g.drain(apart); err != nil {
		return out, err
	}
	out.GateResult, err = g.result(ctx)
	return out, err
}

// runAgent carries a run through its steps. Each reads what the one before left in
// the record, not what it returned: a step that somebody completes by hand in
// Temporal leaves nothing to go on with.
func runAgent(ctx workflow.Context, g *gate) (AgentResult, error) {
	var out AgentResult
	var run activities.RunRef
	if err := workflow.ExecuteLocalActivity(withRecord(ctx), ActivityBeginRun, g.ref).Get(ctx, &run); err != nil {
		return out, err
	}
	g.state.Status = approval.Consumed
	if err := g.show(ctx); err != nil {
		return out, err
	}
	out.RunID, out.Run = run.RunID, agent.Done
	steps := []string{ActivityGatherEvidence, ActivityAnalyse}
	if run.Kind == agent.Remediate {
		steps = append(steps, ActivityPlanActions)
	}
	for _, step := range steps {
		var planned activities.Planned
		if err := workflow.ExecuteActivity(withEffect(ctx), step, run).Get(ctx, &planned); err != nil {
			out.Run = agent.Failed
			failed := activities.FailRunInput{RunRef: run, Why: reasonOf(err)}
			return out, workflow.ExecuteLocalActivity(withRecord(ctx), ActivityFailRun, failed).Get(ctx, nil)
		}
		out.Actions = planned.Actions
	}
	// A run that is done stays done; one whose step somebody completed by hand is not.
	undone := activities.FailRunInput{RunRef: run, Why: "a step was completed by somebody else, and the agent has said nothing"}
	return out, workflow.ExecuteLocalActivity(withRecord(ctx), ActivityFailRun, undone).Get(ctx, nil)
}

// agentActionWorkflow waits for approval of exactly one planned action and carries
// it out once.
func agentActionWorkflow(ctx workflow.Context, in GateInput) (ActionResult, error) {
	g, err := openGate(ctx, in)
	if err != nil {
		return ActionResult{}, err
	}
	if err := g.wait(ctx); err != nil {
		return ActionResult{}, err
	}
	// What was begun is brought to its end, compensation included, whoever cancels.
	apart, _ := workflow.NewDisconnectedContext(ctx)
	var out ActionResult
	if g.state.Status == approval.Approved || g.state.Status == approval.Consumed {
		state, err := carryOut(apart, g)
		if err != nil {
			return out, err
		}
		out.Outcome, out.Recovery = state.Status, state.Recovery
	}
	if err := g.drain(apart); err != nil {
		return out, err
	}
	out.GateResult, err = g.result(ctx)
	return out, err
}

// carryOut acts, finds out what became of it, waits for recovery, and takes back
// what did not help. It believes only what the activities read from the record.
func carryOut(ctx workflow.Context, g *gate) (state activities.ActionState, err error) {
	if err := workflow.ExecuteLocalActivity(withRecord(ctx), ActivityBeginAction, g.ref).Get(ctx, &state); err != nil {
		return state, err
	}
	g.state.Status = approval.Consumed
	if err := g.show(ctx); err != nil {
		return state, err
	}
	step := func(name string) error {
		err := workflow.ExecuteActivity(withAction(ctx), name, g.ref).Get(ctx, &state)
		if err == nil {
			return nil
		}
		// The step gave up: the record says how far it came.
		gaveUp := activities.EndActionInput{GateRef: g.ref, Step: name, Why: reasonOf(err)}
		return workflow.ExecuteLocalActivity(withRecord(ctx), ActivityEndAction, gaveUp).Get(ctx, &state)
	}
	if state.Acting() {
		if err := step(ActivityApplyAction); err != nil {
			return state, err
		}
	}
	pause := firstLookUp
	for n := 0; n < lookUps && state.Unknown(); n++ {
		if err := workflow.Sleep(ctx, pause); err != nil {
			return state, err
		}
		if err := step(ActivityReconcileAction); err != nil {
			return state, err
		}
		pause *= 2
	}
	if state.Recovering() {
		if err := step(ActivityVerifyAction); err != nil {
			return state, err
		}
	}
	if state.Compensable {
		if err := step(ActivityCompensateAction); err != nil {
			return state, err
		}
	}
	return state, workflow.ExecuteLocalActivity(withRecord(ctx), ActivityEndAction, activities.EndActionInput{GateRef: g.ref}).Get(ctx, &state)
}

// agentActWorkflow does one act about agents.
func agentActWorkflow(ctx workflow.Context, in AgentActInput) (AgentActResult, error) {
	var done activities.AgentActDone
	input := activities.AgentActInput{FirstRun: workflow.GetInfo(ctx).FirstRunID, Command: in.Command, Act: in.Act}
	if err := workflow.ExecuteLocalActivity(withRecord(ctx), ActivityRecordAgentAct, input).Get(ctx, &done); err != nil {
		return AgentActResult{}, err
	}
	return AgentActResult{Override: done.Override, StopID: done.StopID, Status: done.Status}, nil
}

// withAction returns a context for the steps of an action on a desk's system.
func withAction(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: actionTimeout,
		HeartbeatTimeout:    heartbeatTimeout,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: 30 * time.Second, MaximumAttempts: actionAttempts,
		},
	})
}

// reasonOf is what an activity's error says to people, without the SDK's frame.
func reasonOf(err error) string {
	var application *temporal.ApplicationError
	if errors.As(err, &application) {
		return application.Message()
	}
	return err.Error()
}
