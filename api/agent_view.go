package api

import (
	"context"
	"time"

	"finobs/internal/agent"
	"finobs/internal/approval"
	"finobs/internal/desk"
	"finobs/internal/fault"
	"finobs/internal/store"
)

// mostFindings bounds the findings that are shown with a run.
const mostFindings = 200

// agentRunView is a run of an agent in answers.
type agentRunView struct {
	ID         int64             `json:"run_id"`
	ApprovalID int64             `json:"approval_request_id"`
	Kind       agent.Kind        `json:"kind" enum:"triage,remediate,compliance,audit_summary"`
	IncidentID int64             `json:"incident_id,omitempty"`
	Parameters map[string]string `json:"parameters"`
	Simulation bool              `json:"is_simulation"`
	Status     agent.RunStatus   `json:"status" enum:"running,done,failed"`
	Failure    string            `json:"failure,omitempty"`
	Requester  personView        `json:"requester"`
	Desk       string            `json:"desk"`
	WorkflowID string            `json:"workflow_id"`
	TraceID    string            `json:"trace_id"`
	StartedAt  time.Time         `json:"started_at"`
	EndedAt    *time.Time        `json:"ended_at"`

	// The seven fields of the brief.
	Explanation string `json:"ai_explanation" doc:"the agent's words; a model's are model text, whatever they claim"`
	Input       string `json:"agent_input" doc:"SHA-256 of the evidence; the record has it in full"`
	Output      string `json:"agent_output" doc:"SHA-256 of the output; below in full"`
	Version     string `json:"agent_version" doc:"which analyst spoke, of which version"`
	ActorType   string `json:"actor_type" enum:"agent"`
	Override    string `json:"override_type" doc:"of the newest override by a person; empty: nobody overrode it"`

	ModelText  bool              `json:"is_model_text" doc:"the words are a model's"`
	Fallback   string            `json:"fallback,omitempty" doc:"why the rulebook answered in the model's place"`
	Result     *agent.Output     `json:"result"`
	Problems   []string          `json:"problems" doc:"what of the output was refused or struck"`
	Suspicions []agent.Suspicion `json:"suspicions" doc:"what in evidence or output looks like an attempt to steer the agent"`
	Evidence   []agent.Evidence  `json:"evidence,omitempty" doc:"all that the agent was shown"`
	Findings   []findingView     `json:"findings,omitempty" doc:"of a compliance run, the worst first, 200 at most"`
	Verdicts   []verdictView     `json:"verdicts,omitempty"`
	Actions    []int64           `json:"actions,omitempty" doc:"that were planned; see /agent/ops/actions/{id}"`
	Spend      *runSpend         `json:"spend,omitempty"`
	Broken     string            `json:"broken,omitempty" doc:"why the record cannot be shown in full: somebody changed it"`
}

type runSpend struct {
	Calls  int64  `json:"calls"`
	Tokens int64  `json:"tokens"`
	USD    string `json:"usd"`
	Millis int64  `json:"milliseconds"`
}

type verdictView struct {
	Field       agent.Field `json:"field"`
	Recommended string      `json:"recommended"`
	Chosen      string      `json:"chosen"`
	Override    string      `json:"override_type" doc:"empty: the person agrees"`
	Reason      string      `json:"reason"`
	By          personView  `json:"by"`
	At          time.Time   `json:"at"`
}

// findingView is a finding of the rules of compliance in answers.
type findingView struct {
	ID       string            `json:"finding_id"`
	Rule     string            `json:"rule"`
	Version  string            `json:"rule_version"`
	Severity desk.Severity     `json:"severity" enum:"low,medium,high,critical"`
	Party    string            `json:"party"`
	Records  []string          `json:"records" doc:"the first ones"`
	Facts    map[string]string `json:"facts"`
	Text     string            `json:"text"`
}

// viewRun is a run with the parts of its record that are named.
func (s *Server) viewRun(ctx context.Context, r agent.Run, shown ...string) (agentRunView, error) {
	a := r.Request.Action(r.Requester, r.Desk)
	v := agentRunView{
		ID: r.ID, ApprovalID: r.ApprovalID, Kind: r.Request.Kind, IncidentID: r.Request.IncidentID, Parameters: a.Parameters,
		Simulation: r.Request.Simulated(), Status: r.Status, Failure: r.Failure, Requester: personView{r.Requester.Issuer, r.Requester.Subject},
		Desk: r.Desk, WorkflowID: r.WorkflowID, TraceID: r.TraceID, StartedAt: r.StartedAt, ActorType: string(approval.Agent),
		Input: r.EvidenceSHA256, Problems: []string{}, Suspicions: []agent.Suspicion{}, Broken: r.Broken,
	}
	if !r.EndedAt.IsZero() {
		v.EndedAt = &r.EndedAt
	}
	if r.Result == nil {
		return v, nil
	}
	v.Output, v.Version, v.Fallback = r.Result.OutputSHA256, r.Result.Version, r.Result.Fallback
	v.ModelText = agent.IsModel(v.Version)
	if r.Result.Problems != nil {
		v.Problems = r.Result.Problems
	}
	if r.Result.Suspicions != nil {
		v.Suspicions = r.Result.Suspicions
	}
	parts, err := s.Reader.RunParts(ctx, r.ID, shown...)
	if err != nil {
		return v, err
	}
	for _, p := range parts {
		switch p.Part {
		case "evidence":
			if v.Evidence, err = agent.DecodeBundle(p.Bytes); err != nil {
				return v, runBroken(err, "evidence", r.ID)
			}
		case "output":
			o, err := agent.DecodeOutput(p.Bytes)
			if err != nil {
				return v, runBroken(err, "output", r.ID)
			}
			v.Result, v.Explanation = &o, o.Explain()
		}
	}
	return v, nil
}

// runBroken is the fault of a part of a record that is not the one that was kept.
func runBroken(why error, part string, id int64) error {
	return fault.Wrap(why, fault.Forbidden, "run-broken", "the recorded %s of run %d is not the one that was kept; the log has its digest", part, id)
}

type runPage struct {
	Items      []agentRunView `json:"items"`
	NextBefore int64          `json:"next_before,omitempty"`
}

type listRunsInput struct {
	Paging
	Kind       string `query:"kind" enum:"triage,remediate,compliance,audit_summary"`
	Status     string `query:"status" enum:"running,done,failed"`
	IncidentID int64  `query:"incident_id" minimum:"1"`
	Simulation string `query:"is_simulation" enum:"true,false"`
}

func (s *Server) listRuns(ctx context.Context, in *listRunsInput) (*body[runPage], error) {
	list, err := s.seen(ctx).Runs(ctx, store.RunFilter{
		Kind: agent.Kind(in.Kind), Status: agent.RunStatus(in.Status), IncidentID: in.IncidentID, Simulation: in.Simulation,
	}, in.page())
	if err != nil {
		return nil, err
	}
	out := runPage{Items: []agentRunView{}}
	for _, r := range list {
		v, err := s.viewRun(ctx, r, "output")
		switch {
		case fault.CodeOf(err) == "run-broken":
			v.Broken = fault.MessageOf(err)
		case err != nil:
			return nil, err
		}
		if v.Broken != "" { // the list goes on
			s.log.ErrorContext(ctx, "a run cannot be read in full", "run_id", r.ID, "error", v.Broken)
		}
		out.Items = append(out.Items, v)
		out.NextBefore = in.next(len(list), r.ID)
	}
	return &body[runPage]{out}, nil
}

type runInput struct {
	ID int64 `path:"id" minimum:"1"`
}

func (s *Server) getRun(ctx context.Context, in *runInput) (*body[agentRunView], error) {
	r, err := s.seen(ctx).Run(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	v, err := s.viewRun(ctx, r, "evidence", "output")
	if err != nil {
		return nil, err
	}
	if r.Request.Kind == agent.Compliance {
		found, err := s.Reader.Findings(ctx, r.ID, mostFindings)
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			v.Findings = append(v.Findings, findingView(f))
		}
	}
	verdicts, err := s.Reader.Verdicts(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	for _, d := range verdicts {
		v.Verdicts = append(v.Verdicts, verdictView{d.Field, d.Recommended, d.Chosen, d.Override, d.Reason, personView{d.By.Issuer, d.By.Subject}, d.At})
		if d.Override != "" {
			v.Override = d.Override
		}
	}
	actions, err := s.seen(ctx).Actions(ctx, store.ActionFilter{RunID: r.ID}, store.Page{Limit: agent.MaxProposals})
	if err != nil {
		return nil, err
	}
	for _, a := range actions {
		v.Actions = append([]int64{a.ID}, v.Actions...)
	}
	spend, err := s.Reader.SpendOf(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	v.Spend = &runSpend{spend.Calls, spend.Tokens, spend.USD.String(), spend.Millis}
	return &body[agentRunView]{v}, nil
}

// runRecord is the record of a run, byte for byte, for finobs agent replay. Parts
// are in base64, since JSON in JSON would be spelt anew on its way.
type runRecord struct {
	RunID     int64             `json:"run_id"`
	Kind      agent.Kind        `json:"kind" enum:"triage,remediate,compliance,audit_summary"`
	Mode      approval.Mode     `json:"mode" enum:"live,simulation"`
	Version   string            `json:"agent_version"`
	Fallback  string            `json:"fallback"`
	Question  []byte            `json:"question" doc:"what a model was asked beside the evidence; empty: none was"`
	Evidence  []byte            `json:"evidence"`
	Output    []byte            `json:"output"`
	SHA256    map[string]string `json:"sha256" doc:"of evidence and output, in hexadecimal"`
	Exchanges [][]byte          `json:"exchanges" doc:"what went to the model and came back, in order"`
}

func (s *Server) getRunRecord(ctx context.Context, in *runInput) (*body[runRecord], error) {
	r, err := s.seen(ctx).Run(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	parts, err := s.Reader.RunParts(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	out := runRecord{RunID: r.ID, Kind: r.Request.Kind, Mode: r.Request.Mode, SHA256: map[string]string{}, Exchanges: [][]byte{}}
	if r.Result != nil {
		out.Version, out.Fallback = r.Result.Version, r.Result.Fallback
	}
	for _, p := range parts {
		switch p.Part {
		case "evidence":
			out.Evidence, out.SHA256["evidence"] = p.Bytes, p.SHA256
		case "output":
			out.Output, out.SHA256["output"] = p.Bytes, p.SHA256
		case "question":
			out.Question = p.Bytes
		default:
			out.Exchanges = append(out.Exchanges, p.Bytes)
		}
	}
	return &body[runRecord]{out}, nil
}
