// Package workflows holds the Temporal workflows of finobs. Their code is
// deterministic: no I/O, no wall clock, no randomness, no map order, no crypto;
// all of that happens in activities. A workflow coordinates, and what it believes
// authorises nothing: effects ask the record (package evidence).
//
// Errors of activities are returned as they are: wrapped, they would lose the type
// by which clients and ops know them.
//
// This file is the contract that clients depend on. Names are registered
// explicitly, so renaming a Go function never breaks a running execution; fields
// are only ever added.
package workflows

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"finobs/activities"
	"finobs/internal/approval"
	"finobs/internal/export"
	"finobs/internal/incident"
	"finobs/internal/intake"

	"go.temporal.io/sdk/temporal"
)

// TaskQueue links the API and the workers.
const TaskQueue = "finobs"

// Registered workflow types.
const (
	Approval           = "Approval"
	Export             = "Export"
	Change             = "Change"
	Act                = "Act"
	Notify             = "Notify"
	OpenIncident       = "OpenIncident"
	ImportFails        = "ImportFails"
	Deliver            = "Deliver"
	Redeliver          = "Redeliver"
	Verify             = "VerifyExports"
	ImportTransactions = "ImportTransactions"
)

// Gated lists the workflow types that begin at a gate and carry MemoApprovalID.
func Gated() []string { return []string{Approval, Export, Redeliver, Change, AgentRun, AgentAction} }

// Registered activity names.
const (
	ActivityOpenRequest        = "OpenRequest"
	ActivityRecordDecision     = "RecordDecision"
	ActivityExpireRequest      = "ExpireRequest"
	ActivityCancelRequest      = "CancelRequest"
	ActivityRecordAct          = "RecordAct"
	ActivityApplyChange        = "ApplyChange"
	ActivitySendNotice         = "SendNotice"
	ActivityBuryNotice         = "BuryNotice"
	ActivityGenerateExport     = "GenerateExport"
	ActivityConfirmExport      = "ConfirmExport"
	ActivityBundleExport       = "BundleExport"
	ActivityDeliverExport      = "DeliverExport"
	ActivityVerifyExports      = "VerifyExports"
	ActivitySelectExports      = "SelectExports"
	ActivityBeginRedelivery    = "BeginRedelivery"
	ActivityRecordIncident     = "RecordIncident"
	ActivityImportFails        = "ImportFailsFile"
	ActivityDetectFails        = "DetectFails"
	ActivityImportTransactions = "ImportTransactionsFile"
)

// SignalDecision carries a DecisionSignal to a workflow that waits at a gate.
const SignalDecision = "approval.decision"

// SignalNudge asks a workflow that waits at a gate to look at the record again.
// It carries nothing and authorises nothing.
const SignalNudge = "approval.nudge"

// QueryGate answers with a GateState.
const QueryGate = "gate"

// SignalProgress carries an export.Progress from the activity that writes an
// export to its workflow. It is for people who watch; nothing is decided by it.
const SignalProgress = activities.SignalProgress

// QueryProgress answers with an export.Progress.
const QueryProgress = "export.progress"

// QueryVerification answers with a Verification.
const QueryVerification = "verification"

// MemoApprovalID is the memo field with the approval id of a gated workflow.
const MemoApprovalID = "approval_id"

// Search attributes of gated workflows, for the list filters of the Web UI.
var (
	SearchApprovalID = temporal.NewSearchAttributeKeyInt64("FinobsApprovalId")
	SearchStatus     = temporal.NewSearchAttributeKeyKeyword("FinobsStatus")
	SearchKind       = temporal.NewSearchAttributeKeyKeyword("FinobsKind")
	SearchDesk       = temporal.NewSearchAttributeKeyKeyword("FinobsDesk")
	SearchRequester  = temporal.NewSearchAttributeKeyKeyword("FinobsRequester")
	SearchRiskTier   = temporal.NewSearchAttributeKeyKeyword("FinobsRiskTier")
)

// ActionWorkflowID is the id of the workflow that gates, and carries out, exactly
// one action. Two requests for the same action meet in one workflow.
func ActionWorkflowID(actionDigest string) string {
	return "action-" + strings.TrimPrefix(actionDigest, "sha256:")
}

// ActWorkflowID is the id of the workflow that does an act.
func ActWorkflowID(actID string) string { return "act-" + actID }

// NotifyWorkflowID is the id of the workflow that sends a notice; each re-send by
// a person is another round.
func NotifyWorkflowID(notificationID string, round int) string {
	return "notify-" + notificationID + "-" + strconv.Itoa(round)
}

// IncidentWorkflowID is the id of the workflow that opens an incident; key is the
// caller's idempotency key, already bound to the caller.
func IncidentWorkflowID(key string) string { return "incident-" + key }

// ImportWorkflowID is the id of the workflow that imports a content as a kind of
// file of a source.
func ImportWorkflowID(kind intake.Kind, source, contentSHA256 string) string {
	if kind == intake.KindFails {
		return "import-" + source + "-" + contentSHA256
	}
	return "import-" + string(kind) + "-" + source + "-" + contentSHA256
}

// DeliveryWorkflowID is the id of the workflow of an export's first delivery.
func DeliveryWorkflowID(exportID int64) string { return "deliver-" + strconv.FormatInt(exportID, 10) }

// RedeliveryWorkflowID is the id of a workflow that delivers an export again; key
// is the caller's idempotency key, already bound to the caller.
func RedeliveryWorkflowID(exportID int64, key string) string {
	return DeliveryWorkflowID(exportID) + "-" + key
}

// VerifyWorkflowID is the id of a workflow that verifies exports.
func VerifyWorkflowID(id string) string { return "verify-" + id }

// GateInput starts Approval, Export, Redeliver and Change.
type GateInput struct {
	ApprovalID int64          `json:"approval_id"`
	Action     string         `json:"action"` // canonical JSON, see approval.Action
	Policy     string         `json:"policy"` // frozen, see approval.Policy
	Reason     string         `json:"reason"`
	Command    string         `json:"command"`              // token, see package attest
	Attachment string         `json:"attachment,omitempty"` // content that the action names by its digest
	Links      approval.Links `json:"links,omitzero"`
}

// DecisionSignal is the payload of SignalDecision.
type DecisionSignal struct {
	Token string `json:"token"` // see package attest
}

// GateState is the answer to QueryGate.
type GateState struct {
	ApprovalID int64           `json:"approval_id"`
	Status     approval.Status `json:"status"`
	Missing    []string        `json:"missing"` // in words, whose approval is waited for
	Deadline   time.Time       `json:"deadline"`
}

// GateResult is the result of Approval.
type GateResult struct {
	ApprovalID int64           `json:"approval_id"`
	Status     approval.Status `json:"status"`
}

// ExportResult is the result of Export; the export's fields are empty unless the
// status is consumed.
type ExportResult struct {
	GateResult
	ExportID       int64  `json:"export_id,omitempty"`
	ContentSHA256  string `json:"content_sha256,omitempty"`
	ManifestSHA256 string `json:"manifest_sha256,omitempty"`
	Rows           int64  `json:"rows,omitempty"`
}

// DeliverInput starts Deliver. Without a command it is the first delivery of an
// export, to the destination that was approved for it.
type DeliverInput struct {
	ExportID    int64  `json:"export_id"`
	Destination string `json:"destination"`
	Command     string `json:"command,omitempty"` // token over the digest of the export.Redelivery
	Reason      string `json:"reason,omitempty"`
}

// DeliverResult is the result of Deliver.
type DeliverResult struct {
	ExportID    int64                 `json:"export_id"`
	Destination string                `json:"destination"`
	Status      export.DeliveryStatus `json:"delivery_status"`
	Verdict     export.Verdict        `json:"verdict"`
}

// RedeliverResult is the result of Redeliver.
type RedeliverResult struct {
	GateResult
	DeliverResult
}

// VerifyInput starts VerifyExports.
type VerifyInput struct {
	Command   string           `json:"command"` // token over the digest of Selection
	Selection export.Selection `json:"selection"`
}

// Verification is how far a verification has come, and in the end its result.
type Verification struct {
	Done     int                    `json:"done"`
	Total    int                    `json:"total"`
	Counts   map[export.Verdict]int `json:"counts"`
	Verdicts []ExportVerdict        `json:"verdicts"` // of the first 2,000
}

// ExportVerdict is the verdict on one export.
type ExportVerdict struct {
	ExportID int64          `json:"export_id"`
	Verdict  export.Verdict `json:"verdict"`
	Places   []PlaceVerdict `json:"places"`
}

// PlaceVerdict is the verdict on one place where an export lies.
type PlaceVerdict struct {
	Destination string `json:"destination"`
	export.Finding
}

// ChangeResult is the result of Change.
type ChangeResult struct {
	GateResult
	Applied bool `json:"applied"`
}

// ActInput starts Act.
type ActInput struct {
	Command string       `json:"command"` // token over the digest of Act
	Act     approval.Act `json:"act"`
}

// ActResult is the result of Act.
type ActResult struct {
	Status       approval.Status `json:"status,omitempty"`        // of the request
	DelegationID int64           `json:"delegation_id,omitempty"` // of the delegation made
}

// NotifyInput starts Notify. It needs no signature: the row decides what is sent,
// to whom, and whether it was sent before.
type NotifyInput struct {
	NotificationID string `json:"notification_id"`
}

// IncidentInput starts OpenIncident.
type IncidentInput struct {
	Command string          `json:"command"` // token over the digest of Fields
	Fields  incident.Fields `json:"fields"`
}

// IncidentResult is the result of OpenIncident.
type IncidentResult struct {
	IncidentID int64 `json:"incident_id"`
	Opened     bool  `json:"opened"` // false: an open incident has the same dedup key
}

// ImportInput starts ImportFails, ImportTransactions and ImportFIX.
type ImportInput struct {
	Command string      `json:"command"` // token over the digest of File
	File    intake.File `json:"file"`
}

// ImportResult is the result of ImportFails, and of ImportTransactions and ImportFIX,
// which detect no fails.
type ImportResult struct {
	Report   json.RawMessage `json:"report"` // an intake.ImportReport, an intake.TransactionReport or an intake.FIXReport
	Detected Detected        `json:"detected"`
}

// Detected counts what a detection over all balances found.
type Detected struct {
	Securities int `json:"securities"` // that pass the share test
	Opened     int `json:"opened"`     // incidents
	Updated    int `json:"updated"`    // open incidents whose figures changed
}
