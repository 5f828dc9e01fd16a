package console

import (
	"encoding/json"
	"slices"
	"time"
)

// The answers of the API, as far as pages show them.

type person struct {
	Issuer  string `json:"iss"`
	Subject string `json:"sub"`
}

func (p *person) name() string {
	if p == nil || p.Subject == "" {
		return "nobody"
	}
	return p.Subject
}

type taskCounts struct {
	Total    int            `json:"total"`
	Overdue  int            `json:"overdue"`
	Mine     int            `json:"mine"`
	ByType   map[string]int `json:"by_type"`
	Complete bool           `json:"complete"`
}

type task struct {
	Type     string     `json:"type"`
	ID       string     `json:"id"`
	Title    string     `json:"title"`
	Severity string     `json:"severity"`
	Status   string     `json:"status"`
	Owner    string     `json:"owner"`
	Desk     string     `json:"desk"`
	Mine     bool       `json:"mine"`
	Since    time.Time  `json:"since"`
	DueAt    *time.Time `json:"due_at"`
	Overdue  bool       `json:"overdue"`
	Path     string     `json:"path"`
	Origin   string     `json:"origin"`
}

type taskPage struct {
	Items    []task `json:"items"`
	Total    int    `json:"total"`
	Complete bool   `json:"complete"`
}

type decision struct {
	ID         string    `json:"decision_id"`
	Verdict    string    `json:"verdict"`
	Approver   *person   `json:"approver"`
	Roles      []string  `json:"roles"`
	OnBehalfOf *person   `json:"on_behalf_of"`
	Fallback   bool      `json:"fallback"`
	Reason     string    `json:"reason"`
	Outcome    string    `json:"outcome"`
	Why        string    `json:"outcome_reason"`
	DecidedAt  time.Time `json:"decided_at"`
}

type comment struct {
	ID        string    `json:"comment_id"`
	Author    *person   `json:"author"`
	Text      string    `json:"text"`
	CreatedAt time.Time `json:"created_at"`
}

// approval is a request for approval; the last fields are on its own page alone.
type approval struct {
	ID              int64           `json:"approval_request_id"`
	Kind            string          `json:"kind"`
	Action          json.RawMessage `json:"action"`
	ActionDigest    string          `json:"action_digest"`
	RiskTier        string          `json:"risk_tier"`
	PolicyID        string          `json:"policy_id"`
	PolicyDigest    string          `json:"policy_digest"`
	Requester       *person         `json:"requester"`
	Editor          *person         `json:"editor"`
	Desk            string          `json:"desk"`
	IsSimulation    bool            `json:"is_simulation"`
	Reason          string          `json:"reason"`
	Status          string          `json:"status"`
	StatusReason    string          `json:"status_reason"`
	Stage           int             `json:"stage"`
	Missing         []string        `json:"missing"`
	AllowedActions  []string        `json:"allowed_actions"`
	Assignee        *person         `json:"assignee"`
	EscalationLevel int             `json:"escalation_level"`
	Fallback        bool            `json:"fallback"`
	Reopens         int64           `json:"reopens"`
	Supersedes      int64           `json:"supersedes"`
	CreatedAt       time.Time       `json:"created_at"`
	ExpiresAt       time.Time       `json:"expires_at"`
	ClosedAt        *time.Time      `json:"closed_at"`
	UseBy           *time.Time      `json:"use_by"`
	ConsumedAt      *time.Time      `json:"consumed_at"`
	WorkflowID      string          `json:"workflow_id"`
	TraceID         string          `json:"trace_id"`
	Decisions       []decision      `json:"decisions"`

	Summary       string    `json:"summary"`
	SummarySHA256 string    `json:"summary_sha256"`
	Explanation   []string  `json:"explanation"`
	Comments      []comment `json:"comments"`
	FiredRungs    []string  `json:"fired_rungs"`
}

// Can reports whether the visitor may do something with the request now.
func (a approval) Can(what string) bool { return slices.Contains(a.AllowedActions, what) }

type approvalPage struct {
	Items      []approval `json:"items"`
	NextBefore int64      `json:"next_before"`
	NextAfter  string     `json:"next_deadline"`
}

// action is what an approval is about, read out of its canonical form.
type action struct {
	Kind       string            `json:"kind"`
	Targets    []target          `json:"targets"`
	Parameters map[string]string `json:"parameters"`
	Mode       string            `json:"mode"`
}

type target struct {
	Kind    string `json:"kind"`
	ID      string `json:"id"`
	Version string `json:"version"`
}

// entry is an entry of the ledger.
type entry struct {
	EntryID      string    `json:"entry_id"`
	RecordedAt   time.Time `json:"recorded_at"`
	Type         string    `json:"type"`
	Action       string    `json:"action"`
	Outcome      string    `json:"outcome"`
	Reason       string    `json:"reason"`
	Actor        *person   `json:"actor"`
	ActorType    string    `json:"actor_type"`
	OverrideType *string   `json:"override_type"`
	AgentVersion *string   `json:"agent_version"`
	IsSimulation bool      `json:"is_simulation"`
	TraceID      string    `json:"trace_id"`
	LeafSHA256   string    `json:"leaf_sha256"`
}

type history struct {
	Entries []entry `json:"entries"`
}

type batchAnswer struct {
	Items   []batchOutcome `json:"items"`
	Decided int            `json:"decided"`
	Refused int            `json:"refused"`
}

type batchOutcome struct {
	ID       int64    `json:"approval_request_id"`
	Status   int      `json:"http_status"`
	Decision *decided `json:"decision"`
	Problem  *problem `json:"problem"`
}

type decided struct {
	Verdict  string `json:"verdict"`
	Recorded bool   `json:"recorded"`
	Status   string `json:"status"`
	Detail   string `json:"detail"`
}

// asked answers a call that needs approval.
type asked struct {
	Detail string `json:"detail"`
	ID     int64  `json:"approval_request_id"`
	Status string `json:"status"`
}

// acted answers an act.
type acted struct {
	Recorded bool   `json:"recorded"`
	Override string `json:"override_type"`
	Status   string `json:"status"`
}

type incident struct {
	ID          int64             `json:"incident_id"`
	Kind        string            `json:"kind"`
	Severity    string            `json:"severity"`
	Priority    string            `json:"priority"`
	Status      string            `json:"status"`
	Title       string            `json:"title"`
	Description string            `json:"description"`
	Desk        string            `json:"desk"`
	Owner       string            `json:"owner"`
	Assignee    *person           `json:"assignee"`
	Source      string            `json:"source"`
	System      string            `json:"system"`
	DedupKey    string            `json:"dedup_key"`
	SubjectKind string            `json:"subject_kind"`
	SubjectID   string            `json:"subject_id"`
	ExposureUSD *string           `json:"exposure_usd"`
	Details     map[string]string `json:"details"`
	Origin      string            `json:"origin"`
	OpenedBy    *person           `json:"opened_by"`
	OpenerType  string            `json:"opened_by_type"`
	Version     int64             `json:"version"`
	TraceID     string            `json:"trace_id"`
	OpenedAt    time.Time         `json:"opened_at"`
	UpdatedAt   time.Time         `json:"updated_at"`

	ParentID        *int64     `json:"parent_id"`
	MergedInto      *int64     `json:"merged_into"`
	TransactionID   *int64     `json:"transaction_id"`
	Occurrences     int64      `json:"occurrences"`
	LastSeenAt      time.Time  `json:"last_seen_at"`
	Reopened        int        `json:"reopened"`
	AcknowledgedAt  *time.Time `json:"acknowledged_at"`
	AcknowledgedBy  *person    `json:"acknowledged_by"`
	ResolvedAt      *time.Time `json:"resolved_at"`
	ResolvedBy      *person    `json:"resolved_by"`
	Resolution      string     `json:"resolution"`
	ClosedAt        *time.Time `json:"closed_at"`
	AckDueAt        *time.Time `json:"ack_due_at"`
	ResolveDueAt    *time.Time `json:"resolve_due_at"`
	EscalationLevel int        `json:"escalation_level"`
	SuppressedUntil *time.Time `json:"suppressed_until"`
	AllowedActions  []string   `json:"allowed_actions"`
}

// Can reports whether the visitor may do something with the incident now.
func (i incident) Can(what string) bool { return slices.Contains(i.AllowedActions, what) }

type incidentPage struct {
	Items      []incident `json:"items"`
	NextBefore int64      `json:"next_before"`
}

type moment struct {
	At    time.Time       `json:"at"`
	Kind  string          `json:"kind"`
	Actor *person         `json:"actor"`
	Text  string          `json:"text"`
	Data  json.RawMessage `json:"data"`
}

type timeline struct {
	Items      []moment `json:"items"`
	NextBefore string   `json:"next_before"`
}

type occurrence struct {
	ID         int64     `json:"occurrence_id"`
	Key        string    `json:"occurrence_key"`
	Firing     bool      `json:"firing"`
	At         time.Time `json:"at"`
	Summary    string    `json:"summary"`
	Source     string    `json:"source"`
	RecordedAt time.Time `json:"recorded_at"`
}

type occurrencePage struct {
	Items      []occurrence `json:"items"`
	NextBefore int64        `json:"next_before"`
}

type run struct {
	ID          int64             `json:"run_id"`
	ApprovalID  int64             `json:"approval_request_id"`
	Kind        string            `json:"kind"`
	IncidentID  int64             `json:"incident_id"`
	Parameters  map[string]string `json:"parameters"`
	Simulation  bool              `json:"is_simulation"`
	Status      string            `json:"status"`
	Failure     string            `json:"failure"`
	Requester   *person           `json:"requester"`
	Desk        string            `json:"desk"`
	WorkflowID  string            `json:"workflow_id"`
	TraceID     string            `json:"trace_id"`
	StartedAt   time.Time         `json:"started_at"`
	EndedAt     *time.Time        `json:"ended_at"`
	Explanation string            `json:"ai_explanation"`
	Input       string            `json:"agent_input"`
	Output      string            `json:"agent_output"`
	Version     string            `json:"agent_version"`
	Override    string            `json:"override_type"`
	ModelText   bool              `json:"is_model_text"`
	Fallback    string            `json:"fallback"`
	Result      *output           `json:"result"`
	Problems    []string          `json:"problems"`
	Suspicions  []suspicion       `json:"suspicions"`
	Evidence    []evidence        `json:"evidence"`
	Findings    []finding         `json:"findings"`
	Verdicts    []verdict         `json:"verdicts"`
	Actions     []int64           `json:"actions"`
	Spend       *spend            `json:"spend"`
}

type output struct {
	Category      string     `json:"category"`
	Severity      string     `json:"severity"`
	Inconclusive  bool       `json:"inconclusive"`
	Summary       string     `json:"summary"`
	ProbableCause string     `json:"probable_cause"`
	Confidence    string     `json:"confidence"`
	Claims        []claim    `json:"claims"`
	Proposals     []proposal `json:"proposals"`
	Rules         []string   `json:"rules"`
}

type claim struct {
	Text   string `json:"text"`
	Cites  []cite `json:"cites"`
	Struck bool   `json:"struck"`
	Why    string `json:"why"`
}

type cite struct {
	Evidence string `json:"evidence"`
	Start    int    `json:"start"`
	End      int    `json:"end"`
	Quote    string `json:"quote"`
}

type proposal struct {
	Action     string            `json:"action"`
	Target     string            `json:"target"`
	Parameters map[string]string `json:"parameters"`
	Reason     string            `json:"reason"`
}

type suspicion struct {
	Where string `json:"where"`
	What  string `json:"what"`
	Quote string `json:"quote"`
}

type evidence struct {
	ID     string            `json:"id"`
	Kind   string            `json:"kind"`
	Source string            `json:"source"`
	Facts  map[string]string `json:"facts"`
	Text   string            `json:"text"`
	SHA256 string            `json:"sha256"`
}

type finding struct {
	ID       string            `json:"finding_id"`
	Rule     string            `json:"rule"`
	Version  string            `json:"rule_version"`
	Severity string            `json:"severity"`
	Party    string            `json:"party"`
	Records  []string          `json:"records"`
	Facts    map[string]string `json:"facts"`
	Text     string            `json:"text"`
}

type verdict struct {
	Field       string    `json:"field"`
	Recommended string    `json:"recommended"`
	Chosen      string    `json:"chosen"`
	Override    string    `json:"override_type"`
	Reason      string    `json:"reason"`
	By          *person   `json:"by"`
	At          time.Time `json:"at"`
}

type spend struct {
	Calls  int64  `json:"calls"`
	Tokens int64  `json:"tokens"`
	USD    string `json:"usd"`
	Millis int64  `json:"milliseconds"`
}

type runPage struct {
	Items      []run `json:"items"`
	NextBefore int64 `json:"next_before"`
}

type plan struct {
	ID             int64             `json:"action_id"`
	RunID          int64             `json:"run_id"`
	IncidentID     int64             `json:"incident_id"`
	Action         string            `json:"action"`
	Version        int               `json:"action_version"`
	Connector      string            `json:"connector"`
	Target         string            `json:"target"`
	TargetVersion  string            `json:"target_version"`
	Parameters     map[string]string `json:"parameters"`
	Changes        []change          `json:"changes"`
	Amount         string            `json:"amount"`
	AmountUSD      string            `json:"amount_usd"`
	Quantity       string            `json:"quantity"`
	Notes          []string          `json:"notes"`
	Compensation   *command          `json:"compensation"`
	PlanDigest     string            `json:"plan_digest"`
	RiskTier       string            `json:"risk_tier"`
	Simulation     bool              `json:"is_simulation"`
	Requester      *person           `json:"requester"`
	Desk           string            `json:"desk"`
	Reason         string            `json:"reason"`
	PlannedAt      time.Time         `json:"planned_at"`
	Status         string            `json:"status"`
	StatusReason   string            `json:"status_reason"`
	Recovery       string            `json:"recovery"`
	RecoveryReason string            `json:"recovery_reason"`
	IdempotencyKey string            `json:"idempotency_key"`
	EffectID       string            `json:"effect_id"`
	BeganAt        *time.Time        `json:"began_at"`
	SentAt         *time.Time        `json:"sent_at"`
	EndedAt        *time.Time        `json:"ended_at"`
	ResolvedBy     *person           `json:"resolved_by"`
}

type change struct {
	Field  string `json:"field"`
	Before string `json:"before"`
	After  string `json:"after"`
}

type command struct {
	Action     string            `json:"action"`
	Parameters map[string]string `json:"parameters"`
}

type planPage struct {
	Items      []plan `json:"items"`
	NextBefore int64  `json:"next_before"`
}

type stop struct {
	ID       int64      `json:"stop_id"`
	Desk     string     `json:"desk"`
	Reason   string     `json:"reason"`
	By       *person    `json:"by"`
	At       time.Time  `json:"at"`
	InForce  bool       `json:"in_force"`
	LiftedAt *time.Time `json:"lifted_at"`
	LiftedBy int64      `json:"lifted_by"`
}

type stopList struct {
	Items []stop `json:"items"`
}

type runRecord struct {
	SHA256    map[string]string `json:"sha256"`
	Exchanges [][]byte          `json:"exchanges"`
}

type user struct {
	Subject string   `json:"sub"`
	Roles   []string `json:"roles"`
	Active  bool     `json:"active"`
}

type userPage struct {
	Items []user `json:"items"`
}

// logged is an entry of the log as the search shows it.
type logged struct {
	Index        int64     `json:"leaf_index"`
	EntryID      string    `json:"entry_id"`
	RecordedAt   time.Time `json:"recorded_at"`
	Type         string    `json:"type"`
	Action       string    `json:"action"`
	Outcome      string    `json:"outcome"`
	Desk         string    `json:"desk"`
	WorkflowID   string    `json:"workflow_id"`
	TraceID      string    `json:"trace_id"`
	AgentVersion string    `json:"agent_version"`
	OverrideType string    `json:"override_type"`
	Reason       string    `json:"reason"`
	ActorType    string    `json:"actor_type"`
	ActorSub     string    `json:"actor_sub"`
	SubjectKind  string    `json:"subject_kind"`
	SubjectID    string    `json:"subject_id"`
	IsSimulation bool      `json:"is_simulation"`
	LeafSHA256   string    `json:"leaf_sha256"`
}

type logPage struct {
	Items []logged `json:"items"`
	Next  int64    `json:"next"`
}
