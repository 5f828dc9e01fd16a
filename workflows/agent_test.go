package workflows_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"finobs/activities"
	"finobs/internal/agent"
	"finobs/internal/approval"
	"finobs/workflows"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
)

// actor stands for the record of runs and actions: it notes which steps were taken,
// and answers what a test wants.
type actor struct {
	mu     sync.Mutex
	kind   agent.Kind
	steps  []string
	fails  map[string]error // by step, each time
	states map[string][]activities.ActionState
	ends   []activities.EndActionInput
	why    string // of a failed run
	during func(step string)
}

func (a *actor) take(step string) error {
	if a.during != nil {
		a.during(step)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.steps = append(a.steps, step)
	return a.fails[step]
}

// state is what a step of an action answers: the next of its states, the last of
// them again and again.
func (a *actor) state(step string) (activities.ActionState, error) {
	if err := a.take(step); err != nil {
		return activities.ActionState{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	list := a.states[step]
	if len(list) > 1 {
		a.states[step] = list[1:]
	}
	if len(list) == 0 {
		return activities.ActionState{}, errors.New("the test has no state for step " + step)
	}
	return list[0], nil
}

func agentEnv(t *testing.T, a *actor) (*testsuite.TestWorkflowEnvironment, *record) {
	t.Helper()
	r := &record{}
	env := newEnv(t, r)
	ref := func(step string) func(context.Context, activities.RunRef) error {
		return func(context.Context, activities.RunRef) error { return a.take(step) }
	}
	act := func(step string) func(context.Context, activities.GateRef) (activities.ActionState, error) {
		return func(context.Context, activities.GateRef) (activities.ActionState, error) { return a.state(step) }
	}
	for name, fn := range map[string]any{
		workflows.ActivityBeginRun: func(_ context.Context, in activities.GateRef) (activities.RunRef, error) {
			return activities.RunRef{GateRef: in, RunID: 9, Kind: a.kind}, a.take("begin")
		},
		workflows.ActivityGatherEvidence: ref("gather"), workflows.ActivityAnalyse: ref("analyse"),
		workflows.ActivityPlanActions: func(context.Context, activities.RunRef) (activities.Planned, error) {
			return activities.Planned{Actions: []int64{43, 44}}, a.take("plan")
		},
		workflows.ActivityFailRun: func(_ context.Context, in activities.FailRunInput) error {
			a.why = in.Why
			return a.take("fail")
		},
		workflows.ActivityBeginAction: act("begin"), workflows.ActivityApplyAction: act("apply"), workflows.ActivityReconcileAction: act("reconcile"),
		workflows.ActivityVerifyAction: act("verify"), workflows.ActivityCompensateAction: act("compensate"),
		workflows.ActivityEndAction: func(_ context.Context, in activities.EndActionInput) (activities.ActionState, error) {
			a.ends = append(a.ends, in)
			if in.Step == "" {
				return a.state("end")
			}
			return a.state("give up")
		},
	} {
		env.RegisterActivityWithOptions(fn, activity.RegisterOptions{Name: name})
	}
	return env, r
}

func refusal(code string) error {
	return temporal.NewNonRetryableApplicationError("no: "+code, code, nil)
}

func TestAgentRunTakesItsSteps(t *testing.T) {
	for name, tc := range map[string]struct {
		kind    agent.Kind
		signal  string
		fails   map[string]error
		steps   string
		run     agent.RunStatus
		actions int
		status  approval.Status
	}{
		"triage":        {agent.Triage, "approve-1", nil, "begin gather analyse fail", agent.Done, 0, approval.Consumed},
		"remediation":   {agent.Remediate, "approve-1", nil, "begin gather analyse plan fail", agent.Done, 2, approval.Consumed},
		"rejected":      {agent.Remediate, "reject-1", nil, "", "", 0, approval.Rejected},
		"nobody":        {agent.Remediate, "", nil, "", "", 0, approval.Expired},
		"gather fails":  {agent.Remediate, "approve-1", map[string]error{"gather": refusal("a")}, "begin gather fail", agent.Failed, 0, approval.Consumed},
		"analyse fails": {agent.Remediate, "approve-1", map[string]error{"analyse": refusal("a")}, "begin gather analyse fail", agent.Failed, 0, approval.Consumed},
		"plan fails":    {agent.Remediate, "approve-1", map[string]error{"plan": refusal("a")}, "begin gather analyse plan fail", agent.Failed, 0, approval.Consumed},
	} {
		a := &actor{kind: tc.kind, fails: tc.fails}
		env, _ := agentEnv(t, a)
		if tc.signal != "" {
			signal(env, time.Hour, tc.signal)
		}
		env.ExecuteWorkflow(workflows.AgentRun, input)
		var out workflows.AgentResult
		if err := env.GetWorkflowResult(&out); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := strings.Join(a.steps, " "); got != tc.steps || out.Run != tc.run || len(out.Actions) != tc.actions || out.Status != tc.status {
			t.Errorf("%s: steps %q, %+v", name, got, out)
		}
		if tc.run == agent.Failed && a.why != "no: a" {
			t.Errorf("%s: failed since %q", name, a.why)
		}
	}
}

// A run whose approval cannot be spent fails with the refusal, and takes no step.
func TestAgentRunThatMayNotBegin(t *testing.T) {
	a := &actor{kind: agent.Triage, fails: map[string]error{"begin": refusal("evidence-broken")}}
	env, _ := agentEnv(t, a)
	signal(env, time.Hour, "approve-1")
	env.ExecuteWorkflow(workflows.AgentRun, input)
	var refused *temporal.ApplicationError
	if err := env.GetWorkflowError(); !errors.As(err, &refused) || refused.Type() != "evidence-broken" || !slices.Equal(a.steps, []string{"begin"}) {
		t.Errorf("ended with %v after %v", err, a.steps)
	}
}

func is(status, recovery string, compensable bool) activities.ActionState {
	return activities.ActionState{ActionID: 42, Status: status, Recovery: recovery, Compensable: compensable}
}

var (
	begun     = is("executing", "", false)
	applied   = is("done", "waiting", false)
	healed    = is("done", "recovered", false)
	ill       = is("done", "not_recovered", true)
	takenBack = is("done", "compensated", false)
	nobody    = is("unknown", "", false)
	refused   = is("failed", "", false)
)

func TestAgentActionTakesItsSteps(t *testing.T) {
	always := func(s activities.ActionState) []activities.ActionState { return []activities.ActionState{s} }
	for name, tc := range map[string]struct {
		states map[string][]activities.ActionState
		fails  map[string]error
		steps  string
		want   activities.ActionState
	}{
		"recovers": {
			map[string][]activities.ActionState{"begin": always(begun), "apply": always(applied), "verify": always(healed), "end": always(healed)},
			nil, "begin apply verify end", healed,
		},
		"hindered": {
			map[string][]activities.ActionState{"begin": always(refused), "end": always(refused)},
			nil, "begin end", refused,
		},
		"refused": {
			map[string][]activities.ActionState{"begin": always(begun), "apply": always(refused), "end": always(refused)},
			nil, "begin apply end", refused,
		},
		"does not help": {
			map[string][]activities.ActionState{"begin": always(begun), "apply": always(applied), "verify": always(ill), "compensate": always(takenBack), "end": always(takenBack)},
			nil, "begin apply verify compensate end", takenBack,
		},
		"unknown, then found": {
			map[string][]activities.ActionState{"begin": always(begun), "apply": always(nobody), "reconcile": {nobody, nobody, applied}, "verify": always(healed), "end": always(healed)},
			nil, "begin apply reconcile reconcile reconcile verify end", healed,
		},
		"unknown, then resolved by a person": {
			map[string][]activities.ActionState{"begin": always(begun), "apply": always(nobody), "reconcile": {nobody, is("done", "not_recovered", false)}, "end": always(is("done", "not_recovered", false))},
			nil, "begin apply reconcile reconcile end", is("done", "not_recovered", false),
		},
		"unknown to the end": {
			map[string][]activities.ActionState{"begin": always(begun), "apply": always(nobody), "reconcile": always(nobody), "end": always(nobody)},
			nil, "begin apply" + strings.Repeat(" reconcile", 8) + " end", nobody,
		},
		"the send gives up": {
			map[string][]activities.ActionState{"begin": always(begun), "give up": always(refused), "end": always(refused)},
			map[string]error{"apply": refusal("x")}, "begin apply give up end", refused,
		},
		"the watch gives up": {
			map[string][]activities.ActionState{"begin": always(begun), "apply": always(applied), "give up": always(ill), "compensate": always(takenBack), "end": always(takenBack)},
			map[string]error{"verify": refusal("x")}, "begin apply verify give up compensate end", takenBack,
		},
		"somebody completed the send by hand": {
			map[string][]activities.ActionState{"begin": always(begun), "apply": always(activities.ActionState{}), "end": always(refused)},
			nil, "begin apply end", refused,
		},
	} {
		a := &actor{states: tc.states, fails: tc.fails}
		env, _ := agentEnv(t, a)
		signal(env, time.Hour, "approve-1")
		began := env.Now()
		env.ExecuteWorkflow(workflows.AgentAction, input)
		var out workflows.ActionResult
		if err := env.GetWorkflowResult(&out); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := strings.Join(a.steps, " "); got != tc.steps || out.Outcome != tc.want.Status || out.Recovery != tc.want.Recovery || out.Status != approval.Consumed {
			t.Errorf("%s: steps %q, %+v", name, got, out)
		}
		if took := env.Now().Sub(began) - time.Hour; name == "unknown to the end" && (took < 8*time.Minute || took > 9*time.Minute) {
			t.Errorf("%s: it looked for %s", name, took)
		}
	}
}

// Passing trouble of a step is tried again, up to eight times; then the record says
// how far it came.
func TestAgentActionGivesUp(t *testing.T) {
	a := &actor{
		states: map[string][]activities.ActionState{"begin": {begun}, "give up": {nobody}, "reconcile": {refused}, "end": {refused}},
		fails:  map[string]error{"apply": errors.New("connection refused")},
	}
	env, _ := agentEnv(t, a)
	signal(env, time.Hour, "approve-1")
	env.ExecuteWorkflow(workflows.AgentAction, input)
	if err := env.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(a.steps, " "); got != "begin"+strings.Repeat(" apply", 8)+" give up reconcile end" {
		t.Errorf("steps %q", got)
	}
	if len(a.ends) != 2 || a.ends[0].Step != workflows.ActivityApplyAction || a.ends[0].Why != "connection refused" || a.ends[1].Step != "" {
		t.Errorf("ends %+v", a.ends)
	}
}

// Whoever cancels while an action is under way: it is brought to its end, and taken
// back when it does not help.
func TestCancelDuringAnAction(t *testing.T) {
	for _, at := range []string{"begin", "apply", "verify", "compensate"} {
		a := &actor{states: map[string][]activities.ActionState{
			"begin": {begun}, "apply": {applied}, "verify": {ill}, "compensate": {takenBack}, "end": {takenBack},
		}}
		env, _ := agentEnv(t, a)
		a.during = func(step string) {
			if step == at {
				env.CancelWorkflow()
			}
		}
		signal(env, time.Hour, "approve-1")
		env.ExecuteWorkflow(workflows.AgentAction, input)
		if !env.IsWorkflowCompleted() {
			t.Fatalf("%s: it did not end", at)
		}
		if got := strings.Join(a.steps, " "); got != "begin apply verify compensate end" {
			t.Errorf("cancelled during %s: steps %q, %v", at, got, env.GetWorkflowError())
		}
	}
}

// Cancelled before anybody approved, nothing begins.
func TestCancelBeforeAnAction(t *testing.T) {
	for _, typ := range []string{workflows.AgentRun, workflows.AgentAction} {
		a := &actor{}
		env, r := agentEnv(t, a)
		env.RegisterDelayedCallback(env.CancelWorkflow, time.Minute)
		env.ExecuteWorkflow(typ, input)
		if err := env.GetWorkflowError(); !temporal.IsCanceledError(err) || len(a.steps) != 0 || r.status != approval.Cancelled {
			t.Errorf("%s ended with %v after %v; the request is %s", typ, err, a.steps, r.status)
		}
	}
}

// A decision that comes while the action is under way is recorded, though it
// changes nothing.
func TestDecisionsDuringAnActionAreRecorded(t *testing.T) {
	a := &actor{states: map[string][]activities.ActionState{"begin": {begun}, "apply": {nobody}, "reconcile": {nobody, applied}, "verify": {healed}, "end": {healed}}}
	env, r := agentEnv(t, a)
	signal(env, time.Hour, "approve-1")
	signal(env, time.Hour+3*time.Second, "reject-late")
	a.during = func(step string) {
		if step == "begin" {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.status = approval.Consumed
		}
	}
	env.ExecuteWorkflow(workflows.AgentAction, input)
	if got := statusOf(t, env); got != approval.Consumed || !slices.Equal(r.tokens, []string{"approve-1", "reject-late"}) {
		t.Errorf("got %s, recorded %v", got, r.tokens)
	}
}

func TestAgentActAnswersWhatItLedTo(t *testing.T) {
	env, _ := agentEnv(t, &actor{})
	env.RegisterActivityWithOptions(func(_ context.Context, in activities.AgentActInput) (activities.AgentActDone, error) {
		if in.Command != "c" || in.Act.Verb != agent.Override {
			return activities.AgentActDone{}, refusal("odd")
		}
		return activities.AgentActDone{Override: "ai_override"}, nil
	}, activity.RegisterOptions{Name: workflows.ActivityRecordAgentAct})
	env.ExecuteWorkflow(workflows.AgentAct, workflows.AgentActInput{Command: "c", Act: agent.Act{Verb: agent.Override}})
	var out workflows.AgentActResult
	if err := env.GetWorkflowResult(&out); err != nil || out.Override != "ai_override" {
		t.Errorf("got %+v, %v", out, err)
	}
}
