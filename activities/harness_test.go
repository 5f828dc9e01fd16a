package activities_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"finobs/activities"
	"finobs/internal/action"
	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/blobdir"
	"finobs/internal/evidence"
	"finobs/internal/export"
	"finobs/internal/keys"
	"finobs/internal/pgtest"
	"finobs/internal/remediation"
	"finobs/internal/seal"
	"finobs/internal/store"
	"finobs/policies"
	"finobs/worker"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/testsuite"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var ctx = context.Background()

// The SDK's test environment runs every activity for one workflow, whose type it
// does not document.
const (
	workflowID = "default-test-workflow-id"
	firstRun   = "run-1"
)

func workflowType(t *testing.T) string {
	t.Helper()
	name, err := run[string](t, func(ctx context.Context, _ string) (string, error) {
		return activity.GetInfo(ctx).WorkflowType.Name, nil
	}, "")
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// desk is a real database with the activities over it, and the API's signer.
type desk struct {
	db           pgtest.Database
	writer       *store.Writer
	reader       *store.Reader
	signer       attest.Signer
	approvals    *activities.Approvals
	acts         *activities.Acts
	exports      *activities.Exports
	fails        *activities.Fails
	transactions *activities.Transactions
	incidents    *activities.Incidents
	artefacts    string
	spool        *blobdir.Dir
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{db: pgtest.New(t)}
	key, err := keys.LoadOrCreate(filepath.Join(t.TempDir(), "decision.pem"))
	if err != nil {
		t.Fatal(err)
	}
	d.signer = attest.Signer{Key: key}
	verifier := attest.NewVerifier(key.Public())
	var artefacts *blobdir.Dir
	var errs [4]error
	d.writer, errs[0] = store.OpenWriter(ctx, d.db.Worker)
	d.reader, errs[1] = store.OpenReader(ctx, d.db.API)
	d.artefacts = t.TempDir()
	artefacts, errs[2] = blobdir.Open(d.artefacts)
	d.spool, errs[3] = blobdir.Open(t.TempDir())
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(d.writer.Close(), d.reader.Close(), artefacts.Close(), d.spool.Close()); err != nil {
			t.Error(err)
		}
	})
	d.approvals = &activities.Approvals{InTx: store.InTx[activities.ApprovalTx](d.writer), Verifier: verifier}
	d.acts = &activities.Acts{InTx: store.InTx[activities.ActTx](d.writer), Verifier: verifier}
	manifestKey, err := keys.LoadOrCreate(filepath.Join(t.TempDir(), "manifest.pem"))
	if err != nil {
		t.Fatal(err)
	}
	d.exports = &activities.Exports{
		InTx: store.InTx[activities.ExportTx](d.writer), Verifier: verifier, Data: d.writer, Store: artefacts,
		Sealer: worker.Sealer{Key: manifestKey, Trust: seal.Trust{Manifest: []ed25519.PublicKey{manifestKey.Public()}, Decision: verifier}}, Generator: "test",
	}
	d.fails = &activities.Fails{InTx: store.InTx[activities.FailsTx](d.writer), Verifier: verifier, Spool: d.spool}
	d.transactions = &activities.Transactions{InTx: store.InTx[activities.TransactionsTx](d.writer), Verifier: verifier, Spool: d.spool}
	d.incidents = &activities.Incidents{InTx: store.InTx[activities.IncidentTx](d.writer), Verifier: verifier}
	return d
}

// run runs an activity as Temporal does.
func run[T any](t *testing.T, fn any, in any) (out T, err error) {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivity(fn)
	value, err := env.ExecuteActivity(fn, in)
	if err == nil && value.HasValue() {
		err = value.Get(&out)
	}
	return out, err
}

func human(name string, roles ...string) approval.Principal {
	return approval.Principal{Person: approval.Person{Issuer: "test", Subject: name}, Kind: approval.Human, Roles: roles}
}

// request is one request for approval and what the API would know of it.
type request struct {
	in     activities.OpenRequestInput
	action approval.Action
	digest string
}

// prepare makes what the API makes when alice asks for an export. Changes are
// applied to the input before it is signed.
func (d *desk) prepare(t *testing.T, format string, policy []byte) request {
	t.Helper()
	spec := export.Spec{Dataset: export.Incidents, Format: export.Format(format), Compression: export.Plain,
		Destination: export.Destination{Name: export.Download}, Filters: map[string]string{"origin": "live"}}
	return d.prepareAction(t, spec.Action(human("alice").Person, "EQ", approval.Live), policy)
}

// prepareAction is prepare for any action of alice's.
func (d *desk) prepareAction(t *testing.T, a approval.Action, policy []byte) request {
	t.Helper()
	floor := approval.Low
	if planned, err := action.Find(strings.TrimPrefix(a.Kind, remediation.KindPrefix)); err == nil {
		floor = planned.Risk
	}
	return d.prepareAs(t, a, policy, floor)
}

// prepareAs is prepareAction for an action of a risk tier at least.
func (d *desk) prepareAs(t *testing.T, a approval.Action, policy []byte, floor approval.RiskTier) request {
	t.Helper()
	loaded, err := approval.LoadPolicies(bytes.NewReader(policy))
	if err != nil {
		t.Fatal(err)
	}
	r := request{action: a}
	if r.action.RiskTier, err = loaded.Classify(r.action); err != nil {
		t.Fatal(err)
	}
	if floor.AtLeast(r.action.RiskTier) {
		r.action.RiskTier = floor
	}
	p, err := loaded.For(r.action)
	if err != nil {
		t.Fatal(err)
	}
	frozen, policyDigest, err := p.Freeze()
	if err != nil {
		t.Fatal(err)
	}
	r.action.PolicyDigest = policyDigest
	canonical, err := r.action.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	r.digest, err = r.action.Digest()
	if err != nil {
		t.Fatal(err)
	}
	id, err := d.reader.NextApprovalID(ctx)
	if err != nil {
		t.Fatal(err)
	}
	r.in = activities.OpenRequestInput{FirstRun: firstRun, ApprovalID: id, Action: string(canonical), Policy: string(frozen), Reason: "month end"}
	r.in.Command = d.command(t, human("alice", "analyst"), r.payload(t))
	return r
}

// payload is what the API's command for the request is bound to.
func (r request) payload(t *testing.T) string {
	t.Helper()
	payload, err := evidence.RequestDigest(r.in.ApprovalID, r.digest, r.action.PolicyDigest, r.in.Reason, r.in.Links)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

func (d *desk) command(t *testing.T, p approval.Principal, payload string) string {
	t.Helper()
	token, err := d.signer.Command(ctx, attest.Command{
		ID: uuid.NewString(), IssuedAt: time.Now(), WorkflowType: workflowType(t), WorkflowID: workflowID,
		PayloadDigest: payload, Principal: p, RequestID: "request-1", TraceID: "trace-1",
	})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// open records a request under the shipped policy.
func (d *desk) open(t *testing.T) request {
	t.Helper()
	r := d.prepare(t, "csv", policies.Desk)
	status, err := run[activities.GateStatus](t, d.approvals.OpenRequest, r.in)
	if err != nil || status.Status != approval.Pending {
		t.Fatalf("got %+v, %v", status, err)
	}
	return r
}

// shown is the digest of what approvers are shown.
func (r request) shown(t *testing.T) string {
	t.Helper()
	policy, err := approval.Thaw([]byte(r.in.Policy), r.action.PolicyDigest)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(approval.Render(r.action, policy)))
	return hex.EncodeToString(sum[:])
}

func (r request) ref() activities.GateRef {
	return activities.GateRef{FirstRun: firstRun, ApprovalID: r.in.ApprovalID}
}

// token is the API's word for a decision; change alters it before signing.
func (d *desk) token(t *testing.T, r request, who approval.Principal, v approval.Verdict, change func(*attest.Decision)) string {
	t.Helper()
	now, err := d.reader.Now(ctx)
	if err != nil {
		t.Fatal(err)
	}
	said := attest.Decision{
		ID: uuid.Must(uuid.NewV7()).String(), IssuedAt: now, ApprovalID: r.in.ApprovalID, WorkflowID: workflowID,
		ActionDigest: r.digest, PolicyDigest: r.action.PolicyDigest, Verdict: v, Reason: "seen", Reviewer: who, SummarySHA256: r.shown(t),
		RequestID: "request-2", TraceID: "trace-2",
	}
	if change != nil {
		change(&said)
	}
	token, err := d.signer.Decision(ctx, said)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (d *desk) decide(t *testing.T, r request, token string) activities.GateStatus {
	t.Helper()
	status, err := run[activities.GateStatus](t, d.approvals.RecordDecision, activities.DecisionInput{GateRef: r.ref(), Token: token})
	if err != nil {
		t.Fatal(err)
	}
	return status
}

// approved opens a request and has bob approve it.
func (d *desk) approved(t *testing.T) request {
	t.Helper()
	r := d.open(t)
	if got := d.decide(t, r, d.token(t, r, human("bob", "analyst"), approval.Approve, nil)); got.Status != approval.Approved {
		t.Fatalf("got %+v", got)
	}
	return r
}

func (d *desk) count(t *testing.T, query string, args ...any) string {
	t.Helper()
	return pgtest.Value(t, d.db.Admin, query, args...)
}

func (d *desk) exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	if err := pgtest.Exec(t, d.db.Admin, statement, args...); err != nil {
		t.Fatal(err)
	}
}

// files lists what is in the artefact folder, unfinished files among it.
func (d *desk) files(t *testing.T) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(d.artefacts, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			names = append(names, filepath.Base(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
