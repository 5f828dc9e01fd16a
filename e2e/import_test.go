package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const failsHeader = "SETTLEMENT DATE|CUSIP|SYMBOL|QUANTITY (FAILS)|DESCRIPTION|PRICE\n"

// failsFile makes a file of securities that fail on days consecutive settlement
// days of the shipped sample, with its trailer. The prefix (at most 4 characters)
// keeps the securities of tests apart.
func failsFile(securities, days int, prefix string) string {
	return failsFileOf(securities, securities, days, prefix)
}

// failsFileOf is such a file in which the first of the securities alone fail in
// numbers that make an incident.
func failsFileOf(failing, securities, days int, prefix string) string {
	dates := []string{"20210104", "20210105", "20210106", "20210107", "20210108", "20210111", "20210112", "20210113", "20210114"}
	var b strings.Builder
	b.WriteString(failsHeader)
	total := 0
	for d := range days {
		for i := range securities {
			quantity := 10_000 + i
			if i >= failing {
				quantity = 1 + i%9_999
			}
			total += quantity
			fmt.Fprintf(&b, "%s|%s|S%d|%d|SECURITY %d|1.25\n", dates[d], cusip(prefix, i), i, quantity, i)
		}
	}
	fmt.Fprintf(&b, "Trailer record count %d\nTrailer total quantity of shares %d\n", days*securities, total)
	return b.String()
}

func cusip(prefix string, i int) string { return fmt.Sprintf("%s%0*d", prefix, 9-len(prefix), i) }

func ingest(t *testing.T, s *stack, role, text, query string) reply {
	t.Helper()
	return s.call(t, "alice", "POST", "/ingest/fails?origin=demo&file_name=test.txt"+query, text, "Content-Type", "application/octet-stream")
}

func TestImportReportsBadLinesAndKeepsTheGood(t *testing.T) {
	good := "20210104|ZZTEST001|ZZ|5|X|1\n"
	text := failsHeader + good + "20210230|ZZTEST001|ZZ|5|X|1\n20210105|ZZTEST001|ZZ|-5|X|1\n" + strings.Replace(good, "0104", "0106", 1)
	strict := ingest(t, world, "analyst", text, "&strict=true")
	if strict.Status != http.StatusUnprocessableEntity || !strings.Contains(strict.str("detail"), "line 3") {
		t.Errorf("strict: answered %d: %s", strict.Status, strict.Body)
	}
	if n := count(t, world, "SELECT count(*) FROM finobs.settlement_fail WHERE cusip = 'ZZTEST001'"); n != 0 {
		t.Errorf("strict: %d rows were kept", n)
	}
	r := want(t, ingest(t, world, "analyst", text, ""), http.StatusOK)
	for _, part := range []string{`"rows":2`, `"bad_lines":2`, `"line":3`, `"line":4`, `"trailer_status":"missing"`, "not a calendar date"} {
		if !strings.Contains(string(r.Body), part) {
			t.Errorf("the report lacks %s: %s", part, r.Body)
		}
	}
	want(t, ingest(t, world, "analyst", text, "&strict=true"), http.StatusConflict)
	if again := want(t, ingest(t, world, "analyst", text, ""), http.StatusOK); again.str("repeated") != "true" {
		t.Errorf("the second import says %s", again.Body)
	}
	if n := count(t, world, "SELECT count(*) FROM finobs.settlement_fail WHERE cusip = 'ZZTEST001'"); n != 2 {
		t.Errorf("%d rows, want the 2 good ones", n)
	}
}

func TestImportRefusesWhatIsNoFailsFile(t *testing.T) {
	for name, text := range map[string]string{"other header": "a,b\n1,2\n", "binary": "\x00\x01"} {
		r := ingest(t, world, "analyst", text, "")
		if r.Status != http.StatusUnprocessableEntity || !strings.Contains(r.str("detail"), "begins with") {
			t.Errorf("%s: answered %d: %s", name, r.Status, r.Body)
		}
	}
	if r := ingest(t, world, "analyst", "", ""); r.Status != http.StatusUnprocessableEntity {
		t.Errorf("empty: answered %d: %s", r.Status, r.Body)
	}
	if r := ingest(t, world, "analyst", "x", "&colour=red"); r.Status != http.StatusUnprocessableEntity {
		t.Errorf("unknown parameter: answered %d: %s", r.Status, r.Body)
	}
}

func TestACorrectionUpdatesTheIncident(t *testing.T) {
	first := want(t, ingest(t, world, "analyst", failsFile(1, 5, "CORR"), ""), http.StatusOK)
	if !strings.Contains(string(first.Body), `"opened":1`) {
		t.Fatalf("no incident was opened: %s", first.Body)
	}
	second := want(t, ingest(t, world, "analyst", failsFile(1, 6, "CORR"), ""), http.StatusOK)
	if !strings.Contains(string(second.Body), `"updated":1`) || !strings.Contains(string(second.Body), `"opened":0`) {
		t.Errorf("the longer run did not update the incident: %s", second.Body)
	}
	if n := count(t, world, "SELECT count(*) FROM finobs.incident WHERE subject_id LIKE 'CORR%' AND version = 2"); n != 1 {
		t.Errorf("%d incidents in version 2, want 1", n)
	}
}

// The size of a real half-month file: 48,215 lines. Each security that fails in
// numbers makes an incident with a life; with FINOBS_SCALE all of them do.
func TestALargeFileImportsInSecondsTwiceWithoutChange(t *testing.T) {
	t.Parallel()
	s := ownStack(t) // so that the lives of its incidents keep no other test waiting
	const securities = 9643
	failing := 400
	if os.Getenv("FINOBS_SCALE") != "" {
		failing = securities
	}
	path := filepath.Join(t.TempDir(), "large.txt")
	if err := os.WriteFile(path, []byte(failsFileOf(failing, securities, 5, "L")), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func() (string, time.Duration) {
		began := time.Now()
		out, err := exec.Command(filepath.Join(bin, "finobs"), "import", "fails", path, "--state", s.Dir, "--origin", "demo").CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out), time.Since(began)
	}
	out, took := run()
	if !strings.Contains(out, "48215 rows read, 0 bad lines, trailer agrees") || !strings.Contains(out, "48215 balances added") {
		t.Errorf("the first import says:\n%.2000s", out)
	}
	peak := peakMemory(t, s.worker.PID())
	t.Logf("48,215 rows and %d incidents in %s; the worker's peak memory is %d MiB", failing, took, peak)
	if n := count(t, s, "SELECT count(*) FROM finobs.incident WHERE source = 'sec_fails'"); n != failing {
		t.Errorf("there are %d incidents, want %d", n, failing)
	}
	if peak > 300 {
		t.Errorf("the worker used %d MiB", peak)
	}
	if took > time.Minute {
		t.Errorf("it took %s", took)
	}
	entries := count(t, s, "SELECT count(*) FROM ledger.entry")
	if out, _ := run(); !strings.Contains(out, "nothing was changed") {
		t.Errorf("the second import says:\n%.2000s", out)
	}
	if n := count(t, s, "SELECT count(*) FROM ledger.entry"); n != entries {
		t.Errorf("the second import wrote %d entries", n-entries)
	}
}

// peakMemory is the largest resident size that a process has had, in MiB; 0 where
// the system does not tell.
func peakMemory(t *testing.T, pid int) (mib int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		var kib int
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			return kib / 1024
		}
	}
	return 0
}
