package workflows_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"finobs/activities"
	"finobs/internal/incident"
	"finobs/workflows"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"
)

// lifeEnv is an environment in which look answers for the record. It is told how
// long the life has lasted, and how often it was asked before.
func lifeEnv(t *testing.T, look func(after time.Duration, n int) activities.LifeStatus) (env *testsuite.TestWorkflowEnvironment, looks *[]time.Duration) {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env = suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(time.Minute)
	workflows.Register(env)
	start := env.Now()
	looks = &[]time.Duration{}
	register(env, workflows.ActivityAdvanceIncident, func(_ context.Context, ref activities.LifeRef) (activities.LifeStatus, error) {
		if ref.IncidentID != 7 {
			t.Errorf("asked for %+v", ref)
		}
		at := env.Now().Sub(start)
		*looks = append(*looks, at)
		return look(at, len(*looks)-1), nil
	})
	return env, looks
}

func lifeResult(t *testing.T, env *testsuite.TestWorkflowEnvironment) workflows.LifeResult {
	t.Helper()
	var out workflows.LifeResult
	if err := env.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
	if err := env.GetWorkflowResult(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestALifeLooksWhenSomethingIsDue(t *testing.T) {
	due := []time.Duration{time.Minute, 15 * time.Minute, 45 * time.Minute, 8 * time.Hour, 7 * 24 * time.Hour}
	env, looks := lifeEnv(t, func(after time.Duration, n int) activities.LifeStatus {
		if n == len(due) {
			return activities.LifeStatus{Status: incident.Closed}
		}
		return activities.LifeStatus{Status: incident.Open, WakeIn: due[n] - after}
	})
	env.ExecuteWorkflow(workflows.IncidentLife, workflows.LifeInput{IncidentID: 7})
	if got := lifeResult(t, env); got != (workflows.LifeResult{IncidentID: 7, Status: incident.Closed}) {
		t.Errorf("got %+v", got)
	}
	for n, at := range due {
		if late := (*looks)[n+1] - at; late < 0 || late > time.Second {
			t.Errorf("look %d is at %s, due at %s", n+1, (*looks)[n+1], at)
		}
	}
}

// Without anything due it waits for a nudge; many at once are one look, and what is
// in them does not matter.
func TestALifeIsNudged(t *testing.T) {
	for name, payload := range map[string]any{"nothing": nil, "lies": map[string]string{"status": "closed"}} {
		env, looks := lifeEnv(t, func(after time.Duration, _ int) activities.LifeStatus {
			if after >= 2*time.Hour {
				return activities.LifeStatus{Status: incident.Closed}
			}
			return activities.LifeStatus{Status: incident.Acknowledged}
		})
		for _, at := range []time.Duration{time.Hour, 2 * time.Hour} {
			env.RegisterDelayedCallback(func() {
				for range 50 {
					env.SignalWorkflow(workflows.SignalNudge, payload)
				}
			}, at)
		}
		env.ExecuteWorkflow(workflows.IncidentLife, workflows.LifeInput{IncidentID: 7})
		if got := lifeResult(t, env); got.Status != incident.Closed || len(*looks) > 4 {
			t.Errorf("%s: %s after %d looks", name, got.Status, len(*looks))
		}
	}
}

// A life goes on in another run before its history becomes too long, and takes no
// word of the old run's with it.
func TestALifeGoesOnInAnotherRun(t *testing.T) {
	env, looks := lifeEnv(t, func(time.Duration, int) activities.LifeStatus {
		return activities.LifeStatus{Status: incident.Open, WakeIn: time.Minute}
	})
	env.RegisterDelayedCallback(func() { env.SetContinueAsNewSuggested(true) }, 10*time.Minute)
	env.ExecuteWorkflow(workflows.IncidentLife, workflows.LifeInput{IncidentID: 7})
	var again *workflow.ContinueAsNewError
	if err := env.GetWorkflowError(); !errors.As(err, &again) || again.WorkflowType.Name != workflows.IncidentLife || len(*looks) > 12 {
		t.Errorf("after %d looks: %v", len(*looks), err)
	}
}

func TestALifeThatIsCancelledEnds(t *testing.T) {
	env, _ := lifeEnv(t, func(time.Duration, int) activities.LifeStatus { return activities.LifeStatus{Status: incident.Open} })
	env.RegisterDelayedCallback(env.CancelWorkflow, time.Hour)
	env.ExecuteWorkflow(workflows.IncidentLife, workflows.LifeInput{IncidentID: 7})
	if err := env.GetWorkflowError(); !temporal.IsCanceledError(err) {
		t.Errorf("got %v", err)
	}
}

func TestARefusedActOnAnIncidentSaysWhy(t *testing.T) {
	var suite testsuite.WorkflowTestSuite
	for name, refusal := range map[string]error{"done": nil, "refused": temporal.NewNonRetryableApplicationError("incident 7 is closed", "act-refused", nil, "conflict")} {
		env := suite.NewTestWorkflowEnvironment()
		workflows.Register(env)
		register(env, workflows.ActivityRecordIncidentAct, func(_ context.Context, in activities.IncidentActInput) (activities.IncidentActDone, error) {
			if in.Command != "signed" || in.Act.Verb != incident.Resolve {
				t.Errorf("asked for %+v", in)
			}
			return activities.IncidentActDone{Status: incident.Resolved, Version: 3}, refusal
		})
		env.ExecuteWorkflow(workflows.IncidentAct, workflows.IncidentActInput{Command: "signed", Act: incident.Act{Verb: incident.Resolve, IncidentID: 7}})
		var out workflows.IncidentActResult
		err := env.GetWorkflowError()
		if err == nil {
			err = env.GetWorkflowResult(&out)
		}
		switch {
		case refusal == nil && (err != nil || out != workflows.IncidentActResult{Status: incident.Resolved, Version: 3}):
			t.Errorf("%s: %+v, %v", name, out, err)
		case refusal != nil && (err == nil || !strings.Contains(err.Error(), "incident 7 is closed")):
			t.Errorf("%s: %v", name, err)
		}
	}
}
