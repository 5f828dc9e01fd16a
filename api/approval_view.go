package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"finobs/internal/approval"
	"finobs/internal/store"
)

// personView is a person in answers.
type personView struct {
	Issuer  string `json:"iss"`
	Subject string `json:"sub"`
}

func viewPerson(p approval.Person) personView { return personView{p.Issuer, p.Subject} }

// optionalPerson is nil for nobody.
func optionalPerson(p approval.Person) *personView {
	if p == (approval.Person{}) {
		return nil
	}
	v := viewPerson(p)
	return &v
}

// ApprovalView is a request for approval in answers.
type ApprovalView struct {
	ID              int64             `json:"approval_request_id"`
	Kind            string            `json:"kind"`
	Action          json.RawMessage   `json:"action" doc:"exactly what is approved, in canonical JSON"`
	ActionDigest    string            `json:"action_digest"`
	RiskTier        approval.RiskTier `json:"risk_tier" enum:"low,medium,high"`
	PolicyID        string            `json:"policy_id"`
	PolicyDigest    string            `json:"policy_digest"`
	Requester       personView        `json:"requester"`
	Editor          *personView       `json:"editor" doc:"who last edited the action, when that is not the requester"`
	Desk            string            `json:"desk"`
	IsSimulation    bool              `json:"is_simulation"`
	Reason          string            `json:"reason"`
	Status          approval.Status   `json:"status" enum:"pending,approved,consumed,rejected,expired,cancelled,superseded"`
	StatusReason    string            `json:"status_reason"`
	Stage           int               `json:"stage" doc:"the stage that is open, from 1; 0 when the policy approves by itself"`
	Missing         []string          `json:"missing" doc:"in words, whose approval is waited for"`
	AllowedActions  []string          `json:"allowed_actions" doc:"what the caller may do with it now: approve, reject, comment, assign, escalate, delegate, edit, cancel, revoke, reopen"`
	Assignee        *personView       `json:"assignee"`
	EscalationLevel int               `json:"escalation_level"`
	Fallback        bool              `json:"fallback" doc:"nobody on the roster could complete the quorum, so the policy's fallback list is admitted"`
	Reopens         int64             `json:"reopens,omitempty" doc:"the earlier request that this one takes up again"`
	Supersedes      int64             `json:"supersedes,omitempty" doc:"the request that this one takes the place of"`
	CreatedAt       time.Time         `json:"created_at"`
	ExpiresAt       time.Time         `json:"expires_at"`
	ClosedAt        *time.Time        `json:"closed_at" doc:"when it left pending"`
	UseBy           *time.Time        `json:"use_by" doc:"an approval's last moment of use"`
	ConsumedAt      *time.Time        `json:"consumed_at"`
	WorkflowID      string            `json:"workflow_id"`
	TraceID         string            `json:"trace_id"`
	Decisions       []decisionView    `json:"decisions"`
}

// approvalDetail is a request with what only its own page shows.
type approvalDetail struct {
	ApprovalView
	Summary       string        `json:"summary" doc:"what approvers are shown; each decision binds its digest"`
	SummarySHA256 string        `json:"summary_sha256"`
	Explanation   []string      `json:"explanation" doc:"in words: what counted, what is missing, who could give it"`
	Comments      []commentView `json:"comments"`
	FiredRungs    []string      `json:"fired_rungs" doc:"reminders and escalations so far"`
}

type commentView struct {
	CommentID string     `json:"comment_id"`
	Author    personView `json:"author"`
	Text      string     `json:"text"`
	CreatedAt time.Time  `json:"created_at"`
}

// decisionView is a decision in answers.
type decisionView struct {
	DecisionID string                   `json:"decision_id"`
	Verdict    approval.Verdict         `json:"verdict"`
	Approver   personView               `json:"approver"`
	Roles      []string                 `json:"roles"`
	OnBehalfOf *personView              `json:"on_behalf_of" doc:"the delegator, when a delegate decided"`
	Fallback   bool                     `json:"fallback" doc:"made while the fallback list was admitted"`
	Reason     string                   `json:"reason"`
	Outcome    approval.DecisionOutcome `json:"outcome" enum:"counted,repeated,refused"`
	Why        string                   `json:"outcome_reason" doc:"why it did not count"`
	DecidedAt  time.Time                `json:"decided_at"`
}

func viewDecision(d approval.Recorded) decisionView {
	v := decisionView{
		DecisionID: d.ID, Verdict: d.Verdict, Approver: viewPerson(d.Reviewer.Person), Roles: append([]string{}, d.Reviewer.Roles...),
		Fallback: d.Fallback, Reason: d.Reason, Outcome: d.Outcome, Why: d.OutcomeReason, DecidedAt: d.DecidedAt,
	}
	if d.OnBehalfOf != nil {
		v.OnBehalfOf = optionalPerson(d.OnBehalfOf.Person)
	}
	return v
}

// counted are the decisions that counted when they were made.
func counted(decisions []approval.Recorded) []approval.Decision {
	var out []approval.Decision
	for _, d := range decisions {
		if d.Outcome == approval.Counted {
			out = append(out, d.Decision)
		}
	}
	return out
}

// viewApproval shows a request to the caller; what he may do with it is computed
// by the code that will judge it. With an error, which means that the row was
// tampered with, the view lacks what policy and action say.
func viewApproval(ctx context.Context, setting approval.Setting, r approval.Request, decisions []approval.Recorded) (ApprovalView, error) {
	policy, action, err := shown(r)
	if err != nil {
		return viewRecord(r, decisions), err
	}
	return viewJudged(ctx, setting, r, decisions, policy, action), nil
}

// viewRecord shows what a request and the decisions on it say by themselves.
func viewRecord(r approval.Request, decisions []approval.Recorded) ApprovalView {
	v := ApprovalView{
		ID: r.ID, Kind: r.Kind, Action: r.Action, ActionDigest: r.ActionDigest, AllowedActions: []string{},
		PolicyID: r.PolicyID, PolicyDigest: r.PolicyDigest,
		Requester: viewPerson(r.Requester), Desk: r.Desk, IsSimulation: r.Simulation, Reason: r.Reason,
		Status: r.Status, StatusReason: r.StatusReason, Missing: []string{}, Assignee: optionalPerson(r.Assignee),
		EscalationLevel: r.EscalationLevel, Fallback: r.Fallback(), Reopens: r.Reopens, Supersedes: r.Supersedes,
		CreatedAt: r.CreatedAt, ExpiresAt: r.ExpiresAt, ClosedAt: r.ClosedAt, UseBy: r.UseBy, ConsumedAt: r.ConsumedAt,
		WorkflowID: r.WorkflowID, TraceID: r.TraceID, Decisions: []decisionView{},
	}
	for _, d := range decisions {
		v.Decisions = append(v.Decisions, viewDecision(d))
	}
	return v
}

// viewJudged adds what policy and action say.
func viewJudged(
	ctx context.Context, setting approval.Setting, r approval.Request, decisions []approval.Recorded, policy *approval.Policy, action approval.Action,
) ApprovalView {
	v := viewRecord(r, decisions)
	setting.ApprovalID = r.ID
	v.RiskTier = action.RiskTier
	if action.Editor != nil {
		v.Editor = optionalPerson(*action.Editor)
	}
	outcome := approval.Tally(policy, action, setting.Stand(policy, action, counted(decisions)))
	v.Stage = outcome.Stage
	if r.Status == approval.Pending && outcome.Missing != nil {
		v.Missing = outcome.Missing
	}
	v.AllowedActions = allowed(principal(ctx), setting, policy, action, r, counted(decisions))
	return v
}

// allowed lists what somebody may do with a request now.
func allowed(me approval.Principal, s approval.Setting, p *approval.Policy, a approval.Action, r approval.Request, earlier []approval.Decision) []string {
	list := []string{}
	if permits(me, ApprovalJudge) && r.Status == approval.Pending {
		for _, v := range s.Verdicts(p, a, earlier, me, r.Fallback()) {
			list = append(list, string(v))
		}
	}
	for _, verb := range []approval.Verb{approval.Comment, approval.Assign, approval.Escalate, approval.Delegate, approval.Cancel, approval.Revoke} {
		if permits(me, permissionOf[verb]) && s.MayAct(p, a, r, me, verb) == "" {
			list = append(list, string(verb))
		}
	}
	if r.Status == approval.Pending && permits(me, ApprovalAsk) && (me.Same(r.Requester) || permits(me, ApprovalJudge)) {
		list = append(list, "edit")
	}
	if permits(me, ApprovalAsk) && r.MayReopen(me.Person) == "" {
		list = append(list, "reopen")
	}
	return list
}

// viewDetail shows a request on its own page.
func (s *Server) viewDetail(ctx context.Context, r approval.Request) (approvalDetail, error) {
	decisions, err := s.Reader.Decisions(ctx, r.ID)
	if err != nil {
		return approvalDetail{}, err
	}
	setting, err := s.settings.now(ctx)
	if err != nil {
		return approvalDetail{}, err
	}
	policy, action, err := shown(r)
	if err != nil {
		return approvalDetail{}, err
	}
	setting.ApprovalID = r.ID
	sum := sha256.Sum256([]byte(r.Summary))
	v := approvalDetail{
		ApprovalView: viewJudged(ctx, setting, r, decisions, policy, action),
		Summary:      r.Summary, SummarySHA256: hex.EncodeToString(sum[:]), Comments: []commentView{}, FiredRungs: []string{},
	}
	v.Explanation = append([]string{}, setting.Explain(policy, action, counted(decisions), r.Fallback(), r.Status)...)
	comments, err := s.Reader.Comments(ctx, r.ID)
	if err != nil {
		return v, err
	}
	for _, c := range comments {
		v.Comments = append(v.Comments, commentView{c.ID, personView{c.AuthorIss, c.AuthorSub}, c.Text, c.CreatedAt.UTC()})
	}
	if len(policy.Ladder) > 0 {
		v.FiredRungs, err = s.Reader.FiredRungs(ctx, r.ID)
		slices.Sort(v.FiredRungs)
	}
	return v, err
}

// governing reads a request's frozen policy and its action.
func governing(r approval.Request) (*approval.Policy, approval.Action, error) {
	return read(r, approval.ParseAction)
}

// shown is governing for what is only looked at; see approval.SharedAction.
func shown(r approval.Request) (*approval.Policy, approval.Action, error) {
	return read(r, approval.SharedAction)
}

func read(r approval.Request, parse func([]byte) (approval.Action, error)) (*approval.Policy, approval.Action, error) {
	policy, err := approval.Thaw(r.Policy, r.PolicyDigest)
	if err != nil {
		return nil, approval.Action{}, fmt.Errorf("reading policy of approval %d: %w", r.ID, err)
	}
	action, err := parse(r.Action)
	if err != nil {
		return nil, action, fmt.Errorf("reading action of approval %d: %w", r.ID, err)
	}
	return policy, action, nil
}

// settingSource knows the roster and the delegations in force, as they were a
// moment ago: enough to show who may do what. The worker judges by the database.
type settingSource struct {
	reader *store.Reader

	mu     sync.Mutex
	readAt time.Time
	last   approval.Setting
}

func (s *settingSource) now(ctx context.Context) (approval.Setting, error) {
	s.mu.Lock()
	last, fresh := s.last, time.Since(s.readAt) < memory
	s.mu.Unlock()
	if fresh {
		return last, nil
	}
	now, err := s.reader.Now(ctx)
	if err != nil {
		return approval.Setting{}, err
	}
	return s.fresh(ctx, now)
}

// fresh reads the setting as it is now, by the database's clock.
func (s *settingSource) fresh(ctx context.Context, now time.Time) (approval.Setting, error) {
	next := approval.Setting{Now: now}
	var err error
	if next.Roster, err = s.reader.Roster(ctx); err != nil {
		return next, err
	}
	if next.Delegations, err = s.reader.DelegationsInForce(ctx, now); err != nil {
		return next, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last, s.readAt = next, time.Now()
	return next, nil
}
