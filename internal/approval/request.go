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
	CreatedAt    time.Time  `json:"created_at"`
	ExpiresAt    time.Time  `json:"expires_at"`
	Status       Status     `json:"status"`
	StatusReason string     `json:"status_reason"`
	ClosedAt     *time.Time `json:"closed_at"` // when it left Pending
	UseBy        *time.Time `json:"use_by"`    // when Approved: last moment of use
	ConsumedAt   *time.Time `json:"consumed_at"`
	ConsumedBy   string     `json:"consumed_by"` // workflow that spent the approval
}

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
