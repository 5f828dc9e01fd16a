// Package export says what an export is: which dataset, which filters, which
// columns, and how rows become bytes. It is pure.
package export

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"finobs/internal/approval"
)

// Status is where an export stands.
type Status string

// The closed set of statuses.
const (
	Intended Status = "intended" // the approval is spent, the artefact is not complete
	Sealed   Status = "sealed"   // the artefact is complete, its manifest signed and in the ledger
	Failed   Status = "failed"   // its workflow ended before the artefact was complete
)

// DeliveryStatus says whether an export reached its destination.
type DeliveryStatus string

// The closed set of delivery statuses, of an attempt and of an export.
const (
	Undelivered     DeliveryStatus = "pending"    // no attempt was made yet
	Delivering      DeliveryStatus = "attempting" // begun; its end is not on record
	Delivered       DeliveryStatus = "delivered"
	NotDelivered    DeliveryStatus = "failed"
	DeliveryUnknown DeliveryStatus = "unknown" // it may have arrived; a person has to look
)

// Export is an export as it is recorded.
type Export struct {
	ID             int64             `json:"id"`
	ApprovalID     int64             `json:"approval_id"` // its own approval, or that of its schedule
	ActionDigest   string            `json:"action_digest"`
	ScheduleID     int64             `json:"schedule_id,omitempty"` // 0: it was asked for by hand
	Slot           *time.Time        `json:"slot,omitempty"`        // of the schedule
	Dataset        string            `json:"dataset"`
	DatasetVersion string            `json:"dataset_version"`
	Format         Format            `json:"format"`
	Compression    Compression       `json:"compression"`
	Destination    string            `json:"destination"`
	Filters        map[string]string `json:"filters"`
	Columns        []string          `json:"columns"`
	Requester      approval.Person   `json:"requester"`
	Desk           string            `json:"desk"`
	Simulation     bool              `json:"simulation"`
	WorkflowID     string            `json:"workflow_id"`
	TraceID        string            `json:"trace_id"`
	Status         Status            `json:"status"`
	CreatedAt      time.Time         `json:"created_at"`
	Seal           *Seal             `json:"seal"` // nil until Sealed

	BundledAt          *time.Time     `json:"bundled_at,omitempty"` // since when the bundle is complete in the store
	DeliveryStatus     DeliveryStatus `json:"delivery_status"`
	DeliveredAt        *time.Time     `json:"delivered_at,omitempty"`
	VerificationStatus Verdict        `json:"verification_status"` // of the newest verification
	VerifiedAt         *time.Time     `json:"verified_at,omitempty"`
}

// Seal is what is known of a complete artefact. The identity of an export is the
// digest of its content, which no compressor changes.
type Seal struct {
	Snapshot       string    `json:"snapshot"` // pg_current_snapshot() of the one read
	SnapshotAt     time.Time `json:"snapshot_at"`
	Checkpoint     string    `json:"checkpoint"`           // newest signed checkpoint of the log in that snapshot; empty when there was none
	FromLeaf       int64     `json:"from_leaf,omitempty"`  // of ledger-bounded datasets: first index, and the one after the last
	ToLeaf         int64     `json:"to_leaf,omitempty"`    //
	Reproducible   bool      `json:"reproducible"`         // the same spec and range give the same bytes again
	FileName       string    `json:"file_name"`            //
	FileSHA256     string    `json:"file_sha256"`          // of the file's bytes, hexadecimal
	FileBytes      int64     `json:"file_bytes"`           //
	ContentSHA256  string    `json:"content_sha256"`       // of the uncompressed bytes, hexadecimal
	ContentBytes   int64     `json:"content_bytes"`        //
	Rows           int64     `json:"rows"`                 //
	Number         int64     `json:"number"`               // place in the chain of manifests, from 1
	PrevManifest   string    `json:"prev_manifest_sha256"` // of the manifest before, hexadecimal; zeros for the first
	ManifestSHA256 string    `json:"manifest_sha256"`      // of the envelope's bytes, hexadecimal
	Manifest       string    `json:"manifest"`             // DSSE envelope over an in-toto statement
	KeyID          string    `json:"key_id"`               // of the key that signed it
	EntryID        string    `json:"entry_id"`             // ledger entry with the manifest's digest
	Generator      string    `json:"generator"`            // program and version that wrote it
	SealedAt       time.Time `json:"sealed_at"`            //
}

// FirstPrev stands for the manifest before the first one.
const FirstPrev = "0000000000000000000000000000000000000000000000000000000000000000"

// Phases of an export.
const (
	PhaseApproval   = "approval"
	PhaseGenerating = "generating"
	PhaseSealing    = "sealing"
	PhaseDelivering = "delivering"
	PhaseDone       = "done"
	PhaseFailed     = "failed"
)

// Progress is how far an export has come.
type Progress struct {
	Phase string `json:"phase"`
	Rows  int64  `json:"rows"`  // written so far
	Total int64  `json:"total"` // to be written; 0 while it is not known
}

// ErrMismatch is wrapped by every finding about an export that is not what was
// recorded or approved.
var ErrMismatch = errors.New("mismatch")

func mismatch(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrMismatch}, args...)...)
}

// AuthorisedBy checks that the approved action a of request r lets x happen: as
// the one export that it asks for, or as one slot of the schedule that it grants.
func (x Export) AuthorisedBy(r approval.Request, a approval.Action) error {
	if x.ScheduleID != 0 {
		return x.CarriesOutGrant(r, a)
	}
	return x.CarriesOut(r, a)
}

// CarriesOut checks that x is the export that the action a of request r asks for,
// in all that was approved.
func (x Export) CarriesOut(r approval.Request, a approval.Action) error {
	spec, err := FromAction(a)
	switch {
	case err != nil:
		return mismatch("the approved action is no export: %v", err)
	case x.ApprovalID != r.ID || x.ActionDigest != r.ActionDigest:
		return mismatch("export %d belongs to another approval", x.ID)
	case x.Requester != r.Requester:
		return mismatch("export %d was made for somebody else than who asked", x.ID)
	case x.ScheduleID != 0:
		return mismatch("export %d is said to be of schedule %d, and was approved by itself", x.ID, x.ScheduleID)
	}
	return x.follows(spec)
}

// follows checks that x is what s says.
func (x Export) follows(s Spec) error {
	switch {
	case x.Dataset != s.Dataset.Name || x.DatasetVersion != s.Dataset.Version || x.Format != s.Format || x.Compression != s.Compression ||
		x.Destination != s.Destination.Name || !maps.Equal(x.Filters, s.Filters):
		return mismatch("export %d is not the export that was approved", x.ID)
	case !slices.Equal(x.Columns, s.Dataset.ColumnNames()):
		return mismatch("export %d has other columns than version %s of the dataset", x.ID, s.Dataset.Version)
	}
	return nil
}

// Verdict is what a verification found.
type Verdict string

// The closed set of verdicts.
const (
	Unverified       Verdict = "unverified"
	Verified         Verdict = "verified"
	Tampered         Verdict = "tampered"          // it differs from what was sealed
	Missing          Verdict = "missing"           // it, or a part of it, is not there
	SignatureInvalid Verdict = "signature_invalid" // a signature of a trusted key does not hold
	KeyUnknown       Verdict = "key_unknown"       // nothing that is trusted signed it
	Unreachable      Verdict = "unreachable"       // its destination does not answer, so nothing is known
	Unreadable       Verdict = "unreadable"        // its destination cannot be read back, as a mailbox
)

// Finding is a verdict with what it rests on.
type Finding struct {
	Verdict Verdict `json:"verdict"`
	Code    string  `json:"code"`   // what differs, in one word: content, truncated, recompressed, …
	Detail  string  `json:"detail"` // for people
}

// Intend is the export of a spec that was approved by itself.
func Intend(s Spec, r approval.Request) Export {
	return Export{
		ApprovalID: r.ID, ActionDigest: r.ActionDigest, Dataset: s.Dataset.Name, DatasetVersion: s.Dataset.Version, Format: s.Format,
		Compression: s.Compression, Destination: s.Destination.Name, Filters: s.Filters, Columns: s.Dataset.ColumnNames(),
		Requester: r.Requester, Desk: r.Desk, Simulation: r.Simulation, TraceID: r.TraceID, Status: Intended,
		DeliveryStatus: Undelivered, VerificationStatus: Unverified,
	}
}

// Snapshot says what a dataset was read from.
type Snapshot struct {
	ID         string // pg_current_snapshot()
	At         time.Time
	Checkpoint string // newest one; empty when there is none
	FromLeaf   int64  // of ledger-bounded datasets
	ToLeaf     int64
	Rows       int64 // to be read
}

// SealOf is what is known once an artefact is written: a Seal without its name,
// its place in the chain and its manifest.
func SealOf(s Spec, from Snapshot, t Totals) Seal {
	return Seal{
		Snapshot: from.ID, SnapshotAt: from.At, Checkpoint: from.Checkpoint, FromLeaf: from.FromLeaf, ToLeaf: from.ToLeaf,
		Reproducible: s.Dataset.Ledger, FileSHA256: t.FileSHA256, FileBytes: t.FileBytes, ContentSHA256: t.ContentSHA256,
		ContentBytes: t.ContentBytes, Rows: t.Rows,
	}
}

// DigestOf is the SHA-256 of bytes in hexadecimal.
func DigestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
