package workflows

import (
	"finobs/activities"
	"finobs/internal/approval"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// notifyWorkflow sends one notice. What cannot be sent for hours becomes a dead
// letter, which a person may send again.
func notifyWorkflow(ctx workflow.Context, in NotifyInput) (approval.NoticeStatus, error) {
	ref := activities.NoticeRef{FirstRun: workflow.GetInfo(ctx).FirstRunID, NotificationID: in.NotificationID}
	var status approval.NoticeStatus
	err := workflow.ExecuteActivity(withDelivery(ctx), ActivitySendNotice, ref).Get(ctx, &status)
	if err == nil || temporal.IsCanceledError(err) {
		return status, err
	}
	apart, _ := workflow.NewDisconnectedContext(ctx)
	err = workflow.ExecuteLocalActivity(withRecord(apart), ActivityBuryNotice, ref).Get(apart, &status)
	return status, err
}
