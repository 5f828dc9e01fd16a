package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"finobs/activities"
	"finobs/internal/incident"
	"finobs/internal/store"
	"finobs/workflows"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"
)

// lives has the lives of incidents look at what has changed on record, and starts
// one for each incident that has none. The id of the workflow is the incident's,
// so that several workers start one.
type lives struct {
	client client.Client
	store  *store.Writer
}

func (l lives) run(ctx context.Context) { every(ctx, outboxInterval, l.pass) }

func (l lives) pass(ctx context.Context) error {
	for {
		nudged, err := l.store.TakeNudged(ctx, outboxBatch)
		if err != nil {
			return err
		}
		group, within := errgroup.WithContext(ctx)
		group.SetLimit(nudgeLimit)
		for _, i := range nudged {
			group.Go(func() error { return l.nudge(within, i) })
		}
		if err := group.Wait(); err != nil || len(nudged) < outboxBatch {
			return err
		}
	}
}

func (l lives) nudge(ctx context.Context, i incident.Incident) error {
	id := workflows.LifeWorkflowID(i.ID)
	if i.Status == incident.Closed { // whatever runs may end; nothing needs to begin
		err := l.client.SignalWorkflow(ctx, id, "", workflows.SignalNudge, nil)
		var notFound *serviceerror.NotFound
		if errors.As(err, &notFound) {
			return l.store.ForgetNudge(ctx, i.ID)
		}
		if err != nil {
			return fmt.Errorf("nudging the life of incident %d: %w", i.ID, err)
		}
		return nil
	}
	_, err := l.client.SignalWithStartWorkflow(ctx, id, workflows.SignalNudge, nil, client.StartWorkflowOptions{
		ID: id, TaskQueue: workflows.TaskQueue, WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		StaticSummary: fmt.Sprintf("incident %d: %s, %s", i.ID, i.Kind, i.Severity),
	}, workflows.IncidentLife, workflows.LifeInput{IncidentID: i.ID})
	if err != nil {
		return fmt.Errorf("starting the life of incident %d: %w", i.ID, err)
	}
	return nil
}

// lifeEvery is how many passes of the reconciler lie between two looks for lives
// that ended: 12 s, well within the half minute in which a row is repaired.
const lifeEvery = 4

// lifeKeeper starts another life for each incident whose workflow ended otherwise
// than by its own code.
type lifeKeeper struct {
	client    client.Client
	store     *store.Writer
	lives     *activities.Lives
	namespace string
	passes    int
}

func (k *lifeKeeper) pass(ctx context.Context) error {
	if k.passes++; k.passes%lifeEvery != 1 {
		return nil
	}
	running, err := k.running(ctx)
	if err != nil {
		return err
	}
	var after int64
	for {
		rows, err := k.store.Lives(ctx, after, pageSize)
		if err != nil {
			return err
		}
		for _, row := range rows {
			after = row.IncidentID
			if running[workflows.LifeWorkflowID(row.IncidentID)] {
				continue
			}
			if err := k.repair(ctx, row); err != nil {
				return err
			}
		}
		if len(rows) < pageSize {
			return nil
		}
	}
}

// running lists the ids of the lives that run.
func (k *lifeKeeper) running(ctx context.Context) (map[string]bool, error) {
	out := map[string]bool{}
	var token []byte
	for {
		page, err := k.client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			PageSize: pageSize, NextPageToken: token,
			Query: fmt.Sprintf("WorkflowType = '%s' AND ExecutionStatus = 'Running'", workflows.IncidentLife),
		})
		if err != nil {
			return nil, fmt.Errorf("listing the lives that run: %w", err)
		}
		for _, info := range page.GetExecutions() {
			out[info.GetExecution().GetWorkflowId()] = true
		}
		if token = page.GetNextPageToken(); len(token) == 0 {
			return out, nil
		}
	}
}

// repair starts another life. The list is eventually consistent, so Temporal is
// asked for this very workflow.
func (k *lifeKeeper) repair(ctx context.Context, row store.Life) error {
	id := workflows.LifeWorkflowID(row.IncidentID)
	described, err := k.client.DescribeWorkflowExecution(ctx, id, "")
	how := "is gone"
	var notFound *serviceerror.NotFound
	run := row.RunID
	switch {
	case errors.As(err, &notFound):
	case err != nil:
		return fmt.Errorf("asking for workflow %s: %w", id, err)
	default:
		info := described.GetWorkflowExecutionInfo()
		status := info.GetStatus()
		if status == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING || status == enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW {
			return nil
		}
		how, run = "ended ("+status.String()+")", info.GetExecution().GetRunId()
	}
	changed, err := k.lives.RestartLife(ctx, k.namespace, id, row.IncidentID, run, how)
	if changed {
		slog.InfoContext(ctx, "restarted the life of an incident", "incident_id", row.IncidentID, "reason", how)
	}
	return err
}
