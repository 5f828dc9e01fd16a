package workflows

import (
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// Register registers every workflow under its name in the contract.
func Register(r worker.WorkflowRegistry) {
	for name, fn := range map[string]any{
		Approval: approvalWorkflow, Export: exportWorkflow, Change: changeWorkflow, Act: actWorkflow, Notify: notifyWorkflow,
		RecordSegment: recordSegmentWorkflow, Detect: detectWorkflow, ImportFIX: importFIXWorkflow,
		OpenIncident: openIncidentWorkflow, ImportFails: importFailsWorkflow, ImportTransactions: importTransactionsWorkflow,
		ScheduledExport: scheduledExportWorkflow, ScheduleAct: scheduleActWorkflow, Deliver: deliverWorkflow, Redeliver: redeliverWorkflow, Verify: verifyWorkflow,
		IncidentLife: incidentLifeWorkflow, IncidentAct: incidentActWorkflow,
		AgentRun: agentRunWorkflow, AgentAction: agentActionWorkflow, AgentAct: agentActWorkflow,
		Reconcile: reconcileWorkflow, ScheduledReconcile: scheduledReconcileWorkflow,
	} {
		r.RegisterWorkflowWithOptions(fn, workflow.RegisterOptions{Name: name})
	}
}
