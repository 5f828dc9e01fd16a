package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"finobs/internal/approval"
	"finobs/internal/export"
	"finobs/internal/fault"

	"github.com/lib/pq"
)

type exportRow struct {
	ExportID           int64          `db:"export_id"`
	ApprovalID         int64          `db:"approval_id"`
	ActionDigest       string         `db:"action_digest"`
	ScheduleID         *int64         `db:"schedule_id"`
	Slot               *time.Time     `db:"slot"`
	Dataset            string         `db:"dataset"`
	DatasetVersion     string         `db:"dataset_version"`
	Format             string         `db:"format"`
	Compression        string         `db:"compression"`
	Destination        string         `db:"destination"`
	Filters            []byte         `db:"filters"`
	Columns            pq.StringArray `db:"columns"`
	RequesterIss       string         `db:"requester_iss"`
	RequesterSub       string         `db:"requester_sub"`
	Desk               string         `db:"desk"`
	IsSimulation       bool           `db:"is_simulation"`
	WorkflowID         string         `db:"workflow_id"`
	TraceID            string         `db:"trace_id"`
	Status             string         `db:"status"`
	CreatedAt          time.Time      `db:"created_at"`
	Snapshot           *string        `db:"snapshot"`
	SnapshotAt         *time.Time     `db:"snapshot_at"`
	Checkpoint         *string        `db:"checkpoint"`
	FromLeaf           *int64         `db:"from_leaf"`
	ToLeaf             *int64         `db:"to_leaf"`
	Reproducible       *bool          `db:"reproducible"`
	FileName           *string        `db:"file_name"`
	FileSHA256         *string        `db:"file_sha256"`
	FileBytes          *int64         `db:"file_bytes"`
	ContentSHA256      *string        `db:"content_sha256"`
	ContentBytes       *int64         `db:"content_bytes"`
	RowCount           *int64         `db:"row_count"`
	Generator          *string        `db:"generator"`
	Number             *int64         `db:"seal_number"`
	PrevManifest       *string        `db:"prev_manifest_sha256"`
	ManifestSHA256     *string        `db:"manifest_sha256"`
	Manifest           *string        `db:"manifest"`
	KeyID              *string        `db:"key_id"`
	EntryID            *string        `db:"entry_id"`
	SealedAt           *time.Time     `db:"sealed_at"`
	BundledAt          *time.Time     `db:"bundled_at"`
	DeliveryStatus     string         `db:"delivery_status"`
	DeliveredAt        *time.Time     `db:"delivered_at"`
	VerificationStatus string         `db:"verification_status"`
	VerifiedAt         *time.Time     `db:"verified_at"`
}

const (
	exportHead = `export_id, approval_id, action_digest, schedule_id, slot, dataset, dataset_version, format, compression, destination, filters,
		columns, requester_iss, requester_sub, desk, is_simulation, workflow_id, trace_id, status, created_at, snapshot, snapshot_at, checkpoint,
		from_leaf, to_leaf, reproducible, file_name, file_bytes, content_bytes, row_count, generator, seal_number, manifest, key_id, entry_id,
		sealed_at, bundled_at, delivery_status, delivered_at, verification_status, verified_at`
	exportStateColumns = exportHead + `, encode(file_sha256, 'hex') AS file_sha256, encode(content_sha256, 'hex') AS content_sha256,
		encode(prev_manifest_sha256, 'hex') AS prev_manifest_sha256, encode(manifest_sha256, 'hex') AS manifest_sha256` // finobs.export
	exportViewColumns = exportHead + `, file_sha256, content_sha256, prev_manifest_sha256, manifest_sha256` // api.export
)

func (r exportRow) domain() (export.Export, error) {
	x := export.Export{
		ID: r.ExportID, ApprovalID: r.ApprovalID, ActionDigest: r.ActionDigest, ScheduleID: orZero(r.ScheduleID), Slot: utc(r.Slot),
		Dataset: r.Dataset, DatasetVersion: r.DatasetVersion, Format: export.Format(r.Format), Compression: export.Compression(r.Compression),
		Destination: r.Destination, Columns: r.Columns, Requester: approval.Person{Issuer: r.RequesterIss, Subject: r.RequesterSub},
		Desk: r.Desk, Simulation: r.IsSimulation, WorkflowID: r.WorkflowID, TraceID: r.TraceID,
		Status: export.Status(r.Status), CreatedAt: r.CreatedAt.UTC(), BundledAt: utc(r.BundledAt),
		DeliveryStatus: export.DeliveryStatus(r.DeliveryStatus), DeliveredAt: utc(r.DeliveredAt),
		VerificationStatus: export.Verdict(r.VerificationStatus), VerifiedAt: utc(r.VerifiedAt),
	}
	if err := json.Unmarshal(r.Filters, &x.Filters); err != nil {
		return x, fmt.Errorf("reading filters of export %d: %w", r.ExportID, err)
	}
	if x.Status == export.Sealed {
		x.Seal = &export.Seal{
			Snapshot: orZero(r.Snapshot), SnapshotAt: r.SnapshotAt.UTC(), Checkpoint: orZero(r.Checkpoint), FromLeaf: orZero(r.FromLeaf),
			ToLeaf: orZero(r.ToLeaf), Reproducible: orZero(r.Reproducible), FileName: orZero(r.FileName), FileSHA256: orZero(r.FileSHA256),
			FileBytes: orZero(r.FileBytes), ContentSHA256: orZero(r.ContentSHA256), ContentBytes: orZero(r.ContentBytes), Rows: orZero(r.RowCount),
			Generator: orZero(r.Generator), Number: orZero(r.Number), PrevManifest: orZero(r.PrevManifest), ManifestSHA256: orZero(r.ManifestSHA256),
			Manifest: orZero(r.Manifest), KeyID: orZero(r.KeyID), EntryID: orZero(r.EntryID), SealedAt: r.SealedAt.UTC(),
		}
	}
	return x, nil
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	return new(t.UTC())
}

// InsertExport records an intended export and returns its id. An approval that is
// not of a schedule has at most one, a schedule at most one for a slot.
func (t *Tx) InsertExport(ctx context.Context, x export.Export) (int64, error) {
	filters, err := json.Marshal(x.Filters)
	if err != nil {
		return 0, fmt.Errorf("encoding filters: %w", err)
	}
	var id int64
	err = t.get(ctx, &id, `
		INSERT INTO finobs.export (approval_id, action_digest, schedule_id, slot, dataset, dataset_version, format, compression, destination,
			filters, columns, requester_iss, requester_sub, desk, is_simulation, workflow_id, trace_id, created_at)
		VALUES ($1, $2, nullif($3::bigint, 0), $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) RETURNING export_id`,
		x.ApprovalID, x.ActionDigest, x.ScheduleID, x.Slot, x.Dataset, x.DatasetVersion, x.Format, x.Compression, x.Destination,
		string(filters), pq.Array(x.Columns), x.Requester.Issuer, x.Requester.Subject,
		x.Desk, x.Simulation, x.WorkflowID, x.TraceID, t.now)
	if err != nil {
		return 0, fmt.Errorf("recording export of approval %d: %w", x.ApprovalID, err)
	}
	return id, nil
}

// ExportOf reads the export that an approval was spent on, if there is one.
func (t *Tx) ExportOf(ctx context.Context, approvalID int64) (export.Export, bool, error) {
	var row exportRow
	err := t.get(ctx, &row, `SELECT `+exportStateColumns+` FROM finobs.export WHERE approval_id = $1 AND schedule_id IS NULL`, approvalID)
	if errors.Is(err, sql.ErrNoRows) {
		return export.Export{}, false, nil
	}
	if err != nil {
		return export.Export{}, false, fmt.Errorf("reading export of approval %d: %w", approvalID, err)
	}
	x, err := row.domain()
	return x, true, err
}

// ExportOfSlot reads the export of a slot of a schedule, if there is one.
func (t *Tx) ExportOfSlot(ctx context.Context, scheduleID int64, slot time.Time) (export.Export, bool, error) {
	var row exportRow
	err := t.get(ctx, &row, `SELECT `+exportStateColumns+` FROM finobs.export WHERE schedule_id = $1 AND slot = $2`, scheduleID, slot)
	if errors.Is(err, sql.ErrNoRows) {
		return export.Export{}, false, nil
	}
	if err != nil {
		return export.Export{}, false, fmt.Errorf("reading export of schedule %d: %w", scheduleID, err)
	}
	x, err := row.domain()
	return x, true, err
}

// LockExport reads one export and keeps others from changing it until the
// transaction ends; a fault of kind NotFound when there is none.
func (t *Tx) LockExport(ctx context.Context, id int64) (export.Export, error) {
	var row exportRow
	err := t.get(ctx, &row, `SELECT `+exportStateColumns+` FROM finobs.export WHERE export_id = $1 FOR UPDATE`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return export.Export{}, fault.New(fault.NotFound, "no-such-export", "there is no export %d", id)
	}
	if err != nil {
		return export.Export{}, fmt.Errorf("reading export %d: %w", id, err)
	}
	return row.domain()
}

// LastManifest is the number and the digest of the newest manifest, which the
// next one follows.
func (w *Writer) LastManifest(ctx context.Context) (number int64, sha256 string, err error) {
	var row struct {
		Number int64  `db:"seal_number"`
		SHA256 string `db:"sha256"`
	}
	err = w.db.GetContext(ctx, &row, `SELECT seal_number, encode(manifest_sha256, 'hex') AS sha256 FROM finobs.export
		WHERE seal_number IS NOT NULL ORDER BY seal_number DESC LIMIT 1`)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, export.FirstPrev, nil
	}
	if err != nil {
		return 0, "", fmt.Errorf("reading the newest manifest: %w", classify(err))
	}
	return row.Number, row.SHA256, nil
}

// SealExport records that the artefact is complete and its manifest signed. It
// reports false when the export was sealed before, in which case the earlier seal
// stands. When another export took the place in the chain of manifests meanwhile,
// the error is a fault of kind Unavailable with code chain-moved.
func (t *Tx) SealExport(ctx context.Context, id int64, s export.Seal) (bool, error) {
	var begun struct {
		Dataset   string    `db:"dataset"`
		CreatedAt time.Time `db:"created_at"`
	}
	err := t.get(ctx, &begun, `
		UPDATE finobs.export SET status = 'sealed', snapshot = $2, snapshot_at = $3, checkpoint = $4, from_leaf = $5, to_leaf = $6,
			reproducible = $7, file_name = $8, file_sha256 = decode($9, 'hex'), file_bytes = $10, content_sha256 = decode($11, 'hex'),
			content_bytes = $12, row_count = $13, generator = $14, seal_number = $15, prev_manifest_sha256 = decode($16, 'hex'),
			manifest_sha256 = decode($17, 'hex'), manifest = $18, key_id = $19, entry_id = $20, sealed_at = $21
		WHERE export_id = $1 AND status = 'intended' RETURNING dataset, created_at`,
		id, s.Snapshot, s.SnapshotAt, s.Checkpoint, s.FromLeaf, s.ToLeaf, s.Reproducible, s.FileName, s.FileSHA256, s.FileBytes, s.ContentSHA256,
		s.ContentBytes, s.Rows, s.Generator, s.Number, s.PrevManifest, s.ManifestSHA256, s.Manifest, s.KeyID, s.EntryID, s.SealedAt)
	if violates(err, "export_seal_number_is_taken_once") || violates(err, "export_manifest_has_one_successor") {
		return false, fault.Wrap(err, fault.Unavailable, "chain-moved", "another export took place %d in the chain of manifests", s.Number)
	}
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("sealing export %d: %w", id, err)
	}
	t.observeSeal(begun.Dataset, begun.CreatedAt, s)
	return true, nil
}

// CompleteBundle records that every file of the bundle is in the store.
func (t *Tx) CompleteBundle(ctx context.Context, id int64) error {
	if _, err := t.exec(ctx, `UPDATE finobs.export SET bundled_at = coalesce(bundled_at, $2) WHERE export_id = $1`, id, t.now); err != nil {
		return fmt.Errorf("completing the bundle of export %d: %w", id, err)
	}
	return nil
}

// FailExport records that the export of an approval, which was begun, will not be
// completed. It reports false when there is none that is not complete.
func (t *Tx) FailExport(ctx context.Context, approvalID int64) (export.Export, bool, error) {
	_, err := t.exec(ctx, `UPDATE finobs.export SET status = 'failed' WHERE approval_id = $1 AND schedule_id IS NULL AND status = 'intended'`, approvalID)
	if err != nil {
		return export.Export{}, false, fmt.Errorf("failing export of approval %d: %w", approvalID, err)
	}
	x, found, err := t.ExportOf(ctx, approvalID)
	return x, found && x.Status == export.Failed, err
}

// Export reads one export; a fault of kind NotFound when there is none.
func (r *Reader) Export(ctx context.Context, id int64) (export.Export, error) {
	x, found, err := r.export(ctx, `export_id = $1`, id)
	if err == nil && !found {
		err = fault.New(fault.NotFound, "no-such-export", "there is no export %d", id)
	}
	return x, err
}

// ExportOf reads the export that an approval was spent on, if there is one.
func (r *Reader) ExportOf(ctx context.Context, approvalID int64) (export.Export, bool, error) {
	return r.export(ctx, `approval_id = $1 AND schedule_id IS NULL`, approvalID)
}

func (r *Reader) export(ctx context.Context, where string, id int64) (export.Export, bool, error) {
	var row exportRow
	err := r.db.GetContext(ctx, &row, `SELECT `+exportViewColumns+` FROM api.export WHERE `+where, id)
	if errors.Is(err, sql.ErrNoRows) {
		return export.Export{}, false, nil
	}
	if err != nil {
		return export.Export{}, false, fmt.Errorf("reading export: %w", classify(err))
	}
	x, err := row.domain()
	return x, true, err
}

// selected are the conditions of a selection of exports.
func selected(f export.Selection) conditions {
	var c conditions
	for _, e := range []struct{ column, value string }{
		{"status", string(f.Status)}, {"dataset", f.Dataset}, {"format", string(f.Format)}, {"destination", f.Destination},
		{"requester_sub", f.Requester}, {"delivery_status", string(f.Delivery)}, {"verification_status", string(f.Verification)},
	} {
		if e.value != "" {
			c.add(e.column+" = ?", e.value)
		}
	}
	if f.Schedule != 0 {
		c.add("schedule_id = ?", f.Schedule)
	}
	if !f.From.IsZero() {
		c.add("created_at >= ?", f.From)
	}
	if !f.To.IsZero() {
		c.add("created_at < ?", f.To)
	}
	if f.IDs != nil {
		c.add("export_id = ANY (?)", pq.Array(f.IDs))
	}
	return c
}

// Exports lists exports, newest first.
func (r *Reader) Exports(ctx context.Context, f export.Selection, p Page) ([]export.Export, error) {
	c := selected(f)
	if p.Before != 0 {
		c.add("export_id < ?", p.Before)
	}
	var rows []exportRow
	err := r.db.Filtered(ctx, &rows, `SELECT `+exportViewColumns+` FROM api.export WHERE true`+c.text+
		` ORDER BY export_id DESC LIMIT `+strconv.Itoa(p.Limit), c.args...)
	if err != nil {
		return nil, fmt.Errorf("listing exports: %w", classify(err))
	}
	return collect(rows, exportRow.domain)
}
