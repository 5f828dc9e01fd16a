package api

import (
	"context"
	"fmt"
	"net/http"

	"finobs/internal/agent"
	"finobs/internal/fault"
	"finobs/workflows"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
)

type agentActedView struct {
	ActID    string `json:"act_id"`
	Recorded bool   `json:"recorded" doc:"false: accepted, and recorded as soon as a worker is there"`
	Override string `json:"override_type,omitempty" doc:"of an override; empty: the person agrees with the agent"`
	StopID   int64  `json:"stop_id,omitempty"`
	Status   string `json:"status,omitempty" doc:"of the action"`
}

type agentActedOutput struct {
	Status int
	Body   agentActedView
}

type overrideInput struct {
	ID   int64 `path:"id" minimum:"1"`
	Body struct {
		Field  agent.Field `json:"field" enum:"severity,category,action"`
		Chosen string      `json:"chosen" minLength:"1" maxLength:"64" doc:"what is right: a severity, a category, the name of an action, or none for no action"`
		Reason string      `json:"reason" minLength:"1" maxLength:"2000"`
	}
}

func (s *Server) overrideRun(ctx context.Context, in *overrideInput) (*agentActedOutput, error) {
	if _, err := s.seen(ctx).Run(ctx, in.ID); err != nil {
		return nil, err
	}
	return s.agentAct(ctx, agent.Act{Verb: agent.Override, RunID: in.ID, Field: in.Body.Field, Chosen: in.Body.Chosen, Reason: in.Body.Reason})
}

type resolveInput struct {
	ID   int64 `path:"id" minimum:"1"`
	Body struct {
		Outcome string `json:"outcome" enum:"done,failed" doc:"what became of it, by a look at the target's system"`
		Reason  string `json:"reason" minLength:"1" maxLength:"2000" doc:"how that was found out"`
	}
}

func (s *Server) resolveAction(ctx context.Context, in *resolveInput) (*agentActedOutput, error) {
	if _, err := s.seen(ctx).Action(ctx, in.ID); err != nil {
		return nil, err
	}
	return s.agentAct(ctx, agent.Act{Verb: agent.Resolve, ActionID: in.ID, Found: in.Body.Outcome, Reason: in.Body.Reason})
}

type withReasonInput struct {
	ID   int64 `path:"id" minimum:"1"`
	Body struct {
		Reason string `json:"reason" minLength:"1" maxLength:"2000"`
	}
}

func (s *Server) withdrawAction(ctx context.Context, in *withReasonInput) (*agentActedOutput, error) {
	if _, err := s.seen(ctx).Action(ctx, in.ID); err != nil {
		return nil, err
	}
	return s.agentAct(ctx, agent.Act{Verb: agent.Withdraw, ActionID: in.ID, Reason: in.Body.Reason})
}

type stopInput struct {
	Body struct {
		Desk   string `json:"desk,omitempty" maxLength:"32" doc:"default: every desk"`
		Reason string `json:"reason" minLength:"1" maxLength:"2000"`
	}
}

func (s *Server) stopAgents(ctx context.Context, in *stopInput) (*agentActedOutput, error) {
	return s.agentAct(ctx, agent.Act{Verb: agent.Stop, Desk: in.Body.Desk, Reason: in.Body.Reason})
}

// agentAct signs what the caller does and starts the workflow that records it.
func (s *Server) agentAct(ctx context.Context, a agent.Act) (*agentActedOutput, error) {
	a.ID = uuid.Must(uuid.NewV7()).String()
	if err := a.Validate(); err != nil {
		return nil, err
	}
	digest, err := a.Digest()
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "invalid-act", "the act is not valid text")
	}
	workflowID := workflows.AgentActWorkflowID(a.ID)
	command, err := s.command(ctx, workflows.AgentAct, workflowID, digest)
	if err != nil {
		return nil, err
	}
	run, err := s.execute(ctx, client.StartWorkflowOptions{
		ID: workflowID, TaskQueue: workflows.TaskQueue, WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		StaticSummary: fmt.Sprintf("%s by %s", a.Verb, principal(ctx).Subject),
	}, workflows.AgentAct, workflows.AgentActInput{Command: command, Act: a})
	if err != nil {
		return nil, err
	}
	var done workflows.AgentActResult
	recorded, err := s.await(ctx, run, &done)
	if err != nil {
		return nil, err
	}
	view := agentActedView{ActID: a.ID, Recorded: recorded, Override: done.Override, StopID: done.StopID, Status: done.Status}
	if !recorded {
		return &agentActedOutput{http.StatusAccepted, view}, nil
	}
	return &agentActedOutput{http.StatusOK, view}, nil
}

// resumeAgents asks for approval of lifting a stop.
func (s *Server) resumeAgents(ctx context.Context, in *withReasonInput) (*askedOutput, error) {
	stops, err := s.Reader.Stops(ctx, mostStops)
	if err != nil {
		return nil, err
	}
	for _, stop := range stops {
		if stop.ID != in.ID || !stop.LiftedAt.IsZero() {
			continue
		}
		me := principal(ctx)
		got, err := s.ask(ctx, question{
			action: agent.ResumeAction(stop.ID, stop.Desk, me.Person, me.Desk), workflowType: workflows.Change, reason: in.Body.Reason,
		})
		if err != nil {
			return nil, err
		}
		return &askedOutput{http.StatusAccepted, askedView{detailOf("Lifting a stop", got.Status), got.ID, got.Status}}, nil
	}
	return nil, fault.New(fault.NotFound, "no-such-stop", "there is no stop %d in force", in.ID)
}
