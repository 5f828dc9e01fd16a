package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"finobs/internal/incident"
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
	save(t, dir, "export-approved", approved.workflowID(t))

	rejected := world.ask(t)
	want(t, rejected.decide(t, "bob", "reject"), http.StatusOK)
	save(t, dir, "export-rejected", rejected.workflowID(t))

	cancelled := world.ask(t)
	if err := world.temporal.CancelWorkflow(context.Background(), cancelled.workflowID(t), ""); err != nil {
		t.Fatal(err)
	}
	cancelled.untilStatus(t, "cancelled")
	save(t, dir, "export-cancelled", cancelled.workflowID(t))

	body := fmt.Sprintf(`{"kind":"desk.override","parameters":{"n":"%d"}}`, unique.Add(1))
	plain := exportCase{s: world, id: want(t, world.call(t, "alice", "POST", "/approval/", body), http.StatusAccepted).str("approval_request_id")}
	plain.untilStatus(t, "pending")
	want(t, plain.decide(t, "bob", "approve"), http.StatusOK)
	save(t, dir, "approval-approved", plain.workflowID(t))

	imported := want(t, ingest(t, world, "analyst", failsFile(2, 5, "HIST"), ""), http.StatusOK)
	save(t, dir, "import-fails", workflows.ImportWorkflowID("sec_fails", imported.str("content_sha256")))

	opened := want(t, world.call(t, "alice", "POST", "/incidents",
		`{"kind":"`+string(incident.Other)+`","severity":"low","title":"for the history"}`), http.StatusCreated)
	var id string
	scan(t, world, &id, "SELECT dedup_key FROM finobs.incident WHERE title = 'for the history'")
	if opened.Status == http.StatusCreated {
		save(t, dir, "open-incident", id)
	}
}

func save(t *testing.T, dir, name, workflowID string) {
	t.Helper()
	var history historypb.History
	iter := world.temporal.GetWorkflowHistory(context.Background(), workflowID, "", true, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
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
