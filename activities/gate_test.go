package activities_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"finobs/activities"
	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/canonical"
	"finobs/policies"

	"go.temporal.io/sdk/temporal"
)

func code(err error) string {
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		return app.Type()
	}
	return ""
}

func TestOpenRequestIsIdempotent(t *testing.T) {
	d := newDesk(t)
	r := d.open(t)
	status, err := run[activities.GateStatus](t, d.approvals.OpenRequest, r.in)
	if err != nil || status.Status != approval.Pending || len(status.Missing) != 1 || status.WakeIn > 4*time.Hour || status.WakeIn < 3*time.Hour {
		t.Errorf("got %+v, %v", status, err)
	}
	if n := d.count(t, "SELECT count(*) FROM ledger.entry"); n != "1" {
		t.Errorf("%s entries", n)
	}
}

func TestOpenRequestRefusesWhatTheAPIDidNotSign(t *testing.T) {
	d := newDesk(t)
	other := d.prepare(t, "ndjson", policies.Desk)
	refused := 0
	for name, change := range map[string]func(*activities.OpenRequestInput){
		"no command":          func(in *activities.OpenRequestInput) { in.Command = "" },
		"command for another": func(in *activities.OpenRequestInput) { in.Command = other.in.Command },
		"another approval":    func(in *activities.OpenRequestInput) { in.ApprovalID += 1000 },
		"another action":      func(in *activities.OpenRequestInput) { in.Action = other.in.Action },
		"another reason":      func(in *activities.OpenRequestInput) { in.Reason = "x" },
		"a softer policy":     func(in *activities.OpenRequestInput) { in.Policy = strings.Replace(in.Policy, "admin", "viewer", 1) },
		"a decision's token": func(in *activities.OpenRequestInput) {
			in.Command = d.token(t, other, human("bob"), approval.Approve, nil)
		},
		"not canonical action": func(in *activities.OpenRequestInput) { in.Action += " " },
		"action of nothing":    func(in *activities.OpenRequestInput) { in.Action = "" },
	} {
		r := d.prepare(t, "csv", policies.Desk)
		change(&r.in)
		r.in.FirstRun = name
		for range 2 {
			_, err := run[activities.GateStatus](t, d.approvals.OpenRequest, r.in)
			if c := code(err); c != "start-not-signed" && c != "evidence-broken" {
				t.Errorf("%s: got %v", name, err)
			}
		}
		refused++
		if n := d.count(t, "SELECT count(*) FROM ledger.entry WHERE type = 'workflow.refused'"); n != strconv.Itoa(refused) {
			t.Errorf("%s: %s entries in all, want %d", name, n, refused)
		}
	}
	if n := d.count(t, "SELECT count(*) FROM finobs.approval_request"); n != "0" {
		t.Errorf("%s requests are recorded", n)
	}
}

func TestRecordDecision(t *testing.T) {
	long := strings.Repeat("x", 20_000)
	for name, tc := range map[string]struct {
		who     approval.Principal
		verdict approval.Verdict
		change  func(*attest.Decision)
		want    approval.Status
		outcome string // of the decision row; "" when none is written
	}{
		"analyst approves":        {human("bob", "analyst"), approval.Approve, nil, approval.Approved, "counted"},
		"analyst rejects":         {human("bob", "analyst"), approval.Reject, nil, approval.Rejected, "counted"},
		"the requester":           {human("alice", "admin"), approval.Approve, nil, approval.Pending, "refused"},
		"the requester, shouting": {human("ALICE", "admin"), approval.Approve, nil, approval.Pending, "refused"},
		"a viewer":                {human("victor", "viewer"), approval.Approve, nil, approval.Pending, "refused"},
		"nobody in particular":    {human("nora"), approval.Approve, nil, approval.Pending, "refused"},
		"an agent":                {approval.Principal{Person: human("bot").Person, Kind: approval.Agent, Roles: []string{"admin"}}, approval.Approve, nil, approval.Pending, "refused"},
		"a service":               {approval.Principal{Person: human("svc").Person, Kind: approval.System, Roles: []string{"admin"}}, approval.Approve, nil, approval.Pending, "refused"},
		"another approval":        {human("bob", "analyst"), approval.Approve, func(d *attest.Decision) { d.ApprovalID++ }, approval.Pending, ""},
		"another workflow":        {human("bob", "analyst"), approval.Approve, func(d *attest.Decision) { d.WorkflowID = "w" }, approval.Pending, ""},
		"another action":          {human("bob", "analyst"), approval.Approve, func(d *attest.Decision) { d.ActionDigest = "sha256:0" }, approval.Pending, ""},
		"another policy":          {human("bob", "analyst"), approval.Approve, func(d *attest.Decision) { d.PolicyDigest = "sha256:0" }, approval.Pending, ""},
		"made too late":           {human("bob", "analyst"), approval.Approve, func(d *attest.Decision) { d.IssuedAt = d.IssuedAt.Add(25 * time.Hour) }, approval.Pending, ""},
		"made too early":          {human("bob", "analyst"), approval.Approve, func(d *attest.Decision) { d.IssuedAt = d.IssuedAt.Add(-time.Hour) }, approval.Pending, ""},
		"neither yes nor no":      {human("bob", "analyst"), "maybe", nil, approval.Pending, ""},
		"an endless token":        {human("bob", "analyst"), approval.Approve, func(d *attest.Decision) { d.Reason = long }, approval.Pending, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			r := d.open(t)
			token := d.token(t, r, tc.who, tc.verdict, tc.change)
			for range 2 { // the second is a retry
				if got := d.decide(t, r, token); got.Status != tc.want {
					t.Errorf("the request is %s, want %s", got.Status, tc.want)
				}
			}
			rows := d.count(t, "SELECT coalesce(string_agg(outcome, ' '), '') FROM finobs.approval_decision")
			if rows != tc.outcome {
				t.Errorf("decision rows are %q, want %q", rows, tc.outcome)
			}
			if n := d.count(t, "SELECT count(*) FROM ledger.entry"); n != "2" {
				t.Errorf("%s entries, want one for the request and one for what arrived", n)
			}
		})
	}
}

func TestTheFirstDecisionOfAPersonStands(t *testing.T) {
	d := newDesk(t)
	two := []byte(strings.ReplaceAll(string(policies.Desk), "- n: 1", "- n: 2"))
	r := d.prepare(t, "csv", two)
	if _, err := run[activities.GateStatus](t, d.approvals.OpenRequest, r.in); err != nil {
		t.Fatal(err)
	}
	for i, tc := range []struct {
		who     string
		verdict approval.Verdict
		want    approval.Status
	}{
		{"bob", approval.Approve, approval.Pending}, {"BOB", approval.Approve, approval.Pending}, {"bob", approval.Reject, approval.Pending},
		{"carol", approval.Approve, approval.Approved}, {"dave", approval.Reject, approval.Approved},
	} {
		if got := d.decide(t, r, d.token(t, r, human(tc.who, "analyst"), tc.verdict, nil)); got.Status != tc.want {
			t.Errorf("decision %d: %s, want %s", i+1, got.Status, tc.want)
		}
	}
	if got := d.count(t, "SELECT string_agg(outcome, ' ' ORDER BY seq) FROM finobs.approval_decision"); got != "counted repeated repeated counted refused" {
		t.Errorf("got %s", got)
	}
}

func TestExpiryIsJudgedByTheDatabase(t *testing.T) {
	d := newDesk(t)
	r := d.open(t)
	status, err := run[activities.GateStatus](t, d.approvals.ExpireRequest, r.ref())
	if err != nil || status.Status != approval.Pending {
		t.Errorf("before the deadline: %+v, %v", status, err)
	}
	inTime := d.token(t, r, human("bob", "analyst"), approval.Approve, nil)
	d.exec(t, "UPDATE finobs.approval_request SET created_at = created_at - interval '25 hours', expires_at = clock_timestamp()")
	late := d.token(t, r, human("carol", "analyst"), approval.Approve, nil)
	if got := d.decide(t, r, late); got.Status != approval.Pending {
		t.Errorf("a decision made after the deadline: %s", got.Status)
	}
	// Made in time, delivered late: it counts while the request is still pending.
	if got := d.decide(t, r, inTime); got.Status != approval.Approved {
		t.Errorf("a decision made in time: %s", got.Status)
	}
	status, err = run[activities.GateStatus](t, d.approvals.ExpireRequest, r.ref())
	if err != nil || status.Status != approval.Approved {
		t.Errorf("expiring an approved request: %+v, %v", status, err)
	}
}

func TestExpireAndCancelAreOnRecord(t *testing.T) {
	for name, want := range map[string]approval.Status{"expire": approval.Expired, "cancel": approval.Cancelled} {
		d := newDesk(t)
		r := d.open(t)
		fn := d.approvals.CancelRequest
		if name == "expire" {
			d.exec(t, "UPDATE finobs.approval_request SET created_at = created_at - interval '25 hours', expires_at = clock_timestamp()")
			fn = d.approvals.ExpireRequest
		}
		for range 2 {
			status, err := run[activities.GateStatus](t, fn, r.ref())
			if err != nil || status.Status != want {
				t.Errorf("%s: %+v, %v", name, status, err)
			}
		}
		if n := d.count(t, "SELECT count(*) FROM ledger.entry WHERE type = $1", "approval."+string(want)); n != "1" {
			t.Errorf("%s: %s entries", name, n)
		}
		if got := d.decide(t, r, d.token(t, r, human("bob", "analyst"), approval.Approve, nil)); got.Status != want {
			t.Errorf("%s: a later decision made it %s", name, got.Status)
		}
	}
}

// An approval that nobody used, and a request whose workflow is gone, do not stand
// in the way of a new request over the same action.
func TestLapsedRequestsMakeRoom(t *testing.T) {
	for name, lapse := range map[string]string{
		"approved, not used":   "UPDATE finobs.approval_request SET use_by = clock_timestamp() - interval '1 second'",
		"pending, not decided": "UPDATE finobs.approval_request SET created_at = created_at - interval '25 hours', expires_at = clock_timestamp()",
	} {
		d := newDesk(t)
		var r request
		if strings.HasPrefix(name, "approved") {
			r = d.approved(t)
		} else {
			r = d.open(t)
		}
		again := d.prepare(t, "csv", policies.Desk)
		again.in.FirstRun = firstRun
		if _, err := run[activities.GateStatus](t, d.approvals.OpenRequest, again.in); code(err) != "approval-open" {
			t.Errorf("%s: while it can be used: %v", name, err)
		}
		d.exec(t, lapse)
		again = d.prepare(t, "csv", policies.Desk)
		if again.digest != r.digest {
			t.Fatal("the two requests are over different actions")
		}
		if got, err := run[activities.GateStatus](t, d.approvals.OpenRequest, again.in); err != nil || got.Status != approval.Pending {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if got := d.count(t, "SELECT string_agg(status, ' ' ORDER BY approval_id) FROM finobs.approval_request"); got != "expired pending" {
			t.Errorf("%s: statuses are %s", name, got)
		}
		if n := d.count(t, "SELECT count(*) FROM ledger.entry WHERE type = 'approval.expired'"); n != "1" {
			t.Errorf("%s: %s entries approval.expired", name, n)
		}
	}
}

func TestEveryEntryIsCanonicalAndHasItsDigest(t *testing.T) {
	d := newDesk(t)
	d.approved(t)
	entries, err := d.reader.History(ctx, "approval", "1")
	if err != nil || len(entries) != 2 {
		t.Fatalf("got %d entries, %v", len(entries), err)
	}
	for _, e := range entries {
		leaf, err := canonical.Parse([]byte(e.Leaf))
		if err != nil || leaf["id"] != e.EntryID || leaf["type"] != e.Type || e.TraceID == "" {
			t.Errorf("entry %s: %v, %v", e.Type, leaf, err)
		}
	}
}
