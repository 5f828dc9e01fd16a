package api

import (
	"context"
	"encoding/json"
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

// personView is a person in answers.
type personView struct {
	Issuer  string `json:"iss"`
	Subject string `json:"sub"`
}

func viewPerson(p approval.Person) personView { return personView{p.Issuer, p.Subject} }

// approvalView is a request for approval in answers.
type approvalView struct {
	ID             int64           `json:"approval_request_id"`
	Kind           string          `json:"kind"`
	Action         json.RawMessage `json:"action" doc:"exactly what is approved, in canonical JSON"`
	ActionDigest   string          `json:"action_digest"`
	PolicyID       string          `json:"policy_id"`
	PolicyDigest   string          `json:"policy_digest"`
	Requester      personView      `json:"requester"`
	Desk           string          `json:"desk"`
	IsSimulation   bool            `json:"is_simulation"`
	Reason         string          `json:"reason"`
	Status         approval.Status `json:"status" enum:"pending,approved,consumed,rejected,expired,cancelled,superseded"`
	StatusReason   string          `json:"status_reason"`
	Missing        []string        `json:"missing" doc:"in words, whose approval is waited for"`
	AllowedActions []string        `json:"allowed_actions" doc:"what the caller may do with it now: approve, reject"`
	CreatedAt      time.Time       `json:"created_at"`
	ExpiresAt      time.Time       `json:"expires_at"`
	ClosedAt       *time.Time      `json:"closed_at" doc:"when it left pending"`
	UseBy          *time.Time      `json:"use_by" doc:"an approval's last moment of use"`
	ConsumedAt     *time.Time      `json:"consumed_at"`
	WorkflowID     string          `json:"workflow_id"`
	TraceID        string          `json:"trace_id"`
	Decisions      []decisionView  `json:"decisions"`
}

// decisionView is a decision in answers.
type decisionView struct {
	DecisionID string                   `json:"decision_id"`
	Verdict    approval.Verdict         `json:"verdict"`
	Approver   personView               `json:"approver"`
	Roles      []string                 `json:"roles"`
	Reason     string                   `json:"reason"`
	Outcome    approval.DecisionOutcome `json:"outcome" enum:"counted,repeated,refused"`
	Why        string                   `json:"outcome_reason" doc:"why it did not count"`
	DecidedAt  time.Time                `json:"decided_at"`
}

func viewDecision(d approval.Recorded) decisionView {
	roles := d.Reviewer.Roles
	if roles == nil {
		roles = []string{}
	}
	return decisionView{
		DecisionID: d.ID, Verdict: d.Verdict, Approver: viewPerson(d.Reviewer.Person), Roles: roles,
		Reason: d.Reason, Outcome: d.Outcome, Why: d.OutcomeReason, DecidedAt: d.DecidedAt,
	}
}

// viewApproval shows a request to the caller; what he may do with it is computed
// by the code that will judge it.
func viewApproval(ctx context.Context, r approval.Request, decisions []approval.Recorded) (approvalView, error) {
	v := approvalView{
		ID: r.ID, Kind: r.Kind, Action: r.Action, ActionDigest: r.ActionDigest, PolicyID: r.PolicyID, PolicyDigest: r.PolicyDigest,
		Requester: viewPerson(r.Requester), Desk: r.Desk, IsSimulation: r.Simulation, Reason: r.Reason,
		Status: r.Status, StatusReason: r.StatusReason, Missing: []string{}, AllowedActions: []string{},
		CreatedAt: r.CreatedAt, ExpiresAt: r.ExpiresAt, ClosedAt: r.ClosedAt, UseBy: r.UseBy, ConsumedAt: r.ConsumedAt,
		WorkflowID: r.WorkflowID, TraceID: r.TraceID, Decisions: []decisionView{},
	}
	for _, d := range decisions {
		v.Decisions = append(v.Decisions, viewDecision(d))
	}
	if r.Status != approval.Pending {
		return v, nil
	}
	policy, action, err := governing(r)
	if err != nil {
		return v, err
	}
	me := principal(ctx)
	var counted []approval.Decision
	decided := false
	for _, d := range decisions {
		if d.Outcome == approval.Counted {
			counted = append(counted, d.Decision)
			decided = decided || d.Reviewer.Same(me.Person)
		}
	}
	v.Missing = approval.Tally(policy, action, counted).Missing
	if !decided && permits(me, ApprovalJudge) && policy.Ineligible(action, approval.Decision{Reviewer: me}) == "" {
		v.AllowedActions = []string{string(approval.Approve), string(approval.Reject)}
	}
	return v, nil
}

// governing reads a request's frozen policy and its action.
func governing(r approval.Request) (*approval.Policy, approval.Action, error) {
	policy, err := approval.Thaw(r.Policy, r.PolicyDigest)
	if err != nil {
		return nil, approval.Action{}, fmt.Errorf("reading policy of approval %d: %w", r.ID, err)
	}
	action, err := approval.ParseAction(r.Action)
	if err != nil {
		return nil, action, fmt.Errorf("reading action of approval %d: %w", r.ID, err)
	}
	return policy, action, nil
}

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
}

type approvalPage struct {
	Items      []approvalView `json:"items"`
	NextBefore int64          `json:"next_before" doc:"cursor of the next page; 0 on the last one"`
}

type body[T any] struct{ Body T }

func (s *Server) listApprovals(ctx context.Context, in *listApprovalsInput) (*body[approvalPage], error) {
	filter := store.ApprovalFilter{Status: approval.Status(in.Status), Kind: in.Kind, Desk: in.Desk, Requester: in.Requester}
	list, err := s.Reader.Approvals(ctx, filter, in.page())
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
	out := approvalPage{Items: []approvalView{}}
	for _, r := range list {
		v, err := viewApproval(ctx, r, byApproval[r.ID])
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, v)
		out.NextBefore = in.next(len(list), r.ID)
	}
	return &body[approvalPage]{out}, nil
}

type idInput struct {
	ID int64 `path:"id" minimum:"1"`
}

func (s *Server) getApproval(ctx context.Context, in *idInput) (*body[approvalView], error) {
	r, err := s.recorded(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	decisions, err := s.Reader.Decisions(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	v, err := viewApproval(ctx, r, decisions)
	return &body[approvalView]{v}, err
}

// recorded reads a request. One that was asked for but not yet recorded, because
// no worker runs, is told apart from one that does not exist.
func (s *Server) recorded(ctx context.Context, id int64) (approval.Request, error) {
	r, err := s.Reader.Approval(ctx, id)
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

// reservedKinds begin the kinds of actions that finobs carries out itself.
const reservedKinds = "export."

func (s *Server) askApproval(ctx context.Context, in *askInput) (*askedOutput, error) {
	if strings.HasPrefix(in.Body.Kind, reservedKinds) {
		return nil, fault.New(fault.Invalid, "kind-has-a-route", "ask for kind %s by its own route, such as POST /incidents/export", in.Body.Kind)
	}
	me := principal(ctx)
	a := approval.Action{
		Kind: in.Body.Kind, Targets: []approval.Target{}, Parameters: in.Body.Parameters, Requester: me.Person, Desk: me.Desk,
		Mode: approval.Mode(in.Body.Mode),
	}
	for _, t := range in.Body.Targets {
		a.Targets = append(a.Targets, approval.Target(t))
	}
	got, err := s.ask(ctx, a, workflows.Approval, in.Body.Reason, in.Body.Renew)
	if err != nil {
		return nil, err
	}
	return &askedOutput{Status: 202, Body: askedView{detailOf("Action", got.Status), got.ID, got.Status}}, nil
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

type historyView struct {
	Entries []entryView `json:"entries"`
}

// entryView is a ledger entry in answers, with the seven fields of the brief.
type entryView struct {
	EntryID       string          `json:"entry_id"`
	RecordedAt    time.Time       `json:"recorded_at"`
	Type          string          `json:"type"`
	Action        string          `json:"action"`
	Outcome       string          `json:"outcome"`
	Reason        string          `json:"reason"`
	Actor         personView      `json:"actor"`
	ActorType     string          `json:"actor_type" enum:"human,agent,system"`
	AIExplanation *string         `json:"ai_explanation"`
	AgentInput    *string         `json:"agent_input"`
	AgentOutput   *string         `json:"agent_output"`
	AgentVersion  *string         `json:"agent_version"`
	OverrideType  *string         `json:"override_type"`
	IsSimulation  bool            `json:"is_simulation"`
	RequestID     string          `json:"request_id"`
	TraceID       string          `json:"trace_id"`
	LeafSHA256    string          `json:"leaf_sha256"`
	Leaf          json.RawMessage `json:"leaf" doc:"the entry exactly as it is hashed"`
}

func viewEntry(e store.LoggedEntry) entryView {
	return entryView{
		EntryID: e.EntryID, RecordedAt: e.RecordedAt.UTC(), Type: e.Type, Action: e.Action, Outcome: e.Outcome, Reason: e.Reason,
		Actor: personView{e.ActorIss, e.ActorSub}, ActorType: e.ActorType, AIExplanation: e.AIExplanation,
		AgentInput: e.AgentInput, AgentOutput: e.AgentOutput, AgentVersion: e.AgentVersion, OverrideType: e.OverrideType,
		IsSimulation: e.IsSimulation, RequestID: e.RequestID, TraceID: e.TraceID, LeafSHA256: e.LeafSHA256, Leaf: json.RawMessage(e.Leaf),
	}
}

func (s *Server) approvalHistory(ctx context.Context, in *idInput) (*body[historyView], error) {
	if _, err := s.recorded(ctx, in.ID); err != nil {
		return nil, err
	}
	entries, err := s.history(ctx, "approval", in.ID)
	return &body[historyView]{historyView{entries}}, err
}

func (s *Server) history(ctx context.Context, subject string, id int64) ([]entryView, error) {
	list, err := s.Reader.History(ctx, subject, strconv.FormatInt(id, 10))
	out := make([]entryView, 0, len(list))
	for _, e := range list {
		out = append(out, viewEntry(e))
	}
	return out, err
}
