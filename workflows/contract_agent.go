package workflows

import (
	"finobs/internal/agent"
)

// Registered workflow types and activity names of agents and of the actions that
// they plan: the rest of the contract, see contract.go.
const (
	AgentRun    = "AgentRun"
	AgentAction = "AgentAction"
	AgentAct    = "AgentAct"

	ActivityBeginRun         = "BeginRun"
	ActivityGatherEvidence   = "GatherEvidence"
	ActivityAnalyse          = "Analyse"
	ActivityPlanActions      = "PlanActions"
	ActivityFailRun          = "FailRun"
	ActivityBeginAction      = "BeginAction"
	ActivityApplyAction      = "ApplyAction"
	ActivityReconcileAction  = "ReconcileAction"
	ActivityVerifyAction     = "VerifyAction"
	ActivityCompensateAction = "CompensateAction"
	ActivityEndAction        = "EndAction"
	ActivityRecordAgentAct   = "RecordAgentAct"
)

// AgentActWorkflowID is the id of the workflow that does an act about agents.
func AgentActWorkflowID(actID string) string { return "agent-act-" + actID }

// AgentResult is the result of AgentRun; the run's fields are empty unless it
// began.
type AgentResult struct {
	GateResult
	RunID   int64           `json:"run_id,omitempty"`
	Run     agent.RunStatus `json:"run_status,omitempty"`
	Actions []int64         `json:"actions,omitempty"` // that were planned
}

// ActionResult is the result of AgentAction; the action's fields are empty unless
// it began.
type ActionResult struct {
	GateResult
	Outcome  string `json:"outcome,omitempty"`  // done, failed, unknown or superseded
	Recovery string `json:"recovery,omitempty"` // whether the target recovered
}

// AgentActInput starts AgentAct.
type AgentActInput struct {
	Command string    `json:"command"` // token over the digest of Act
	Act     agent.Act `json:"act"`
}

// AgentActResult is the result of AgentAct.
type AgentActResult struct {
	Override string `json:"override_type,omitempty"` // of a verdict; empty: it agrees
	StopID   int64  `json:"stop_id,omitempty"`
	Status   string `json:"status,omitempty"` // of the action
}
