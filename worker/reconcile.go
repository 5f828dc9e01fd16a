package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"finobs/activities"
	"finobs/internal/approval"
	"finobs/internal/fault"
	"finobs/internal/store"
	"finobs/workflows"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"golang.org/x/sync/errgroup"
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
	// patience is how long a workflow may be seen without a row. It is longer than
	// the pause between two attempts at recording the request.
	patience = 14 * time.Second
	// takenLength is the length of a history of which a worker has taken the first
	// task; before that the workflow only waits for one.
	takenLength = 3
	pageSize    = 1000
	nudgeLimit  = 16 // at once
)

// reconciler makes rows agree with workflows that were terminated, timed out or
// are missing, and workflows with rows that were closed behind their back. What
// it does is on record, and it may run in several workers: one does at a time.
type reconciler struct {
	holder  string // names this worker among the others
	client  client.Client
	store   *store.Writer
	repairs *activities.Repairs
	lives   *lifeKeeper

	rowless map[string]time.Time // runs without a row, and when they were first seen
}

func (r *reconciler) run(ctx context.Context) {
	every(ctx, reconcileInterval, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, reconcileTimeout)
		defer cancel()
		_, err := r.store.AsReconciler(ctx, r.holder, r.pass)
		if err != nil {
			r.rowless = nil // while the database is away nobody can record a request
		}
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
	var nudges []string
	for {
		rows, err := r.store.OpenRequests(ctx, after, pageSize)
		if err != nil {
			return err
		}
		for _, row := range rows {
			after = row.ID
			nudge, err := r.row(ctx, row, now, running, peopleChanged)
			if err != nil && fault.KindOf(err).Retryable() {
				return fmt.Errorf("reconciling approval %d: %w", row.ID, err)
			}
			if err != nil { // one row that was tampered with keeps no other from repair
				slog.ErrorContext(ctx, "a row cannot be repaired; finobs doctor says more", "approval_id", row.ID, "error", err)
				continue
			}
			if nudge {
				nudges = append(nudges, row.WorkflowID)
			}
		}
		if len(rows) < pageSize {
			break
		}
	}
	closed, err := r.workflows(ctx, running, now)
	if err != nil {
		return err
	}
	if err := r.nudgeAll(ctx, append(nudges, closed...)); err != nil {
		return err
	}
	return r.lives.pass(ctx)
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
			Query: "WorkflowType IN ('" + strings.Join(workflows.Gated(), "', '") + "') AND ExecutionStatus = 'Running'",
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

// row repairs one open row, or reports that its workflow is to look at it again.
func (r *reconciler) row(ctx context.Context, row approval.Request, now time.Time, running map[string]execution, peopleChanged bool) (nudge bool, err error) {
	e, runs := running[row.WorkflowID]
	runs = runs && e.approvalID == row.ID
	switch {
	case row.Status == approval.Approved && row.UseBy != nil && now.After(row.UseBy.Add(settleTime)):
		return false, r.close(ctx, row, approval.Expired, "it was not used in time")
	case runs && row.Status == approval.Pending && (peopleChanged || now.After(row.ExpiresAt.Add(settleTime))):
		return true, nil
	case runs || now.Before(row.CreatedAt.Add(settleTime)):
		return false, nil
	case row.Status == approval.Approved && !carriedOut(row.Kind):
		return false, nil // its workflow is nothing but a gate: the approval waits for its use
	}
	return false, r.orphan(ctx, row, now)
}

// carriedOut reports whether finobs carries out actions of a kind itself, in the
// workflow that waited for the approval.
func carriedOut(kind string) bool {
	area, _, _ := strings.Cut(kind, ".")
	return slices.Contains([]string{"export", "user", "policy", "schedule", "agent", "remediation"}, area)
}

// orphan repairs a row whose workflow is not among the running ones. The list is
// eventually consistent, so Temporal is asked for this very workflow.
func (r *reconciler) orphan(ctx context.Context, row approval.Request, now time.Time) error {
	how, err := r.ended(ctx, row)
	if err != nil || how == "" {
		return err
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

// ended says how the workflow of a row ended; "" while it runs.
func (r *reconciler) ended(ctx context.Context, row approval.Request) (string, error) {
	described, err := r.client.DescribeWorkflowExecution(ctx, row.WorkflowID, "")
	var notFound *serviceerror.NotFound
	switch {
	case errors.As(err, &notFound):
		return "is gone", nil
	case err != nil:
		return "", fmt.Errorf("asking for workflow %s: %w", row.WorkflowID, err)
	}
	info := described.GetWorkflowExecutionInfo()
	switch {
	case executionOf(info).approvalID != row.ID:
		return "ended, and another took its place", nil
	case info.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, info.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW:
		return "", nil
	}
	return "ended (" + info.GetStatus().String() + ")", nil
}

func (r *reconciler) close(ctx context.Context, row approval.Request, to approval.Status, reason string) error {
	changed, err := r.repairs.Close(ctx, row, to, reason)
	if changed {
		slog.InfoContext(ctx, "repaired a row", "approval_id", row.ID, "status", to, "reason", reason)
	}
	return err
}

// workflows repairs running workflows without an open row: one that has none is
// terminated, and one whose row was closed is among those returned, which are to
// look at it.
func (r *reconciler) workflows(ctx context.Context, running map[string]execution, now time.Time) (closed []string, err error) {
	ids := make([]int64, 0, len(running))
	for _, e := range running {
		ids = append(ids, e.approvalID)
	}
	statuses, err := r.store.StatusesOf(ctx, ids)
	if err != nil {
		return nil, err
	}
	rowless := map[string]time.Time{}
	for _, e := range running {
		status, recorded := statuses[e.approvalID]
		switch {
		case !recorded:
			since, seen := r.rowless[e.run]
			if !seen {
				since = now
			}
			rowless[e.run] = since
			if now.Sub(since) >= patience {
				err = errors.Join(err, r.terminate(ctx, e))
			}
		case status.Terminal() && status != approval.Consumed && now.After(e.startedAt.Add(settleTime)):
			closed = append(closed, e.id)
		}
	}
	r.rowless = rowless
	return closed, err
}

// terminate ends a workflow that works without a request on record. One that no
// worker has taken yet is left to wait.
func (r *reconciler) terminate(ctx context.Context, e execution) error {
	described, err := r.client.DescribeWorkflowExecution(ctx, e.id, e.run)
	if err == nil && described.GetWorkflowExecutionInfo().GetHistoryLength() < takenLength {
		return nil
	}
	const reason = "no request is on record for it"
	if err == nil {
		err = r.client.TerminateWorkflow(ctx, e.id, e.run, reason)
	}
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

// nudgeAll has workflows look at their rows again.
func (r *reconciler) nudgeAll(ctx context.Context, workflowIDs []string) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(nudgeLimit)
	for _, id := range workflowIDs {
		group.Go(func() error { return r.nudge(ctx, id) })
	}
	return group.Wait()
}

func (r *reconciler) nudge(ctx context.Context, workflowID string) error {
	err := r.client.SignalWorkflow(ctx, workflowID, "", workflows.SignalNudge, nil)
	var notFound *serviceerror.NotFound
	if err == nil || errors.As(err, &notFound) {
		return nil
	}
	return fmt.Errorf("asking workflow %s to look again: %w", workflowID, err)
}
