package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fixMessage writes a FIX message with the fields between header and trailer.
func fixMessage(sender, target, msgType string, seq int, at time.Time, fields ...string) string {
	body := fmt.Sprintf("35=%s|34=%d|49=%s|52=%s|56=%s|", msgType, seq, sender, at.UTC().Format("20060102-15:04:05.000"), target)
	for _, f := range fields {
		body += f + "|"
	}
	body = strings.ReplaceAll(body, "|", "\x01")
	text := fmt.Sprintf("8=FIX.4.4\x019=%d\x01%s", len(body), body)
	sum := 0
	for _, b := range []byte(text) {
		sum += int(b)
	}
	return fmt.Sprintf("%s10=%03d\x01", text, sum%256)
}

// fill is an execution report of a trade.
func fill(sender string, seq int, at time.Time, execID, side, symbol, quantity, price string, more ...string) string {
	return fixMessage(sender, "US", "8", seq, at, append([]string{
		"37=O" + execID, "17=" + execID, "150=F", "39=2", "11=C" + execID, "55=" + symbol, "54=" + side, "38=" + quantity, "32=" + quantity,
		"31=" + price, "14=" + quantity, "151=0", "6=" + price, "60=" + at.UTC().Format("20060102-15:04:05"), "1=ACC1",
	}, more...)...)
}

type fixReport struct {
	Repeated bool
	Report   struct {
		Messages, Trades  int
		BadTrades         int   `json:"bad_trades"`
		EventsAdded       int   `json:"events_added"`
		EventsRepeated    int   `json:"events_repeated"`
		TradesRepeated    int64 `json:"trades_repeated"`
		TradesSuperseded  int64 `json:"trades_superseded"`
		Busted            int64
		IncidentsOpened   int `json:"incidents_opened"`
		IncidentsResolved int `json:"incidents_resolved"`
		Changes           struct{ Added, Corrected, Unchanged int64 }
	}
}

func ingestFIX(t testing.TB, s *stack, log, query string) fixReport {
	t.Helper()
	return ingestLog(t, s, "fix", log, query)
}

// ingestLog sends a FIX log as a source of that kind and waits until it is imported.
func ingestLog(t testing.TB, s *stack, source, log, query string) fixReport {
	t.Helper()
	r := s.call(t, "alice", "POST", "/ingest/"+source+"?origin=demo"+query, log, "Content-Type", "text/plain")
	eventually(t, "the log is imported", func() bool {
		if r.Status == http.StatusAccepted {
			r = s.call(t, "alice", "GET", "/imports/"+r.str("content_sha256")+"?source="+source, "")
		}
		return r.Status != http.StatusAccepted
	})
	want(t, r, http.StatusOK)
	var out fixReport
	if err := json.Unmarshal(r.Body, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func tradeOf(t testing.TB, s *stack, day, execID string) string {
	t.Helper()
	return text(t, s, `SELECT coalesce((SELECT side || ' ' || quantity || ' ' || symbol || ' ' || price || ' ' || currency || ' ' || status || ' v' || version
		FROM finobs.transaction WHERE source = 'fix' AND trade_id = $1), '')`, day+"/"+execID)
}

func TestADropCopyBringsTradesAndEvents(t *testing.T) {
	n := unique.Add(1)
	broker, at := fmt.Sprintf("BRK%d", n), time.Date(2026, 3, 2, 14, 0, 0, 0, time.UTC)
	id := func(i int) string { return fmt.Sprintf("E%d-%d", n, i) }
	log := strings.Join([]string{
		fixMessage(broker, "US", "A", 1, at, "98=0", "108=30"),
		fill(broker, 2, at, id(1), "1", "AAPL", "100", "190.25", "15=USD"),
		fill(broker, 3, at, id(2), "2", "VOD", "1000", "71.5", "15=GBp"),
		fill(broker, 4, at, id(3), "1", "MSFT", "5", "400"), // no currency
		fixMessage(broker, "US", "8", 5, at, "37=O9", "17="+id(9), "150=8", "39=8", "11=C9", "55=AAPL", "54=1", "103=3", "58=too late \x1b[31m"),
		fill(broker, 6, at, id(1), "1", "AAPL", "100", "190.25", "15=USD", "43=Y"),
		fixMessage(broker, "US", "0", 9, at), // 7 and 8 are missing
		fixMessage(broker, "US", "Q", 10, at, "37=O1", "17="+id(1), "127=A", "55=AAPL", "54=1"),
		"2026/03/02 14:05:00 Disconnecting: socket closed",
	}, "\n") + "\n"
	r := ingestFIX(t, world, log, "")
	if r.Report.Messages != 8 || r.Report.BadTrades != 1 || r.Report.Changes.Added != 2 || r.Report.TradesRepeated != 1 {
		t.Errorf("the report is %+v", r)
	}
	// Logon, reject, gap, unknown trade, disconnect.
	if r.Report.EventsAdded != 5 || r.Report.IncidentsOpened != 3 {
		t.Errorf("%d events and %d incidents", r.Report.EventsAdded, r.Report.IncidentsOpened)
	}
	if got := tradeOf(t, world, "2026-03-02", id(1)); got != "buy 100 AAPL 190.25 USD confirmed v1" {
		t.Errorf("the first trade is %q", got)
	}
	if got := tradeOf(t, world, "2026-03-02", id(2)); got != "sell 1000 VOD 0.715 GBP confirmed v1" {
		t.Errorf("the trade in pence is %q", got)
	}
	if again := ingestFIX(t, world, log, ""); !again.Repeated {
		t.Error("the same log was imported twice")
	}
	// The same messages in another file, and the session comes back.
	more := ingestFIX(t, world, log+fixMessage(broker, "US", "A", 11, at.Add(time.Hour), "98=0", "108=30")+"\n", "")
	if more.Report.EventsAdded != 1 || more.Report.EventsRepeated != 5 || more.Report.Changes.Added != 0 || more.Report.IncidentsResolved != 1 {
		t.Errorf("the overlapping log brought %+v", more.Report)
	}
}

func TestCorrectionsAndBustsEndAlikeWhateverComesFirst(t *testing.T) {
	at, day := time.Date(2026, 3, 3, 14, 0, 0, 0, time.UTC), "2026-03-03"
	for _, order := range []string{"fills first", "revisions first"} {
		t.Run(order, func(t *testing.T) {
			n := unique.Add(1)
			broker := fmt.Sprintf("BRK%d", n)
			id := func(i int) string { return fmt.Sprintf("R%d-%d", n, i) }
			fills := fill(broker, 1, at, id(1), "1", "AAPL", "100", "10", "15=USD", "75=20260303") + "\n" +
				fill(broker, 2, at, id(2), "1", "AAPL", "100", "10", "15=USD", "75=20260303") + "\n"
			revise := func(kind, seq, ref int, quantity string) string {
				return strings.ReplaceAll(fixMessage(broker, "US", "8", seq, at.Add(time.Minute), "37=O", fmt.Sprintf("17=X%d-%d", n, ref), "19="+id(ref),
					fmt.Sprintf("150=%c", kind), "39=2", "11=C", "55=AAPL", "54=1", "32="+quantity, "31=10", "14=0", "151=0", "6=10", "15=USD", "75=20260303"), "\n", "")
			}
			revisions := revise('G', 3, 1, "90") + "\n" + revise('H', 4, 2, "100") + "\n"
			files := []string{fills, revisions}
			if order == "revisions first" {
				files = []string{revisions, fills}
			}
			for _, f := range append(files, files...) {
				ingestFIX(t, world, f+fmt.Sprintf("# %d\n", unique.Add(1)), "")
			}
			if got := tradeOf(t, world, day, id(1)); !strings.HasPrefix(got, "buy 90 AAPL 10 USD confirmed") {
				t.Errorf("the corrected trade is %q", got)
			}
			if got := tradeOf(t, world, day, id(2)); !strings.HasPrefix(got, "buy 100 AAPL 10 USD cancelled") {
				t.Errorf("the busted trade is %q", got)
			}
		})
	}
}

func TestABurstOfRejectsIsAnIncident(t *testing.T) {
	n := unique.Add(1)
	broker, at := fmt.Sprintf("BURST%d", n), time.Date(2026, 3, 4, 14, 0, 0, 0, time.UTC)
	reject := func(i int, after time.Duration) string {
		return fixMessage(broker, "US", "j", i+1, at.Add(after), fmt.Sprintf("45=%d", i), "372=D", fmt.Sprintf("379=C%d", i), "380=8", "58=throttled")
	}
	key := "rejects:fix:" + broker
	incidents := func() int {
		want(t, world.call(t, "alice", "POST", "/detectors/reject_bursts/run", ""), http.StatusOK)
		return count(t, world, "SELECT count(*) FROM finobs.incident WHERE dedup_key = $1", key)
	}
	var early, late []string
	for i := range 9 {
		early = append(early, reject(i, time.Duration(i)*time.Second))
	}
	late = append(late, reject(9, 10*time.Second))
	ingestFIX(t, world, strings.Join(late, "\n")+"\n", "") // out of order
	if got := incidents(); got != 0 {
		t.Fatal("one reject is a burst")
	}
	ingestFIX(t, world, strings.Join(early, "\n")+"\n", "")
	if got := incidents(); got != 1 {
		t.Errorf("ten rejects within ten seconds are %d incidents", got)
	}
	if title := text(t, world, "SELECT title FROM finobs.incident WHERE dedup_key = $1", key); !strings.Contains(title, "10 rejects") {
		t.Errorf("the incident says %q", title)
	}
}

func TestWhatIsNoFIXLogIsRefused(t *testing.T) {
	for name, body := range map[string]string{"XML": "<?xml version=\"1.0\"?><a/>", "UTF-16": "\xff\xfe8\x00=\x00F\x00I\x00X\x00", "gzip": "\x1f\x8b\x08\x00abc"} {
		r := world.call(t, "alice", "POST", "/ingest/fix", body, "Content-Type", "text/plain")
		if r.Status != http.StatusUnprocessableEntity || !strings.Contains(r.str("type"), "not-a-fix-log") {
			t.Errorf("%s: answered %d: %s", name, r.Status, r.Body)
		}
	}
	want(t, world.call(t, "alice", "POST", "/ingest/fix?currency=XXA", "8=FIX", "Content-Type", "text/plain"), http.StatusUnprocessableEntity)
}

// TestSampleLogsAreImported runs over the folder of sample logs, when there is one.
func TestSampleLogsAreImported(t *testing.T) {
	dir := os.Getenv("FINOBS_SAMPLE_DATA")
	if dir == "" {
		t.Skip("FINOBS_SAMPLE_DATA names no folder of sample data")
	}
	var logs []string
	for _, pattern := range []string{"fix/*.log", "fix/log4fix/*.log", "fix/session-scripts-fix42/*.def"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		logs = append(logs, found...)
	}
	for _, path := range logs {
		body, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		r := ingestFIX(t, world, string(body), "&currency=USD")
		t.Logf("%s: %+v", filepath.Base(path), r.Report)
	}
}
