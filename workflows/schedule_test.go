package workflows_test

import (
	"context"
	"testing"
	"time"

	"finobs/activities"
	"finobs/internal/export"
	"finobs/workflows"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
)

var slotRef = activities.ExportRef{
	GateRef: activities.GateRef{ApprovalID: 42}, ScheduleID: 7, Slot: time.Date(2026, 11, 25, 23, 0, 0, 0, time.UTC),
}

// slotEnv is a workflow of a slot whose beginnings are given, and what it did.
func slotEnv(t *testing.T, begun []activities.SlotBegun, made error) (env *testsuite.TestWorkflowEnvironment, did *[]string) {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env = suite.NewTestWorkflowEnvironment()
	workflows.Register(env)
	did = &[]string{}
	looks, fails := 0, made != nil
	register(env, workflows.ActivityBeginSlot, func(_ context.Context, _ activities.SlotInput) (activities.SlotBegun, error) {
		*did = append(*did, "begin")
		looks++
		return begun[min(looks, len(begun))-1], nil
	})
	done := activities.ExportDone{ExportID: 9, ContentSHA256: "c", Destination: "download", Rows: 3, Sealed: true}
	register(env, workflows.ActivityGenerateExport, func(_ context.Context, in activities.ExportRef) (activities.ExportDone, error) {
		if in != slotRef {
			t.Errorf("the export is made by %+v", in)
		}
		*did = append(*did, "generate")
		return done, made
	})
	register(env, workflows.ActivityConfirmExport, func(context.Context, activities.ConfirmInput) (activities.ExportDone, error) {
		if fails {
			return activities.ExportDone{}, nil
		}
		return done, nil
	})
	register(env, workflows.ActivityBundleExport, func(context.Context, activities.BundleInput) error { return nil })
	register(env, workflows.ActivityEndSlot, func(_ context.Context, in activities.SlotEnd) (export.SlotStatus, error) {
		*did = append(*did, "end")
		if (in.Failure != "") != fails {
			t.Errorf("it ended with failure %q", in.Failure)
		}
		if fails {
			return export.SlotFailed, nil
		}
		return export.SlotDone, nil
	})
	env.OnWorkflow(workflows.Deliver, anything, anything).Return(workflows.DeliverResult{}, nil).Maybe()
	return env, did
}

func TestSlotWorkflow(t *testing.T) {
	run := activities.SlotBegun{Run: true, Ref: slotRef, Status: export.SlotRunning}
	wait := activities.SlotBegun{Wait: true, Status: export.SlotWaiting}
	skip := activities.SlotBegun{Status: export.SlotSkipped, Reason: "paused"}
	broken := temporal.NewNonRetryableApplicationError("broken", "evidence-broken", nil)
	for name, tc := range map[string]struct {
		begun  []activities.SlotBegun
		made   error
		did    int // begin, generate and end, together
		status export.SlotStatus
		fails  bool
	}{
		"runs":                  {[]activities.SlotBegun{run}, nil, 3, export.SlotDone, false},
		"waits, and runs":       {[]activities.SlotBegun{wait, wait, wait, run}, nil, 6, export.SlotDone, false},
		"is skipped":            {[]activities.SlotBegun{skip}, nil, 1, export.SlotSkipped, false},
		"waits, and is skipped": {[]activities.SlotBegun{wait, skip}, nil, 2, export.SlotSkipped, false},
		"fails, and says so":    {[]activities.SlotBegun{run}, broken, 5, "", true},
	} {
		env, did := slotEnv(t, tc.begun, tc.made)
		env.ExecuteWorkflow(workflows.ScheduledExport, workflows.ScheduledInput{})
		var out workflows.ScheduledResult
		err := env.GetWorkflowError()
		if err == nil {
			err = env.GetWorkflowResult(&out)
		}
		if (err != nil) != tc.fails || out.Status != tc.status || len(*did) != tc.did {
			t.Errorf("%s: did %v, %+v, %v", name, *did, out, err)
		}
	}
}

// A slot that is cancelled while it waits does nothing more.
func TestCancelledWhileWaiting(t *testing.T) {
	env, did := slotEnv(t, []activities.SlotBegun{{Wait: true}}, nil)
	env.RegisterDelayedCallback(env.CancelWorkflow, time.Minute)
	env.ExecuteWorkflow(workflows.ScheduledExport, workflows.ScheduledInput{})
	if err := env.GetWorkflowError(); !temporal.IsCanceledError(err) {
		t.Errorf("got %v", err)
	}
	for _, what := range *did {
		if what != "begin" {
			t.Errorf("it went on to %s", what)
		}
	}
}
