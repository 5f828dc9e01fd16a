package main

import (
	"encoding/json"
	"time"

	"github.com/lib/pq"
)

// The rows of the floor: scanned by name, and written as they are. What the API works
// out by rules of finobs is there and empty.

type barePerson struct {
	Iss string `db:"iss" json:"iss"`
	Sub string `db:"sub" json:"sub"`
}

func (p barePerson) orNull() *barePerson {
	if p.Sub == "" {
		return nil
	}
	return &p
}

const (
	bareApprovalColumns = `approval_id, workflow_id, kind, action, action_digest, policy_id, policy, policy_digest,
		requester_iss AS "requester.iss", requester_sub AS "requester.sub", desk, is_simulation, reason, command, request_id, trace_id,
		created_at, expires_at, status, status_reason, closed_at, use_by, consumed_at, consumed_by, risk_tier, summary, attachment,
		reopens, supersedes, assignee_iss AS "who.iss", assignee_sub AS "who.sub", escalation_level, fallback_at, target_ids, first_run_id`
	bareDecisionColumns = `decision_id, approval_id, verdict, approver_iss AS "approver.iss", approver_sub AS "approver.sub", approver_roles, reason,
		token, outcome, outcome_reason, counted_as, decided_at, recorded_at, approver_kind, approver_desk, on_behalf_of, fallback, summary_sha256`
)

type bareApproval struct {
	ID           int64           `db:"approval_id" json:"approval_request_id"`
	Kind         string          `db:"kind" json:"kind"`
	Action       json.RawMessage `db:"action" json:"action"`
	ActionDigest string          `db:"action_digest" json:"action_digest"`
	RiskTier     string          `db:"risk_tier" json:"risk_tier"`
	PolicyID     string          `db:"policy_id" json:"policy_id"`
	PolicyDigest string          `db:"policy_digest" json:"policy_digest"`
	Requester    barePerson      `db:"requester" json:"requester"`
	Editor       *barePerson     `db:"-" json:"editor"`
	Desk         string          `db:"desk" json:"desk"`
	IsSimulation bool            `db:"is_simulation" json:"is_simulation"`
	Reason       string          `db:"reason" json:"reason"`
	Status       string          `db:"status" json:"status"`
	StatusReason string          `db:"status_reason" json:"status_reason"`
	Stage        int             `db:"-" json:"stage"`
	Missing      []string        `db:"-" json:"missing"`
	Allowed      []string        `db:"-" json:"allowed_actions"`
	Assignee     *barePerson     `db:"-" json:"assignee"`
	Escalation   int             `db:"escalation_level" json:"escalation_level"`
	Fallback     bool            `db:"-" json:"fallback"`
	Reopens      *int64          `db:"reopens" json:"reopens,omitempty"`
	Supersedes   *int64          `db:"supersedes" json:"supersedes,omitempty"`
	CreatedAt    time.Time       `db:"created_at" json:"created_at"`
	ExpiresAt    time.Time       `db:"expires_at" json:"expires_at"`
	ClosedAt     *time.Time      `db:"closed_at" json:"closed_at"`
	UseBy        *time.Time      `db:"use_by" json:"use_by"`
	ConsumedAt   *time.Time      `db:"consumed_at" json:"consumed_at"`
	WorkflowID   string          `db:"workflow_id" json:"workflow_id"`
	TraceID      string          `db:"trace_id" json:"trace_id"`
	Decisions    []bareDecision  `db:"-" json:"decisions"`

	Policy     []byte         `db:"policy" json:"-"`
	Command    string         `db:"command" json:"-"`
	RequestID  string         `db:"request_id" json:"-"`
	ConsumedBy *string        `db:"consumed_by" json:"-"`
	Summary    string         `db:"summary" json:"-"`
	Attachment string         `db:"attachment" json:"-"`
	Who        barePerson     `db:"who" json:"-"`
	FallbackAt *time.Time     `db:"fallback_at" json:"-"`
	TargetIDs  pq.StringArray `db:"target_ids" json:"-"`
	FirstRunID string         `db:"first_run_id" json:"-"`
}

type bareDecision struct {
	ID         string           `db:"decision_id" json:"decision_id"`
	ApprovalID int64            `db:"approval_id" json:"-"`
	Verdict    string           `db:"verdict" json:"verdict"`
	Approver   barePerson       `db:"approver" json:"approver"`
	Roles      pq.StringArray   `db:"approver_roles" json:"roles"`
	OnBehalfOf *json.RawMessage `db:"on_behalf_of" json:"on_behalf_of"`
	Fallback   bool             `db:"fallback" json:"fallback"`
	Reason     string           `db:"reason" json:"reason"`
	Outcome    string           `db:"outcome" json:"outcome"`
	Why        string           `db:"outcome_reason" json:"outcome_reason"`
	DecidedAt  time.Time        `db:"decided_at" json:"decided_at"`

	Token         string    `db:"token" json:"-"`
	CountedAs     *string   `db:"counted_as" json:"-"`
	RecordedAt    time.Time `db:"recorded_at" json:"-"`
	Kind          string    `db:"approver_kind" json:"-"`
	Desk          string    `db:"approver_desk" json:"-"`
	SummarySHA256 string    `db:"summary_sha256" json:"-"`
}

type bareDetail struct {
	bareApproval
	Summary       string        `json:"summary"`
	SummarySHA256 string        `json:"summary_sha256"`
	Explanation   []string      `json:"explanation"`
	Comments      []bareComment `json:"comments"`
	FiredRungs    []string      `json:"fired_rungs"`
}

type bareComment struct {
	ID         string     `db:"comment_id" json:"comment_id"`
	ApprovalID int64      `db:"approval_id" json:"-"`
	Author     barePerson `db:"author" json:"author"`
	Text       string     `db:"text" json:"text"`
	CreatedAt  time.Time  `db:"created_at" json:"created_at"`
}

const bareIncidentColumns = `incident_id, kind, severity, status, title, description, desk, source, dedup_key, subject_kind, subject_id,
	exposure_usd, details, origin, opened_by_type, opened_by_iss AS "opener.iss", opened_by_sub AS "opener.sub", version, trace_id, opened_at, updated_at,
	priority, severity_set, priority_set, system, owner, assignee_iss AS "who.iss", assignee_sub AS "who.sub", parent_id, merged_into, transaction_id,
	occurrences, last_seen_at, firing_at, ended_at, reopened, began_at, acknowledged_at, acknowledged_iss AS "acknowledged.iss",
	acknowledged_sub AS "acknowledged.sub", resolved_at, resolved_iss AS "resolved.iss", resolved_sub AS "resolved.sub", resolution, closed_at,
	ack_due_at, resolve_due_at, escalation_level, ladder_run, ladder_from, suppressed_until, life_run_id`

type bareIncident struct {
	ID          int64           `db:"incident_id" json:"incident_id"`
	Kind        string          `db:"kind" json:"kind"`
	Severity    string          `db:"severity" json:"severity"`
	Priority    string          `db:"priority" json:"priority"`
	Status      string          `db:"status" json:"status"`
	Title       string          `db:"title" json:"title"`
	Description string          `db:"description" json:"description"`
	Desk        string          `db:"desk" json:"desk"`
	Owner       string          `db:"owner" json:"owner"`
	Assignee    *barePerson     `db:"-" json:"assignee"`
	Source      string          `db:"source" json:"source"`
	System      string          `db:"system" json:"system"`
	DedupKey    string          `db:"dedup_key" json:"dedup_key"`
	SubjectKind string          `db:"subject_kind" json:"subject_kind"`
	SubjectID   string          `db:"subject_id" json:"subject_id"`
	ExposureUSD *string         `db:"exposure_usd" json:"exposure_usd"`
	Details     json.RawMessage `db:"details" json:"details"`
	Origin      string          `db:"origin" json:"origin"`
	OpenedBy    barePerson      `db:"opener" json:"opened_by"`
	OpenerType  string          `db:"opened_by_type" json:"opened_by_type"`
	Version     int64           `db:"version" json:"version"`
	TraceID     string          `db:"trace_id" json:"trace_id"`
	OpenedAt    time.Time       `db:"opened_at" json:"opened_at"`
	UpdatedAt   time.Time       `db:"updated_at" json:"updated_at"`
	ParentID    *int64          `db:"parent_id" json:"parent_id"`
	MergedInto  *int64          `db:"merged_into" json:"merged_into"`
	Transaction *int64          `db:"transaction_id" json:"transaction_id"`
	Occurrences int64           `db:"occurrences" json:"occurrences"`
	LastSeenAt  time.Time       `db:"last_seen_at" json:"last_seen_at"`
	Reopened    int             `db:"reopened" json:"reopened"`
	BeganAt     time.Time       `db:"began_at" json:"began_at"`
	AckedAt     *time.Time      `db:"acknowledged_at" json:"acknowledged_at"`
	AckedBy     *barePerson     `db:"-" json:"acknowledged_by"`
	ResolvedAt  *time.Time      `db:"resolved_at" json:"resolved_at"`
	ResolvedBy  *barePerson     `db:"-" json:"resolved_by"`
	Resolution  string          `db:"resolution" json:"resolution"`
	ClosedAt    *time.Time      `db:"closed_at" json:"closed_at"`
	AckDueAt    *time.Time      `db:"ack_due_at" json:"ack_due_at"`
	ResDueAt    *time.Time      `db:"resolve_due_at" json:"resolve_due_at"`
	Escalation  int             `db:"escalation_level" json:"escalation_level"`
	Suppressed  *time.Time      `db:"suppressed_until" json:"suppressed_until"`
	Allowed     []string        `db:"-" json:"allowed_actions"`

	SeveritySet  bool       `db:"severity_set" json:"-"`
	PrioritySet  bool       `db:"priority_set" json:"-"`
	Who          barePerson `db:"who" json:"-"`
	FiringAt     time.Time  `db:"firing_at" json:"-"`
	EndedAt      *time.Time `db:"ended_at" json:"-"`
	Acknowledged barePerson `db:"acknowledged" json:"-"`
	Resolved     barePerson `db:"resolved" json:"-"`
	LadderRun    int        `db:"ladder_run" json:"-"`
	LadderFrom   time.Time  `db:"ladder_from" json:"-"`
	LifeRunID    string     `db:"life_run_id" json:"-"`
}

const bareExportColumns = `export_id, approval_id, action_digest, schedule_id, slot, dataset, dataset_version, format, compression, destination, filters,
	columns, requester_iss AS "requester.iss", requester_sub AS "requester.sub", desk, is_simulation, workflow_id, trace_id, status, created_at,
	snapshot AS "seal.snapshot", snapshot_at AS "seal.snapshot_at", checkpoint, from_leaf AS "seal.from_leaf", to_leaf AS "seal.to_leaf",
	reproducible AS "seal.reproducible", file_name AS "seal.file_name", file_bytes AS "seal.file_bytes", content_bytes AS "seal.content_bytes",
	row_count AS "seal.row_count", generator AS "seal.generator", seal_number AS "seal.number", manifest, key_id AS "seal.key_id",
	entry_id AS "seal.entry_id", sealed_at AS "seal.sealed_at", bundled_at, delivery_status, delivered_at, verification_status, verified_at,
	file_sha256 AS "seal.file_sha256", content_sha256 AS "seal.content_sha256", prev_manifest_sha256 AS "seal.prev", manifest_sha256 AS "seal.manifest"`

type bareExport struct {
	ID           int64           `db:"export_id" json:"export_id"`
	ApprovalID   int64           `db:"approval_id" json:"approval_request_id"`
	ActionDigest string          `db:"action_digest" json:"action_digest"`
	ScheduleID   *int64          `db:"schedule_id" json:"schedule_id,omitempty"`
	Slot         *time.Time      `db:"slot" json:"slot,omitempty"`
	Dataset      string          `db:"dataset" json:"dataset"`
	Format       string          `db:"format" json:"format"`
	Compression  string          `db:"compression" json:"compression"`
	Destination  string          `db:"destination" json:"destination"`
	Filters      json.RawMessage `db:"filters" json:"filters"`
	Columns      pq.StringArray  `db:"columns" json:"columns"`
	Requester    barePerson      `db:"requester" json:"requester"`
	Desk         string          `db:"desk" json:"desk"`
	IsSimulation bool            `db:"is_simulation" json:"is_simulation"`
	Status       string          `db:"status" json:"status"`
	CreatedAt    time.Time       `db:"created_at" json:"created_at"`
	Hash         string          `db:"-" json:"hash"`
	Signature    string          `db:"-" json:"signature"`
	Delivery     string          `db:"delivery_status" json:"delivery_status"`
	DeliveredAt  *time.Time      `db:"delivered_at" json:"delivered_at"`
	Verification string          `db:"verification_status" json:"verification_status"`
	VerifiedAt   *time.Time      `db:"verified_at" json:"verified_at"`
	Seal         bareSeal        `db:"seal" json:"seal"`
	WorkflowID   string          `db:"workflow_id" json:"workflow_id"`
	TraceID      string          `db:"trace_id" json:"trace_id"`

	DatasetVersion string     `db:"dataset_version" json:"-"`
	Checkpoint     *string    `db:"checkpoint" json:"-"`
	Manifest       *string    `db:"manifest" json:"-"`
	BundledAt      *time.Time `db:"bundled_at" json:"-"`
}

type bareSeal struct {
	Snapshot       *string    `db:"snapshot" json:"snapshot"`
	SnapshotAt     *time.Time `db:"snapshot_at" json:"snapshot_at"`
	Reproducible   *bool      `db:"reproducible" json:"reproducible"`
	FromLeaf       *int64     `db:"from_leaf" json:"from_leaf"`
	ToLeaf         *int64     `db:"to_leaf" json:"to_leaf"`
	FileName       *string    `db:"file_name" json:"file_name"`
	FileSHA256     *string    `db:"file_sha256" json:"file_sha256"`
	FileBytes      *int64     `db:"file_bytes" json:"file_bytes"`
	ContentSHA256  *string    `db:"content_sha256" json:"content_sha256"`
	ContentBytes   *int64     `db:"content_bytes" json:"content_bytes"`
	Rows           *int64     `db:"row_count" json:"rows"`
	Number         *int64     `db:"number" json:"number"`
	PrevManifest   *string    `db:"prev" json:"prev_manifest_sha256"`
	ManifestSHA256 *string    `db:"manifest" json:"manifest_sha256"`
	KeyID          *string    `db:"key_id" json:"key_id"`
	EntryID        *string    `db:"entry_id" json:"entry_id"`
	Generator      *string    `db:"generator" json:"generator"`
	SealedAt       *time.Time `db:"sealed_at" json:"sealed_at"`
}

const bareEntryColumns = `leaf_index, entry_id, idem_key, content_sha256, recorded_at, type, action, outcome, reason, actor_type, actor_iss, actor_sub,
	subject_kind, subject_id, desk, request_id, trace_id, workflow_id, ai_explanation, agent_input_sha256, agent_output_sha256,
	agent_version, override_type, is_simulation, leaf_sha256, leaf`

type bareEntry struct {
	Index         int64           `db:"leaf_index" json:"leaf_index"`
	EntryID       *string         `db:"entry_id" json:"entry_id"`
	IdemKey       *string         `db:"idem_key" json:"idem_key"`
	ContentSHA256 *string         `db:"content_sha256" json:"content_sha256"`
	RecordedAt    *time.Time      `db:"recorded_at" json:"recorded_at"`
	Type          *string         `db:"type" json:"type"`
	Action        *string         `db:"action" json:"action"`
	Outcome       *string         `db:"outcome" json:"outcome"`
	Reason        *string         `db:"reason" json:"reason"`
	ActorType     *string         `db:"actor_type" json:"actor_type"`
	ActorIss      *string         `db:"actor_iss" json:"actor_iss"`
	ActorSub      *string         `db:"actor_sub" json:"actor_sub"`
	SubjectKind   *string         `db:"subject_kind" json:"subject_kind"`
	SubjectID     *string         `db:"subject_id" json:"subject_id"`
	Desk          *string         `db:"desk" json:"desk"`
	RequestID     *string         `db:"request_id" json:"request_id"`
	TraceID       *string         `db:"trace_id" json:"trace_id"`
	WorkflowID    *string         `db:"workflow_id" json:"workflow_id"`
	AIExplanation *string         `db:"ai_explanation" json:"ai_explanation"`
	AgentInput    *string         `db:"agent_input_sha256" json:"agent_input_sha256"`
	AgentOutput   *string         `db:"agent_output_sha256" json:"agent_output_sha256"`
	AgentVersion  *string         `db:"agent_version" json:"agent_version"`
	OverrideType  *string         `db:"override_type" json:"override_type"`
	IsSimulation  *bool           `db:"is_simulation" json:"is_simulation"`
	LeafSHA256    *string         `db:"leaf_sha256" json:"leaf_sha256"`
	Leaf          json.RawMessage `db:"leaf" json:"leaf"`
}
