package seal_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/audit"
	"finobs/internal/canonical"
	"finobs/internal/evidence"
	"finobs/internal/export"
	"finobs/internal/keys"
	"finobs/internal/ledger"
	"finobs/internal/seal"

	"golang.org/x/mod/sumdb/note"
)

const origin = "finobs.test/desk"

var (
	ctx     = context.Background()
	asked   = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	decided = asked.Add(time.Minute)
	read    = asked.Add(2 * time.Minute)
	signed  = asked.Add(3 * time.Minute)
)

// policyText is kept here, so that a change of the default policies does not
// change the golden manifest.
const policyText = `version: 1
risk: [{match: 'true', tier: medium}]
policies:
  - id: test
    match: 'true'
    all_of: [{n: 1, label: compliance, who: '"compliance" in reviewer.roles'}]
    veto: 1
    expires: 24h
    single_use: true
`

// site is an operator with its keys, all of which are fixed, and a log.
type site struct {
	t        testing.TB
	manifest keys.Signer
	decision attest.Signer
	log      note.Signer
	policies *approval.Policies
	trust    seal.Trust
	trusted  string // the trust file of the log
}

func fixedKey(t testing.TB, name string) *keys.File {
	t.Helper()
	seed := sha256.Sum256([]byte(name))
	der, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(seed[:]))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := keys.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newSite(t testing.TB) *site { return siteNamed(t, "ours") }

// siteNamed is another operator for another name.
func siteNamed(t testing.TB, name string) *site {
	t.Helper()
	manifest, decision, log := fixedKey(t, name+"/manifest"), fixedKey(t, name+"/decision"), fixedKey(t, name+"/log")
	s := &site{t: t, manifest: manifest, decision: attest.Signer{Key: decision}}
	var err error
	if s.log, err = keys.NoteSigner(ctx, origin, log); err != nil {
		t.Fatal(err)
	}
	vkey, err := keys.NoteVerifierKey(origin, log.Public())
	if err != nil {
		t.Fatal(err)
	}
	s.trusted = vkey + " 0 -\n"
	verifiers, err := keys.LoadVerifiers(strings.NewReader(s.trusted))
	if err != nil {
		t.Fatal(err)
	}
	if s.policies, err = approval.LoadPolicies(strings.NewReader(policyText)); err != nil {
		t.Fatal(err)
	}
	s.trust = seal.Trust{
		Manifest: []ed25519.PublicKey{manifest.Public()}, Decision: attest.NewVerifier(decision.Public()),
		Log: audit.Copy{Origin: origin, Keys: verifiers.For},
	}
	return s
}

// made is a bundle with what it was made from.
type made struct {
	files    bundle
	artefact string
	facts    seal.Facts
	envelope []byte
	leaf     []byte
	rows     [][]export.Cell
	spec     export.Spec
}

// order says which export to make.
type order struct {
	id          int64
	dataset     export.Dataset
	format      export.Format
	compression export.Compression
	rows        int
	number      int64  // 0: 1
	prev        string // "": the first
	simulation  bool
	change      func(*seal.Facts)        // before signing
	changeEntry func(canonical.Object)   // details, before they enter the log
	changeAsked func(a *approval.Action) // what is approved
	leafType    string
}

func (s *site) export(o order) made {
	s.t.Helper()
	if o.dataset.Name == "" {
		o.dataset = export.Incidents
	}
	m := made{spec: export.Spec{
		Dataset: o.dataset, Format: o.format, Compression: o.compression, Filters: map[string]string{"desk": "EQ"},
		Destination: export.Destination{Name: "archive", Digest: "d1"},
	}}
	for i := range o.rows {
		m.rows = append(m.rows, cells(o.dataset, o.id, i))
	}
	content, totals := write(s.t, m.spec, m.rows)
	tree := newLog(s.t, s.log, 9)
	m.facts = seal.Facts{SchemaVersion: "0042", Approval: s.receipt(o.id+100, m.spec, o), Export: export.Export{
		ID: o.id, ApprovalID: o.id + 100, Dataset: o.dataset.Name, DatasetVersion: o.dataset.Version, Format: o.format, Compression: o.compression,
		Destination: "archive", Filters: m.spec.Filters, Columns: o.dataset.ColumnNames(), Requester: human("alice").Person, Desk: "EQ",
		Simulation: o.simulation, Status: export.Sealed,
	}}
	x := &m.facts.Export
	x.ActionDigest = m.facts.Approval.Request.ActionDigest
	x.Seal = &export.Seal{
		Snapshot: "700:700:", SnapshotAt: read, Checkpoint: string(tree.checkpoint()), Reproducible: o.dataset.Ledger,
		FileName: export.FileName(o.id, m.spec, totals.FileSHA256), FileSHA256: totals.FileSHA256, FileBytes: totals.FileBytes,
		ContentSHA256: totals.ContentSHA256, ContentBytes: totals.ContentBytes, Rows: totals.Rows,
		Number: max(o.number, 1), PrevManifest: o.prev, Generator: "finobs/test", SealedAt: signed,
	}
	if o.prev == "" {
		x.Seal.PrevManifest = export.FirstPrev
	}
	if o.dataset.Ledger {
		x.Seal.FromLeaf, x.Seal.ToLeaf = 1, 9
	}
	if o.change != nil {
		o.change(&m.facts)
	}
	m.artefact = x.Seal.FileName
	s.finish(&m, o, tree, content)
	return m
}

// finish signs, enters the manifest in the log and writes the files.
func (s *site) finish(m *made, o order, tree *logOf, content []byte) {
	s.t.Helper()
	var err error
	if m.envelope, err = seal.Sign(ctx, s.manifest, m.facts); err != nil {
		s.t.Fatal(err)
	}
	x := m.facts.Export
	details := canonical.Object{
		"manifest_sha256": seal.ManifestSHA256(m.envelope), "content_sha256": x.Seal.ContentSHA256,
		"rows": strconv.FormatInt(x.Seal.Rows, 10), "action_digest": x.ActionDigest, "file_name": x.Seal.FileName,
	}
	if o.changeEntry != nil {
		o.changeEntry(details)
	}
	entry := ledger.Entry{
		Type: "effect.done", Actor: ledger.Itself("worker"), Subject: ledger.Subject{Kind: "export", ID: strconv.FormatInt(x.ID, 10)},
		Action: "export." + x.Dataset, Outcome: "done", Desk: x.Desk, Simulation: x.Simulation, Details: details,
	}
	if o.leafType != "" {
		entry.Type = o.leafType
	}
	sealed, err := entry.Seal("018f0000-0000-7000-8000-000000000001", signed, sha256.Sum256([]byte("key")))
	if err != nil {
		s.t.Fatal(err)
	}
	m.leaf = sealed.Leaf
	index := tree.tree.Size
	tree.add(m.leaf)
	tree.add(filler(int(index + 1)))
	if m.files, err = seal.Files(ctx, s.manifest, m.facts, m.envelope, m.leaf, tree.prove(index)); err != nil {
		s.t.Fatal(err)
	}
	m.files[m.artefact] = content
}

// receipt is of a request for the export, approved by one person.
func (s *site) receipt(id int64, spec export.Spec, o order) approval.Receipt {
	s.t.Helper()
	mode := approval.Live
	if o.simulation {
		mode = approval.Simulation
	}
	a := spec.Action(human("alice").Person, "EQ", mode)
	a.RiskTier = approval.Medium
	if o.changeAsked != nil {
		o.changeAsked(&a)
	}
	policy, err := s.policies.For(a)
	if err != nil {
		s.t.Fatal(err)
	}
	at := decided
	q := approval.Request{
		ID: id, WorkflowID: "w", Kind: a.Kind, Requester: a.Requester, Desk: a.Desk, Simulation: o.simulation, Reason: "audit", RequestID: "r", TraceID: "t",
		CreatedAt: asked, ExpiresAt: asked.Add(policy.Expires), PolicyID: policy.ID, Status: approval.Consumed, ClosedAt: &at, ConsumedAt: &at,
	}
	if q.Policy, q.PolicyDigest, err = policy.Freeze(); err != nil {
		s.t.Fatal(err)
	}
	a.PolicyDigest = q.PolicyDigest
	if q.Action, err = a.Canonical(); err != nil {
		s.t.Fatal(err)
	}
	if q.ActionDigest, err = a.Digest(); err != nil {
		s.t.Fatal(err)
	}
	q.Summary = approval.Render(a, policy)
	payload, err := evidence.RequestDigest(id, q.ActionDigest, q.PolicyDigest, q.Reason, q.Links())
	if err != nil {
		s.t.Fatal(err)
	}
	q.Command, err = s.decision.Command(ctx, attest.Command{WorkflowID: "w", PayloadDigest: payload, Principal: human("alice"), RequestID: "r", TraceID: "t"})
	if err != nil {
		s.t.Fatal(err)
	}
	return approval.ReceiptOf(q, []approval.Recorded{s.vote(q, human("cora"), "d1")}, signed, attest.KeyID)
}

func (s *site) vote(q approval.Request, who approval.Principal, id string) approval.Recorded {
	s.t.Helper()
	shown := sha256.Sum256([]byte(q.Summary))
	said := attest.Decision{
		ID: id, IssuedAt: decided, ApprovalID: q.ID, WorkflowID: "w", ActionDigest: q.ActionDigest, PolicyDigest: q.PolicyDigest,
		Verdict: approval.Approve, Reason: "fine", Reviewer: who, SummarySHA256: hex.EncodeToString(shown[:]), Deadline: q.ExpiresAt, TraceID: "t1",
	}
	token, err := s.decision.Decision(ctx, said)
	if err != nil {
		s.t.Fatal(err)
	}
	return approval.Recorded{
		Decision: evidence.Said(said), ApprovalID: q.ID, Reason: said.Reason, Token: token, Outcome: approval.Counted,
		SummarySHA256: said.SummarySHA256, TraceID: "t1", DecidedAt: said.IssuedAt, RecordedAt: said.IssuedAt,
	}
}

func human(name string) approval.Principal {
	return approval.Principal{Person: approval.Person{Issuer: "i", Subject: name}, Kind: approval.Human, Roles: []string{"compliance"}}
}

// bundle is a Bundle in memory.
type bundle map[string][]byte

func (b bundle) Names() ([]string, error) { return slices.Sorted(maps.Keys(b)), nil }

func (b bundle) Open(name string) (seal.File, int64, error) {
	content, there := b[name]
	if !there {
		return nil, 0, fs.ErrNotExist
	}
	return file{bytes.NewReader(content)}, int64(len(content)), nil
}

type file struct{ *bytes.Reader }

func (file) Close() error { return nil }

// with is a copy in which one file is another.
func (b bundle) with(name string, content []byte) bundle {
	out := maps.Clone(b)
	out[name] = content
	return out
}

func (b bundle) without(name string) bundle {
	out := maps.Clone(b)
	delete(out, name)
	return out
}

var (
	formats      = []export.Format{export.CSV, export.NDJSON, export.Parquet}
	compressions = []export.Compression{export.Plain, export.Gzip, export.Zstd}
)

var errDown = errors.New("the key's server is down")

// failingKey is a remote key that cannot be reached.
type failingKey struct{ keys.Signer }

func (failingKey) Sign(context.Context, []byte) ([]byte, error) { return nil, errDown }
