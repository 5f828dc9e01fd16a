package e2e_test

import (
	"database/sql"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"finobs/internal/devstack"
	"finobs/internal/smtptest"

	enumspb "go.temporal.io/api/enums/v1"
)

// A mail whose answer is lost may have arrived. It is not sent again until a
// person says so, and then with another Message-ID.
func testMailThatMayHaveArrived(t *testing.T) {
	d := deliveries(t)
	for name, c := range map[string]struct {
		mode      string
		failpoint string
		arrives   int
		says      string
	}{
		"the answer is lost":      {relayMute, "", 1, ""},
		"the mail is lost":        {relaySwallow, "", 0, ""},
		"the worker dies sending": {relayAll, "delivery.after-send", 1, "died before it could say"},
	} {
		t.Run(name, func(t *testing.T) {
			d.relay.set(c.mode)
			if c.failpoint != "" {
				d.restartWorker(t, c.failpoint)
			}
			e := d.approved(t, "desk", "/users/export?format=csv")
			if c.failpoint != "" {
				died(t, d.worker)
				d.restartWorker(t, "")
			}
			m := e.delivered(t)
			rows := d.rows(t, m.id())
			if m.DeliveryStatus != "unknown" || m.DeliveredAt != "" || len(rows) != 1 || rows[0].Status != "unknown" || !strings.Contains(rows[0].Detail, c.says) {
				t.Errorf("%+v, %+v", m, rows)
			}
			d.untilClosed(t, rows[0].WorkflowID) // nothing is left that could send it again
			if got := d.mails(t, m.id()); len(got) != c.arrives {
				t.Errorf("%d mails arrived, want %d", len(got), c.arrives)
			}
			if m.VerificationStatus != "verified" { // its own store has it
				t.Errorf("the export is %s", m.VerificationStatus)
			}
			d.relay.set(relayAll)
			for range 2 {
				again := want(t, d.again(t, m.id(), name), http.StatusOK)
				if again.str("delivery_status") != "delivered" {
					t.Errorf("answered %s", again.Body)
				}
			}
			mails := d.mails(t, m.id())
			if len(mails) != c.arrives+1 || mails[0].MessageID != "export-"+m.id()+"-2@desk.example" {
				t.Fatalf("got %+v", mails)
			}
			if c.arrives == 1 && mails[1].MessageID != "export-"+m.id()+"-1@desk.example" {
				t.Errorf("got %+v", mails)
			}
			d.accepted(t, d.fromMail(t, mails[0]))
			if got := d.statuses(t, m.id()); got != "desk unknown, desk delivered" || d.meta(t, m.id()).DeliveryStatus != "delivered" {
				t.Errorf("the rows are: %s", got)
			}
			want(t, d.again(t, m.id(), name+" once more"), http.StatusOK)
			if got := d.mails(t, m.id()); len(got) != c.arrives+2 || got[0].MessageID != "export-"+m.id()+"-3@desk.example" {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// A mail that the server does not take for now is tried again, one that it
// refuses is not; both are known not to have arrived.
func testMailServerRefuses(t *testing.T) {
	d := deliveries(t)
	later := smtptest.Start(t, map[string]string{"MAIL FROM": "451 come back later"}, nil)
	d.relay.send(later.Port())
	defer d.relay.send(0)
	e := d.approved(t, "desk", "/users/export?format=csv")
	id := e.exportID(t)
	eventually(t, "an attempt has failed", func() bool { return strings.Contains(d.statuses(t, id), "failed") })
	if r := d.rows(t, id)[0]; !strings.Contains(r.Detail, "451") {
		t.Errorf("got %+v", r)
	}
	d.relay.send(0)
	if m := e.delivered(t); m.DeliveryStatus != "delivered" || strings.Contains(d.statuses(t, id), "unknown") || len(d.mails(t, id)) != 1 {
		t.Errorf("%+v, %d mails", m, len(d.mails(t, id)))
	}
	never := smtptest.Start(t, map[string]string{"MAIL FROM": "550 not from you"}, nil)
	d.relay.send(never.Port())
	m := d.approved(t, "desk", "/users/export?format=csv").delivered(t)
	if rows := d.rows(t, m.id()); m.DeliveryStatus != "failed" || len(rows) != 1 || !strings.Contains(rows[0].Detail, "550 not from you") {
		t.Errorf("%+v, %+v", m, rows)
	}
}

// A worker that is stopped in order while the mail server says nothing knows that
// no mail has left, and says so: the next one sends it.
func testWorkerStoppedWhileTheMailServerIsSilent(t *testing.T) {
	d := deliveries(t)
	silent := smtptest.Start(t, map[string]string{"EHLO": smtptest.Hang}, nil)
	d.relay.send(silent.Port())
	defer d.relay.send(0)
	e := d.approved(t, "desk", "/users/export?format=csv")
	id := e.exportID(t)
	// The worker also speaks to it to see whether it is there.
	eventually(t, "the mail is being sent", func() bool { return d.statuses(t, id) != "" })
	eventually(t, "the mail server has been spoken to", func() bool {
		_, said := silent.Got()
		return len(said) > 0
	})
	if err := d.worker.Stop(); err != nil {
		t.Fatal(err)
	}
	if got := d.statuses(t, id); got != "desk failed" {
		t.Errorf("after the worker has stopped, the rows are: %s", got)
	}
	d.relay.send(0)
	if err := d.startWorker(""); err != nil {
		t.Fatal(err)
	}
	m := e.delivered(t)
	if m.DeliveryStatus != "delivered" || d.statuses(t, id) != "desk failed, desk delivered" || len(d.mails(t, id)) != 1 {
		t.Errorf("%+v, %d mails", d.rows(t, id), len(d.mails(t, id)))
	}
}

// untilClosed waits until a workflow has ended.
func (d *deliveryStack) untilClosed(t *testing.T, workflowID string) {
	t.Helper()
	eventually(t, "workflow "+workflowID+" has ended", func() bool {
		got, err := d.temporal.DescribeWorkflowExecution(t.Context(), workflowID, "")
		if err != nil {
			t.Fatal(err)
		}
		return got.GetWorkflowExecutionInfo().GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
	})
}

// ownPostgres starts a stack whose database the test can stop. It returns how to
// start the database again.
func ownPostgres(t *testing.T) (s *stack, db *devstack.Postgres, again func() *devstack.Postgres) {
	t.Helper()
	dir := stateDir(t)
	bin, err := devstack.EnsurePostgres(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	config := devstack.PostgresConfig{Bin: bin, Data: filepath.Join(dir, "database"), Port: freePort(t), Log: filepath.Join(dir, "database.log")}
	again = func() *devstack.Postgres {
		t.Helper()
		p, err := devstack.StartPostgres(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := p.Stop(); err != nil {
				t.Error(err)
			}
		})
		return p
	}
	db = again()
	admin, err := sql.Open("postgres", db.AdminURL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	if _, err := admin.Exec("CREATE DATABASE finobs"); err != nil {
		t.Fatal(err)
	}
	t.Setenv("FINOBS_DATABASE_URL", db.AdminURL("finobs"))
	if s, err = newStack(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	return s, db, again
}

// The database restarts while an export streams out of it, and the disk that
// exports are written to is full. Both pass, and then it completes by itself.
func TestExportOutlastsItsDatabaseAndItsDisk(t *testing.T) {
	s, db, again := ownPostgres(t)
	d := &deliveryStack{stack: s}
	t.Run("disk", func(t *testing.T) {
		small(t, s)
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		d.outlastsFullDisk(t)
	})
	if s.worker == nil {
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("database", func(t *testing.T) { d.outlastsDatabase(t, db, again) })
}

// small gives a stack that has not started a small disk for exports.
func small(t *testing.T, s *stack) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a file system")
	}
	if err := syscall.Mount("tmpfs", s.Path("artefacts"), "tmpfs", 0, "size=1m,mode=0700"); err != nil {
		t.Skipf("mounting a file system: %v", err)
	}
	t.Cleanup(func() {
		for _, p := range []*devstack.Process{s.api, s.worker} {
			if p != nil {
				if err := p.Stop(); err != nil {
					t.Error(err)
				}
			}
		}
		s.api, s.worker = nil, nil
		if err := syscall.Unmount(s.Path("artefacts"), 0); err != nil {
			t.Errorf("unmounting the small disk: %v", err)
		}
	})
}

func (d *deliveryStack) outlastsFullDisk(t *testing.T) {
	ballast := d.Path("artefacts", "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
	if f.Close(); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	e := d.asksForAll(t, "/audit/export?format=csv")
	e.approve(t)
	id := e.exportID(t)
	full := func() int {
		return count(t, d.stack, `SELECT count(*) FROM ledger.entry WHERE type = 'export.failed' AND subject_id = $1
			AND convert_from(leaf, 'UTF8')::jsonb #>> '{details,reason}' = 'enospc'`, id)
	}
	eventually(t, "the export has been tried again", func() bool { return d.attempt(t, e.workflowID(t)) >= 3 })
	if full() != 1 {
		t.Errorf("%d entries say that the disk is full, want 1", full())
	}
	if got := d.meta(t, id); got.Status != "intended" {
		t.Errorf("the export is %s", got.Status)
	}
	d.tidyIn(t, d.Path("artefacts", "export-"+id))
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	m := e.delivered(t)
	if m.Status != "sealed" || m.DeliveryStatus != "delivered" || m.VerificationStatus != "verified" || full() != 1 {
		t.Errorf("%+v, %d entries", m, full())
	}
	e.madeOnce(t, id)
	d.accepted(t, d.bundle(t, id))
	d.tidy(t)
}

// attempt is how often the activity that a workflow waits for was tried.
func (d *deliveryStack) attempt(t *testing.T, workflowID string) int32 {
	t.Helper()
	got, err := d.temporal.DescribeWorkflowExecution(t.Context(), workflowID, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range got.GetPendingActivities() {
		return a.GetAttempt()
	}
	return 0
}

func (d *deliveryStack) outlastsDatabase(t *testing.T, db *devstack.Postgres, again func() *devstack.Postgres) {
	d.fill(t, 200_000)
	e := d.asksForAll(t, "/transactions/export?format=ndjson")
	e.approve(t)
	id, workflowID := e.exportID(t), e.workflowID(t)
	half := filepath.Join(d.Path("artefacts", "export-"+id), ".artefact-*")
	for flowing := false; !flowing; {
		found, err := filepath.Glob(half)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			info, err := os.Stat(path)
			flowing = err == nil && info.Size() > 0
		}
		if whole, err := filepath.Glob(strings.Replace(half, ".artefact-*", "transactions-*", 1)); err != nil || len(whole) > 0 {
			t.Fatalf("the export was over before the database was stopped: %v, %v", whole, err)
		}
	}
	if err := db.Stop(); err != nil {
		t.Fatal(err)
	}
	if r := d.call(t, "alice", "GET", "/exports/"+id, ""); r.Status != http.StatusServiceUnavailable {
		t.Errorf("without its database the API answered %d: %s", r.Status, r.Body)
	}
	eventually(t, "the export is tried again", func() bool { return d.attempt(t, workflowID) >= 2 })
	again()
	m := e.delivered(t)
	if m.Seal.Rows != 200_000 || m.DeliveryStatus != "delivered" || m.VerificationStatus != "verified" {
		t.Errorf("got %+v", m)
	}
	e.madeOnce(t, id)
	d.accepted(t, d.bundle(t, id))
	d.tidy(t)
}
