package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"time"

	"finobs/internal/approval"
	"finobs/internal/export"
	"finobs/internal/fault"
	"finobs/internal/store"
	"finobs/workflows"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
)

// contentTimeout bounds how long a caller may take to read an artefact.
const contentTimeout = 15 * time.Minute

type exportIncidentsInput struct {
	IncidentFilters
	Origin string `query:"origin" enum:"live,demo" default:"live" doc:"rows of the demonstration are exported only when asked for"`
	Format string `query:"format" enum:"csv,ndjson" default:"csv"`
	Renew  bool   `query:"renew" doc:"ask for a new export although the same was approved, rejected or let expire before"`
	Reason string `query:"reason" maxLength:"2000" doc:"told to the approvers"`
}

// exportIncidents is the gated export. The first call asks for approval; calls
// that follow with the same parameters answer where it stands, and with the
// artefact once it is sealed.
func (s *Server) exportIncidents(ctx context.Context, in *exportIncidentsInput) (*huma.StreamResponse, error) {
	me := principal(ctx)
	filters := in.set()
	filters["origin"] = in.Origin
	spec := export.Spec{Dataset: export.Incidents, Format: export.Format(in.Format), Filters: filters}
	got, err := s.ask(ctx, question{
		action: spec.Action(me.Person, me.Desk, approval.Live), workflowType: workflows.Export, reason: in.Reason, renew: in.Renew,
	})
	if err != nil {
		return nil, err
	}
	switch got.Status {
	case approval.Pending, approval.Approved:
		return s.accepted(got), nil
	case approval.Consumed:
		x, found, err := s.Reader.ExportOf(ctx, got.ID)
		if err != nil {
			return nil, err
		}
		if found && x.Status == export.Failed {
			return nil, fault.New(fault.Gone, "export-failed", "export %d was begun and its workflow ended before it was complete; add renew=true to ask again", x.ID)
		}
		if !found || x.Seal == nil {
			return s.accepted(got), nil
		}
		return s.content(ctx, x)
	case approval.Rejected:
		return nil, fault.New(fault.Forbidden, "export-rejected",
			"approval %d was rejected: %q; add renew=true to ask again", got.ID, got.StatusReason)
	default:
		return nil, fault.New(fault.Gone, "export-"+string(got.Status),
			"approval %d is %s; add renew=true to ask again", got.ID, got.Status)
	}
}

// accepted answers with the three keys of the brief.
func (s *Server) accepted(got asked) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(c huma.Context) {
		view := askedView{detailOf("Export", got.Status), got.ID, got.Status}
		humagin.Unwrap(c).JSON(http.StatusAccepted, view)
	}}
}

// content sends an artefact after checking that the file still is what was
// sealed. A file that is not is never sent.
func (s *Server) content(ctx context.Context, x export.Export) (*huma.StreamResponse, error) {
	if err := s.checkArtefact(ctx, x); err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(c huma.Context) {
		file, err := s.Artefacts.Open(x.Seal.FileName)
		if err != nil {
			abort(humagin.Unwrap(c), fmt.Errorf("opening artefact: %w", err))
			return
		}
		defer file.Close()
		g := humagin.Unwrap(c)
		rc := http.NewResponseController(g.Writer)
		if err := rc.SetWriteDeadline(time.Now().Add(contentTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			s.log.WarnContext(ctx, "write deadline not set", "error", err)
		}
		h := g.Writer.Header()
		h.Set("Content-Type", x.Format.ContentType())
		h.Set("Content-Length", strconv.FormatInt(x.Seal.Bytes, 10))
		h.Set("Content-Disposition", `attachment; filename="`+x.Seal.FileName+`"`)
		h.Set("X-Export-Id", strconv.FormatInt(x.ID, 10))
		h.Set("X-Content-SHA256", x.Seal.ContentSHA256)
		g.Writer.WriteHeader(http.StatusOK)
		if _, err := io.Copy(g.Writer, file); err != nil {
			s.log.WarnContext(ctx, "artefact not sent in full", "export_id", x.ID, "error", err)
		}
	}}, nil
}

func (s *Server) checkArtefact(ctx context.Context, x export.Export) error {
	sum, err := s.Artefacts.Digest(x.Seal.FileName)
	switch {
	case err == nil && sum == x.Seal.ContentSHA256:
		return nil
	case err == nil, errors.Is(err, fs.ErrNotExist):
		what := "missing"
		if err == nil {
			what = "not what was sealed"
		}
		s.recordDenial(ctx, "read_artefact", fmt.Sprintf("the artefact of export %d is %s", x.ID, what))
		return fault.New(fault.Gone, "artefact-damaged", "the artefact of export %d is %s; ask for a new export", x.ID, what)
	default:
		return fmt.Errorf("reading artefact: %w", err)
	}
}

// exportView is an export in answers.
type exportView struct {
	ID            int64             `json:"export_id"`
	ApprovalID    int64             `json:"approval_request_id"`
	ActionDigest  string            `json:"action_digest"`
	Dataset       string            `json:"dataset"`
	Format        string            `json:"format"`
	Filters       map[string]string `json:"filters"`
	Columns       []string          `json:"columns"`
	Requester     personView        `json:"requester"`
	Desk          string            `json:"desk"`
	IsSimulation  bool              `json:"is_simulation"`
	Status        string            `json:"status" enum:"intended,sealed,failed"`
	CreatedAt     time.Time         `json:"created_at"`
	Snapshot      string            `json:"snapshot,omitempty" doc:"Postgres snapshot of the one read"`
	SnapshotAt    *time.Time        `json:"snapshot_at,omitempty"`
	FileName      string            `json:"file_name,omitempty"`
	ContentSHA256 string            `json:"content_sha256,omitempty" doc:"of the artefact's bytes, hexadecimal"`
	Rows          *int64            `json:"rows,omitempty"`
	Bytes         *int64            `json:"bytes,omitempty"`
	SealedAt      *time.Time        `json:"sealed_at,omitempty"`
	WorkflowID    string            `json:"workflow_id"`
	TraceID       string            `json:"trace_id"`
}

func viewExport(x export.Export) exportView {
	v := exportView{
		ID: x.ID, ApprovalID: x.ApprovalID, ActionDigest: x.ActionDigest, Dataset: x.Dataset, Format: string(x.Format),
		Filters: x.Filters, Columns: x.Columns, Requester: viewPerson(x.Requester), Desk: x.Desk, IsSimulation: x.Simulation,
		Status: string(x.Status), CreatedAt: x.CreatedAt, WorkflowID: x.WorkflowID, TraceID: x.TraceID,
	}
	if s := x.Seal; s != nil {
		v.Snapshot, v.SnapshotAt, v.FileName, v.ContentSHA256 = s.Snapshot, &s.SnapshotAt, s.FileName, s.ContentSHA256
		v.Rows, v.Bytes, v.SealedAt = &s.Rows, &s.Bytes, &s.SealedAt
	}
	return v
}

type listExportsInput struct {
	Paging
	Status  string `query:"status" enum:"intended,sealed,failed"`
	Dataset string `query:"dataset" maxLength:"64"`
}

type exportPage struct {
	Items      []exportView `json:"items"`
	NextBefore int64        `json:"next_before" doc:"cursor of the next page; 0 on the last one"`
}

func (s *Server) listExports(ctx context.Context, in *listExportsInput) (*body[exportPage], error) {
	list, err := s.Reader.Exports(ctx, store.ExportFilter{Status: export.Status(in.Status), Dataset: in.Dataset}, in.page())
	if err != nil {
		return nil, err
	}
	out := exportPage{Items: []exportView{}}
	for _, x := range list {
		out.Items = append(out.Items, viewExport(x))
		out.NextBefore = in.next(len(list), x.ID)
	}
	return &body[exportPage]{out}, nil
}

func (s *Server) getExport(ctx context.Context, in *idInput) (*body[exportView], error) {
	x, err := s.Reader.Export(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &body[exportView]{viewExport(x)}, nil
}

func (s *Server) exportHistory(ctx context.Context, in *idInput) (*body[historyView], error) {
	if _, err := s.Reader.Export(ctx, in.ID); err != nil {
		return nil, err
	}
	entries, err := s.history(ctx, "export", in.ID)
	return &body[historyView]{historyView{entries}}, err
}

func (s *Server) exportContent(ctx context.Context, in *idInput) (*huma.StreamResponse, error) {
	x, err := s.Reader.Export(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	me := principal(ctx)
	if !me.Same(x.Requester) && !permits(me, ExportReadAll) {
		s.recordDenial(ctx, "authorize", fmt.Sprintf("export %d belongs to somebody else", x.ID))
		return nil, fault.New(fault.Forbidden, "not-permitted", "the export was made for somebody else; permission %s is needed", ExportReadAll)
	}
	s.recordRead(ctx, "GET /exports/:id/content", fmt.Sprintf("export %d was read", x.ID))
	if x.Seal == nil {
		return nil, fault.New(fault.Conflict, "export-not-sealed", "export %d is not complete yet; try again", x.ID)
	}
	return s.content(ctx, x)
}

// exportRecord is all that an offline verifier needs beside the artefact and the
// API's public key. finaudit reads it.
func (s *Server) exportRecord(ctx context.Context, in *idInput) (*body[export.Record], error) {
	x, err := s.Reader.Export(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	r, err := s.Reader.Approval(ctx, x.ApprovalID)
	if err != nil {
		return nil, err
	}
	decisions, err := s.Reader.Decisions(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	out := export.Record{Version: export.RecordVersion, Export: x, Approval: r, Decisions: decisions}
	for _, subject := range []struct {
		kind string
		id   int64
	}{{"approval", r.ID}, {"export", x.ID}} {
		entries, err := s.Reader.History(ctx, subject.kind, strconv.FormatInt(subject.id, 10))
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			out.Entries = append(out.Entries, export.RecordEntry{ID: e.EntryID, Type: e.Type, Leaf: e.Leaf, LeafSHA256: e.LeafSHA256})
		}
	}
	return &body[export.Record]{out}, nil
}
