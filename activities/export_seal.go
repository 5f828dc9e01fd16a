package activities

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"syscall"
	"time"

	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/export"
	"finobs/internal/failpoint"
	"finobs/internal/fault"
	"finobs/internal/ledger"

	"go.temporal.io/sdk/activity"
)

// chainAttempts bounds how often a manifest is signed again because another
// export took its place in the chain.
const chainAttempts = 100

// seal signs the manifest and records it. The manifest names the one before it,
// so it is signed outside of the transaction that makes sure of its place: a key
// may lie in another process.
func (x *Exports) seal(ctx context.Context, in ExportRef, out *export.Export, seal export.Seal) error {
	for range chainAttempts {
		receipt, now, err := x.approvedBy(ctx, out.ApprovalID)
		if err != nil {
			return err
		}
		number, before, err := x.Data.LastManifest(ctx)
		if err != nil {
			return err
		}
		seal.Number, seal.PrevManifest, seal.SealedAt = number+1, before, now
		sealed := *out
		sealed.Seal, sealed.Status = &seal, export.Sealed
		receipt.Statement.IssuedAt = now
		envelope, err := x.Sealer.Sign(ctx, sealed, receipt)
		if err != nil {
			return fmt.Errorf("signing manifest: %w", err)
		}
		seal.Manifest, seal.ManifestSHA256 = string(envelope), export.DigestOf(envelope)
		err = x.record(ctx, in, out, seal)
		if fault.CodeOf(err) != "chain-moved" {
			return err
		}
	}
	return fault.New(fault.Unavailable, "chain-busy", "too many exports were sealed at the same time; trying again")
}

// approvedBy reads the receipt of an approval, with the decisions that counted,
// and the database's time.
func (x *Exports) approvedBy(ctx context.Context, approvalID int64) (receipt approval.Receipt, now time.Time, err error) {
	err = x.InTx(ctx, func(tx ExportTx) error {
		now = tx.Now()
		m, err := lockMatter(ctx, tx, approvalID)
		if err != nil {
			return err
		}
		var counted []approval.Recorded
		for _, d := range m.decisions {
			if d.Outcome == approval.Counted {
				counted = append(counted, d)
			}
		}
		receipt = approval.ReceiptOf(m.Request, counted, now, attest.KeyID)
		return nil
	})
	return receipt, now, err
}

func (x *Exports) record(ctx context.Context, in ExportRef, out *export.Export, seal export.Seal) error {
	return x.InTx(ctx, func(tx ExportTx) error {
		current, err := tx.LockExport(ctx, out.ID)
		if err != nil {
			return err
		}
		if current.Status == export.Sealed {
			*out = current
			return nil
		}
		details := exportDetails(*out)
		for name, value := range map[string]string{
			"content_sha256": seal.ContentSHA256, "file_sha256": seal.FileSHA256, "file_name": seal.FileName, "manifest_sha256": seal.ManifestSHA256,
			"prev_manifest_sha256": seal.PrevManifest, "number": strconv.FormatInt(seal.Number, 10), "rows": strconv.FormatInt(seal.Rows, 10),
			"bytes": strconv.FormatInt(seal.ContentBytes, 10), "snapshot": seal.Snapshot, "snapshot_at": ledger.FormatTime(seal.SnapshotAt),
		} {
			details[name] = value
		}
		entry, err := tx.Append(ctx, stepOf(ctx, in.FirstRun, "effect-done", strconv.FormatInt(out.ID, 10)), ledger.Entry{
			Type: "effect.done", Actor: ledger.Itself("worker"), Subject: exportSubject(out.ID),
			Action: "export." + out.Dataset, Outcome: "done", Desk: out.Desk, TraceID: out.TraceID, Simulation: out.Simulation, Details: details,
		})
		if err != nil {
			return err
		}
		seal.EntryID = entry.EntryID
		first, err := tx.SealExport(ctx, out.ID, seal)
		if err == nil && !first {
			err = fault.New(fault.Conflict, "export-not-open", "export %d has failed and cannot be sealed", out.ID)
		}
		if err != nil {
			return err
		}
		out.Seal, out.Status = &seal, export.Sealed
		return nil
	})
}

// BundleInput names a sealed export.
type BundleInput struct {
	FirstRun string `json:"first_run"`
	ExportID int64  `json:"export_id"`
}

// BundleExport waits until the manifest's entry is in a signed log, and completes
// the bundle in the store. Every file follows from the record, so an attempt that
// runs twice writes the same bytes.
func (x *Exports) BundleExport(ctx context.Context, in BundleInput) error {
	defer beat(ctx)()
	return temporalError(x.bundle(ctx, in))
}

func (x *Exports) bundle(ctx context.Context, in BundleInput) error {
	out, err := x.sealed(ctx, in.ExportID)
	if err != nil || out.BundledAt != nil {
		return err
	}
	leaf, proof, err := x.proofOf(ctx, out.Seal.EntryID)
	if err != nil {
		return err
	}
	receipt, _, err := x.approvedBy(ctx, out.ApprovalID)
	if err != nil {
		return err
	}
	receipt.Statement.IssuedAt = out.Seal.SealedAt
	files, err := x.Sealer.Files(ctx, out, receipt, leaf, proof)
	if err != nil {
		return fmt.Errorf("making bundle of export %d: %w", out.ID, err)
	}
	folder, err := x.Store.Sub(StoreFolder(out.ID))
	if err != nil {
		return err
	}
	defer folder.Close()
	if err := folder.RemoveTemporary("bundle"); err != nil {
		return err
	}
	for _, name := range sortedNames(files) {
		if err := folder.Write("bundle", name, files[name]); err != nil {
			return x.noteFull(ctx, ExportRef{GateRef: GateRef{FirstRun: in.FirstRun}}, out, err)
		}
		failpoint.Hit("export.mid-bundle")
	}
	if err := x.InTx(ctx, func(tx ExportTx) error { return tx.CompleteBundle(ctx, out.ID) }); err != nil {
		return err
	}
	failpoint.Hit("export.after-bundle")
	return nil
}

func sortedNames(files map[string][]byte) []string { return slices.Sorted(maps.Keys(files)) }

// sealed reads a sealed export from the record.
func (x *Exports) sealed(ctx context.Context, id int64) (out export.Export, err error) {
	err = x.InTx(ctx, func(tx ExportTx) error {
		if out, err = tx.LockExport(ctx, id); err == nil && out.Status != export.Sealed {
			err = fault.New(fault.Conflict, "export-not-sealed", "export %d is %s, not sealed", id, out.Status)
		}
		return err
	})
	return out, err
}

// checkpointWait is how long an activity waits for the sequencer by itself before
// Temporal's retries take over; checkpoints come several times a second.
const (
	checkpointWait = 20 * time.Second
	checkpointPoll = 100 * time.Millisecond
)

func (x *Exports) proofOf(ctx context.Context, entryID string) (leaf, proof []byte, err error) {
	deadline := time.NewTimer(checkpointWait)
	defer deadline.Stop()
	tick := time.NewTicker(checkpointPoll)
	defer tick.Stop()
	for {
		leaf, proof, err = x.Data.ProveEntry(ctx, entryID)
		if fault.CodeOf(err) != "no-checkpoint" {
			return leaf, proof, err
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return nil, nil, err
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// noteFull records, once, that a disk is full: somebody has to make room before a
// retry can help.
func (x *Exports) noteFull(ctx context.Context, in ExportRef, out export.Export, why error) error {
	if !errors.Is(why, syscall.ENOSPC) && !errors.Is(why, syscall.EDQUOT) {
		return why
	}
	err := x.InTx(ctx, func(tx ExportTx) error {
		details := exportDetails(out)
		details["reason"] = "enospc"
		_, err := tx.Append(ctx, stepOf(ctx, in.FirstRun, "export-full", strconv.FormatInt(out.ID, 10)), ledger.Entry{
			Type: "export.failed", Actor: ledger.Itself("worker"), Subject: exportSubject(out.ID), Action: "export." + out.Dataset,
			Outcome: "retrying", Reason: "no space is left where exports are written; it is tried again until there is", Desk: out.Desk,
			TraceID: out.TraceID, Simulation: out.Simulation, Details: details,
		})
		return err
	})
	return errors.Join(fault.Wrap(why, fault.Unavailable, "disk-full", "no space is left where exports are written; make room, it is tried again"), err)
}

// reporter tells the workflow how far an activity has come, at most once an
// interval, and more and more seldom: each report is an event of its history.
type reporter struct {
	phase string
	total int64
	next  time.Time
	every time.Duration
}

const (
	firstReport = 2 * time.Second
	lastReport  = time.Minute
	reportRows  = 4096 // the clock is looked at once in so many rows
)

func (r *reporter) at(ctx context.Context, rows int64) {
	if rows%reportRows != 0 {
		return
	}
	now := time.Now() //nolint:forbidigo // how often people are told; nothing is decided by it
	if r.next.IsZero() {
		r.next, r.every = now.Add(firstReport), firstReport
	}
	if now.Before(r.next) {
		return
	}
	r.every = min(r.every*5/4, lastReport)
	r.next = now.Add(r.every)
	info := activity.GetInfo(ctx).WorkflowExecution
	progress := export.Progress{Phase: r.phase, Rows: rows, Total: r.total}
	if err := activity.GetClient(ctx).SignalWorkflow(ctx, info.ID, info.RunID, SignalProgress, progress); err != nil {
		activity.GetLogger(ctx).Debug("progress not reported", "error", err)
	}
}
