package api

import (
	"context"
	"fmt"
	"net/http"

	"finobs/internal/desk"
	"finobs/internal/fault"
	"finobs/internal/incident"
	"finobs/workflows"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
)

// IncidentSeen says which version of an incident an act is meant for.
type IncidentSeen struct {
	Version int64 `json:"version,omitempty" minimum:"1" doc:"of the incident as the caller saw it; when it has moved since, the answer is 409"`
}

type incidentActedView struct {
	ID       int64           `json:"incident_id"`
	ActID    string          `json:"act_id"`
	Recorded bool            `json:"recorded" doc:"false: accepted, and recorded as soon as a worker is there"`
	Status   incident.Status `json:"status,omitempty" doc:"of the incident"`
	Version  int64           `json:"version,omitempty" doc:"of the incident"`
	Detail   string          `json:"detail"`
}

type incidentActedOutput struct {
	Status int
	Body   incidentActedView
}

// notedInput is an act that takes words, or not even those.
type notedInput struct {
	ID   int64 `path:"id" minimum:"1"`
	Body *struct {
		IncidentSeen
		Note string `json:"note,omitempty" maxLength:"4000"`
	}
}

// notes makes a handler of an act that takes nothing but words.
func (s *Server) notes(verb incident.Verb) func(context.Context, *notedInput) (*incidentActedOutput, error) {
	return func(ctx context.Context, in *notedInput) (*incidentActedOutput, error) {
		act := incident.Act{Verb: verb, IncidentID: in.ID}
		if in.Body != nil {
			act.Text, act.Version = in.Body.Note, in.Body.Version
		}
		return s.incidentAct(ctx, act)
	}
}

type incidentCommentInput struct {
	ID   int64 `path:"id" minimum:"1"`
	Body struct {
		Text string `json:"text" minLength:"1" maxLength:"4000"`
	}
}

func (s *Server) commentIncident(ctx context.Context, in *incidentCommentInput) (*incidentActedOutput, error) {
	return s.incidentAct(ctx, incident.Act{Verb: incident.Comment, IncidentID: in.ID, Text: in.Body.Text})
}

type incidentAssignInput struct {
	ID   int64 `path:"id" minimum:"1"`
	Body struct {
		IncidentSeen
		To     *Somebody `json:"to,omitempty" doc:"an active person on the roster; left out: to nobody"`
		Reason string    `json:"reason,omitempty" maxLength:"4000"`
	}
}

func (s *Server) assignIncident(ctx context.Context, in *incidentAssignInput) (*incidentActedOutput, error) {
	act := incident.Act{Verb: incident.Assign, IncidentID: in.ID, Version: in.Body.Version, Text: in.Body.Reason}
	if in.Body.To != nil {
		act.To = in.Body.To.person(ctx)
	}
	return s.incidentAct(ctx, act)
}

type incidentResolveInput struct {
	ID   int64 `path:"id" minimum:"1"`
	Body struct {
		IncidentSeen
		Resolution string `json:"resolution" minLength:"1" maxLength:"4000" doc:"what ended it"`
	}
}

func (s *Server) resolveIncident(ctx context.Context, in *incidentResolveInput) (*incidentActedOutput, error) {
	return s.incidentAct(ctx, incident.Act{Verb: incident.Resolve, IncidentID: in.ID, Version: in.Body.Version, Text: in.Body.Resolution})
}

type incidentReopenInput struct {
	ID   int64 `path:"id" minimum:"1"`
	Body struct {
		IncidentSeen
		Reason string `json:"reason" minLength:"1" maxLength:"4000"`
	}
}

func (s *Server) reopenIncident(ctx context.Context, in *incidentReopenInput) (*incidentActedOutput, error) {
	return s.incidentAct(ctx, incident.Act{Verb: incident.Reopen, IncidentID: in.ID, Version: in.Body.Version, Text: in.Body.Reason})
}

type incidentRateInput struct {
	ID   int64 `path:"id" minimum:"1"`
	Body struct {
		IncidentSeen
		Severity string `json:"severity" enum:"low,medium,high,critical"`
		Reason   string `json:"reason" minLength:"1" maxLength:"4000"`
	}
}

func (s *Server) rateIncident(ctx context.Context, in *incidentRateInput) (*incidentActedOutput, error) {
	return s.incidentAct(ctx, incident.Act{
		Verb: incident.Rate, IncidentID: in.ID, Version: in.Body.Version, Text: in.Body.Reason, Severity: desk.Severity(in.Body.Severity),
	})
}

type incidentPriorityInput struct {
	ID   int64 `path:"id" minimum:"1"`
	Body struct {
		IncidentSeen
		Priority string `json:"priority" enum:"p1,p2,p3,p4"`
		Reason   string `json:"reason" minLength:"1" maxLength:"4000"`
	}
}

func (s *Server) prioritiseIncident(ctx context.Context, in *incidentPriorityInput) (*incidentActedOutput, error) {
	return s.incidentAct(ctx, incident.Act{
		Verb: incident.Prioritise, IncidentID: in.ID, Version: in.Body.Version, Text: in.Body.Reason, Priority: incident.Priority(in.Body.Priority),
	})
}

type incidentLinkInput struct {
	ID   int64 `path:"id" minimum:"1"`
	Body struct {
		IncidentSeen
		TransactionID int64  `json:"transaction_id,omitempty" minimum:"0" doc:"left out: to none"`
		Reason        string `json:"reason,omitempty" maxLength:"4000"`
	}
}

func (s *Server) linkIncident(ctx context.Context, in *incidentLinkInput) (*incidentActedOutput, error) {
	return s.incidentAct(ctx, incident.Act{
		Verb: incident.Link, IncidentID: in.ID, Version: in.Body.Version, Text: in.Body.Reason, Other: in.Body.TransactionID,
	})
}

type incidentParentInput struct {
	ID   int64 `path:"id" minimum:"1"`
	Body struct {
		IncidentSeen
		ParentID int64  `json:"parent_id,omitempty" minimum:"0" doc:"left out: none"`
		Reason   string `json:"reason,omitempty" maxLength:"4000"`
	}
}

func (s *Server) parentIncident(ctx context.Context, in *incidentParentInput) (*incidentActedOutput, error) {
	return s.incidentAct(ctx, incident.Act{
		Verb: incident.Adopt, IncidentID: in.ID, Version: in.Body.Version, Text: in.Body.Reason, Other: in.Body.ParentID,
	})
}

type incidentMergeInput struct {
	ID   int64 `path:"id" minimum:"1"`
	Body struct {
		IncidentSeen
		Into   int64  `json:"into" minimum:"1" doc:"the incident that survives"`
		Reason string `json:"reason" minLength:"1" maxLength:"4000"`
	}
}

func (s *Server) mergeIncident(ctx context.Context, in *incidentMergeInput) (*incidentActedOutput, error) {
	return s.incidentAct(ctx, incident.Act{
		Verb: incident.Merge, IncidentID: in.ID, Version: in.Body.Version, Text: in.Body.Reason, Other: in.Body.Into,
	})
}

// incidentAct has the caller's act on an incident done.
func (s *Server) incidentAct(ctx context.Context, a incident.Act) (*incidentActedOutput, error) {
	if err := s.mayActOnIncident(ctx, a); err != nil {
		return nil, err
	}
	actID, run, err := s.startIncidentAct(ctx, a)
	if err != nil {
		return nil, err
	}
	return s.awaitIncidentAct(ctx, a.IncidentID, actID, run)
}

// awaitIncidentAct answers with what an act led to, or with 202 when that takes
// long.
func (s *Server) awaitIncidentAct(ctx context.Context, id int64, actID string, run client.WorkflowRun) (*incidentActedOutput, error) {
	var done workflows.IncidentActResult
	recorded, err := s.await(ctx, run, &done)
	if err != nil {
		return nil, err
	}
	view := incidentActedView{ID: id, ActID: actID, Detail: "it is accepted and will be recorded"}
	if !recorded {
		return &incidentActedOutput{http.StatusAccepted, view}, nil
	}
	view.Recorded, view.Status, view.Version, view.Detail = true, done.Status, done.Version, "it is recorded"
	return &incidentActedOutput{http.StatusOK, view}, nil
}

// mayActOnIncident refuses early what the record would refuse anyway.
func (s *Server) mayActOnIncident(ctx context.Context, a incident.Act) error {
	i, err := s.seen(ctx).Incident(ctx, a.IncidentID)
	if err != nil {
		return err
	}
	if a.Other != 0 {
		if _, err := s.seen(ctx).Incident(ctx, a.Other); err != nil {
			return err
		}
	}
	if a.Version != 0 && a.Version != i.Version {
		return fault.New(fault.Conflict, "incident-moved", "incident %d has version %d now, not %d; look at it again", i.ID, i.Version, a.Version)
	}
	err = i.MayAct(principal(ctx), a.Verb)
	if fault.KindOf(err) == fault.Forbidden {
		s.recordDenial(ctx, "authorize", fmt.Sprintf("incident %d: %s", i.ID, fault.MessageOf(err)))
	}
	return err
}

// startIncidentAct signs what the caller does and starts the workflow that does
// it. No error means that Temporal has it.
func (s *Server) startIncidentAct(ctx context.Context, a incident.Act) (actID string, run client.WorkflowRun, err error) {
	a.ID = uuid.Must(uuid.NewV7()).String()
	if err := a.Validate(); err != nil {
		return "", nil, err
	}
	digest, err := a.Digest()
	if err != nil {
		return "", nil, fault.Wrap(err, fault.Invalid, "invalid-act", "the act is not valid text")
	}
	workflowID := workflows.IncidentActWorkflowID(a.ID)
	command, err := s.command(ctx, workflows.IncidentAct, workflowID, digest)
	if err != nil {
		return "", nil, err
	}
	run, err = s.execute(ctx, client.StartWorkflowOptions{
		ID: workflowID, TaskQueue: workflows.TaskQueue, WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		StaticSummary: fmt.Sprintf("%s on incident %d", a.Verb, a.IncidentID),
	}, workflows.IncidentAct, workflows.IncidentActInput{Command: command, Act: a})
	return a.ID, run, err
}
