package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"finobs/internal/recon"
	"finobs/workflows"

	"go.temporal.io/sdk/client"
)

const tinyHeader = "TradeID,Date,Ticker,Quantity,Price,Side,Broker\n"

// tinyFiles are two small files of a test's own, whose breaks are one price, one
// quantity and one trade that each side lacks.
func tinyFiles(t *testing.T) (left, right string) {
	t.Helper()
	tag := fmt.Sprintf("T%d-", unique.Add(1))
	row := func(id, symbol, quantity, price, side string) string {
		return tag + id + ",2026-06-12," + symbol + "," + quantity + "," + price + "," + side + ",Somebody\n"
	}
	same := row("1", "AAPL", "100", "190.00", "Buy") + row("2", "GOOG", "50", "2750", "Sell")
	write := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(tinyHeader+text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	left = write("own.csv", same+row("3", "MSFT", "75", "345.00", "Buy")+row("6", "NVDA", "30", "950", "Buy")+row("5", "AMZN", "60", "33.45", "Sell"))
	right = write("broker.csv", same+row("3", "MSFT", "75", "340.00", "Buy")+row("6", "NVDA", "25", "950", "Buy")+row("7", "META", "80", "370", "Sell"))
	return left, right
}

// reconcile runs finobs recon run and returns its output and exit code.
func reconcile(t *testing.T, args ...string) (string, int) {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, "finobs"), append([]string{"recon", "run", "--state", world.Dir}, args...)...)
	out, _ := cmd.CombinedOutput()
	return string(out), cmd.ProcessState.ExitCode()
}

type reconAnswer struct {
	Run struct {
		ID       string `json:"run_id"`
		Repeated bool
		Report   struct {
			Breaks, Opened, Resolved, Reopened, Unchanged int
			ByType                                        map[string]struct{ Count int } `json:"by_type"`
		}
	}
	Breaks []struct {
		ID                    int64 `json:"break_id"`
		Type, Key, Difference string
		Exposure, Status      string
	}
}

func reconcileJSON(t *testing.T, code int, args ...string) reconAnswer {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, "finobs"), append([]string{"recon", "run", "--state", world.Dir, "--json", "--breaks", "all"}, args...)...)
	text, err := cmd.Output()
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Fatalf("exit code %d, want %d: %s %v", got, code, text, err)
	}
	var a reconAnswer
	if err := json.Unmarshal(text, &a); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return a
}

const samplesOfRecon = "../samples/recon/oms_vs_broker/"

func TestReconciliationFindsThePlantedBreaks(t *testing.T) {
	a := reconcileJSON(t, 3, samplesOfRecon+"internal_trades.csv", samplesOfRecon+"broker_trades.csv", "--profile", "oms-vs-broker", "--origin", "demo",
		"--left-allocations", samplesOfRecon+"internal_allocations.csv", "--right-allocations", samplesOfRecon+"broker_allocations.csv")
	if len(a.Breaks) != 25 || a.Run.Report.Breaks != 25 {
		t.Fatalf("%d breaks listed, %d reported", len(a.Breaks), a.Run.Report.Breaks)
	}
	for kind, n := range map[string]int{
		"missing_left": 3, "missing_right": 3, "quantity": 3, "price": 3, "fee": 3, "side": 2, "symbol": 2, "settlement_date": 2, "account": 2,
		"duplicate_left": 1, "duplicate_right": 1,
	} {
		if got := a.Run.Report.ByType[kind].Count; got != n {
			t.Errorf("%d breaks of type %s, want %d", got, kind, n)
		}
	}
	for query, n := range map[string]int{
		"profile=oms-vs-broker&type=fee&key=EXEC-000060": 1, "run=" + a.Run.ID + "&type=side": 2, "run=" + a.Run.ID + "&status=resolved": 0,
		"run=" + a.Run.ID + "&owner=Settlements": 2,
	} {
		if got := breaks(t, query); len(got) != n {
			t.Errorf("%s: %d breaks, want %d", query, len(got), n)
		}
	}
	countedByAge(t, len(a.Breaks))
	one := breaks(t, "key=EXEC-000020")[0]
	if one["difference"] != "100" || one["exposure"] != "32605" || one["currency"] != "USD" || one["left_value"] != "300" || one["minutes_to_cutoff"] == nil {
		t.Errorf("got %v", one)
	}
	path := fmt.Sprintf("/recon/breaks/%.0f", one["break_id"])
	want(t, world.call(t, "victor", "GET", path, ""), http.StatusOK)
	history := want(t, world.call(t, "victor", "GET", path+"/history", ""), http.StatusOK)
	if !strings.Contains(string(history.Body), `"event":"opened"`) || !strings.Contains(string(history.Body), `"type":"recon.done"`) {
		t.Errorf("got %s", history.Body)
	}
	again := reconcileJSON(t, 3, samplesOfRecon+"internal_trades.csv", samplesOfRecon+"broker_trades.csv", "--profile", "oms-vs-broker", "--origin", "demo",
		"--left-allocations", samplesOfRecon+"internal_allocations.csv", "--right-allocations", samplesOfRecon+"broker_allocations.csv")
	if !again.Run.Repeated || again.Run.ID != a.Run.ID {
		t.Errorf("the same comparison again: %+v", again.Run)
	}
}

// countedByAge checks the figures of open breaks against the database.
func countedByAge(t *testing.T, atLeast int) {
	t.Helper()
	var figures struct {
		Open  int64
		Items []struct {
			Type string
			Open int64
			Ages map[string]int64
		}
	}
	if err := json.Unmarshal(want(t, world.call(t, "victor", "GET", "/recon/breaks/metrics?origin=all", ""), http.StatusOK).Body, &figures); err != nil {
		t.Fatal(err)
	}
	var sum int64
	for _, of := range figures.Items {
		var aged int64
		for _, n := range of.Ages {
			aged += n
		}
		if len(of.Ages) != 4 || aged != of.Open {
			t.Errorf("the ages of breaks of type %s are %v, and %d are open", of.Type, of.Ages, of.Open)
		}
		sum += of.Open
	}
	if open := int64(count(t, world, "SELECT count(*) FROM finobs.trade_break WHERE status = 'open'")); sum != open || sum != figures.Open || sum < int64(atLeast) {
		t.Errorf("%d breaks are open by their types, %d in all, %d in the database", sum, figures.Open, open)
	}
}

func breaks(t *testing.T, query string) []map[string]any {
	t.Helper()
	var page struct{ Items []map[string]any }
	r := want(t, world.call(t, "victor", "GET", "/recon/breaks?"+query, ""), http.StatusOK)
	if err := json.Unmarshal(r.Body, &page); err != nil {
		t.Fatal(err)
	}
	return page.Items
}

func TestBreaksAgeOverRuns(t *testing.T) {
	left, right := tinyFiles(t)
	first := reconcileJSON(t, 3, left, right, "--profile", "by-trade-id")
	var types []string
	for _, b := range first.Breaks {
		types = append(types, b.Type)
	}
	slices.Sort(types)
	if !slices.Equal(types, []string{"missing_left", "missing_right", "price", "quantity"}) {
		t.Fatalf("got %v", types)
	}
	fixed := edited(t, right, ",340.00,", ",345.00,")
	second := reconcileJSON(t, 3, left, fixed, "--profile", "by-trade-id")
	if r := second.Run.Report; r.Breaks != 3 || r.Resolved != 1 || r.Unchanged != 3 || r.Opened != 0 {
		t.Errorf("after the price was mended: %+v", r)
	}
	price := first.Breaks[slices.IndexFunc(first.Breaks, func(b struct {
		ID                    int64 `json:"break_id"`
		Type, Key, Difference string
		Exposure, Status      string
	}) bool {
		return b.Type == "price"
	})]
	path := fmt.Sprintf("/recon/breaks/%d", price.ID)
	if got := world.call(t, "victor", "GET", path, ""); got.str("status") != "resolved" {
		t.Errorf("got %s", got.Body)
	}
	worse := edited(t, right, ",340.00,", ",339.00,")
	third := reconcileJSON(t, 3, left, worse, "--profile", "by-trade-id")
	if r := third.Run.Report; r.Breaks != 4 || r.Reopened != 1 || r.Opened != 0 {
		t.Errorf("after it came back: %+v", r)
	}
	if got := world.call(t, "victor", "GET", path, ""); got.str("status") != "open" || got.str("reopened") != "1" || got.str("difference") != "-6" {
		t.Errorf("got %s", got.Body)
	}
}

func edited(t *testing.T, path, from, to string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), filepath.Base(path))
	if err := os.WriteFile(out, []byte(strings.Replace(string(text), from, to, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestReconCommandSpeaksPlainly(t *testing.T) {
	left, right := tinyFiles(t)
	out, code := reconcile(t, left, right, "--profile", "by-trade-id", "--breaks", "1")
	for _, part := range []string{"breaks: 4 (4 new", "quantity       1", "Broker Operations", "and 3 more"} {
		if !strings.Contains(out, part) {
			t.Errorf("the output lacks %q:\n%s", part, out)
		}
	}
	if code != 3 {
		t.Errorf("exit code %d", code)
	}
	if out, code := reconcile(t, left, edited(t, left, "Somebody", "Another"), "--profile", "by-trade-id"); code != 0 || !strings.Contains(out, "breaks: 0") {
		t.Errorf("no breaks: exit code %d\n%s", code, out)
	}
	for want, args := range map[string][]string{
		"there is no profile":              {left, right, "--profile", "nosuch"},
		"reads the right side from a file": {left, "--profile", "by-trade-id"},
		"one file too many":                {left, "--profile", "dropcopy-vs-broker"},
		`has no column "TradeID"`:          {samplesOfRecon + "broker_trades.csv", right, "--profile", "by-trade-id"},
		"1 of 7 lines are bad":             {edited(t, left, tinyHeader, tinyHeader+"x\n"), right, "--profile", "by-trade-id", "--strict"},
		"knows no allocations":             {left, right, "--profile", "by-trade-id", "--left-allocations", left, "--right-allocations", right},
	} {
		if out, code := reconcile(t, args...); code != 2 || !strings.Contains(out, want) {
			t.Errorf("want %q: exit code %d\n%s", want, code, out)
		}
	}
	if out, code := reconcile(t, edited(t, left, tinyHeader, tinyHeader+"x\n"), right, "--profile", "by-trade-id"); code != 3 || !strings.Contains(out, "error: line 2: the header names 7 columns, the line has 1") {
		t.Errorf("a bad line: exit code %d\n%s", code, out)
	}
	list, err := exec.Command(filepath.Join(bin, "finobs"), "recon", "profiles", "--state", world.Dir).CombinedOutput()
	if err != nil || !strings.Contains(string(list), "drop copy (on record: dropcopy)") {
		t.Errorf("%v\n%s", err, list)
	}
	lint, err := exec.Command(filepath.Join(bin, "finobs"), "recon", "lint", "../profiles/by-trade-id.yaml").CombinedOutput()
	if err != nil || !strings.Contains(string(lint), "ok, profile by-trade-id") {
		t.Errorf("%v\n%s", err, lint)
	}
}

func TestAProfileOfOnesOwn(t *testing.T) {
	left, right := tinyFiles(t)
	profile := edited(t, "../profiles/by-trade-id.yaml", "absolute: 0.0001", "absolute: 5")
	profile2 := edited(t, profile, "name: by-trade-id", "name: generous")
	a := reconcileJSON(t, 3, left, right, "--profile", profile2)
	if a.Run.Report.Breaks != 3 || a.Run.Report.ByType["price"].Count != 0 {
		t.Errorf("got %+v", a.Run.Report)
	}
	bad := edited(t, profile, "compare:", "compere:")
	if out, code := reconcile(t, left, right, "--profile", bad); code != 1 || !strings.Contains(out, "line 3") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

func TestBooksOnRecordAreCompared(t *testing.T) {
	tag := source()
	load := func(source, rows string) {
		header := "trade_id,execution_id,trade_date,settlement_date,side,symbol,quantity,price,currency,account\n"
		want(t, world.call(t, "alice", "POST", "/transactions?source="+source, header+rows, "Content-Type", "text/csv"), http.StatusOK)
	}
	row := func(id, execution, quantity string) string {
		return id + "," + execution + ",2027-03-04,2027-03-08,buy,ZZ" + tag + "," + quantity + ",10,USD,A\n"
	}
	load("dropcopy", row(tag+"-1", tag+"-E1", "100")+row(tag+"-2", tag+"-E2", "200")+row(tag+"-3", tag+"-E3", "300"))
	load("broker", row(tag+"-b1", tag+"-E1", "100")+row(tag+"-b2", tag+"-E2", "250")+row(tag+"-b4", tag+"-X", "299"))
	a := reconcileJSON(t, 3, "--profile", "dropcopy-vs-broker", "--from", "2027-03-04", "--to", "2027-03-04")
	if a.Run.Report.Breaks != 2 || a.Run.Report.ByType["quantity"].Count != 2 { // 300 and 299 are alike
		t.Errorf("got %+v", a)
	}
	found := breaks(t, "run="+a.Run.ID)
	if found[0]["needs_review"] == found[1]["needs_review"] {
		t.Errorf("one of the two is for a person to look at: %v", found)
	}
}

func TestWhoMayReconcile(t *testing.T) {
	for who, status := range map[string]int{"victor": 403, "eve": 403, "tim": 403, "": 401} {
		if r := world.call(t, who, "POST", "/recon/runs", `{"profile":"by-trade-id"}`); r.Status != status {
			t.Errorf("%s: answered %d: %s", who, r.Status, r.Body)
		}
		if r := world.call(t, who, "PUT", "/recon/files", "x", "Content-Type", "text/csv"); r.Status != status {
			t.Errorf("%s: answered %d: %s", who, r.Status, r.Body)
		}
	}
	zero := strings.Repeat("0", 64)
	for body, status := range map[string]int{
		`{"profile":"by-trade-id"}`: 422, `{"profile":"nosuch"}`: 404, `{}`: 422,
		`{"profile":"by-trade-id","left":{"sha256":"` + zero + `"},"right":{"sha256":"` + zero + `"}}`: 404,
		`{"profile":"dropcopy-vs-broker","from":"2026-06-12","to":"2026-06-11"}`:                       422,
		`{"profile_text":"version: 2"}`: 422,
	} {
		if r := world.call(t, "alice", "POST", "/recon/runs", body); r.Status != status {
			t.Errorf("%s: answered %d: %s", body, r.Status, r.Body)
		}
	}
	want(t, world.call(t, "victor", "GET", "/recon/runs/none", ""), http.StatusNotFound)
	want(t, world.call(t, "victor", "GET", "/recon/breaks/999999999", ""), http.StatusNotFound)
	want(t, world.call(t, "victor", "GET", "/recon/runs?limit=1", ""), http.StatusOK)
}

// A run whose worker dies at any place ends as one run with one set of breaks.
func TestARunSurvivesTheWorker(t *testing.T) {
	t.Parallel()
	s := ownStack(t)
	for _, place := range []string{"recon.reading-right", "recon.matching-keys", "recon.comparing", "recon.before-commit", "recon.after-record"} {
		left, right := tinyFiles(t)
		s.restartWorker(t, place)
		dying := s.worker
		done := make(chan reconAnswer)
		go func() {
			cmd := exec.Command(filepath.Join(bin, "finobs"), "recon", "run", "--state", s.Dir, "--json", "--profile", "by-trade-id", left, right)
			text, _ := cmd.Output()
			var a reconAnswer
			if err := json.Unmarshal(text, &a); err != nil {
				t.Errorf("%s: %v: %s", place, err, text)
			}
			done <- a
		}()
		died(t, dying)
		s.restartWorker(t, "")
		a := <-done
		if a.Run.Report.Breaks != 4 || len(a.Breaks) != 4 {
			t.Errorf("%s: got %+v", place, a)
		}
		for query, wanted := range map[string]int{
			"SELECT count(*) FROM finobs.recon_run WHERE run_key = $1":                                                  1,
			"SELECT count(*) FROM finobs.trade_break_event e JOIN finobs.recon_run r USING (run_id) WHERE run_key = $1": 4,
			"SELECT count(*) FROM ledger.entry WHERE type = 'recon.done' AND subject_id = $1":                           1,
		} {
			if got := count(t, s, query, a.Run.ID); got != wanted {
				t.Errorf("%s: %s gives %d, want %d", place, query, got, wanted)
			}
		}
	}
}

// A file in somebody's own form is loaded by a profile, and is then a book to compare.
func TestTradesAreLoadedByAProfile(t *testing.T) {
	left, _ := tinyFiles(t)
	name := source()
	run := func(args ...string) string {
		out, _ := exec.Command(filepath.Join(bin, "finobs"), append([]string{"import"}, append(args, "--state", world.Dir, "--source", name)...)...).CombinedOutput()
		return string(out)
	}
	if out := run("trades", left, "--profile", "by-trade-id", "--side", "left"); !strings.Contains(out, "    6     5    0      5") {
		t.Errorf("got\n%s", out)
	}
	if list := trades(t, "source="+name); len(list) != 5 || list[0]["currency"] != "USD" || list[0]["status"] != "new" {
		t.Errorf("got %v", list)
	}
	worse := edited(t, left, ",345.00,", ",,")
	if out := run("confirmations", worse, "--profile", "by-trade-id", "--side", "right"); !strings.Contains(out, "error: line 4 price: it is empty") || !strings.Contains(out, "    6     4    1      0          4") {
		t.Errorf("got\n%s", out)
	}
	if list := trades(t, "source="+name+"&status=confirmed"); len(list) != 4 {
		t.Errorf("%d are confirmed", len(list))
	}
	for want, args := range map[string][]string{
		"there is no profile":         {"trades", left, "--profile", "nosuch", "--side", "left"},
		"must be left or right":       {"trades", left, "--profile", "by-trade-id", "--side", "up"},
		"from the record":             {"trades", left, "--profile", "dropcopy-vs-broker", "--side", "left"},
		`has no column "TradeID"`:     {"trades", samplesOfRecon + "broker_trades.csv", "--profile", "by-trade-id", "--side", "left"},
		"no line of the file is good": {"trades", edited(t, left, "345.00", "x"), "--profile", "oms-vs-broker", "--side", "left"},
	} {
		if want == "no line of the file is good" {
			path := filepath.Join(t.TempDir(), "bad.csv")
			if err := os.WriteFile(path, []byte(tinyHeader+"1,x,x,x,x,x,x\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			args = []string{"trades", path, "--profile", "by-trade-id", "--side", "left"}
		}
		if out := run(args...); !strings.Contains(out, want) {
			t.Errorf("want %q:\n%s", want, out)
		}
	}
}

// Profiles with a schedule are in Temporal, and what fires them needs no signature.
func TestProfilesRunByThemselves(t *testing.T) {
	handle := world.temporal.ScheduleClient().GetHandle(t.Context(), "recon-dropcopy-vs-broker")
	eventually(t, "Temporal has the schedule of the profile", func() bool {
		_, err := handle.Describe(t.Context())
		return err == nil
	})
	if err := handle.Trigger(t.Context(), client.ScheduleTriggerOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the run is on record", func() bool {
		return count(t, world, "SELECT count(*) FROM finobs.recon_run WHERE profile = 'dropcopy-vs-broker' AND requested_sub = 'worker' AND state = 'done'") > 0
	})
}

// Nobody gets a comparison of another profile, or another file, by starting the
// workflow himself.
func TestAReconciliationThatNothingVouchesForIsRefused(t *testing.T) {
	id := fmt.Sprintf("recon-forged-%d", unique.Add(1))
	run, err := world.temporal.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: workflows.TaskQueue}, workflows.Reconcile,
		workflows.ReconInput{Command: "x", Request: recon.Request{Profile: "by-trade-id", Origin: "live"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Get(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "not signed") {
		t.Errorf("got %v", err)
	}
	if n := count(t, world, "SELECT count(*) FROM ledger.entry WHERE type = 'workflow.refused' AND subject_id = $1", id); n != 1 {
		t.Errorf("%d refusals are on record", n)
	}
}
