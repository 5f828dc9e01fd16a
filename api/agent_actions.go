package api

import (
	"context"
	"fmt"
	"time"

	"finobs/internal/action"
	"finobs/internal/agent"
	"finobs/internal/approval"
	"finobs/internal/remediation"
	"finobs/internal/store"
)

// mostStops bounds the stops that are listed.
const mostStops = 200

// actionView is a planned action in answers. Its id is that of its approval.
type actionView struct {
	ID           int64             `json:"action_id" doc:"and approval_request_id: one number for both"`
	RunID        int64             `json:"run_id"`
	IncidentID   int64             `json:"incident_id"`
	Action       string            `json:"action" example:"settlement.reinstruct"`
	Version      int               `json:"action_version"`
	Connector    string            `json:"connector"`
	Target       string            `json:"target" example:"settlement:S-1001"`
	TargetVer    string            `json:"target_version" doc:"that was planned over; when the target has moved, nothing is sent"`
	Parameters   map[string]string `json:"parameters"`
	Changes      []action.Change   `json:"changes" doc:"the dry run: what the action changes at once"`
	Amount       string            `json:"amount,omitempty" doc:"that moves, with its currency"`
	AmountUSD    string            `json:"amount_usd,omitempty"`
	Quantity     string            `json:"quantity,omitempty"`
	Notes        []string          `json:"notes"`
	Compensation *action.Command   `json:"compensation" doc:"what takes it back when it does not help; part of what is approved; null: nothing does"`
	Needs        []needView        `json:"needs" doc:"other objects on which the plan depends, such as standing instructions, at the versions that are approved; when one has moved, nothing is sent"`
	PlanDigest   string            `json:"plan_digest"`
	RiskTier     approval.RiskTier `json:"risk_tier" enum:"low,medium,high" doc:"by the catalogue; policies may raise it"`
	Simulation   bool              `json:"is_simulation"`
	Requester    personView        `json:"requester"`
	Desk         string            `json:"desk"`
	Reason       string            `json:"reason" doc:"why the agent proposes it"`
	PlannedAt    time.Time         `json:"planned_at"`

	Status         string      `json:"status" enum:"planned,pending,approved,rejected,expired,cancelled,superseded,withdrawn,executing,done,failed,unknown"`
	StatusReason   string      `json:"status_reason"`
	Recovery       string      `json:"recovery" enum:",waiting,recovered,not_recovered,compensated,compensation_failed,compensation_unknown"`
	RecoveryReason string      `json:"recovery_reason"`
	IdempotencyKey string      `json:"idempotency_key,omitempty"`
	EffectID       string      `json:"effect_id,omitempty" doc:"by the target's system"`
	BeganAt        *time.Time  `json:"began_at"`
	SentAt         *time.Time  `json:"sent_at" doc:"null: it never left"`
	EndedAt        *time.Time  `json:"ended_at"`
	ResolvedBy     *personView `json:"resolved_by,omitempty" doc:"who found out what became of it"`
	Path           string      `json:"path" doc:"of its approval"`
	Broken         string      `json:"broken,omitempty" doc:"why the recorded plan cannot be read: somebody changed it. Nothing of it is carried out; what it is about is shown as the row says, and proves nothing"`
}

func viewAction(x remediation.Action) actionView {
	v := actionView{
		ID: x.ID, RunID: x.RunID, IncidentID: x.IncidentID, Action: x.Plan.Action, Version: x.Plan.Version, Connector: x.Connector,
		Target: x.Object().Key(), TargetVer: x.Plan.Target.Version, Parameters: x.Plan.Command.Parameters, Changes: x.Plan.Changes,
		AmountUSD: x.Plan.AmountUSD, Quantity: x.Plan.Quantity, Notes: x.Plan.Notes, Compensation: x.Plan.Compensation, PlanDigest: x.PlanDigest,
		RiskTier: x.Risk, Simulation: x.Mode == approval.Simulation, Requester: personView{x.Requester.Issuer, x.Requester.Subject}, Desk: x.Desk,
		Reason: x.Reason, PlannedAt: x.PlannedAt, Status: x.Standing(), StatusReason: x.StatusReason, Recovery: string(x.Recovery),
		RecoveryReason: x.RecoveryReason, IdempotencyKey: x.Key, EffectID: x.EffectID, BeganAt: given(x.BeganAt), SentAt: given(x.SentAt),
		EndedAt: given(x.EndedAt), Path: fmt.Sprintf("/approval/%d", x.ID), Broken: x.Broken, Needs: []needView{},
	}
	if x.Broken != "" { // lists, not null
		v.Parameters, v.Changes, v.Notes = map[string]string{}, []action.Change{}, []string{}
	}
	for _, n := range x.Plan.Needs {
		v.Needs = append(v.Needs, needView{n.Connector, n.Key(), n.Version})
	}
	if x.Plan.Amount != "" {
		v.Amount = x.Plan.Amount + " " + x.Plan.Currency
	}
	if x.Status == remediation.Planned && v.StatusReason == "" {
		v.StatusReason = x.ApprovalReason
	}
	if x.ResolvedBy.Subject != "" {
		v.ResolvedBy = &personView{x.ResolvedBy.Issuer, x.ResolvedBy.Subject}
	}
	return v
}

// needView is an object on which a plan depends.
type needView struct {
	Connector string `json:"connector"`
	Object    string `json:"object" example:"ssi:SSI-GALE-DTC"`
	Version   string `json:"version"`
}

// given is null for the zero time.
func given(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

type actionPage struct {
	Items      []actionView `json:"items"`
	NextBefore int64        `json:"next_before,omitempty"`
}

type listActionsInput struct {
	Paging
	Status     string `query:"status" enum:"planned,pending,approved,rejected,expired,cancelled,superseded,withdrawn,executing,done,failed,unknown"`
	Action     string `query:"action" maxLength:"64"`
	IncidentID int64  `query:"incident_id" minimum:"1"`
	RunID      int64  `query:"run_id" minimum:"1"`
	Desk       string `query:"desk" maxLength:"32"`
	Simulation string `query:"is_simulation" enum:"true,false"`
}

func (s *Server) listActions(ctx context.Context, in *listActionsInput) (*body[actionPage], error) {
	list, err := s.seen(ctx).Actions(ctx, store.ActionFilter{
		Standing: in.Status, Type: in.Action, IncidentID: in.IncidentID, RunID: in.RunID, Desk: in.Desk, Simulation: in.Simulation,
	}, in.page())
	if err != nil {
		return nil, err
	}
	out := actionPage{Items: []actionView{}}
	for _, x := range list {
		if x.Broken != "" {
			s.log.ErrorContext(ctx, "a planned action cannot be read in full", "action_id", x.ID, "error", x.Broken)
		}
		out.Items = append(out.Items, viewAction(x))
		out.NextBefore = in.next(len(list), x.ID)
	}
	return &body[actionPage]{out}, nil
}

func (s *Server) getAction(ctx context.Context, in *runInput) (*body[actionView], error) {
	x, err := s.seen(ctx).Action(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &body[actionView]{viewAction(x)}, nil
}

// actionType is an action of the catalogue in answers.
type actionType struct {
	Name          string             `json:"name"`
	Version       int                `json:"version"`
	Title         string             `json:"title"`
	Doc           string             `json:"doc"`
	TargetKind    string             `json:"target_kind"`
	Parameters    []action.Parameter `json:"parameters"`
	Risk          approval.RiskTier  `json:"risk_tier"`
	Reversibility string             `json:"reversibility"`
	PerHour       int                `json:"per_hour" doc:"executions for one desk in an hour"`
	MaxAmountUSD  string             `json:"max_amount_usd,omitempty"`
	MaxQuantity   string             `json:"max_quantity,omitempty"`
}

type catalogueView struct {
	Items []actionType `json:"items"`
}

func (s *Server) listCatalogue(context.Context, *struct{}) (*body[catalogueView], error) {
	out := catalogueView{Items: []actionType{}}
	for _, t := range action.Catalogue() {
		v := actionType{
			Name: t.Name, Version: t.Version, Title: t.Title, Doc: t.Doc, TargetKind: t.TargetKind, Parameters: t.Parameters, Risk: t.Risk,
			Reversibility: string(t.Reversibility), PerHour: t.Caps.PerHour,
		}
		if t.Caps.MaxAmountUSD.IsPositive() {
			v.MaxAmountUSD = t.Caps.MaxAmountUSD.String()
		}
		if t.Caps.MaxQuantity.IsPositive() {
			v.MaxQuantity = t.Caps.MaxQuantity.String()
		}
		out.Items = append(out.Items, v)
	}
	return &body[catalogueView]{out}, nil
}

type stopView struct {
	ID       int64      `json:"stop_id"`
	Desk     string     `json:"desk" doc:"empty: every desk"`
	Reason   string     `json:"reason"`
	By       personView `json:"by"`
	At       time.Time  `json:"at"`
	InForce  bool       `json:"in_force"`
	LiftedAt *time.Time `json:"lifted_at"`
	LiftedBy int64      `json:"lifted_by,omitempty" doc:"approval"`
}

type stopList struct {
	Items []stopView `json:"items"`
}

func (s *Server) listStops(ctx context.Context, _ *struct{}) (*body[stopList], error) {
	list, err := s.seen(ctx).Stops(ctx, mostStops)
	if err != nil {
		return nil, err
	}
	out := stopList{Items: []stopView{}}
	for _, x := range list {
		out.Items = append(out.Items, stopView{
			x.ID, x.Desk, x.Reason, personView{x.By.Issuer, x.By.Subject}, x.At, x.LiftedAt.IsZero(), given(x.LiftedAt), x.LiftedBy,
		})
	}
	return &body[stopList]{out}, nil
}

// agentMetricsView are the figures of approvals with those of agents.
type agentMetricsView struct {
	MetricsView
	Actions  []actionFigures  `json:"actions" doc:"by action and version of the agent that proposed it; simulations apart"`
	Verdicts []verdictFigures `json:"verdicts" doc:"by field and version of the agent"`
}

type actionFigures struct {
	Action     string   `json:"action"`
	Version    string   `json:"agent_version"`
	Simulation bool     `json:"is_simulation"`
	Planned    int64    `json:"planned"`
	Approved   int64    `json:"approved"`
	Rejected   int64    `json:"rejected"`
	Agreement  *float64 `json:"agreement_rate" doc:"approved of all decided; null when none is"`
	Done       int64    `json:"done"`
	Failed     int64    `json:"failed"`
	Unknown    int64    `json:"unknown"`
	Recovered  int64    `json:"recovered"`
}

type verdictFigures struct {
	Field          agent.Field `json:"field"`
	Version        string      `json:"agent_version"`
	Simulation     bool        `json:"is_simulation"`
	Agreed         int64       `json:"agreed"`
	AIOverride     int64       `json:"ai_override"`
	ManualOverride int64       `json:"manual_override"`
	Agreement      *float64    `json:"agreement_rate" doc:"agreed of all verdicts"`
}

func (s *Server) agentMetrics(ctx context.Context, in *metricsInput) (*body[agentMetricsView], error) {
	approvals, err := s.approvalMetrics(ctx, in)
	if err != nil {
		return nil, err
	}
	since := approvals.Body.Since
	out := agentMetricsView{MetricsView: approvals.Body, Actions: []actionFigures{}, Verdicts: []verdictFigures{}}
	for _, simulation := range []bool{false, true} {
		actions, err := s.Reader.ActionCounts(ctx, simulation, since)
		if err != nil {
			return nil, err
		}
		for _, c := range actions {
			out.Actions = append(out.Actions, actionFigures{
				c.Type, c.Version, simulation, c.Planned, c.Agreed, c.Refused, share(c.Agreed, c.Agreed+c.Refused), c.Done, c.Failed, c.Unknown, c.Healed,
			})
		}
		verdicts, err := s.Reader.VerdictCounts(ctx, simulation, since)
		if err != nil {
			return nil, err
		}
		for _, c := range verdicts {
			all := c.Agreed + c.AIOverride + c.Manual
			out.Verdicts = append(out.Verdicts, verdictFigures{agent.Field(c.Field), c.Version, simulation, c.Agreed, c.AIOverride, c.Manual, share(c.Agreed, all)})
		}
	}
	return &body[agentMetricsView]{out}, nil
}

// share is part of whole; nil when there is no whole.
func share(part, whole int64) *float64 {
	if whole == 0 {
		return nil
	}
	return new(float64(part) / float64(whole))
}
