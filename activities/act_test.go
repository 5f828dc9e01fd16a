package activities_test

import (
	"strconv"
	"testing"
	"time"

	"finobs/activities"
	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/policies"

	"github.com/google/uuid"
)

// act is the API's word for something that who does.
func (d *desk) act(t *testing.T, who approval.Principal, a approval.Act) activities.ActInput {
	t.Helper()
	a.ID = uuid.Must(uuid.NewV7()).String()
	digest, err := a.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return activities.ActInput{FirstRun: firstRun + "-" + a.ID, Command: d.command(t, who, digest), Act: a}
}

// A worker that dies after the commit has the act done again: it finds its own
// entry and changes nothing.
func TestAnActIsDoneOnce(t *testing.T) {
	in := func(id int64, verb approval.Verb) approval.Act {
		return approval.Act{Verb: verb, ApprovalID: id, Text: "why"}
	}
	for name, tc := range map[string]struct {
		who      approval.Principal
		approved bool
		act      func(id int64) approval.Act
		entry    string
		state    string // what may not change any more
	}{
		"comment":  {human("bob", "analyst"), false, func(id int64) approval.Act { return in(id, approval.Comment) }, "approval.commented", "SELECT count(*) FROM finobs.approval_comment"},
		"assign":   {human("bob", "analyst"), false, func(id int64) approval.Act { return in(id, approval.Assign) }, "approval.assigned", "SELECT assignee_sub FROM finobs.approval_request"},
		"escalate": {human("bob", "analyst"), false, func(id int64) approval.Act { return in(id, approval.Escalate) }, "approval.escalated", "SELECT escalation_level FROM finobs.approval_request"},
		"cancel":   {human("alice", "analyst"), false, func(id int64) approval.Act { return in(id, approval.Cancel) }, "approval.cancelled", "SELECT status FROM finobs.approval_request"},
		"revoke":   {human("carol", "compliance"), true, func(id int64) approval.Act { return in(id, approval.Revoke) }, "approval.cancelled", "SELECT status FROM finobs.approval_request"},
		"delegate": {human("bob", "analyst"), false, func(id int64) approval.Act {
			a := in(id, approval.Delegate)
			a.To, a.StartsAt, a.EndsAt = human("dora").Person, time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
			return a
		}, "approval.delegated", "SELECT count(*) FROM finobs.delegation"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			r := d.open(t)
			if tc.approved {
				d.decide(t, r, d.token(t, r, human("bob", "analyst"), approval.Approve, nil))
			}
			input := d.act(t, tc.who, tc.act(r.in.ApprovalID))
			first, err := run[activities.ActDone](t, d.acts.RecordAct, input)
			if err != nil {
				t.Fatal(err)
			}
			state, entries := d.count(t, tc.state), d.count(t, "SELECT count(*) FROM ledger.entry")
			again, err := run[activities.ActDone](t, d.acts.RecordAct, input)
			if err != nil || again != first {
				t.Errorf("the retry gives %+v, %v; the first gave %+v", again, err, first)
			}
			if got := d.count(t, tc.state); got != state {
				t.Errorf("%s gives %s after the retry, was %s", tc.state, got, state)
			}
			if got := d.count(t, "SELECT count(*) FROM ledger.entry"); got != entries {
				t.Errorf("%s entries after the retry, were %s", got, entries)
			}
			if n := d.count(t, "SELECT count(*) FROM ledger.entry WHERE type = $1 AND actor_sub = $2 AND reason = 'why'", tc.entry, tc.who.Subject); n != "1" {
				t.Errorf("%s entries %s", n, tc.entry)
			}
		})
	}
}

// The requester and his delegate are one party, whatever request the delegation
// was made for.
func TestADelegateOfTheRequesterForAnotherRequestDoesNotCount(t *testing.T) {
	d := newDesk(t)
	bob := human("bob", "analyst")
	other := d.prepare(t, "ndjson", policies.Desk)
	if _, err := run[activities.GateStatus](t, d.approvals.OpenRequest, other.in); err != nil {
		t.Fatal(err)
	}
	d.exec(t, `WITH act AS (INSERT INTO finobs.act (act_id, recorded_at) VALUES (gen_random_uuid(), now()) RETURNING act_id)
		INSERT INTO finobs.delegation (act_id, approval_id, from_principal, from_key, to_iss, to_sub, to_key, starts_at, ends_at, reason, created_at)
		SELECT act_id, `+strconv.FormatInt(other.in.ApprovalID, 10)+`, '{"iss":"test","sub":"alice","kind":"human","roles":["analyst"]}',
			$1, 'test', 'bob', $2, now() - interval '1 hour', now() + interval '1 hour', 'r', now() FROM act`,
		human("alice").Key(), bob.Key())
	r := d.open(t)
	if got := d.decide(t, r, d.token(t, r, bob, approval.Approve, nil)); got.Status != approval.Pending {
		t.Errorf("the request is %s by a delegate of its requester", got.Status)
	}
	if got := d.count(t, "SELECT outcome || ': ' || outcome_reason FROM finobs.approval_decision"); got != "refused: bob is a delegate of the requester, who never decides" {
		t.Errorf("the decision is %s", got)
	}
}

// A decision in somebody's place counts by a delegation in force that is really
// his, and by nothing else.
func TestADelegateCountsByHisDelegationOnly(t *testing.T) {
	carol, tim := human("carol", "compliance"), human("tim", "trader")
	for name, tc := range map[string]struct {
		change func(*attest.Decision)
		want   approval.Status
	}{
		"as given":                  {nil, approval.Approved},
		"another delegation's id":   {func(d *attest.Decision) { d.DelegationID++ }, approval.Pending},
		"none":                      {func(d *attest.Decision) { d.DelegationID = 0 }, approval.Pending},
		"in another person's place": {func(d *attest.Decision) { p := human("bob", "analyst"); d.OnBehalfOf = &p }, approval.Pending},
		"by another person":         {func(d *attest.Decision) { d.Reviewer = human("tom", "trader") }, approval.Pending},
		"before it began":           {func(d *attest.Decision) { d.IssuedAt = d.IssuedAt.Add(-2 * time.Second) }, approval.Pending},
		"in the requester's place":  {func(d *attest.Decision) { p := human("alice", "analyst"); d.OnBehalfOf = &p }, approval.Pending},
		"of a summary not recorded": {func(d *attest.Decision) { d.SummarySHA256 = "00" }, approval.Pending},
		"by a fallback not there":   {func(d *attest.Decision) { d.Fallback = true }, approval.Pending},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			r := d.open(t)
			d.exec(t, "UPDATE finobs.approval_request SET created_at = created_at - interval '1 hour'")
			a := approval.Act{Verb: approval.Delegate, ApprovalID: r.in.ApprovalID, Text: "on leave", To: tim.Person}
			now, err := d.reader.Now(ctx)
			if err != nil {
				t.Fatal(err)
			}
			a.StartsAt, a.EndsAt = now, now.Add(time.Hour)
			done, err := run[activities.ActDone](t, d.acts.RecordAct, d.act(t, carol, a))
			if err != nil || done.DelegationID == 0 {
				t.Fatalf("got %+v, %v", done, err)
			}
			token := d.token(t, r, tim, approval.Approve, func(said *attest.Decision) {
				said.OnBehalfOf, said.DelegationID = &carol, done.DelegationID
				if tc.change != nil {
					tc.change(said)
				}
			})
			if got := d.decide(t, r, token); got.Status != tc.want {
				t.Errorf("the request is %s, want %s; the decision is %s", got.Status, tc.want,
					d.count(t, "SELECT outcome || ': ' || outcome_reason FROM finobs.approval_decision"))
			}
		})
	}
}
