package activities

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
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

// ExportTx is what the activities that make exports need of a transaction.
type ExportTx interface {
	EffectTx
	InsertExport(ctx context.Context, x export.Export) (int64, error)
	ExportOf(ctx context.Context, approvalID int64) (export.Export, bool, error)
	ExportOfSlot(ctx context.Context, scheduleID int64, slot time.Time) (export.Export, bool, error)
	LockExport(ctx context.Context, id int64) (export.Export, error)
	SealExport(ctx context.Context, id int64, s export.Seal) (bool, error)
	CompleteBundle(ctx context.Context, id int64) error
	Deliveries(ctx context.Context, exportID int64) ([]export.Delivery, error)
	BeginDelivery(ctx context.Context, d export.Delivery) (int64, error)
	EndDelivery(ctx context.Context, d export.Delivery) error
	RecordVerification(ctx context.Context, x export.Export, deliveries []export.Delivery) error
}

// ExportData reads what exports are made of.
type ExportData interface {
	// StreamDataset reads a dataset from one snapshot.
	StreamDataset(ctx context.Context, s export.Spec, begin func(export.Snapshot) error, row func([]export.Cell) error) error
	// LastManifest is the one that the next manifest follows.
	LastManifest(ctx context.Context) (number int64, sha256 string, err error)
	// ExportIDs lists the sealed exports that a selection names, oldest first.
	ExportIDs(ctx context.Context, s export.Selection, after int64, limit int) ([]int64, error)
	// ProveEntry returns the leaf of an entry and the proof that it is in the log,
	// under the first checkpoint that covers it; a fault of kind Unavailable while
	// there is none.
	ProveEntry(ctx context.Context, entryID string) (leaf, proof []byte, err error)
}

// Sealer makes what lets a stranger verify an export, and verifies it.
type Sealer interface {
	// Sign returns the manifest of an export, whose seal is filled in up to it.
	Sign(ctx context.Context, x export.Export, approved approval.Receipt) (envelope []byte, err error)
	// Files returns the files of the bundle but the artefact, by name.
	Files(ctx context.Context, x export.Export, approved approval.Receipt, leaf, proof []byte) (map[string][]byte, error)
	// KeyID names the key that signs.
	KeyID() string
	// Verify judges the bundle in a folder by what is trusted, not by the record.
	Verify(folder string) (manifestSHA256 string, found export.Finding)
}

// Exports are the activities that carry out approved exports.
type Exports struct {
	InTx         Transaction[ExportTx]
	Verifier     *attest.Verifier
	Data         ExportData
	Sealer       Sealer
	Store        *blobdir.Dir // a folder for each export, see StoreFolder
	Destinations Destinations
	Generator    string // name and version of this program
	Link         func(exportID int64) string
}

// ExportRef says by what authority an export is made: by the approval that its
// workflow waited for, or by the slot of a schedule.
type ExportRef struct {
	GateRef
	ScheduleID int64     `json:"schedule_id,omitempty"`
	Slot       time.Time `json:"slot,omitzero"`
}

// ExportDone is what became of an export.
type ExportDone struct {
	ExportID       int64  `json:"export_id"`
	ContentSHA256  string `json:"content_sha256"`
	ManifestSHA256 string `json:"manifest_sha256"`
	Destination    string `json:"destination"`
	Rows           int64  `json:"rows"`
	Sealed         bool   `json:"sealed"`
}

func doneOf(x export.Export) ExportDone {
	if x.Status != export.Sealed || x.Seal == nil {
		return ExportDone{}
	}
	return ExportDone{
		ExportID: x.ID, ContentSHA256: x.Seal.ContentSHA256, ManifestSHA256: x.Seal.ManifestSHA256, Destination: x.Destination,
		Rows: x.Seal.Rows, Sealed: true,
	}
}

// StoreFolder is the folder of an export in the exports' own store.
func StoreFolder(exportID int64) string { return "export-" + strconv.FormatInt(exportID, 10) }

// SignalProgress carries an export.Progress from the activity to its workflow. It
// is for people who watch; nothing is decided by it.
const SignalProgress = "export.progress"

// GenerateExport carries out an approved export once. It trusts nothing but the
// record: the evidence is checked again, and the approval is spent in the same
// transaction that records the intent. A retry finds the intent, writes a new
// file and seals one.
func (x *Exports) GenerateExport(ctx context.Context, in ExportRef) (ExportDone, error) {
	var written atomic.Int64
	defer beatWith(ctx, func() any { return written.Load() })()
	intended, spec, err := x.begin(ctx, in)
	if err != nil {
		return ExportDone{}, temporalError(deny(ctx, x.InTx, in.GateRef, "export", err))
	}
	failpoint.Hit("export.after-consume")
	folder, err := x.Store.Sub(StoreFolder(intended.ID))
	if err != nil {
		return ExportDone{}, temporalError(x.noteFull(ctx, in, intended, err))
	}
	defer folder.Close()
	if intended.Status != export.Sealed {
		if err := x.write(ctx, in, &intended, spec, folder, &written); err != nil {
			return ExportDone{}, temporalError(x.noteFull(ctx, in, intended, err))
		}
	}
	// What a crashed attempt left behind is removed by whoever finishes.
	if err := errors.Join(folder.RemoveTemporary("artefact"), folder.RemoveOthers(export.Prefix(intended.Dataset, intended.ID), intended.Seal.FileName)); err != nil {
		return ExportDone{}, err
	}
	failpoint.Hit("export.after-seal")
	return doneOf(intended), nil
}

// begin spends the approval and records the intent, or finds that this very
// workflow did so before.
func (x *Exports) begin(ctx context.Context, in ExportRef) (out export.Export, spec export.Spec, err error) {
	if in.ScheduleID != 0 {
		return x.beginSlot(ctx, in)
	}
	var refused error
	err = x.InTx(ctx, func(tx ExportTx) error {
		m, how, err := spend(ctx, tx, x.Verifier, in.GateRef)
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
		out = export.Intend(spec, m.Request)
		out.WorkflowID = activity.GetInfo(ctx).WorkflowExecution.ID
		out.ID, err = intend(ctx, tx, in, out, m.Request)
		return err
	})
	return out, spec, errors.Join(err, refused)
}

// intender is what recording an intent needs of a transaction.
type intender interface {
	Recorder
	InsertExport(ctx context.Context, x export.Export) (int64, error)
}

// intend records that an export is about to be made.
func intend(ctx context.Context, tx intender, in ExportRef, x export.Export, r approval.Request) (int64, error) {
	id, err := tx.InsertExport(ctx, x)
	if err != nil {
		return 0, err
	}
	details := exportDetails(x)
	details["columns"], details["dataset_version"] = x.Columns, x.DatasetVersion
	_, err = tx.Append(ctx, stepOf(ctx, in.FirstRun, "effect-intended", strconv.FormatInt(x.ApprovalID, 10)), ledger.Entry{
		Type: "effect.intended", Actor: ledger.Itself("worker"), Subject: exportSubject(id),
		Action: "export." + x.Dataset, Outcome: "intended", Desk: x.Desk, RequestID: r.RequestID, TraceID: x.TraceID, Simulation: x.Simulation,
		Details: details,
	})
	return id, err
}

// exportDetails are what every entry about the making of an export says.
func exportDetails(x export.Export) canonical.Object {
	details := canonical.Object{"approval_id": strconv.FormatInt(x.ApprovalID, 10), "action_digest": x.ActionDigest}
	if x.ScheduleID != 0 {
		details["schedule_id"], details["slot"] = strconv.FormatInt(x.ScheduleID, 10), x.Slot.UTC().Format(time.RFC3339)
	}
	return details
}

// write makes the artefact and seals the export. When another attempt sealed it
// in the meantime, that seal stands.
func (x *Exports) write(ctx context.Context, in ExportRef, out *export.Export, spec export.Spec, folder *blobdir.Dir, written *atomic.Int64) error {
	pending, err := folder.Create("artefact")
	if err != nil {
		return err
	}
	defer pending.Discard()
	w, err := export.NewWriter(pending, spec)
	if err != nil {
		return err
	}
	var from export.Snapshot
	report := &reporter{phase: export.PhaseGenerating}
	err = x.Data.StreamDataset(ctx, spec, func(s export.Snapshot) error {
		from, report.total = s, s.Rows
		return nil
	}, func(cells []export.Cell) error {
		written.Store(w.Rows())
		report.at(ctx, w.Rows())
		return w.Row(cells)
	})
	if err != nil {
		return err
	}
	failpoint.Hit("export.mid-write")
	totals, err := w.Close()
	if err != nil {
		return err
	}
	name := export.FileName(out.ID, spec, totals.FileSHA256)
	if err := pending.Publish(name); err != nil {
		return err
	}
	failpoint.Hit("export.after-publish")
	seal := export.SealOf(spec, from, totals)
	seal.FileName, seal.Generator, seal.KeyID = name, x.Generator, x.Sealer.KeyID()
	return x.seal(ctx, in, out, seal)
}

// ConfirmInput is what the workflow was told about an export.
type ConfirmInput struct {
	ExportRef
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
		recorded, found, err := exportFor(ctx, tx, in.ExportRef)
		if err != nil {
			return err
		}
		if found && recorded.Status == export.Sealed {
			out = doneOf(recorded)
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

// exportFor finds the export that was begun by an authority, if there is one.
func exportFor(ctx context.Context, tx ExportTx, in ExportRef) (export.Export, bool, error) {
	if in.ScheduleID != 0 {
		return tx.ExportOfSlot(ctx, in.ScheduleID, in.Slot)
	}
	return tx.ExportOf(ctx, in.ApprovalID)
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
