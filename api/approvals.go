package api

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"finobs/internal/approval"
	"finobs/internal/fault"
	"finobs/internal/store"
	"finobs/workflows"

	"go.temporal.io/api/workflowservice/v1"
)

// Paging is how every list is paged: newest first, by id.
type Paging struct {
	Before int64 `query:"before" minimum:"0" doc:"only ids below this one: next_before of the page before"`
	Limit  int   `query:"limit" minimum:"1" maximum:"500" default:"100"`
}

func (p Paging) page() store.Page { return store.Page{Before: p.Before, Limit: p.Limit} }

// next is the cursor of the following page, 0 on the last one.
func (p Paging) next(count int, lastID int64) int64 {
	if count < p.Limit {
		return 0
	}
	return lastID
}

type listApprovalsInput struct {
	Paging
	Status    string `query:"status" enum:"pending,approved,consumed,rejected,expired,cancelled,superseded"`
	Kind      string `query:"kind" maxLength:"64"`
	Desk      string `query:"desk" maxLength:"32"`
	Requester string `query:"requester" maxLength:"255" doc:"sub of the requester"`
	Assignee  string `query:"assignee" maxLength:"255" doc:"sub of who is to look at it"`
	RiskTier  string `query:"risk_tier" enum:"low,medium,high"`
	Escalated string `query:"escalated" enum:"true,false"`
	Simulated string `query:"is_simulation" enum:"true,false"`
	Sort      string `query:"sort" enum:"newest,deadline" default:"newest" doc:"deadline: the one that expires first comes first; page with after_deadline and before"`
	After     string `query:"after_deadline" maxLength:"40" doc:"for sort=deadline: next_deadline of the page before, together with before"`
}

type approvalPage struct {
	Items      []ApprovalView `json:"items"`
	NextBefore int64          `json:"next_before" doc:"cursor of the next page; 0 on the last one"`
	NextAfter  string         `json:"next_deadline,omitempty" doc:"for sort=deadline, the other half of the cursor"`
}

type body[T any] struct{ Body T }

func (s *Server) listApprovals(ctx context.Context, in *listApprovalsInput) (*body[approvalPage], error) {
	filter := store.ApprovalFilter{
		Status: approval.Status(in.Status), Kind: in.Kind, Desk: in.Desk, Requester: in.Requester, Assignee: in.Assignee,
		RiskTier: in.RiskTier, Escalated: in.Escalated, Simulated: in.Simulated,
	}
	if in.Sort == "deadline" {
		filter.ByDeadline = true
		if in.After != "" {
			after, err := time.Parse(time.RFC3339Nano, in.After)
			if err != nil {
				return nil, fault.New(fault.Invalid, "invalid-query", "after_deadline %q is no time such as next_deadline gives", in.After)
			}
			filter.AfterDeadline = after
		}
	}
	list, err := s.seen(ctx).Approvals(ctx, filter, in.page())
	if err != nil {
		return nil, err
	}
	out := approvalPage{}
	if out.Items, err = s.viewApprovals(ctx, list); err != nil {
		return nil, err
	}
	for _, r := range list {
		if out.NextBefore = in.next(len(list), r.ID); out.NextBefore != 0 && filter.ByDeadline {
			out.NextAfter = r.ExpiresAt.Format(time.RFC3339Nano)
		}
	}
	return &body[approvalPage]{out}, nil
}

// viewApprovals shows requests to the caller, with what he may do to each.
func (s *Server) viewApprovals(ctx context.Context, list []approval.Request) ([]ApprovalView, error) {
	setting, err := s.settings.now(ctx)
	if err != nil {
		return nil, err
	}
	ids := make([]int64, 0, len(list))
	for _, r := range list {
		ids = append(ids, r.ID)
	}
	decisions, err := s.Reader.Decisions(ctx, ids...)
	if err != nil {
		return nil, err
	}
	byApproval := map[int64][]approval.Recorded{}
	for _, d := range decisions {
		byApproval[d.ApprovalID] = append(byApproval[d.ApprovalID], d)
	}
	out := make([]ApprovalView, 0, len(list))
	for _, r := range list {
		v, err := viewApproval(ctx, setting, r, byApproval[r.ID])
		if err != nil { // the list goes on; the request's own page says what is wrong
			s.log.ErrorContext(ctx, "an approval cannot be read in full", "approval_id", r.ID, "error", err)
		}
		out = append(out, v)
	}
	return out, nil
}

type idInput struct {
	ID int64 `path:"id" minimum:"1"`
}

func (s *Server) getApproval(ctx context.Context, in *idInput) (*body[approvalDetail], error) {
	r, err := s.recorded(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	v, err := s.viewDetail(ctx, r)
	return &body[approvalDetail]{v}, err
}

// recorded reads a request. One that was asked for but not yet recorded, because
// no worker runs, is told apart from one that does not exist.
func (s *Server) recorded(ctx context.Context, id int64) (approval.Request, error) {
	r, err := s.Reader.Approval(ctx, id)
	if err == nil && !approval.MaySee(principal(ctx), r.Desk) {
		return approval.Request{}, fault.New(fault.NotFound, "no-such-approval", "there is no approval %d", id)
	}
	if fault.KindOf(err) != fault.NotFound {
		return r, err
	}
	ctx, cancel := context.WithTimeout(ctx, temporalTimeout)
	defer cancel()
	list, listErr := s.Temporal.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		PageSize: 1, Query: workflows.SearchApprovalID.GetName() + " = " + strconv.FormatInt(id, 10) + " AND ExecutionStatus = 'Running'",
	})
	if listErr != nil || len(list.GetExecutions()) == 0 {
		return r, err
	}
	waiting := newProblem(ctx, 503, "approval-not-recorded-yet",
		fmt.Sprintf("approval %d was asked for, but no worker has recorded it yet; try again", id))
	waiting.retryAfter = retryAfter
	return r, waiting
}

type askInput struct {
	Body struct {
		Kind       string            `json:"kind" example:"desk.override" doc:"dotted words in lower case; kinds that finobs carries out itself have routes of their own"`
		Targets    []targetInput     `json:"targets,omitempty" maxItems:"100"`
		Parameters map[string]string `json:"parameters,omitempty" doc:"ids, amounts and times as text"`
		Reason     string            `json:"reason,omitempty" maxLength:"2000"`
		Mode       string            `json:"mode,omitempty" enum:"live,simulation" default:"live"`
		Renew      bool              `json:"renew,omitempty" doc:"ask again although the same action was decided before"`
	}
}

type targetInput struct {
	Kind    string `json:"kind"`
	ID      string `json:"id"`
	Version string `json:"version,omitempty"`
}

// askedView is the brief's answer to a gated call: exactly these three keys.
type askedView struct {
	Detail string          `json:"detail" example:"Export requires approval"`
	ID     int64           `json:"approval_request_id" example:"42"`
	Status approval.Status `json:"status" example:"pending"`
}

type askedOutput struct {
	Status int
	Body   askedView
}

// reservedKinds begin the kinds of actions that finobs carries out itself, and
// name the routes that ask for them.
var reservedKinds = map[string]string{
	"export.": "POST /incidents/export", "user.": "POST /users or PATCH /users/{sub}", "policy.": "POST /policies",
	"schedule.": "POST /export-schedules or PATCH /export-schedules/{id}", "agent.": "POST /agent/triage and its kin",
	"remediation.": "POST /agent/remediate, whose plans are asked for by themselves",
}

func (s *Server) askApproval(ctx context.Context, in *askInput) (*askedOutput, error) {
	for prefix, route := range reservedKinds {
		if strings.HasPrefix(in.Body.Kind, prefix) {
			return nil, fault.New(fault.Invalid, "kind-has-a-route", "ask for kind %s by its own route: %s", in.Body.Kind, route)
		}
	}
	me := principal(ctx)
	a := approval.Action{
		Kind: in.Body.Kind, Targets: []approval.Target{}, Parameters: in.Body.Parameters, Requester: me.Person, Desk: me.Desk,
		Mode: approval.Mode(in.Body.Mode),
	}
	var err error
	if a.Targets, err = s.targets(ctx, in.Body.Targets); err != nil {
		return nil, err
	}
	got, err := s.ask(ctx, question{action: a, workflowType: workflows.Approval, reason: in.Body.Reason, renew: in.Body.Renew})
	if err != nil {
		return nil, err
	}
	return &askedOutput{Status: 202, Body: askedView{detailOf("Action", got.Status), got.ID, got.Status}}, nil
}

// targets takes the targets as given. One that finobs keeps itself must be there,
// at the version that the caller saw; without a version it is today's.
func (s *Server) targets(ctx context.Context, given []targetInput) ([]approval.Target, error) {
	out := make([]approval.Target, 0, len(given))
	for _, t := range given {
		if t.Kind == "incident" {
			id, err := strconv.ParseInt(t.ID, 10, 64)
			if err != nil {
				return nil, fault.New(fault.Invalid, "invalid-action", "target incident %q: the id of an incident is a number", t.ID)
			}
			i, err := s.seen(ctx).Incident(ctx, id)
			if err != nil {
				return nil, err
			}
			now := strconv.FormatInt(i.Version, 10)
			if t.Version != "" && t.Version != now {
				return nil, fault.New(fault.Conflict, "target-moved", "incident %d is at version %s, not %s; look at it again", id, now, t.Version)
			}
			t.Version = now
		}
		out = append(out, approval.Target(t))
	}
	return out, nil
}

// detailOf says in words where a gated call stands.
func detailOf(what string, s approval.Status) string {
	switch s {
	case approval.Pending:
		return what + " requires approval"
	case approval.Approved:
		return what + " is approved"
	case approval.Consumed:
		return what + " is approved and has been begun"
	default:
		return what + " is " + string(s)
	}
}
