package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"finobs/internal/approval"
	"finobs/internal/identity"
)

const tradesHeader = "trade_id,trade_date,side,symbol,quantity,price,currency\n"

func trade(id string) string { return id + ",2026-06-12,buy,MSFT,1500,179.52,USD\n" }

// load sends a file of transactions as alice.
func load(t *testing.T, contentType, text, query string) reply {
	t.Helper()
	return world.call(t, "alice", "POST", "/transactions?origin=demo&file_name=test"+query, text, "Content-Type", contentType)
}

// source is a source of a test's own.
func source() string { return fmt.Sprintf("source-%d", unique.Add(1)) }

type importReport struct {
	Kind, Source string
	Repeated     bool
	Report       struct {
		Lines, Rows int
		BadLines    int `json:"bad_lines"`
		Errors      []struct {
			Line                                   int
			Column, Problem, Value, Expected, Text string
		}
		Changes struct{ Added, Corrected, Unchanged, Repeated int }
	}
}

func reportOf(t *testing.T, r reply) importReport {
	t.Helper()
	var v importReport
	if err := json.Unmarshal(r.Body, &v); err != nil {
		t.Fatalf("%v: %s", err, r.Body)
	}
	return v
}

func trades(t *testing.T, query string) []map[string]any {
	t.Helper()
	var page struct{ Items []map[string]any }
	r := want(t, world.call(t, "victor", "GET", "/transactions?"+query, ""), http.StatusOK)
	if err := json.Unmarshal(r.Body, &page); err != nil {
		t.Fatal(err)
	}
	return page.Items
}

func TestTransactionsAreLoadedCorrectedAndRemembered(t *testing.T) {
	name := source()
	first := reportOf(t, want(t, load(t, "text/csv; charset=utf-8", tradesHeader+trade("A")+trade("B")+"nonsense\n"+trade("A"), "&source="+name), http.StatusOK))
	r := first.Report
	if first.Kind != "transactions" || first.Source != name || r.Rows != 2 || r.BadLines != 2 || r.Changes.Added != 2 || r.Changes.Repeated != 1 {
		t.Fatalf("got %+v", first)
	}
	if e := r.Errors[1]; e.Line != 5 || e.Column != "trade_id" || e.Value != "A" || !strings.Contains(e.Problem, "line 2 already") {
		t.Errorf("got %+v", e)
	}
	object := `{"trade_id":"B","trade_date":"2026-06-12","side":"buy","symbol":"MSFT","quantity":"1500.00","price":"180.10","currency":"USD","fees":-1.5}`
	second := reportOf(t, want(t, load(t, "application/x-ndjson", object+"\n", "&source="+name), http.StatusOK))
	if second.Report.Changes.Corrected != 1 {
		t.Fatalf("got %+v", second)
	}
	list := trades(t, "source="+name+"&limit=1")
	if len(list) != 1 || list[0]["trade_id"] != "B" || list[0]["price"] != "180.1" || list[0]["fees"] != "-1.5" || list[0]["version"] != 2.0 || list[0]["settlement_date"] != nil {
		t.Fatalf("got %v", list)
	}
	rest := trades(t, fmt.Sprintf("source=%s&limit=1&before=%.0f", name, list[0]["transaction_id"]))
	if len(rest) != 1 || rest[0]["trade_id"] != "A" || rest[0]["origin"] != "demo" {
		t.Errorf("the next page is %v", rest)
	}
	path := fmt.Sprintf("/transactions/%.0f", list[0]["transaction_id"])
	if one := want(t, world.call(t, "victor", "GET", path, ""), http.StatusOK); one.str("trade_id") != "B" {
		t.Errorf("got %s", one.Body)
	}
	var history struct {
		Entries  []struct{ Type string }
		Versions []struct{ Price string }
	}
	if err := json.Unmarshal(want(t, world.call(t, "eve", "GET", path+"/history", ""), http.StatusOK).Body, &history); err != nil {
		t.Fatal(err)
	}
	if len(history.Versions) != 2 || history.Versions[0].Price != "179.52" || history.Versions[1].Price != "180.1" ||
		len(history.Entries) != 2 || history.Entries[0].Type != "import.done" {
		t.Errorf("got %+v", history)
	}
}

func TestASingleTransactionIsStrict(t *testing.T) {
	name := source()
	const good = `{"trade_id":"S","trade_date":"2026-06-12","side":"sell","symbol":"MSFT","quantity":1,"price":1,"currency":"USD"}`
	if r := reportOf(t, want(t, load(t, "application/json", good, "&source="+name), http.StatusOK)); r.Report.Changes.Added != 1 {
		t.Errorf("got %+v", r)
	}
	for problem, body := range map[string]string{
		"no exponent": strings.Replace(good, `"price":1`, `"price":1e5`, 1), "no such column": strings.Replace(good, `"price"`, `"Price"`, 1),
		"duplicate": strings.Replace(good, `{`, `{"side":"buy",`, 1), "is missing": `{}`, "not a JSON object": `[]`,
	} {
		r := load(t, "application/json", body, "&source="+name)
		if r.Status != http.StatusUnprocessableEntity || !strings.Contains(r.str("detail"), problem) {
			t.Errorf("%s: answered %d: %s", body, r.Status, r.Body)
		}
	}
}

func TestBadFilesOfTransactionsChangeNothing(t *testing.T) {
	name := source()
	internal := "internal_trade_id,order_id,execution_id,trade_date,settle_date,symbol,side,quantity,price,gross_amount,commission,fees,currency\n"
	for _, tc := range []struct{ contentType, text, query, detail string }{
		{"text/csv", "", "", "the body is empty"},
		{"text/csv", "\n", "", "there are no columns"},
		{"text/csv", internal + "INT-1,ORD-1,E-1,2026-06-12,2026-06-16,MSFT,BUY,1,1,1,1,1,USD\n", "", `there are no columns "internal_trade_id", "order_id", "settle_date", "commission"`},
		{"text/csv", "\x00\x01", "", "control character"},
		{"text/csv", tradesHeader + trade("A") + trade("A"), "&strict=true", "line 3: trade_id"},
		{"text/csv", tradesHeader + trade("A") + `"B`, "&strict=true", "line 3: a quoted field is not closed"},
		{"text/csv; charset=iso-8859-1", tradesHeader + trade("A"), "", "must be utf-8"},
		{"application/xml", tradesHeader + trade("A"), "", "Content-Type must be text/csv"},
		{"text/csv", tradesHeader + trade("A"), "&colour=red", "no query parameter"},
		{"text/csv", tradesHeader + trade("A"), "&source=%20x", "spaces around"},
		{"text/csv", tradesHeader + trade("A"), "&source=" + strings.Repeat("x", 129), "128 bytes"},
	} {
		query := tc.query
		if !strings.Contains(query, "source=") {
			query += "&source=" + name
		}
		r := load(t, tc.contentType, tc.text, query)
		if r.Status != http.StatusUnprocessableEntity || !strings.Contains(r.str("detail"), tc.detail) {
			t.Errorf("%.60q %s: answered %d: %s", tc.text, tc.query, r.Status, r.Body)
		}
	}
	if list := trades(t, "source="+name); len(list) != 0 {
		t.Errorf("%d transactions were kept", len(list))
	}
	if n := count(t, world, "SELECT count(*) FROM finobs.import WHERE source = $1", name); n != 0 {
		t.Errorf("%d imports are on record", n)
	}
}

func TestImportsOfEitherKindAreFound(t *testing.T) {
	text := tradesHeader + trade(source())
	one, other := source(), source()
	sha := want(t, load(t, "text/csv", text, "&source="+one), http.StatusOK).str("content_sha256")
	if again := reportOf(t, want(t, load(t, "text/csv", text, "&source="+one), http.StatusOK)); !again.Repeated {
		t.Errorf("the second import says %+v", again)
	}
	want(t, load(t, "text/csv", text, "&source="+other), http.StatusOK)
	for query, wanted := range map[string]string{"": other, "?source=" + one: one, "?source=" + other: other} {
		if got := want(t, world.call(t, "victor", "GET", "/imports/"+sha+query, ""), http.StatusOK); got.str("source") != wanted || got.str("kind") != "transactions" {
			t.Errorf("%q: got %s", query, got.Body)
		}
	}
	want(t, world.call(t, "victor", "GET", "/imports/"+sha+"?source=nobody", ""), http.StatusNotFound)
	fails := ingest(t, world, "analyst", failsFile(1, 2, "KIND"), "").str("content_sha256")
	var got reply
	eventually(t, "the fails file is imported", func() bool { // the detection may outlast the answer
		got = world.call(t, "victor", "GET", "/imports/"+fails, "")
		return got.Status == http.StatusOK
	})
	if got.str("kind") != "sec_fails" || got.str("detected") == "" {
		t.Errorf("got %s", got.Body)
	}
	// What was refused is told by its workflow, to who sent it.
	refused := world.call(t, "alice", "POST", "/transactions?strict=true", tradesHeader+trade(source())+"bad\n", "Content-Type", "text/csv")
	if refused.Status != http.StatusUnprocessableEntity {
		t.Errorf("answered %d: %s", refused.Status, refused.Body)
	}
	machine := approval.Principal{Person: approval.Person{Issuer: identity.DevIssuer, Subject: "feed"}, Kind: approval.System, Roles: []string{"service"}}
	r, err := send(t, world.tokenOf(t, machine), "POST", "http://"+world.APIAddress+"/transactions", text, "Content-Type", "text/csv")
	if err != nil || reportOf(t, want(t, r, http.StatusOK)).Source != "feed" {
		t.Errorf("a service: %s, %v", r.Body, err)
	}
}

func TestFiltersOfTransactionsAreChecked(t *testing.T) {
	for query, status := range map[string]int{
		"from=2026-06-12&to=2026-06-13": 200, "from=2026-02-30": 422, "side=up": 422, "status=open": 422, "currency=USDX": 422, "colour=red": 422, "limit=501": 422,
	} {
		if r := world.call(t, "victor", "GET", "/transactions?"+query, ""); r.Status != status {
			t.Errorf("%s: answered %d: %s", query, r.Status, r.Body)
		}
	}
	want(t, world.call(t, "victor", "GET", "/transactions/999999999", ""), http.StatusNotFound)
	want(t, world.call(t, "victor", "GET", "/transactions/999999999/history", ""), http.StatusNotFound)
	want(t, world.call(t, "victor", "POST", "/transactions", tradesHeader, "Content-Type", "text/csv"), http.StatusForbidden)
}

func TestImportTransactionsCommand(t *testing.T) {
	name := source()
	run := func(stdin string, args ...string) string {
		t.Helper()
		cmd := exec.Command(filepath.Join(bin, "finobs"), append([]string{"import", "transactions", "--state", world.Dir, "--source", name}, args...)...)
		cmd.Stdin = strings.NewReader(stdin)
		out, _ := cmd.CombinedOutput()
		return string(out)
	}
	path := filepath.Join(t.TempDir(), "trades.csv")
	if err := os.WriteFile(path, []byte(tradesHeader+trade("A")+trade("B")+"x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := run("", path)
	for _, wanted := range []string{"source " + name, "lines  good  bad  added", "    4     2    1      2", "error: line 4: the header names 7 columns, the line has 1"} {
		if !strings.Contains(out, wanted) {
			t.Errorf("the output lacks %q:\n%s", wanted, out)
		}
	}
	if out := run("", path); !strings.Contains(out, "nothing was changed") {
		t.Errorf("the second time:\n%s", out)
	}
	if out := run(tradesHeader+trade("C"), "-"); !strings.Contains(out, "    2     1    0      1") {
		t.Errorf("the standard input:\n%s", out)
	}
	if out := run(tradesHeader+trade("D")+"x\n", "-", "--strict"); !strings.Contains(out, "answered 422") || !strings.Contains(out, "the first is line 3") {
		t.Errorf("strict:\n%s", out)
	}
	if out := run(`{}`, "-", "--format", "ndjson"); !strings.Contains(out, "error: line 1 trade_id: it is missing") {
		t.Errorf("NDJSON:\n%s", out)
	}
}

// manyTrades is a file of n trades of various securities and accounts.
func manyTrades(n int) []byte {
	var b bytes.Buffer
	b.WriteString("trade_id,execution_id,trade_date,settlement_date,side,symbol,quantity,price,currency,gross_amount,fees,account,counterparty,venue,status,desk\n")
	for i := range n {
		fmt.Fprintf(&b, "INT-%08d,EXEC-%08d,2026-%02d-%02d,2026-12-31,%s,SYM%d,%d,%d.%02d,USD,%d.5,%d.3856,PA_%d,BRKR_%d,XNAS,settled,EQ%d\n",
			i, i, i%12+1, i%28+1, []string{"buy", "sell", "sell_short"}[i%3], i%3000, i%5000+1, i%700+1, i%100, i, i%9, i%50, i%20, i%5)
	}
	return b.Bytes()
}

func TestALoadOfTransactionsSurvivesTheWorker(t *testing.T) {
	t.Parallel()
	s := ownStack(t)
	for _, place := range []string{"transactions.after-stage", "transactions.after-merge", "import.after-load", ""} {
		s.restartWorker(t, place)
		dying, name, n := s.worker, source(), 20_000
		if place == "" {
			n = 200_000 // time enough to be killed from outside
		}
		began := make(chan reply)
		go func() {
			r, err := s.try(t, "alice", "POST", "/transactions?source="+name, string(manyTrades(n)), "Content-Type", "text/csv")
			if err != nil {
				t.Error(err)
			}
			began <- r
		}()
		if place == "" {
			eventually(t, "the file is being copied", func() bool {
				return count(t, s, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'finobs_worker' AND query LIKE 'COPY%transaction_line%' AND state = 'active'") > 0
			})
			if err := dying.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		died(t, dying)
		if n := count(t, s, "SELECT count(*) FROM finobs.transaction WHERE source = $1", name); n != 0 && place != "import.after-load" {
			t.Errorf("%s: %d rows of half a load", place, n)
		}
		s.restartWorker(t, "")
		sha := (<-began).str("content_sha256")
		eventually(t, "the load is done", func() bool {
			return s.call(t, "alice", "GET", "/imports/"+sha+"?source="+name, "").Status == http.StatusOK
		})
		for query, wanted := range map[string]int{
			"SELECT count(*) FROM finobs.transaction WHERE source = $1 AND version = 1":                                                      n,
			"SELECT count(*) FROM finobs.import WHERE source = $1":                                                                           1,
			"SELECT count(*) FROM ledger.entry WHERE type = 'import.done' AND convert_from(leaf, 'UTF8')::jsonb #>> '{details,source}' = $1": 1,
		} {
			if got := count(t, s, query, name); got != wanted {
				t.Errorf("%q: %s gives %d, want %d", place, query, got, wanted)
			}
		}
	}
}
