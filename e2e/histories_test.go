package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"finobs/internal/detect"
	"finobs/internal/incident"
	"finobs/internal/intake"
	"finobs/workflows"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// TestSaveHistories is the tool behind make histories: it leaves the histories of
// real executions where the replay test of package workflows reads them.
func TestSaveHistories(t *testing.T) {
	dir := os.Getenv("FINOBS_SAVE_HISTORIES")
	if dir == "" {
		t.Skip("FINOBS_SAVE_HISTORIES names no folder; make histories sets it")
	}
	approved := world.ask(t)
	err := world.temporal.SignalWorkflow(context.Background(), approved.workflowID(t), "", workflows.SignalDecision, "forged")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the forgery is on record", func() bool { return approved.entries(t, "approval.signal_refused") == 1 })
	want(t, approved.decide(t, "bob", "approve"), http.StatusOK)
	approved.sealedOnce(t)
	// export-approved is of the time before bundles, and stays.
	save(t, world, dir, "export-sealed", approved.workflowID(t))
	m := approved.delivered(t)
	save(t, world, dir, "deliver", workflows.DeliveryWorkflowID(m.ID))
	verified := want(t, world.call(t, "eve", "POST", "/exports/"+m.id()+"/verify", ""), http.StatusOK)
	save(t, world, dir, "verify-exports", workflows.VerifyWorkflowID(verified.str("verification_id")))
	redelivery := exportCase{s: world, id: want(t, world.call(t, "alice", "POST", "/exports/"+m.id()+"/redeliver", `{"destination":"download"}`), http.StatusAccepted).str("approval_request_id")}
	redelivery.untilStatus(t, "pending")
	want(t, redelivery.decide(t, "bob", "approve"), http.StatusOK)
	save(t, world, dir, "redeliver", redelivery.workflowID(t))

	c := world.scheduled(t, nil)
	var slot string
	eventually(t, "a slot has fired", func() bool {
		scan(t, world, &slot, "SELECT coalesce((SELECT workflow_id FROM finobs.export_slot WHERE schedule_id = $1 AND status = 'done'), '')", c.id)
		return slot != ""
	})
	save(t, world, dir, "scheduled-export", slot)
	ended := want(t, world.call(t, "alice", "DELETE", c.path(""), ""), http.StatusOK)
	save(t, world, dir, "schedule-act", workflows.ScheduleActWorkflowID(ended.str("act_id")))

	rejected := world.ask(t)
	want(t, rejected.decide(t, "bob", "reject"), http.StatusOK)
	save(t, world, dir, "export-rejected", rejected.workflowID(t))

	cancelled := world.ask(t)
	if err := world.temporal.CancelWorkflow(context.Background(), cancelled.workflowID(t), ""); err != nil {
		t.Fatal(err)
	}
	cancelled.untilStatus(t, "cancelled")
	save(t, world, dir, "export-cancelled", cancelled.workflowID(t))

	body := fmt.Sprintf(`{"kind":"desk.override","parameters":{"n":"%d"}}`, unique.Add(1))
	plain := exportCase{s: world, id: want(t, world.call(t, "alice", "POST", "/approval/", body), http.StatusAccepted).str("approval_request_id")}
	plain.untilStatus(t, "pending")
	want(t, plain.decide(t, "bob", "approve"), http.StatusOK)
	save(t, world, dir, "approval-approved", plain.workflowID(t))

	imported := want(t, ingest(t, world, "analyst", failsFile(2, 5, "HIST"), ""), http.StatusOK)
	save(t, world, dir, "import-fails", workflows.ImportWorkflowID(intake.KindFails, intake.SourceFails, imported.str("content_sha256")))

	loaded := want(t, load(t, "text/csv", tradesHeader+trade("HIST-1")+trade("HIST-1"), "&source=hist"), http.StatusOK)
	save(t, world, dir, "import-transactions", workflows.ImportWorkflowID(intake.KindTransactions, "hist", loaded.str("content_sha256")))

	opened := want(t, world.call(t, "alice", "POST", "/incidents",
		`{"kind":"`+string(incident.Other)+`","severity":"low","title":"for the history"}`), http.StatusCreated)
	var id string
	scan(t, world, &id, "SELECT dedup_key FROM finobs.incident WHERE title = 'for the history'")
	if opened.Status == http.StatusCreated {
		save(t, world, dir, "open-incident", id)
	}
}

// TestSaveHistoriesOfIntake saves what records, detects and compares: for somebody
// who asked, and what fell due.
func TestSaveHistoriesOfIntake(t *testing.T) {
	dir := os.Getenv("FINOBS_SAVE_HISTORIES")
	if dir == "" {
		t.Skip("FINOBS_SAVE_HISTORIES names no folder; make histories sets it")
	}
	saved := func(name, query string, args ...any) {
		id := ""
		eventually(t, name+" is on record", func() bool { id = text(t, world, "SELECT coalesce(("+query+" LIMIT 1), '')", args...); return id != "" })
		save(t, world, dir, name, id)
	}
	ingestTo(t, world, "alertmanager", alertBody(fmt.Sprintf("history%d", unique.Add(1)), "firing", "critical", time.Now().Add(-time.Minute)))
	saved("record-segment", "SELECT workflow_id FROM ledger.entry WHERE type = 'events.received'")
	ingestFIX(t, world, fill("HISTORY", 1, time.Date(2026, 3, 5, 14, 0, 0, 0, time.UTC), "H1", "1", "AAPL", "100", "10", "15=USD")+"\n", "")
	saved("import-fix", "SELECT workflow_id FROM ledger.entry WHERE type = 'import.done' AND convert_from(leaf, 'UTF8')::jsonb #>> '{details,kind}' = 'fix'")

	save(t, world, dir, "detect", world.detects(t, detect.SilentSystems).WorkflowID)
	saved("detect-due", "SELECT workflow_id FROM finobs.detector_run WHERE asked_sub = ''")

	left, right := tinyFiles(t)
	made := reconcileJSON(t, 3, left, right, "--profile", "by-trade-id")
	saved("reconcile", "SELECT workflow_id FROM finobs.recon_run WHERE run_key = $1", made.Run.ID)
	TestProfilesRunByThemselves(t)
	saved("reconcile-scheduled", "SELECT workflow_id FROM finobs.recon_run WHERE requested_sub = 'worker' AND state = 'done'")
}

// TestSaveHistoriesOfLives saves what takes channels, a roster and a ladder.
func TestSaveHistoriesOfLives(t *testing.T) {
	dir := os.Getenv("FINOBS_SAVE_HISTORIES")
	if dir == "" {
		t.Skip("FINOBS_SAVE_HISTORIES names no folder; make histories sets it")
	}
	l := newLife(t, governance+fmt.Sprintf(quick, "12s")+told, desk)
	l.startMail(t)
	l.startWorkers(t, 1)
	l.startAPIs(t, 1)
	change := func(sub, verdict, status, name string) {
		body := fmt.Sprintf(`{"sub":%q,"roles":["trader"]}`, sub)
		e := exportCase{s: l.stack, id: want(t, l.call(t, "dave", "POST", "/users", body), http.StatusAccepted).str("approval_request_id")}
		want(t, e.decide(t, "carol", verdict), http.StatusOK)
		e.untilStatus(t, status)
		save(t, l.stack, dir, name, e.workflowID(t))
	}
	change("tom", "approve", "consumed", "change-applied")
	change("tim", "reject", "rejected", "change-rejected")

	withdrawn := l.wants(t, "alice", "other.withdrawn")
	act := want(t, l.call(t, "alice", "POST", "/approval/"+withdrawn.id+"/cancel", `{"reason":"not needed"}`), http.StatusOK).str("act_id")
	save(t, l.stack, dir, "act-cancel", workflows.ActWorkflowID(act))
	save(t, l.stack, dir, "approval-withdrawn", withdrawn.workflowID(t))
	noted := l.wants(t, "alice", "other.noted")
	act = want(t, l.call(t, "bob", "POST", "/approval/"+noted.id+"/comment", `{"text":"looks right"}`), http.StatusOK).str("act_id")
	save(t, l.stack, dir, "act-comment", workflows.ActWorkflowID(act))

	l.hook.answer(500, 400)
	for name, status := range map[string]string{"notify-dead": "dead", "notify-sent": "sent"} {
		kind := "hook.refused"
		if status == "sent" {
			kind = "mail.sent"
		}
		e := l.wants(t, "alice", kind)
		e.untilNotice(t, "requested", status)
		save(t, l.stack, dir, name, workflows.NotifyWorkflowID(e.notice(t, "requested", "notification_id"), 1))
	}
	ladder := l.wants(t, "alice", "desk.ladder")
	ladder.untilStatus(t, "expired")
	save(t, l.stack, dir, "approval-ladder", ladder.workflowID(t))
}

// TestSaveHistoriesOfIncidents saves the lives of incidents and what people do to
// them.
func TestSaveHistoriesOfIncidents(t *testing.T) {
	dir := os.Getenv("FINOBS_SAVE_HISTORIES")
	if dir == "" {
		t.Skip("FINOBS_SAVE_HISTORIES names no folder; make histories sets it")
	}
	l := newLife(t, told, desk)
	l.withDesk(t, quickDesk)
	l.startMail(t)
	l.startWorkers(t, 1)
	l.startAPIs(t, 1)
	climbs, merged := l.opens(t, "alice", "high", ""), l.opens(t, "alice", "medium", "")
	eventually(t, "it lives", func() bool { return l.runs(t, "incident-life-"+merged.id) })
	want(t, merged.does(t, "bob", "merge", `{"into":`+climbs.id+`,"reason":"the same"}`), http.StatusOK)
	eventually(t, "the life of what was merged has ended", func() bool { return !l.runs(t, "incident-life-"+merged.id) })
	save(t, l.stack, dir, "incident-life-merged", "incident-life-"+merged.id)
	climbs.untilRung(t, "1-repeat-")
	act := want(t, climbs.does(t, "bob", "acknowledge", `{"note":"mine"}`), http.StatusOK).str("act_id")
	save(t, l.stack, dir, "incident-act", workflows.IncidentActWorkflowID(act))
	want(t, climbs.does(t, "bob", "unacknowledge", ""), http.StatusOK)
	climbs.untilRung(t, "2-reminder-1")
	want(t, climbs.does(t, "bob", "resolve", `{"resolution":"restarted"}`), http.StatusOK)
	climbs.untilStatus(t, "closed")
	eventually(t, "the life has ended", func() bool { return !l.runs(t, "incident-life-"+climbs.id) })
	save(t, l.stack, dir, "incident-life-closed", "incident-life-"+climbs.id)
	ends := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	window := want(t, l.call(t, "bob", "POST", "/maintenance-windows", `{"title":"upgrade","system":"none","ends_at":"`+ends+`"}`), http.StatusCreated).str("act_id")
	save(t, l.stack, dir, "incident-act-window", workflows.IncidentActWorkflowID(window))
}

func save(t *testing.T, s *stack, dir, name, workflowID string) {
	t.Helper()
	var history historypb.History
	iter := s.temporal.GetWorkflowHistory(context.Background(), workflowID, "", true, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for iter.HasNext() {
		event, err := iter.Next()
		if err != nil {
			t.Fatal(err)
		}
		history.Events = append(history.Events, event)
	}
	text, err := protojson.MarshalOptions{Indent: " "}.Marshal(&history)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".json"), text, 0o644); err != nil {
		t.Fatal(err)
	}
}
