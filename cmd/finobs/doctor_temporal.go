package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"finobs/internal/doctor"
	"finobs/workflows"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
)

// gatedWorkflows tells the doctor of the workflows that wait at gates.
type gatedWorkflows struct {
	client    client.Client
	namespace string
}

// executionsPage is how many executions are asked for at a time.
const executionsPage = 100

var gatedTypes = fmt.Sprintf("WorkflowType IN ('%s', '%s', '%s')", workflows.Approval, workflows.Export, workflows.Change)

// list reads executions page by page until the query is exhausted or page reports
// false.
func (g gatedWorkflows) list(ctx context.Context, query string, page func([]doctor.Execution) (bool, error)) error {
	var token []byte
	for {
		res, err := g.client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Namespace: g.namespace, PageSize: executionsPage, NextPageToken: token, Query: gatedTypes + " AND " + query,
		})
		if err != nil {
			return fmt.Errorf("listing workflows: %w", err)
		}
		list := make([]doctor.Execution, 0, len(res.GetExecutions()))
		for _, info := range res.GetExecutions() {
			list = append(list, gatedExecution(info))
		}
		more, err := page(list)
		if token = res.GetNextPageToken(); err != nil || !more || len(token) == 0 {
			return err
		}
	}
}

func gatedExecution(info *workflowpb.WorkflowExecutionInfo) doctor.Execution {
	e := doctor.Execution{
		WorkflowID: info.GetExecution().GetWorkflowId(), RunID: info.GetExecution().GetRunId(), Type: info.GetType().GetName(),
		Running:   info.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING,
		StartedAt: info.GetStartTime().AsTime(), ClosedAt: info.GetCloseTime().AsTime(),
	}
	if memo := info.GetMemo().GetFields()[workflows.MemoApprovalID]; memo != nil {
		if err := converter.GetDefaultDataConverter().FromPayload(memo, &e.ApprovalID); err != nil {
			e.ApprovalID = 0 // started by somebody else
		}
	}
	return e
}

// Running lists those that run and were started before a time.
func (g gatedWorkflows) Running(ctx context.Context, startedBefore time.Time, page func([]doctor.Execution) error) error {
	query := fmt.Sprintf("ExecutionStatus = 'Running' AND StartTime < '%s'", startedBefore.UTC().Format(time.RFC3339Nano))
	return g.list(ctx, query, func(list []doctor.Execution) (bool, error) { return true, page(list) })
}

// RunningFor lists those that run for approvals first to last.
func (g gatedWorkflows) RunningFor(ctx context.Context, first, last int64) ([]doctor.Execution, error) {
	name := workflows.SearchApprovalID.GetName()
	var out []doctor.Execution
	err := g.list(ctx, fmt.Sprintf("ExecutionStatus = 'Running' AND %s >= %d AND %s <= %d", name, first, name, last),
		func(list []doctor.Execution) (bool, error) {
			out = append(out, list...)
			return true, nil
		})
	return out, err
}

// Latest describes the newest execution of a workflow id.
func (g gatedWorkflows) Latest(ctx context.Context, workflowID string) (doctor.Execution, bool, error) {
	res, err := g.client.DescribeWorkflowExecution(ctx, workflowID, "")
	var notFound *serviceerror.NotFound
	if errors.As(err, &notFound) {
		return doctor.Execution{}, false, nil
	}
	if err != nil {
		return doctor.Execution{}, false, fmt.Errorf("asking for workflow %s: %w", workflowID, err)
	}
	return gatedExecution(res.GetWorkflowExecutionInfo()), true, nil
}

// Recent lists the n executions that closed last, or that run and started last:
// Temporal's own order.
func (g gatedWorkflows) Recent(ctx context.Context, running bool, n int) ([]doctor.Execution, error) {
	query := "ExecutionStatus != 'Running'"
	if running {
		query = "ExecutionStatus = 'Running'"
	}
	var out []doctor.Execution
	err := g.list(ctx, query, func(list []doctor.Execution) (bool, error) {
		out = append(out, list...)
		return len(out) < n, nil
	})
	return out[:min(n, len(out))], err
}

// Signals lists the decision signals that an execution was sent.
func (g gatedWorkflows) Signals(ctx context.Context, e doctor.Execution) ([]doctor.Signal, bool, error) {
	var out []doctor.Signal
	events := g.client.GetWorkflowHistory(ctx, e.WorkflowID, e.RunID, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		var notFound *serviceerror.NotFound
		if errors.As(err, &notFound) {
			return nil, false, nil
		}
		if err != nil {
			return nil, false, fmt.Errorf("reading the history of workflow %s: %w", e.WorkflowID, err)
		}
		signal := event.GetWorkflowExecutionSignaledEventAttributes()
		if signal.GetSignalName() != workflows.SignalDecision {
			continue
		}
		var payload *commonpb.Payload
		if list := signal.GetInput().GetPayloads(); len(list) > 0 {
			payload = list[0]
		}
		out = append(out, doctor.Signal{Token: workflows.TokenOf(payload), At: event.GetEventTime().AsTime()})
	}
	return out, true, nil
}
