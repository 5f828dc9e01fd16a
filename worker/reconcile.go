package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"finobs/activities"
	"finobs/internal/approval"
	"finobs/internal/store"
	"finobs/workflows"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
)

const (
	// reconcileInterval is short enough that a roster change reaches open requests
	// within 5 s, and a terminated workflow its row within 30 s.
	reconcileInterval = 3 * time.Second
	// reconcileTimeout bounds a pass, so that a slow one gives others their turn.
	reconcileTimeout = 50 * time.Second
	// settleTime is left to workflows and rows to catch up with each other by
	// themselves.
	settleTime = 8 * time.Second
	pageSize   = 1000
)

// reconciler makes rows agree with workflows that were terminated, timed out or
// are missing, and workflows with rows that were closed behind their back. What
// it does is on record, and it may run in several workers: one does at a time.
type reconciler struct {
	client  client.Client
	store   *store.Writer
	repairs *activities.Repairs
}

func (r *reconciler) run(ctx context.Context) {
	every(ctx, reconcileInterval, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, reconcileTimeout)
		defer cancel()
		_, err := r.store.AsReconciler(ctx, r.pass)
		return err
	})
}

// every does something at an interval until ctx ends. What fails is tried again.
func every(ctx context.Context, interval time.Duration, do func(context.Context) error) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if err := do(ctx); err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "background work failed and will be tried again", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// pass compares all open rows with all running workflows once.
func (r *reconciler) pass(ctx context.Context, peopleChanged bool) error {
	running, err := r.running(ctx)
	if err != nil {
		return err
	}
	now, err := r.store.Now(ctx)
	if err != nil {
		return err
	}
	var after int64
	for {
		rows, err := r.store.OpenRequests(ctx, after, pageSize)
		if err != nil {
			return err
		}
		for _, row := range rows {
			after = row.ID
			if err := r.row(ctx, row, now, running, peopleChanged); err != nil {
				return fmt.Errorf("reconciling approval %d: %w", row.ID, err)
			}
		}
		if len(rows) < pageSize {
			break
		}
	}
	return r.workflows(ctx, running, now)
}

// execution is a running gated workflow.
type execution struct {
	id, run, typ string
	approvalID   int64
	startedAt    time.Time
}

// running lists the gated workflows that run, by workflow id.
func (r *reconciler) running(ctx context.Context) (map[string]execution, error) {
	out := map[string]execution{}
	var token []byte
	for {
		page, err := r.client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			PageSize: pageSize, NextPageToken: token,
			Query: fmt.Sprintf("WorkflowType IN ('%s', '%s', '%s') AND ExecutionStatus = 'Running'", workflows.Approval, workflows.Export, workflows.Change),
		})
		if err != nil {
			return nil, fmt.Errorf("listing running workflows: %w", err)
		}
		for _, info := range page.GetExecutions() {
			e := executionOf(info)
			out[e.id] = e
		}
		if token = page.GetNextPageToken(); len(token) == 0 {
			return out, nil
		}
	}
}

func executionOf(info *workflowpb.WorkflowExecutionInfo) execution {
	e := execution{
		id: info.GetExecution().GetWorkflowId(), run: info.GetExecution().GetRunId(), typ: info.GetType().GetName(),
		startedAt: info.GetStartTime().AsTime(),
	}
	if memo := info.GetMemo().GetFields()[workflows.MemoApprovalID]; memo != nil {
		if err := converter.GetDefaultDataConverter().FromPayload(memo, &e.approvalID); err != nil {
			e.approvalID = 0 // started by somebody else
		}
	}
	return e
}

// row repairs one open row.
func (r *reconciler) row(ctx context.Context, row approval.Request, now time.Time, running map[string]execution, peopleChanged bool) error {
	e, runs := running[row.WorkflowID]
	runs = runs && e.approvalID == row.ID
	switch {
	case row.Status == approval.Approved && row.UseBy != nil && now.After(row.UseBy.Add(settleTime)):
		return r.close(ctx, row, approval.Expired, "it was not used in time")
	case runs && row.Status == approval.Pending && (peopleChanged || now.After(row.ExpiresAt.Add(settleTime))):
		return r.nudge(ctx, row.WorkflowID)
	case runs || now.Before(row.CreatedAt.Add(settleTime)):
		return nil
	}
	return r.orphan(ctx, row, now)
}

// orphan repairs a row whose workflow is not among the running ones. The list is
// eventually consistent, so Temporal is asked for this very workflow.
func (r *reconciler) orphan(ctx context.Context, row approval.Request, now time.Time) error {
	how, typ, err := r.ended(ctx, row)
	if err != nil || how == "" {
		return err
	}
	if row.Status == approval.Approved && typ == workflows.Approval {
		return nil // it is nothing but a gate: the approval waits for its use
	}
	if row.ClosedAt != nil && now.Before(row.ClosedAt.Add(settleTime)) {
		return nil
	}
	reason := "its workflow " + how
	if row.Status == approval.Consumed {
		_, err := r.repairs.Fail(ctx, row, reason)
		return err
	}
	to := approval.Cancelled
	if row.Status == approval.Pending && !now.Before(row.ExpiresAt) {
		to = approval.Expired
	}
	return r.close(ctx, row, to, reason)
}

// ended says how the workflow of a row ended, and of which type it was; "" while
// it runs.
func (r *reconciler) ended(ctx context.Context, row approval.Request) (how, typ string, err error) {
	described, err := r.client.DescribeWorkflowExecution(ctx, row.WorkflowID, "")
	var notFound *serviceerror.NotFound
	switch {
	case errors.As(err, &notFound):
		return "is gone", "", nil
	case err != nil:
		return "", "", fmt.Errorf("asking for workflow %s: %w", row.WorkflowID, err)
	}
	info := described.GetWorkflowExecutionInfo()
	e := executionOf(info)
	switch {
	case e.approvalID != row.ID:
		return "ended, and another took its place", e.typ, nil
	case info.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, info.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW:
		return "", e.typ, nil
	}
	return "ended (" + info.GetStatus().String() + ")", e.typ, nil
}

func (r *reconciler) close(ctx context.Context, row approval.Request, to approval.Status, reason string) error {
	changed, err := r.repairs.Close(ctx, row, to, reason)
	if changed {
		slog.InfoContext(ctx, "repaired a row", "approval_id", row.ID, "status", to, "reason", reason)
	}
	return err
}

// workflows repairs running workflows without an open row: one whose row was
// closed is asked to look, one that has none is terminated.
func (r *reconciler) workflows(ctx context.Context, running map[string]execution, now time.Time) error {
	byApproval := map[int64]execution{}
	ids := make([]int64, 0, len(running))
	for _, e := range running {
		if now.Before(e.startedAt.Add(settleTime)) {
			continue
		}
		byApproval[e.approvalID] = e
		ids = append(ids, e.approvalID)
	}
	statuses, err := r.store.StatusesOf(ctx, ids)
	if err != nil {
		return err
	}
	for id, e := range byApproval {
		status, recorded := statuses[id]
		switch {
		case !recorded:
			err = r.terminate(ctx, e)
		case status.Terminal() && status != approval.Consumed:
			err = r.nudge(ctx, e.id)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *reconciler) terminate(ctx context.Context, e execution) error {
	const reason = "no request is on record for it"
	err := r.client.TerminateWorkflow(ctx, e.id, e.run, reason)
	var notFound *serviceerror.NotFound
	if errors.As(err, &notFound) {
		return nil // it ended by itself
	}
	if err != nil {
		return fmt.Errorf("terminating workflow %s: %w", e.id, err)
	}
	slog.InfoContext(ctx, "terminated a workflow without a request", "workflow_id", e.id)
	return r.repairs.NoteTerminated(ctx, e.id, e.typ, reason)
}

func (r *reconciler) nudge(ctx context.Context, workflowID string) error {
	err := r.client.SignalWorkflow(ctx, workflowID, "", workflows.SignalNudge, nil)
	var notFound *serviceerror.NotFound
	if err == nil || errors.As(err, &notFound) {
		return nil
	}
	return fmt.Errorf("asking workflow %s to look again: %w", workflowID, err)
}
