package workflows

import (
	"strconv"

	"finobs/internal/incident"
)

// Registered workflow types and activity names of the life of incidents: the rest
// of the contract, see contract.go.
const (
	IncidentLife = "IncidentLife"
	IncidentAct  = "IncidentAct"

	ActivityAdvanceIncident   = "AdvanceIncident"
	ActivityRecordIncidentAct = "RecordIncidentAct"
)

// LifeWorkflowID is the id of the workflow that an incident's life is.
func LifeWorkflowID(incidentID int64) string {
	return "incident-life-" + strconv.FormatInt(incidentID, 10)
}

// IncidentActWorkflowID is the id of the workflow that does an act on an incident.
func IncidentActWorkflowID(actID string) string { return "incident-act-" + actID }

// LifeInput starts IncidentLife. It needs no signature: the record decides what is
// due, and each rung fires once.
type LifeInput struct {
	IncidentID int64 `json:"incident_id"`
}

// LifeResult is the result of IncidentLife.
type LifeResult struct {
	IncidentID int64           `json:"incident_id"`
	Status     incident.Status `json:"status"`
}

// IncidentActInput starts IncidentAct.
type IncidentActInput struct {
	Command string       `json:"command"` // token over the digest of Act
	Act     incident.Act `json:"act"`
}

// IncidentActResult is the result of IncidentAct.
type IncidentActResult struct {
	Status   incident.Status `json:"status,omitempty"` // of the incident
	Version  int64           `json:"version,omitempty"`
	WindowID int64           `json:"window_id,omitempty"` // of the window that was opened or ended
}
