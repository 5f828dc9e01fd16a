package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"finobs/internal/devstack"
	"finobs/internal/notify"
)

// Workers die when what came in is recorded and nobody knows yet: it is recorded once.
func TestAWorkerThatDiesRecordsOnce(t *testing.T) {
	t.Parallel()
	s := ownStack(t)
	t.Run("events", func(t *testing.T) { diesOverEvents(t, s) })
	t.Run("a FIX log", func(t *testing.T) { diesOverALog(t, s) })
}

func diesOverEvents(t *testing.T, s *stack) {
	name := fmt.Sprintf("crash%d", unique.Add(1))
	s.restartWorker(t, "events.after-record")
	body := alertBody(name, "firing", "critical", time.Now().Add(-time.Minute))
	want(t, s.call(t, "alice", "POST", "/ingest/alertmanager", body, "Prefer", "respond-async"), http.StatusAccepted)
	key := "alert:alertmanager:alertmanager:" + name
	eventually(t, "the worker has recorded it and died", func() bool {
		return count(t, s, "SELECT count(*) FROM finobs.incident WHERE dedup_key = $1", key) == 1
	})
	died(t, s.worker)
	s.restartWorker(t, "")
	again := ingestTo(t, s, "alertmanager", body)
	if again.Events != 0 || again.Repeated != 1 {
		t.Errorf("sent again it is %+v", again)
	}
	if n := count(t, s, "SELECT occurrences FROM finobs.incident WHERE dedup_key = $1", key); n != 1 {
		t.Errorf("it counts %d times", n)
	}
	eventually(t, "the segments are gone", func() bool {
		left, err := os.ReadDir(s.Path("spool", "segments"))
		if err != nil {
			t.Fatal(err)
		}
		return len(left) == 0
	})
}

func diesOverALog(t *testing.T, s *stack) {
	for _, place := range []string{"fix.after-events", "fix.after-trades", "import.after-load"} {
		n := unique.Add(1)
		broker, at := fmt.Sprintf("DIES%d", n), time.Date(2026, 3, 6, 14, 0, 0, 0, time.UTC)
		exec := fmt.Sprintf("D%d", n)
		log := fill(broker, 1, at, exec, "1", "AAPL", "100", "10", "15=USD") + "\n" + fixMessage(broker, "US", "0", 5, at) + "\n"
		s.restartWorker(t, place)
		r := s.call(t, "alice", "POST", "/ingest/fix?origin=demo", log, "Content-Type", "text/plain")
		if r.Status != http.StatusAccepted {
			t.Fatalf("%s: answered %d: %s", place, r.Status, r.Body)
		}
		died(t, s.worker)
		s.restartWorker(t, "")
		eventually(t, "the log is imported", func() bool {
			return s.call(t, "alice", "GET", "/imports/"+r.str("content_sha256")+"?source=fix", "").Status == http.StatusOK
		})
		if got := tradeOf(t, s, "2026-03-06", exec); got != "buy 100 AAPL 10 USD confirmed v1" {
			t.Errorf("%s: the trade is %q", place, got)
		}
		for what, query := range map[string]string{
			"events":      "SELECT count(*) FROM finobs.event WHERE labels->>'sender' = $1",
			"incidents":   "SELECT count(*) FROM finobs.incident WHERE system = $1 || '->US'",
			"occurrences": "SELECT sum(occurrences) FROM finobs.incident WHERE system = $1 || '->US'",
		} {
			if n := count(t, s, query, broker); n != 1 {
				t.Errorf("%s: there are %d %s", place, n, what)
			}
		}
	}
}

func TestASourceThatSigns(t *testing.T) {
	dir := t.TempDir()
	const secret = "0123456789abcdef0123456789abcdef"
	file := "version: 1\nsources:\n  - {name: signed, kind: alertmanager, desk: EQ, signature: {scheme: finobs, secret_files: [secret], window: 5m}}\n"
	for name, text := range map[string]string{"secret": secret, "sources.yaml": file} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	port, err := devstack.FreePort(0)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	api, err := world.Launch("api-signed", []string{"FINOBS_LISTEN=" + address, "FINOBS_SOURCES=" + filepath.Join(dir, "sources.yaml"), "FINOBS_ANSWER_WAIT=10s"},
		filepath.Join(bin, "finobs"), "api")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { api.Kill() }) //nolint:errcheck // it may be dead already
	url := "http://" + address
	eventually(t, "the API answers", func() bool {
		r, err := send(t, "", "GET", url+"/healthz", "")
		return err == nil && r.Status == http.StatusOK
	})
	post := func(body, timestamp, signature string) reply {
		r, err := send(t, "", "POST", url+"/ingest/signed", body, notify.HeaderTimestamp, timestamp, notify.HeaderSignature, signature)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	stamp := func(away time.Duration) string { return strconv.FormatInt(time.Now().Add(away).Unix(), 10) }
	name := fmt.Sprintf("signed%d", unique.Add(1))
	body := alertBody(name, "firing", "critical", time.Now().Add(-time.Minute))
	now, old := stamp(0), stamp(-time.Hour)
	for why, r := range map[string]reply{
		"without a signature":       callURL(t, "", "POST", url+"/ingest/signed", body),
		"another body's":            post(body, now, notify.Sign([]byte(secret), now, []byte(body+" "))),
		"another secret's":          post(body, now, notify.Sign([]byte(secret+"x"), now, []byte(body))),
		"an hour old":               post(body, old, notify.Sign([]byte(secret), old, []byte(body))),
		"of another source":         callURL(t, "", "POST", url+"/ingest/alertmanager", body),
		"with a token that is none": callURL(t, "nonsense", "POST", url+"/ingest/signed", body),
	} {
		if r.Status != http.StatusUnauthorized {
			t.Errorf("%s: answered %d: %s", why, r.Status, r.Body)
		}
	}
	if n := count(t, world, "SELECT count(*) FROM finobs.event WHERE source = 'signed'"); n != 0 {
		t.Errorf("%d events of refused bodies are on record", n)
	}
	eventually(t, "the refusals are on record", func() bool {
		return count(t, world, "SELECT count(*) FROM ledger.entry WHERE type = 'security.denied' AND reason LIKE 'source signed%'") > 0
	})
	signature := notify.Sign([]byte(secret), now, []byte(body))
	for i, wanted := range []string{"1", "0"} { // the second is a replay
		if r := want(t, post(body, now, signature), http.StatusOK); r.str("events") != wanted {
			t.Errorf("delivery %d: %s", i+1, r.Body)
		}
	}
	if got := text(t, world, "SELECT desk || ' ' || occurrences FROM finobs.incident WHERE source = 'signed'"); got != "EQ 1" {
		t.Errorf("the incident is %q", got)
	}
	if r := callURL(t, world.token(t, "alice", "analyst"), "POST", url+"/ingest/signed", body); r.Status != http.StatusOK {
		t.Errorf("with a token: answered %d: %s", r.Status, r.Body)
	}
}

func TestAFailThatAPersonClosedStaysClosed(t *testing.T) {
	want(t, ingest(t, world, "analyst", failsFile(1, 6, "STAY"), ""), http.StatusOK)
	key := "sec_fails:" + cusip("STAY", 0)
	id := count(t, world, "SELECT incident_id FROM finobs.incident WHERE dedup_key = $1", key)
	for _, act := range []string{`resolve {"resolution":"delivered"}`, `close {}`} {
		verb, body, _ := strings.Cut(act, " ")
		r := world.call(t, "bob", "POST", fmt.Sprintf("/incidents/%d/%s", id, verb), body)
		if r.Status != http.StatusOK && r.Status != http.StatusAccepted {
			t.Fatalf("%s: answered %d: %s", verb, r.Status, r.Body)
		}
		eventually(t, verb, func() bool {
			return strings.HasPrefix(text(t, world, "SELECT status FROM finobs.incident WHERE incident_id = $1", id), verb)
		})
	}
	r := world.call(t, "alice", "POST", "/detectors/failed_settlements/run", "")
	if r.Status != http.StatusOK && r.Status != http.StatusAccepted {
		t.Fatalf("answered %d: %s", r.Status, r.Body)
	}
	eventually(t, "the detector has run", func() bool {
		return count(t, world, "SELECT count(*) FROM finobs.detector_run WHERE workflow_id = $1", r.str("workflow_id")) == 1
	})
	if n := count(t, world, "SELECT count(*) FROM finobs.incident WHERE dedup_key = $1", key); n != 1 {
		t.Errorf("there are %d incidents about a fail that was closed", n)
	}
}

func TestAnOutcomeThatNobodyKnowsIsAnIncident(t *testing.T) {
	incident := ingestTo(t, world, "alertmanager", alertBody(fmt.Sprintf("outcome%d", unique.Add(1)), "firing", "critical", time.Now())).incident(t)
	const notice = "7b1f8a10-0000-4000-8000-00000000000"
	insert := `INSERT INTO finobs.notification (notification_id, incident_id, occasion, kind, channel, recipients, subject, body, while_pending, status, trace_id, created_at, updated_at)
		VALUES ($1::uuid, $2, $5, 'incident.escalation', 'mail', '[]', 's', 'b', true, $3, '', now() - interval '1 hour', now() - $4::interval)`
	for n, row := range []struct{ status, age string }{{"unknown", "1 hour"}, {"unknown", "1 minute"}, {"sent", "1 hour"}} {
		if err := exec1(world, insert, notice+strconv.Itoa(n), incident, row.status, row.age, row.age+row.status); err != nil {
			t.Fatal(err)
		}
	}
	look := func() { want(t, world.call(t, "alice", "POST", "/detectors/unknown_outcomes/run", ""), http.StatusOK) }
	look()
	status := func(n int) string {
		return text(t, world, "SELECT coalesce((SELECT status FROM finobs.incident WHERE dedup_key = $1), '')", "outcome:notification:"+notice+strconv.Itoa(n))
	}
	if got := []string{status(0), status(1), status(2)}; strings.Join(got, " ") != "open  " {
		t.Errorf("the incidents are %q", got)
	}
	if found, _, overdue := tasksOf(t, "carol", "&type=outcome").find("outcome", "notification/"+notice+"0"); !found || !overdue {
		t.Error("the outcome waits for nobody who may send it again")
	}
	if err := exec1(world, "UPDATE finobs.notification SET status = 'sent' WHERE notification_id = $1", notice+"0"); err != nil {
		t.Fatal(err)
	}
	look()
	if got := status(0); got != "resolved" {
		t.Errorf("the incident of an outcome that is known is %s", got)
	}
}
