package workflows

import (
	"finobs/activities"
	"finobs/internal/recon"
)

// Registered workflow types and activity names of reconciliation: the rest of the
// contract, see contract.go.
const (
	Reconcile          = "Reconcile"
	ScheduledReconcile = "ScheduledReconcile"

	ActivityReconcile          = "Reconcile"
	ActivityReconcileScheduled = "ReconcileScheduled"
)

// SignalReconProgress carries a recon.Progress from the activity that compares to
// its workflow. It is for people who watch; nothing is decided by it.
const SignalReconProgress = activities.SignalReconProgress

// QueryReconProgress answers with a recon.Progress.
const QueryReconProgress = "recon.progress"

// ReconWorkflowID is the id of the workflow that makes the run of a key.
func ReconWorkflowID(key string) string { return activities.ReconWorkflowPrefix + key }

// ReconInput starts Reconcile.
type ReconInput struct {
	Command string        `json:"command"` // token over the digest of Request
	Request recon.Request `json:"request"`
}

// ScheduledReconInput starts ScheduledReconcile.
type ScheduledReconInput struct {
	Profile string `json:"profile"` // of the worker's configuration
}

// ReconResult is the result of Reconcile and of ScheduledReconcile.
type ReconResult struct {
	RunKey string `json:"run_key"`
	Breaks int    `json:"breaks"`
}
