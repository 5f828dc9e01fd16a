package approval

import (
	"encoding/json"
	"fmt"
	"time"

	"finobs/internal/canonical"
)

// Request is a request for approval as it is recorded. Everything but the status
// and the times that go with it is written once.
type Request struct {
	ID           int64      `json:"id"`
	WorkflowID   string     `json:"workflow_id"`
	FirstRunID   string     `json:"first_run_id"`
	Kind         string     `json:"kind"`
	Action       []byte     `json:"action"` // canonical bytes; ParseAction reads them
	ActionDigest string     `json:"action_digest"`
	PolicyID     string     `json:"policy_id"`
	Policy       []byte     `json:"policy"` // frozen; Thaw compiles it
	PolicyDigest string     `json:"policy_digest"`
	Requester    Person     `json:"requester"`
	Desk         string     `json:"desk"`
	Simulation   bool       `json:"simulation"`
	Reason       string     `json:"reason"`
	Command      string     `json:"command"` // token, see package attest
	RequestID    string     `json:"request_id"`
	TraceID      string     `json:"trace_id"`
	AskedAt      time.Time  `json:"-"` // when the API signed it; known while it is put on record
	CreatedAt    time.Time  `json:"created_at"`
	ExpiresAt    time.Time  `json:"expires_at"`
	Status       Status     `json:"status"`
	StatusReason string     `json:"status_reason"`
	ClosedAt     *time.Time `json:"closed_at"` // when it left Pending
	UseBy        *time.Time `json:"use_by"`    // when Approved: last moment of use
	ConsumedAt   *time.Time `json:"consumed_at"`
	ConsumedBy   string     `json:"consumed_by"` // workflow that spent the approval

	Summary         string     `json:"summary"`              // what approvers are shown, see Render; frozen at the request
	Attachment      string     `json:"attachment,omitempty"` // content that the action names by its digest
	Reopens         int64      `json:"reopens,omitempty"`    // the earlier request that this one takes up again
	Supersedes      int64      `json:"supersedes,omitempty"` // the request that this one takes the place of
	Assignee        Person     `json:"assignee"`             // who is to look at it; empty for nobody
	EscalationLevel int        `json:"escalation_level"`     // escalations so far
	FallbackAt      *time.Time `json:"fallback_at"`          // since when the fallback list is admitted
}

// Links are the other requests that a request refers to; 0 for none.
type Links struct {
	Reopens    int64 `json:"reopens,omitempty"`
	Supersedes int64 `json:"supersedes,omitempty"`
}

// Links returns the links of r.
func (r Request) Links() Links { return Links{r.Reopens, r.Supersedes} }

// Open reports whether r can still be decided on or used.
func (r Request) Open() bool { return r.Status == Pending || r.Status == Approved }

// Fallback reports whether the policy's fallback list is admitted.
func (r Request) Fallback() bool { return r.FallbackAt != nil }

// DecisionOutcome says what became of a delivered decision.
type DecisionOutcome string

// The closed set of outcomes of a decision.
const (
	Counted  DecisionOutcome = "counted"
	Repeated DecisionOutcome = "repeated" // the person had decided already
	Refused  DecisionOutcome = "refused"  // late, or the person may not decide
)

// Recorded is a decision as it is recorded.
type Recorded struct {
	Decision
	ApprovalID    int64           `json:"approval_id"`
	Reason        string          `json:"reason"`
	Token         string          `json:"token"`
	Outcome       DecisionOutcome `json:"outcome"`
	OutcomeReason string          `json:"outcome_reason"` // why it did not count
	CountedAs     string          `json:"counted_as"`     // Repeated: id of the person's first decision
	SummarySHA256 string          `json:"summary_sha256"` // of what the approver was shown, hexadecimal
	TraceID       string          `json:"trace_id"`
	DecidedAt     time.Time       `json:"decided_at"`
	RecordedAt    time.Time       `json:"recorded_at"`
}

// ParseAction reads what Canonical wrote and refuses any other bytes.
func ParseAction(b []byte) (Action, error) {
	var a Action
	if _, err := canonical.Parse(b); err != nil {
		return a, fmt.Errorf("reading action: %w", err)
	}
	if err := json.Unmarshal(b, &a); err != nil {
		return a, fmt.Errorf("reading action: %w", err)
	}
	again, err := a.Canonical()
	if err != nil {
		return a, err
	}
	if string(again) != string(b) {
		return a, fmt.Errorf("reading action: it has members that no action has")
	}
	return a, nil
}
