package workflows_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"finobs/activities"
	"finobs/internal/approval"
	"finobs/workflows"

	sdkpb "go.temporal.io/api/sdk/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
)

// anything matches every argument of a mocked call of the test environment.
const anything = "mock.Anything"

func register(env *testsuite.TestWorkflowEnvironment, name string, fn any) {
	env.RegisterActivityWithOptions(fn, activity.RegisterOptions{Name: name})
}

// A nudge carries nothing: whatever is in it, the workflow asks the record.
func TestNudgeHasTheRecordReadAgain(t *testing.T) {
	for name, payload := range map[string]any{"nothing": nil, "lies": map[string]string{"status": "approved"}, "text": "approved"} {
		r := &record{}
		env := newEnv(t, r)
		looked := 0
		register(env, workflows.ActivityExpireRequest, func(context.Context, activities.GateRef) (activities.GateStatus, error) {
			if looked++; looked == 2 {
				r.status = approval.Cancelled // behind the workflow's back
			}
			return r.now(), nil
		})
		for i := range 2 {
			env.RegisterDelayedCallback(func() { env.SignalWorkflow(workflows.SignalNudge, payload) }, time.Duration(i+1)*time.Hour)
		}
		env.ExecuteWorkflow(workflows.Approval, input)
		if got := statusOf(t, env); got != approval.Cancelled || looked != 2 {
			t.Errorf("%s: the request is %s, and the record was read %d times, want cancelled and 2", name, got, looked)
		}
	}
}

func TestManyNudgesAtOnceAreOneLook(t *testing.T) {
	r := &record{}
	env := newEnv(t, r)
	looked := 0
	register(env, workflows.ActivityExpireRequest, func(context.Context, activities.GateRef) (activities.GateStatus, error) {
		looked++
		return r.now(), nil
	})
	env.RegisterDelayedCallback(func() {
		for range 50 {
			env.SignalWorkflow(workflows.SignalNudge, nil)
		}
	}, time.Hour)
	signal(env, 2*time.Hour, "approve-1")
	env.ExecuteWorkflow(workflows.Approval, input)
	if got := statusOf(t, env); got != approval.Approved || looked > 2 {
		t.Errorf("the request is %s; 50 nudges led to %d looks, want 1 or 2", got, looked)
	}
}

// The record says when the next rung is due; the workflow looks then, and not
// before.
func TestLadderIsLookedAtWhenARungIsDue(t *testing.T) {
	r := &record{}
	env := newEnv(t, r)
	start := env.Now()
	due := []time.Duration{4 * time.Hour, 8 * time.Hour, 16 * time.Hour, 24 * time.Hour}
	var looks []time.Duration
	wake := func() activities.GateStatus {
		s := r.now()
		s.WakeIn = due[min(len(looks), len(due)-1)] - env.Now().Sub(start)
		return s
	}
	register(env, workflows.ActivityOpenRequest, func(context.Context, activities.OpenRequestInput) (activities.GateStatus, error) { return wake(), nil })
	register(env, workflows.ActivityExpireRequest, func(context.Context, activities.GateRef) (activities.GateStatus, error) {
		looks = append(looks, env.Now().Sub(start))
		if len(looks) == len(due) {
			r.status = approval.Expired
		}
		return wake(), nil
	})
	env.ExecuteWorkflow(workflows.Export, input)
	if got := statusOf(t, env); got != approval.Expired || len(looks) != len(due) || r.generated != 0 {
		t.Fatalf("the request is %s after looks at %v; %d exports", got, looks, r.generated)
	}
	for i, at := range looks {
		if late := at - due[i]; late < 0 || late > time.Minute {
			t.Errorf("look %d is at %s, due at %s", i+1, at, due[i])
		}
	}
}

func TestChangeIsAppliedOnlyWhenApproved(t *testing.T) {
	for signalled, tc := range map[string]struct {
		status  approval.Status
		applied int
	}{"approve-1": {approval.Consumed, 1}, "reject-1": {approval.Rejected, 0}, "forged": {approval.Expired, 0}} {
		r := &record{}
		env := newEnv(t, r)
		applied := 0
		register(env, workflows.ActivityApplyChange, func(context.Context, activities.GateRef) (activities.ChangeDone, error) {
			if applied++; r.status != approval.Approved {
				t.Errorf("%s: applied while the request is %s", signalled, r.status)
			}
			return activities.ChangeDone{Applied: true}, nil
		})
		signal(env, time.Hour, signalled)
		env.ExecuteWorkflow(workflows.Change, input)
		var out workflows.ChangeResult
		if err := env.GetWorkflowResult(&out); err != nil {
			t.Fatal(err)
		}
		if out.Status != tc.status || applied != tc.applied || out.Applied != (tc.applied == 1) {
			t.Errorf("%s: got %+v, applied %d times; want %s and %d", signalled, out, applied, tc.status, tc.applied)
		}
	}
}

func TestChangeThatTheRecordDeniesFails(t *testing.T) {
	r := &record{}
	env := newEnv(t, r)
	register(env, workflows.ActivityApplyChange, func(context.Context, activities.GateRef) (activities.ChangeDone, error) {
		return activities.ChangeDone{}, temporal.NewNonRetryableApplicationError("no", "evidence-broken", nil)
	})
	signal(env, time.Hour, "approve-1")
	env.ExecuteWorkflow(workflows.Change, input)
	var denied *temporal.ApplicationError
	if err := env.GetWorkflowError(); !errors.As(err, &denied) || denied.Type() != "evidence-broken" {
		t.Errorf("ended with %v", err)
	}
}

func TestActNudgesTheWorkflowThatWaits(t *testing.T) {
	for name, nudged := range map[string]error{"it waits": nil, "it has ended": errors.New("no such workflow")} {
		env := newEnv(t, &record{})
		register(env, workflows.ActivityRecordAct, func(context.Context, activities.ActInput) (activities.ActDone, error) {
			return activities.ActDone{Status: approval.Cancelled, DelegationID: 3, Nudge: "action-1"}, nil
		})
		env.OnSignalExternalWorkflow(anything, "action-1", "", workflows.SignalNudge, anything).Return(nudged).Once()
		env.ExecuteWorkflow(workflows.Act, workflows.ActInput{Command: "c", Act: approval.Act{ID: "a"}})
		var out workflows.ActResult
		if err := env.GetWorkflowResult(&out); err != nil || out.Status != approval.Cancelled || out.DelegationID != 3 {
			t.Errorf("%s: got %+v, %v", name, out, err)
		}
		env.AssertExpectations(t)
	}
}

// The record may close other requests along the way; their workflows are told.
func TestGateNudgesTheWorkflowsItReplaces(t *testing.T) {
	r := &record{}
	env := newEnv(t, r)
	register(env, workflows.ActivityOpenRequest, func(context.Context, activities.OpenRequestInput) (activities.GateStatus, error) {
		s := r.now()
		s.Nudge = []string{"action-1", "", "action-2"}
		return s, nil
	})
	for _, id := range []string{"action-1", "action-2"} {
		env.OnSignalExternalWorkflow(anything, id, "", workflows.SignalNudge, anything).Return(nil).Once()
	}
	signal(env, time.Hour, "approve-1")
	env.ExecuteWorkflow(workflows.Approval, input)
	if got := statusOf(t, env); got != approval.Approved {
		t.Errorf("got %s", got)
	}
	env.AssertExpectations(t)
}

func TestNoticeIsBuriedAfterTheLastAttempt(t *testing.T) {
	down := errors.New("connection refused")
	for name, tc := range map[string]struct {
		errs     int // before it is sent; -1 for ever
		status   approval.NoticeStatus
		attempts int
		buried   int
	}{"at once": {0, approval.NoticeSent, 1, 0}, "later": {5, approval.NoticeSent, 6, 0}, "never": {-1, approval.NoticeDead, 30, 1}} {
		env := newEnv(t, &record{})
		start := env.Now()
		attempts, buried := 0, 0
		register(env, workflows.ActivitySendNotice, func(_ context.Context, in activities.NoticeRef) (approval.NoticeStatus, error) {
			attempts++
			if in.NotificationID != "n" {
				t.Errorf("%s: sent %+v", name, in)
			}
			if tc.errs < 0 || attempts <= tc.errs {
				return approval.NoticeQueued, down
			}
			return approval.NoticeSent, nil
		})
		register(env, workflows.ActivityBuryNotice, func(context.Context, activities.NoticeRef) (approval.NoticeStatus, error) {
			buried++
			return approval.NoticeDead, nil
		})
		env.ExecuteWorkflow(workflows.Notify, workflows.NotifyInput{NotificationID: "n"})
		var status approval.NoticeStatus
		if err := env.GetWorkflowResult(&status); err != nil || status != tc.status || attempts != tc.attempts || buried != tc.buried {
			t.Errorf("%s: %s after %d attempts, buried %d times, %v", name, status, attempts, buried, err)
		}
		if took := env.Now().Sub(start); tc.errs < 0 && (took < 12*time.Hour || took > 48*time.Hour) {
			t.Errorf("%s: given up after %s, want about a day", name, took)
		}
	}
}

func TestDetailsSayWhatIsAwaited(t *testing.T) {
	r := &record{needs: 2}
	env := newEnv(t, r)
	register(env, workflows.ActivityOpenRequest, func(context.Context, activities.OpenRequestInput) (activities.GateStatus, error) {
		s := r.now()
		s.Missing = []string{"1 analyst", "1 of compliance"}
		return s, nil
	})
	details := func() string {
		value, err := env.QueryWorkflow("__temporal_workflow_metadata")
		if err != nil {
			t.Error(err)
			return ""
		}
		var meta sdkpb.WorkflowMetadata
		if err := value.Get(&meta); err != nil {
			t.Error(err)
		}
		return meta.GetCurrentDetails()
	}
	env.RegisterDelayedCallback(func() {
		got := details()
		for _, wanted := range []string{"Approval 42 waits for 1 analyst; 1 of compliance", r.expiresAt.UTC().Format(time.RFC3339)} {
			if !strings.Contains(got, wanted) {
				t.Errorf("the details lack %q: %q", wanted, got)
			}
		}
	}, time.Hour)
	signal(env, 2*time.Hour, "approve-1")
	env.RegisterDelayedCallback(func() {
		if got := details(); !strings.Contains(got, "waits for a decision") {
			t.Errorf("the details say %q", got)
		}
	}, 3*time.Hour)
	signal(env, 4*time.Hour, "reject-1")
	env.ExecuteWorkflow(workflows.Approval, input)
	statusOf(t, env)
	if got := details(); !strings.Contains(got, "Approval 42 is **rejected**") {
		t.Errorf("in the end the details say %q", got)
	}
}
