package activities_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"finobs/activities"
	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/export"
	"finobs/internal/store"
	"finobs/policies"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"
)

// scheduled is a schedule that was granted, with the activities around it.
type scheduled struct {
	*desk
	id        int64
	request   request
	slots     *activities.Slots
	schedules *activities.Schedules
	changes   *activities.Changes
	settling  *activities.Settling
	now       time.Time // of the database, in whole minutes: the newest slot
}

// minutely falls due each minute, so that the newest slot is never far.
func minutely(expires time.Time) export.Schedule {
	return export.Schedule{
		Name: "each-minute", Cron: "* * * * *", Zone: "UTC", Window: export.SincePrevious, Overlap: export.OverlapSkip, CatchUp: 10 * time.Minute,
		MaxLateness: 30 * time.Minute, ExpiresAt: expires.UTC().Truncate(time.Second), Requester: human("alice").Person, Desk: "EQ",
		Spec: export.Spec{
			Dataset: export.Incidents, Format: export.CSV, Compression: export.Plain, Destination: export.Destination{Name: export.Download},
			Filters: map[string]string{"origin": "live"},
		},
	}
}

// granted has a schedule granted and its grant moved an hour into the past, so
// that slots have fallen due.
func granted(t *testing.T, change func(*export.Schedule)) *scheduled {
	t.Helper()
	d := newDesk(t)
	verifier := d.approvals.Verifier
	x := &scheduled{
		desk: d, id: 1,
		slots:     &activities.Slots{InTx: store.InTx[activities.SlotTx](d.writer), Verifier: verifier},
		schedules: &activities.Schedules{InTx: store.InTx[activities.SlotTx](d.writer), Verifier: verifier},
		changes:   &activities.Changes{InTx: store.InTx[activities.ChangeTx](d.writer), Verifier: verifier},
		settling:  &activities.Settling{InTx: store.InTx[activities.SlotTx](d.writer), Namespace: "test"},
	}
	now, err := d.reader.Now(ctx)
	if err != nil {
		t.Fatal(err)
	}
	x.now = now.Truncate(time.Minute)
	s := minutely(now.Add(30 * 24 * time.Hour))
	if change != nil {
		change(&s)
	}
	x.request = x.grant(t, s)
	x.backdate(t, 60)
	return x
}

// grant has bob approve a schedule, or a change of one, and carries it out.
func (x *scheduled) grant(t *testing.T, s export.Schedule) request {
	t.Helper()
	r := x.ask(t, s)
	if done, err := run[activities.ChangeDone](t, x.changes.ApplyChange, r.ref()); err != nil || !done.Applied {
		t.Fatalf("got %+v, %v", done, err)
	}
	return r
}

func (x *scheduled) ask(t *testing.T, s export.Schedule) request {
	t.Helper()
	r := x.prepareAction(t, s.Action(s.Requester, s.Desk, approval.Live), policies.Desk)
	if status, err := run[activities.GateStatus](t, x.approvals.OpenRequest, r.in); err != nil || status.Status != approval.Pending {
		t.Fatalf("got %+v, %v", status, err)
	}
	if got := x.decide(t, r, x.token(t, r, human("bob", "analyst"), approval.Approve, nil)); got.Status != approval.Approved {
		t.Fatalf("got %+v", got)
	}
	return r
}

func (x *scheduled) backdate(t *testing.T, minutes int) {
	t.Helper()
	x.exec(t, `UPDATE finobs.export_schedule SET granted_at = granted_at - make_interval(mins => $1), settled_until = settled_until - make_interval(mins => $1)`, minutes)
	x.exec(t, `UPDATE finobs.approval_request SET created_at = created_at - make_interval(mins => $1)`, minutes)
}

// runAs runs an activity for a workflow of a name and id.
func runAs[T any](t *testing.T, workflowType, id string, fn any, in any) (out T, err error) {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	env.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: id, TaskQueue: "test"})
	env.RegisterActivityWithOptions(fn, activity.RegisterOptions{Name: "it"})
	env.RegisterWorkflowWithOptions(func(ctx workflow.Context) (out T, err error) {
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
			StartToCloseTimeout: time.Minute, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
		})
		err = workflow.ExecuteActivity(ctx, "it", in).Get(ctx, &out)
		return out, err
	}, workflow.RegisterOptions{Name: workflowType})
	env.ExecuteWorkflow(workflowType)
	if err := env.GetWorkflowError(); err != nil {
		return out, err
	}
	return out, env.GetWorkflowResult(&out)
}

const scheduledType = "ScheduledExport"

// begin has the slot begun that is some minutes before the newest one.
func (x *scheduled) begin(t *testing.T, ago int, firstRun string) (activities.SlotBegun, error) {
	t.Helper()
	return x.beginAt(t, x.now.Add(-time.Duration(ago)*time.Minute), activities.SlotInput{FirstRun: firstRun})
}

func (x *scheduled) beginAt(t *testing.T, slot time.Time, in activities.SlotInput) (activities.SlotBegun, error) {
	t.Helper()
	return runAs[activities.SlotBegun](t, scheduledType, export.SlotWorkflowID(x.id, slot), x.slots.BeginSlot, in)
}

// order is a person's order to carry out a slot; change alters it after signing.
func (x *scheduled) order(t *testing.T, ago int, change func(*export.Order)) (activities.SlotBegun, error) {
	t.Helper()
	slot := x.now.Add(-time.Duration(ago) * time.Minute)
	o := export.Order{ScheduleID: x.id, Slot: slot, Origin: export.Backfilled, Reason: "asked by the regulator"}
	digest, err := o.Digest()
	if err != nil {
		t.Fatal(err)
	}
	token, err := x.signer.Command(ctx, attest.Command{
		ID: uuid.NewString(), IssuedAt: time.Now(), WorkflowType: scheduledType, WorkflowID: export.SlotWorkflowID(x.id, slot),
		PayloadDigest: digest, Principal: human("bob", "analyst"), RequestID: "request-9", TraceID: "trace-9",
	})
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&o)
	}
	return x.beginAt(t, slot, activities.SlotInput{FirstRun: "order-" + strconv.Itoa(ago), Command: token, Order: &o})
}

// status is what the record says of a slot.
func (x *scheduled) status(t *testing.T, ago int) string {
	t.Helper()
	return x.count(t, `SELECT coalesce((SELECT status || ' ' || reason FROM finobs.export_slot WHERE slot = $1), 'nothing')`,
		x.now.Add(-time.Duration(ago)*time.Minute))
}

func (x *scheduled) mustRun(t *testing.T, begun activities.SlotBegun, err error) activities.SlotBegun {
	t.Helper()
	if err != nil || !begun.Run {
		t.Fatalf("got %+v, %v", begun, err)
	}
	return begun
}

func TestSlotBeginsOnce(t *testing.T) {
	x := granted(t, nil)
	var all sync.WaitGroup
	ran := make([]bool, 8)
	for i := range ran {
		all.Go(func() {
			begun, err := x.begin(t, 0, "run-"+strconv.Itoa(i))
			if err != nil {
				t.Error(err)
			}
			ran[i] = begun.Run
		})
	}
	all.Wait()
	winner, runs := "", 0
	for i, r := range ran {
		if r {
			winner, runs = "run-"+strconv.Itoa(i), runs+1
		}
	}
	if runs != 1 {
		t.Fatalf("%d of 8 attempts run", runs)
	}
	again, err := x.begin(t, 0, winner)
	x.mustRun(t, again, err)
	window := x.now.Add(-time.Minute).Format(time.RFC3339) + " " + x.now.Format(time.RFC3339) + " live"
	for query, want := range map[string]string{
		"SELECT count(*) FROM finobs.export": "1",
		"SELECT count(*) FROM finobs.export_slot WHERE status = 'running' AND export_id IS NOT NULL":                                                 "1",
		"SELECT concat_ws(' ', filters->>'from', filters->>'to', filters->>'origin') FROM finobs.export":                                             window,
		"SELECT count(*) FROM ledger.entry WHERE type = 'effect.intended'":                                                                           "1",
		"SELECT count(*) FROM ledger.entry WHERE type = 'schedule.slot_begun' AND subject_kind = 'schedule'":                                         "1",
		"SELECT count(*) FROM finobs.export WHERE approval_id = (SELECT approval_id FROM finobs.export_schedule)":                                    "1",
		"SELECT count(*) FROM finobs.export WHERE workflow_id = 'schedule-1-' || to_char(slot AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')": "1",
	} {
		if got := x.count(t, query); got != want {
			t.Errorf("%s gives %s, want %s", query, got, want)
		}
	}
}

// A slot is exported, sealed and ended; who comes for it again finds it done.
func TestSlotIsCarriedOut(t *testing.T) {
	x := granted(t, nil)
	begun, err := x.begin(t, 1, "run-1")
	ref := x.mustRun(t, begun, err).Ref
	id := export.SlotWorkflowID(x.id, x.now.Add(-time.Minute))
	if _, err := runAs[activities.ExportDone](t, scheduledType, "schedule-1-elsewhere", x.exports.GenerateExport, ref); code(err) != "slot-not-begun" {
		t.Errorf("another workflow carried it out: %v", err)
	}
	done, err := runAs[activities.ExportDone](t, scheduledType, id, x.exports.GenerateExport, ref)
	if err != nil || !done.Sealed {
		t.Fatalf("got %+v, %v", done, err)
	}
	if _, err := runAs[string](t, scheduledType, "schedule-1-elsewhere", x.slots.EndSlot, activities.SlotEnd{Ref: ref, Failure: "x"}); code(err) != "not-its-slot" {
		t.Errorf("another workflow ended it: %v", err)
	}
	// What the workflow was told does not matter: the record says that it is sealed.
	status, err := runAs[string](t, scheduledType, id, x.slots.EndSlot, activities.SlotEnd{Ref: ref, Failure: "somebody says it failed"})
	if err != nil || status != "done" {
		t.Fatalf("got %s, %v", status, err)
	}
	again, err := x.begin(t, 1, "run-2")
	if err != nil || again.Run || again.Status != export.SlotDone {
		t.Errorf("a second run: %+v, %v", again, err)
	}
	if again, err = x.order(t, 1, nil); err != nil || again.Run || again.Status != export.SlotDone {
		t.Errorf("a person's order: %+v, %v", again, err)
	}
	if n := x.count(t, "SELECT count(*) FROM finobs.export"); n != "1" {
		t.Errorf("%s exports", n)
	}
}

func TestSlotThatFailsFailsItsExport(t *testing.T) {
	x := granted(t, nil)
	begun, err := x.begin(t, 1, "run-1")
	ref := x.mustRun(t, begun, err).Ref
	status, err := runAs[string](t, scheduledType, export.SlotWorkflowID(x.id, ref.Slot), x.slots.EndSlot, activities.SlotEnd{Ref: ref, Failure: "no space"})
	if err != nil || status != "failed" || x.status(t, 1) != "failed no space" {
		t.Fatalf("got %s, %v: %s", status, err, x.status(t, 1))
	}
	if n := x.count(t, "SELECT count(*) FROM ledger.entry WHERE type = 'effect.failed' AND reason = 'no space'"); n != "1" || x.count(t, "SELECT status FROM finobs.export") != "failed" {
		t.Errorf("%s entries", n)
	}
}

// Nobody gets a slot by starting a workflow that the grant does not give.
func TestForgedSlotsGetNothing(t *testing.T) {
	x := granted(t, nil)
	for name, tc := range map[string]struct{ id, code string }{
		"no slot":          {"schedule-1", "not-a-slot"},
		"no time":          {"schedule-1-soon", "not-a-slot"},
		"another spelling": {"schedule-01-" + x.now.Format(time.RFC3339), "not-a-slot"},
		"in another zone":  {"schedule-1-" + x.now.Format("2006-01-02T15:04:05+00:00"), "not-a-slot"},
		"no such schedule": {export.SlotWorkflowID(2, x.now), "no-such-schedule"},
		"not the cron's":   {export.SlotWorkflowID(1, x.now.Add(-time.Second)), "slot-not-granted"},
		"not due":          {export.SlotWorkflowID(1, x.now.Add(5*time.Minute)), "slot-not-due"},
		"far off":          {export.SlotWorkflowID(1, x.now.Add(5*365*24*time.Hour)), "slot-not-due"},
		"before the grant": {export.SlotWorkflowID(1, x.now.Add(-2*time.Hour)), "slot-not-granted"},
		"long before all":  {export.SlotWorkflowID(1, time.Unix(0, 0)), "slot-not-granted"},
	} {
		_, err := runAs[activities.SlotBegun](t, scheduledType, tc.id, x.slots.BeginSlot, activities.SlotInput{FirstRun: "forged"})
		if code(err) != tc.code {
			t.Errorf("%s: got %v, want %s", name, err, tc.code)
		}
	}
	if n := x.count(t, "SELECT count(*) FROM ledger.entry WHERE type = 'workflow.refused'"); n != "10" {
		t.Errorf("%s refusals on record", n)
	}
	if n := x.count(t, "SELECT (SELECT count(*) FROM finobs.export) + (SELECT count(*) FROM finobs.export_slot)"); n != "0" {
		t.Errorf("%s rows", n)
	}
}

// Whoever changes the row, and not the approval, gets nothing exported.
func TestTamperedScheduleExportsNothing(t *testing.T) {
	x := granted(t, nil)
	ago := 0
	for _, set := range []string{
		"destination = 'attacker'", "destination_digest = 'x'", "filters = '{}'", "dataset = 'audit'", "dataset_version = '9'", "format = 'ndjson'",
		"compression = 'gzip'", "rows_in = 'none'", "overlap = 'allow_all'", "max_lateness_seconds = 86400", "catch_up_seconds = 60", "cron = '*/1 * * * *'",
		"expires_at = expires_at + interval '1 year'", "requester_sub = 'mallory'", "desk = 'FX'", "is_simulation = true", "name = 'other'",
		"version = 2", "action_digest = 'x'",
	} {
		column := strings.Fields(set)[0]
		was := x.count(t, "SELECT "+column+"::text FROM finobs.export_schedule")
		typ := x.count(t, "SELECT data_type FROM information_schema.columns WHERE table_schema = 'finobs' AND table_name = 'export_schedule' AND column_name = $1", column)
		x.exec(t, "UPDATE finobs.export_schedule SET "+set)
		begun, err := x.begin(t, ago, "run-1")
		if err != nil || begun.Run || !strings.HasPrefix(begun.Reason, "its grant does not hold") {
			t.Errorf("%s: got %+v, %v", set, begun, err)
		}
		x.exec(t, fmt.Sprintf("UPDATE finobs.export_schedule SET %s = $1::text::%s", column, typ), was)
		ago++
	}
	begun, err := x.begin(t, ago, "run-1")
	x.mustRun(t, begun, err) // as it was, it runs
}

// A grant without its evidence gives nothing.
func TestGrantIsVerifiedAgain(t *testing.T) {
	for name, statement := range map[string]string{
		"no decision":          "DELETE FROM finobs.approval_decision",
		"a decision rewritten": "UPDATE finobs.approval_decision SET reason = 'never said'",
		"not carried out":      "UPDATE finobs.approval_request SET status = 'approved', consumed_at = NULL, consumed_by = NULL",
		"requester left": `INSERT INTO finobs.person (person_key, iss, sub, kind, roles, desk, email, active, version, created_at, updated_at)
			VALUES (E'test\nalice', 'test', 'alice', 'human', '{}', '', '', false, 1, now(), now())`,
	} {
		t.Run(name, func(t *testing.T) {
			x := granted(t, nil)
			x.exec(t, "SET session_replication_role = replica; "+statement)
			begun, err := x.begin(t, 0, "run-1")
			if err != nil || begun.Run || !strings.HasPrefix(begun.Reason, "its grant does not hold") {
				t.Errorf("got %+v, %v", begun, err)
			}
			if n := x.count(t, "SELECT count(*) FROM ledger.entry WHERE type = 'schedule.slot_skipped'"); n != "1" {
				t.Errorf("%s entries", n)
			}
		})
	}
}

func TestSlotsAreSkippedWithReason(t *testing.T) {
	x := granted(t, nil)
	if got, err := x.begin(t, 40, "late"); err != nil || got.Status != export.SlotSkipped || !strings.Contains(got.Reason, "late, over max_lateness of 30m0s") {
		t.Errorf("late: %+v, %v", got, err)
	}
	x.exec(t, "UPDATE finobs.export_schedule SET state = 'paused', paused_at = now()")
	if got, err := x.begin(t, 1, "paused"); err != nil || got.Reason != "the schedule is paused" {
		t.Errorf("paused: %+v, %v", got, err)
	}
	x.exec(t, "UPDATE finobs.export_schedule SET state = 'active', paused_at = NULL")
	was := x.count(t, "SELECT expires_at::text FROM finobs.export_schedule")
	x.exec(t, "UPDATE finobs.export_schedule SET expires_at = now() - interval '1 second'")
	if got, err := x.begin(t, 2, "over"); err != nil || !strings.HasPrefix(got.Reason, "the grant ended at") {
		t.Errorf("over: %+v, %v", got, err)
	}
	x.exec(t, "UPDATE finobs.export_schedule SET expires_at = $1::text::timestamptz", was)
	if got, err := x.begin(t, 2, "again"); err != nil || got.Run || got.Status != export.SlotSkipped {
		t.Errorf("what was skipped ran by itself: %+v, %v", got, err)
	}
	got, err := x.begin(t, 3, "run-3")
	x.mustRun(t, got, err)
	if got, err := x.begin(t, 4, "overlap"); err != nil || !strings.Contains(got.Reason, "still runs (overlap skip)") {
		t.Errorf("overlap: %+v, %v", got, err)
	}
	if n := x.count(t, "SELECT count(*) FROM ledger.entry WHERE type = 'schedule.slot_skipped' AND reason <> '' AND outcome = 'skipped'"); n != "4" {
		t.Errorf("%s entries", n)
	}
	// A person may have a skipped slot carried out; it waits for its turn.
	if got, err := x.order(t, 40, nil); err != nil || !got.Wait {
		t.Fatalf("an order while another slot runs: %+v, %v", got, err)
	}
	x.exec(t, "UPDATE finobs.export_slot SET status = 'done', ended_at = now() WHERE status = 'running'")
	got, err = x.order(t, 40, nil)
	x.mustRun(t, got, err)
	if n := x.count(t, "SELECT count(*) FROM ledger.entry WHERE type = 'schedule.slot_begun' AND actor_sub = 'bob' AND reason = 'asked by the regulator'"); n != "1" {
		t.Errorf("%s entries of the person", n)
	}
}

func TestOrdersAreSigned(t *testing.T) {
	x := granted(t, nil)
	for name, change := range map[string]func(*export.Order){
		"another slot":     func(o *export.Order) { o.Slot = o.Slot.Add(time.Minute) },
		"another schedule": func(o *export.Order) { o.ScheduleID = 2 },
		"another reason":   func(o *export.Order) { o.Reason = "no" },
		"another origin":   func(o *export.Order) { o.Origin = export.Triggered },
	} {
		if got, err := x.order(t, 1, change); code(err) != "start-not-signed" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := x.beginAt(t, x.now, activities.SlotInput{FirstRun: "f", Order: &export.Order{ScheduleID: 1, Slot: x.now, Origin: export.Triggered}}); code(err) != "start-not-signed" {
		t.Errorf("unsigned: %v", err)
	}
	if got := x.status(t, 1); got != "nothing" {
		t.Errorf("the record says %s", got)
	}
}

func TestBufferOneAndAllowAll(t *testing.T) {
	x := granted(t, func(s *export.Schedule) { s.Overlap = export.OverlapBuffer })
	first, err := x.begin(t, 5, "run-5")
	x.mustRun(t, first, err)
	for range 2 {
		if got, err := x.begin(t, 4, "run-4"); err != nil || !got.Wait {
			t.Fatalf("the next: %+v, %v", got, err)
		}
	}
	if got, err := x.begin(t, 3, "run-3"); err != nil || got.Reason != "another slot waits already (overlap buffer_one)" {
		t.Errorf("the one after: %+v, %v", got, err)
	}
	x.exec(t, "UPDATE finobs.export_slot SET status = 'done', ended_at = now() WHERE status = 'running'")
	got, err := x.begin(t, 4, "run-4")
	x.mustRun(t, got, err)

	all := granted(t, func(s *export.Schedule) { s.Overlap = export.OverlapAllow })
	for ago := range 3 {
		got, err := all.begin(t, ago, "run")
		all.mustRun(t, got, err)
	}
}

// A transaction that writes, and began before a slot, may still write rows of the
// time before it.
func TestWritersAreSeen(t *testing.T) {
	x := granted(t, nil)
	inTx := store.InTx[activities.SlotTx](x.writer)
	busy := func(at time.Time) (out bool) {
		err := inTx(ctx, func(tx activities.SlotTx) (err error) {
			out, err = tx.BusyBefore(ctx, at)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	later := x.now.Add(time.Hour)
	if busy(later) {
		t.Error("nobody writes")
	}
	err := inTx(ctx, func(tx activities.SlotTx) error {
		if _, _, err := tx.BeginAct(ctx, uuid.NewString()); err != nil {
			return err
		}
		if !busy(later) {
			t.Error("a writer is not seen")
		}
		if busy(x.now.Add(-time.Hour)) {
			t.Error("a writer that began after the slot holds it up")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if busy(later) {
		t.Error("nobody writes any more")
	}
}

// A slot that Temporal's clock reached before the database's waits for it.
func TestSlotWaitsForTheDatabasesClock(t *testing.T) {
	x := granted(t, func(s *export.Schedule) { s.Window = export.NoWindow })
	next := x.now.Add(time.Minute)
	if _, err := x.beginAt(t, next, activities.SlotInput{FirstRun: "run-1"}); time.Now().Before(next) && (err == nil || !strings.Contains(err.Error(), "may still be written")) {
		t.Errorf("got %v", err)
	}
}
