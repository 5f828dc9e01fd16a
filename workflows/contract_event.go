package workflows

import "finobs/internal/event"

// Registered workflow types and activities of what sources report.
const (
	RecordSegment         = "RecordSegment"
	Detect                = "Detect"
	ImportFIX             = "ImportFIX"
	ActivityRecordSegment = "RecordSegment"
	ActivityDetect        = "Detect"
	ActivityImportFIX     = "ImportFIXLog"
)

// SegmentWorkflowID is the id of the workflow that records a segment.
func SegmentWorkflowID(sha256 string) string { return "segment-" + sha256 }

// DetectWorkflowID is the id of the workflow of a run of a detector that a person
// asked for.
func DetectWorkflowID(detector, id string) string { return "detect-" + detector + "-" + id }

// DetectScheduleID is the id of the Temporal Schedule of a detector.
func DetectScheduleID(detector string) string { return "detector-" + detector }

// SegmentInput starts RecordSegment.
type SegmentInput struct {
	Command string `json:"command"` // token over the digest of the segment
	SHA256  string `json:"sha256"`  // hexadecimal; the segment lies in the folder of segments under this name
	Events  int    `json:"events"`  // in it
}

// SegmentResult is the result of RecordSegment: what became of each delivery.
type SegmentResult struct {
	Deliveries []event.Recorded `json:"deliveries"`
}

// DetectInput starts Detect. Without a command the run was due.
type DetectInput struct {
	Detector string `json:"detector"`
	Command  string `json:"command,omitempty"` // token over the digest of the detector's name
}

// DetectResult is the result of Detect.
type DetectResult struct {
	RunID    string `json:"run_id"`
	Examined int64  `json:"examined"` // things that it looked at
	Found    int64  `json:"found"`    // conditions that hold
	Opened   int64  `json:"opened"`   // incidents
	Resolved int64  `json:"resolved"` // incidents
}
