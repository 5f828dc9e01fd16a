package activities

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"

	"finobs/internal/attest"
	"finobs/internal/canonical"
	"finobs/internal/failpoint"
	"finobs/internal/fault"
	"finobs/internal/intake"
	"finobs/internal/ledger"

	"go.temporal.io/sdk/activity"
)

// ImportTx is what the import of any kind of file needs of a transaction.
type ImportTx interface {
	Recorder
	ReportOfImport(ctx context.Context, kind intake.Kind, source, contentSHA256 string) (json.RawMessage, bool, error)
	NextImportID(ctx context.Context) (int64, error)
	InsertImport(ctx context.Context, i intake.Import) error
	Heard(ctx context.Context, sources []string) error
}

// Spool holds received files by their SHA-256.
type Spool interface {
	Open(name string) (*os.File, error)
}

// ImportInput is a received file with the API's word for who sent it.
type ImportInput struct {
	FirstRun string      `json:"first_run"`
	Command  string      `json:"command"`
	File     intake.File `json:"file"`
}

// loading is a file that is being loaded by an import whose id is taken.
type loading struct {
	id      int64
	file    intake.File
	content io.ReadSeeker
	traceID string
}

// loaded is what became of a file.
type loaded struct {
	report  any              // to be recorded, as JSON
	refusal string           // why a strict import refuses it; empty when it does not
	details canonical.Object // of the ledger entry
}

// importFile runs load over a spooled file in one transaction, with the report and
// the ledger entry: all good lines or nothing. A content that was imported before
// changes nothing and answers with the report of then.
func importFile[T ImportTx](ctx context.Context, inTx Transaction[T], v *attest.Verifier, spool Spool, in ImportInput,
	load func(context.Context, T, loading) (loaded, error),
) (json.RawMessage, error) {
	defer beat(ctx)()
	digest, err := in.File.Digest()
	if err != nil {
		return nil, temporalError(fault.Wrap(err, fault.Invalid, "invalid-import", "the file's name or source is not valid text"))
	}
	c, err := command(ctx, v, in.Command, digest)
	if err != nil {
		return nil, temporalError(refuseStart(ctx, inTx, in.FirstRun, in.Command, err))
	}
	content, err := spool.Open(in.File.ContentSHA256)
	if err != nil {
		return nil, fmt.Errorf("opening received file: %w", err)
	}
	defer content.Close()
	info, err := content.Stat()
	if err != nil {
		return nil, fmt.Errorf("opening received file: %w", err)
	}
	kind, source := in.File.Key()
	var report json.RawMessage
	err = inTx(ctx, func(tx T) error {
		earlier, found, err := tx.ReportOfImport(ctx, kind, source, in.File.ContentSHA256)
		if err != nil || found {
			report = earlier
			return err
		}
		// The rows name their import, so its id is taken first; the import follows at
		// the end of the same transaction, where the foreign key is checked.
		id, err := tx.NextImportID(ctx)
		if err != nil {
			return err
		}
		done, err := load(ctx, tx, loading{id: id, file: in.File, content: content, traceID: c.TraceID})
		if err != nil {
			return err
		}
		report, err = recordImport(ctx, tx, in, c, id, info.Size(), done)
		return err
	})
	failpoint.Hit("import.after-load")
	return report, temporalError(err)
}

// recordImport records what became of a file, unless it is to be refused.
func recordImport[T ImportTx](ctx context.Context, tx T, in ImportInput, c attest.Command, id, size int64, done loaded) (json.RawMessage, error) {
	if in.File.Strict && done.refusal != "" {
		return nil, fault.New(fault.Invalid, "file-not-clean", "strict import refused the whole file; %s", done.refusal)
	}
	report, err := json.Marshal(done.report)
	if err != nil {
		return nil, fmt.Errorf("encoding report: %w", err)
	}
	kind, source := in.File.Key()
	err = tx.InsertImport(ctx, intake.Import{
		ID: id, Kind: kind, Source: source, ContentSHA256: in.File.ContentSHA256, Origin: in.File.Origin, FileName: in.File.FileName,
		Bytes: size, Report: report, ImportedIss: c.Principal.Issuer, ImportedSub: c.Principal.Subject,
		WorkflowID: activity.GetInfo(ctx).WorkflowExecution.ID, TraceID: c.TraceID,
	})
	if err != nil {
		return nil, err
	}
	if err := tx.Heard(ctx, []string{source}); err != nil {
		return nil, err
	}
	details := canonical.Object{
		"source": source, "content_sha256": in.File.ContentSHA256, "file_name": in.File.FileName, "origin": in.File.Origin,
	}
	maps.Copy(details, done.details)
	_, err = tx.Append(ctx, stepOf(ctx, in.FirstRun, "import", in.File.ContentSHA256), ledger.Entry{
		Type: "import.done", Actor: ledger.By(c.Principal), Subject: ledger.Subject{Kind: "import", ID: in.File.ContentSHA256},
		Action: "import", Outcome: "done", Desk: c.Principal.Desk, RequestID: c.RequestID, TraceID: c.TraceID, Details: details,
	})
	return report, err
}
