package workflows

import (
	"fmt"

	"finobs/activities"
	"finobs/internal/incident"

	"go.temporal.io/sdk/workflow"
)

// incidentLifeWorkflow is the life of one incident, from opening until it is
// closed or merged. It decides nothing: it asks the record what is due, waits, and
// asks again. A nudge says that the record has changed.
func incidentLifeWorkflow(ctx workflow.Context, in LifeInput) (LifeResult, error) {
	out := LifeResult{IncidentID: in.IncidentID}
	ref := activities.LifeRef{FirstRun: workflow.GetInfo(ctx).FirstRunID, IncidentID: in.IncidentID}
	nudges := workflow.GetSignalChannel(ctx, SignalNudge)
	for {
		drainAll(nudges) // whatever they tell of is on record
		var now activities.LifeStatus
		if err := workflow.ExecuteLocalActivity(withRecord(ctx), ActivityAdvanceIncident, ref).Get(ctx, &now); err != nil {
			return out, err
		}
		if err := showLife(ctx, out.Status, now); err != nil {
			return out, err
		}
		out.Status = now.Status
		if now.Status == incident.Closed {
			return out, nil
		}
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() && nudges.Len() == 0 {
			return out, workflow.NewContinueAsNewError(ctx, IncidentLife, in)
		}
		if err := awaitNudge(ctx, nudges, now); err != nil {
			return out, err
		}
	}
}

// awaitNudge blocks until somebody nudges or something is due.
func awaitNudge(ctx workflow.Context, nudges workflow.ReceiveChannel, now activities.LifeStatus) error {
	timerCtx, stopTimer := workflow.WithCancel(ctx)
	defer stopTimer()
	s := workflow.NewSelector(ctx)
	s.AddReceive(nudges, func(workflow.ReceiveChannel, bool) {})
	s.AddReceive(ctx.Done(), func(workflow.ReceiveChannel, bool) {})
	if now.WakeIn > 0 {
		s.AddFuture(workflow.NewTimer(timerCtx, now.WakeIn), func(workflow.Future) {})
	}
	s.Select(ctx)
	return ctx.Err() // cancelled by an operator; the reconciler starts another
}

// showLife makes an incident visible in the Temporal Web UI.
func showLife(ctx workflow.Context, was incident.Status, now activities.LifeStatus) error {
	workflow.SetCurrentDetails(ctx, now.Words)
	if now.Status == was {
		return nil
	}
	err := workflow.UpsertTypedSearchAttributes(ctx,
		SearchStatus.ValueSet(string(now.Status)), SearchKind.ValueSet("incident."+string(now.Kind)), SearchDesk.ValueSet(now.Desk))
	if err != nil {
		return fmt.Errorf("showing status: %w", err)
	}
	return nil
}

// incidentActWorkflow does one act on an incident or a window of maintenance. The
// record nudges the lives that it concerns.
func incidentActWorkflow(ctx workflow.Context, in IncidentActInput) (IncidentActResult, error) {
	var done activities.IncidentActDone
	input := activities.IncidentActInput{FirstRun: workflow.GetInfo(ctx).FirstRunID, Command: in.Command, Act: in.Act}
	err := workflow.ExecuteLocalActivity(withRecord(ctx), ActivityRecordIncidentAct, input).Get(ctx, &done)
	return IncidentActResult{Status: done.Status, Version: done.Version, WindowID: done.WindowID}, err
}
