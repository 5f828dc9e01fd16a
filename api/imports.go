package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"finobs/internal/blobdir"
	"finobs/internal/fault"
	"finobs/internal/incident"
	"finobs/internal/intake"
	"finobs/workflows"

	"github.com/gin-gonic/gin"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
)

const (
	maxFile       = 1 << 30          // bytes of a received file
	uploadTimeout = 10 * time.Minute // for sending one
	maxFileName   = 200              // bytes
	maxSource     = 128              // bytes of a source's name
)

// importView is an import in answers.
type importView struct {
	ContentSHA256 string          `json:"content_sha256"`
	Kind          string          `json:"kind" enum:"sec_fails,transactions"`
	Source        string          `json:"source"`
	Status        string          `json:"status" enum:"accepted,done"`
	FileName      string          `json:"file_name,omitempty"`
	Origin        string          `json:"origin,omitempty"`
	Bytes         int64           `json:"bytes,omitempty"`
	Repeated      bool            `json:"repeated" doc:"this content was imported before, and nothing was changed"`
	ImportedBy    *personView     `json:"imported_by,omitempty"`
	ImportedAt    *time.Time      `json:"imported_at,omitempty"`
	Report        json.RawMessage `json:"report,omitempty" doc:"lines, rows, bad lines with their numbers, changes; of fails files also the trailer"`
	Detected      *detectedView   `json:"detected,omitempty"`
	TraceID       string          `json:"trace_id,omitempty"`
}

type detectedView struct {
	Securities int `json:"securities" doc:"that pass the share test now"`
	Opened     int `json:"opened" doc:"incidents opened"`
	Updated    int `json:"updated" doc:"open incidents whose figures changed"`
}

func viewImport(i intake.Import) importView {
	at := i.ImportedAt.UTC()
	return importView{
		ContentSHA256: i.ContentSHA256, Kind: string(i.Kind), Source: i.Source, Status: "done", FileName: i.FileName, Origin: i.Origin, Bytes: i.Bytes,
		ImportedBy: &personView{i.ImportedIss, i.ImportedSub}, ImportedAt: &at, Report: i.Report, TraceID: i.TraceID,
	}
}

// ingestFails takes the body as a file. It is stored by its digest before
// anything is started, so a file is never half-received.
func (s *Server) ingestFails(c *gin.Context) {
	file, err := fileParameters(c, "file_name", "origin", "strict")
	if err != nil {
		abort(c, err)
		return
	}
	file.Kind = intake.KindFails
	s.ingest(c, file)
}

// ingest receives the body as a file of which all but the content is known.
func (s *Server) ingest(c *gin.Context, file intake.File) {
	view, status, err := s.receive(c, file)
	if err != nil {
		abort(c, err)
		return
	}
	c.JSON(status, view)
}

func (s *Server) receive(c *gin.Context, file intake.File) (importView, int, error) {
	ctx := c.Request.Context()
	rc := http.NewResponseController(c.Writer)
	if err := errors.Join(rc.SetReadDeadline(time.Now().Add(uploadTimeout)), rc.SetWriteDeadline(time.Now().Add(uploadTimeout))); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return importView{}, 0, err
	}
	sha, size, err := s.Spool.Put(c.Request.Body, maxFile)
	switch {
	case errors.Is(err, blobdir.ErrTooLarge):
		return importView{}, 0, fault.New(fault.TooLarge, "file-too-large", "the file is over the limit of %d bytes; split it by date", maxFile)
	case err != nil:
		return importView{}, 0, fault.Wrap(err, fault.Invalid, "file-unreadable", "the file could not be received in full; send it again")
	case size == 0:
		return importView{}, 0, fault.New(fault.Invalid, "file-empty", "the body is empty; send the file as the body: --data-binary @FILE")
	}
	file.ContentSHA256 = sha
	kind, source := file.Key()
	if earlier, err := s.Reader.Import(ctx, kind, source, sha); err == nil {
		return repeatedImport(earlier, file.Strict)
	} else if fault.KindOf(err) != fault.NotFound {
		return importView{}, 0, err
	}
	run, err := s.startImport(ctx, file)
	if err != nil {
		return importView{}, 0, err
	}
	return s.awaitImport(ctx, run, file)
}

// repeatedImport answers for a content that was imported before. Strict is a
// question about the file, so it gets the same answer as the first time.
func repeatedImport(i intake.Import, strict bool) (importView, int, error) {
	v := viewImport(i)
	v.Repeated = true
	why, err := refusalOf(i)
	if err != nil {
		return v, 0, err
	}
	if strict && why != "" {
		return v, 0, fault.New(fault.Conflict, "file-not-clean", "the file was imported before, without strict; %s", why)
	}
	return v, http.StatusOK, nil
}

// refusalOf says why a strict import would have refused an imported file.
func refusalOf(i intake.Import) (string, error) {
	var report interface{ Refusal() string } = &intake.ImportReport{}
	switch i.Kind {
	case intake.KindTransactions:
		report = &intake.TransactionReport{}
	case intake.KindFIX:
		report = &intake.FIXReport{}
	case intake.KindFails:
	}
	if err := json.Unmarshal(i.Report, report); err != nil {
		return "", fmt.Errorf("reading report of import %d: %w", i.ID, err)
	}
	return report.Refusal(), nil
}

// fileParameters reads the query parameters, of which there are those named.
func fileParameters(c *gin.Context, known ...string) (intake.File, error) {
	bad := func(format string, args ...any) (intake.File, error) {
		return intake.File{}, fault.New(fault.Invalid, "invalid-request", format, args...)
	}
	for name := range c.Request.URL.Query() {
		if !slices.Contains(known, name) {
			return bad("there is no query parameter %q; known are %s", name, strings.Join(known, ", "))
		}
	}
	f := intake.File{FileName: c.Query("file_name"), Origin: c.DefaultQuery("origin", string(incident.Live))}
	if len(f.FileName) > maxFileName {
		return bad("file_name has %d bytes, over the limit of %d", len(f.FileName), maxFileName)
	}
	if !incident.Origin(f.Origin).Valid() {
		return bad("origin %q must be live or demo", f.Origin)
	}
	switch c.DefaultQuery("strict", "false") {
	case "true":
		f.Strict = true
	case "false":
	default:
		return bad("strict must be true or false")
	}
	return f, nil
}

// importWorkflow is the workflow that imports a file: its id and its type.
func importWorkflow(f intake.File) (id, workflowType string) {
	kind, source := f.Key()
	id = workflows.ImportWorkflowID(kind, source, f.ContentSHA256)
	switch kind {
	case intake.KindTransactions:
		return id, workflows.ImportTransactions
	case intake.KindFIX:
		return id, workflows.ImportFIX
	case intake.KindFails:
	}
	return id, workflows.ImportFails
}

func (s *Server) startImport(ctx context.Context, f intake.File) (client.WorkflowRun, error) {
	digest, err := f.Digest()
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "invalid-request", "file_name or source is not valid text")
	}
	workflowID, workflowType := importWorkflow(f)
	command, err := s.command(ctx, workflowType, workflowID, digest)
	if err != nil {
		return nil, err
	}
	run, err := s.execute(ctx, client.StartWorkflowOptions{
		ID: workflowID, TaskQueue: workflows.TaskQueue,
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
	}, workflowType, workflows.ImportInput{Command: command, File: f})
	var started *serviceerror.WorkflowExecutionAlreadyStarted
	if errors.As(err, &started) {
		return s.Temporal.GetWorkflow(ctx, workflowID, ""), nil
	}
	return run, err
}

func (s *Server) awaitImport(ctx context.Context, run client.WorkflowRun, f intake.File) (importView, int, error) {
	kind, source := f.Key()
	var result workflows.ImportResult
	done, err := s.await(ctx, run, &result)
	if err != nil {
		return importView{}, 0, err
	}
	if !done {
		return importView{ContentSHA256: f.ContentSHA256, Kind: string(kind), Source: source, Status: "accepted"}, http.StatusAccepted, nil
	}
	recorded, err := s.Reader.Import(ctx, kind, source, f.ContentSHA256)
	if err != nil {
		return importView{}, 0, err
	}
	v := viewImport(recorded)
	if !f.Fails() {
		return v, http.StatusOK, nil
	}
	v.Detected = &detectedView{result.Detected.Securities, result.Detected.Opened, result.Detected.Updated}
	return v, http.StatusOK, nil
}

// await waits for a workflow's result, but not longer than AnswerWait; done is
// false when it is not there by then.
func (s *Server) await(ctx context.Context, run client.WorkflowRun, result any) (done bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.AnswerWait)
	defer cancel()
	err = run.Get(ctx, result)
	var failed *temporal.ApplicationError
	var late *serviceerror.DeadlineExceeded
	switch {
	case err == nil:
		return true, nil
	case errors.As(err, &failed):
		var kind fault.Kind
		if detailErr := failed.Details(&kind); detailErr != nil || !kind.Valid() {
			kind = fault.Internal
		}
		return false, fault.Wrap(err, kind, failed.Type(), "%s", failed.Message())
	case ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded), errors.As(err, &late):
		return false, nil
	default:
		return false, temporalFault(err)
	}
}

var shaPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

type importInput struct {
	SHA256 string `path:"sha256" doc:"SHA-256 of the file in hexadecimal"`
	Source string `query:"source" maxLength:"128" doc:"of the file, when several sources sent the same content; default: the newest import of it"`
}

type importOutput struct {
	Status int
	Body   importView
}

func (s *Server) getImport(ctx context.Context, in *importInput) (*importOutput, error) {
	if !shaPattern.MatchString(in.SHA256) {
		return nil, fault.New(fault.Invalid, "invalid-request", "the path must end in 64 hexadecimal digits in lower case")
	}
	recorded, err := s.Reader.LatestImport(ctx, in.Source, in.SHA256)
	if err == nil && recorded.Kind != intake.KindFails {
		return &importOutput{http.StatusOK, viewImport(recorded)}, nil
	}
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return nil, err
	}
	// What was not recorded may run; what was may still detect.
	notRecorded := err
	for _, file := range s.importsOf(ctx, in) {
		id, _ := importWorkflow(file)
		view, status, err := s.awaitImport(ctx, s.Temporal.GetWorkflow(ctx, id, ""), file)
		var gone *serviceerror.NotFound
		switch {
		case errors.As(err, &gone):
			continue
		case fault.KindOf(err) == fault.Unavailable && notRecorded == nil:
			return &importOutput{http.StatusOK, viewImport(recorded)}, nil
		}
		return &importOutput{status, view}, err
	}
	if notRecorded != nil {
		return nil, notRecorded
	}
	// Temporal forgets after its retention; the record does not.
	return &importOutput{http.StatusOK, viewImport(recorded)}, nil
}

// importsOf are the files that a call may be about: without a source, fails and
// transactions of the caller's own.
func (s *Server) importsOf(ctx context.Context, in *importInput) []intake.File {
	var files []intake.File
	if in.Source == "" || in.Source == intake.SourceFails {
		files = append(files, intake.File{Kind: intake.KindFails, ContentSHA256: in.SHA256})
	}
	source := in.Source
	if source == "" {
		source = principal(ctx).Subject
	}
	return append(files, intake.File{Kind: intake.KindTransactions, Source: source, ContentSHA256: in.SHA256},
		intake.File{Kind: intake.KindFIX, Source: source, ContentSHA256: in.SHA256})
}
