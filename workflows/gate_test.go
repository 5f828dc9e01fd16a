package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"finobs/activities"
	"finobs/internal/approval"
	"finobs/internal/export"
	"finobs/workflows"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"
)

// record stands for the database in tests of workflow logic alone; the activities
// themselves are tested on a real one.
type record struct {
	mu        sync.Mutex // activities run beside each other
	status    approval.Status
	needs     int // approvals
	expiresAt time.Time
	clock     func() time.Time
	tokens    []string
	expired   int // calls of ExpireRequest
	openErr   error
	recordErr error
	exports   []error // results of GenerateExport, in order; nil is success
	sealed    bool
	generated int
	claim     activities.ExportDone // what GenerateExport says
	bundled   []int64
	delivered []activities.DeliverInput
	lateness  time.Duration // how far the database's clock is behind the timer's
}

func (r *record) now() activities.GateStatus {
	return activities.GateStatus{
		Status: r.status, Missing: []string{}, Deadline: r.expiresAt, WakeIn: r.expiresAt.Sub(r.clock()) + r.lateness,
	}
}

func (r *record) open(context.Context, activities.OpenRequestInput) (activities.GateStatus, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now(), r.openErr
}

func (r *record) decide(_ context.Context, in activities.DecisionInput) (activities.GateStatus, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.recordErr != nil {
		err := r.recordErr
		r.recordErr = nil
		return activities.GateStatus{}, err
	}
	r.tokens = append(r.tokens, in.Token)
	if r.status == approval.Pending {
		switch {
		case strings.HasPrefix(in.Token, "reject"):
			r.status = approval.Rejected
		case strings.HasPrefix(in.Token, "approve"):
			if r.needs--; r.needs == 0 {
				r.status = approval.Approved
			}
		}
	}
	return r.now(), nil
}

func (r *record) expire(context.Context, activities.GateRef) (activities.GateStatus, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expired++
	if r.lateness > 0 { // the judge's clock says: not yet
		r.lateness = 0
		r.expiresAt = r.clock().Add(2 * time.Second)
		return r.now(), nil
	}
	if r.status == approval.Pending {
		r.status = approval.Expired
	}
	return r.now(), nil
}

func (r *record) cancel(context.Context, activities.GateRef) (activities.GateStatus, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.status == approval.Pending {
		r.status = approval.Cancelled
	}
	return r.now(), nil
}

func (r *record) generate(context.Context, activities.ExportRef) (activities.ExportDone, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.generated++
	var err error
	if len(r.exports) > 0 {
		err, r.exports = r.exports[0], r.exports[1:]
	}
	if err != nil {
		return activities.ExportDone{}, err
	}
	if r.claim.ExportID == 0 || r.generated > 1 {
		r.sealed, r.status = true, approval.Consumed
		return done(), nil
	}
	return r.claim, nil
}

func done() activities.ExportDone {
	return activities.ExportDone{ExportID: 7, ContentSHA256: "abc", Sealed: true}
}

func (r *record) confirm(context.Context, activities.ConfirmInput) (activities.ExportDone, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sealed {
		return done(), nil
	}
	return activities.ExportDone{}, nil
}

func newEnv(t *testing.T, r *record) *testsuite.TestWorkflowEnvironment {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(20 * time.Second)
	r.clock = env.Now
	r.status = approval.Pending
	if r.needs == 0 {
		r.needs = 1
	}
	r.expiresAt = env.Now().Add(24 * time.Hour)
	workflows.Register(env)
	for name, fn := range map[string]any{
		workflows.ActivityOpenRequest: r.open, workflows.ActivityRecordDecision: r.decide, workflows.ActivityExpireRequest: r.expire,
		workflows.ActivityCancelRequest: r.cancel, workflows.ActivityGenerateExport: r.generate, workflows.ActivityConfirmExport: r.confirm,
		workflows.ActivityBundleExport: r.bundle, workflows.ActivityDeliverExport: r.deliver, workflows.ActivityVerifyExports: r.verify,
	} {
		env.RegisterActivityWithOptions(fn, activity.RegisterOptions{Name: name})
	}
	return env
}

func signal(env *testsuite.TestWorkflowEnvironment, after time.Duration, token string) {
	env.RegisterDelayedCallback(func() {
		env.SignalWorkflow(workflows.SignalDecision, workflows.DecisionSignal{Token: token})
	}, after)
}

var input = workflows.GateInput{ApprovalID: 42, Action: "{}", Policy: "{}", Command: "c"}

func statusOf(t *testing.T, env *testsuite.TestWorkflowEnvironment) approval.Status {
	t.Helper()
	if !env.IsWorkflowCompleted() {
		t.Fatal("the workflow did not end")
	}
	var out workflows.GateResult
	if err := env.GetWorkflowResult(&out); err != nil {
		t.Fatal(err)
	}
	return out.Status
}

func TestGateEndsWithTheRecord(t *testing.T) {
	for name, tc := range map[string]struct {
		needs   int
		signals []string
		want    approval.Status
	}{
		"one approval":             {1, []string{"approve-1"}, approval.Approved},
		"two approvals":            {2, []string{"approve-1", "approve-2"}, approval.Approved},
		"the same token twice":     {2, []string{"approve-1", "approve-1"}, approval.Expired},
		"a rejection":              {2, []string{"approve-1", "reject-1"}, approval.Rejected},
		"only forged signals":      {1, []string{"forged", "", "forged-2"}, approval.Expired},
		"nobody":                   {1, nil, approval.Expired},
		"approved after a forgery": {1, []string{"forged", "approve-1"}, approval.Approved},
	} {
		r := &record{needs: tc.needs}
		env := newEnv(t, r)
		for i, token := range tc.signals {
			signal(env, time.Duration(i+1)*time.Hour, token)
		}
		env.ExecuteWorkflow(workflows.Approval, input)
		if got := statusOf(t, env); got != tc.want {
			t.Errorf("%s: got %s, want %s", name, got, tc.want)
		}
	}
}

func TestGateAnswersQueries(t *testing.T) {
	r := &record{}
	env := newEnv(t, r)
	env.RegisterDelayedCallback(func() {
		value, err := env.QueryWorkflow(workflows.QueryGate)
		if err != nil {
			t.Error(err)
			return
		}
		var state workflows.GateState
		if err := value.Get(&state); err != nil || state.ApprovalID != 42 || state.Status != approval.Pending || state.Deadline.IsZero() {
			t.Errorf("got %+v, %v", state, err)
		}
	}, time.Hour)
	signal(env, 2*time.Hour, "approve-1")
	env.ExecuteWorkflow(workflows.Approval, input)
	statusOf(t, env)
}

func TestGateWaitsForTheJudgesClock(t *testing.T) {
	r := &record{lateness: time.Second}
	env := newEnv(t, r)
	env.ExecuteWorkflow(workflows.Approval, input)
	if got := statusOf(t, env); got != approval.Expired || r.expired != 2 {
		t.Errorf("got %s after %d calls", got, r.expired)
	}
}

func TestGateRecordsWhatCameBeforeTheTimer(t *testing.T) {
	r := &record{}
	env := newEnv(t, r)
	// Both become ready in one task; the decision was made in time.
	signal(env, 24*time.Hour, "approve-1")
	env.ExecuteWorkflow(workflows.Approval, input)
	if got := statusOf(t, env); len(r.tokens) != 1 || (got != approval.Approved && got != approval.Expired) {
		t.Errorf("got %s, %d tokens recorded", got, len(r.tokens))
	}
}

func TestGateSurvivesADatabaseThatIsDown(t *testing.T) {
	r := &record{recordErr: errors.New("connection refused")}
	env := newEnv(t, r)
	signal(env, time.Hour, "approve-1")
	env.ExecuteWorkflow(workflows.Approval, input)
	if got := statusOf(t, env); got != approval.Approved {
		t.Errorf("got %s", got)
	}
}

func TestGateRefusesAStartThatNobodySigned(t *testing.T) {
	r := &record{openErr: temporal.NewNonRetryableApplicationError("not signed", "start-not-signed", nil)}
	env := newEnv(t, r)
	env.ExecuteWorkflow(workflows.Export, input)
	var refused *temporal.ApplicationError
	if err := env.GetWorkflowError(); !errors.As(err, &refused) || refused.Type() != "start-not-signed" {
		t.Errorf("ended with %v", err)
	}
	if r.generated != 0 {
		t.Error("the export ran")
	}
}

func TestCancelledWorkflowCancelsItsRequest(t *testing.T) {
	for name, cancelAt := range map[string]time.Duration{"while it waits": time.Hour, "at once": 0} {
		r := &record{}
		env := newEnv(t, r)
		env.RegisterDelayedCallback(env.CancelWorkflow, cancelAt)
		env.ExecuteWorkflow(workflows.Export, input)
		if err := env.GetWorkflowError(); !temporal.IsCanceledError(err) {
			t.Errorf("%s: ended with %v", name, err)
		}
		if r.status != approval.Cancelled || r.generated != 0 {
			t.Errorf("%s: the request is %s, %d exports", name, r.status, r.generated)
		}
	}
}

// A long history is cut off where nothing is lost: no signal waits, and the next
// run starts from the same input and the record.
func TestGateContinuesAsNew(t *testing.T) {
	r := &record{}
	env := newEnv(t, r)
	env.RegisterDelayedCallback(func() {
		env.SetContinueAsNewSuggested(true)
		for i := range 3 {
			env.SignalWorkflow(workflows.SignalDecision, workflows.DecisionSignal{Token: fmt.Sprintf("forged-%d", i)})
		}
	}, time.Hour)
	env.ExecuteWorkflow(workflows.Export, input)
	var next *workflow.ContinueAsNewError
	if err := env.GetWorkflowError(); !errors.As(err, &next) || next.WorkflowType.Name != workflows.Export {
		t.Fatalf("ended with %v", err)
	}
	if len(r.tokens) != 3 {
		t.Errorf("%d of 3 signals were recorded before the cut", len(r.tokens))
	}
	var again workflows.GateInput
	if err := converter.GetDefaultDataConverter().FromPayloads(next.Input, &again); err != nil || again != input {
		t.Errorf("the next run starts with %+v, %v", again, err)
	}
}

func (r *record) bundle(_ context.Context, in activities.BundleInput) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bundled = append(r.bundled, in.ExportID)
	return nil
}

func (r *record) deliver(_ context.Context, in activities.DeliverInput) (export.DeliveryStatus, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delivered = append(r.delivered, in)
	return export.Delivered, nil
}

func (r *record) verify(_ context.Context, in activities.VerifyInput) ([]activities.Judged, error) {
	return []activities.Judged{{ExportID: in.ExportIDs[0], Verdict: export.Verified}}, nil
}

func TestExport(t *testing.T) {
	denied := temporal.NewNonRetryableApplicationError("no", "evidence-broken", nil)
	for name, tc := range map[string]struct {
		signal    string
		record    *record
		status    approval.Status
		generated int
		fails     bool
	}{
		"approved":                  {"approve-1", &record{}, approval.Consumed, 1, false},
		"rejected":                  {"reject-1", &record{}, approval.Rejected, 0, false},
		"expired":                   {"", &record{}, approval.Expired, 0, false},
		"passing trouble":           {"approve-1", &record{exports: []error{errors.New("disk full")}}, approval.Consumed, 2, false},
		"completed by hand":         {"approve-1", &record{claim: activities.ExportDone{ExportID: 99, Sealed: true}}, approval.Consumed, 2, false},
		"denied each time":          {"approve-1", &record{exports: []error{denied, denied, denied}}, "", 3, true},
		"failed by hand, then done": {"approve-1", &record{exports: []error{denied}}, approval.Consumed, 2, false},
	} {
		r := tc.record
		env := newEnv(t, r)
		if tc.signal != "" {
			signal(env, time.Hour, tc.signal)
		}
		env.ExecuteWorkflow(workflows.Export, input)
		if tc.fails {
			if env.GetWorkflowError() == nil {
				t.Errorf("%s: did not fail", name)
			}
		} else if got := statusOf(t, env); got != tc.status {
			t.Errorf("%s: got %s, want %s", name, got, tc.status)
		}
		if r.generated != tc.generated {
			t.Errorf("%s: the export ran %d times, want %d", name, r.generated, tc.generated)
		}
		if consumed := tc.status == approval.Consumed; consumed != slices.Equal(r.bundled, []int64{done().ExportID}) || !consumed && len(r.bundled) > 0 {
			t.Errorf("%s: bundles of %v", name, r.bundled)
		}
	}
}

// A decision that Temporal accepted while the export runs is recorded, though it
// changes nothing.
func TestDecisionsDuringTheEffectAreRecorded(t *testing.T) {
	r := &record{}
	env := newEnv(t, r)
	env.RegisterDelayedCallback(func() {
		for i := range 5 {
			env.SignalWorkflow(workflows.SignalDecision, workflows.DecisionSignal{Token: fmt.Sprintf("approve-%d", i)})
		}
	}, time.Hour)
	env.ExecuteWorkflow(workflows.Export, input)
	if got := statusOf(t, env); got != approval.Consumed || len(r.tokens) != 5 {
		t.Errorf("got %s, %d of 5 decisions recorded", got, len(r.tokens))
	}
}

func TestSignalsOfAnyShapeAreRecorded(t *testing.T) {
	r := &record{}
	env := newEnv(t, r)
	for i, payload := range []any{"text", 42, nil, map[string]int{"token": 1}, []byte("raw")} {
		env.RegisterDelayedCallback(func() { env.SignalWorkflow(workflows.SignalDecision, payload) }, time.Duration(i+1)*time.Minute)
	}
	signal(env, time.Hour, "approve-1")
	env.ExecuteWorkflow(workflows.Approval, input)
	if got := statusOf(t, env); got != approval.Approved || len(r.tokens) != 6 {
		t.Errorf("got %s, recorded %q", got, r.tokens)
	}
}

// A delivery goes to where it was asked for, and is read back.
func TestDeliver(t *testing.T) {
	r := &record{}
	env := newEnv(t, r)
	env.ExecuteWorkflow(workflows.Deliver, workflows.DeliverInput{ExportID: 7, Destination: "archive"})
	var got workflows.DeliverResult
	if err := env.GetWorkflowResult(&got); err != nil || got.Status != export.Delivered || got.Verdict != export.Verified {
		t.Errorf("got %+v, %v", got, err)
	}
	if len(r.delivered) != 1 || r.delivered[0].ExportID != 7 || r.delivered[0].Destination != "archive" {
		t.Errorf("delivered %+v", r.delivered)
	}
}
