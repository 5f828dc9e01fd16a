package workflows

import (
	"time"

	"finobs/activities"
	"finobs/internal/export"

	"go.temporal.io/sdk/workflow"
)

// Pauses between two looks at a slot that waits for the one before it.
const (
	firstSlotPause   = 2 * time.Second
	longestSlotPause = 30 * time.Second
)

// scheduledExportWorkflow carries out one slot of a schedule. Whoever starts it,
// the record decides whether there is anything to do.
func scheduledExportWorkflow(ctx workflow.Context, in ScheduledInput) (ScheduledResult, error) {
	firstRun := workflow.GetInfo(ctx).FirstRunID
	p, err := newProduction(ctx, activities.ExportRef{}, nil)
	if err != nil {
		return ScheduledResult{}, err
	}
	apart, _ := workflow.NewDisconnectedContext(ctx)
	begun, err := beginSlot(ctx, apart, activities.SlotInput{FirstRun: firstRun, Command: in.Command, Order: in.Order})
	out := ScheduledResult{Status: begun.Status, Reason: begun.Reason}
	if err != nil || !begun.Run {
		return out, err
	}
	p.ref = begun.Ref
	done, runErr := p.run(apart)
	out.ExportID, out.ContentSHA256, out.ManifestSHA256, out.Rows = done.ExportID, done.ContentSHA256, done.ManifestSHA256, done.Rows
	end := activities.SlotEnd{Ref: begun.Ref}
	if runErr != nil {
		end.Failure = runErr.Error()
	}
	if err := workflow.ExecuteLocalActivity(withRecord(apart), ActivityEndSlot, end).Get(apart, &out.Status); err != nil {
		return out, err
	}
	return out, runErr
}

// beginSlot asks until it is the slot's turn, or until it is clear that the slot
// has none.
func beginSlot(ctx, apart workflow.Context, in activities.SlotInput) (activities.SlotBegun, error) {
	for pause := firstSlotPause; ; pause = min(2*pause, longestSlotPause) {
		var begun activities.SlotBegun
		if err := workflow.ExecuteLocalActivity(withRecord(apart), ActivityBeginSlot, in).Get(apart, &begun); err != nil {
			return begun, err
		}
		if !begun.Wait {
			return begun, nil
		}
		workflow.SetCurrentDetails(ctx, "The slot waits for the one before it to end.")
		if err := workflow.Sleep(ctx, pause); err != nil {
			return begun, err // cancelled; the record is told by whoever looks after open slots
		}
	}
}

// scheduleActWorkflow pauses, resumes or ends a schedule.
func scheduleActWorkflow(ctx workflow.Context, in ScheduleActInput) (ScheduleActResult, error) {
	var state export.ScheduleState
	input := activities.ScheduleActInput{FirstRun: workflow.GetInfo(ctx).FirstRunID, Command: in.Command, Act: in.Act}
	err := workflow.ExecuteLocalActivity(withRecord(ctx), ActivityActOnSchedule, input).Get(ctx, &state)
	return ScheduleActResult{State: state}, err
}
