package approval

import "time"

// ReceiptVersion is the version of the form of a receipt.
const ReceiptVersion = "1"

// Receipt is all that proves offline, with the API's public key alone, who
// decided what on a request, and what they were shown.
type Receipt struct {
	Version   string     `json:"version"`
	Request   Request    `json:"request"`
	Decisions []Recorded `json:"decisions"`
	Statement Statement  `json:"statement"`
}

// Statement says in short what the evidence amounts to. It is a convenience: a
// verifier computes it again.
type Statement struct {
	ApprovalID   int64             `json:"approval_id"`
	Status       Status            `json:"status"`
	ActionDigest string            `json:"action_digest"`
	PolicyDigest string            `json:"policy_digest"`
	Requester    Person            `json:"requester"`
	Deciders     []ReceiptDecision `json:"deciders"` // decisions that counted
	IssuedAt     time.Time         `json:"issued_at"`
}

// ReceiptDecision is a decision that counted, in short.
type ReceiptDecision struct {
	DecisionID    string    `json:"decision_id"`
	Verdict       Verdict   `json:"verdict"`
	Reviewer      Person    `json:"reviewer"`
	OnBehalfOf    *Person   `json:"on_behalf_of,omitempty"`
	DecidedAt     time.Time `json:"decided_at"`
	SummarySHA256 string    `json:"summary_sha256"` // of the text that the reviewer was shown
	KeyID         string    `json:"key_id"`         // of the key that signed the token
}

// ReceiptOf puts a receipt together. keyID reads which key signed a token.
func ReceiptOf(r Request, decisions []Recorded, issuedAt time.Time, keyID func(token string) string) Receipt {
	out := Receipt{Version: ReceiptVersion, Request: r, Decisions: decisions, Statement: Statement{
		ApprovalID: r.ID, Status: r.Status, ActionDigest: r.ActionDigest, PolicyDigest: r.PolicyDigest, Requester: r.Requester,
		Deciders: []ReceiptDecision{}, IssuedAt: issuedAt,
	}}
	for _, d := range decisions {
		if d.Outcome != Counted {
			continue
		}
		short := ReceiptDecision{
			DecisionID: d.ID, Verdict: d.Verdict, Reviewer: d.Reviewer.Person, DecidedAt: d.DecidedAt,
			SummarySHA256: d.SummarySHA256, KeyID: keyID(d.Token),
		}
		if d.OnBehalfOf != nil {
			short.OnBehalfOf = &d.OnBehalfOf.Person
		}
		out.Statement.Deciders = append(out.Statement.Deciders, short)
	}
	return out
}
