package activities_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"finobs/activities"
	"finobs/internal/approval"
)

func (d *desk) generate(t *testing.T, r request) (activities.ExportDone, error) {
	t.Helper()
	return run[activities.ExportDone](t, d.exports.GenerateExport, activities.ExportRef{GateRef: r.ref()})
}

func (d *desk) nothingReleased(t *testing.T) {
	t.Helper()
	if n := d.count(t, "SELECT count(*) FROM finobs.export"); n != "0" {
		t.Errorf("%s exports", n)
	}
	if files := d.files(t); len(files) != 0 {
		t.Errorf("files %v", files)
	}
	if n := d.count(t, "SELECT count(*) FROM ledger.entry WHERE type = 'effect.denied'"); n != "1" {
		t.Errorf("%s entries effect.denied, want 1", n)
	}
}

func TestGenerateExportNeedsAnApproval(t *testing.T) {
	d := newDesk(t)
	r := d.open(t)
	for range 2 {
		if _, err := d.generate(t, r); code(err) != "evidence-broken" {
			t.Errorf("got %v", err)
		}
	}
	d.nothingReleased(t)
}

func TestGenerateExportOnAnApprovalThatIsNotThere(t *testing.T) {
	d := newDesk(t)
	if _, err := d.generate(t, request{in: activities.OpenRequestInput{ApprovalID: 77}}); code(err) != "no-such-approval" {
		t.Errorf("got %v", err)
	}
	d.nothingReleased(t)
}

// Whoever changes the database's rows, even as its administrator, cannot make the
// effect believe that people approved something else.
func TestEvidenceIsNotAColumn(t *testing.T) {
	for name, statement := range map[string]string{
		"status by hand, no decision": `DELETE FROM finobs.approval_decision`,
		"decision of somebody else":   `UPDATE finobs.approval_decision SET approver_sub = 'carol'`,
		"roles by hand":               `UPDATE finobs.approval_decision SET approver_roles = '{admin}'`,
		"token of nothing":            `UPDATE finobs.approval_decision SET token = 'x'`,
		"rejection made approval":     `UPDATE finobs.approval_decision SET reason = 'other'`,
		"another action":              `UPDATE finobs.approval_request SET action = convert_to(replace(convert_from(action, 'UTF8'), 'csv', 'ndjson'), 'UTF8')`,
		"another action with digest": `UPDATE finobs.approval_request SET action = convert_to(replace(convert_from(action, 'UTF8'), 'csv', 'ndjson'), 'UTF8'),
			action_digest = 'sha256:' || encode(sha256(convert_to('finobs.action.v1', 'UTF8') || '\x00' || convert_to(replace(convert_from(action, 'UTF8'), 'csv', 'ndjson'), 'UTF8')), 'hex')`,
		"another policy":        `UPDATE finobs.approval_request SET policy = convert_to(replace(convert_from(policy, 'UTF8'), 'admin', 'viewer'), 'UTF8')`,
		"another requester":     `UPDATE finobs.approval_request SET requester_sub = 'mallory'`,
		"another desk":          `UPDATE finobs.approval_request SET desk = 'FX'`,
		"another workflow":      `UPDATE finobs.approval_request SET workflow_id = 'w'`,
		"simulation made live":  `UPDATE finobs.approval_request SET is_simulation = true`,
		"command of nothing":    `UPDATE finobs.approval_request SET command = 'x'`,
		"deadline before it":    `UPDATE finobs.approval_request SET created_at = created_at - interval '2 days', expires_at = created_at - interval '1 day'`,
		"created after it":      `UPDATE finobs.approval_request SET created_at = clock_timestamp() + interval '1 hour'`,
		"last use in the past":  `UPDATE finobs.approval_request SET use_by = clock_timestamp() - interval '1 second'`,
		"consumed by another":   `UPDATE finobs.approval_request SET status = 'consumed', consumed_at = now(), consumed_by = 'other'`,
		"cancelled in between":  `UPDATE finobs.approval_request SET status = 'cancelled'`,
		"superseded in between": `UPDATE finobs.approval_request SET status = 'superseded'`,
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			r := d.approved(t)
			d.exec(t, statement)
			if _, err := d.generate(t, r); code(err) != "evidence-broken" && code(err) != "approval-not-usable" {
				t.Errorf("got %v", err)
			}
			d.nothingReleased(t)
		})
	}
}

func TestApprovalIsSpentOnce(t *testing.T) {
	d := newDesk(t)
	r := d.approved(t)
	const attempts = 8
	results := make([]activities.ExportDone, attempts)
	var all sync.WaitGroup
	for i := range attempts {
		all.Add(1)
		go func() {
			defer all.Done()
			// One attempt may clear away another's unfinished file; Temporal would
			// try that one again.
			for range 3 {
				var err error
				if results[i], err = d.generate(t, r); err == nil {
					return
				}
			}
			t.Error("three attempts failed")
		}()
	}
	all.Wait()
	for _, got := range results {
		if got != results[0] || !got.Sealed {
			t.Errorf("attempts disagree: %+v and %+v", got, results[0])
		}
	}
	if files := d.files(t); len(files) != 1 || !strings.Contains(files[0], results[0].ContentSHA256) {
		t.Errorf("files %v", files)
	}
	stolen := r.ref()
	stolen.FirstRun = "another-run"
	if _, err := run[activities.ExportDone](t, d.exports.GenerateExport, activities.ExportRef{GateRef: stolen}); code(err) != "approval-not-usable" {
		t.Errorf("another execution spent it again: %v", err)
	}
	for query, want := range map[string]string{
		"SELECT count(*) FROM finobs.export":                                     "1",
		"SELECT status FROM finobs.approval_request":                             string(approval.Consumed),
		"SELECT count(*) FROM ledger.entry WHERE type = 'effect.intended'":       "1",
		"SELECT count(*) FROM ledger.entry WHERE type = 'effect.done'":           "1",
		"SELECT count(*) FROM ledger.entry WHERE type = 'effect.denied'":         "1",
		"SELECT consumed_by FROM finobs.approval_request":                        workflowID + "/" + firstRun,
		"SELECT encode(content_sha256, 'hex') FROM finobs.export":                results[0].ContentSHA256,
		"SELECT row_count::text || status FROM finobs.export":                    "0sealed",
		"SELECT count(*) FROM finobs.approval_request WHERE use_by IS NULL":      "0",
		"SELECT count(*) FROM finobs.approval_request WHERE consumed_at > now()": "0",
	} {
		if got := d.count(t, query); got != want {
			t.Errorf("%s gives %s, want %s", query, got, want)
		}
	}
}

func TestWhatACrashLeftIsRemoved(t *testing.T) {
	d := newDesk(t)
	r := d.approved(t)
	if err := os.Mkdir(filepath.Join(d.artefacts, "export-1"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".artefact-ABC", "incidents-1-" + strings.Repeat("0", 64) + ".csv"} {
		if err := os.WriteFile(filepath.Join(d.artefacts, "export-1", name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.generate(t, r); err != nil {
		t.Fatal(err)
	}
	if files := d.files(t); len(files) != 1 {
		t.Errorf("files %v", files)
	}
}

func TestConfirmExportAsksTheRecord(t *testing.T) {
	d := newDesk(t)
	r := d.approved(t)
	claim := activities.ConfirmInput{ExportRef: activities.ExportRef{GateRef: r.ref()}, Claimed: activities.ExportDone{ExportID: 1, ContentSHA256: "x", Sealed: true}, Attempt: 1}
	got, err := run[activities.ExportDone](t, d.exports.ConfirmExport, claim)
	if err != nil || got.Sealed {
		t.Errorf("a made-up claim: %+v, %v", got, err)
	}
	if n := d.count(t, "SELECT count(*) FROM ledger.entry WHERE type = 'activity.contradicted'"); n != "1" {
		t.Errorf("%s entries", n)
	}
	done, err := d.generate(t, r)
	if err != nil {
		t.Fatal(err)
	}
	claim.Claimed, claim.Attempt = done, 2
	if got, err := run[activities.ExportDone](t, d.exports.ConfirmExport, claim); err != nil || got != done {
		t.Errorf("a true claim: %+v, %v", got, err)
	}
	if n := d.count(t, "SELECT count(*) FROM ledger.entry WHERE type = 'activity.contradicted'"); n != "1" {
		t.Errorf("%s entries after a true claim", n)
	}
}
