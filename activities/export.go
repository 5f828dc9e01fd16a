package activities

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/blobdir"
	"finobs/internal/canonical"
	"finobs/internal/export"
	"finobs/internal/failpoint"
	"finobs/internal/fault"
	"finobs/internal/ledger"

	"go.temporal.io/sdk/activity"
)

// ExportTx is what the export activities need of a transaction.
type ExportTx interface {
	EffectTx
	InsertExport(ctx context.Context, x export.Export) (int64, error)
	ExportOf(ctx context.Context, approvalID int64) (export.Export, bool, error)
	SealExport(ctx context.Context, id int64, s export.Seal) (bool, error)
}

// DatasetReader streams a dataset from one snapshot.
type DatasetReader interface {
	StreamIncidents(ctx context.Context, filters map[string]string, row func([]export.Cell) error) (snapshot string, at time.Time, err error)
}

// Exports are the activities that carry out approved exports.
type Exports struct {
	InTx      Transaction[ExportTx]
	Verifier  *attest.Verifier
	Data      DatasetReader
	Artefacts *blobdir.Dir
}

// ExportDone is what became of an export.
type ExportDone struct {
	ExportID      int64  `json:"export_id"`
	ContentSHA256 string `json:"content_sha256"`
	Sealed        bool   `json:"sealed"`
}

// GenerateExport carries out an approved export once. It trusts nothing but the
// record: the evidence is checked again, and the approval is spent in the same
// transaction that records the intent. A retry finds the intent, writes a new
// file and seals one.
func (x *Exports) GenerateExport(ctx context.Context, in GateRef) (ExportDone, error) {
	defer beat(ctx)()
	intended, spec, err := x.begin(ctx, in)
	if err != nil {
		return ExportDone{}, temporalError(deny(ctx, x.InTx, in, "export", err))
	}
	failpoint.Hit("export.after-consume")
	if intended.Status != export.Sealed {
		if err := x.write(ctx, in, &intended, spec); err != nil {
			return ExportDone{}, temporalError(err)
		}
	}
	// What a crashed attempt left behind is removed by whoever finishes.
	if err := x.Artefacts.RemoveTemporary(fmt.Sprintf("export-%d", intended.ID)); err != nil {
		return ExportDone{}, err
	}
	prefix := fmt.Sprintf("%s-%d-", intended.Dataset, intended.ID)
	if err := x.Artefacts.RemoveOthers(prefix, intended.Seal.FileName); err != nil {
		return ExportDone{}, err
	}
	failpoint.Hit("export.after-seal")
	return ExportDone{ExportID: intended.ID, ContentSHA256: intended.Seal.ContentSHA256, Sealed: true}, nil
}

// begin spends the approval and records the intent, or finds that this very
// workflow did so before.
func (x *Exports) begin(ctx context.Context, in GateRef) (out export.Export, spec export.Spec, err error) {
	var refused error
	err = x.InTx(ctx, func(tx ExportTx) error {
		m, how, err := spend(ctx, tx, x.Verifier, in)
		if err != nil {
			return err
		}
		if how == superseded {
			refused = targetMoved(m)
			return nil
		}
		if spec, err = export.FromAction(m.action); err != nil {
			return err
		}
		if how == spentOnce {
			var found bool
			if out, found, err = tx.ExportOf(ctx, m.ID); err == nil && !found {
				err = fault.New(fault.Internal, "export-missing", "approval %d was spent on no export", m.ID)
			}
			return err
		}
		out, err = x.intend(ctx, tx, in, m.Request, m.action, spec)
		return err
	})
	return out, spec, errors.Join(err, refused)
}

func (x *Exports) intend(ctx context.Context, tx ExportTx, in GateRef, r approval.Request, a approval.Action, spec export.Spec) (export.Export, error) {
	out := export.Export{
		ApprovalID: r.ID, ActionDigest: r.ActionDigest, Dataset: spec.Dataset.Name, Format: spec.Format, Filters: spec.Filters,
		Columns: spec.Dataset.ColumnNames(), Requester: r.Requester, Desk: r.Desk, Simulation: r.Simulation,
		WorkflowID: activity.GetInfo(ctx).WorkflowExecution.ID, TraceID: r.TraceID, Status: export.Intended,
	}
	var err error
	if out.ID, err = tx.InsertExport(ctx, out); err != nil {
		return out, err
	}
	_, err = tx.Append(ctx, stepOf(ctx, in.FirstRun, "effect-intended", strconv.FormatInt(r.ID, 10)), ledger.Entry{
		Type: "effect.intended", Actor: ledger.Itself("worker"), Subject: exportSubject(out.ID),
		Action: a.Kind, Outcome: "intended", Desk: r.Desk, RequestID: r.RequestID, TraceID: r.TraceID, Simulation: r.Simulation,
		Details: canonical.Object{
			"approval_id": strconv.FormatInt(r.ID, 10), "action_digest": r.ActionDigest,
			"columns": out.Columns, "dataset_version": spec.Dataset.Version,
		},
	})
	return out, err
}

// write makes the artefact and seals the export. When another attempt sealed it
// in the meantime, that seal stands.
func (x *Exports) write(ctx context.Context, in GateRef, out *export.Export, spec export.Spec) error {
	pending, err := x.Artefacts.Create(fmt.Sprintf("export-%d", out.ID))
	if err != nil {
		return err
	}
	defer pending.Discard()
	encoder, err := export.NewEncoder(pending, spec.Dataset, spec.Format)
	if err != nil {
		return err
	}
	snapshot, at, err := x.Data.StreamIncidents(ctx, spec.Filters, encoder.Row)
	if err != nil {
		return err
	}
	failpoint.Hit("export.mid-write")
	seal := export.Seal{Snapshot: snapshot, SnapshotAt: at}
	if seal.Rows, seal.Bytes, seal.ContentSHA256, err = encoder.Close(); err != nil {
		return err
	}
	seal.FileName = export.FileName(out.ID, out.Dataset, out.Format, seal.ContentSHA256)
	if err := pending.Publish(seal.FileName); err != nil {
		return err
	}
	failpoint.Hit("export.after-publish")
	return x.seal(ctx, in, out, seal)
}

func (x *Exports) seal(ctx context.Context, in GateRef, out *export.Export, seal export.Seal) error {
	return x.InTx(ctx, func(tx ExportTx) error {
		first, err := tx.SealExport(ctx, out.ID, seal)
		if err != nil {
			return err
		}
		if !first {
			*out, _, err = tx.ExportOf(ctx, out.ApprovalID)
			return err
		}
		seal.SealedAt = tx.Now()
		out.Seal, out.Status = &seal, export.Sealed
		_, err = tx.Append(ctx, stepOf(ctx, in.FirstRun, "effect-done", strconv.FormatInt(out.ApprovalID, 10)), ledger.Entry{
			Type: "effect.done", Actor: ledger.Itself("worker"), Subject: exportSubject(out.ID),
			Action: "export." + out.Dataset, Outcome: "done", Desk: out.Desk, TraceID: out.TraceID, Simulation: out.Simulation,
			Details: canonical.Object{
				"approval_id": strconv.FormatInt(out.ApprovalID, 10), "action_digest": out.ActionDigest,
				"content_sha256": seal.ContentSHA256, "file_name": seal.FileName,
				"rows": strconv.FormatInt(seal.Rows, 10), "bytes": strconv.FormatInt(seal.Bytes, 10),
				"snapshot": seal.Snapshot, "snapshot_at": ledger.FormatTime(seal.SnapshotAt),
			},
		})
		return err
	})
}

// ConfirmInput is what the workflow was told about an export.
type ConfirmInput struct {
	GateRef
	Claimed ExportDone `json:"claimed"`
	Failed  bool       `json:"failed"` // the activity failed; nothing is claimed
	Attempt int        `json:"attempt"`
}

// ConfirmExport compares what the workflow was told with the record. An activity
// can be completed by hand, with any result; the record cannot. When the two
// differ, the difference becomes an entry, and the result says Sealed only if the
// record does.
func (x *Exports) ConfirmExport(ctx context.Context, in ConfirmInput) (ExportDone, error) {
	var out ExportDone
	err := x.InTx(ctx, func(tx ExportTx) error {
		recorded, found, err := tx.ExportOf(ctx, in.ApprovalID)
		if err != nil {
			return err
		}
		if found && recorded.Status == export.Sealed {
			out = ExportDone{ExportID: recorded.ID, ContentSHA256: recorded.Seal.ContentSHA256, Sealed: true}
		}
		if out == in.Claimed || in.Failed {
			return nil
		}
		ordinal := fmt.Sprintf("%d %d", in.ApprovalID, in.Attempt)
		_, err = tx.Append(ctx, stepOf(ctx, in.FirstRun, "activity-contradicted", ordinal), ledger.Entry{
			Type: "activity.contradicted", Actor: ledger.Itself("worker"), Subject: approvalSubject(in.ApprovalID),
			Action: "export", Outcome: "refused", Reason: "the activity was completed with a result that the record does not bear out",
			TraceID: traceID(ctx),
			Details: canonical.Object{
				"claimed_export_id": strconv.FormatInt(in.Claimed.ExportID, 10),
				"claimed_sha256":    cut(in.Claimed.ContentSHA256, 64), "recorded_sha256": out.ContentSHA256,
			},
		})
		return err
	})
	failpoint.Hit("export.after-confirm")
	return out, temporalError(err)
}

// cut shortens text that anybody may have written to at most n bytes of valid
// UTF-8.
func cut(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

func exportSubject(id int64) ledger.Subject {
	return ledger.Subject{Kind: "export", ID: strconv.FormatInt(id, 10)}
}
