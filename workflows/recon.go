package workflows

import (
	"finobs/activities"
	"finobs/internal/recon"

	"go.temporal.io/sdk/workflow"
)

// reconcileWorkflow compares two sides for somebody who asked.
func reconcileWorkflow(ctx workflow.Context, in ReconInput) (ReconResult, error) {
	input := activities.ReconInput{FirstRun: workflow.GetInfo(ctx).FirstRunID, Command: in.Command, Request: in.Request}
	return compare(ctx, ActivityReconcile, input)
}

// scheduledReconcileWorkflow compares two books on record. Whoever starts it, the
// worker's own configuration says what is compared.
func scheduledReconcileWorkflow(ctx workflow.Context, in ScheduledReconInput) (ReconResult, error) {
	input := activities.ScheduledReconInput{FirstRun: workflow.GetInfo(ctx).FirstRunID, Profile: in.Profile}
	return compare(ctx, ActivityReconcileScheduled, input)
}

// compare runs the activity, and meanwhile takes reports of progress.
func compare(ctx workflow.Context, name string, input any) (ReconResult, error) {
	progress := recon.Progress{Phase: recon.Waiting}
	if err := workflow.SetQueryHandler(ctx, QueryReconProgress, func() (recon.Progress, error) { return progress, nil }); err != nil {
		return ReconResult{}, err
	}
	reports := workflow.GetSignalChannel(ctx, SignalReconProgress)
	f := workflow.ExecuteActivity(withEffect(ctx), name, input)
	for !f.IsReady() {
		s := workflow.NewSelector(ctx)
		s.AddFuture(f, func(workflow.Future) {})
		s.AddReceive(reports, func(c workflow.ReceiveChannel, _ bool) {
			var now recon.Progress
			if c.ReceiveAsync(&now) {
				progress = now
			}
		})
		s.Select(ctx)
	}
	var done activities.ReconDone
	if err := f.Get(ctx, &done); err != nil {
		progress.Phase = recon.RunFailed
		return ReconResult{}, err
	}
	progress.Phase = recon.Done
	return ReconResult{RunKey: done.RunKey, Breaks: done.Breaks}, nil
}
