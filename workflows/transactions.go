package workflows

import (
	"finobs/activities"

	"go.temporal.io/sdk/workflow"
)

// importFIXWorkflow loads one FIX log.
func importFIXWorkflow(ctx workflow.Context, in ImportInput) (ImportResult, error) {
	return importAs(ctx, ActivityImportFIX, in)
}

// importTransactionsWorkflow loads one file of transactions.
func importTransactionsWorkflow(ctx workflow.Context, in ImportInput) (ImportResult, error) {
	return importAs(ctx, ActivityImportTransactions, in)
}

func importAs(ctx workflow.Context, activity string, in ImportInput) (ImportResult, error) {
	var out ImportResult
	load := activities.ImportInput{FirstRun: workflow.GetInfo(ctx).FirstRunID, Command: in.Command, File: in.File}
	err := workflow.ExecuteActivity(withEffect(ctx), activity, load).Get(ctx, &out.Report)
	return out, err
}
