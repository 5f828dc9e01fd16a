package activities_test

import (
	"encoding/json"
	"strings"
	"testing"

	"finobs/activities"
	"finobs/internal/intake"
)

const threeTrades = "trade_id,trade_date,side,symbol,quantity,price,currency\n" +
	"A,2026-06-12,buy,MSFT,1,1,USD\nB,2026-06-12,buy,MSFT,1,1,USD\nC,2026-06-12,up,MSFT,1,1,USD\n"

// received spools a file of transactions and signs its import as the API would.
func (d *desk) received(t *testing.T, text string, change func(*intake.File)) activities.ImportInput {
	t.Helper()
	sha, _, err := d.spool.Put(strings.NewReader(text), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	file := intake.File{Kind: intake.KindTransactions, Source: "oms", Format: intake.CSV, ContentSHA256: sha, FileName: "trades.csv", Origin: "live"}
	if change != nil {
		change(&file)
	}
	digest, err := file.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return activities.ImportInput{FirstRun: firstRun, Command: d.command(t, human("alice", "analyst"), digest), File: file}
}

func TestTransactionsAreLoadedOnce(t *testing.T) {
	d := newDesk(t)
	in := d.received(t, threeTrades, nil)
	for range 2 {
		report, err := run[intake.TransactionReport](t, d.transactions.ImportTransactionsFile, in)
		if err != nil || report.Changes != (intake.Changes{Added: 2}) || report.BadLines != 1 {
			t.Fatalf("got %+v, %v", report, err)
		}
	}
	for query, want := range map[string]string{
		"SELECT count(*) || ' ' || max(version) FROM finobs.transaction": "2 1",
		"SELECT count(*) FROM finobs.import":                             "1",
		`SELECT string_agg(convert_from(leaf, 'UTF8')::jsonb #>> '{details,kind}', ' ') FROM ledger.entry WHERE type = 'import.done'`: "transactions",
	} {
		if got := d.count(t, query); got != want {
			t.Errorf("%s gives %s, want %s", query, got, want)
		}
	}
}

func TestARefusedFileLeavesNothing(t *testing.T) {
	d := newDesk(t)
	for want, in := range map[string]activities.ImportInput{
		"file-not-clean":          d.received(t, threeTrades, func(f *intake.File) { f.Strict = true }),
		"not-a-transactions-file": d.received(t, "a,b\n1,2\n", nil),
		"unknown-format":          d.received(t, threeTrades, func(f *intake.File) { f.Format = "xls" }),
		"invalid-import":          d.received(t, threeTrades, func(f *intake.File) { f.Source = "" }),
	} {
		if _, err := run[json.RawMessage](t, d.transactions.ImportTransactionsFile, in); code(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if n := d.count(t, "SELECT (SELECT count(*) FROM finobs.transaction) + (SELECT count(*) FROM finobs.import) + (SELECT count(*) FROM ledger.entry)"); n != "0" {
		t.Errorf("%s rows", n)
	}
}

// What the API signed for one file serves for no other: not another source, kind,
// format or origin.
func TestAnImportIsBoundToItsFile(t *testing.T) {
	d := newDesk(t)
	for name, change := range map[string]func(*intake.File){
		"source": func(f *intake.File) { f.Source = "broker" },
		"format": func(f *intake.File) { f.Format = intake.NDJSON },
		"origin": func(f *intake.File) { f.Origin = "demo" },
		"strict": func(f *intake.File) { f.Strict = true },
	} {
		in := d.received(t, threeTrades, nil)
		change(&in.File)
		if _, err := run[json.RawMessage](t, d.transactions.ImportTransactionsFile, in); code(err) != "start-not-signed" {
			t.Errorf("%s: got %v", name, err)
		}
	}
	in := d.received(t, threeTrades, nil)
	in.File.Kind = intake.KindFails
	if _, err := run[json.RawMessage](t, d.fails.ImportFailsFile, in); code(err) != "start-not-signed" {
		t.Errorf("kind: got %v", err)
	}
	if n := d.count(t, "SELECT count(*) FROM finobs.transaction"); n != "0" {
		t.Errorf("%s rows", n)
	}
}

// Commands for fails files that an earlier build signed are still good: their
// files have no kind.
func TestTheDigestOfAFailsFileIsThatOfEarlierBuilds(t *testing.T) {
	file := intake.File{ContentSHA256: strings.Repeat("0", 64), FileName: "f", Origin: "live"}
	without, err := file.Digest()
	if err != nil {
		t.Fatal(err)
	}
	file.Kind = intake.KindFails
	with, err := file.Digest()
	if err != nil || with != without {
		t.Errorf("got %s and %s, %v", without, with, err)
	}
}
