package activities_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"finobs/activities"
	"finobs/internal/approval"
	"finobs/policies"

	"pgregory.net/rapid"
)

// The life of one request under random operations by random people: whatever
// happens in whatever order, statuses change as they may and the record explains
// them.
func TestTheRecordExplainsEveryStatus(t *testing.T) {
	d := newDesk(t)
	two := []byte(strings.ReplaceAll(string(policies.Desk), "- n: 1", "- n: 2"))
	rapid.Check(t, func(rt *rapid.T) {
		d.exec(t, `TRUNCATE finobs.export, finobs.approval_decision, finobs.notification, finobs.approval_rung, finobs.approval_request CASCADE`)
		m := &machine{t: t, rt: rt, d: d, r: d.prepare(t, "csv", two)}
		// Each life is an execution of its own: the ledger is never emptied.
		m.r.in.FirstRun = "life-" + strconv.FormatInt(m.r.in.ApprovalID, 10)
		if _, err := run[activities.GateStatus](t, d.approvals.OpenRequest, m.r.in); err != nil {
			rt.Fatal(err)
		}
		m.status = approval.Pending
		operations := []func() string{m.decide, m.decide, m.decide, m.cancel, m.revoke, m.expire, m.consume, m.deadline, m.reopenRun, m.supersede}
		for i := range rapid.IntRange(1, 10).Draw(rt, "operations") {
			what := operations[rapid.IntRange(0, len(operations)-1).Draw(rt, fmt.Sprintf("operation %d", i))]()
			m.check(what)
		}
	})
}

type machine struct {
	t      *testing.T
	rt     *rapid.T
	d      *desk
	r      request
	status approval.Status // as it was last seen
}

func (m *machine) ref() activities.GateRef {
	return activities.GateRef{FirstRun: m.r.in.FirstRun, ApprovalID: m.r.in.ApprovalID}
}

// person draws somebody: those who may decide, the requester, and those who may not.
func (m *machine) person() approval.Principal {
	return rapid.SampledFrom([]approval.Principal{
		human("bob", "analyst"), human("BOB", "analyst"), human("carol", "compliance"), human("dave", "admin"),
		human("alice", "analyst"), human("victor", "viewer"), {Person: human("bot").Person, Kind: approval.Agent, Roles: []string{"admin"}},
	}).Draw(m.rt, "person")
}

func (m *machine) decide() string {
	verdict := rapid.SampledFrom([]approval.Verdict{approval.Approve, approval.Approve, approval.Approve, approval.Reject}).Draw(m.rt, "verdict")
	who := m.person()
	token := m.d.token(m.t, m.r, who, verdict, nil)
	for range rapid.IntRange(1, 2).Draw(m.rt, "deliveries") {
		_, err := run[activities.GateStatus](m.t, m.d.approvals.RecordDecision, activities.DecisionInput{GateRef: m.ref(), Token: token})
		if err != nil {
			m.rt.Errorf("a decision is an error: %v", err)
		}
	}
	return string(verdict) + " by " + who.Subject
}

func (m *machine) act(verb approval.Verb) string {
	who := m.person()
	in := m.d.act(m.t, who, approval.Act{Verb: verb, ApprovalID: m.r.in.ApprovalID, Text: "why"})
	for range 2 { // the second is a retry
		if _, err := run[activities.ActDone](m.t, m.d.acts.RecordAct, in); err != nil && code(err) != "act-refused" && code(err) != "agent-start" {
			m.rt.Errorf("%s: %v", verb, err)
		}
	}
	return string(verb) + " by " + who.Subject
}

func (m *machine) cancel() string { return m.act(approval.Cancel) }
func (m *machine) revoke() string { return m.act(approval.Revoke) }

func (m *machine) expire() string {
	if _, err := run[activities.GateStatus](m.t, m.d.approvals.ExpireRequest, m.ref()); err != nil {
		m.rt.Error(err)
	}
	return "expire"
}

func (m *machine) reopenRun() string {
	if _, err := run[activities.GateStatus](m.t, m.d.approvals.OpenRequest, m.r.in); err != nil {
		m.rt.Error(err)
	}
	return "open again"
}

func (m *machine) consume() string {
	_, err := run[activities.ExportDone](m.t, m.d.exports.GenerateExport, activities.ExportRef{GateRef: m.ref()})
	if (err == nil) != (m.status == approval.Approved || m.status == approval.Consumed) {
		m.rt.Errorf("the effect on a request that is %s: %v", m.status, err)
	}
	return "consume"
}

// deadline lets the deadline pass.
func (m *machine) deadline() string {
	m.d.exec(m.t, "UPDATE finobs.approval_request SET created_at = created_at - interval '25 hours', expires_at = clock_timestamp() WHERE expires_at > clock_timestamp()")
	return "deadline"
}

// supersede has the requester ask for something else in the place of the request.
func (m *machine) supersede() string {
	newer := m.d.prepare(m.t, "ndjson", policies.Desk)
	newer.in.FirstRun, newer.in.Links.Supersedes = m.r.in.FirstRun+"-newer", m.r.in.ApprovalID
	newer.in.Command = m.d.command(m.t, human("alice", "analyst"), newer.payload(m.t))
	_, err := run[activities.GateStatus](m.t, m.d.approvals.OpenRequest, newer.in)
	if (err == nil) != (m.status == approval.Pending) {
		m.rt.Errorf("replacing a request that is %s: %v", m.status, err)
	}
	return "supersede"
}

// check compares the row, the decisions and the ledger with each other.
func (m *machine) check(what string) {
	id := m.r.in.ApprovalID
	row, err := m.d.reader.Approval(ctx, id)
	if err != nil {
		m.rt.Fatal(err)
	}
	if row.Status != m.status && !m.status.CanBecome(row.Status) {
		m.rt.Errorf("%s made a request that was %s %s", what, m.status, row.Status)
	}
	m.status = row.Status
	decisions, err := m.d.reader.Decisions(ctx, id)
	if err != nil {
		m.rt.Fatal(err)
	}
	policy, err := approval.Thaw(row.Policy, row.PolicyDigest)
	if err != nil {
		m.rt.Fatal(err)
	}
	var counted []approval.Decision
	people := map[string]bool{}
	for _, dec := range decisions {
		if dec.Outcome == approval.Counted {
			counted = append(counted, dec.Decision)
			if people[dec.Reviewer.Key()] {
				m.rt.Errorf("after %s: %s counts twice", what, dec.Reviewer.Subject)
			}
			people[dec.Reviewer.Key()] = true
		}
	}
	tallied := approval.Tally(policy, m.r.action, counted).Status
	explained := map[approval.Status][]approval.Status{
		approval.Pending: {approval.Pending}, approval.Approved: {approval.Approved}, approval.Consumed: {approval.Approved},
		approval.Rejected: {approval.Rejected}, approval.Expired: {approval.Pending}, approval.Superseded: {approval.Pending},
		approval.Cancelled: {approval.Pending, approval.Approved},
	}[row.Status]
	if !slices.Contains(explained, tallied) {
		m.rt.Errorf("after %s: the request is %s, its decisions amount to %s", what, row.Status, tallied)
	}
	m.entries(what, row, len(decisions))
}

// entries wants one entry for the request, for each decision and for each change.
func (m *machine) entries(what string, row approval.Request, decisions int) {
	id := strconv.FormatInt(row.ID, 10)
	wanted := map[string]int{"approval.requested": 1, "approval.decided": decisions, "approval.cancelled": 0, "approval.expired": 0, "approval.superseded": 0}
	if name := "approval." + string(row.Status); row.Status == approval.Cancelled || row.Status == approval.Expired || row.Status == approval.Superseded {
		wanted[name] = 1
	}
	for kind, n := range wanted {
		if got := m.d.count(m.t, "SELECT count(*) FROM ledger.entry WHERE subject_kind = 'approval' AND subject_id = $1 AND type = $2", id, kind); got != strconv.Itoa(n) {
			m.rt.Errorf("after %s: %s entries %s, want %d; the request is %s", what, got, kind, n, row.Status)
		}
	}
	spent := 0
	if row.Status == approval.Consumed {
		spent = 1
	}
	for _, query := range []string{
		"SELECT count(*) FROM ledger.entry WHERE type = 'effect.intended' AND convert_from(leaf, 'UTF8')::jsonb #>> '{details,approval_id}' = $1",
		"SELECT count(*) FROM finobs.export WHERE approval_id = $1::bigint",
	} {
		if got := m.d.count(m.t, query, id); got != strconv.Itoa(spent) {
			m.rt.Errorf("after %s: %s gives %s, want %d", what, query, got, spent)
		}
	}
}
