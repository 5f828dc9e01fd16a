// Package agent holds what agents are shown, what they may say, and how it is
// checked. It is pure.
//
// An analyst is not trusted: it fills an Output, nothing else, and Check decides
// what of it is kept. No field of an Output grants, approves or carries out
// anything.
package agent

import (
	"crypto/sha256"
	"encoding/hex"

	"finobs/internal/desk"
)

// Kind is what a run of an agent is for.
type Kind string

// The closed set of kinds.
const (
	Triage       Kind = "triage"
	Remediate    Kind = "remediate"
	Compliance   Kind = "compliance"
	AuditSummary Kind = "audit_summary"
)

// Valid reports whether k is one of the kinds above.
func (k Kind) Valid() bool {
	return k == Triage || k == Remediate || k == Compliance || k == AuditSummary
}

// Evidence is one thing that an analyst is shown. Facts were made by finobs from
// typed columns and may steer what is done; Text may hold words of anybody, and
// steers only what is said.
type Evidence struct {
	ID     string            `json:"id"`     // "E1", "E2", … in the order in which they were gathered
	Kind   EvidenceKind      `json:"kind"`   // what it is
	Source string            `json:"source"` // where it was read, such as "incident:42"
	Facts  map[string]string `json:"facts"`
	Text   string            `json:"text"` // valid UTF-8, what spans count bytes in
	SHA256 string            `json:"sha256"`
}

// EvidenceKind says what an evidence is.
type EvidenceKind string

// The closed set of kinds of evidence.
const (
	OfIncident    EvidenceKind = "incident"    // the incident itself; facts: see internal/agent/facts.go
	OfTimeline    EvidenceKind = "timeline"    // what happened to it, oldest first
	OfRelated     EvidenceKind = "related"     // another incident of the same system, subject or source
	OfTrade       EvidenceKind = "trade"       // the trade it is about
	OfOtherSide   EvidenceKind = "other_side"  // the same trade as another source states it
	OfSettlement  EvidenceKind = "settlement"  // fails and settlement status of its security or trade
	OfSystem      EvidenceKind = "system"      // the health of the system by its heartbeats
	OfLedger      EvidenceKind = "ledger"      // entries of the log about it
	OfTarget      EvidenceKind = "target"      // an object of a desk system as a connector reads it; in scope for actions
	OfFinding     EvidenceKind = "finding"     // a finding of the compliance rules
	OfCounts      EvidenceKind = "counts"      // counts that finobs computed over a range of the log
	OfTransaction EvidenceKind = "transaction" // a transaction that a finding names
)

// Digest is the SHA-256 of an evidence's text in hexadecimal.
func Digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// Category is what an incident is about, finer than its kind.
type Category string

// The closed set of categories.
const (
	CategoryTradeBreak     Category = "trade_break"
	CategoryOrderReject    Category = "order_reject"
	CategorySessionReject  Category = "session_reject"
	CategorySettlementFail Category = "settlement_fail"
	CategoryStaticData     Category = "static_data"
	CategoryMarketData     Category = "market_data"
	CategoryConnectivity   Category = "connectivity"
	CategoryInfrastructure Category = "infrastructure"
	CategoryCapacity       Category = "capacity"
	CategoryAccess         Category = "access"
	CategoryCompliance     Category = "compliance"
	CategoryOther          Category = "other"
)

// Categories lists all of them.
func Categories() []Category {
	return []Category{
		CategoryTradeBreak, CategoryOrderReject, CategorySessionReject, CategorySettlementFail, CategoryStaticData, CategoryMarketData,
		CategoryConnectivity, CategoryInfrastructure, CategoryCapacity, CategoryAccess, CategoryCompliance, CategoryOther,
	}
}

// Output is what an analyst says about a bundle of evidence. After Check it holds
// only what passed.
type Output struct {
	Category      Category      `json:"category"`
	Severity      desk.Severity `json:"severity"`
	Inconclusive  bool          `json:"inconclusive"`    // the evidence does not suffice for a cause: a valid answer
	Summary       string        `json:"summary"`         // at most MaxProse bytes
	ProbableCause string        `json:"probable_cause"`  // at most MaxProse bytes; empty when inconclusive
	Confidence    string        `json:"confidence"`      // "0.00" to "1.00"
	Claims        []Claim       `json:"claims"`          // at most MaxClaims
	Proposals     []Proposal    `json:"proposals"`       // at most MaxProposals
	Rules         []string      `json:"rules,omitempty"` // of the rulebook that fired, in order; empty from a model
}

// Claim is a sentence with what proves it. A claim that failed its check is kept,
// struck through.
type Claim struct {
	Text   string `json:"text"`
	Cites  []Cite `json:"cites"`
	Struck bool   `json:"struck,omitempty"`
	Why    string `json:"why,omitempty"` // it was struck
}

// Cite names a span of an evidence's text, in bytes, end exclusive, and repeats it
// word for word.
type Cite struct {
	Evidence string `json:"evidence"`
	Start    int    `json:"start"`
	End      int    `json:"end"`
	Quote    string `json:"quote"`
}

// Proposal names an action of the catalogue over a target that is in evidence.
type Proposal struct {
	Action     string            `json:"action"`     // such as "settlement.reinstruct"
	Target     string            `json:"target"`     // id of an evidence of kind target
	Parameters map[string]string `json:"parameters"` // by the action's schema
	Reason     string            `json:"reason"`     // at most MaxProse bytes
}

// Limits of an output.
const (
	MaxProse     = 1000 // bytes of a text
	MaxClaims    = 20
	MaxCites     = 8
	MaxProposals = 5
)

// Suspicion is something in evidence or output that looks like an attempt to steer
// the agent. It changes nothing by itself; people are shown it.
type Suspicion struct {
	Where string `json:"where"` // evidence id, "output", or such as "answer 1, refused"
	What  string `json:"what"`  // such as "instruction_to_agent", "invisible_text", "claims_approval"
	Quote string `json:"quote"` // at most 200 bytes, cleaned
}
