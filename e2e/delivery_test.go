package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"finobs/workflows"

	"go.temporal.io/sdk/client"
)

// Deliveries share a stack, one test at a time, beside the tests that have stacks of
// their own.
func TestDeliveries(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"EveryDestinationGetsTheBundle", testEveryDestinationGetsTheBundle},
		{"RedeliveryElsewhereNeedsAnApproval", testRedeliveryElsewhereNeedsAnApproval},
		{"DeliveriesStartedByHand", testDeliveriesStartedByHand},
		{"DestinationThatMovedGetsNothing", testDestinationThatMovedGetsNothing},
		{"WorkerDiesBetweenApprovalAndVerdict", testWorkerDiesBetweenApprovalAndVerdict},
		{"WorkerDiesInTheMiddleOfATransfer", testWorkerDiesInTheMiddleOfATransfer},
		{"BucketFails", testBucketFails},
		{"VerificationReadsTheBucket", testVerificationReadsTheBucket},
		{"BucketIsDownForAWhile", testBucketIsDownForAWhile},
		{"DeliveryThatWasTerminated", testDeliveryThatWasTerminated},
		{"RedeliveryDuringADelivery", testRedeliveryDuringADelivery},
		{"MailThatMayHaveArrived", testMailThatMayHaveArrived},
		{"MailServerRefuses", testMailServerRefuses},
		{"WorkerStoppedWhileTheMailServerIsSilent", testWorkerStoppedWhileTheMailServerIsSilent},
	} {
		t.Run(test.name, test.run)
	}
}

// An export to each destination arrives, is read back, and what arrived is what a
// stranger can verify.
func testEveryDestinationGetsTheBundle(t *testing.T) {
	d := deliveries(t)
	asked := map[string]exportCase{}
	for _, destination := range []string{"archive", "second", "bucket", "desk", "download"} {
		asked[destination] = d.approved(t, destination, "/audit/export?format=ndjson&compression=gzip")
	}
	for destination, e := range asked {
		m := e.delivered(t)
		rows := d.rows(t, m.id())
		if m.Status != "sealed" || m.Destination != destination || m.DeliveryStatus != "delivered" || m.VerificationStatus != "verified" ||
			len(rows) != 1 || rows[0].Status != "delivered" || rows[0].Attempt != 1 {
			t.Errorf("%s: %+v, %+v", destination, m, rows)
			continue
		}
		wanted := "verified"
		receipt := rows[0].receipt(t)
		switch destination {
		case "bucket":
			d.accepted(t, d.fromBucket(t, receipt))
			for name, n := range d.versions(t, m.id()) {
				if n != 1 {
					t.Errorf("the bucket has %d versions of %s", n, name)
				}
			}
		case "desk":
			wanted = "unreadable"
			mails := d.mails(t, m.id())
			if len(mails) != 1 || mails[0].MessageID != "export-"+m.id()+"-1@desk.example" || receipt.Ref != "<"+mails[0].MessageID+">" ||
				strings.Join(mails[0].To, " ") != "desk@desk.example risk@desk.example" || receipt.Recipients != 2 {
				t.Errorf("got mails %+v, receipt %+v", mails, receipt)
				continue
			}
			dir := d.fromMail(t, mails[0])
			if _, err := os.Stat(filepath.Join(dir, "manifest.dsse.json")); err != nil {
				t.Error(err)
			}
			d.accepted(t, dir)
		case "download":
			d.accepted(t, d.Path("artefacts", "export-"+m.id()))
		default:
			d.accepted(t, receipt.Ref)
		}
		if rows[0].Verdict != wanted {
			t.Errorf("what went to %s is %s, want %s", destination, rows[0].Verdict, wanted)
		}
	}
}

// Taking an export to another destination than the approved one is an action of
// its own: asked for, approved by somebody else, done once.
func testRedeliveryElsewhereNeedsAnApproval(t *testing.T) {
	d := deliveries(t)
	m := d.approved(t, "archive", "/users/export?format=csv").delivered(t)
	body := `{"destination":"second","reason":"the regulator asked"}`
	ask := func(body string) exportCase {
		r := want(t, d.call(t, "alice", "POST", "/exports/"+m.id()+"/redeliver", body), 202)
		if r.str("approval_request_id") == "" || r.str("status") != "pending" || !strings.Contains(r.str("detail"), "requires approval") || r.str("destination") != "second" {
			t.Fatalf("answered %s", r.Body)
		}
		e := exportCase{s: d.stack, id: r.str("approval_request_id")}
		e.untilStatus(t, "pending")
		return e
	}
	rejected := ask(body)
	if again := ask(body); again.id != rejected.id {
		t.Errorf("the same was asked for twice, as %s and %s", rejected.id, again.id)
	}
	if r := rejected.decide(t, "alice", "approve"); r.Status != 403 {
		t.Errorf("the requester's decision was answered with %d: %s", r.Status, r.Body)
	}
	if r := rejected.decide(t, "bob", "reject"); r.Status/100 != 2 {
		t.Fatalf("answered %d: %s", r.Status, r.Body)
	}
	rejected.untilStatus(t, "rejected")

	approved := ask(strings.Replace(body, "}", `,"renew":true}`, 1))
	if got := d.statuses(t, m.id()); got != "archive delivered" {
		t.Errorf("before it is approved, the rows are: %s", got)
	}
	approved.approve(t)
	approved.untilStatus(t, "consumed")
	d.untilRows(t, m.id(), "archive delivered, second delivered")
	row := d.rows(t, m.id())[1]
	if row.Attempt != 1 || row.RequestedBy != "alice" || approved.id != str(row.ApprovalID) {
		t.Errorf("got %+v", row)
	}
	d.accepted(t, row.receipt(t).Ref)
	eventually(t, "what went there is read back", func() bool { return d.rows(t, m.id())[1].Verdict == "verified" })
	if n := count(t, d.stack, `SELECT count(*) FROM ledger.entry WHERE type = 'export.redelivery_intended' AND subject_id = $1`, m.id()); n != 1 {
		t.Errorf("%d entries say that it was intended, want 1", n)
	}
	if got := want(t, d.call(t, "alice", "POST", "/exports/"+m.id()+"/redeliver", body), 200); got.str("status") != "consumed" {
		t.Errorf("the same call again answers %s", got.Body)
	}
	if got := d.meta(t, m.id()); got.DeliveryStatus != "delivered" || got.Destination != "archive" {
		t.Errorf("got %+v", got)
	}
}

// Whoever reaches Temporal can start a delivery. It delivers nothing that nobody
// approved, and nothing twice.
func testDeliveriesStartedByHand(t *testing.T) {
	d := deliveries(t)
	m := d.approved(t, "desk", "/users/export?format=csv").delivered(t)
	by := func(id string, in workflows.DeliverInput) (workflows.DeliverResult, error) {
		t.Helper()
		run, err := d.temporal.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: workflows.TaskQueue}, workflows.Deliver, in)
		if err != nil {
			t.Fatal(err)
		}
		var out workflows.DeliverResult
		err = run.Get(t.Context(), &out)
		return out, err
	}
	refused := func(workflowID string) int {
		return count(t, d.stack, `SELECT count(*) FROM ledger.entry WHERE type IN ('export.not_delivered', 'workflow.refused') AND workflow_id = $1`, workflowID)
	}
	for i, in := range []workflows.DeliverInput{
		{ExportID: m.ID, Destination: "second"},
		{ExportID: m.ID, Destination: "archive", Command: "made.up.token", Reason: "trust me"},
		{ExportID: m.ID, Destination: "desk", Command: "made.up.token"},
		{ExportID: m.ID, Destination: "nowhere"},
		{ExportID: m.ID, Destination: "https://evil.example/\x00drop"},
		{ExportID: 987654321, Destination: "archive"},
	} {
		id := "by-hand-" + m.id() + "-" + str(int64(i))
		if out, err := by(id, in); err == nil {
			t.Errorf("%+v: got %+v", in, out)
		}
		if n := refused(id); n != 1 {
			t.Errorf("%+v: %d entries, want 1", in, n)
		}
	}
	// The approved destination has it: nobody gets it twice.
	out, err := by("by-hand-"+m.id(), workflows.DeliverInput{ExportID: m.ID, Destination: "desk"})
	if err != nil || out.Status != "delivered" {
		t.Errorf("got %+v, %v", out, err)
	}
	// Nor when the genuine start of a redelivery is repeated.
	want(t, d.again(t, m.id(), "k"), 200)
	rows := d.rows(t, m.id())
	again := rows[len(rows)-1]
	if len(d.mails(t, m.id())) != 2 || again.Status != "delivered" || again.RequestedBy != "alice" {
		t.Fatalf("%d mails, %+v", len(d.mails(t, m.id())), again)
	}
	var genuine workflows.DeliverInput
	history := d.temporal.GetWorkflowHistory(t.Context(), again.WorkflowID, "", false, 0)
	if event, err := history.Next(); err != nil {
		t.Fatal(err)
	} else if err := d.payload(event.GetWorkflowExecutionStartedEventAttributes().GetInput(), &genuine); err != nil || genuine.Command == "" {
		t.Fatalf("got %+v, %v", genuine, err)
	}
	if out, err := by(again.WorkflowID, genuine); err != nil || out.Status != "delivered" {
		t.Errorf("got %+v, %v", out, err)
	}
	if out, err := by(again.WorkflowID+"-more", genuine); err == nil {
		t.Errorf("got %+v", out)
	}
	if n := refused(again.WorkflowID + "-more"); n != 1 || len(d.mails(t, m.id())) != 2 {
		t.Errorf("%d mails, %d entries", len(d.mails(t, m.id())), n)
	}
	for _, folder := range []string{"second", "archive"} {
		if found, err := filepath.Glob(d.Path(folder, "exports", "*", m.id())); err != nil || len(found) != 0 {
			t.Errorf("%v arrived, %v", found, err)
		}
	}
	if got := d.meta(t, m.id()); got.DeliveryStatus != "delivered" {
		t.Errorf("the export is %s", got.DeliveryStatus)
	}
}

// An approval is of the place that a name stood for. When the name points
// elsewhere, whether before or after the approval, nothing arrives there.
func testDestinationThatMovedGetsNothing(t *testing.T) {
	d := deliveries(t)
	points := func(folder string) {
		t.Helper()
		if folder != "" {
			folder = d.Path(folder)
			if err := os.MkdirAll(folder, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.configure(folder); err != nil {
			t.Fatal(err)
		}
		if err := d.worker.Stop(); err != nil {
			t.Fatal(err)
		}
		if err := d.startWorker(""); err != nil {
			t.Fatal(err)
		}
	}
	points("old-place")
	defer points("")
	eventually(t, "the destination is known", func() bool {
		return count(t, d.stack, "SELECT count(*) FROM api.destination WHERE name = 'moving'") == 1
	})
	var was string
	scan(t, d.stack, &was, "SELECT digest FROM api.destination WHERE name = 'moving'")
	sent := d.approved(t, "moving", "/users/export?format=csv").delivered(t)
	pending := d.to(t, "moving", "/users/export?format=csv")
	// Without the sequencer, this one is sealed and not yet on its way.
	if err := d.sequencer.Kill(); err != nil {
		t.Fatal(err)
	}
	sealed := d.approved(t, "moving", "/users/export?format=csv")
	id := sealed.exportID(t)
	eventually(t, "export "+id+" is sealed", func() bool { return d.meta(t, id).Status == "sealed" })
	points("new-place")
	eventually(t, "the destination has moved", func() bool {
		var now string
		scan(t, d.stack, &now, "SELECT digest FROM api.destination WHERE name = 'moving'")
		return now != was
	})
	if err := d.startSequencer(); err != nil {
		t.Fatal(err)
	}
	refusedAs(t, d.again(t, sent.id(), "moved"), 403, "destination-moved", "another place than when it was approved")
	if got := d.statuses(t, sent.id()); got != "moving delivered, moving failed" || d.meta(t, sent.id()).DeliveryStatus != "delivered" {
		t.Errorf("what was delivered before has the rows: %s", got)
	}
	pending.decide(t, "bob", "approve")
	pending.untilStatus(t, "superseded")
	d.untilRows(t, id, "moving failed")
	if m := d.meta(t, id); m.DeliveryStatus != "failed" || !strings.Contains(m.Deliveries[0].Detail, "another place than when it was approved") {
		t.Errorf("got %+v", m)
	}
	d.accepted(t, d.bundle(t, id)) // it is there for people who fetch it
	if found, err := filepath.Glob(d.Path("new-place", "*")); err != nil || len(found) != 0 {
		t.Errorf("%v arrived, %v", found, err)
	}
}
