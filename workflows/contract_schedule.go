package workflows

import "finobs/internal/export"

// Registered workflow types and activity names of schedules: the rest of the
// contract, see contract.go.
const (
	ScheduledExport = "ScheduledExport"
	ScheduleAct     = "ScheduleAct"

	ActivityBeginSlot     = "BeginSlot"
	ActivityEndSlot       = "EndSlot"
	ActivityActOnSchedule = "ActOnSchedule"
)

// ScheduleActWorkflowID is the id of the workflow that does an act on a schedule.
func ScheduleActWorkflowID(actID string) string { return "schedule-act-" + actID }

// ScheduledInput starts ScheduledExport. Its workflow id names the slot, see
// export.SlotWorkflowID. Schedules start it without a command, people with one.
type ScheduledInput struct {
	Command string        `json:"command,omitempty"` // token over the digest of Order
	Order   *export.Order `json:"order,omitempty"`
}

// ScheduledResult is the result of ScheduledExport; the export's fields are empty
// unless the slot is done.
type ScheduledResult struct {
	Status         export.SlotStatus `json:"status"`
	Reason         string            `json:"reason,omitempty"`
	ExportID       int64             `json:"export_id,omitempty"`
	ContentSHA256  string            `json:"content_sha256,omitempty"`
	ManifestSHA256 string            `json:"manifest_sha256,omitempty"`
	Rows           int64             `json:"rows,omitempty"`
}

// ScheduleActInput starts ScheduleAct.
type ScheduleActInput struct {
	Command string             `json:"command"` // token over the digest of Act
	Act     export.ScheduleAct `json:"act"`
}

// ScheduleActResult is the result of ScheduleAct.
type ScheduleActResult struct {
	State export.ScheduleState `json:"state"`
}
