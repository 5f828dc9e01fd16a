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
	ID           int64
	WorkflowID   string
	FirstRunID   string
	Kind         string
	Action       []byte // canonical bytes; ParseAction reads them
	ActionDigest string
	PolicyID     string
	Policy       []byte // frozen; Thaw compiles it
	PolicyDigest string
	Requester    Person
	Desk         string
	Simulation   bool
	Reason       string
	Command      string // token, see package attest
	RequestID    string
	TraceID      string
	CreatedAt    time.Time
	ExpiresAt    time.Time
	Status       Status
	StatusReason string
	ClosedAt     *time.Time // when it left Pending
	UseBy        *time.Time // when Approved: last moment of use
	ConsumedAt   *time.Time
	ConsumedBy   string // workflow that spent the approval
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
	ApprovalID    int64
	Reason        string
	Token         string
	Outcome       DecisionOutcome
	OutcomeReason string // why it did not count
	CountedAs     string // Repeated: id of the person's first decision
	TraceID       string
	DecidedAt     time.Time
	RecordedAt    time.Time
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
