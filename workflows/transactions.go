package workflows

import (
	"finobs/activities"

	"go.temporal.io/sdk/workflow"
)

// importTransactionsWorkflow loads one file of transactions.
func importTransactionsWorkflow(ctx workflow.Context, in ImportInput) (ImportResult, error) {
	var out ImportResult
	load := activities.ImportInput{FirstRun: workflow.GetInfo(ctx).FirstRunID, Command: in.Command, File: in.File}
	err := workflow.ExecuteActivity(withEffect(ctx), ActivityImportTransactions, load).Get(ctx, &out.Report)
	return out, err
}
