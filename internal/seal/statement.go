package seal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"finobs/internal/approval"
	"finobs/internal/canonical"
	"finobs/internal/export"

	"github.com/go-json-experiment/json"
)

// Types of the manifest's layers: in-toto Attestation Framework v1, statement and
// predicate (github.com/in-toto/attestation, spec/v1).
const (
	StatementType = "https://in-toto.io/Statement/v1"
	PredicateType = "urn:finobs:export:v1"
	PayloadType   = "application/vnd.in-toto+json"
)

// Statement is what a manifest states: what the artefact is (its subject) and what
// is so about it.
type Statement struct {
	Type          string    `json:"_type"`
	Subject       []Subject `json:"subject"`
	PredicateType string    `json:"predicateType"`
	Predicate     Predicate `json:"predicate"`
}

// Subject is a file and its digest.
type Subject struct {
	Name   string `json:"name"`
	Digest Digest `json:"digest"`
}

// Digest is a digest of a file, hexadecimal.
type Digest struct {
	SHA256 string `json:"sha256"`
}

// Predicate is everything about an export. Numbers are text, since JSON readers
// round them above 2^53; times are RFC 3339 in UTC; digests are hexadecimal SHA-256
// unless they say how they were made.
type Predicate struct {
	ExportID       int64             `json:"export_id,string"`
	ScheduleID     int64             `json:"schedule_id,string,omitzero"`
	Slot           *time.Time        `json:"slot,omitzero"` // of the schedule
	Dataset        string            `json:"dataset"`
	DatasetVersion string            `json:"dataset_version"`
	Columns        []Column          `json:"columns"`
	Filters        map[string]string `json:"filters"`
	Format         string            `json:"format"`
	Compression    string            `json:"compression"`
	FormulaGuard   string            `json:"formula_guard,omitzero"` // how text cells of CSV were made harmless
	Destination    string            `json:"destination"`
	Requester      approval.Person   `json:"requester"`
	Desk           string            `json:"desk"`
	Simulation     bool              `json:"is_simulation"`

	ActionDigest string     `json:"action_digest"` // of exactly what was approved
	ApprovalID   int64      `json:"approval_id,string"`
	PolicyDigest string     `json:"policy_digest"`
	Decisions    []Decision `json:"decisions"` // those that counted

	Rows          int64  `json:"rows,string"`
	ContentBytes  int64  `json:"content_bytes,string"` // before compression
	ContentSHA256 string `json:"content_sha256"`       // the identity of the export
	FileBytes     int64  `json:"file_bytes,string"`
	FileSHA256    string `json:"file_sha256"`

	Reproducible bool      `json:"reproducible"`
	Snapshot     string    `json:"snapshot"` // of Postgres, that the rows were read in
	SnapshotAt   time.Time `json:"snapshot_at"`
	FromLeaf     *int64    `json:"from_leaf,string,omitzero"` // of ledger-bounded exports: first index, and the one after the last
	ToLeaf       *int64    `json:"to_leaf,string,omitzero"`
	Checkpoint   string    `json:"checkpoint"` // newest signed one in that snapshot; empty when there was none

	Number        int64     `json:"number,string"`        // place in the chain of manifests, from 1
	PrevManifest  string    `json:"prev_manifest_sha256"` // zeros for the first
	Generator     string    `json:"generator"`            // program/version
	SchemaVersion string    `json:"schema_version"`
	SignedAt      time.Time `json:"signed_at"`
}

// Column is a column and what it holds.
type Column struct {
	Name string `json:"name"`
	Kind string `json:"kind"` // text, word, json, integer, decimal, time, date or bool
}

// Decision is a decision that counted for the approval.
type Decision struct {
	ID          string          `json:"id"`
	Reviewer    approval.Person `json:"reviewer"`
	TokenSHA256 string          `json:"token_sha256"` // of the signed token, which approval.json holds
}

var kindNames = map[export.Kind]string{
	export.Text: "text", export.Word: "word", export.JSON: "json", export.Integer: "integer", export.Decimal: "decimal",
	export.Time: "time", export.Date: "date", export.Bool: "bool",
}

func columnsOf(d export.Dataset) []Column {
	out := make([]Column, 0, len(d.Columns))
	for _, c := range d.Columns {
		out = append(out, Column{c.Name, kindNames[c.Kind]})
	}
	return out
}

// countedOf lists the decisions of a receipt that count.
func countedOf(r approval.Receipt) []Decision {
	out := []Decision{}
	for _, d := range r.Decisions {
		if d.Outcome == approval.Counted {
			out = append(out, Decision{d.ID, d.Reviewer.Person, sum([]byte(d.Token))})
		}
	}
	return out
}

func sum(b []byte) string {
	digest := sha256.Sum256(b)
	return hex.EncodeToString(digest[:])
}

// moment is a time as a manifest carries it: UTC, microseconds, the resolution of
// the database's clock.
func moment(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// stated puts the statement about an export together, and refuses facts that no
// verifier would accept.
func stated(f Facts) (Statement, error) {
	x, s := f.Export, f.Export.Seal
	if s == nil {
		return Statement{}, fmt.Errorf("export %d has no artefact yet", x.ID)
	}
	d, known := export.DatasetNamed(x.Dataset)
	if !known || d.Version != x.DatasetVersion || !slices.Equal(d.ColumnNames(), x.Columns) {
		return Statement{}, fmt.Errorf("export %d is of dataset %s in version %s, which this program does not have", x.ID, x.Dataset, x.DatasetVersion)
	}
	if r := f.Approval.Request; r.ID != x.ApprovalID || r.ActionDigest != x.ActionDigest {
		return Statement{}, fmt.Errorf("export %d belongs to another approval than %d", x.ID, r.ID)
	}
	p := Predicate{
		ExportID: x.ID, ScheduleID: x.ScheduleID, Dataset: x.Dataset, DatasetVersion: x.DatasetVersion, Columns: columnsOf(d),
		Filters: x.Filters, Format: string(x.Format), Compression: string(x.Compression), Destination: x.Destination,
		Requester: x.Requester, Desk: x.Desk, Simulation: x.Simulation,
		ActionDigest: x.ActionDigest, ApprovalID: x.ApprovalID, PolicyDigest: f.Approval.Request.PolicyDigest, Decisions: countedOf(f.Approval),
		Rows: s.Rows, ContentBytes: s.ContentBytes, ContentSHA256: s.ContentSHA256, FileBytes: s.FileBytes, FileSHA256: s.FileSHA256,
		Reproducible: s.Reproducible, Snapshot: s.Snapshot, SnapshotAt: moment(s.SnapshotAt), Checkpoint: s.Checkpoint,
		Number: s.Number, PrevManifest: s.PrevManifest, Generator: s.Generator, SchemaVersion: f.SchemaVersion, SignedAt: moment(s.SealedAt),
	}
	if p.Filters == nil {
		p.Filters = map[string]string{}
	}
	if x.Slot != nil {
		slot := moment(*x.Slot)
		p.Slot = &slot
	}
	if x.Format == export.CSV {
		p.FormulaGuard = export.FormulaGuard
	}
	if d.Ledger {
		p.FromLeaf, p.ToLeaf = &s.FromLeaf, &s.ToLeaf
	}
	out := Statement{
		Type: StatementType, PredicateType: PredicateType, Predicate: p,
		Subject: []Subject{{Name: s.FileName, Digest: Digest{s.FileSHA256}}},
	}
	return out, out.consistent()
}

// encode writes the canonical bytes of s: the same statement, the same bytes.
func (s Statement) encode() ([]byte, error) {
	raw, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encoding statement: %w", err)
	}
	var o canonical.Object // which refuses numbers and null
	if err := json.Unmarshal(raw, &o); err != nil {
		return nil, fmt.Errorf("encoding statement: %w", err)
	}
	return canonical.JSON(o)
}

// parseStatement reads what encode wrote and refuses any other bytes, so that no
// member goes unread.
func parseStatement(payload []byte) (Statement, error) {
	var s Statement
	if err := json.Unmarshal(payload, &s, json.RejectUnknownMembers(true)); err != nil {
		return s, fmt.Errorf("reading statement: %w", err)
	}
	again, err := s.encode()
	if err != nil {
		return s, fmt.Errorf("reading statement: %w", err)
	}
	if !bytes.Equal(again, payload) {
		return s, errors.New("reading statement: it has another spelling than the canonical one")
	}
	return s, nil
}
