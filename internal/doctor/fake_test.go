package doctor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/doctor"
	"finobs/internal/evidence"
	"finobs/internal/export"
	"finobs/internal/keys"
	"finobs/policies"
)

var now = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// record is a database in memory. Each view that is opened is its state then.
type record struct {
	signer    attest.Signer
	policies  *approval.Policies
	requests  []approval.Request
	decisions []approval.Recorded
	exports   []export.Export
	people    []approval.Member
	sets      []doctor.PolicySet
	entries   []doctor.Entry
}

func newRecord(t *testing.T) *record {
	t.Helper()
	key, err := keys.LoadOrCreate(filepath.Join(t.TempDir(), "k.pem"))
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := approval.LoadPolicies(bytes.NewReader(policies.Desk))
	if err != nil {
		t.Fatal(err)
	}
	return &record{signer: attest.Signer{Key: key}, policies: loaded}
}

func (r *record) Snapshot(_ context.Context, fn func(doctor.Record) error) error {
	return fn(r)
}

func (r *record) Now() time.Time { return now }

// some lists the rows that are wanted, limit at most.
func some[T any](rows []T, limit int, wanted func(T) bool) ([]T, error) {
	var out []T
	for _, row := range rows {
		if wanted(row) && len(out) < limit {
			out = append(out, row)
		}
	}
	return out, nil
}

const all = 1 << 30

func (r *record) RequestsAfter(_ context.Context, id int64, limit int) ([]approval.Request, error) {
	return some(r.requests, limit, func(q approval.Request) bool { return q.ID > id })
}

func (r *record) PendingAfter(_ context.Context, id int64, limit int) ([]approval.Request, error) {
	return some(r.requests, limit, func(q approval.Request) bool { return q.ID > id && q.Status == approval.Pending })
}

func (r *record) RequestsByID(_ context.Context, ids []int64) ([]approval.Request, error) {
	return some(r.requests, all, func(q approval.Request) bool { return slices.Contains(ids, q.ID) })
}

func (r *record) DecisionsOn(_ context.Context, ids []int64) ([]approval.Recorded, error) {
	return some(r.decisions, all, func(d approval.Recorded) bool { return slices.Contains(ids, d.ApprovalID) })
}

func (r *record) DecisionsByID(_ context.Context, ids []string) ([]approval.Recorded, error) {
	return some(r.decisions, all, func(d approval.Recorded) bool { return slices.Contains(ids, d.ID) })
}

func (r *record) ExportsAfter(_ context.Context, id int64, limit int) ([]export.Export, error) {
	return some(r.exports, limit, func(x export.Export) bool { return x.ID > id })
}

func (r *record) ExportsOf(_ context.Context, ids []int64) ([]export.Export, error) {
	return some(r.exports, all, func(x export.Export) bool { return slices.Contains(ids, x.ApprovalID) })
}

func (r *record) ExportsByID(_ context.Context, ids []int64) ([]export.Export, error) {
	return some(r.exports, all, func(x export.Export) bool { return slices.Contains(ids, x.ID) })
}

func (r *record) PeopleAfter(_ context.Context, key string, limit int) ([]approval.Member, error) {
	return some(r.people, limit, func(m approval.Member) bool { return m.Key() > key })
}

func (r *record) PeopleByKey(_ context.Context, names []string) ([]approval.Member, error) {
	return some(r.people, all, func(m approval.Member) bool { return slices.Contains(names, m.Key()) })
}

func (r *record) PolicySetsAfter(_ context.Context, id int64, limit int) ([]doctor.PolicySet, error) {
	return some(r.sets, limit, func(s doctor.PolicySet) bool { return s.ID > id })
}

func (r *record) PolicySetsOf(_ context.Context, sums []string) ([]doctor.PolicySet, error) {
	return some(r.sets, all, func(s doctor.PolicySet) bool { return slices.Contains(sums, s.SHA256) })
}

func (r *record) EntriesAbout(_ context.Context, kind string, ids, types []string) ([]doctor.Entry, error) {
	return some(r.entries, all, func(e doctor.Entry) bool {
		return e.SubjectKind == kind && slices.Contains(ids, e.SubjectID) && slices.Contains(types, e.Type)
	})
}

func (r *record) EntriesAfter(_ context.Context, last doctor.Entry, types []string, limit int) ([]doctor.Entry, error) {
	return some(r.entries, limit, func(e doctor.Entry) bool { return e.ID > last.ID && slices.Contains(types, e.Type) })
}

func human(name string, roles ...string) approval.Principal {
	return approval.Principal{Person: approval.Person{Issuer: "i", Subject: name}, Kind: approval.Human, Roles: roles}
}

// entry appends an entry whose leaf says what its columns say.
func (r *record) entry(t *testing.T, typ, kind, id, outcome string, details map[string]any) {
	t.Helper()
	e := doctor.Entry{
		ID: fmt.Sprintf("e%06d", len(r.entries)+1), RecordedAt: now, Type: typ, SubjectKind: kind, SubjectID: id, Outcome: outcome, WorkflowID: "w-" + id,
	}
	leaf, err := json.Marshal(map[string]any{
		"id": e.ID, "type": typ, "outcome": outcome, "subject": map[string]any{"kind": kind, "id": id}, "details": details,
	})
	if err != nil {
		t.Fatal(err)
	}
	e.Leaf = string(leaf)
	r.entries = append(r.entries, e)
}

// request adds a pending request for an export, with its entry.
func (r *record) request(t *testing.T, id int64) *approval.Request {
	t.Helper()
	a := export.Spec{
		Dataset: export.Incidents, Format: export.CSV, Compression: export.Plain, Destination: export.Destination{Name: export.Download},
	}.Action(human("alice").Person, "", approval.Live)
	a.RiskTier = approval.Medium
	policy, err := r.policies.For(a)
	if err != nil {
		t.Fatal(err)
	}
	q := approval.Request{
		ID: id, WorkflowID: fmt.Sprintf("w-%d", id), Kind: a.Kind, Requester: a.Requester, PolicyID: policy.ID,
		CreatedAt: now.Add(-time.Hour), ExpiresAt: now.Add(time.Hour), Status: approval.Pending,
	}
	if q.Policy, q.PolicyDigest, err = policy.Freeze(); err != nil {
		t.Fatal(err)
	}
	a.PolicyDigest = q.PolicyDigest
	if q.Action, err = a.Canonical(); err != nil {
		t.Fatal(err)
	}
	if q.ActionDigest, err = a.Digest(); err != nil {
		t.Fatal(err)
	}
	payload, err := evidence.RequestDigest(id, q.ActionDigest, q.PolicyDigest, "", approval.Links{})
	if err != nil {
		t.Fatal(err)
	}
	q.Command, err = r.signer.Command(context.Background(), attest.Command{WorkflowID: q.WorkflowID, PayloadDigest: payload, Principal: human("alice", "analyst")})
	if err != nil {
		t.Fatal(err)
	}
	r.requests = append(r.requests, q)
	r.entry(t, "approval.requested", "approval", fmt.Sprint(id), "pending", map[string]any{"action_digest": q.ActionDigest})
	return &r.requests[len(r.requests)-1]
}

// token is a signed decision on a request.
func (r *record) token(t *testing.T, q approval.Request, id string) string {
	t.Helper()
	token, err := r.signer.Decision(context.Background(), attest.Decision{
		ID: id, IssuedAt: now.Add(-time.Minute), ApprovalID: q.ID, WorkflowID: q.WorkflowID, ActionDigest: q.ActionDigest,
		PolicyDigest: q.PolicyDigest, Verdict: approval.Approve, Reviewer: human("bob", "analyst"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// consumed adds a request that was approved and spent on a sealed export, with all
// entries.
func (r *record) consumed(t *testing.T, id int64) {
	t.Helper()
	q := r.request(t, id)
	decision, about := fmt.Sprintf("d-%d", id), fmt.Sprint(id)
	token := r.token(t, *q, decision)
	r.decisions = append(r.decisions, approval.Recorded{
		Decision:   approval.Decision{ID: decision, Verdict: approval.Approve, Reviewer: human("bob", "analyst")},
		ApprovalID: id, Token: token, Outcome: approval.Counted,
	})
	useBy, at := now.Add(time.Hour), now
	q.Status, q.ClosedAt, q.UseBy, q.ConsumedAt, q.ConsumedBy = approval.Consumed, &at, &useBy, &at, q.WorkflowID+"/run"
	r.entry(t, "approval.decided", "approval", about, "counted", map[string]any{
		"decision_id": decision, "status": "approved", "action_digest": q.ActionDigest, "token_sha256": digest(token),
	})
	r.exports = append(r.exports, export.Export{
		ID: id, ApprovalID: id, ActionDigest: q.ActionDigest, Dataset: "incidents", DatasetVersion: export.Incidents.Version, Format: export.CSV,
		Compression: export.Plain, Destination: export.Download, Filters: map[string]string{},
		Columns: export.Incidents.ColumnNames(), Requester: q.Requester, WorkflowID: q.WorkflowID, Status: export.Sealed,
		Seal: &export.Seal{ContentSHA256: "c0ffee"},
	})
	effect := map[string]any{"approval_id": about, "action_digest": q.ActionDigest, "content_sha256": "c0ffee"}
	r.entry(t, "effect.intended", "export", about, "intended", effect)
	r.entry(t, "effect.done", "export", about, "done", effect)
}
