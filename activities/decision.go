package activities

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/canonical"
	"finobs/internal/evidence"
	"finobs/internal/failpoint"
	"finobs/internal/fault"
	"finobs/internal/ledger"
)

// DecisionInput is a signal's payload and the request that the workflow gates.
type DecisionInput struct {
	GateRef
	Token string `json:"token"`
}

// RecordDecision judges a delivered decision and records it, with the request's
// new status and the ledger entry, in one transaction. Whatever arrives is
// recorded; nothing that arrives is an error.
func (a *Approvals) RecordDecision(ctx context.Context, in DecisionInput) (GateStatus, error) {
	var out GateStatus
	err := a.InTx(ctx, func(tx ApprovalTx) error {
		r, err := tx.LockRequest(ctx, in.ApprovalID)
		if err != nil {
			return err
		}
		said, err := evidence.Decision(a.Verifier, r, in.Token)
		if err != nil {
			out, err = a.refuseSignal(ctx, tx, in, r, err)
			return err
		}
		out, err = a.record(ctx, tx, in, r, said)
		return err
	})
	failpoint.Hit("gate.after-record-decision")
	return out, temporalError(err)
}

func (a *Approvals) record(ctx context.Context, tx ApprovalTx, in DecisionInput, r approval.Request, said attest.Decision) (GateStatus, error) {
	earlier, err := tx.Decisions(ctx, r.ID)
	if err != nil {
		return GateStatus{}, err
	}
	d := approval.Recorded{
		Decision:   approval.Decision{ID: said.ID, Verdict: said.Verdict, Reviewer: said.Reviewer},
		ApprovalID: r.ID, Reason: said.Reason, Token: in.Token, TraceID: said.TraceID,
		DecidedAt: said.IssuedAt, RecordedAt: tx.Now(),
	}
	for _, e := range earlier {
		if e.ID == d.ID { // a retry, or the signal was delivered twice
			return a.status(ctx, tx, r)
		}
		if e.Outcome == approval.Counted && e.Reviewer.Same(d.Reviewer.Person) {
			d.CountedAs = e.ID
		}
	}
	if err := judge(r, &d); err != nil {
		return GateStatus{}, err
	}
	if err := tx.InsertDecision(ctx, d); err != nil {
		return GateStatus{}, err
	}
	if d.Outcome == approval.Counted {
		if r, err = a.advance(ctx, tx, r, append(earlier, d)); err != nil {
			return GateStatus{}, err
		}
	}
	if err := a.appendDecision(ctx, tx, in, r, d, said); err != nil {
		return GateStatus{}, err
	}
	return a.status(ctx, tx, r)
}

// judge fills in what becomes of a decision.
func judge(r approval.Request, d *approval.Recorded) error {
	policy, err := approval.Thaw(r.Policy, r.PolicyDigest)
	if err != nil {
		return fmt.Errorf("judging decision %s: %w", d.ID, err)
	}
	action, err := approval.ParseAction(r.Action)
	if err != nil {
		return fmt.Errorf("judging decision %s: %w", d.ID, err)
	}
	switch why := policy.Ineligible(action, d.Decision); {
	case d.CountedAs != "":
		d.Outcome, d.OutcomeReason = approval.Repeated, "this person decided before; the first decision stands"
	case why != "":
		d.Outcome, d.OutcomeReason = approval.Refused, why
	case r.Status != approval.Pending:
		d.Outcome, d.OutcomeReason = approval.Refused, "the request was already "+string(r.Status)
	default:
		d.Outcome = approval.Counted
	}
	return nil
}

// advance moves the request on when the decisions settle it.
func (a *Approvals) advance(ctx context.Context, tx ApprovalTx, r approval.Request, decisions []approval.Recorded) (approval.Request, error) {
	out, err := tally(r, decisions)
	if err != nil || out.Status == approval.Pending {
		return r, err
	}
	var useBy *time.Time
	if out.Status == approval.Approved {
		policy, err := approval.Thaw(r.Policy, r.PolicyDigest)
		if err != nil {
			return r, fmt.Errorf("settling approval %d: %w", r.ID, err)
		}
		at := tx.Now().Add(policy.Expires)
		useBy = &at
	}
	last := decisions[len(decisions)-1]
	if err := tx.CloseRequest(ctx, r.ID, out.Status, last.Reason, useBy); err != nil {
		return r, err
	}
	r.Status = out.Status
	return r, nil
}

func (a *Approvals) appendDecision(ctx context.Context, tx ApprovalTx, in DecisionInput, r approval.Request, d approval.Recorded, said attest.Decision) error {
	token := sha256.Sum256([]byte(in.Token))
	_, err := tx.Append(ctx, stepOf(ctx, in.FirstRun, "record-decision", d.ID), ledger.Entry{
		Type: "approval.decided", Actor: ledger.By(d.Reviewer), Subject: approvalSubject(r.ID),
		Action: string(d.Verdict), Outcome: string(d.Outcome), Reason: d.Reason, Desk: r.Desk,
		RequestID: said.RequestID, TraceID: said.TraceID, Simulation: r.Simulation,
		Details: canonical.Object{
			"decision_id": d.ID, "outcome_reason": d.OutcomeReason, "status": string(r.Status),
			"action_digest": r.ActionDigest, "policy_digest": r.PolicyDigest, "roles": rolesOf(d.Reviewer),
			"decided_at": ledger.FormatTime(d.DecidedAt), "token_sha256": hex.EncodeToString(token[:]),
		},
	})
	return err
}

func rolesOf(p approval.Principal) []string {
	if p.Roles == nil {
		return []string{}
	}
	return p.Roles
}

// refuseSignal records a signal that is not a decision on this request: forged,
// replayed from another one, or made after the deadline. It is one entry however
// often the same signal comes.
func (a *Approvals) refuseSignal(ctx context.Context, tx ApprovalTx, in DecisionInput, r approval.Request, why error) (GateStatus, error) {
	sum := sha256.Sum256([]byte(in.Token))
	digest := hex.EncodeToString(sum[:])
	_, err := tx.Append(ctx, stepOf(ctx, in.FirstRun, "refuse-signal", digest), ledger.Entry{
		Type: "approval.signal_refused", Actor: ledger.Itself("worker"), Subject: approvalSubject(r.ID),
		Action: "decide", Outcome: "refused", Reason: fault.MessageOf(why), Desk: r.Desk,
		RequestID: r.RequestID, TraceID: r.TraceID, Simulation: r.Simulation,
		Details: canonical.Object{"code": fault.CodeOf(why), "token_sha256": digest},
	})
	if err != nil {
		return GateStatus{}, err
	}
	return a.status(ctx, tx, r)
}
