// Package ledger says what an entry of the record is and which bytes of it are
// hashed. It is pure: package store writes entries, finaudit checks them.
package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"finobs/internal/approval"
	"finobs/internal/canonical"
)

// MaxLeaf is the size limit of a leaf in bytes. Larger agent input and output
// is kept as a blob, and only its digest enters the leaf.
const MaxLeaf = 16 << 10

// Version is the version of the leaf format.
const Version = "1"

// Actor is who or what did something.
type Actor struct {
	Kind approval.ActorKind
	approval.Person
}

// By returns the actor that a principal is.
func By(p approval.Principal) Actor { return Actor{Kind: p.Kind, Person: p.Person} }

// Itself is the actor of what finobs does on its own account, such as letting a
// request expire.
func Itself(part string) Actor {
	return Actor{Kind: approval.System, Person: approval.Person{Issuer: "finobs", Subject: part}}
}

// Workflow names the execution that wrote an entry. FirstRun is the first run
// of a chain of continue-as-new, so that a continued or reset execution repeats
// the same idempotency key.
type Workflow struct {
	Namespace, ID, FirstRun string
}

// Subject is what an entry is about.
type Subject struct {
	Kind, ID string
}

// AgentRecord is what the record keeps of an agent's part in an act.
type AgentRecord struct {
	Explanation string
	Input       []byte // kept as a blob
	Output      []byte // kept as a blob
	Version     string
}

// Entry is one record of something that happened or was refused. Times and ids
// are filled in by the store.
type Entry struct {
	Type         string // dotted: "approval.requested"
	Actor        Actor
	Workflow     Workflow
	Subject      Subject
	Action       string // imperative: "request", "approve", "export"
	Outcome      string // "done", "refused", "pending", …
	Reason       string // as given by a person, or why something was refused
	Desk         string
	RequestID    string
	TraceID      string
	Details      canonical.Object // what is particular to the type; strings, booleans, lists
	Agent        *AgentRecord     // nil when no agent took part
	OverrideType string           // ai_override, manual_override or empty
	Simulation   bool
}

// Sealed is an entry in the form that is stored.
type Sealed struct {
	Leaf          []byte // canonical JSON
	LeafSHA256    [32]byte
	ContentSHA256 [32]byte // the leaf without id and time: what a retry must repeat
}

// Seal returns the bytes of e under the given id and time, and under the
// idempotency key of the step that it records.
func (e Entry) Seal(id string, at time.Time, key [32]byte) (Sealed, error) {
	object := e.content()
	object["idem_key"] = hex.EncodeToString(key[:])
	content, err := canonical.JSON(object)
	if err != nil {
		return Sealed{}, fmt.Errorf("sealing entry %s: %w", e.Type, err)
	}
	object["id"] = id
	object["time"] = FormatTime(at)
	leaf, err := canonical.JSON(object)
	if err != nil {
		return Sealed{}, fmt.Errorf("sealing entry %s: %w", e.Type, err)
	}
	if len(leaf) > MaxLeaf {
		return Sealed{}, fmt.Errorf("entry %s has %d bytes, over the limit of %d", e.Type, len(leaf), MaxLeaf)
	}
	return Sealed{Leaf: leaf, LeafSHA256: sha256.Sum256(leaf), ContentSHA256: sha256.Sum256(content)}, nil
}

// FormatTime writes a time as leaves carry it: UTC, microseconds, the resolution
// of the database's clock.
func FormatTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

func (e Entry) content() canonical.Object {
	o := canonical.Object{
		"v":             Version,
		"type":          e.Type,
		"actor":         canonical.Object{"kind": string(e.Actor.Kind), "iss": e.Actor.Issuer, "sub": e.Actor.Subject},
		"workflow":      canonical.Object{"namespace": e.Workflow.Namespace, "id": e.Workflow.ID, "first_run": e.Workflow.FirstRun},
		"subject":       canonical.Object{"kind": e.Subject.Kind, "id": e.Subject.ID},
		"action":        e.Action,
		"outcome":       e.Outcome,
		"reason":        e.Reason,
		"desk":          e.Desk,
		"request_id":    e.RequestID,
		"trace_id":      e.TraceID,
		"is_simulation": e.Simulation,
	}
	if len(e.Details) > 0 {
		o["details"] = e.Details
	}
	if e.OverrideType != "" {
		o["override_type"] = e.OverrideType
	}
	if e.Agent != nil {
		o["ai"] = canonical.Object{
			"explanation":   e.Agent.Explanation,
			"input_sha256":  fmt.Sprintf("%x", sha256.Sum256(e.Agent.Input)),
			"output_sha256": fmt.Sprintf("%x", sha256.Sum256(e.Agent.Output)),
			"version":       e.Agent.Version,
		}
	}
	return o
}

// Step names one write of one workflow execution. Step is a constant in the
// code, Ordinal tells the turns of a loop apart (a decision's id, a line
// number). Attempts and run ids are left out on purpose: a retry must meet its
// own earlier write.
type Step struct {
	Workflow Workflow
	Step     string
	Ordinal  string
}

// Key is the idempotency key of the step: at most one entry has it.
func (s Step) Key() [32]byte {
	h := sha256.New()
	for _, part := range []string{"finobs.idem.v1", s.Workflow.Namespace, s.Workflow.ID, s.Workflow.FirstRun, s.Step, s.Ordinal} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return [32]byte(h.Sum(nil))
}

// Receipt is the answer to an append.
type Receipt struct {
	EntryID    string
	RecordedAt time.Time
	Replayed   bool // the same entry was there already; nothing was written
}
