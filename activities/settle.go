package activities

import (
	"context"
	"time"

	"finobs/internal/export"
	"finobs/internal/ledger"
)

// Settling makes the record agree with slots that never began, or whose workflow
// ended otherwise than by its own code. It is not an activity: no workflow is left
// to run it.
type Settling struct {
	InTx      Transaction[SlotTx]
	Namespace string
}

func (x *Settling) writingFor(ctx context.Context, workflowID, firstRun string) context.Context {
	return context.WithValue(ctx, repairKey{}, ledger.Workflow{Namespace: x.Namespace, ID: workflowID, FirstRun: firstRun})
}

// settleBatch bounds how many slots of one schedule are settled in one pass.
const settleBatch = 200

// settleTime is left to a slot that was fired at the last moment to begin.
const settleTime = 20 * time.Second

// Pending lists the slots of a schedule that can no longer be fired and have
// nothing on record, and up to when all are known then.
func (x *Settling) Pending(ctx context.Context, id int64) (slots []time.Time, until time.Time, err error) {
	err = x.InTx(ctx, func(tx SlotTx) error {
		s, err := tx.LockSchedule(ctx, id)
		if err != nil || s.State == export.ScheduleDeleted {
			return err
		}
		until = tx.Now().Add(-s.CatchUp - settleTime)
		if !until.After(s.SettledUntil) {
			return nil
		}
		slots, err = unrecorded(ctx, tx, s, s.SettledUntil, until, settleBatch)
		if err == nil && len(slots) == settleBatch {
			until = slots[len(slots)-1]
		}
		return err
	})
	return slots, until, err
}

// Skip records slots that were not fired, each with its reason, and that all up to
// a moment are on record now. ended are the slots whose workflow ended before it
// began them; it says how.
func (x *Settling) Skip(ctx context.Context, id int64, slots []time.Time, ended map[time.Time]string, until time.Time) error {
	return x.InTx(ctx, func(tx SlotTx) error {
		s, err := tx.LockSchedule(ctx, id)
		if err != nil || s.State == export.ScheduleDeleted || until.Before(s.SettledUntil) {
			return err // somebody else was here
		}
		for _, at := range slots {
			_, found, err := tx.Slot(ctx, id, at)
			if err != nil {
				return err
			}
			if found || !s.Grants(at) {
				continue // it began in this very moment, or the schedule was changed
			}
			why, err := whyNotFired(ctx, tx, s, at, ended[at])
			if err != nil {
				return err
			}
			slot := unfired(s, at, why)
			ctx := x.writingFor(ctx, slot.WorkflowID, "")
			if err := skipSlot(ctx, tx, stepOf(ctx, "", "slot-skipped", at.Format(time.RFC3339)), s, slot, ledger.Itself("reconciler")); err != nil {
				return err
			}
		}
		return tx.SettleSchedule(ctx, id, until)
	})
}

func whyNotFired(ctx context.Context, tx SlotTx, s export.Schedule, at time.Time, ended string) (string, error) {
	if s.PausedAt != nil && !at.Before(*s.PausedAt) {
		return pausedReason, nil
	}
	if ended != "" {
		return "its workflow " + ended + " before the slot began", nil
	}
	if s.Overlap != export.OverlapAllow {
		ran, err := tx.RanAt(ctx, s.ID, at)
		if ran || err != nil {
			return "another slot still ran (overlap " + string(s.Overlap) + ")", err
		}
	}
	return "it was not fired within catch_up of " + s.CatchUp.String(), nil
}

// End ends a slot that waits or runs on record while its workflow does not.
func (x *Settling) End(ctx context.Context, seen export.Slot, how string) (changed bool, err error) {
	ctx = x.writingFor(ctx, seen.WorkflowID, seen.FirstRunID)
	err = x.InTx(ctx, func(tx SlotTx) error {
		s, err := tx.LockSchedule(ctx, seen.ScheduleID)
		if err != nil {
			return err
		}
		slot, found, err := tx.Slot(ctx, s.ID, seen.At)
		if err != nil || !found || slot.Status != seen.Status || slot.FirstRunID != seen.FirstRunID {
			return err
		}
		changed = true
		if slot.Status == export.SlotRunning {
			_, err = endSlot(ctx, tx, seen.FirstRunID, s, slot, "its workflow "+how, ledger.Itself("reconciler"))
			return err
		}
		slot.Status, slot.Reason = export.SlotSkipped, "its workflow "+how+" while the slot waited"
		return skipSlot(ctx, tx, stepOf(ctx, seen.FirstRunID, "slot-skipped", slot.At.Format(time.RFC3339)), s, slot, ledger.Itself("reconciler"))
	})
	return changed && err == nil, err
}
