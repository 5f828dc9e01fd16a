package api

import (
	"context"
	"net/http"
	"time"

	"finobs/internal/detect"
	"finobs/internal/fault"
	"finobs/internal/store"
	"finobs/workflows"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
)

// detectorView is a detector in answers.
type detectorView struct {
	Name         string     `json:"name"`
	Description  string     `json:"description"`
	EverySeconds int64      `json:"every_seconds"`
	Owner        string     `json:"owner" doc:"the queue of its incidents"`
	Severity     string     `json:"severity"`
	Enabled      bool       `json:"enabled" doc:"false: it runs on demand only"`
	LastRunAt    *time.Time `json:"last_run_at" doc:"null: never"`
	Examined     *int64     `json:"examined" doc:"things that the last run looked at"`
	Found        *int64     `json:"found" doc:"conditions that held"`
	Opened       *int64     `json:"opened" doc:"incidents"`
	Resolved     *int64     `json:"resolved" doc:"incidents"`
}

type detectorsView struct {
	Items []detectorView `json:"items"`
}

func (s *Server) listDetectors(ctx context.Context, _ *struct{}) (*body[detectorsView], error) {
	list, err := s.Reader.Detectors(ctx)
	if err != nil {
		return nil, err
	}
	out := detectorsView{Items: []detectorView{}}
	for _, d := range list {
		out.Items = append(out.Items, viewDetector(d))
	}
	return &body[detectorsView]{out}, nil
}

func viewDetector(d store.Detector) detectorView {
	return detectorView{
		Name: d.Name, Description: d.Description, EverySeconds: d.Every, Owner: d.Owner, Severity: d.Severity, Enabled: d.Enabled,
		LastRunAt: d.LastRunAt, Examined: d.Examined, Found: d.Found, Opened: d.Opened, Resolved: d.Resolved,
	}
}

type detectorInput struct {
	Name string `path:"name" maxLength:"64"`
}

type detectorRunView struct {
	RunID      string      `json:"run_id"`
	Detector   string      `json:"detector"`
	WorkflowID string      `json:"workflow_id"`
	Status     string      `json:"status" enum:"done,accepted"`
	StartedAt  *time.Time  `json:"started_at" doc:"null until it is recorded"`
	Examined   int64       `json:"examined"`
	Found      int64       `json:"found"`
	Opened     int64       `json:"opened"`
	Resolved   int64       `json:"resolved"`
	AskedBy    *personView `json:"asked_by" doc:"null: it was due"`
}

type detectorRunsView struct {
	Items []detectorRunView `json:"items"`
}

const shownDetectorRuns = 50

func (s *Server) listDetectorRuns(ctx context.Context, in *detectorInput) (*body[detectorRunsView], error) {
	if err := knownDetector(in.Name); err != nil {
		return nil, err
	}
	list, err := s.Reader.DetectorRuns(ctx, in.Name, shownDetectorRuns)
	if err != nil {
		return nil, err
	}
	out := detectorRunsView{Items: []detectorRunView{}}
	for _, r := range list {
		v := detectorRunView{
			RunID: r.ID, Detector: string(r.Detector), WorkflowID: r.WorkflowID, Status: "done", StartedAt: &r.StartedAt,
			Examined: r.Examined, Found: r.Found, Opened: r.Opened, Resolved: r.Resolved,
		}
		if r.AskedBy.Subject != "" {
			by := viewPerson(r.AskedBy)
			v.AskedBy = &by
		}
		out.Items = append(out.Items, v)
	}
	return &body[detectorRunsView]{out}, nil
}

func knownDetector(name string) error {
	_, err := detect.Find(detect.Defaults(), name)
	return err
}

type detectorRunOutput struct {
	Status int
	Body   detectorRunView
}

// runDetector runs a detector now.
func (s *Server) runDetector(ctx context.Context, in *detectorInput) (*detectorRunOutput, error) {
	if err := knownDetector(in.Name); err != nil {
		return nil, err
	}
	digest, err := detect.Digest(in.Name)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "invalid-request", "the detector's name is not valid text")
	}
	id := workflows.DetectWorkflowID(in.Name, uuid.NewString())
	command, err := s.command(ctx, workflows.Detect, id, digest)
	if err != nil {
		return nil, err
	}
	run, err := s.execute(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: workflows.TaskQueue, WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
	}, workflows.Detect, workflows.DetectInput{Detector: in.Name, Command: command})
	if err != nil {
		return nil, err
	}
	var result workflows.DetectResult
	done, err := s.await(ctx, run, &result)
	if err != nil {
		return nil, err
	}
	by := viewPerson(principal(ctx).Person)
	v := detectorRunView{Detector: in.Name, WorkflowID: id, Status: "accepted", AskedBy: &by}
	if !done {
		return &detectorRunOutput{http.StatusAccepted, v}, nil
	}
	v.RunID, v.Status, v.Examined, v.Found, v.Opened, v.Resolved = result.RunID, "done", result.Examined, result.Found, result.Opened, result.Resolved
	return &detectorRunOutput{http.StatusOK, v}, nil
}
