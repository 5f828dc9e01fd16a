package api

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"time"

	"finobs/internal/blobdir"
	"finobs/internal/export"
	"finobs/internal/fault"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"
	jsonv2 "github.com/go-json-experiment/json" // passes over the payload once, without looking at it
)

// contentTimeout bounds how long a caller may take to read an artefact.
const contentTimeout = 15 * time.Minute

// exportView is an export in answers.
type exportView struct {
	ID                 int64             `json:"export_id"`
	ApprovalID         int64             `json:"approval_request_id" doc:"its own approval, or that of its schedule"`
	ActionDigest       string            `json:"action_digest"`
	ScheduleID         int64             `json:"schedule_id,omitempty"`
	Slot               *time.Time        `json:"slot,omitempty"`
	Dataset            string            `json:"dataset"`
	Format             string            `json:"format"`
	Compression        string            `json:"compression"`
	Destination        string            `json:"destination"`
	Filters            map[string]string `json:"filters"`
	Columns            []string          `json:"columns"`
	Requester          personView        `json:"requester"`
	Desk               string            `json:"desk"`
	IsSimulation       bool              `json:"is_simulation"`
	Status             string            `json:"status" enum:"intended,sealed,failed"`
	CreatedAt          time.Time         `json:"created_at"`
	Hash               string            `json:"hash,omitempty" doc:"SHA-256 of the content, hexadecimal: the identity of the export"`
	Signature          string            `json:"signature,omitempty" doc:"of the manifest: ed25519:KEY_ID:BASE64, over the DSSE pre-authentication encoding"`
	DeliveryStatus     string            `json:"delivery_status" enum:"pending,delivered,failed,unknown"`
	DeliveredAt        *time.Time        `json:"delivered_at"`
	VerificationStatus string            `json:"verification_status" enum:"unverified,verified,tampered,missing,signature_invalid,key_unknown,unreachable,unreadable"`
	VerifiedAt         *time.Time        `json:"verified_at"`
	Seal               *sealView         `json:"seal,omitempty"`
	Deliveries         []deliveryView    `json:"deliveries,omitempty"`
	WorkflowID         string            `json:"workflow_id"`
	TraceID            string            `json:"trace_id"`
}

type sealView struct {
	Snapshot       string    `json:"snapshot" doc:"Postgres snapshot of the one read"`
	SnapshotAt     time.Time `json:"snapshot_at"`
	Reproducible   bool      `json:"reproducible" doc:"the same spec and range of leaves give the same bytes again"`
	FromLeaf       int64     `json:"from_leaf"`
	ToLeaf         int64     `json:"to_leaf" doc:"of exports of the log: the index after the last"`
	FileName       string    `json:"file_name"`
	FileSHA256     string    `json:"file_sha256"`
	FileBytes      int64     `json:"file_bytes"`
	ContentSHA256  string    `json:"content_sha256" doc:"of the uncompressed bytes"`
	ContentBytes   int64     `json:"content_bytes"`
	Rows           int64     `json:"rows"`
	Number         int64     `json:"number" doc:"place in the chain of manifests"`
	PrevManifest   string    `json:"prev_manifest_sha256"`
	ManifestSHA256 string    `json:"manifest_sha256"`
	KeyID          string    `json:"key_id"`
	EntryID        string    `json:"entry_id" doc:"ledger entry with the manifest's digest"`
	Generator      string    `json:"generator"`
	SealedAt       time.Time `json:"sealed_at"`
}

type deliveryView struct {
	ID           int64           `json:"delivery_id"`
	Destination  string          `json:"destination"`
	Attempt      int             `json:"attempt"`
	Status       string          `json:"status" enum:"attempting,delivered,failed,unknown"`
	Receipt      json.RawMessage `json:"receipt" doc:"where it lies"`
	Detail       string          `json:"detail" doc:"why it failed, or is not known"`
	RequestedBy  *personView     `json:"requested_by,omitempty" doc:"who asked for it again"`
	StartedAt    time.Time       `json:"started_at"`
	EndedAt      *time.Time      `json:"ended_at"`
	Verification export.Finding  `json:"verification"`
	VerifiedAt   *time.Time      `json:"verified_at"`
}

func viewExport(x export.Export) exportView {
	v := exportView{
		ID: x.ID, ApprovalID: x.ApprovalID, ActionDigest: x.ActionDigest, ScheduleID: x.ScheduleID, Slot: x.Slot, Dataset: x.Dataset,
		Format: string(x.Format), Compression: string(x.Compression), Destination: x.Destination, Filters: x.Filters, Columns: x.Columns,
		Requester: viewPerson(x.Requester), Desk: x.Desk, IsSimulation: x.Simulation, Status: string(x.Status), CreatedAt: x.CreatedAt,
		DeliveryStatus: string(x.DeliveryStatus), DeliveredAt: x.DeliveredAt, VerificationStatus: string(x.VerificationStatus),
		VerifiedAt: x.VerifiedAt, WorkflowID: x.WorkflowID, TraceID: x.TraceID,
	}
	if s := x.Seal; s != nil {
		v.Hash, v.Signature = s.ContentSHA256, signatureOf(*s)
		v.Seal = &sealView{
			s.Snapshot, s.SnapshotAt, s.Reproducible, s.FromLeaf, s.ToLeaf, s.FileName, s.FileSHA256, s.FileBytes, s.ContentSHA256, s.ContentBytes,
			s.Rows, s.Number, s.PrevManifest, s.ManifestSHA256, s.KeyID, s.EntryID, s.Generator, s.SealedAt,
		}
	}
	return v
}

// signatureOf shows the signature of a manifest beside its metadata.
func signatureOf(s export.Seal) string {
	var envelope struct {
		Signatures []struct {
			KeyID string `json:"keyid"`
			Sig   string `json:"sig"`
		} `json:"signatures"`
	}
	if err := jsonv2.Unmarshal([]byte(s.Manifest), &envelope); err != nil || len(envelope.Signatures) == 0 {
		return ""
	}
	return "ed25519:" + envelope.Signatures[0].KeyID + ":" + envelope.Signatures[0].Sig
}

func viewDelivery(d export.Delivery) deliveryView {
	v := deliveryView{
		ID: d.ID, Destination: d.Destination, Attempt: d.Attempt, Status: string(d.Status), Receipt: d.Receipt, Detail: d.Detail,
		StartedAt: d.StartedAt, EndedAt: d.EndedAt, Verification: d.Verification, VerifiedAt: d.VerifiedAt,
	}
	if d.RequestedBy.Subject != "" {
		v.RequestedBy = new(viewPerson(d.RequestedBy))
	}
	return v
}

// ExportSelection are the filters of the list of exports.
type ExportSelection struct {
	Status       string `query:"status" json:"status,omitempty" enum:"intended,sealed,failed"`
	Dataset      string `query:"dataset" json:"dataset,omitempty" enum:"incidents,transactions,users,compliance_logs,audit"`
	Format       string `query:"format" json:"format,omitempty" enum:"csv,ndjson,parquet"`
	Destination  string `query:"destination" json:"destination,omitempty" maxLength:"32"`
	Requester    string `query:"requester" json:"requester,omitempty" maxLength:"255" doc:"sub"`
	Schedule     int64  `query:"schedule_id" json:"schedule_id,omitempty" minimum:"0"`
	Delivery     string `query:"delivery_status" json:"delivery_status,omitempty" enum:"pending,delivered,failed,unknown"`
	Verification string `query:"verification_status" json:"verification_status,omitempty" enum:"unverified,verified,tampered,missing,signature_invalid,key_unknown,unreachable,unreadable"`
	From         string `query:"from" json:"from,omitempty" format:"date-time" doc:"created at or after"`
	To           string `query:"to" json:"to,omitempty" format:"date-time" doc:"created before"`
}

func (e ExportSelection) selection() (export.Selection, error) {
	out := export.Selection{
		Status: export.Status(e.Status), Dataset: e.Dataset, Format: export.Format(e.Format), Destination: e.Destination, Requester: e.Requester,
		Schedule: e.Schedule, Delivery: export.DeliveryStatus(e.Delivery), Verification: export.Verdict(e.Verification),
	}
	return out, readTimes(timeBound{e.From, &out.From}, timeBound{e.To, &out.To})
}

type listExportsInput struct {
	Paging
	ExportSelection
}

type exportPage struct {
	Items      []exportView `json:"items"`
	NextBefore int64        `json:"next_before" doc:"cursor of the next page; 0 on the last one"`
}

func (s *Server) listExports(ctx context.Context, in *listExportsInput) (*body[exportPage], error) {
	selected, err := in.selection()
	if err != nil {
		return nil, err
	}
	list, err := s.Reader.Exports(ctx, selected, in.page())
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
	deliveries, err := s.Reader.ExportDeliveries(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	v := viewExport(x)
	for _, d := range deliveries {
		v.Deliveries = append(v.Deliveries, viewDelivery(d))
	}
	return &body[exportView]{v}, nil
}

func (s *Server) exportHistory(ctx context.Context, in *idInput) (*body[historyView], error) {
	if _, err := s.Reader.Export(ctx, in.ID); err != nil {
		return nil, err
	}
	entries, err := s.history(ctx, "export", in.ID)
	return &body[historyView]{historyView{entries}}, err
}

// readable reads an export whose content the caller may have.
func (s *Server) readable(ctx context.Context, id int64, route string) (export.Export, error) {
	x, err := s.Reader.Export(ctx, id)
	if err != nil {
		return x, err
	}
	me := principal(ctx)
	if !me.Same(x.Requester) && !permits(me, ExportReadAll) {
		s.recordDenial(ctx, "authorize", fmt.Sprintf("export %d belongs to somebody else", x.ID))
		return x, fault.New(fault.Forbidden, "not-permitted", "the export was made for somebody else; permission %s is needed", ExportReadAll)
	}
	s.recordRead(ctx, route, fmt.Sprintf("export %d was read", x.ID))
	if x.BundledAt == nil {
		return x, fault.New(fault.Conflict, "export-not-sealed", "export %d is not complete yet; try again", x.ID)
	}
	return x, nil
}

func (s *Server) exportContent(ctx context.Context, in *idInput) (*huma.StreamResponse, error) {
	x, err := s.readable(ctx, in.ID, "GET /exports/:id/content")
	if err != nil {
		return nil, err
	}
	return s.content(ctx, x)
}

func (s *Server) exportBundle(ctx context.Context, in *idInput) (*huma.StreamResponse, error) {
	x, err := s.readable(ctx, in.ID, "GET /exports/:id/bundle")
	if err != nil {
		return nil, err
	}
	return s.wholeBundle(ctx, x)
}

// content sends an artefact after checking that the file still is what was
// sealed. A file that is not is never sent.
func (s *Server) content(ctx context.Context, x export.Export) (*huma.StreamResponse, error) {
	folder, err := s.soundFolder(ctx, x)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(c huma.Context) {
		defer folder.Close()
		file, err := folder.Open(x.Seal.FileName)
		if err != nil {
			abort(humagin.Unwrap(c), fmt.Errorf("opening artefact: %w", err))
			return
		}
		defer file.Close()
		g := s.attachment(ctx, c, x, x.Format.ContentType(), x.Seal.FileName)
		g.Writer.Header().Set("Content-Length", strconv.FormatInt(x.Seal.FileBytes, 10))
		g.Writer.Header().Set("X-Content-SHA256", x.Seal.ContentSHA256)
		g.Writer.WriteHeader(http.StatusOK)
		if _, err := io.Copy(g.Writer, file); err != nil {
			s.log.WarnContext(ctx, "artefact not sent in full", "export_id", x.ID, "error", err)
		}
	}}, nil
}

// wholeBundle sends all files of a sealed export as a tar archive, which finaudit
// export reads.
func (s *Server) wholeBundle(ctx context.Context, x export.Export) (*huma.StreamResponse, error) {
	folder, err := s.soundFolder(ctx, x)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(c huma.Context) {
		defer folder.Close()
		g := s.attachment(ctx, c, x, "application/x-tar", fmt.Sprintf("export-%d.tar", x.ID))
		g.Writer.WriteHeader(http.StatusOK)
		if err := writeTar(g.Writer, folder, x.Seal.SealedAt); err != nil {
			s.log.WarnContext(ctx, "bundle not sent in full", "export_id", x.ID, "error", err)
		}
	}}, nil
}

func (s *Server) attachment(ctx context.Context, c huma.Context, x export.Export, contentType, name string) *gin.Context {
	g := humagin.Unwrap(c)
	rc := http.NewResponseController(g.Writer)
	if err := rc.SetWriteDeadline(time.Now().Add(contentTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		s.log.WarnContext(ctx, "write deadline not set", "error", err)
	}
	h := g.Writer.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	h.Set("X-Export-Id", strconv.FormatInt(x.ID, 10))
	return g
}

func writeTar(w io.Writer, folder *blobdir.Dir, at time.Time) error {
	names, err := folder.Names()
	if err != nil {
		return err
	}
	out := tar.NewWriter(w)
	for _, name := range names {
		if err := addTo(out, folder, name, at); err != nil {
			return err
		}
	}
	return out.Close()
}

func addTo(out *tar.Writer, folder *blobdir.Dir, name string, at time.Time) error {
	file, err := folder.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if err := out.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: info.Size(), ModTime: at, Format: tar.FormatPAX}); err != nil {
		return err
	}
	_, err = io.Copy(out, file)
	return err
}

// soundFolder opens the folder of an export after checking its artefact.
func (s *Server) soundFolder(ctx context.Context, x export.Export) (*blobdir.Dir, error) {
	folder, err := s.Artefacts.Within("export-" + strconv.FormatInt(x.ID, 10))
	var sum string
	if err == nil {
		if sum, err = folder.Digest(x.Seal.FileName); err == nil && sum == x.Seal.FileSHA256 {
			return folder, nil
		}
		folder.Close()
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading artefact: %w", err)
	}
	what := "missing"
	if err == nil {
		what = "not what was sealed"
	}
	s.recordDenial(ctx, "read_artefact", fmt.Sprintf("the artefact of export %d is %s", x.ID, what))
	return nil, fault.New(fault.Gone, "artefact-damaged", "the artefact of export %d is %s; ask for a new export", x.ID, what)
}
