package workflows

import "go.temporal.io/sdk/workflow"

// approvalWorkflow is nothing but a gate: it ends when people have decided.
func approvalWorkflow(ctx workflow.Context, in GateInput) (GateResult, error) {
	g, err := openGate(ctx, in)
	if err != nil {
		return GateResult{}, err
	}
	// The status of its search attributes stays pending: it would be an event and a
	// write to the visibility store for a workflow that ends in the same breath.
	if _, err := g.block(ctx); err != nil {
		return GateResult{}, err
	}
	apart, _ := workflow.NewDisconnectedContext(ctx)
	if err := g.drain(apart); err != nil {
		return GateResult{}, err
	}
	return g.result(ctx)
}
