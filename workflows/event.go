package workflows

import (
	"finobs/activities"
	"finobs/internal/detect"

	"go.temporal.io/sdk/workflow"
)

// recordSegmentWorkflow records what sources sent.
func recordSegmentWorkflow(ctx workflow.Context, in SegmentInput) (SegmentResult, error) {
	var out SegmentResult
	input := activities.SegmentInput{FirstRun: workflow.GetInfo(ctx).FirstRunID, Command: in.Command, SHA256: in.SHA256, Events: in.Events}
	err := workflow.ExecuteLocalActivity(withSegment(ctx), ActivityRecordSegment, input).Get(ctx, &out.Deliveries)
	return out, err
}

// detectWorkflow runs a detector.
func detectWorkflow(ctx workflow.Context, in DetectInput) (DetectResult, error) {
	var run detect.Run
	input := activities.DetectorInput{FirstRun: workflow.GetInfo(ctx).FirstRunID, Detector: in.Detector, Command: in.Command}
	err := workflow.ExecuteActivity(withEffect(ctx), ActivityDetect, input).Get(ctx, &run)
	return DetectResult{RunID: run.ID, Examined: run.Examined, Found: run.Found, Opened: run.Opened, Resolved: run.Resolved}, err
}
