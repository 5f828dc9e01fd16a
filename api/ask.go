package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/evidence"
	"finobs/internal/fault"
	"finobs/workflows"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
)

// temporalTimeout bounds one call to Temporal: a caller rather hears 503 than
// waits.
const temporalTimeout = 4 * time.Second

// asked is a request for approval as far as the API knows it. Until a worker has
// recorded it, only id and status are known.
type asked struct {
	approval.Request
	Recorded bool
}

// question is what a person asks to have approved.
type question struct {
	action       approval.Action
	workflowType string
	reason       string
	renew        bool   // ask again although the same action was decided before
	attachment   string // content that the action names by its digest
	links        approval.Links
	id           int64             // of the approval, when it was taken before; 0: the next one
	floor        approval.RiskTier // the action is at least as risky
}

// ask gets an action before the people who must approve it. The same action by
// the same requester is one request: asking again answers with it while it can
// still be used, and, unless renew is set, for the policy's time after it ended.
func (s *Server) ask(ctx context.Context, q question) (asked, error) {
	policies, err := s.policiesInForce(ctx)
	if err != nil {
		return asked{}, err
	}
	if q.action.RiskTier, err = policies.Classify(q.action); err != nil {
		return asked{}, err
	}
	if q.floor.AtLeast(q.action.RiskTier) {
		q.action.RiskTier = q.floor
	}
	policy, err := policies.For(q.action)
	if err != nil {
		return asked{}, err
	}
	frozen, policyDigest, err := policy.Freeze()
	if err != nil {
		return asked{}, err
	}
	q.action.PolicyDigest = policyDigest
	if err := q.action.Validate(); err != nil {
		return asked{}, err
	}
	digest, err := q.action.Digest()
	if err != nil {
		return asked{}, fault.Wrap(err, fault.Invalid, "invalid-action", "the action is not valid text")
	}
	latest, found, err := s.Reader.LatestApproval(ctx, digest)
	if err != nil {
		return asked{}, err
	}
	if found {
		now, err := s.Reader.Now(ctx)
		if err != nil {
			return asked{}, err
		}
		if answers(latest, now, policy.ReuseFor, q.renew) {
			return asked{latest, true}, nil
		}
	}
	return s.start(ctx, q, digest, frozen)
}

// policiesInForce waits a little for the first worker, which puts the first
// policies in force.
func (s *Server) policiesInForce(ctx context.Context) (policies *approval.Policies, err error) {
	s.poll(ctx, func() bool {
		policies, err = s.policies.inForce(ctx)
		return fault.CodeOf(err) != "no-policies-yet"
	})
	return policies, err
}

// answers reports whether a recorded request answers the same question again.
func answers(r approval.Request, now time.Time, window time.Duration, renew bool) bool {
	switch r.Status {
	case approval.Pending:
		// Otherwise the workflow answers, if it still runs.
		return !renew && now.Before(r.ExpiresAt)
	case approval.Approved:
		return r.UseBy == nil || now.Before(*r.UseBy)
	default:
		return !renew && r.ClosedAt != nil && now.Before(r.ClosedAt.Add(window))
	}
}

func (s *Server) start(ctx context.Context, q question, digest string, policy []byte) (asked, error) {
	id := q.id
	if id == 0 {
		var err error
		if id, err = s.Reader.NextApprovalID(ctx); err != nil {
			return asked{}, err
		}
	}
	a := q.action
	action, err := a.Canonical()
	if err != nil {
		return asked{}, err
	}
	payload, err := evidence.RequestDigest(id, digest, a.PolicyDigest, q.reason, q.links)
	if err != nil {
		return asked{}, fault.Wrap(err, fault.Invalid, "invalid-reason", "the reason is not valid text")
	}
	workflowID := workflows.ActionWorkflowID(digest)
	command, err := s.command(ctx, q.workflowType, workflowID, payload)
	if err != nil {
		return asked{}, err
	}
	input := workflows.GateInput{
		ApprovalID: id, Action: string(action), Policy: string(policy), Reason: q.reason, Command: command,
		Attachment: q.attachment, Links: q.links,
	}
	id, err = s.startOrJoin(ctx, id, client.StartWorkflowOptions{
		ID: workflowID, TaskQueue: workflows.TaskQueue,
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		Memo:                  map[string]any{workflows.MemoApprovalID: id},
		StaticSummary:         fmt.Sprintf("approval %d: %s, desk %s, %s risk", id, a.Kind, orAll(a.Desk), a.RiskTier),
		TypedSearchAttributes: temporal.NewSearchAttributes(
			workflows.SearchApprovalID.ValueSet(id), workflows.SearchStatus.ValueSet(string(approval.Pending)),
			workflows.SearchKind.ValueSet(a.Kind), workflows.SearchDesk.ValueSet(a.Desk), workflows.SearchRiskTier.ValueSet(string(a.RiskTier)),
			workflows.SearchRequester.ValueSet(a.Requester.Subject)),
	}, q.workflowType, input)
	if err != nil {
		return asked{}, err
	}
	markApproval(ctx, id)
	return s.awaitRequest(ctx, id), nil
}

func orAll(desk string) string {
	if desk == "" {
		return "(all)"
	}
	return desk
}

// startOrJoin starts the workflow of an action and returns the approval id. When
// one runs already, it answers with that one's id; when that one's approval is
// decided and spent, it is about to end, and the start waits for it.
func (s *Server) startOrJoin(ctx context.Context, id int64, o client.StartWorkflowOptions, workflowType string, in workflows.GateInput) (int64, error) {
	var err error
	s.poll(ctx, func() bool {
		_, err = s.execute(ctx, o, workflowType, in)
		var started *serviceerror.WorkflowExecutionAlreadyStarted
		if !errors.As(err, &started) {
			return true
		}
		running, memoErr := s.approvalOf(ctx, o.ID)
		if memoErr != nil {
			err = memoErr
			return true
		}
		r, readErr := s.Reader.Approval(ctx, running)
		if readErr == nil && r.Status.Terminal() {
			err = fault.New(fault.Unavailable, "workflow-ending", "the workflow of approval %d is just ending; try again", running)
			return false
		}
		id, err = running, nil
		return true
	})
	return id, err
}

// awaitRequest waits until a worker has recorded a request, so that whoever got
// its id can read it, and decide on it, at once. When that takes long, the id is
// safe with Temporal all the same.
func (s *Server) awaitRequest(ctx context.Context, id int64) asked {
	ctx, cancel := context.WithTimeout(ctx, s.AnswerWait)
	defer cancel()
	if r, found, _ := s.requests.wait(ctx, id); found {
		return asked{r, true}
	}
	return asked{Request: approval.Request{ID: id, Status: approval.Pending}}
}

// passNudges wakes who waits for requests and decisions, until ctx ends.
func (s *Server) passNudges(ctx context.Context) {
	nudges := s.Reader.EntryNudges(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-nudges:
			s.requests.nudge()
			s.decisions.nudge()
		}
	}
}

// pollInterval is how often the API looks whether something has been recorded.
const pollInterval = 40 * time.Millisecond

// poll asks again and again until there is an answer, AnswerWait is over, or the
// caller has gone.
func (s *Server) poll(ctx context.Context, answered func() bool) {
	deadline := time.NewTimer(s.AnswerWait)
	defer deadline.Stop()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for !answered() {
		select {
		case <-tick.C:
		case <-deadline.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// approvalOf reads which approval a running workflow waits for: another call
// asked for the same action a moment ago.
func (s *Server) approvalOf(ctx context.Context, workflowID string) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, temporalTimeout)
	defer cancel()
	described, err := s.Temporal.DescribeWorkflowExecution(ctx, workflowID, "")
	if err != nil {
		return 0, temporalFault(err)
	}
	memo := described.GetWorkflowExecutionInfo().GetMemo().GetFields()[workflows.MemoApprovalID]
	var id int64
	if memo != nil {
		err = converter.GetDefaultDataConverter().FromPayload(memo, &id)
	}
	if err != nil || id == 0 {
		return 0, fault.Wrap(err, fault.Conflict, "workflow-not-ours",
			"workflow %s runs, but finobs did not start it; terminate it in the Temporal Web UI and ask again", workflowID)
	}
	return id, nil
}

// command signs, in the caller's name, the order to start one workflow with one
// payload.
func (s *Server) command(ctx context.Context, workflowType, workflowID, payloadDigest string) (string, error) {
	now, err := s.Reader.Now(ctx)
	if err != nil {
		return "", err
	}
	token, err := s.Signer.Command(ctx, attest.Command{
		ID: uuid.NewString(), IssuedAt: now, WorkflowType: workflowType, WorkflowID: workflowID,
		PayloadDigest: payloadDigest, Principal: principal(ctx), RequestID: requestID(ctx), TraceID: traceID(ctx),
	})
	if err != nil {
		return "", fmt.Errorf("signing command: %w", err)
	}
	return token, nil
}

// execute starts a workflow. A workflow of that id that runs already is a
// *serviceerror.WorkflowExecutionAlreadyStarted.
func (s *Server) execute(ctx context.Context, options client.StartWorkflowOptions, workflowType string, input any) (client.WorkflowRun, error) {
	ctx, cancel := context.WithTimeout(ctx, temporalTimeout)
	defer cancel()
	options.WorkflowExecutionErrorWhenAlreadyStarted = true
	run, err := s.Temporal.ExecuteWorkflow(ctx, options, workflowType, input)
	return run, temporalFault(err)
}

// temporalFault tells what is passing from what is final. Errors that callers
// look at pass through.
func temporalFault(err error) error {
	var (
		started  *serviceerror.WorkflowExecutionAlreadyStarted
		notFound *serviceerror.NotFound
		invalid  *serviceerror.InvalidArgument
	)
	switch {
	case err == nil || errors.As(err, &started) || errors.As(err, &notFound):
		return err
	case errors.As(err, &invalid):
		return fmt.Errorf("asking Temporal: %w", err)
	default:
		return fault.Wrap(err, fault.Unavailable, "temporal-unavailable",
			"Temporal cannot be reached, so nothing was started; try again")
	}
}
