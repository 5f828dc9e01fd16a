package workflows_test

import (
	"context"
	"testing"
	"time"

	"finobs/activities"
	"finobs/internal/recon"
	"finobs/workflows"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
)

// reconEnvironment is a workflow environment whose activities are the given ones.
func reconEnvironment(t *testing.T, reconcile func(context.Context, activities.ReconInput) (activities.ReconDone, error)) *testsuite.TestWorkflowEnvironment {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	workflows.Register(env)
	env.RegisterActivityWithOptions(reconcile, activity.RegisterOptions{Name: workflows.ActivityReconcile})
	env.RegisterActivityWithOptions(func(_ context.Context, in activities.ScheduledReconInput) (activities.ReconDone, error) {
		return activities.ReconDone{RunKey: in.Profile}, nil
	}, activity.RegisterOptions{Name: workflows.ActivityReconcileScheduled})
	return env
}

func progressOf(t *testing.T, env *testsuite.TestWorkflowEnvironment) recon.Progress {
	t.Helper()
	var p recon.Progress
	answer, err := env.QueryWorkflow(workflows.QueryReconProgress)
	if err == nil {
		err = answer.Get(&p)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAComparisonTellsHowFarItIs(t *testing.T) {
	env := reconEnvironment(t, func(_ context.Context, in activities.ReconInput) (activities.ReconDone, error) {
		if in.Command != "token" || in.Request.Profile != "p" {
			t.Errorf("got %+v", in)
		}
		return activities.ReconDone{RunKey: "k", Breaks: 3}, nil
	})
	now := recon.Progress{Phase: recon.ReadingRight, Rows: 7, Bytes: 1, Total: 2}
	env.SetOnActivityStartedListener(func(*activity.Info, context.Context, converter.EncodedValues) {
		env.SignalWorkflow(workflows.SignalReconProgress, now)
	})
	env.RegisterDelayedCallback(func() {
		if got := progressOf(t, env); got != (recon.Progress{Phase: recon.Waiting}) && got != now {
			t.Errorf("got %+v", got)
		}
	}, time.Millisecond)
	env.ExecuteWorkflow(workflows.Reconcile, workflows.ReconInput{Command: "token", Request: recon.Request{Profile: "p"}})
	var out workflows.ReconResult
	if err := env.GetWorkflowResult(&out); err != nil || out != (workflows.ReconResult{RunKey: "k", Breaks: 3}) {
		t.Errorf("got %+v, %v", out, err)
	}
	if got := progressOf(t, env).Phase; got != recon.Done {
		t.Errorf("in the end it says %s", got)
	}
}

func TestAComparisonThatIsRefusedFails(t *testing.T) {
	env := reconEnvironment(t, func(context.Context, activities.ReconInput) (activities.ReconDone, error) {
		return activities.ReconDone{}, temporal.NewNonRetryableApplicationError("no", "file-not-clean", nil, "invalid")
	})
	env.ExecuteWorkflow(workflows.Reconcile, workflows.ReconInput{})
	if env.GetWorkflowError() == nil || progressOf(t, env).Phase != recon.RunFailed {
		t.Errorf("got %v, %s", env.GetWorkflowError(), progressOf(t, env).Phase)
	}
}

func TestAScheduledComparisonNamesItsProfileAlone(t *testing.T) {
	env := reconEnvironment(t, func(context.Context, activities.ReconInput) (activities.ReconDone, error) {
		t.Error("the activity for people was called")
		return activities.ReconDone{}, nil
	})
	env.ExecuteWorkflow(workflows.ScheduledReconcile, workflows.ScheduledReconInput{Profile: "dropcopy-vs-broker"})
	var out workflows.ReconResult
	if err := env.GetWorkflowResult(&out); err != nil || out.RunKey != "dropcopy-vs-broker" {
		t.Errorf("got %+v, %v", out, err)
	}
}
