package doctor_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/doctor"
	"finobs/internal/export"
)

func digest(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// cluster is a Temporal in memory.
type cluster struct {
	executions []doctor.Execution
	latest     map[string]doctor.Execution // in the place of the one listed
	signals    map[string][]doctor.Signal  // by workflow id
	forgotten  bool
}

func (c *cluster) list(running bool) []doctor.Execution {
	var out []doctor.Execution
	for _, e := range c.executions {
		if e.Running == running {
			out = append(out, e)
		}
	}
	return out
}

func (c *cluster) Running(_ context.Context, before time.Time, page func([]doctor.Execution) error) error {
	var old []doctor.Execution
	for _, e := range c.list(true) {
		if e.StartedAt.Before(before) {
			old = append(old, e)
		}
	}
	return page(old)
}

func (c *cluster) RunningFor(_ context.Context, first, last int64) ([]doctor.Execution, error) {
	return some(c.list(true), all, func(e doctor.Execution) bool { return e.ApprovalID >= first && e.ApprovalID <= last })
}

func (c *cluster) Latest(_ context.Context, id string) (doctor.Execution, bool, error) {
	if e, known := c.latest[id]; known {
		return e, e.WorkflowID != "", nil
	}
	for _, e := range c.executions {
		if e.WorkflowID == id {
			return e, true, nil
		}
	}
	return doctor.Execution{}, false, nil
}

func (c *cluster) Recent(_ context.Context, running bool, n int) ([]doctor.Execution, error) {
	return some(c.list(running), n, func(doctor.Execution) bool { return true })
}

func (c *cluster) Signals(_ context.Context, e doctor.Execution) ([]doctor.Signal, bool, error) {
	return c.signals[e.WorkflowID], !c.forgotten, nil
}

// findings runs all checks and lists what they find, each after its check's id.
func findings(t *testing.T, r *record, c *cluster) []string {
	t.Helper()
	checks, err := doctor.Doctor{
		Records: r, Temporal: c, Verifier: attest.NewVerifier(r.signer.Key.Public()), Settle: time.Minute, Histories: 10,
	}.Run(context.Background())
	if err != nil || len(checks) != 6 {
		t.Fatalf("%d checks, %v", len(checks), err)
	}
	var out []string
	for _, check := range checks {
		for _, f := range check.Findings {
			out = append(out, fmt.Sprintf("%s %d %d %s %s: %s", check.ID, f.ApprovalID, f.ExportID, f.Other, f.WorkflowID, f.Why))
		}
	}
	return out
}

// sound is a record in which everything holds, over several pages, and the
// workflows that belong to it.
func sound(t *testing.T) (*record, *cluster) {
	t.Helper()
	r, c := newRecord(t), &cluster{latest: map[string]doctor.Execution{}, signals: map[string][]doctor.Signal{}}
	for id := int64(1); id <= 130; id++ {
		r.consumed(t, id)
	}
	pending := *r.request(t, 131)
	c.executions = []doctor.Execution{
		{WorkflowID: "w-1", RunID: "1", Type: "Export", ApprovalID: 1, StartedAt: now.Add(-time.Hour), ClosedAt: now.Add(-30 * time.Minute)},
		{WorkflowID: pending.WorkflowID, RunID: "131", Type: "Export", ApprovalID: 131, Running: true, StartedAt: now.Add(-time.Hour)},
	}
	c.signals["w-1"] = []doctor.Signal{{Token: r.decisions[0].Token, At: now.Add(-40 * time.Minute)}, {Token: "forged", At: now.Add(-40 * time.Minute)}}
	r.entry(t, "approval.signal_refused", "approval", "1", "refused", map[string]any{"token_sha256": digest("forged")})
	r.people = []approval.Member{{Person: human("zoe").Person, Kind: approval.Human, Roles: []string{"viewer"}, Active: true, Version: 2}}
	for version, roles := range map[string]string{"1": "admin", "2": "viewer"} {
		r.entry(t, "user.changed", "user", "i|zoe", "done", map[string]any{"after": map[string]any{
			"version": version, "roles": roles, "desk": "", "kind": "human", "active": true,
		}})
	}
	r.sets = []doctor.PolicySet{{ID: 1, SHA256: "aa"}, {ID: 2, SHA256: "aa", ApprovalID: 9}}
	r.entry(t, "policy.activated", "policy", "aa", "done", nil)
	r.entry(t, "policy.activated", "policy", "aa", "done", map[string]any{"approval_id": "9"})
	return r, c
}

func TestASoundRecordHasNoFindings(t *testing.T) {
	r, c := sound(t)
	if list := findings(t, r, c); len(list) != 0 {
		t.Errorf("found %d:\n%s", len(list), strings.Join(list, "\n"))
	}
}

// illness is a change of a sound record or cluster, and the start of the finding
// that it leads to; empty for none.
type illness struct {
	change func(*testing.T, *record, *cluster)
	want   string
}

// last is the pending request.
func last(r *record) *approval.Request { return &r.requests[130] }

func illnessesOfRecords() map[string]illness {
	return map[string]illness{
		"pending within the settling time": {func(_ *testing.T, r *record, _ *cluster) { last(r).ExpiresAt = now.Add(-time.Minute) }, ""},
		"pending past it":                  {func(_ *testing.T, r *record, _ *cluster) { last(r).ExpiresAt = now.Add(-time.Minute - 1) }, "I4 131"},
		"two exports of one approval": {func(_ *testing.T, r *record, _ *cluster) {
			x := r.exports[0]
			x.ID = 900
			r.exports = append(r.exports, x)
		}, "I2 1 0  w-1: it has 2 exports"},
		"two exports of one slot": {func(_ *testing.T, r *record, _ *cluster) {
			r.requests[0].Kind = export.KindScheduleCreate
			slot := now.Truncate(time.Minute)
			x := r.exports[0]
			x.ID, x.ScheduleID, x.Slot, x.WorkflowID = 900, 7, &slot, export.SlotWorkflowID(7, slot)
			r.exports[0] = x
			r.exports[0].ID = 1
			r.exports = append(r.exports, x)
		}, "I2 1 900  w-1: export 1 is of the same slot"},
		"a slot's export by another workflow": {func(_ *testing.T, r *record, _ *cluster) {
			r.requests[0].Kind = export.KindScheduleCreate
			r.exports[0].ScheduleID, r.exports[0].Slot = 7, &now
		}, "I2 1 1  w-1: the export of a slot was made by workflow w-1"},
		"two intents": {func(t *testing.T, r *record, _ *cluster) {
			r.entry(t, "effect.intended", "export", "1", "intended", map[string]any{"approval_id": "1", "action_digest": r.requests[0].ActionDigest})
		}, "I2 1 1  w-1: the ledger has 2 entries effect.intended"},
		"an effect of another approval": {func(t *testing.T, r *record, _ *cluster) {
			r.exports[0].Status, r.exports[0].Seal = export.Intended, nil
			r.exports[1].ApprovalID = 1
		}, "I2 1 2  w-2: its entry effect.intended tells of approval 2"},
		"a done that was not sealed": {func(_ *testing.T, r *record, _ *cluster) {
			r.exports[2].Status, r.exports[2].Seal = export.Intended, nil
		}, "I6 3 3"},
		"an export without approval": {func(_ *testing.T, r *record, _ *cluster) { r.exports[0].ApprovalID = 700 }, "I1 700 1  w-1: there is no approval"},
		"an entry about nobody": {func(t *testing.T, r *record, _ *cluster) {
			r.entry(t, "user.added", "user", "i|eve", "done", nil)
		}, "I6 0 0 entry e"},
		"an entry about no request": {func(t *testing.T, r *record, _ *cluster) {
			r.entry(t, "approval.requested", "approval", "777", "pending", nil)
		}, "I6 777 0 entry e"},
		"an entry that is no JSON": {func(_ *testing.T, r *record, _ *cluster) { r.entries[5].Leaf = "{" }, "I6 0 0 entry e000006"},
		"a version without entry":  {func(_ *testing.T, r *record, _ *cluster) { r.people[0].Version = 3 }, "I6 0 0 user i|zoe : he is at version 3"},
		"an old version's roles":   {func(_ *testing.T, r *record, _ *cluster) { r.people[0].Roles = []string{"admin"} }, "I6 0 0 user i|zoe : his roles"},
		"a set twice activated":    {func(_ *testing.T, r *record, _ *cluster) { r.sets[1].ApprovalID = 10 }, "I6 10 0 policy set 2"},
	}
}

func illnessesOfSignals() map[string]illness {
	return map[string]illness{
		"a decision that nobody recorded": {func(t *testing.T, r *record, c *cluster) {
			c.signals["w-1"] = append(c.signals["w-1"], doctor.Signal{Token: r.token(t, r.requests[0], "lost"), At: now.Add(-time.Hour)})
		}, "I3 1 0 decision lost w-1"},
		"a forgery that nobody recorded": {func(_ *testing.T, _ *record, c *cluster) {
			c.signals["w-1"] = append(c.signals["w-1"], doctor.Signal{Token: "other", At: now.Add(-time.Hour)})
		}, "I3 1 0  w-1"},
		"a forgery to a workflow that gates nothing": {func(_ *testing.T, _ *record, c *cluster) {
			c.executions = append(c.executions, doctor.Execution{WorkflowID: "w-x", ApprovalID: 1})
			c.signals["w-x"] = []doctor.Signal{{Token: "forged"}}
		}, ""},
		"a real decision sent there": {func(t *testing.T, r *record, c *cluster) {
			c.executions = append(c.executions, doctor.Execution{WorkflowID: "w-x", ApprovalID: 1})
			c.signals["w-x"] = []doctor.Signal{{Token: r.token(t, r.requests[0], "lost")}}
		}, "I3 1 0 decision lost w-x"},
		"a history that is forgotten": {func(_ *testing.T, _ *record, c *cluster) {
			c.signals["w-1"], c.forgotten = []doctor.Signal{{Token: "other"}}, true
		}, ""},
		"a signal that is just being recorded": {func(_ *testing.T, _ *record, c *cluster) {
			c.signals["w-131"] = []doctor.Signal{{Token: "x", At: now.Add(-29 * time.Second)}}
		}, ""},
		"a signal that should be": {func(_ *testing.T, _ *record, c *cluster) {
			c.signals["w-131"] = []doctor.Signal{{Token: "x", At: now.Add(-31 * time.Second)}}
		}, "I3 131"},
	}
}

func illnessesOfWorkflows() map[string]illness {
	return map[string]illness{
		"a workflow without a request": {func(_ *testing.T, _ *record, c *cluster) {
			c.executions = append(c.executions, doctor.Execution{WorkflowID: "w-x", RunID: "x", ApprovalID: 999, Running: true})
		}, "I5 999 0  w-x"},
		"a workflow for another's request": {func(_ *testing.T, _ *record, c *cluster) {
			c.executions = append(c.executions, doctor.Execution{WorkflowID: "w-x", RunID: "x", ApprovalID: 1, Running: true})
		}, "I5 1 0  w-x"},
		"a workflow that has ended since": {func(_ *testing.T, _ *record, c *cluster) {
			c.executions = append(c.executions, doctor.Execution{WorkflowID: "w-x", RunID: "x", ApprovalID: 999, Running: true})
			c.latest["w-x"] = doctor.Execution{WorkflowID: "w-x", RunID: "x", ApprovalID: 999}
		}, ""},
		"a request without a workflow": {func(_ *testing.T, _ *record, c *cluster) { c.executions = c.executions[:1] }, "I5 131 0  w-131: it is pending, and no workflow waits for it: Temporal does not"},
		"a request that is new": {func(_ *testing.T, r *record, c *cluster) {
			c.executions = c.executions[:1]
			last(r).CreatedAt = now.Add(-30 * time.Second)
		}, ""},
		"a workflow that the list does not show yet": {func(_ *testing.T, _ *record, c *cluster) {
			c.latest["w-131"] = c.executions[1]
			c.executions = c.executions[:1]
		}, ""},
		"a workflow that has just ended": {func(_ *testing.T, _ *record, c *cluster) {
			c.executions = c.executions[:1]
			c.latest["w-131"] = doctor.Execution{WorkflowID: "w-131", ApprovalID: 131, ClosedAt: now.Add(-time.Second)}
		}, ""},
		"a workflow that ended long ago": {func(_ *testing.T, _ *record, c *cluster) {
			c.executions = c.executions[:1]
			c.latest["w-131"] = doctor.Execution{WorkflowID: "w-131", ApprovalID: 131, ClosedAt: now.Add(-time.Hour)}
		}, "I5 131 0  w-131: it is pending, and no workflow waits for it: it ended at"},
		"a workflow that waits for another request": {func(_ *testing.T, _ *record, c *cluster) {
			c.executions[1].ApprovalID = 1
			c.latest["w-131"] = c.executions[1]
		}, "I5 131"},
	}
}

func TestFindings(t *testing.T) {
	for _, group := range []map[string]illness{illnessesOfRecords(), illnessesOfSignals(), illnessesOfWorkflows()} {
		for name, ill := range group {
			t.Run(name, func(t *testing.T) {
				r, c := sound(t)
				ill.change(t, r, c)
				list := findings(t, r, c)
				if ill.want == "" && len(list) != 0 {
					t.Errorf("found %s", strings.Join(list, "\n"))
				}
				if ill.want != "" && !slices.ContainsFunc(list, func(f string) bool { return strings.HasPrefix(f, ill.want) }) {
					t.Errorf("nothing found begins with %q:\n%s", ill.want, strings.Join(list, "\n"))
				}
			})
		}
	}
}
