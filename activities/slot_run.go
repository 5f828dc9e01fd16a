package activities

import (
	"context"
	"strconv"
	"time"

	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/canonical"
	"finobs/internal/evidence"
	"finobs/internal/export"
	"finobs/internal/failpoint"
	"finobs/internal/fault"
	"finobs/internal/ledger"

	"go.temporal.io/sdk/activity"
)

// run records the intent of the slot's export, if the grant holds.
func (a *slotAttempt) run(ctx context.Context) (SlotBegun, error) {
	out, r, err := a.granted(ctx)
	if err != nil && fault.KindOf(err).Retryable() {
		return SlotBegun{}, err
	}
	if err != nil {
		why := "its grant does not hold: " + fault.MessageOf(err)
		return SlotBegun{Status: export.SlotSkipped, Reason: why}, a.skip(ctx, why)
	}
	id, err := intend(ctx, a.tx, a.ref(), out, r)
	if err != nil {
		return SlotBegun{}, err
	}
	begun := a.slot(ctx, export.SlotRunning, "")
	begun.ExportID = id
	if err := a.tx.PutSlot(ctx, begun); err != nil {
		return SlotBegun{}, err
	}
	err = a.entry(ctx, "schedule.slot_begun", "intended", canonical.Object{"export_id": strconv.FormatInt(id, 10), "approval_id": strconv.FormatInt(r.ID, 10)})
	return SlotBegun{Run: true, Ref: a.ref(), Status: export.SlotRunning}, err
}

// granted verifies the grant again, and that the schedule and the export of the
// slot are exactly what it gives.
func (a *slotAttempt) granted(ctx context.Context) (out export.Export, r approval.Request, err error) {
	m, err := grantOf(ctx, a.tx, a.verifier, a.schedule.ApprovalID)
	if err != nil {
		return out, m.Request, err
	}
	if err := a.schedule.GrantedBy(m.Request, m.action); err != nil {
		return out, m.Request, fault.Wrap(err, fault.Forbidden, "evidence-broken", "%v", err)
	}
	if out, err = a.schedule.Intend(m.Request, a.at, a.tx.Now()); err != nil {
		return out, m.Request, err
	}
	if err := out.AuthorisedBy(m.Request, m.action); err != nil {
		return out, m.Request, fault.Wrap(err, fault.Forbidden, "evidence-broken", "%v", err)
	}
	return out, m.Request, nil
}

// grantOf reads a grant and verifies its evidence. Decisions stand as they were
// made; a requester who has been struck off takes his schedules with him.
func grantOf(ctx context.Context, tx JudgeTx, v *attest.Verifier, approvalID int64) (matter, error) {
	m, err := lockMatter(ctx, tx, approvalID)
	if err != nil {
		return m, err
	}
	if m.Status != approval.Consumed {
		return m, fault.New(fault.Forbidden, "approval-not-usable", "approval %d is %s and was not carried out", m.ID, m.Status)
	}
	if _, err := evidence.Approved(v, m.Request, m.decisions, nil); err != nil {
		return m, err
	}
	members, err := tx.Members(ctx, []approval.Person{m.Requester})
	if err != nil {
		return m, err
	}
	for _, member := range members {
		if !member.Active {
			return m, fault.New(fault.Forbidden, "requester-inactive", "%s, who asked for it, is no longer active", m.Requester.Subject)
		}
	}
	return m, nil
}

// SlotEnd says that the workflow of a slot is done with it.
type SlotEnd struct {
	Ref     ExportRef `json:"ref"`
	Failure string    `json:"failure,omitempty"` // what the workflow was told
}

// EndSlot records what became of a slot: what the record says of its export, not
// what the workflow was told.
func (x *Slots) EndSlot(ctx context.Context, in SlotEnd) (export.SlotStatus, error) {
	var status export.SlotStatus
	err := x.InTx(ctx, func(tx SlotTx) error {
		s, err := tx.LockSchedule(ctx, in.Ref.ScheduleID)
		if err != nil {
			return err
		}
		slot, found, err := tx.Slot(ctx, s.ID, in.Ref.Slot)
		if err != nil {
			return err
		}
		if !found || slot.FirstRunID != in.Ref.FirstRun || slot.WorkflowID != activity.GetInfo(ctx).WorkflowExecution.ID {
			return fault.New(fault.Forbidden, "not-its-slot", "the slot is not the one of this workflow")
		}
		if slot.Status != export.SlotRunning {
			status = slot.Status
			return nil
		}
		status, err = endSlot(ctx, tx, in.Ref.FirstRun, s, slot, cut(in.Failure, 500), ledger.Itself("worker"))
		return err
	})
	failpoint.Hit("slot.after-end")
	return status, temporalError(err)
}

// endSlot ends a slot that runs: done when its export is sealed, failed otherwise,
// and then the export is as well.
func endSlot(ctx context.Context, tx SlotTx, firstRun string, s export.Schedule, slot export.Slot, why string, by ledger.Actor) (export.SlotStatus, error) {
	x, err := tx.LockExport(ctx, slot.ExportID)
	if err != nil {
		return "", err
	}
	slot.Status, slot.Reason = export.SlotDone, ""
	if x.Status != export.Sealed {
		slot.Status, slot.Reason = export.SlotFailed, why
		if err := failExport(ctx, tx, firstRun, x, why, by); err != nil {
			return "", err
		}
	}
	if err := tx.PutSlot(ctx, slot); err != nil {
		return "", err
	}
	_, err = tx.Append(ctx, stepOf(ctx, firstRun, "slot-ended", slot.At.Format(time.RFC3339)), ledger.Entry{
		Type: "schedule.slot_ended", Actor: by, Subject: scheduleSubject(s.ID), Action: "schedule.run", Outcome: string(slot.Status),
		Reason: slot.Reason, Desk: s.Desk, TraceID: x.TraceID, Simulation: s.Simulation,
		Details: canonical.Object{"slot": slot.At.Format(time.RFC3339), "export_id": strconv.FormatInt(x.ID, 10)},
	})
	return slot.Status, err
}

func failExport(ctx context.Context, tx SlotTx, firstRun string, x export.Export, why string, by ledger.Actor) error {
	failed, err := tx.FailExportOfSlot(ctx, x.ID)
	if err != nil || !failed {
		return err
	}
	_, err = tx.Append(ctx, stepOf(ctx, firstRun, "effect-failed", strconv.FormatInt(x.ID, 10)), ledger.Entry{
		Type: "effect.failed", Actor: by, Subject: exportSubject(x.ID), Action: "export." + x.Dataset, Outcome: "failed", Reason: why,
		Desk: x.Desk, TraceID: x.TraceID, Simulation: x.Simulation, Details: exportDetails(x),
	})
	return err
}

// skipSlot records that nothing is exported for a slot, and why.
func skipSlot(ctx context.Context, tx SlotTx, step ledger.Step, s export.Schedule, slot export.Slot, by ledger.Actor) error {
	if err := tx.PutSlot(ctx, slot); err != nil {
		return err
	}
	_, err := tx.Append(ctx, step, ledger.Entry{
		Type: "schedule.slot_skipped", Actor: by, Subject: scheduleSubject(s.ID), Action: "schedule.run", Outcome: "skipped", Reason: slot.Reason,
		Desk: s.Desk, Simulation: s.Simulation, Details: canonical.Object{
			"slot": slot.At.Format(time.RFC3339), "origin": string(slot.Origin), "version": strconv.FormatInt(s.Version, 10),
			"approval_id": strconv.FormatInt(s.ApprovalID, 10),
		},
	})
	return err
}

func scheduleSubject(id int64) ledger.Subject {
	return ledger.Subject{Kind: "schedule", ID: strconv.FormatInt(id, 10)}
}

// beginSlot finds the export that BeginSlot recorded for a slot, and verifies that
// its grant gives it.
func (x *Exports) beginSlot(ctx context.Context, in ExportRef) (out export.Export, spec export.Spec, err error) {
	err = x.InTx(ctx, func(tx ExportTx) error {
		var found bool
		if out, found, err = tx.ExportOfSlot(ctx, in.ScheduleID, in.Slot); err != nil {
			return err
		}
		if !found || out.WorkflowID != activity.GetInfo(ctx).WorkflowExecution.ID {
			return fault.New(fault.Forbidden, "slot-not-begun", "no export of this slot is on record for this workflow")
		}
		m, err := grantOf(ctx, tx, x.Verifier, out.ApprovalID)
		if fault.CodeOf(err) == "requester-inactive" {
			err = nil // what was begun is brought to its end
		}
		if err != nil {
			return err
		}
		if err := out.AuthorisedBy(m.Request, m.action); err != nil {
			return fault.Wrap(err, fault.Forbidden, "evidence-broken", "%v", err)
		}
		granted, err := export.ScheduleOf(m.action)
		spec = granted.Spec
		spec.Filters = out.Filters
		return err
	})
	return out, spec, err
}
