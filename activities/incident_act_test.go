package activities_test

import (
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"finobs/activities"
	"finobs/internal/approval"
	"finobs/internal/attest"
	deskrules "finobs/internal/desk"
	"finobs/internal/incident"
	"finobs/internal/pgtest"
	"finobs/internal/store"

	"github.com/google/uuid"
)

// actInput is an act by somebody, with the API's word for it.
func (d *desk) actInput(t *testing.T, who approval.Principal, a incident.Act) activities.IncidentActInput {
	t.Helper()
	if a.ID == "" {
		a.ID = uuid.Must(uuid.NewV7()).String()
	}
	digest, err := a.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return activities.IncidentActInput{FirstRun: firstRun, Command: d.command(t, who, digest), Act: a}
}

func (d *desk) incidentActs() *activities.IncidentActs {
	return &activities.IncidentActs{InTx: store.InTx[activities.IncidentActTx](d.writer), Verifier: attest.NewVerifier(d.signer.Key.Public())}
}

// tries has somebody act on an incident and returns the code of the refusal, or "".
func (d *desk) tries(t *testing.T, who string, a incident.Act) string {
	t.Helper()
	_, err := run[activities.IncidentActDone](t, d.incidentActs().RecordIncidentAct, d.actInput(t, human(who, "analyst"), a))
	return code(err)
}

func (d *desk) does(t *testing.T, who string, a incident.Act) {
	t.Helper()
	if got := d.tries(t, who, a); got != "" {
		t.Fatalf("%s by %s on incident %d: %s", a.Verb, who, a.IncidentID, got)
	}
}

var opened atomic.Int64

// opens opens an incident of its own.
func (d *desk) opens(t *testing.T) int64 {
	t.Helper()
	key := "incident-" + strconv.FormatInt(opened.Add(1), 10)
	o := firing(key, key, time.Minute)
	o.Incident.Severity = deskrules.High
	return d.foldOne(t, o).IncidentID
}

// bring brings a new incident to a status.
func (d *desk) bring(t *testing.T, to incident.Status) int64 {
	t.Helper()
	id := d.opens(t)
	switch to {
	case incident.Open:
	case incident.Acknowledged:
		d.does(t, "bob", incident.Act{Verb: incident.Acknowledge, IncidentID: id})
	case incident.Resolved, incident.Closed:
		d.does(t, "bob", incident.Act{Verb: incident.Resolve, IncidentID: id, Text: "done"})
		if to == incident.Closed {
			d.does(t, "bob", incident.Act{Verb: incident.Close, IncidentID: id})
		}
	}
	return id
}

func (d *desk) addMember(t *testing.T, name string, active bool) {
	t.Helper()
	p := human(name).Person
	d.exec(t, `INSERT INTO finobs.person (person_key, iss, sub, kind, roles, desk, email, active, version, created_at, updated_at)
		VALUES ($1, $2, $3, 'human', '{analyst}', '', $3 || '@desk.example', $4, 1, now(), now())`, p.Key(), p.Issuer, p.Subject, active)
}

func (d *desk) incidentEntries(t *testing.T, id int64, kind string) string {
	t.Helper()
	return d.count(t, "SELECT count(*) FROM ledger.entry WHERE subject_kind = 'incident' AND subject_id = $1 AND type = $2", strconv.FormatInt(id, 10), kind)
}

// Every act in every status, on the real tables: it is done with its entry, or
// refused and changes nothing.
func TestEveryActInEveryStatus(t *testing.T) {
	d := newDesk(t)
	d.addMember(t, "carol", true)
	d.exec(t, "INSERT INTO finobs.import (import_id, kind, source, content_sha256, origin, file_name, byte_count, report, imported_iss, imported_sub, workflow_id, trace_id, imported_at) VALUES (1, 'transactions', 's', sha256('a'), 'live', 'f', 1, '{}', '', '', '', '', now())")
	d.exec(t, `INSERT INTO finobs.transaction (source, trade_id, execution_id, trade_date, side, symbol, isin, cusip, quantity, price, currency, account,
		counterparty, venue, status, desk, origin, import_id, created_at, updated_at, trace_id)
		VALUES ('s', 't', '', '2026-03-02', 'buy', 'AAPL', '', '', 1, 1, 'USD', '', '', '', 'new', '', 'live', 1, now(), now(), '')`)
	transaction, err := strconv.ParseInt(d.count(t, "SELECT max(transaction_id) FROM finobs.transaction"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	other := d.opens(t)
	entries := map[incident.Verb]string{
		incident.Acknowledge: "acknowledged", incident.Unacknowledge: "unacknowledged", incident.Assign: "assigned", incident.Comment: "commented",
		incident.Resolve: "resolved", incident.Close: "closed", incident.Reopen: "reopened", incident.Rate: "rated",
		incident.Prioritise: "prioritised", incident.Link: "linked", incident.Adopt: "parented", incident.Merge: "merged",
	}
	for _, verb := range incident.Verbs() {
		for _, s := range incident.Statuses() {
			id := d.bring(t, s)
			before := d.incident(t, id)
			a := incident.Act{
				Verb: verb, IncidentID: id, Text: "why", To: human("carol").Person, Severity: deskrules.Critical, Priority: incident.P1, Other: other,
			}
			if verb == incident.Link {
				a.Other = transaction
			}
			had := d.incidentEntries(t, id, "incident."+entries[verb])
			allowed := before.MayAct(human("bob", "analyst"), verb) == nil
			got := d.tries(t, "bob", a)
			if allowed != (got == "") || got != "" && got != "act-refused" {
				t.Errorf("%s on %s: %q", verb, s, got)
			}
			after := d.incident(t, id)
			if !allowed && (after.Status != before.Status || after.Version != before.Version) {
				t.Errorf("%s on %s was refused, and it is %s", verb, s, after.Status)
			}
			if after.Status != s && !s.CanBecome(after.Status, verb == incident.Merge) {
				t.Errorf("%s made what was %s %s", verb, s, after.Status)
			}
			if n := d.incidentEntries(t, id, "incident."+entries[verb]); (n != had) != allowed {
				t.Errorf("%s on %s: entries from %s to %s", verb, s, had, n)
			}
		}
	}
}

// The table itself refuses what no program of finobs asks for.
func TestTheTableHoldsToTheStatuses(t *testing.T) {
	d := newDesk(t)
	other := d.opens(t)
	for _, from := range incident.Statuses() {
		for _, to := range incident.Statuses() {
			id := d.bring(t, from)
			err := pgtestExec(t, d, "UPDATE finobs.incident SET status = $2 WHERE incident_id = $1", id, to)
			if want := from == to || from.CanBecome(to, false); (err == nil) != want {
				t.Errorf("from %s to %s: %v", from, to, err)
			}
		}
		id := d.bring(t, from)
		if err := pgtestExec(t, d, "UPDATE finobs.incident SET status = 'closed', merged_into = $2 WHERE incident_id = $1", id, other); err != nil {
			t.Errorf("merging what is %s: %v", from, err)
		}
		for _, to := range incident.Statuses() {
			if err := pgtestExec(t, d, "UPDATE finobs.incident SET status = $2, merged_into = NULL WHERE incident_id = $1", id, to); err == nil {
				t.Errorf("what was merged became %s", to)
			}
		}
	}
}

func TestActsAreDoneOnceAndByTheAPIsWord(t *testing.T) {
	d := newDesk(t)
	id := d.opens(t)
	in := d.actInput(t, human("bob", "analyst"), incident.Act{Verb: incident.Comment, IncidentID: id, Text: "looking"})
	for range 3 {
		if _, err := run[activities.IncidentActDone](t, d.incidentActs().RecordIncidentAct, in); err != nil {
			t.Fatal(err)
		}
	}
	if n := d.count(t, "SELECT count(*) FROM finobs.incident_comment"); n != "1" || d.incidentEntries(t, id, "incident.commented") != "1" {
		t.Errorf("%s comments", n)
	}
	forged := in
	forged.Act.Text = "something else"
	if _, err := run[activities.IncidentActDone](t, d.incidentActs().RecordIncidentAct, forged); code(err) != "start-not-signed" {
		t.Errorf("a changed act: %v", err)
	}
	agent := human("bot", "analyst")
	agent.Kind = approval.Agent
	byAgent := d.actInput(t, agent, incident.Act{Verb: incident.Acknowledge, IncidentID: id})
	if _, err := run[activities.IncidentActDone](t, d.incidentActs().RecordIncidentAct, byAgent); code(err) != "agent-start" {
		t.Errorf("an agent: %v", err)
	}
	service := human("bot", "analyst")
	service.Kind = approval.System
	bySystem := d.actInput(t, service, incident.Act{Verb: incident.Acknowledge, IncidentID: id})
	if _, err := run[activities.IncidentActDone](t, d.incidentActs().RecordIncidentAct, bySystem); code(err) != "people-only" {
		t.Errorf("a service: %v", err)
	}
	if i := d.incident(t, id); i.Status != incident.Open {
		t.Errorf("it is %s", i.Status)
	}
	if n := d.count(t, "SELECT count(*) FROM ledger.entry WHERE type = 'workflow.refused'"); n != "3" {
		t.Errorf("%s refusals on record, want 3", n)
	}
}

func TestActsThatNameWhatIsNotThere(t *testing.T) {
	d := newDesk(t)
	d.addMember(t, "gone", false)
	id := d.opens(t)
	for name, step := range map[string]struct {
		act  incident.Act
		want string
	}{
		"no incident":    {incident.Act{Verb: incident.Acknowledge, IncidentID: 999}, "no-such-incident"},
		"no survivor":    {incident.Act{Verb: incident.Merge, IncidentID: id, Other: 999, Text: "x"}, "no-such-incident"},
		"no parent":      {incident.Act{Verb: incident.Adopt, IncidentID: id, Other: 999}, "no-such-incident"},
		"no transaction": {incident.Act{Verb: incident.Link, IncidentID: id, Other: 999}, "no-such-transaction"},
		"a stranger":     {incident.Act{Verb: incident.Assign, IncidentID: id, To: human("nobody").Person}, "not-on-the-roster"},
		"who left":       {incident.Act{Verb: incident.Assign, IncidentID: id, To: human("gone").Person}, "not-on-the-roster"},
		"no window":      {incident.Act{Verb: incident.EndWindow, WindowID: 999}, "no-such-window"},
		"nothing":        {incident.Act{Verb: "burn", IncidentID: id}, "invalid-act"},
	} {
		if got := d.tries(t, "bob", step.act); got != step.want {
			t.Errorf("%s: %q, want %q", name, got, step.want)
		}
	}
	d.does(t, "bob", incident.Act{Verb: incident.Assign, IncidentID: id}) // to nobody
}

// Of many who act on what they saw, one gets his way; the others look again.
func TestVersionsKeepPeopleFromOverwritingEachOther(t *testing.T) {
	d := newDesk(t)
	id := d.opens(t)
	seen := d.incident(t, id).Version
	var won, moved atomic.Int64
	var all sync.WaitGroup
	for n := range 12 {
		all.Go(func() {
			a := incident.Act{Verb: incident.Prioritise, IncidentID: id, Version: seen, Priority: incident.Priorities()[n%4], Text: "why"}
			switch got := d.tries(t, "p"+strconv.Itoa(n), a); got {
			case "":
				won.Add(1)
			case "incident-moved":
				moved.Add(1)
			default:
				t.Errorf("got %s", got)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 || moved.Load() != 11 {
		t.Errorf("%d got their way, %d look again", won.Load(), moved.Load())
	}
	// Repetitions move no version: a storm keeps nobody from acknowledging.
	i := d.incident(t, id)
	o := firing(i.DedupKey, "more", time.Second)
	o.Incident.Severity = deskrules.High
	d.foldOne(t, o)
	d.does(t, "bob", incident.Act{Verb: incident.Acknowledge, IncidentID: id, Version: i.Version})
}

func TestMergingMovesEverythingToTheSurvivor(t *testing.T) {
	d := newDesk(t)
	first, second, third, child := d.opens(t), d.opens(t), d.opens(t), d.opens(t)
	d.does(t, "bob", incident.Act{Verb: incident.Adopt, IncidentID: child, Other: first})
	d.does(t, "bob", incident.Act{Verb: incident.Comment, IncidentID: first, Text: "the switch"})
	d.does(t, "bob", incident.Act{Verb: incident.Merge, IncidentID: first, Other: second, Text: "the same switch"})
	survivor, merged := d.incident(t, second), d.incident(t, first)
	if survivor.Occurrences != 2 || merged.Status != incident.Closed || merged.MergedInto != second || d.incident(t, child).ParentID != second {
		t.Errorf("survivor %+v, merged %+v", survivor, merged)
	}
	if n := d.count(t, "SELECT count(*) FROM finobs.incident_occurrence WHERE incident_id = $1", second); n != "2" {
		t.Errorf("%s occurrences of the survivor", n)
	}
	if n := d.count(t, "SELECT count(*) FROM finobs.incident_comment WHERE incident_id = $1", second); n != "1" {
		t.Errorf("%s comments on the survivor", n)
	}
	if d.incidentEntries(t, first, "incident.merged") != "1" || d.incidentEntries(t, second, "incident.merged") != "1" {
		t.Error("the merge is not on record of both")
	}
	o := firing(merged.DedupKey, "later", time.Second)
	if got := d.foldOne(t, o); got.IncidentID != second || got.Folding != incident.Repeated {
		t.Errorf("a later occurrence of what was merged: %+v", got)
	}
	for _, a := range []incident.Act{
		{Verb: incident.Reopen, IncidentID: first, Text: "no"}, {Verb: incident.Merge, IncidentID: first, Other: third, Text: "no"},
	} {
		if got := d.tries(t, "bob", a); got != "incident-merged" {
			t.Errorf("%s: %q", a.Verb, got)
		}
	}
	// A survivor that is merged itself hands on what it took in.
	d.does(t, "bob", incident.Act{Verb: incident.Merge, IncidentID: second, Other: third, Text: "and this"})
	if got := d.foldOne(t, firing(merged.DedupKey, "latest", time.Second)); got.IncidentID != third {
		t.Errorf("after two merges: %+v", got)
	}
	d.does(t, "bob", incident.Act{Verb: incident.Resolve, IncidentID: third, Text: "mended"})
	if got := d.foldOne(t, firing(merged.DedupKey, "new", 0)); got.Folding != incident.Opened {
		t.Errorf("after the survivor was resolved: %+v", got)
	}
	if got := d.tries(t, "bob", incident.Act{Verb: incident.Merge, IncidentID: child, Other: third, Text: "no"}); got != "act-refused" {
		t.Errorf("merging into what is resolved: %q", got)
	}
}

func TestFamiliesHaveTwoGenerations(t *testing.T) {
	d := newDesk(t)
	parent, child, other := d.opens(t), d.opens(t), d.opens(t)
	d.does(t, "bob", incident.Act{Verb: incident.Adopt, IncidentID: child, Other: parent})
	for name, a := range map[string]incident.Act{
		"a child becomes a parent": {Verb: incident.Adopt, IncidentID: other, Other: child},
		"a parent becomes a child": {Verb: incident.Adopt, IncidentID: parent, Other: other},
		"a circle":                 {Verb: incident.Adopt, IncidentID: parent, Other: child},
	} {
		if got := d.tries(t, "bob", a); got != "act-refused" {
			t.Errorf("%s: %q", name, got)
		}
	}
	d.does(t, "bob", incident.Act{Verb: incident.Adopt, IncidentID: child}) // none
	d.does(t, "bob", incident.Act{Verb: incident.Adopt, IncidentID: parent, Other: other})
	if i := d.incident(t, child); i.ParentID != 0 {
		t.Errorf("the parent is %d", i.ParentID)
	}
}

func TestReopeningWhenAnotherIsOpen(t *testing.T) {
	d := newDesk(t)
	id := d.bring(t, incident.Closed)
	again := d.foldOne(t, firing(d.incident(t, id).DedupKey, "again", 0))
	if again.IncidentID == id || again.Folding != incident.Opened {
		t.Fatalf("after it was closed: %+v", again)
	}
	if got := d.tries(t, "bob", incident.Act{Verb: incident.Reopen, IncidentID: id, Text: "it is the old one"}); got != "key-is-taken" {
		t.Errorf("got %q", got)
	}
}

// Whoever merges and reports at the same time loses no occurrence.
func TestReportsAndMergesAtTheSameTime(t *testing.T) {
	d := newDesk(t)
	var ids []int64
	for n := range 5 {
		ids = append(ids, d.foldOne(t, firing("race-"+strconv.Itoa(n), "first", time.Minute)).IncidentID)
	}
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for n := range 20 {
				for attempt := 0; ; attempt++ {
					_, err := d.fold(t, firing("race-"+strconv.Itoa(n%5), fmt.Sprintf("%d-%d", g, n), time.Second))
					if err == nil {
						break
					}
					if attempt == 20 { // Temporal would go on
						t.Error(err)
						break
					}
				}
			}
		})
	}
	for _, id := range ids[1:] {
		all.Go(func() {
			for range 20 {
				if d.tries(t, "bob", incident.Act{Verb: incident.Merge, IncidentID: id, Other: ids[0], Text: "the same"}) == "" {
					return
				}
			}
		})
	}
	all.Wait()
	if got := d.count(t, "SELECT occurrences FROM finobs.incident WHERE incident_id = $1", ids[0]); got != "85" {
		t.Errorf("%s occurrences of the survivor, want 85", got)
	}
	if got := d.count(t, "SELECT count(*) FROM finobs.incident WHERE status = 'open'"); got != "1" {
		t.Errorf("%s are open", got)
	}
}

func TestWindowsAreMadeAndEndedOnce(t *testing.T) {
	d := newDesk(t)
	asked := incident.WindowAsked{Title: "upgrade", System: "fix-1", Source: "*", Kind: "*", Desk: "*", StartsAt: time.Now().UTC(), EndsAt: time.Now().Add(time.Hour).UTC()}
	in := d.actInput(t, human("bob", "analyst"), incident.Act{Verb: incident.OpenWindow, Window: &asked})
	var first activities.IncidentActDone
	for n := range 2 {
		done, err := run[activities.IncidentActDone](t, d.incidentActs().RecordIncidentAct, in)
		if err != nil || n > 0 && done != first {
			t.Fatalf("got %+v, %v", done, err)
		}
		first = done
	}
	d.does(t, "bob", incident.Act{Verb: incident.EndWindow, WindowID: first.WindowID})
	if got := d.tries(t, "bob", incident.Act{Verb: incident.EndWindow, WindowID: first.WindowID}); got != "window-over" {
		t.Errorf("ended twice: %q", got)
	}
	if n := d.count(t, "SELECT string_agg(type, ' ' ORDER BY recorded_at) FROM ledger.entry WHERE subject_kind = 'maintenance_window'"); n != "maintenance.opened maintenance.ended" {
		t.Errorf("entries %s", n)
	}
	past := asked
	past.StartsAt, past.EndsAt = asked.StartsAt.Add(-2*time.Hour), asked.StartsAt.Add(-time.Hour)
	if got := d.tries(t, "bob", incident.Act{Verb: incident.OpenWindow, Window: &past}); got != "invalid-window" {
		t.Errorf("a window that is over: %q", got)
	}
}

// pgtestExec runs a statement as the worker's role.
func pgtestExec(t *testing.T, d *desk, statement string, args ...any) error {
	t.Helper()
	return pgtest.Exec(t, d.db.Worker, statement, args...)
}
