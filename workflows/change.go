package workflows

import (
	"finobs/activities"
	"finobs/internal/approval"

	"go.temporal.io/sdk/workflow"
)

// changeWorkflow waits for approval and changes the roster or the policies. The
// change is a short database write, so it is a local activity: nobody can
// complete it by hand.
func changeWorkflow(ctx workflow.Context, in GateInput) (ChangeResult, error) {
	g, err := openGate(ctx, in)
	if err != nil {
		return ChangeResult{}, err
	}
	if err := g.wait(ctx); err != nil {
		return ChangeResult{}, err
	}
	apart, _ := workflow.NewDisconnectedContext(ctx)
	var out ChangeResult
	if g.state.Status == approval.Approved || g.state.Status == approval.Consumed {
		var done activities.ChangeDone
		if err := workflow.ExecuteLocalActivity(withRecord(apart), ActivityApplyChange, g.ref).Get(apart, &done); err != nil {
			return out, err
		}
		out.Applied, g.state.Status = done.Applied, approval.Consumed
		if err := g.show(apart); err != nil {
			return out, err
		}
	}
	if err := g.drain(apart); err != nil {
		return out, err
	}
	out.GateResult, err = g.result(ctx)
	return out, err
}
