package export

import (
	"encoding/json"
	"time"

	"finobs/internal/approval"
)

// Delivery is one attempt at taking a bundle to a destination, as it is recorded.
type Delivery struct {
	ID           int64           `json:"delivery_id"`
	ExportID     int64           `json:"export_id"`
	Destination  string          `json:"destination"`
	Attempt      int             `json:"attempt"` // of this export to this destination, from 1
	Status       DeliveryStatus  `json:"status"`
	Receipt      json.RawMessage `json:"receipt"`               // where it lies
	Detail       string          `json:"detail"`                // why it failed, or is not known
	RequestedBy  approval.Person `json:"requested_by"`          // who asked for it again; empty for the first delivery
	ApprovalID   int64           `json:"approval_id,omitempty"` // of a delivery to another destination than the approved one
	WorkflowID   string          `json:"workflow_id"`
	StartedAt    time.Time       `json:"started_at"`
	EndedAt      *time.Time      `json:"ended_at,omitempty"`
	Verification Finding         `json:"verification"` // of the newest reading back
	VerifiedAt   *time.Time      `json:"verified_at,omitempty"`
}

// Place is a destination as the configuration has it.
type Place struct {
	Name    string
	Type    string // download, file, s3 or smtp
	Digest  string // of what the name stands for; empty for Download
	Default bool
}

// Worst returns the verdict that weighs most: what is wrong before what is not
// known before what is right.
func Worst(verdicts ...Verdict) Verdict {
	rank := map[Verdict]int{Tampered: 7, SignatureInvalid: 6, KeyUnknown: 5, Missing: 4, Unreachable: 3, Verified: 2, Unreadable: 1}
	out := Unverified
	for _, v := range verdicts {
		if rank[v] > rank[out] {
			out = v
		}
	}
	return out
}
