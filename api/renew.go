package api

import (
	"context"
	"strings"

	"finobs/internal/approval"
	"finobs/internal/export"
	"finobs/internal/fault"
	"finobs/workflows"
)

// reopen asks again for what was decided, cancelled or let expire, as a new
// request that names the old one.
func (s *Server) reopen(ctx context.Context, in *reasonInput) (*askedOutput, error) {
	r, err := s.recorded(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if why := r.MayReopen(principal(ctx).Person); why != "" {
		return nil, fault.New(fault.Conflict, "act-refused", "%s", why)
	}
	_, action, err := governing(r)
	if err != nil {
		return nil, err
	}
	if err := unasked(r.Kind); err != nil {
		return nil, err
	}
	if action.Editor != nil {
		return nil, fault.New(fault.Conflict, "act-refused", "approval %d was edited by %s; ask for the action anew", r.ID, action.Editor.Subject)
	}
	return s.again(ctx, r, action, question{reason: in.Body.reason(), links: approval.Links{Reopens: r.ID}})
}

type editInput struct {
	ID   int64 `path:"id" minimum:"1"`
	Body struct {
		Parameters map[string]string `json:"parameters" doc:"the parameters as they should be, all of them"`
		Targets    []targetInput     `json:"targets,omitempty" maxItems:"100" doc:"left out: as they are"`
		Reason     string            `json:"reason" minLength:"1" maxLength:"2000"`
	}
}

// edit replaces a pending request by one with other parameters. The requester
// stays the same; whoever edited it never decides on it.
func (s *Server) edit(ctx context.Context, in *editInput) (*askedOutput, error) {
	r, err := s.recorded(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if r.Status != approval.Pending {
		return nil, fault.New(fault.Conflict, "act-refused", "approval %d is %s already; ask for the action anew", r.ID, r.Status)
	}
	_, action, err := governing(r)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(r.Kind, "user.") || strings.HasPrefix(r.Kind, "policy.") {
		return nil, fault.New(fault.Conflict, "act-refused", "changes of roster and policies are not edited; cancel or reject, and ask anew")
	}
	if err := unasked(r.Kind); err != nil {
		return nil, err
	}
	action.Parameters = in.Body.Parameters
	if in.Body.Targets != nil {
		if action.Targets, err = s.targets(ctx, in.Body.Targets); err != nil {
			return nil, err
		}
	}
	action.Editor = nil
	if me := principal(ctx); !me.Same(action.Requester) {
		if !permits(me, ApprovalJudge) {
			return nil, fault.New(fault.Forbidden, "not-permitted", "only the requester, and whoever may decide, edits a request")
		}
		action.Editor = &me.Person
	}
	return s.again(ctx, r, action, question{reason: in.Body.Reason, links: approval.Links{Supersedes: r.ID}})
}

// again asks for an action that follows an earlier request.
func (s *Server) again(ctx context.Context, r approval.Request, action approval.Action, q question) (*askedOutput, error) {
	action.PolicyDigest, q.action, q.renew, q.attachment = "", action, true, r.Attachment
	what := "Action"
	switch {
	case strings.HasPrefix(r.Kind, "export."):
		what, q.workflowType = "Export", workflows.Export
		if _, err := export.FromAction(action); err != nil {
			return nil, err
		}
	case strings.HasPrefix(r.Kind, "user."), strings.HasPrefix(r.Kind, "policy."):
		what, q.workflowType = "Change", workflows.Change
	case strings.HasPrefix(r.Kind, "schedule."):
		what, q.workflowType = "Schedule", workflows.Change
		if _, err := export.ScheduleOf(action); err != nil {
			return nil, err
		}
	default:
		q.workflowType = workflows.Approval
	}
	got, err := s.ask(ctx, q)
	if err != nil {
		return nil, err
	}
	if got.ID == r.ID {
		return nil, fault.New(fault.Conflict, "nothing-changed", "this is what approval %d asks for already", r.ID)
	}
	return &askedOutput{Status: 202, Body: askedView{detailOf(what, got.Status), got.ID, got.Status}}, nil
}
