package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"finobs/internal/detect"
)

// detectorsOf is a desk file all of whose detectors run on demand only, but for
// stale_feeds when it is on. It says another owner and severity than the defaults.
func detectorsOf(staleFeeds bool) string {
	return fmt.Sprintf(`version: 1
detectors:
  trade_breaks: {enabled: false}
  failed_settlements: {enabled: false, owner: settlements-eu, severity: high}
  silent_systems: {enabled: false, missed: 2, owner: platform, severity: critical}
  reject_bursts: {enabled: false, count: 3, window: 1m, owner: algo-desk, severity: low}
  stale_feeds:
    enabled: %t
    every: 1s
    owner: market-data
    severity: critical
    feeds: [{source: dropcopy, max_age: 6s}]
  unknown_outcomes: {enabled: false, after: 1m, owner: back-office, severity: medium}
`, staleFeeds)
}

// detectorStack is a stack of a test's own that a desk file governs.
func detectorStack(t *testing.T, deskFile string) *stack {
	t.Helper()
	return ownStack(t, func(s *stack) {
		s.Settings()["FINOBS_DESK_FILE"] = s.Path("desk.yaml")
		s.writeDesk(t, deskFile)
	})
}

func (s *stack) writeDesk(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(s.Path("desk.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// detectorRun is a run as the list of runs shows it.
type detectorRun struct {
	WorkflowID string `json:"workflow_id"`
	Found      int64
	Opened     int64
	Resolved   int64
	AskedBy    *struct{ Sub string } `json:"asked_by"`
}

// detects has alice run a detector, and waits until the run is on record.
func (s *stack) detects(t *testing.T, name detect.Name) detectorRun {
	t.Helper()
	r := s.call(t, "alice", "POST", "/detectors/"+string(name)+"/run", "")
	if r.Status != http.StatusOK && r.Status != http.StatusAccepted {
		t.Fatalf("%s: answered %d: %s", name, r.Status, r.Body)
	}
	var run detectorRun
	eventually(t, fmt.Sprintf("the run of %s is on record", name), func() bool {
		var list struct{ Items []detectorRun }
		if err := json.Unmarshal(want(t, s.call(t, "victor", "GET", "/detectors/"+string(name)+"/runs", ""), http.StatusOK).Body, &list); err != nil {
			t.Fatal(err)
		}
		for _, run = range list.Items {
			if run.WorkflowID == r.str("workflow_id") {
				return true
			}
		}
		return false
	})
	if run.AskedBy == nil || run.AskedBy.Sub != "alice" {
		t.Errorf("%s: the run was asked for by %+v", name, run.AskedBy)
	}
	return run
}

// seen is what an incident says that matters to whoever has to deal with it.
func (s *stack) seen(t *testing.T, key string) string {
	t.Helper()
	return text(t, s, `SELECT coalesce((SELECT concat_ws(' ', status, kind, severity, owner, source, occurrences) FROM finobs.incident
		WHERE dedup_key = $1 ORDER BY incident_id DESC LIMIT 1), 'none')`, key)
}

// detectorCase has a condition begin and end. begins returns the condition's dedup
// key.
type detectorCase struct {
	name   detect.Name
	begins func(*testing.T, *stack) (key string)
	says   string                   // kind, severity and owner of the incident
	ends   func(*testing.T, *stack) // nil: a person ends it
}

var detectorCases = []detectorCase{
	{detect.TradeBreaks, breakBegins, "trade_break medium Trade Support", breakEnds},
	{detect.FailedSettlements, settlementFails, "failed_settlement high settlements-eu", settlementSettles},
	{detect.SilentSystems, systemFallsSilent, "system_outage critical platform", beats},
	{detect.RejectBursts, counterpartyRejects, "system_outage low algo-desk", nil},
	{detect.StaleFeeds, feedStalls, "system_outage critical market-data", feedFlows},
	{detect.UnknownOutcomes, noticeIsLost, "other medium back-office", noticeIsSent},
}

// Each detector, when somebody asks: before the condition, while it holds, and when
// it has ended. Then the desk file turns one on, and it does so by itself.
func TestDetectors(t *testing.T) {
	t.Parallel()
	s := detectorStack(t, detectorsOf(false))
	for _, c := range detectorCases {
		t.Run(string(c.name), func(t *testing.T) { s.detectsOnDemand(t, c) })
	}
	if n := count(t, s, "SELECT count(*) FROM finobs.detector_run WHERE asked_sub = ''"); n != 0 {
		t.Errorf("%d runs of detectors that are off", n)
	}
	want(t, s.call(t, "alice", "POST", "/detectors/fire/run", ""), http.StatusNotFound)
	want(t, s.call(t, "victor", "POST", "/detectors/stale_feeds/run", ""), http.StatusForbidden)
	t.Run("a feed that stalls though its system lives", func(t *testing.T) { staleThoughAlive(t, s) })
}

func (s *stack) detectsOnDemand(t *testing.T, c detectorCase) {
	if c.name == detect.StaleFeeds {
		feedFlows(t, s) // one that never sent anything is stale as well
	}
	if run := s.detects(t, c.name); run.Found != 0 || run.Opened != 0 {
		t.Errorf("before anything was wrong: %+v", run)
	}
	key := c.begins(t, s)
	var run detectorRun
	eventually(t, "the condition is found", func() bool { run = s.detects(t, c.name); return run.Found > 0 })
	open := "open " + c.says + " detector:" + string(c.name) + " 1"
	if got := s.seen(t, key); got != open || run.Found != 1 || run.Opened != 1 {
		t.Errorf("%s is %q, want %q; the run is %+v", key, got, open, run)
	}
	entries := func() int {
		return count(t, s, "SELECT count(*) FROM ledger.entry WHERE type = 'detector.run' AND subject_id = $1 AND workflow_id = $2 AND actor_sub = 'alice'", c.name, run.WorkflowID)
	}
	if n := entries(); n != 1 {
		t.Errorf("%d entries of the run", n)
	}
	if again := s.detects(t, c.name); again.Opened != 0 || again.Resolved != 0 || s.seen(t, key) != open {
		t.Errorf("run again: %+v, the incident is %q", again, s.seen(t, key))
	}
	if c.ends == nil {
		return
	}
	c.ends(t, s)
	if run = s.detects(t, c.name); run.Found != 0 || run.Resolved != 1 || !strings.HasPrefix(s.seen(t, key), "resolved ") {
		t.Errorf("after its end %s is %q, the run is %+v", key, s.seen(t, key), run)
	}
}

// reconciles compares a file with one in which the price of a trade differs, or with
// one that is the same.
func (s *stack) reconciles(t *testing.T, differ bool) {
	t.Helper()
	book := tinyHeader + "D-1,2026-06-12,AAPL,100,190.00,Buy,Somebody\n"
	other := strings.Replace(book, "Somebody", "Another", 1)
	if differ {
		other = strings.Replace(other, "190.00", "191.00", 1)
	}
	dir := t.TempDir()
	left, right := filepath.Join(dir, "own.csv"), filepath.Join(dir, "broker.csv")
	keep(t, left, []byte(book))
	keep(t, right, []byte(other))
	cmd := exec.Command(filepath.Join(bin, "finobs"), "recon", "run", "--state", s.Dir, "--profile", "by-trade-id", left, right)
	out, err := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != map[bool]int{true: 3, false: 0}[differ] {
		t.Fatalf("exit code %d, %v\n%s", code, err, out)
	}
}

func breakBegins(t *testing.T, s *stack) string {
	t.Helper()
	s.reconciles(t, true)
	return "break:" + text(t, s, "SELECT break_id::text FROM finobs.trade_break WHERE status = 'open'")
}

func breakEnds(t *testing.T, s *stack) { s.reconciles(t, false) }

// settles loads a trade whose source says how its settlement went.
func (s *stack) settles(t *testing.T, status string) {
	t.Helper()
	body := "trade_id,trade_date,side,symbol,quantity,price,currency,status\nF-1,2026-06-12,buy,MSFT,1500,179.52,USD," + status + "\n"
	r := s.call(t, "alice", "POST", "/transactions?source=custodian", body, "Content-Type", "text/csv")
	if r.Status != http.StatusOK && r.Status != http.StatusAccepted {
		t.Fatalf("answered %d: %s", r.Status, r.Body)
	}
	eventually(t, "the trade is loaded", func() bool {
		return count(t, s, "SELECT count(*) FROM finobs.transaction WHERE source = 'custodian' AND status = $1", status) == 1
	})
}

func settlementFails(t *testing.T, s *stack) string {
	t.Helper()
	s.settles(t, "failed")
	return "settlement:custodian:F-1"
}

func settlementSettles(t *testing.T, s *stack) { s.settles(t, "settled") }

const beat = `{"system":"venue-a","interval_seconds":1}`

func systemFallsSilent(t *testing.T, s *stack) string {
	t.Helper()
	ingestTo(t, s, "heartbeat", beat)
	return "silent:venue-a"
}

func beats(t *testing.T, s *stack) {
	ingestTo(t, s, "heartbeat", strings.Replace(beat, ":1}", ":3600}", 1))
}

func counterpartyRejects(t *testing.T, s *stack) string {
	t.Helper()
	at := time.Date(2026, 3, 4, 14, 0, 0, 0, time.UTC)
	var log strings.Builder
	for i := range 3 {
		log.WriteString(fixMessage("BRK", "US", "j", i+1, at.Add(time.Duration(i)*time.Second), fmt.Sprintf("45=%d", i), "372=D", fmt.Sprintf("379=C%d", i), "380=8", "58=throttled") + "\n")
	}
	ingestFIX(t, s, log.String(), "")
	return "rejects:fix:BRK"
}

func feedStalls(t *testing.T, s *stack) string {
	t.Helper()
	feedFlows(t, s)
	return "feed:dropcopy"
}

// feedFlows has the feed send another log.
func feedFlows(t *testing.T, s *stack) {
	t.Helper()
	n := int(unique.Add(1))
	ingestLog(t, s, "dropcopy", fixMessage(fmt.Sprintf("FLOW%d", n), "US", "0", 1, time.Now())+"\n", "")
}

const lostNotice = "7b1f8a10-0000-4000-8000-00000000000d"

func noticeIsLost(t *testing.T, s *stack) string {
	t.Helper()
	i := s.opens(t, "alice", "low", "")
	err := exec1(s, `INSERT INTO finobs.notification (notification_id, incident_id, occasion, kind, channel, recipients, subject, body, while_pending, status, trace_id, created_at, updated_at)
		VALUES ($1::uuid, $2::bigint, 'lost', 'incident.escalation', 'mail', '[]', 's', 'b', true, 'unknown', '', now() - interval '1 hour', now() - interval '1 hour')`, lostNotice, i.id)
	if err != nil {
		t.Fatal(err)
	}
	return "outcome:notification:" + lostNotice
}

func noticeIsSent(t *testing.T, s *stack) {
	t.Helper()
	if err := exec1(s, "UPDATE finobs.notification SET status = 'sent' WHERE notification_id = $1::uuid", lostNotice); err != nil {
		t.Fatal(err)
	}
}

// A venue's system beats all the time while no data comes from its feed: nobody but
// the schedule looks, and the incident comes and goes by itself.
func staleThoughAlive(t *testing.T, s *stack) {
	feedFlows(t, s)
	s.writeDesk(t, detectorsOf(true))
	s.restartWorker(t, "")
	alive := func(status string) func() bool {
		return func() bool {
			ingestTo(t, s, "heartbeat", `{"system":"venue-b","interval_seconds":5}`)
			return strings.HasPrefix(s.seen(t, "feed:dropcopy"), status+" ")
		}
	}
	eventually(t, "the feed is known to be stale", alive("open"))
	if got := s.seen(t, "feed:dropcopy"); !strings.HasPrefix(got, "open system_outage critical market-data detector:stale_feeds ") {
		t.Errorf("the incident is %q", got)
	}
	if s.detects(t, detect.SilentSystems); s.seen(t, "silent:venue-b") != "none" {
		t.Errorf("its system is said to be silent: %q", s.seen(t, "silent:venue-b"))
	}
	feedFlows(t, s)
	eventually(t, "the feed is known to flow", alive("resolved"))
}
