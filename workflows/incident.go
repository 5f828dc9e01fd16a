package workflows

import (
	"finobs/activities"

	"go.temporal.io/sdk/workflow"
)

// openIncidentWorkflow opens one incident.
func openIncidentWorkflow(ctx workflow.Context, in IncidentInput) (IncidentResult, error) {
	var out activities.IncidentOpened
	input := activities.IncidentInput{FirstRun: workflow.GetInfo(ctx).FirstRunID, Command: in.Command, Fields: in.Fields}
	if err := workflow.ExecuteLocalActivity(withRecord(ctx), ActivityRecordIncident, input).Get(ctx, &out); err != nil {
		return IncidentResult{}, err
	}
	return IncidentResult{IncidentID: out.IncidentID, Opened: out.Opened}, nil
}
