package workflows

import (
	"finobs/activities"

	"go.temporal.io/sdk/workflow"
)

// actWorkflow does one act on a request and has the workflow that waits for the
// request look at the record again.
func actWorkflow(ctx workflow.Context, in ActInput) (ActResult, error) {
	var done activities.ActDone
	input := activities.ActInput{FirstRun: workflow.GetInfo(ctx).FirstRunID, Command: in.Command, Act: in.Act}
	if err := workflow.ExecuteLocalActivity(withRecord(ctx), ActivityRecordAct, input).Get(ctx, &done); err != nil {
		return ActResult{}, err
	}
	nudge(ctx, done.Nudge)
	return ActResult{Status: done.Status, DelegationID: done.DelegationID}, nil
}
