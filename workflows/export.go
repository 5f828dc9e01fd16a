package workflows

import (
	"finobs/activities"
	"finobs/internal/approval"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// exportAttempts bounds how often an export is carried out again when its
// activity was completed with a result that the record contradicts.
const exportAttempts = 3

// exportWorkflow waits for approval, carries out the export and ends.
func exportWorkflow(ctx workflow.Context, in GateInput) (ExportResult, error) {
	g, err := openGate(ctx, in)
	if err != nil {
		return ExportResult{}, err
	}
	if err := g.wait(ctx); err != nil {
		return ExportResult{}, err
	}
	// From here on nothing is cancelled half-way: an approved export is carried
	// out and recorded.
	apart, _ := workflow.NewDisconnectedContext(ctx)
	var out ExportResult
	if g.state.Status == approval.Approved || g.state.Status == approval.Consumed {
		done, err := carryOut(apart, g)
		if err != nil {
			return out, err
		}
		out.ExportID, out.ContentSHA256 = done.ExportID, done.ContentSHA256
	}
	if err := g.drain(apart); err != nil {
		return out, err
	}
	out.GateResult, err = g.result(ctx)
	return out, err
}

// carryOut runs the export and asks the record whether it really happened.
// Decisions that come in meanwhile are recorded, and change nothing.
func carryOut(ctx workflow.Context, g *gate) (activities.ExportDone, error) {
	var failure error
	for attempt := 1; attempt <= exportAttempts; attempt++ {
		f := workflow.ExecuteActivity(withEffect(ctx), ActivityGenerateExport, g.ref)
		if err := g.recordUntil(ctx, f); err != nil {
			return activities.ExportDone{}, err
		}
		var claimed, recorded activities.ExportDone
		failure = f.Get(ctx, &claimed)
		confirm := activities.ConfirmInput{GateRef: g.ref, Claimed: claimed, Failed: failure != nil, Attempt: attempt}
		if err := workflow.ExecuteLocalActivity(withRecord(ctx), ActivityConfirmExport, confirm).Get(ctx, &recorded); err != nil {
			return recorded, err
		}
		if recorded.Sealed {
			g.state.Status = approval.Consumed
			return recorded, g.show(ctx)
		}
	}
	if failure == nil {
		failure = temporal.NewNonRetryableApplicationError("the export was reported done, but the record has none", "export-contradicted", nil)
	}
	if err := g.drain(ctx); err != nil {
		return activities.ExportDone{}, err
	}
	return activities.ExportDone{}, failure
}
