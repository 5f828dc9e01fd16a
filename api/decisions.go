package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/failpoint"
	"finobs/internal/fault"
	"finobs/workflows"

	"github.com/google/uuid"
	"go.temporal.io/api/serviceerror"
)

type decideInput struct {
	ID   int64 `path:"id" minimum:"1"`
	Body struct {
		Decision string `json:"decision" enum:"approve,approved,reject,rejected"`
		Reason   string `json:"reason,omitempty" maxLength:"2000"`
	}
}

type decidedView struct {
	DecisionID string          `json:"decision_id"`
	ID         int64           `json:"approval_request_id"`
	Verdict    string          `json:"verdict" enum:"approve,reject"`
	Recorded   bool            `json:"recorded" doc:"false: accepted, and recorded as soon as a worker is there"`
	Status     approval.Status `json:"status" doc:"of the request"`
	Detail     string          `json:"detail"`
}

type decidedOutput struct {
	Status int
	Body   decidedView
}

// decide signs the caller's verdict, hands it to the workflow, and answers when
// it is recorded, or with 202 when that takes long. It says 2xx only once
// Temporal has the signal, which survives every process.
func (s *Server) decide(ctx context.Context, in *decideInput) (*decidedOutput, error) {
	verdict, _ := approval.ParseVerdict(in.Body.Decision)
	r, err := s.recorded(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if out, err := s.decidedBefore(ctx, r, verdict); out != nil || err != nil {
		return out, err
	}
	if err := s.mayDecide(ctx, r); err != nil {
		return nil, err
	}
	now, err := s.Reader.Now(ctx)
	if err != nil {
		return nil, err
	}
	if !now.Before(r.ExpiresAt) {
		return nil, fault.New(fault.Conflict, "approval-expired", "the deadline passed at %s", r.ExpiresAt.Format(time.RFC3339))
	}
	id := uuid.Must(uuid.NewV7()).String()
	token, err := s.Signer.Decision(ctx, attest.Decision{
		ID: id, IssuedAt: now, ApprovalID: r.ID, WorkflowID: r.WorkflowID, ActionDigest: r.ActionDigest, PolicyDigest: r.PolicyDigest,
		Verdict: verdict, Reason: in.Body.Reason, Reviewer: principal(ctx), Deadline: r.ExpiresAt,
		RequestID: requestID(ctx), TraceID: traceID(ctx),
	})
	if err != nil {
		return nil, fmt.Errorf("signing decision: %w", err)
	}
	failpoint.Hit("api.before-signal")
	if err := s.signal(ctx, r, token); err != nil {
		return nil, err
	}
	failpoint.Hit("api.after-signal")
	return s.awaitDecision(ctx, r, id, verdict)
}

// decidedBefore answers a repeated decision with the first one.
func (s *Server) decidedBefore(ctx context.Context, r approval.Request, v approval.Verdict) (*decidedOutput, error) {
	earlier, err := s.Reader.Decisions(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	for _, d := range earlier {
		if d.Outcome == approval.Counted && d.Reviewer.Same(principal(ctx).Person) {
			return repeated(r, d, v)
		}
	}
	return nil, nil
}

func repeated(r approval.Request, first approval.Recorded, v approval.Verdict) (*decidedOutput, error) {
	if first.Verdict != v {
		return nil, fault.New(fault.Conflict, "decided-otherwise", "you decided %s on %s; the first decision stands",
			first.Verdict, first.DecidedAt.Format(time.RFC3339))
	}
	return &decidedOutput{http.StatusOK, decidedView{first.ID, r.ID, string(v), true, r.Status, "you had decided so before"}}, nil
}

// mayDecide refuses early what the record would refuse anyway. The record is the
// judge; this spares people a wait.
func (s *Server) mayDecide(ctx context.Context, r approval.Request) error {
	policy, action, err := governing(r)
	if err != nil {
		return err
	}
	if why := policy.Ineligible(action, approval.Decision{Reviewer: principal(ctx)}); why != "" {
		s.recordDenial(ctx, "POST /approval/:id/decision", "authorize", fmt.Sprintf("approval %d: %s", r.ID, why))
		return fault.New(fault.Forbidden, "not-eligible", "%s", why)
	}
	if r.Status != approval.Pending {
		return fault.New(fault.Conflict, "approval-not-pending", "approval %d is %s already", r.ID, r.Status)
	}
	return nil
}

func (s *Server) signal(ctx context.Context, r approval.Request, token string) error {
	ctx, cancel := context.WithTimeout(ctx, temporalTimeout)
	defer cancel()
	err := s.Temporal.SignalWorkflow(ctx, r.WorkflowID, "", workflows.SignalDecision, workflows.DecisionSignal{Token: token})
	var notFound *serviceerror.NotFound
	if errors.As(err, &notFound) {
		return fault.Wrap(err, fault.Conflict, "workflow-not-running", "the workflow of approval %d has ended; ask for the action again, with renew", r.ID)
	}
	return temporalFault(err)
}

// awaitDecision waits until the decision is recorded, but not long: it is safe
// with Temporal.
func (s *Server) awaitDecision(ctx context.Context, r approval.Request, id string, v approval.Verdict) (*decidedOutput, error) {
	var d approval.Recorded
	var found bool
	var err error
	s.poll(ctx, func() bool {
		d, found, err = s.Reader.Decision(ctx, id)
		return found
	})
	if found {
		return s.outcome(ctx, d, v)
	}
	if err != nil { // the signal is safe; only the answer is not known
		s.log.WarnContext(ctx, "decision accepted, outcome not read", "decision_id", id, "error", err)
	}
	return &decidedOutput{http.StatusAccepted, decidedView{id, r.ID, string(v), false, r.Status,
		"the decision is accepted and will be recorded; look at the approval"}}, nil
}

// outcome answers with what the record made of a decision.
func (s *Server) outcome(ctx context.Context, d approval.Recorded, v approval.Verdict) (*decidedOutput, error) {
	r, err := s.Reader.Approval(ctx, d.ApprovalID)
	if err != nil {
		return nil, err
	}
	switch d.Outcome {
	case approval.Counted:
		return &decidedOutput{http.StatusOK, decidedView{d.ID, r.ID, string(v), true, r.Status, "the decision is recorded"}}, nil
	case approval.Refused: // said below
	case approval.Repeated:
		first, found, err := s.Reader.Decision(ctx, d.CountedAs)
		if err != nil {
			return nil, err
		}
		if found {
			return repeated(r, first, v)
		}
	}
	return nil, fault.New(fault.Conflict, "decision-not-counted", "the decision is recorded and does not count: %s", d.OutcomeReason)
}
