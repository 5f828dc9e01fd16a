package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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
		Digest   string `json:"action_digest,omitempty" pattern:"^sha256:[0-9a-f]{64}$" doc:"of the action that the decider was shown; the decision is refused when the request is about another"`
	}
}

// decides makes a handler of one verdict, for the brief's names of the routes.
func (s *Server) decides(v approval.Verdict) func(context.Context, *reasonInput) (*decidedOutput, error) {
	return func(ctx context.Context, in *reasonInput) (*decidedOutput, error) {
		r, err := s.recorded(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		return s.decideOn(ctx, r, v, in.Body.reason())
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
	if in.Body.Digest != "" {
		if err := sawAction(r, in.Body.Digest); err != nil {
			return nil, err
		}
	}
	return s.decideOn(ctx, r, verdict, in.Body.Reason)
}

// sawAction fails unless the digest is that of the request's action.
func sawAction(r approval.Request, digest string) error {
	if r.ActionDigest == digest {
		return nil
	}
	return fault.New(fault.Conflict, "digest-differs", "approval %d is over %s; look at it again", r.ID, r.ActionDigest)
}

func (s *Server) decideOn(ctx context.Context, r approval.Request, verdict approval.Verdict, reason string) (*decidedOutput, error) {
	earlier, err := s.Reader.Decisions(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	if out, err := s.decidedBefore(ctx, r, earlier, verdict); out != nil || err != nil {
		return out, err
	}
	now, err := s.Reader.Now(ctx)
	if err != nil {
		return nil, err
	}
	said, err := s.mayDecide(ctx, r, earlier, now, verdict)
	if err != nil {
		return nil, err
	}
	if !now.Before(r.ExpiresAt) {
		return nil, fault.New(fault.Conflict, "approval-expired", "the deadline passed at %s", r.ExpiresAt.Format(time.RFC3339))
	}
	sum := sha256.Sum256([]byte(r.Summary))
	said.ID, said.IssuedAt, said.Verdict, said.Reason = uuid.Must(uuid.NewV7()).String(), now, verdict, reason
	said.ApprovalID, said.WorkflowID, said.ActionDigest, said.PolicyDigest = r.ID, r.WorkflowID, r.ActionDigest, r.PolicyDigest
	said.SummarySHA256, said.Deadline, said.RequestID, said.TraceID = hex.EncodeToString(sum[:]), r.ExpiresAt, requestID(ctx), traceID(ctx)
	token, err := s.Signer.Decision(ctx, said)
	if err != nil {
		return nil, fmt.Errorf("signing decision: %w", err)
	}
	failpoint.Hit("api.before-signal")
	if err := s.signal(ctx, r, token); err != nil {
		return s.overtaken(ctx, r, verdict, err)
	}
	failpoint.Hit("api.after-signal")
	return s.awaitDecision(ctx, r, said.ID, verdict)
}

// decidedBefore answers a repeated decision with the first one.
func (s *Server) decidedBefore(ctx context.Context, r approval.Request, earlier []approval.Recorded, v approval.Verdict) (*decidedOutput, error) {
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

// mayDecide refuses early what the record would refuse anyway, and finds the
// capacity in which the caller decides: for himself, or in somebody's place. The
// record is the judge; this spares people a wait.
func (s *Server) mayDecide(ctx context.Context, r approval.Request, earlier []approval.Recorded, now time.Time, v approval.Verdict) (attest.Decision, error) {
	policy, action, err := governing(r)
	if err != nil {
		return attest.Decision{}, err
	}
	setting, err := s.settings.fresh(ctx, now)
	if err != nil {
		return attest.Decision{}, err
	}
	setting.ApprovalID = r.ID
	me := principal(ctx)
	d, why := setting.Claim(policy, action, counted(earlier), me, v, r.Fallback())
	if why == "" && r.Status == approval.Pending {
		said := attest.Decision{Reviewer: d.Reviewer, OnBehalfOf: d.OnBehalfOf, Fallback: d.Fallback}
		said.DelegationID = delegationOf(setting, d)
		return said, nil
	}
	// What the roster and the policy say of the person is a refusal; what only
	// the state of the request says is not.
	for _, capacity := range capacities(setting, me) {
		capacity.Verdict, capacity.Fallback = v, r.Fallback()
		if _, barred := setting.Standing(policy, action, capacity); barred != "" {
			continue
		}
		if r.Status != approval.Pending {
			return attest.Decision{}, fault.New(fault.Conflict, "approval-not-pending", "approval %d is %s already", r.ID, r.Status)
		}
		return attest.Decision{}, fault.New(fault.Conflict, "not-your-turn", "%s", why)
	}
	if r.Status != approval.Pending { // the words of the tally are about the status
		_, why = setting.Standing(policy, action, approval.Decision{Verdict: v, Reviewer: me, Fallback: r.Fallback()})
	}
	s.recordDenial(ctx, "authorize", fmt.Sprintf("approval %d: %s", r.ID, why))
	return attest.Decision{}, fault.New(fault.Forbidden, "not-eligible", "%s", why)
}

// capacities are the ways in which somebody might decide: for himself, and
// through each delegation to him.
func capacities(s approval.Setting, me approval.Principal) []approval.Decision {
	out := []approval.Decision{{Reviewer: me}}
	for _, d := range s.Delegations {
		if d.To.Same(me.Person) && d.InForce(s.Now, s.ApprovalID) {
			out = append(out, approval.Decision{Reviewer: me, OnBehalfOf: &d.From})
		}
	}
	return out
}

// delegationOf finds the delegation by which a decision is made in somebody's
// place; 0 when it is not.
func delegationOf(s approval.Setting, d approval.Decision) int64 {
	if d.OnBehalfOf == nil {
		return 0
	}
	for _, given := range s.Delegations {
		if given.From.Same(d.OnBehalfOf.Person) && given.To.Same(d.Reviewer.Person) && given.InForce(s.Now, s.ApprovalID) {
			return given.ID
		}
	}
	return 0
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

// overtaken answers a decision that could not be delivered because the workflow
// ended a moment ago: with what the record says by now.
func (s *Server) overtaken(ctx context.Context, r approval.Request, v approval.Verdict, why error) (*decidedOutput, error) {
	if fault.CodeOf(why) != "workflow-not-running" {
		return nil, why
	}
	now, err := s.Reader.Approval(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	decisions, err := s.Reader.Decisions(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	if out, err := s.decidedBefore(ctx, now, decisions, v); out != nil || err != nil {
		return out, err
	}
	if now.Status != approval.Pending {
		return nil, fault.New(fault.Conflict, "approval-not-pending", "approval %d is %s already", now.ID, now.Status)
	}
	return nil, why
}

// awaitDecision waits until the decision is recorded, but not long: it is safe
// with Temporal.
func (s *Server) awaitDecision(ctx context.Context, r approval.Request, id string, v approval.Verdict) (*decidedOutput, error) {
	wait, cancel := context.WithTimeout(ctx, s.AnswerWait)
	defer cancel()
	d, found, err := s.decisions.wait(wait, id)
	if found {
		r.Status = d.Request
		return s.outcome(ctx, r, d.Recorded, v)
	}
	if err != nil { // the signal is safe; only the answer is not known
		s.log.WarnContext(ctx, "decision accepted, outcome not read", "decision_id", id, "error", err)
	}
	return &decidedOutput{http.StatusAccepted, decidedView{id, r.ID, string(v), false, r.Status,
		"the decision is accepted and will be recorded; look at the approval"}}, nil
}

// outcome answers with what the record made of a decision.
func (s *Server) outcome(ctx context.Context, r approval.Request, d approval.Recorded, v approval.Verdict) (*decidedOutput, error) {
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
