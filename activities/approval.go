package activities

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/canonical"
	"finobs/internal/evidence"
	"finobs/internal/failpoint"
	"finobs/internal/fault"
	"finobs/internal/ledger"

	"go.temporal.io/sdk/activity"
)

// ApprovalTx is what the activities of the gate need of a transaction.
type ApprovalTx interface {
	Recorder
	Now() time.Time
	InsertRequest(ctx context.Context, r approval.Request) error
	LockRequest(ctx context.Context, id int64) (approval.Request, error)
	LapsedRequests(ctx context.Context, actionDigest, workflowID, firstRun string) ([]approval.Request, error)
	Decisions(ctx context.Context, approvalID int64) ([]approval.Recorded, error)
	InsertDecision(ctx context.Context, d approval.Recorded) error
	CloseRequest(ctx context.Context, id int64, to approval.Status, reason string, useBy *time.Time) error
}

// Approvals are the activities of the gate.
type Approvals struct {
	InTx     Transaction[ApprovalTx]
	Verifier *attest.Verifier
}

// OpenRequestInput is what a gated workflow was started with.
type OpenRequestInput struct {
	FirstRun   string `json:"first_run"`
	ApprovalID int64  `json:"approval_id"`
	Action     string `json:"action"`
	Policy     string `json:"policy"`
	Reason     string `json:"reason"`
	Command    string `json:"command"`
}

// GateStatus is where a request stands. ExpiresIn is counted by the database's
// clock; workflows make timers of it.
type GateStatus struct {
	Status    approval.Status `json:"status"`
	Missing   []string        `json:"missing"`
	Deadline  time.Time       `json:"deadline"`
	ExpiresIn time.Duration   `json:"expires_in"`
}

// OpenRequest records the request that a workflow gates, or finds it recorded.
// A start that the API did not sign is recorded as refused and fails.
func (a *Approvals) OpenRequest(ctx context.Context, in OpenRequestInput) (GateStatus, error) {
	request, policy, err := a.request(ctx, in)
	if err != nil {
		return GateStatus{}, temporalError(refuseStart(ctx, a.InTx, in.FirstRun, in.Command, err))
	}
	var out GateStatus
	err = a.InTx(ctx, func(tx ApprovalTx) error {
		existing, err := tx.LockRequest(ctx, request.ID)
		switch {
		case fault.KindOf(err) == fault.NotFound:
			return a.insertRequest(ctx, tx, in, request, policy, &out)
		case err != nil:
			return err
		case existing.ActionDigest != request.ActionDigest || existing.WorkflowID != request.WorkflowID:
			return fault.New(fault.Conflict, "approval-of-another-action", "approval %d is over another action", request.ID)
		}
		out, err = a.status(ctx, tx, existing)
		return err
	})
	if err != nil {
		err = refuseStart(ctx, a.InTx, in.FirstRun, in.Command, err)
	}
	failpoint.Hit("gate.after-open-request")
	return out, temporalError(err)
}

// request builds the record of a request from a workflow's input and checks that
// the API vouches for it.
func (a *Approvals) request(ctx context.Context, in OpenRequestInput) (approval.Request, *approval.Policy, error) {
	action, err := approval.ParseAction([]byte(in.Action))
	if err != nil {
		return approval.Request{}, nil, fault.Wrap(err, fault.Forbidden, "start-not-signed", "the action cannot be read")
	}
	c, err := a.Verifier.Command(in.Command)
	if err != nil {
		return approval.Request{}, nil, fault.Wrap(err, fault.Forbidden, "start-not-signed", "the start is not signed by the API")
	}
	info := activity.GetInfo(ctx)
	r := approval.Request{
		ID: in.ApprovalID, WorkflowID: info.WorkflowExecution.ID, FirstRunID: in.FirstRun, Kind: action.Kind,
		Action: []byte(in.Action), ActionDigest: canonical.DigestBytes(approval.ActionDigestDomain, []byte(in.Action)),
		Policy: []byte(in.Policy), PolicyDigest: canonical.DigestBytes(approval.PolicyDigestDomain, []byte(in.Policy)),
		Requester: action.Requester, Desk: action.Desk, Simulation: action.Mode == approval.Simulation,
		Reason: in.Reason, Command: in.Command, RequestID: c.RequestID, TraceID: c.TraceID,
	}
	_, policy, err := evidence.Request(a.Verifier, r)
	if err != nil {
		return r, nil, err
	}
	if c.WorkflowType != info.WorkflowType.Name {
		// An Approval may be asked for first and the export later; the command of
		// the one does not start the other.
		return r, nil, fault.New(fault.Forbidden, "start-not-signed", "the start was signed for workflow type %s", c.WorkflowType)
	}
	r.PolicyID = policy.ID
	return r, policy, nil
}

func (a *Approvals) insertRequest(ctx context.Context, tx ApprovalTx, in OpenRequestInput, r approval.Request, p *approval.Policy, out *GateStatus) error {
	if err := closeLapsed(ctx, tx, in, r); err != nil {
		return err
	}
	r.CreatedAt = tx.Now()
	r.ExpiresAt = tx.Now().Add(p.Expires)
	if err := tx.InsertRequest(ctx, r); err != nil {
		return err
	}
	_, err := tx.Append(ctx, stepOf(ctx, in.FirstRun, "open-request", strconv.FormatInt(r.ID, 10)), ledger.Entry{
		Type: "approval.requested", Actor: ledger.Actor{Kind: approval.Human, Person: r.Requester},
		Subject: approvalSubject(r.ID), Action: "request", Outcome: string(approval.Pending), Reason: r.Reason,
		Desk: r.Desk, RequestID: r.RequestID, TraceID: r.TraceID, Simulation: r.Simulation,
		Details: canonical.Object{
			"kind": r.Kind, "action": string(r.Action), "action_digest": r.ActionDigest, "policy_id": r.PolicyID,
			"policy_digest": r.PolicyDigest, "expires_at": ledger.FormatTime(r.ExpiresAt),
		},
	})
	if err != nil {
		return err
	}
	r.Status = approval.Pending
	*out, err = a.status(ctx, tx, r)
	return err
}

// status says where a request stands and, while it is pending, what is missing.
func (a *Approvals) status(ctx context.Context, tx ApprovalTx, r approval.Request) (GateStatus, error) {
	s := GateStatus{Status: r.Status, Missing: []string{}, Deadline: r.ExpiresAt, ExpiresIn: r.ExpiresAt.Sub(tx.Now())}
	if r.Status != approval.Pending {
		return s, nil
	}
	decisions, err := tx.Decisions(ctx, r.ID)
	if err != nil {
		return s, err
	}
	out, err := tally(r, decisions)
	if err != nil {
		return s, err
	}
	s.Missing = out.Missing
	return s, nil
}

func tally(r approval.Request, decisions []approval.Recorded) (approval.Outcome, error) {
	policy, err := approval.Thaw(r.Policy, r.PolicyDigest)
	if err != nil {
		return approval.Outcome{}, fmt.Errorf("tallying approval %d: %w", r.ID, err)
	}
	action, err := approval.ParseAction(r.Action)
	if err != nil {
		return approval.Outcome{}, fmt.Errorf("tallying approval %d: %w", r.ID, err)
	}
	var counted []approval.Decision
	for _, d := range decisions {
		if d.Outcome == approval.Counted {
			counted = append(counted, d.Decision)
		}
	}
	return approval.Tally(policy, action, counted), nil
}

// GateRef names a request to the activities that move it on.
type GateRef struct {
	FirstRun   string `json:"first_run"`
	ApprovalID int64  `json:"approval_id"`
}

// ExpireRequest lets a pending request expire when its deadline has passed by the
// database's clock, and otherwise changes nothing.
func (a *Approvals) ExpireRequest(ctx context.Context, in GateRef) (GateStatus, error) {
	return a.closePending(ctx, in, approval.Expired, "nobody decided in time", func(tx ApprovalTx, r approval.Request) bool {
		return !tx.Now().Before(r.ExpiresAt)
	})
}

// CancelRequest cancels a pending request whose workflow was cancelled.
func (a *Approvals) CancelRequest(ctx context.Context, in GateRef) (GateStatus, error) {
	return a.closePending(ctx, in, approval.Cancelled, "the workflow was cancelled", func(ApprovalTx, approval.Request) bool {
		return true
	})
}

func (a *Approvals) closePending(ctx context.Context, in GateRef, to approval.Status, reason string, due func(ApprovalTx, approval.Request) bool) (GateStatus, error) {
	var out GateStatus
	err := a.InTx(ctx, func(tx ApprovalTx) error {
		r, err := tx.LockRequest(ctx, in.ApprovalID)
		if err != nil {
			return err
		}
		if r.WorkflowID == activity.GetInfo(ctx).WorkflowExecution.ID && r.Status == approval.Pending && due(tx, r) {
			if err := tx.CloseRequest(ctx, r.ID, to, reason, nil); err != nil {
				return err
			}
			r.Status = to
			if err := appendClosed(ctx, tx, in.FirstRun, r, reason); err != nil {
				return err
			}
		}
		out, err = a.status(ctx, tx, r)
		return err
	})
	failpoint.Hit("gate.after-close")
	return out, temporalError(err)
}

// closeLapsed makes room for a new request over an action: an earlier one that
// can no longer be used must not stand in its way for ever.
func closeLapsed(ctx context.Context, tx ApprovalTx, in OpenRequestInput, request approval.Request) error {
	lapsed, err := tx.LapsedRequests(ctx, request.ActionDigest, request.WorkflowID, request.FirstRunID)
	if err != nil {
		return err
	}
	for _, r := range lapsed {
		to, reason := approval.Expired, "nobody decided on it, or used it, in time"
		if tx.Now().Before(r.ExpiresAt) && (r.UseBy == nil || !tx.Now().After(*r.UseBy)) {
			to, reason = approval.Cancelled, "its workflow ended without it"
		}
		if err := tx.CloseRequest(ctx, r.ID, to, reason, nil); err != nil {
			return err
		}
		r.Status = to
		if err := appendClosed(ctx, tx, in.FirstRun, r, reason); err != nil {
			return err
		}
	}
	return nil
}

func appendClosed(ctx context.Context, tx ApprovalTx, firstRun string, r approval.Request, reason string) error {
	_, err := tx.Append(ctx, stepOf(ctx, firstRun, "close-request", strconv.FormatInt(r.ID, 10)), ledger.Entry{
		Type: "approval." + string(r.Status), Actor: ledger.Itself("worker"), Subject: approvalSubject(r.ID),
		Action: "close", Outcome: string(r.Status), Reason: reason, Desk: r.Desk,
		RequestID: r.RequestID, TraceID: r.TraceID, Simulation: r.Simulation,
		Details: canonical.Object{"action_digest": r.ActionDigest},
	})
	return err
}

func approvalSubject(id int64) ledger.Subject {
	return ledger.Subject{Kind: "approval", ID: strconv.FormatInt(id, 10)}
}
