package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"finobs/internal/approval"
	"finobs/internal/fault"
	"finobs/workflows"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
)

// permissionOf is what an act asks of a role; the rules of the request come after.
var permissionOf = map[approval.Verb]Permission{
	approval.Comment: ApprovalAct, approval.Assign: ApprovalAct, approval.Escalate: ApprovalAct, approval.Cancel: ApprovalAct,
	approval.Delegate: ApprovalJudge, approval.Revoke: ApprovalJudge, approval.RevokeDelegation: ApprovalJudge, approval.Resend: NoticeResend,
}

// reasonInput is an act on a request that takes nothing but words, and perhaps
// not even those.
type reasonInput struct {
	ID   int64 `path:"id" minimum:"1"`
	Body *reasonBody
}

type reasonBody struct {
	Reason string `json:"reason,omitempty" maxLength:"4000"`
}

func (b *reasonBody) reason() string {
	if b == nil {
		return ""
	}
	return b.Reason
}

type actedView struct {
	ID           int64           `json:"approval_request_id,omitempty"`
	ActID        string          `json:"act_id"`
	Recorded     bool            `json:"recorded" doc:"false: accepted, and recorded as soon as a worker is there"`
	Status       approval.Status `json:"status,omitempty" doc:"of the request"`
	DelegationID int64           `json:"delegation_id,omitempty"`
	Detail       string          `json:"detail"`
}

type actedOutput struct {
	Status int
	Body   actedView
}

type commentInput struct {
	ID   int64 `path:"id" minimum:"1"`
	Body struct {
		Text string `json:"text" minLength:"1" maxLength:"4000"`
	}
}

func (s *Server) comment(ctx context.Context, in *commentInput) (*actedOutput, error) {
	return s.act(ctx, approval.Act{Verb: approval.Comment, ApprovalID: in.ID, Text: in.Body.Text})
}

// Somebody names a person; without an issuer he is of the caller's.
type Somebody struct {
	Issuer  string `json:"iss,omitempty" maxLength:"255" doc:"default: the caller's own issuer"`
	Subject string `json:"sub" minLength:"1" maxLength:"255"`
}

func (p Somebody) person(ctx context.Context) approval.Person {
	if p.Issuer == "" {
		p.Issuer = principal(ctx).Issuer
	}
	return approval.Person(p)
}

type assignInput struct {
	ID   int64 `path:"id" minimum:"1"`
	Body struct {
		To     *Somebody `json:"to,omitempty" doc:"left out: to nobody"`
		Reason string    `json:"reason,omitempty" maxLength:"4000"`
	}
}

func (s *Server) assign(ctx context.Context, in *assignInput) (*actedOutput, error) {
	act := approval.Act{Verb: approval.Assign, ApprovalID: in.ID, Text: in.Body.Reason}
	if in.Body.To != nil {
		act.To = in.Body.To.person(ctx)
	}
	return s.act(ctx, act)
}

// does makes a handler of an act that takes nothing but words.
func (s *Server) does(verb approval.Verb) func(context.Context, *reasonInput) (*actedOutput, error) {
	return func(ctx context.Context, in *reasonInput) (*actedOutput, error) {
		return s.act(ctx, approval.Act{Verb: verb, ApprovalID: in.ID, Text: in.Body.reason()})
	}
}

// term is for how long somebody hands on his right to decide.
type term struct {
	To       Somebody   `json:"to"`
	StartsAt *time.Time `json:"starts_at,omitempty" doc:"default: now"`
	EndsAt   time.Time  `json:"ends_at"`
	Reason   string     `json:"reason" minLength:"1" maxLength:"4000"`
}

type delegateInput struct {
	ID   int64 `path:"id" minimum:"1"`
	Body term
}

func (s *Server) delegateOne(ctx context.Context, in *delegateInput) (*actedOutput, error) {
	return s.delegate(ctx, in.ID, in.Body)
}

type delegateAllInput struct{ Body term }

func (s *Server) delegateAll(ctx context.Context, in *delegateAllInput) (*actedOutput, error) {
	return s.delegate(ctx, 0, in.Body)
}

func (s *Server) delegate(ctx context.Context, id int64, t term) (*actedOutput, error) {
	now, err := s.Reader.Now(ctx)
	if err != nil {
		return nil, err
	}
	act := approval.Act{
		Verb: approval.Delegate, ApprovalID: id, Text: t.Reason, To: t.To.person(ctx), StartsAt: now, EndsAt: t.EndsAt.UTC().Truncate(time.Microsecond),
	}
	if t.StartsAt != nil {
		act.StartsAt = t.StartsAt.UTC().Truncate(time.Microsecond)
	}
	if !act.EndsAt.After(now) {
		return nil, fault.New(fault.Invalid, "invalid-act", "the delegation ends at %s, which is past", act.EndsAt.Format(time.RFC3339))
	}
	return s.act(ctx, act)
}

type delegationInput struct {
	ID   int64 `path:"id" minimum:"1"`
	Body struct {
		Reason string `json:"reason" minLength:"1" maxLength:"4000"`
	}
}

func (s *Server) revokeDelegation(ctx context.Context, in *delegationInput) (*actedOutput, error) {
	return s.act(ctx, approval.Act{Verb: approval.RevokeDelegation, DelegationID: in.ID, Text: in.Body.Reason})
}

// act signs what the caller does, starts the workflow that does it, and answers
// when it is done, or with 202 when that takes long. 2xx means that Temporal has
// it.
func (s *Server) act(ctx context.Context, a approval.Act) (*actedOutput, error) {
	a.ID = uuid.Must(uuid.NewV7()).String()
	if err := a.Validate(); err != nil {
		return nil, err
	}
	if a.ApprovalID != 0 {
		if err := s.mayAct(ctx, a); err != nil {
			return nil, err
		}
	}
	digest, err := a.Digest()
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "invalid-act", "the act is not valid text")
	}
	workflowID := workflows.ActWorkflowID(a.ID)
	command, err := s.command(ctx, workflows.Act, workflowID, digest)
	if err != nil {
		return nil, err
	}
	run, err := s.execute(ctx, client.StartWorkflowOptions{
		ID: workflowID, TaskQueue: workflows.TaskQueue, WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		StaticSummary: fmt.Sprintf("%s on approval %d", a.Verb, a.ApprovalID),
	}, workflows.Act, workflows.ActInput{Command: command, Act: a})
	if err != nil {
		return nil, err
	}
	view := actedView{ID: a.ApprovalID, ActID: a.ID, Detail: "it is accepted and will be recorded"}
	var done workflows.ActResult
	wait, cancel := context.WithTimeout(ctx, s.AnswerWait)
	defer cancel()
	if err := run.Get(wait, &done); err != nil {
		var refused *temporal.ApplicationError
		if errors.As(err, &refused) {
			return nil, faultOf(refused)
		}
		return &actedOutput{http.StatusAccepted, view}, nil
	}
	view.Recorded, view.Status, view.DelegationID, view.Detail = true, done.Status, done.DelegationID, "it is recorded"
	return &actedOutput{http.StatusOK, view}, nil
}

// mayAct refuses early what the record would refuse anyway.
func (s *Server) mayAct(ctx context.Context, a approval.Act) error {
	r, err := s.recorded(ctx, a.ApprovalID)
	if err != nil {
		return err
	}
	policy, action, err := governing(r)
	if err != nil {
		return err
	}
	setting, err := s.settings.now(ctx)
	if err != nil {
		return err
	}
	setting.ApprovalID = r.ID
	if why := setting.MayAct(policy, action, r, principal(ctx), a.Verb); why != "" {
		s.recordDenial(ctx, "authorize", fmt.Sprintf("approval %d: %s", r.ID, why))
		return fault.New(fault.Conflict, "act-refused", "%s", why)
	}
	return nil
}

// faultOf gives an activity's refusal its kind again; see activities.
func faultOf(refused *temporal.ApplicationError) error {
	var kind string
	if err := refused.Details(&kind); err != nil || !fault.Kind(kind).Valid() {
		return refused
	}
	return fault.New(fault.Kind(kind), refused.Type(), "%s", refused.Message())
}

type delegationView struct {
	ID         int64      `json:"delegation_id"`
	ApprovalID int64      `json:"approval_request_id,omitempty" doc:"left out: for all requests"`
	From       personView `json:"from"`
	To         personView `json:"to"`
	StartsAt   time.Time  `json:"starts_at"`
	EndsAt     time.Time  `json:"ends_at"`
	Reason     string     `json:"reason"`
	RevokedAt  *time.Time `json:"revoked_at"`
}

type listDelegationsInput struct {
	Paging
	Of         string `query:"of" maxLength:"255" doc:"sub of the delegator or the delegate, of the caller's issuer"`
	ApprovalID int64  `query:"approval_request_id" minimum:"0"`
}

type delegationPage struct {
	Items      []delegationView `json:"items"`
	NextBefore int64            `json:"next_before" doc:"cursor of the next page; 0 on the last one"`
}

func (s *Server) listDelegations(ctx context.Context, in *listDelegationsInput) (*body[delegationPage], error) {
	var of approval.Person
	if in.Of != "" {
		of = Somebody{Subject: in.Of}.person(ctx)
	}
	list, err := s.Reader.AllDelegations(ctx, of, in.ApprovalID, in.page())
	if err != nil {
		return nil, err
	}
	out := delegationPage{Items: []delegationView{}}
	for _, d := range list {
		out.Items = append(out.Items, delegationView{
			d.ID, d.ApprovalID, viewPerson(d.From.Person), viewPerson(d.To), d.StartsAt, d.EndsAt, d.Reason, d.RevokedAt,
		})
		out.NextBefore = in.next(len(list), d.ID)
	}
	return &body[delegationPage]{out}, nil
}
