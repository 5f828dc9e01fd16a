package activities_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"finobs/activities"
	"finobs/internal/approval"
	"finobs/internal/export"
	"finobs/internal/pgtest"
	"finobs/policies"

	"github.com/google/uuid"
)

// act pauses, resumes or ends the schedule as bob.
func (x *scheduled) act(t *testing.T, verb export.ScheduleVerb) (string, error) {
	t.Helper()
	a := export.ScheduleAct{ID: uuid.NewString(), Verb: verb, ScheduleID: x.id, Reason: "quarter end"}
	digest, err := a.Digest()
	if err != nil {
		t.Fatal(err)
	}
	in := activities.ScheduleActInput{FirstRun: firstRun, Command: x.command(t, human("bob", "analyst"), digest), Act: a}
	state, err := run[string](t, x.schedules.ActOnSchedule, in)
	if again, againErr := run[string](t, x.schedules.ActOnSchedule, in); err == nil && (againErr != nil || again != state) {
		t.Errorf("%s again: %s, %v", verb, again, againErr)
	}
	return state, err
}

func TestActsOnASchedule(t *testing.T) {
	x := granted(t, nil)
	for _, step := range []struct {
		verb        export.ScheduleVerb
		state, code string
	}{
		{export.ScheduleResume, "active", "schedule-is-active"},
		{export.SchedulePause, "paused", ""},
		{export.SchedulePause, "paused", "schedule-is-paused"},
		{export.ScheduleResume, "active", ""},
		{export.ScheduleEnd, "deleted", ""},
		{export.ScheduleResume, "deleted", "schedule-is-deleted"},
		{export.ScheduleEnd, "deleted", "schedule-is-deleted"},
	} {
		_, err := x.act(t, step.verb)
		if state := x.count(t, "SELECT state FROM finobs.export_schedule"); code(err) != step.code || state != step.state {
			t.Errorf("%s: %s, %v", step.verb, state, err)
		}
	}
	for typ, want := range map[string]string{"schedule.paused": "1", "schedule.resumed": "1", "schedule.deleted": "1", "workflow.refused": "4"} {
		if n := x.count(t, "SELECT count(*) FROM ledger.entry WHERE type = $1", typ); n != want {
			t.Errorf("%s: %s entries, want %s", typ, n, want)
		}
	}
	if n := x.count(t, "SELECT count(*) FROM ledger.entry WHERE type LIKE 'schedule.%ed' AND actor_sub = 'bob' AND reason = 'quarter end' AND subject_id = '1'"); n != "3" {
		t.Errorf("%s entries of bob's", n)
	}
	// It ended with each slot on record.
	if n := x.count(t, "SELECT count(*) FROM finobs.export_slot WHERE reason = 'the schedule was ended before the slot began'"); n < "59" || len(n) != 2 {
		t.Errorf("%s slots settled", n)
	}
	if err := x.attempt(t, "UPDATE finobs.export_schedule SET state = 'active'"); err == nil {
		t.Error("the database lets an ended schedule go on")
	}
}

func TestResumeEndsWithTheGrant(t *testing.T) {
	x := granted(t, nil)
	if _, err := x.act(t, export.SchedulePause); err != nil {
		t.Fatal(err)
	}
	x.exec(t, "UPDATE finobs.export_schedule SET expires_at = now() - interval '1 second'")
	if _, err := x.act(t, export.ScheduleResume); code(err) != "grant-expired" {
		t.Errorf("got %v", err)
	}
}

func TestActsAreSigned(t *testing.T) {
	x := granted(t, nil)
	a := export.ScheduleAct{ID: uuid.NewString(), Verb: export.SchedulePause, ScheduleID: 1}
	digest, err := a.Digest()
	if err != nil {
		t.Fatal(err)
	}
	token := x.command(t, human("bob", "analyst"), digest)
	for name, change := range map[string]func(*export.ScheduleAct){
		"verb": func(a *export.ScheduleAct) { a.Verb = export.ScheduleEnd }, "schedule": func(a *export.ScheduleAct) { a.ScheduleID = 2 },
		"reason": func(a *export.ScheduleAct) { a.Reason = "x" }, "id": func(a *export.ScheduleAct) { a.ID = uuid.NewString() },
	} {
		other := a
		change(&other)
		if _, err := run[string](t, x.schedules.ActOnSchedule, activities.ScheduleActInput{FirstRun: firstRun, Command: token, Act: other}); code(err) != "start-not-signed" {
			t.Errorf("another %s: %v", name, err)
		}
	}
	if state := x.count(t, "SELECT state FROM finobs.export_schedule"); state != "active" {
		t.Errorf("it is %s", state)
	}
}

// A change is granted like the schedule, replaces its grant, and settles what the
// grant before left.
func TestChangeReplacesTheGrant(t *testing.T) {
	x := granted(t, nil)
	begun, err := x.begin(t, 20, "run-20")
	x.mustRun(t, begun, err)
	changed := minutely(x.now.Add(60 * 24 * time.Hour))
	changed.ID, changed.Version, changed.Cron, changed.Spec.Format = 1, 1, "*/2 * * * *", export.NDJSON
	stale := changed
	stale.MaxLateness = time.Hour
	pending := x.ask(t, stale)
	x.grant(t, changed)
	if got := x.count(t, "SELECT concat_ws(' ', version, cron, format, settled_until = granted_at) FROM finobs.export_schedule"); got != "2 */2 * * * * ndjson t" {
		t.Errorf("it is %s", got)
	}
	if n := x.count(t, "SELECT count(*) FROM finobs.export_slot WHERE status = 'skipped' AND reason = 'the schedule was changed before the slot began' AND version = 1"); n < "58" || len(n) != 2 {
		t.Errorf("%s slots settled", n)
	}
	// The other change was asked for over version 1, which is no more.
	if _, err := run[activities.ChangeDone](t, x.changes.ApplyChange, pending.ref()); code(err) != "target-moved" {
		t.Errorf("a change over an old version: %v", err)
	}
	if status := x.count(t, "SELECT status FROM finobs.approval_request WHERE approval_id = $1", pending.in.ApprovalID); status != string(approval.Superseded) {
		t.Errorf("its request is %s", status)
	}
	if got, err := x.begin(t, 1, "run-1"); err != nil || got.Run {
		t.Errorf("a slot of the grant before: %+v, %v", got, err)
	}
	x.backdate(t, 10)
	slot := x.now.Add(-4 * time.Minute).Truncate(2 * time.Minute)
	x.exec(t, "SET session_replication_role = replica; DELETE FROM finobs.export_slot")
	got, err := x.beginAt(t, slot, activities.SlotInput{FirstRun: "run-6"})
	x.mustRun(t, got, err)
	if format := x.count(t, "SELECT format FROM finobs.export ORDER BY export_id DESC LIMIT 1"); format != "ndjson" {
		t.Errorf("the new grant exports %s", format)
	}
}

// The grant begins when it is carried out, and must be good then.
func TestGrantIsJudgedWhenItBegins(t *testing.T) {
	x := granted(t, nil)
	again := x.prepareAction(t, minutely(x.now.Add(24*time.Hour)).Action(human("alice").Person, "EQ", approval.Live), policies.Desk)
	if _, err := run[activities.GateStatus](t, x.approvals.OpenRequest, again.in); err != nil {
		t.Fatal(err)
	}
	if got := x.decide(t, again, x.token(t, again, human("bob", "analyst"), approval.Approve, nil)); got.Status != approval.Superseded {
		t.Errorf("a second schedule of the name: %+v", got)
	}
	past := minutely(x.now.Add(-time.Hour))
	past.Name = "past"
	if _, err := run[activities.ChangeDone](t, x.changes.ApplyChange, x.ask(t, past).ref()); code(err) != "invalid-schedule" {
		t.Errorf("a grant that has ended: %v", err)
	}
	if n := x.count(t, "SELECT count(*) FROM finobs.export_schedule"); n != "1" {
		t.Errorf("%s schedules", n)
	}
}

// Slots that never began are recorded once each, with their reason, and none that
// may still begin.
func TestSettling(t *testing.T) {
	x := granted(t, nil)
	begun, err := x.begin(t, 20, "run-20")
	x.mustRun(t, begun, err)
	x.exec(t, "UPDATE finobs.export_slot SET started_at = slot, status = 'done', ended_at = slot + interval '90 seconds'")
	slots, until, err := x.settling.Pending(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range slots {
		if time.Since(at) < 10*time.Minute { // catch_up
			t.Errorf("%s may still be fired", at)
		}
	}
	if len(slots) < 48 || len(slots) > 50 {
		t.Fatalf("%d slots: %v", len(slots), slots)
	}
	dead := slots[3]
	for range 2 {
		if err := x.settling.Skip(ctx, 1, slots, map[time.Time]string{dead: "ended (Terminated)"}, until); err != nil {
			t.Fatal(err)
		}
	}
	if again, _, err := x.settling.Pending(ctx, 1); err != nil || len(again) > 1 { // a minute may have passed
		t.Errorf("settled, and still pending: %v, %v", again, err)
	}
	for reason, want := range map[string]int{
		"it was not fired within catch_up of 10m0s":             len(slots) - 2,
		"another slot still ran (overlap skip)":                 1,
		"its workflow ended (Terminated) before the slot began": 1,
	} {
		if n := x.count(t, "SELECT count(*) FROM finobs.export_slot s JOIN ledger.entry e ON e.reason = s.reason AND e.type = 'schedule.slot_skipped' AND e.workflow_id = s.workflow_id WHERE s.reason = $1", reason); n != itoa(want) {
			t.Errorf("%s: %s slots with an entry, want %d", reason, n, want)
		}
	}
}

func TestSettlingOfAPause(t *testing.T) {
	x := granted(t, nil)
	x.exec(t, "UPDATE finobs.export_schedule SET state = 'paused', paused_at = $1", x.now.Add(-30*time.Minute))
	slots, until, err := x.settling.Pending(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := x.settling.Skip(ctx, 1, slots, nil, until); err != nil {
		t.Fatal(err)
	}
	if n := x.count(t, "SELECT count(*) FROM finobs.export_slot WHERE reason = 'the schedule was paused'"); n < "19" || n > "21" {
		t.Errorf("%s slots", n)
	}
	if _, err := x.act(t, export.ScheduleResume); err != nil {
		t.Fatal(err)
	}
	if n := x.count(t, "SELECT count(*) FROM finobs.export_slot WHERE reason = 'the schedule was paused'"); n < "30" || n > "32" {
		t.Errorf("%s slots after resuming", n)
	}
}

// A slot whose workflow died ends, with its export.
func TestDeadSlotsEnd(t *testing.T) {
	x := granted(t, func(s *export.Schedule) { s.Overlap = export.OverlapBuffer })
	begun, err := x.begin(t, 3, "run-3")
	x.mustRun(t, begun, err)
	if got, err := x.begin(t, 2, "run-2"); err != nil || !got.Wait {
		t.Fatalf("got %+v, %v", got, err)
	}
	open, err := x.writer.OpenSlots(ctx)
	if err != nil || len(open) != 2 {
		t.Fatalf("got %v, %v", open, err)
	}
	for _, slot := range open {
		for i := range 2 {
			if changed, err := x.settling.End(ctx, slot, "ended (Terminated)"); err != nil || changed != (i == 0) {
				t.Errorf("%v, %v", changed, err)
			}
		}
	}
	if a, b := x.status(t, 3), x.status(t, 2); !strings.HasPrefix(a, "failed its workflow ended") || !strings.HasPrefix(b, "skipped its workflow ended") {
		t.Errorf("%s; %s", a, b)
	}
	if got := x.count(t, "SELECT status FROM finobs.export"); got != "failed" {
		t.Errorf("its export is %s", got)
	}
}

func itoa(n int) string { return strconv.Itoa(n) }

// attempt runs a statement as the worker's role may.
func (x *scheduled) attempt(t *testing.T, statement string) error {
	t.Helper()
	return pgtest.Exec(t, x.db.Worker, statement)
}
