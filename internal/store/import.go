package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"finobs/internal/fault"
	"finobs/internal/intake"
)

const importColumns = `import_id, kind, source, content_sha256, origin, file_name, byte_count, report, imported_iss, imported_sub,
	workflow_id, trace_id, imported_at`

// Import reads the import of a content as a kind of file of a source; a fault of
// kind NotFound when there is none.
func (r *Reader) Import(ctx context.Context, kind intake.Kind, source, contentSHA256 string) (intake.Import, error) {
	return r.oneImport(ctx, fmt.Sprintf("no %s file of %s with SHA-256 %s was imported", kind, source, contentSHA256),
		`content_sha256 = $1 AND kind = $2 AND source = $3`, contentSHA256, kind, source)
}

// LatestImport reads the newest import of a content, of the given source or, when
// that is empty, of any; a fault of kind NotFound when there is none.
func (r *Reader) LatestImport(ctx context.Context, source, contentSHA256 string) (intake.Import, error) {
	return r.oneImport(ctx, fmt.Sprintf("no file with SHA-256 %s was imported", contentSHA256),
		`content_sha256 = $1 AND ($2 = '' OR source = $2)`, contentSHA256, source)
}

func (r *Reader) oneImport(ctx context.Context, none, condition string, args ...any) (intake.Import, error) {
	var i intake.Import
	err := r.db.GetContext(ctx, &i, `SELECT `+importColumns+` FROM api.import WHERE `+condition+` ORDER BY import_id DESC LIMIT 1`, args...)
	if errors.Is(err, sql.ErrNoRows) {
		return i, fault.New(fault.NotFound, "no-such-import", "%s", none)
	}
	if err != nil {
		return i, fmt.Errorf("reading import: %w", classify(err))
	}
	return i, nil
}

// ReportOfImport reads what an earlier import of the same content reported.
func (t *Tx) ReportOfImport(ctx context.Context, kind intake.Kind, source, contentSHA256 string) (json.RawMessage, bool, error) {
	var report []byte
	err := t.get(ctx, &report, `SELECT report FROM finobs.import WHERE content_sha256 = decode($3, 'hex') AND kind = $1 AND source = $2`,
		kind, source, contentSHA256)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("reading import: %w", err)
	}
	return report, true, nil
}

// NextImportID takes an id, so that rows can name the import before its report
// is known.
func (t *Tx) NextImportID(ctx context.Context) (int64, error) {
	var id int64
	if err := t.get(ctx, &id, `SELECT nextval('finobs.import_id')`); err != nil {
		return 0, fmt.Errorf("taking an import id: %w", err)
	}
	return id, nil
}

// InsertImport records an import under an id from NextImportID.
func (t *Tx) InsertImport(ctx context.Context, i intake.Import) error {
	_, err := t.exec(ctx, `
		INSERT INTO finobs.import (import_id, kind, source, content_sha256, origin, file_name, byte_count, report,
			imported_iss, imported_sub, workflow_id, trace_id, imported_at)
		VALUES ($1, $2, $3, decode($4, 'hex'), $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
		i.ID, i.Kind, i.Source, i.ContentSHA256, i.Origin, i.FileName, i.Bytes, string(i.Report),
		i.ImportedIss, i.ImportedSub, i.WorkflowID, i.TraceID, t.now)
	if err != nil {
		return fmt.Errorf("recording import: %w", err)
	}
	return nil
}
