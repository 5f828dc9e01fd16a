package console

import (
	"encoding/json"
	"time"
)

// export is an export, or one that is being made.
type export struct {
	ID                 int64             `json:"export_id"`
	ApprovalID         int64             `json:"approval_request_id"`
	ScheduleID         int64             `json:"schedule_id"`
	Slot               *time.Time        `json:"slot"`
	Dataset            string            `json:"dataset"`
	Format             string            `json:"format"`
	Compression        string            `json:"compression"`
	Destination        string            `json:"destination"`
	Filters            map[string]string `json:"filters"`
	Requester          *person           `json:"requester"`
	Desk               string            `json:"desk"`
	IsSimulation       bool              `json:"is_simulation"`
	Status             string            `json:"status"`
	CreatedAt          time.Time         `json:"created_at"`
	Signature          string            `json:"signature"`
	DeliveryStatus     string            `json:"delivery_status"`
	DeliveredAt        *time.Time        `json:"delivered_at"`
	VerificationStatus string            `json:"verification_status"`
	VerifiedAt         *time.Time        `json:"verified_at"`
	Seal               *seal             `json:"seal"`
	Deliveries         []delivery        `json:"deliveries"`
	WorkflowID         string            `json:"workflow_id"`
	TraceID            string            `json:"trace_id"`
}

type seal struct {
	FromLeaf       int64     `json:"from_leaf"`
	ToLeaf         int64     `json:"to_leaf"`
	FileName       string    `json:"file_name"`
	FileSHA256     string    `json:"file_sha256"`
	FileBytes      int64     `json:"file_bytes"`
	ContentSHA256  string    `json:"content_sha256"`
	Rows           int64     `json:"rows"`
	Number         int64     `json:"number"`
	PrevManifest   string    `json:"prev_manifest_sha256"`
	ManifestSHA256 string    `json:"manifest_sha256"`
	KeyID          string    `json:"key_id"`
	Generator      string    `json:"generator"`
	Reproducible   bool      `json:"reproducible"`
	SnapshotAt     time.Time `json:"snapshot_at"`
	SealedAt       time.Time `json:"sealed_at"`
}

type delivery struct {
	ID           int64           `json:"delivery_id"`
	Destination  string          `json:"destination"`
	Attempt      int             `json:"attempt"`
	Status       string          `json:"status"`
	Receipt      json.RawMessage `json:"receipt"`
	Detail       string          `json:"detail"`
	RequestedBy  *person         `json:"requested_by"`
	StartedAt    time.Time       `json:"started_at"`
	EndedAt      *time.Time      `json:"ended_at"`
	Verification readBack        `json:"verification"`
	VerifiedAt   *time.Time      `json:"verified_at"`
}

// readBack is what reading a place back showed.
type readBack struct {
	Verdict string `json:"verdict"`
	Detail  string `json:"detail"`
}

type exportPage struct {
	Items      []export `json:"items"`
	NextBefore int64    `json:"next_before"`
}

// exportProgress is how far an export has come.
type exportProgress struct {
	Phase string `json:"phase"`
	Rows  int64  `json:"rows"`
	Total int64  `json:"total"`
}

type destination struct {
	Name    string `json:"name"`
	Type    string `json:"type"`
	Default bool   `json:"default"`
}

type destinationPage struct {
	Items []destination `json:"items"`
}

// verification is a check of several exports, done or under way.
type verification struct {
	ID       string          `json:"verification_id"`
	Status   string          `json:"status"`
	Done     int             `json:"done"`
	Total    int             `json:"total"`
	Counts   map[string]int  `json:"counts"`
	Verdicts []exportVerdict `json:"verdicts"`
}

type exportVerdict struct {
	ExportID int64          `json:"export_id"`
	Verdict  string         `json:"verdict"`
	Places   []placeVerdict `json:"places"`
}

type placeVerdict struct {
	Destination string `json:"destination"`
	Verdict     string `json:"verdict"`
	Detail      string `json:"detail"`
}

// redelivered answers an order to deliver again; with an approval id it waits for
// that.
type redelivered struct {
	ApprovalID int64  `json:"approval_request_id"`
	Delivery   string `json:"delivery_status"`
}

// schedule is a standing grant to export.
type schedule struct {
	ID           int64             `json:"schedule_id"`
	Name         string            `json:"name"`
	Version      int64             `json:"version"`
	State        string            `json:"state"`
	StateReason  string            `json:"state_reason"`
	ApprovalID   int64             `json:"approval_request_id"`
	Dataset      string            `json:"dataset"`
	Format       string            `json:"format"`
	Compression  string            `json:"compression"`
	Destination  string            `json:"destination"`
	Filters      map[string]string `json:"filters"`
	Cron         string            `json:"cron"`
	Zone         string            `json:"zone"`
	Window       string            `json:"window"`
	Overlap      string            `json:"overlap"`
	CatchUp      string            `json:"catch_up"`
	MaxLateness  string            `json:"max_lateness"`
	ExpiresAt    time.Time         `json:"expires_at"`
	Requester    *person           `json:"requester"`
	Desk         string            `json:"desk"`
	IsSimulation bool              `json:"is_simulation"`
	GrantedAt    time.Time         `json:"granted_at"`
	SettledUntil time.Time         `json:"settled_until"`
	NextRuns     []dueRun          `json:"next_runs"`
	LastSlots    []slot            `json:"last_slots"`
}

// dueRun is a time at which a schedule falls due.
type dueRun struct {
	At    time.Time `json:"at"`
	Local string    `json:"local"`
}

type slot struct {
	At       time.Time `json:"slot"`
	Status   string    `json:"status"`
	Reason   string    `json:"reason"`
	Origin   string    `json:"origin"`
	ExportID int64     `json:"export_id"`
}

type schedulePage struct {
	Items      []schedule `json:"items"`
	NextBefore int64      `json:"next_before"`
}

type preview struct {
	NextRuns []dueRun `json:"next_runs"`
}

// scheduled answers a call for a schedule: it waits for approval, or it is there.
type scheduled struct {
	ApprovalID int64     `json:"approval_request_id"`
	Schedule   *schedule `json:"schedule"`
}

// ordered says what became of orders to carry out slots.
type ordered struct {
	Items []struct {
		Slot    time.Time `json:"slot"`
		Started bool      `json:"started"`
		Detail  string    `json:"detail"`
	} `json:"items"`
}
