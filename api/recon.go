package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"finobs/internal/blobdir"
	"finobs/internal/fault"
	"finobs/internal/intake"
	"finobs/internal/recon"
	"finobs/internal/transaction"
	"finobs/workflows"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
)

// reconRoutes are those of reconciliation; see docs/reconciliation.md.
func (s *Server) reconRoutes() []route {
	return []route{
		raw(http.MethodPost, "/ingest/trades", ImportRun, "Load trades in the form that a profile describes", s.ingestMapped("")),
		raw(http.MethodPost, "/ingest/confirmations", ImportRun, "Load confirmations, the other side's word for trades", s.ingestMapped(transaction.Confirmed)),
		raw(http.MethodPost, "/recon/files", ReconRun, "Send a file that runs can name by its SHA-256", s.receiveReconFile),
		raw(http.MethodPut, "/recon/files", ReconRun, "The same as POST", s.receiveReconFile),
		on(http.MethodPost, "/recon/runs", ReconRun, "Compare two sides", s.startRecon),
		on(http.MethodGet, "/recon/runs", ReconRead, "List runs", s.listReconRuns),
		on(http.MethodGet, "/recon/runs/{id}", ReconRead, "Read a run, or how far it has come", s.getReconRun),
		on(http.MethodGet, "/recon/breaks", ReconRead, "List breaks", s.listBreaks),
		on(http.MethodGet, "/recon/breaks/metrics", ReconRead, "Open breaks by type and age", s.breakMetrics),
		on(http.MethodGet, "/recon/breaks/{id}", ReconRead, "Read a break", s.getBreak),
		on(http.MethodGet, "/recon/breaks/{id}/history", ReconRead, "What runs did to a break, and their ledger entries", s.breakHistory),
		on(http.MethodGet, "/recon/profiles", ReconRead, "List reconciliation profiles", s.listProfiles),
	}
}

// receiveReconFile stores the body by its digest.
func (s *Server) receiveReconFile(c *gin.Context) {
	if len(c.Request.URL.Query()) > 0 {
		abort(c, fault.New(fault.Invalid, "invalid-request", "there are no query parameters here; a run names the file by its SHA-256"))
		return
	}
	rc := http.NewResponseController(c.Writer)
	if err := errors.Join(rc.SetReadDeadline(time.Now().Add(uploadTimeout)), rc.SetWriteDeadline(time.Now().Add(uploadTimeout))); err != nil && !errors.Is(err, http.ErrNotSupported) {
		abort(c, err)
		return
	}
	sha, size, err := s.Spool.Put(c.Request.Body, maxFile)
	switch {
	case errors.Is(err, blobdir.ErrTooLarge):
		abort(c, fault.New(fault.TooLarge, "file-too-large", "the file is over the limit of %d bytes; split it by date", maxFile))
	case err != nil:
		abort(c, fault.Wrap(err, fault.Invalid, "file-unreadable", "the file could not be received in full; send it again"))
	case size == 0:
		abort(c, fault.New(fault.Invalid, "file-empty", "the body is empty; send the file as the body: --data-binary @FILE"))
	default:
		c.JSON(http.StatusOK, gin.H{"sha256": sha, "bytes": size})
	}
}

// ingestMapped takes the body as a file of trades in the form of a profile's side.
// Those whose record states no status get the one given.
func (s *Server) ingestMapped(status transaction.Status) gin.HandlerFunc {
	return func(c *gin.Context) {
		file, err := fileParameters(c, "source", "profile", "side", "file_name", "origin", "strict")
		if err == nil {
			file, err = withSource(c, file)
		}
		var p *recon.Profile
		if err == nil {
			p, err = s.Profiles.Named(c.Query("profile"))
		}
		if err == nil {
			_, err = p.SideNamed(c.Query("side"))
		}
		if err != nil {
			abort(c, err)
			return
		}
		file.Kind, file.Status = intake.KindTransactions, status
		file.Profile, file.ProfileDigest, file.ProfileSide = p.Name, p.Digest, c.Query("side")
		s.ingest(c, file)
	}
}

// ReconFile names a file that was sent before.
type ReconFile struct {
	SHA256 string `json:"sha256" pattern:"^[0-9a-f]{64}$" doc:"from the answer of POST /recon/files"`
	Name   string `json:"file_name,omitempty" maxLength:"200"`
}

type startReconInput struct {
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"128" doc:"for profiles that read books: the same key makes one run; runs over files alone are told apart by the files"`
	Body           struct {
		Profile          string     `json:"profile,omitempty" maxLength:"64" doc:"name of a profile of GET /recon/profiles; or give profile_text"`
		ProfileText      string     `json:"profile_text,omitempty" maxLength:"131072" doc:"a profile as a YAML file"`
		Left             *ReconFile `json:"left,omitempty" doc:"of a side that the profile reads from a file"`
		Right            *ReconFile `json:"right,omitempty"`
		LeftAllocations  *ReconFile `json:"left_allocations,omitempty"`
		RightAllocations *ReconFile `json:"right_allocations,omitempty"`
		From             string     `json:"from,omitempty" format:"date" doc:"first trade date; default: all"`
		To               string     `json:"to,omitempty" format:"date" doc:"last trade date, inclusive"`
		Origin           string     `json:"origin,omitempty" enum:"live,demo" default:"live"`
		Strict           bool       `json:"strict,omitempty" doc:"one bad line refuses the run"`
	}
}

type reconRunOutput struct {
	Status   int
	Location string `header:"Location"`
	Body     reconRunView
}

// startRecon starts a run. One over the same files by the same profile is made once:
// later calls answer with it.
func (s *Server) startRecon(ctx context.Context, in *startReconInput) (*reconRunOutput, error) {
	req, err := s.reconRequest(ctx, in)
	if err != nil {
		return nil, err
	}
	key, err := req.Key()
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "invalid-recon", "the request is not valid text")
	}
	if run, err := s.Reader.ReconRun(ctx, key); err == nil && run.State == recon.RunDone {
		return s.recordedRun(run, true)
	} else if err != nil && fault.KindOf(err) != fault.NotFound {
		return nil, err
	}
	workflowID := workflows.ReconWorkflowID(key)
	digest, err := req.Digest()
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "invalid-recon", "the request is not valid text")
	}
	command, err := s.command(ctx, workflows.Reconcile, workflowID, digest)
	if err != nil {
		return nil, err
	}
	run, err := s.execute(ctx, client.StartWorkflowOptions{
		ID: workflowID, TaskQueue: workflows.TaskQueue, WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY,
		StaticSummary: "profile " + req.Profile,
	}, workflows.Reconcile, workflows.ReconInput{Command: command, Request: req})
	var started *serviceerror.WorkflowExecutionAlreadyStarted
	if errors.As(err, &started) {
		run, err = s.Temporal.GetWorkflow(ctx, workflowID, ""), nil
	}
	if err != nil {
		return nil, err
	}
	return s.awaitRecon(ctx, run, key)
}

func (s *Server) reconRequest(ctx context.Context, in *startReconInput) (recon.Request, error) {
	b := &in.Body
	var p *recon.Profile
	var err error
	switch {
	case (b.Profile == "") == (b.ProfileText == ""):
		return recon.Request{}, fault.New(fault.Invalid, "invalid-recon", "give profile or profile_text")
	case b.Profile != "":
		p, err = s.Profiles.Named(b.Profile)
	default:
		if p, err = recon.LoadProfile(strings.NewReader(b.ProfileText)); err != nil {
			err = fault.Wrap(err, fault.Invalid, "invalid-profile", "%v", err)
		}
	}
	if err != nil {
		return recon.Request{}, err
	}
	req := recon.Request{
		Profile: p.Name, ProfileDigest: p.Digest, ProfileText: b.ProfileText, From: b.From, To: b.To, Origin: b.Origin, Strict: b.Strict,
	}
	for _, f := range []struct {
		file      *ReconFile
		sha, name *string
	}{
		{b.Left, &req.Left, &req.LeftName}, {b.Right, &req.Right, &req.RightName},
		{b.LeftAllocations, &req.LeftAllocations, new(string)}, {b.RightAllocations, &req.RightAllocations, new(string)},
	} {
		if f.file == nil {
			continue
		}
		*f.sha, *f.name = f.file.SHA256, f.file.Name
		there, err := s.Spool.Open(f.file.SHA256)
		if err != nil {
			return req, fault.Wrap(err, fault.NotFound, "no-such-file", "no file with SHA-256 %s was received; send it first: POST /recon/files", f.file.SHA256)
		}
		there.Close()
	}
	// What is on record changes, so each call over a book is a run of its own.
	if !p.Files(recon.Left) || !p.Files(recon.Right) {
		req.Again = uuid.NewString()
		if in.IdempotencyKey != "" {
			req.Again = principal(ctx).Key() + "\x1f" + in.IdempotencyKey
		}
	}
	return req, req.Check(p)
}

// awaitRecon answers with the run when it is recorded soon, and else with how far
// it has come.
func (s *Server) awaitRecon(ctx context.Context, run client.WorkflowRun, key string) (*reconRunOutput, error) {
	var result workflows.ReconResult
	done, err := s.await(ctx, run, &result)
	if err != nil {
		return nil, err
	}
	if done {
		recorded, err := s.Reader.ReconRun(ctx, key)
		if err != nil {
			return nil, err
		}
		return s.recordedRun(recorded, false)
	}
	return s.runningRecon(ctx, key, run.GetID()), nil
}

func (s *Server) runningRecon(ctx context.Context, key, workflowID string) *reconRunOutput {
	view := reconRunView{ID: key, State: "running", WorkflowID: workflowID}
	progress := recon.Progress{Phase: recon.Waiting}
	ctx, cancel := context.WithTimeout(ctx, temporalTimeout)
	defer cancel()
	if answer, err := s.Temporal.QueryWorkflow(ctx, workflowID, "", workflows.QueryReconProgress); err == nil {
		if err := answer.Get(&progress); err != nil {
			s.log.WarnContext(ctx, "progress not read", "run", key, "error", err)
		}
	}
	view.Progress = &reconProgress{progress.Phase, progress.Rows, progress.Bytes, progress.Total}
	return &reconRunOutput{http.StatusAccepted, "/recon/runs/" + key, view}
}

func (s *Server) recordedRun(run recon.Run, repeated bool) (*reconRunOutput, error) {
	v, err := viewReconRun(run)
	v.Repeated = repeated
	return &reconRunOutput{http.StatusOK, "/recon/runs/" + run.Key, v}, err
}

type reconRunInput struct {
	ID string `path:"id" pattern:"^[0-9A-Za-z:._-]{1,128}$"`
}

// getReconRun reads a run from the record. One that is not there may be under way,
// or may have been refused.
func (s *Server) getReconRun(ctx context.Context, in *reconRunInput) (*reconRunOutput, error) {
	recorded, notRecorded := s.Reader.ReconRun(ctx, in.ID)
	if notRecorded == nil && recorded.State == recon.RunDone {
		return s.recordedRun(recorded, false)
	}
	if notRecorded != nil && fault.KindOf(notRecorded) != fault.NotFound {
		return nil, notRecorded
	}
	workflowID := workflows.ReconWorkflowID(in.ID)
	out, err := s.awaitRecon(ctx, s.Temporal.GetWorkflow(ctx, workflowID, ""), in.ID)
	var gone *serviceerror.NotFound
	switch {
	case err == nil:
		return out, nil
	case notRecorded == nil:
		return s.recordedRun(recorded, false) // it failed, and the record says why
	case errors.As(err, &gone):
		return nil, notRecorded
	}
	return nil, err
}

type listReconRunsInput struct {
	Paging
	Profile string `query:"profile" maxLength:"64"`
}

type reconRunPage struct {
	Items      []reconRunView `json:"items"`
	NextBefore int64          `json:"next_before" doc:"cursor of the next page; 0 on the last one"`
}

func (s *Server) listReconRuns(ctx context.Context, in *listReconRunsInput) (*body[reconRunPage], error) {
	list, err := s.Reader.ReconRuns(ctx, in.Profile, in.page())
	if err != nil {
		return nil, err
	}
	out := reconRunPage{Items: []reconRunView{}}
	for _, run := range list {
		run.Report = brief(run.Report)
		v, err := viewReconRun(run)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, v)
		out.NextBefore = in.next(len(list), run.ID)
	}
	return &body[reconRunPage]{out}, nil
}

// brief leaves out of a report what makes lists long.
func brief(r recon.Report) recon.Report {
	r.Matched.Looks = nil
	for _, side := range []*recon.SideReport{&r.Left, &r.Right} {
		side.Lines, side.Allocations = nil, nil
	}
	return r
}
