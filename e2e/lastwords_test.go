package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
)

// What a test that failed tells of its stack.

// lastWords are the ends of the logs of a stack's processes.
func lastWords(dir string) string {
	var b strings.Builder
	for _, name := range []string{"api", "worker", "sequencer", "temporal"} {
		text, err := os.ReadFile(filepath.Join(dir, "logs", name+".log"))
		if err != nil {
			continue
		}
		if name == "temporal" {
			text = refusals.ReplaceAll(text, nil)
		}
		fmt.Fprintf(&b, "the end of %s.log:\n%s\n", name, end(text))
	}
	return b.String()
}

// refusals are what Temporal's parts tell in plenty of each other while it ends.
var refusals = regexp.MustCompile(`(?m)^.*connection refused.*\n`)

// end is the end of a log.
func end(log []byte) []byte { return log[max(0, len(log)-3000):] }

// waitsFor tells of each running workflow what it waits for: the last events, and the
// activities that have not ended.
func waitsFor(c client.Client) string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var b strings.Builder
	list, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: "ExecutionStatus = 'Running'", PageSize: 20})
	if err != nil {
		return err.Error()
	}
	for _, w := range list.GetExecutions() {
		fmt.Fprintf(&b, "%s waits:\n", w.GetExecution().GetWorkflowId())
		describeTo(ctx, &b, c, w)
	}
	return b.String()
}

func describeTo(ctx context.Context, b *strings.Builder, c client.Client, w *workflow.WorkflowExecutionInfo) {
	id, run := w.GetExecution().GetWorkflowId(), w.GetExecution().GetRunId()
	events := c.GetWorkflowHistory(ctx, id, run, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	var told []string
	for events.HasNext() {
		e, err := events.Next()
		if err != nil {
			fmt.Fprintf(b, "  %v\n", err)
			return
		}
		told = append(told, fmt.Sprintf("  %d %s %s", e.GetEventId(), e.GetEventTime().AsTime().Format(time.TimeOnly), e.GetEventType()))
	}
	fmt.Fprintln(b, strings.Join(told[max(0, len(told)-6):], "\n"))
	d, err := c.DescribeWorkflowExecution(ctx, id, run)
	if err != nil {
		fmt.Fprintf(b, "  %v\n", err)
		return
	}
	for _, a := range d.GetPendingActivities() {
		fmt.Fprintf(b, "  %s, attempt %d, %s, last beat %v, last failure %s\n", a.GetActivityType().GetName(), a.GetAttempt(), a.GetState(),
			a.GetLastHeartbeatTime().AsTime(), a.GetLastFailure().GetMessage())
	}
	if t := d.GetPendingWorkflowTask(); t != nil {
		fmt.Fprintf(b, "  workflow task %s, attempt %d, since %v\n", t.GetState(), t.GetAttempt(), t.GetScheduledTime().AsTime())
	}
}
