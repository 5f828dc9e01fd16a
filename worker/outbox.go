package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"finobs/internal/store"
	"finobs/workflows"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
)

const (
	outboxInterval = 500 * time.Millisecond
	outboxBatch    = 200
	longestRetry   = 90 * time.Minute // longer than an attempt and the pause after it
)

// outbox starts a workflow for each queued notice. The id of the workflow is the
// notice's, so that several workers start one.
type outbox struct {
	client client.Client
	store  *store.Writer
}

func (o outbox) run(ctx context.Context) { every(ctx, outboxInterval, o.pass) }

func (o outbox) pass(ctx context.Context) error {
	queued, err := o.store.QueuedNotices(ctx, longestRetry, outboxBatch)
	if err != nil {
		return err
	}
	for _, n := range queued {
		_, err := o.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
			ID: workflows.NotifyWorkflowID(n.ID, n.Round), TaskQueue: workflows.TaskQueue,
			WorkflowIDReusePolicy:                    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
			WorkflowExecutionErrorWhenAlreadyStarted: true,
		}, workflows.Notify, workflows.NotifyInput{NotificationID: n.ID})
		var started *serviceerror.WorkflowExecutionAlreadyStarted
		if err != nil && !errors.As(err, &started) {
			return fmt.Errorf("starting the workflow of notification %s: %w", n.ID, err)
		}
	}
	return nil
}
