package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"finobs/internal/approval"
	"finobs/internal/export"
	"finobs/internal/identity"
	"finobs/workflows"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
)

// scheduleCase is a schedule that one test asks for; its desk filter selects rows
// of its own.
type scheduleCase struct {
	s        *stack
	id, desk string
	approval string
}

func (c scheduleCase) path(rest string) string { return "/export-schedules/" + c.id + rest }

// fields are a schedule's, with some replaced.
func fields(desk string, replace map[string]any) string {
	out := map[string]any{
		"name": "t-" + strings.ToLower(desk), "dataset": "incidents", "format": "ndjson", "filters": map[string]string{"desk": desk}, "cron": "* * * * *", "zone": "UTC",
		"catch_up": "10m", "max_lateness": "1h", "expires_at": time.Now().Add(48 * time.Hour).UTC().Format(time.RFC3339), "reason": "for the regulator",
	}
	for name, value := range replace {
		if out[name] = value; value == nil {
			delete(out, name)
		}
	}
	b, err := json.Marshal(out)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// scheduled has alice's schedule granted by bob.
func (s *stack) scheduled(t *testing.T, replace map[string]any) scheduleCase {
	t.Helper()
	c := scheduleCase{s: s, desk: fmt.Sprintf("T%d", unique.Add(1))}
	e := s.change(t, "alice", "POST", "/export-schedules", fields(c.desk, replace))
	refusedAs(t, e.decide(t, "alice", "approve"), 403, "not-eligible", "requester")
	want(t, e.decide(t, "bob", "approve"), http.StatusOK)
	e.untilStatus(t, "consumed")
	c.approval = e.id
	scan(t, s, &c.id, "SELECT schedule_id::text FROM finobs.export_schedule WHERE approval_id = $1", e.id)
	return c
}

// backdate lets the grant begin earlier, so that slots have fallen due.
func (c scheduleCase) backdate(t *testing.T, by time.Duration) {
	t.Helper()
	for _, statement := range []string{
		"UPDATE finobs.approval_request SET created_at = created_at - make_interval(secs => $2), expires_at = expires_at - make_interval(secs => $2) WHERE approval_id = (SELECT approval_id FROM finobs.export_schedule WHERE schedule_id = $1)",
		"UPDATE finobs.export_schedule SET granted_at = granted_at - make_interval(secs => $2), settled_until = settled_until - make_interval(secs => $2) WHERE schedule_id = $1",
	} {
		if err := exec1(c.s, statement, c.id, by.Seconds()); err != nil {
			t.Fatal(err)
		}
	}
}

func (c scheduleCase) slots(t testing.TB, condition string) int {
	t.Helper()
	return count(t, c.s, "SELECT count(*) FROM finobs.export_slot WHERE schedule_id = $1 AND "+condition, c.id)
}

func (c scheduleCase) handle() client.ScheduleHandle {
	return c.s.temporal.ScheduleClient().GetHandle(context.Background(), "schedule-"+c.id)
}

// inTemporal waits until Temporal's schedule is as it should be.
func (c scheduleCase) inTemporal(t *testing.T, what string, holds func(*client.ScheduleDescription) bool) {
	t.Helper()
	eventually(t, what, func() bool {
		d, err := c.handle().Describe(context.Background())
		return err == nil && holds(d)
	})
}

// neverTwice checks what must hold of every schedule at all times.
func (c scheduleCase) neverTwice(t *testing.T) {
	t.Helper()
	for what, query := range map[string]string{
		"a slot has two exports":      "SELECT count(*) FROM (SELECT FROM finobs.export WHERE schedule_id = $1 GROUP BY slot HAVING count(*) > 1) twice",
		"an export has no slot":       "SELECT count(*) FROM finobs.export x LEFT JOIN finobs.export_slot s USING (export_id) WHERE x.schedule_id = $1 AND s.export_id IS NULL",
		"a skipped slot has no entry": "SELECT count(*) FROM finobs.export_slot s WHERE schedule_id = $1 AND status = 'skipped' AND NOT EXISTS (SELECT FROM ledger.entry e WHERE e.type = 'schedule.slot_skipped' AND e.subject_id = $1::text AND e.reason = s.reason AND e.workflow_id = s.workflow_id)",
	} {
		if n := count(t, c.s, query, c.id); n != 0 {
			t.Errorf("schedule %s: %s, %d times", c.id, what, n)
		}
	}
}

// Schedules, from asking to ending. One fires by the minute while the rest is
// tried, so that the test waits for the clock once.
func TestSchedules(t *testing.T) {
	t.Parallel()
	s := world
	minutely := s.scheduled(t, map[string]any{"window": "since_previous", "overlap": "allow_all"})
	atDesk := s.tokenOf(t, approval.Principal{
		Person: approval.Person{Issuer: identity.DevIssuer, Subject: "alice"}, Kind: approval.Human, Roles: []string{"analyst"}, Desk: minutely.desk,
	})
	want(t, callURL(t, atDesk, "POST", "http://"+s.APIAddress+"/incidents", `{"kind":"other","severity":"low","title":"once"}`), http.StatusCreated)

	t.Run("missed slots are made up", func(t *testing.T) { madeUp(t, s) })
	t.Run("old slots are skipped on record", func(t *testing.T) { oldSlots(t, s) })
	t.Run("a crash makes no second export", func(t *testing.T) { crashedSlot(t, s) })
	t.Run("a forged start gets nothing", func(t *testing.T) { forgedSlots(t, s) })
	t.Run("life", func(t *testing.T) { scheduleLife(t, s) })
	t.Run("refusals", func(t *testing.T) { scheduleRefusals(t, s) })

	for n := range 2 {
		eventually(t, fmt.Sprintf("%d slots were fired by the clock and exported", n+1), func() bool {
			return minutely.slots(t, "status = 'done' AND origin = 'fired'") > n
		})
	}
	minutely.neverTwice(t)
	eventually(t, "their bundles are read back and verified, grant and all", func() bool {
		var found string
		scan(t, s, &found, "SELECT coalesce(string_agg(DISTINCT verification_status || verification_detail, '; '), '') FROM finobs.export_delivery WHERE verified_at IS NOT NULL AND export_id IN (SELECT export_id FROM finobs.export WHERE schedule_id = $1)", minutely.id)
		if found != "" && !strings.HasPrefix(found, "verified") {
			t.Fatal(found)
		}
		return count(t, s, "SELECT count(*) FROM finobs.export WHERE schedule_id = $1 AND verification_status = 'verified'", minutely.id) >= 2
	})
	eventually(t, "the incident is in one window", func() bool {
		return count(t, s, "SELECT coalesce(sum(row_count), 0) FROM finobs.export WHERE schedule_id = $1", minutely.id) == 1
	})
	want(t, s.call(t, "bob", "DELETE", minutely.path(""), ""), http.StatusOK)
	if out, code := s.finobs(t, "doctor", "--json", "--histories", "0"); code != 0 {
		t.Errorf("finobs doctor ended with %d: %s", code, out)
	}
}

// Temporal lost the schedule while three slots passed: it is made again, and they
// are made up for.
func madeUp(t *testing.T, s *stack) {
	c := s.scheduled(t, map[string]any{"overlap": "allow_all"})
	c.inTemporal(t, "Temporal has the schedule", func(*client.ScheduleDescription) bool { return true })
	c.backdate(t, 3*time.Minute)
	if err := c.handle().Delete(context.Background()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "three missed slots are exported", func() bool { return c.slots(t, "status = 'done'") >= 3 })
	if n := c.slots(t, "status = 'skipped'"); n != 0 {
		t.Errorf("%d slots were skipped", n)
	}
	c.neverTwice(t)
	want(t, s.call(t, "bob", "DELETE", c.path(""), ""), http.StatusOK)
}

// After a long outage what is over catch_up is not mailed by the week: it is
// skipped, and each slot says so. A person may have one carried out all the same.
func oldSlots(t *testing.T, s *stack) {
	c := s.scheduled(t, map[string]any{"cron": "*/20 * * * *", "catch_up": "1m", "max_lateness": "1m"})
	c.backdate(t, time.Hour)
	eventually(t, "the old slots are on record", func() bool { return c.slots(t, "true") >= 2 })
	if n := c.slots(t, "status = 'skipped' AND reason = 'it was not fired within catch_up of 1m0s'"); n < 2 {
		t.Errorf("%d slots were skipped with the reason", n)
	}
	c.neverTwice(t)
	slots := want(t, s.call(t, "eve", "GET", c.path("/slots?status=skipped&limit=1"), ""), http.StatusOK)
	var page struct {
		Items []struct {
			Slot   time.Time
			Reason string
		}
		NextBeforeSlot *time.Time `json:"next_before_slot"`
	}
	if err := json.Unmarshal(slots.Body, &page); err != nil || len(page.Items) != 1 || page.Items[0].Reason == "" || page.NextBeforeSlot == nil {
		t.Fatalf("got %s, %v", slots.Body, err)
	}
	at := page.Items[0].Slot.Format(time.RFC3339)
	body := fmt.Sprintf(`{"from":%q,"to":%q,"reason":"the regulator asks"}`, at, at)
	want(t, s.call(t, "bob", "POST", c.path("/backfill"), body), http.StatusAccepted)
	eventually(t, "the slot is exported", func() bool { return c.slots(t, "status = 'done' AND origin = 'backfilled'") == 1 })
	again := want(t, s.call(t, "bob", "POST", c.path("/backfill"), body), http.StatusAccepted)
	if !strings.Contains(string(again.Body), `"started":false`) || !strings.Contains(string(again.Body), "it is done") {
		t.Errorf("the same again: %s", again.Body)
	}
	trigger := s.call(t, "bob", "POST", c.path("/trigger"), `{"reason":"now"}`)
	if trigger.Status != http.StatusAccepted && trigger.Status != http.StatusConflict { // taken, when the newest slot is the one above
		t.Errorf("got %d: %s", trigger.Status, trigger.Body)
	}
	c.neverTwice(t)
	if n := count(t, s, "SELECT count(*) FROM ledger.entry WHERE type = 'schedule.slot_begun' AND subject_id = $1 AND actor_sub = 'bob' AND reason = 'the regulator asks'", c.id); n != 1 {
		t.Errorf("%d entries of bob's order", n)
	}
	want(t, s.call(t, "bob", "DELETE", c.path(""), ""), http.StatusOK)
}

// Two workers, one of which dies when the slot is on record and nothing else is
// done.
func crashedSlot(t *testing.T, s *stack) {
	c := s.scheduled(t, map[string]any{"cron": "0 * * * *"})
	c.backdate(t, 2*time.Hour)
	s.restartWorker(t, "slot.after-begin")
	dying := s.worker
	want(t, s.call(t, "bob", "POST", c.path("/backfill"), fmt.Sprintf(`{"from":%q,"to":%q,"reason":"crash"}`,
		time.Now().Add(-3*time.Hour).UTC().Format(time.RFC3339), time.Now().UTC().Format(time.RFC3339))), http.StatusAccepted)
	<-dying.Done()
	if err := s.startWorker(""); err != nil {
		t.Fatal(err)
	}
	first := s.worker
	if err := s.startWorker(""); err != nil {
		t.Fatal(err)
	}
	defer first.Kill() //nolint:errcheck // the other one stays
	eventually(t, "both slots are exported", func() bool { return c.slots(t, "status = 'done'") == 2 })
	c.neverTwice(t)
	want(t, s.call(t, "bob", "DELETE", c.path(""), ""), http.StatusOK)
}

// Whoever can reach Temporal starts the workflow by hand, with a slot that he
// makes up, or makes a schedule of our name.
func forgedSlots(t *testing.T, s *stack) {
	c := s.scheduled(t, map[string]any{"cron": "0 3 1 * *", "expires_at": time.Now().Add(300 * 24 * time.Hour).UTC().Format(time.RFC3339)})
	for _, slot := range []time.Time{time.Now().Truncate(time.Minute), time.Now().Add(-365 * 24 * time.Hour).Truncate(time.Hour), time.Now().Add(time.Hour).Truncate(time.Hour)} {
		var id int64
		fmt.Sscan(c.id, &id) //nolint:errcheck // it is a number
		run, err := s.temporal.ExecuteWorkflow(context.Background(), client.StartWorkflowOptions{ID: export.SlotWorkflowID(id, slot), TaskQueue: workflows.TaskQueue},
			workflows.ScheduledExport, workflows.ScheduledInput{})
		if err != nil {
			t.Fatal(err)
		}
		if err := run.Get(context.Background(), nil); err == nil {
			t.Errorf("slot %s was accepted", slot)
		}
	}
	if n := count(t, s, "SELECT count(*) FROM ledger.entry WHERE type = 'workflow.refused' AND workflow_id LIKE 'schedule-' || $1 || '-%'", c.id); n != 3 {
		t.Errorf("%d refusals on record", n)
	}
	if n := c.slots(t, "true"); n != 0 {
		t.Errorf("%d slots on record", n)
	}
	_, err := s.temporal.ScheduleClient().Create(context.Background(), client.ScheduleOptions{
		ID: "schedule-999999", Spec: client.ScheduleSpec{CronExpressions: []string{"0 0 1 1 *"}},
		Action: &client.ScheduleWorkflowAction{ID: "schedule-999999", Workflow: workflows.ScheduledExport, TaskQueue: workflows.TaskQueue, Args: []any{workflows.ScheduledInput{}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	scheduleCase{s: s, id: "999999"}.goneFromTemporal(t)
	want(t, s.call(t, "bob", "DELETE", c.path(""), ""), http.StatusOK)
	c.goneFromTemporal(t)
}

func (c scheduleCase) goneFromTemporal(t *testing.T) {
	t.Helper()
	eventually(t, "Temporal's schedule "+c.id+" is gone", func() bool {
		_, err := c.handle().Describe(context.Background())
		var notFound *serviceerror.NotFound
		return errors.As(err, &notFound)
	})
}

func scheduleLife(t *testing.T, s *stack) {
	c := s.scheduled(t, map[string]any{"cron": "0 3 * * *", "zone": "America/New_York"})
	next := func() []string {
		var view struct {
			NextRuns []struct{ Local string } `json:"next_runs"`
		}
		if err := json.Unmarshal(want(t, s.call(t, "eve", "GET", c.path(""), ""), http.StatusOK).Body, &view); err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, run := range view.NextRuns {
			out = append(out, run.Local)
		}
		return out
	}
	if runs := next(); len(runs) != 2 || !strings.Contains(runs[0], "T03:00:00-0") { // two days of grant
		t.Errorf("next runs %v", runs)
	}
	// Somebody edits it in Temporal, to run what he likes when he likes.
	c.inTemporal(t, "Temporal has it", func(*client.ScheduleDescription) bool { return true })
	err := c.handle().Update(context.Background(), client.ScheduleUpdateOptions{DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
		in.Description.Schedule.Spec.CronExpressions = []string{"* * * * *"}
		in.Description.Schedule.Policy.CatchupWindow = 1000 * time.Hour
		return &client.ScheduleUpdate{Schedule: &in.Description.Schedule}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	c.inTemporal(t, "the edit is undone", func(d *client.ScheduleDescription) bool {
		return d.Schedule.Policy.CatchupWindow == 10*time.Minute && len(d.Info.NextActionTimes) == 2
	})
	// A pause and its end are acts of a person, on record.
	refusedAs(t, s.call(t, "eve", "POST", c.path("/pause"), `{"reason":"x"}`), 403, "not-permitted", "")
	if got := want(t, s.call(t, "carol", "POST", c.path("/pause"), `{"reason":"audit"}`), http.StatusOK); got.str("state") != "paused" {
		t.Errorf("got %s", got.Body)
	}
	c.inTemporal(t, "it is paused", func(d *client.ScheduleDescription) bool { return d.Schedule.State.Paused })
	refusedAs(t, s.call(t, "bob", "POST", c.path("/trigger"), `{}`), 409, "schedule-is-paused", "")
	want(t, s.call(t, "carol", "POST", c.path("/resume"), ""), http.StatusOK)
	c.inTemporal(t, "it goes on", func(d *client.ScheduleDescription) bool { return !d.Schedule.State.Paused })
	refusedAs(t, s.call(t, "bob", "POST", c.path("/trigger"), `{}`), 409, "no-slot-yet", "")
	// Any change asks again, and until then nothing changes.
	if same := want(t, s.call(t, "alice", "PATCH", c.path(""), `{"cron":"0 3 * * *"}`), http.StatusOK); same.str("approval_request_id") != "" {
		t.Errorf("nothing changes, and it asks: %s", same.Body)
	}
	e := s.change(t, "alice", "PATCH", c.path(""), `{"cron":"30 4 * * *"}`)
	if runs := next(); !strings.Contains(runs[0], "T03:00:00") {
		t.Errorf("not approved, and it runs at %v", runs)
	}
	want(t, e.decide(t, "bob", "approve"), http.StatusOK)
	e.untilStatus(t, "consumed")
	if runs := next(); !strings.Contains(runs[0], "T04:30:00") {
		t.Errorf("approved, and it runs at %v", runs)
	}
	c.inTemporal(t, "Temporal has the change", func(d *client.ScheduleDescription) bool {
		return strings.Contains(d.Schedule.State.Note, "version 2") && d.Info.NextActionTimes[0].Minute() == 30
	})
	// The grant ends: nothing more is exported, and it does not go on.
	want(t, s.call(t, "carol", "POST", c.path("/pause"), `{"reason":"it ends"}`), http.StatusOK)
	if err := exec1(s, "UPDATE finobs.export_schedule SET expires_at = now() - interval '1 second' WHERE schedule_id = $1", c.id); err != nil {
		t.Fatal(err)
	}
	refusedAs(t, s.call(t, "carol", "POST", c.path("/resume"), ""), 409, "grant-expired", "ask for a change")
	want(t, s.call(t, "carol", "DELETE", c.path(""), `{"reason":"no longer needed"}`), http.StatusOK)
	refusedAs(t, s.call(t, "alice", "PATCH", c.path(""), `{"cron":"30 5 * * *"}`), 410, "schedule-is-deleted", "")
	history := string(want(t, s.call(t, "eve", "GET", c.path("/history"), ""), http.StatusOK).Body)
	for _, typ := range []string{"schedule.created", "schedule.paused", "schedule.resumed", "schedule.changed", "schedule.deleted"} {
		if !strings.Contains(history, `"`+typ+`"`) {
			t.Errorf("no entry %s in %s", typ, history)
		}
	}
}

func scheduleRefusals(t *testing.T, s *stack) {
	for name, tc := range map[string]struct {
		replace map[string]any
		want    string
	}{
		"30 February":   {map[string]any{"cron": "0 0 30 2 *"}, "never falls due"},
		"each second":   {map[string]any{"cron": "* * * * * *"}, "6 fields"},
		"drifting":      {map[string]any{"cron": "@every 1ns"}, "@every"},
		"empty":         {map[string]any{"cron": ""}, "empty"},
		"zone in cron":  {map[string]any{"cron": "TZ=UTC 0 0 * * *"}, "time zone by itself"},
		"unknown zone":  {map[string]any{"zone": "Mars/Olympus"}, "time zone"},
		"no zone":       {map[string]any{"zone": nil}, "time zone"},
		"no catch-up":   {map[string]any{"catch_up": nil}, "catch_up"},
		"no lateness":   {map[string]any{"max_lateness": nil}, "max_lateness"},
		"no end":        {map[string]any{"expires_at": nil}, "expires_at"},
		"two years":     {map[string]any{"expires_at": time.Now().Add(2 * 366 * 24 * time.Hour).UTC().Format(time.RFC3339)}, "more than a year"},
		"past":          {map[string]any{"expires_at": time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)}, "past"},
		"never in time": {map[string]any{"cron": "0 0 29 2 *"}, "never falls due before"},
		"a number":      {map[string]any{"name": "42"}, "name"},
		"no dataset":    {map[string]any{"dataset": nil}, "dataset"},
		"destination":   {map[string]any{"destination": "nowhere"}, "destination"},
		"filter":        {map[string]any{"filters": map[string]string{"colour": "red"}}, "filter"},
		"two windows":   {map[string]any{"window": "since_previous", "filters": map[string]string{"from": "2026-01-01T00:00:00Z"}}, "leave them out"},
	} {
		r := s.call(t, "alice", "POST", "/export-schedules", fields("REFUSED", tc.replace))
		if r.Status < 400 || r.Status >= 500 || !strings.Contains(string(r.Body), tc.want) {
			t.Errorf("%s: answered %d: %s", name, r.Status, r.Body)
		}
		if cron, given := tc.replace["cron"]; given && name != "never in time" {
			preview, err := json.Marshal(map[string]any{"cron": cron, "zone": "UTC"})
			if err != nil {
				t.Fatal(err)
			}
			if r := s.call(t, "eve", "POST", "/export-schedules/preview", string(preview)); r.Status != http.StatusBadRequest && r.Status != http.StatusUnprocessableEntity {
				t.Errorf("preview of %s: answered %d: %s", name, r.Status, r.Body)
			}
		}
	}
	refusedAs(t, s.call(t, "tim", "POST", "/export-schedules", fields("REFUSED", nil)), 403, "not-permitted", "")
	refusedAs(t, s.call(t, "alice", "POST", "/approval/", `{"kind":"schedule.create","parameters":{}}`), 422, "kind-has-a-route", "/export-schedules")
	preview := want(t, s.call(t, "eve", "POST", "/export-schedules/preview", `{"cron":"30 1 * * *","zone":"America/New_York","after":"2027-11-06T12:00:00Z","count":2}`), http.StatusOK)
	if !strings.Contains(string(preview.Body), "2027-11-07T01:30:00-04:00") || !strings.Contains(string(preview.Body), "2027-11-07T01:30:00-05:00") {
		t.Errorf("preview across a change of clocks: %s", preview.Body)
	}
}
