package workflows

import (
	"finobs/activities"

	"go.temporal.io/sdk/workflow"
)

// importFailsWorkflow loads one fails-to-deliver file, then looks for securities
// that have failed for too long.
func importFailsWorkflow(ctx workflow.Context, in ImportInput) (ImportResult, error) {
	var out ImportResult
	firstRun := workflow.GetInfo(ctx).FirstRunID
	ctx = withEffect(ctx)
	load := activities.ImportInput{FirstRun: firstRun, Command: in.Command, File: in.File}
	if err := workflow.ExecuteActivity(ctx, ActivityImportFails, load).Get(ctx, &out.Report); err != nil {
		return out, err
	}
	var found activities.Detected
	detect := activities.DetectInput{FirstRun: firstRun, Origin: in.File.Origin}
	if err := workflow.ExecuteActivity(ctx, ActivityDetectFails, detect).Get(ctx, &found); err != nil {
		return out, err
	}
	out.Detected = Detected(found)
	return out, nil
}
