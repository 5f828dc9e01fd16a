package api

import (
	"context"
	"net/http"
	"strings"

	"finobs/internal/agent"
	"finobs/internal/approval"
	"finobs/internal/fault"
	"finobs/internal/store"
	"finobs/workflows"
)

// agentRoutes are those of agents and of what they plan; see docs/agents.md.
func (s *Server) agentRoutes() []route {
	return []route{
		on(http.MethodPost, "/agent/triage", AgentAsk, "Let an agent triage an incident, once approved", s.askTriage),
		on(http.MethodPost, "/agent/remediate", AgentAsk, "Let an agent plan actions for an incident, once approved; each plan needs an approval of its own", s.askRemediation),
		on(http.MethodPost, "/agent/compliance", AgentAsk, "Let an agent look over transactions by the rules of compliance, once approved", s.askCompliance),
		on(http.MethodPost, "/agent/automate_compliance", AgentAsk, "The same as /agent/compliance", s.askCompliance),
		on(http.MethodPost, "/agent/audit_summary", AgentAsk, "Let an agent sum up a range of the log, once approved", s.askSummary),
		on(http.MethodGet, "/agent/runs", AgentRead, "List runs of agents", s.listRuns),
		on(http.MethodGet, "/agent/runs/{id}", AgentRead, "Read a run: what the agent was shown, what it said, which of its claims failed", s.getRun),
		on(http.MethodGet, "/agent/runs/{id}/record", AgentRead, "All that is needed to replay a run without the model", s.getRunRecord),
		on(http.MethodPost, "/agent/runs/{id}/override", AgentJudge, "Say which severity, category or action is right", s.overrideRun),

		on(http.MethodGet, "/agent/ops/actions", AgentRead, "List the actions that agents planned", s.listActions),
		on(http.MethodGet, "/agent/ops/actions/{id}", AgentRead, "Read a planned action, its dry run and what became of it", s.getAction),
		on(http.MethodPost, "/agent/ops/actions/{id}/resolve", AgentJudge, "Say what became of an action whose outcome nobody knows", s.resolveAction),
		on(http.MethodPost, "/agent/ops/actions/{id}/withdraw", AgentJudge, "Take back a planned action", s.withdrawAction),
		on(http.MethodPost, "/agent/ops/actions/{id}/approve", ApprovalJudge, "Approve an action (the same engine as /approval)", s.decides(approval.Approve)),
		on(http.MethodPost, "/agent/ops/actions/{id}/reject", ApprovalJudge, "Reject an action (the same engine as /approval)", s.decides(approval.Reject)),
		on(http.MethodGet, "/agent/ops/actions/metrics", MetricsRead, "The figures of /approval/metrics, with those of agents and their actions", s.agentMetrics),
		on(http.MethodGet, "/agent/ops/catalogue", AgentRead, "The actions that can be planned", s.listCatalogue),
		on(http.MethodGet, "/agent/ops/stops", AgentRead, "List stops, under which no action begins", s.listStops),
		on(http.MethodPost, "/agent/ops/stops", AgentStop, "Let no action begin, of a desk or of all", s.stopAgents),
		on(http.MethodPost, "/agent/ops/stops/{id}/resume", AgentAsk, "Let actions begin again, once approved", s.resumeAgents),
	}
}

// RunOptions are what every request for a run may say.
type RunOptions struct {
	Reason     string `json:"reason,omitempty" maxLength:"2000" doc:"told to the approvers"`
	Simulation bool   `json:"is_simulation,omitempty" doc:"reach no live system; an approval of a simulation releases nothing live"`
	Renew      bool   `json:"renew,omitempty" doc:"ask for a new run although the same was asked for before"`
}

func (o RunOptions) mode() approval.Mode {
	if o.Simulation {
		return approval.Simulation
	}
	return approval.Live
}

type incidentRunInput struct {
	Body struct {
		IncidentID int64    `json:"incident_id" minimum:"1"`
		Targets    []string `json:"targets,omitempty" maxItems:"10" doc:"objects of desk systems that actions may be about, such as order:O-1001, beside those that the incident and its trade name"`
		RunOptions
	}
}

type complianceRunInput struct {
	Body struct {
		Start   string `json:"start,omitempty" format:"date" doc:"first trade date; default: all"`
		End     string `json:"end,omitempty" format:"date" doc:"last trade date, inclusive"`
		Source  string `json:"source,omitempty" maxLength:"64"`
		Account string `json:"account,omitempty" maxLength:"64"`
		Origin  string `json:"origin,omitempty" enum:"live,demo" default:"live"`
		RunOptions
	}
}

type summaryRunInput struct {
	Body struct {
		From int64 `json:"from,omitempty" minimum:"0" doc:"first leaf"`
		To   int64 `json:"to,omitempty" minimum:"1" doc:"last leaf, exclusive; default: up to the newest checkpoint, 1,000,000 leaves at most. Asked for again without it, the same request answers as long as it is open or its run answers, though the log has grown; renew asks anew"`
		RunOptions
	}
}

// askedRunView answers a request for a run: at first with the three keys of the
// brief, once it began with the run as well.
type askedRunView struct {
	Detail string          `json:"detail" example:"Triage requires approval"`
	ID     int64           `json:"approval_request_id" example:"42"`
	Status approval.Status `json:"status" example:"pending"`
	Run    *agentRunView   `json:"run,omitempty" doc:"once it is approved and has begun"`
}

type askedRunOutput struct {
	Status int
	Body   askedRunView
}

func (s *Server) askTriage(ctx context.Context, in *incidentRunInput) (*askedRunOutput, error) {
	return s.askIncidentRun(ctx, agent.Triage, in)
}

func (s *Server) askRemediation(ctx context.Context, in *incidentRunInput) (*askedRunOutput, error) {
	return s.askIncidentRun(ctx, agent.Remediate, in)
}

func (s *Server) askIncidentRun(ctx context.Context, kind agent.Kind, in *incidentRunInput) (*askedRunOutput, error) {
	r := agent.Request{Kind: kind, IncidentID: in.Body.IncidentID, Mode: in.Body.mode()}
	for _, key := range in.Body.Targets {
		t, err := agent.ParseTarget(key)
		if err != nil {
			return nil, err
		}
		r.Targets = append(r.Targets, t)
	}
	if _, err := s.seen(ctx).Incident(ctx, r.IncidentID); err != nil {
		return nil, err
	}
	return s.askRun(ctx, r, in.Body.RunOptions)
}

func (s *Server) askCompliance(ctx context.Context, in *complianceRunInput) (*askedRunOutput, error) {
	origin := in.Body.Origin
	if origin == "" {
		origin = "live"
	}
	return s.askRun(ctx, agent.Request{
		Kind: agent.Compliance, Start: in.Body.Start, End: in.Body.End, Source: in.Body.Source, Account: in.Body.Account, Origin: origin, Mode: in.Body.mode(),
	}, in.Body.RunOptions)
}

func (s *Server) askSummary(ctx context.Context, in *summaryRunInput) (*askedRunOutput, error) {
	tree, err := s.Reader.Sequencer(ctx)
	if err != nil {
		return nil, err
	}
	var signed int64
	if tree.SignedSize != nil {
		signed = *tree.SignedSize
	}
	r := agent.Request{Kind: agent.AuditSummary, From: in.Body.From, To: in.Body.To, Mode: in.Body.mode()}
	if r.To == 0 {
		r.Newest = true
		if r.To, err = s.summaryEnd(ctx, r, in.Body.Renew); err != nil {
			return nil, err
		}
	}
	if r.To == 0 && signed <= r.From {
		return nil, fault.New(fault.Invalid, "range-not-signed", "no leaf from %d on is covered by a checkpoint yet; the newest covers %d", r.From, signed)
	}
	if r.To == 0 {
		r.To = min(signed, r.From+agent.MaxLeaves)
	}
	if r.To > signed {
		return nil, fault.New(fault.Invalid, "range-not-signed", "leaves up to %d are not covered by a checkpoint yet; the newest covers %d", r.To, signed)
	}
	return s.askRun(ctx, r, in.Body.RunOptions)
}

// mostSummaries bounds the requests among which an earlier one is looked for.
const mostSummaries = 50

// summaryEnd is where the caller's latest request ends that left its end to the newest
// checkpoint, from the same leaf on, while it answers still; 0 when there is none. The
// log grows all the time, and asking again would else be another request each time.
func (s *Server) summaryEnd(ctx context.Context, r agent.Request, renew bool) (int64, error) {
	me := principal(ctx)
	list, err := s.Reader.Approvals(ctx, store.ApprovalFilter{Kind: agent.ActionPrefix + string(r.Kind), Requester: me.Subject}, store.Page{Limit: mostSummaries})
	if err != nil || renew {
		return 0, err
	}
	now, err := s.Reader.Now(ctx)
	if err != nil {
		return 0, err
	}
	for _, earlier := range list {
		policy, action, err := governing(earlier)
		if err != nil { // its own page says what is wrong with it
			continue
		}
		was, err := agent.RequestOf(action)
		if err != nil || !was.Newest || was.From != r.From || was.Mode != r.Mode || !action.Requester.Same(me.Person) || action.Desk != me.Desk {
			continue
		}
		if answers(earlier, now, policy.ReuseFor, false) {
			return was.To, nil
		}
		return 0, nil
	}
	return 0, nil
}

// askRun asks for a run, or answers where the same request stands.
func (s *Server) askRun(ctx context.Context, r agent.Request, o RunOptions) (*askedRunOutput, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	me := principal(ctx)
	got, err := s.ask(ctx, question{action: r.Action(me.Person, me.Desk), workflowType: workflows.AgentRun, reason: o.Reason, renew: o.Renew})
	if err != nil {
		return nil, err
	}
	what := map[agent.Kind]string{
		agent.Triage: "Triage", agent.Remediate: "Remediation", agent.Compliance: "Compliance automation", agent.AuditSummary: "Audit summary",
	}[r.Kind]
	out := &askedRunOutput{Status: http.StatusAccepted, Body: askedRunView{Detail: detailOf(what, got.Status), ID: got.ID, Status: got.Status}}
	switch got.Status {
	case approval.Pending, approval.Approved:
		return out, nil
	case approval.Consumed:
		run, found, err := s.Reader.RunOf(ctx, got.ID)
		if err != nil || !found {
			return out, err
		}
		view, err := s.viewRun(ctx, run, "evidence", "output")
		if err != nil {
			return nil, err
		}
		out.Body.Run = &view
		if run.Status != agent.Running {
			out.Status = http.StatusOK
		}
		return out, nil
	case approval.Rejected:
		return nil, fault.New(fault.Forbidden, "run-rejected", `approval %d was rejected: %q; send "renew": true to ask again`, got.ID, got.StatusReason)
	default:
		return nil, fault.New(fault.Gone, "run-"+string(got.Status), `approval %d is %s; send "renew": true to ask again`, got.ID, got.Status)
	}
}

// unasked refuses to reopen or edit what an agent planned: the plan is bound to its
// one approval.
func unasked(kind string) error {
	if strings.HasPrefix(kind, "remediation.") {
		return fault.New(fault.Conflict, "act-refused", "a plan is approved or rejected as it is; POST /agent/remediate makes another")
	}
	if strings.HasPrefix(kind, agent.ActionPrefix) {
		return fault.New(fault.Conflict, "act-refused", "ask for the run anew: POST /agent/%s", strings.TrimPrefix(kind, agent.ActionPrefix))
	}
	return nil
}
