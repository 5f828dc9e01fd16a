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
	ExportID      int64          `db:"export_id"`
	ApprovalID    int64          `db:"approval_id"`
	ActionDigest  string         `db:"action_digest"`
	Dataset       string         `db:"dataset"`
	Format        string         `db:"format"`
	Filters       []byte         `db:"filters"`
	Columns       pq.StringArray `db:"columns"`
	RequesterIss  string         `db:"requester_iss"`
	RequesterSub  string         `db:"requester_sub"`
	Desk          string         `db:"desk"`
	IsSimulation  bool           `db:"is_simulation"`
	WorkflowID    string         `db:"workflow_id"`
	TraceID       string         `db:"trace_id"`
	Status        string         `db:"status"`
	CreatedAt     time.Time      `db:"created_at"`
	Snapshot      *string        `db:"snapshot"`
	SnapshotAt    *time.Time     `db:"snapshot_at"`
	FileName      *string        `db:"file_name"`
	ContentSHA256 *string        `db:"content_sha256"`
	RowCount      *int64         `db:"row_count"`
	ByteCount     *int64         `db:"byte_count"`
	SealedAt      *time.Time     `db:"sealed_at"`
}

const (
	exportHead = `export_id, approval_id, action_digest, dataset, format, filters, columns, requester_iss, requester_sub, desk,
		is_simulation, workflow_id, trace_id, status, created_at, snapshot, snapshot_at, file_name, row_count, byte_count, sealed_at`
	exportStateColumns = exportHead + `, encode(content_sha256, 'hex') AS content_sha256` // finobs.export
	exportViewColumns  = exportHead + `, content_sha256`                                  // api.export
)

func (r exportRow) domain() (export.Export, error) {
	x := export.Export{
		ID: r.ExportID, ApprovalID: r.ApprovalID, ActionDigest: r.ActionDigest,
		Dataset: r.Dataset, Format: export.Format(r.Format), Columns: r.Columns,
		Requester: approval.Person{Issuer: r.RequesterIss, Subject: r.RequesterSub},
		Desk:      r.Desk, Simulation: r.IsSimulation, WorkflowID: r.WorkflowID, TraceID: r.TraceID,
		Status: export.Status(r.Status), CreatedAt: r.CreatedAt.UTC(),
	}
	if err := json.Unmarshal(r.Filters, &x.Filters); err != nil {
		return x, fmt.Errorf("reading filters of export %d: %w", r.ExportID, err)
	}
	if x.Status == export.Sealed {
		x.Seal = &export.Seal{
			Snapshot: *r.Snapshot, SnapshotAt: r.SnapshotAt.UTC(), FileName: *r.FileName, ContentSHA256: *r.ContentSHA256,
			Rows: *r.RowCount, Bytes: *r.ByteCount, SealedAt: r.SealedAt.UTC(),
		}
	}
	return x, nil
}

// InsertExport records an intended export and returns its id. An approval has at
// most one.
func (t *Tx) InsertExport(ctx context.Context, x export.Export) (int64, error) {
	filters, err := json.Marshal(x.Filters)
	if err != nil {
		return 0, fmt.Errorf("encoding filters: %w", err)
	}
	var id int64
	err = t.get(ctx, &id, `
		INSERT INTO finobs.export (approval_id, action_digest, dataset, format, filters, columns, requester_iss, requester_sub,
			desk, is_simulation, workflow_id, trace_id, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING export_id`,
		x.ApprovalID, x.ActionDigest, x.Dataset, x.Format, string(filters), pq.Array(x.Columns), x.Requester.Issuer, x.Requester.Subject,
		x.Desk, x.Simulation, x.WorkflowID, x.TraceID, t.now)
	if err != nil {
		return 0, fmt.Errorf("recording export of approval %d: %w", x.ApprovalID, err)
	}
	return id, nil
}

// ExportOf reads the export that an approval was spent on, if there is one.
func (t *Tx) ExportOf(ctx context.Context, approvalID int64) (export.Export, bool, error) {
	var row exportRow
	err := t.get(ctx, &row, `SELECT `+exportStateColumns+` FROM finobs.export WHERE approval_id = $1`, approvalID)
	if errors.Is(err, sql.ErrNoRows) {
		return export.Export{}, false, nil
	}
	if err != nil {
		return export.Export{}, false, fmt.Errorf("reading export of approval %d: %w", approvalID, err)
	}
	x, err := row.domain()
	return x, true, err
}

// SealExport records that the artefact is complete. It reports false when the
// export was sealed before, in which case the earlier seal stands.
func (t *Tx) SealExport(ctx context.Context, id int64, s export.Seal) (bool, error) {
	res, err := t.exec(ctx, `
		UPDATE finobs.export SET status = 'sealed', snapshot = $2, snapshot_at = $3, file_name = $4,
			content_sha256 = decode($5, 'hex'), row_count = $6, byte_count = $7, sealed_at = $8
		WHERE export_id = $1 AND status = 'intended'`,
		id, s.Snapshot, s.SnapshotAt, s.FileName, s.ContentSHA256, s.Rows, s.Bytes, t.now)
	if err != nil {
		return false, fmt.Errorf("sealing export %d: %w", id, err)
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

// FailExport records that the export of an approval, which was begun, will not be
// completed. It reports false when there is none that is not complete.
func (t *Tx) FailExport(ctx context.Context, approvalID int64) (export.Export, bool, error) {
	_, err := t.exec(ctx, `UPDATE finobs.export SET status = 'failed' WHERE approval_id = $1 AND status = 'intended'`, approvalID)
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
	return r.export(ctx, `approval_id = $1`, approvalID)
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

// ExportFilter selects exports; zero fields select all.
type ExportFilter struct {
	Status  export.Status
	Dataset string
}

// Exports lists exports, newest first.
func (r *Reader) Exports(ctx context.Context, f ExportFilter, p Page) ([]export.Export, error) {
	var rows []exportRow
	err := r.db.SelectContext(ctx, &rows, `SELECT `+exportViewColumns+` FROM api.export
		WHERE ($1 = '' OR status = $1) AND ($2 = '' OR dataset = $2) AND ($3 = 0 OR export_id < $3)
		ORDER BY export_id DESC LIMIT `+strconv.Itoa(p.Limit), string(f.Status), f.Dataset, p.Before)
	if err != nil {
		return nil, fmt.Errorf("listing exports: %w", classify(err))
	}
	return collect(rows, exportRow.domain)
}
