package store_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"finobs/internal/recon"
	"finobs/internal/store"
	"finobs/internal/transaction"
	"finobs/profiles"
)

// spool is files in memory, by their digests.
type spool map[string][]byte

func (s spool) add(content []byte) string {
	sum := sha256.Sum256(content)
	name := hex.EncodeToString(sum[:])
	s[name] = content
	return name
}

func (s spool) sources(w *store.Writer) recon.Sources {
	return recon.Sources{
		File: func(name string) (io.ReadCloser, int64, error) {
			return io.NopCloser(bytes.NewReader(s[name])), int64(len(s[name])), nil
		},
		Book: w.ReadBook,
	}
}

func shipped(t testing.TB, name string) *recon.Profile {
	t.Helper()
	c, err := recon.LoadCatalogue(profiles.FS)
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Named(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func profileOf(t testing.TB, text string) *recon.Profile {
	t.Helper()
	p, err := recon.LoadProfile(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// find compares two sides as the activity does, without recording.
func find(t testing.TB, w *store.Writer, p *recon.Profile, files spool, req recon.Request) (*recon.Found, error) {
	t.Helper()
	m, err := w.Recon(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if req.Origin == "" {
		req.Origin = "live"
	}
	return recon.Find(context.Background(), p, &req, m, files.sources(w), func(recon.Progress) {})
}

func omsVersusBroker(t testing.TB, files spool) recon.Request {
	t.Helper()
	read := func(name string) string {
		text, err := os.ReadFile("../../samples/recon/oms_vs_broker/" + name + ".csv")
		if err != nil {
			t.Fatal(err)
		}
		return files.add(text)
	}
	return recon.Request{
		Left: read("internal_trades"), Right: read("broker_trades"), LeftAllocations: read("internal_allocations"), RightAllocations: read("broker_allocations"),
	}
}

// wordsOf are what the authors of the files call the types.
var wordsOf = map[recon.Type]string{
	recon.MissingRight: "MISSING_BROKER_TRADE", recon.MissingLeft: "MISSING_INTERNAL_BOOKING", recon.QuantityBreak: "QUANTITY_MISMATCH",
	recon.PriceBreak: "PRICE_MISMATCH", recon.FeeBreak: "FEE_MISMATCH", recon.SideBreak: "SIDE_MISMATCH", recon.SymbolBreak: "SYMBOL_MISMATCH",
	recon.SettlementDate: "SETTLEMENT_DATE_MISMATCH", recon.AccountBreak: "ALLOCATION_ACCOUNT_MISMATCH",
	recon.DuplicateLeft: "DUPLICATE_INTERNAL_TRADE", recon.DuplicateRight: "DUPLICATE_BROKER_TRADE",
}

func TestExactlyThePlantedBreaksAreFound(t *testing.T) {
	w, _, _ := open(t)
	files := spool{}
	found, err := find(t, w, shipped(t, "oms-vs-broker"), files, omsVersusBroker(t, files))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../samples/recon/oms_vs_broker/expected_breaks.csv")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, r := range rows[1:] {
		want = append(want, r[0]+" "+r[1])
	}
	for _, b := range found.Breaks {
		got = append(got, b.Key+" "+wordsOf[b.Type])
	}
	slices.Sort(want)
	slices.Sort(got)
	if len(want) != 25 || !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	r := found.Report
	if r.Left.Rows != 501 || r.Right.Rows != 501 || r.Matched.Exact != 497 || r.Breaks != 25 {
		t.Errorf("got %+v", r)
	}
}

// The same rules on other people's small files.
func TestTheTinyFilesHaveTheirFourBreaks(t *testing.T) {
	dir := os.Getenv("FINOBS_SAMPLE_DATA")
	if dir == "" {
		t.Skip("the files have no licence; FINOBS_SAMPLE_DATA names the folder that holds recon/tiny")
	}
	w, _, _ := open(t)
	files := spool{}
	read := func(name string) string {
		text, err := os.ReadFile(dir + "/recon/tiny/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return files.add(text)
	}
	found, err := find(t, w, shipped(t, "by-trade-id"), files, recon.Request{Left: read("internal_trades.csv"), Right: read("broker_trades.csv")})
	if err != nil {
		t.Fatal(err)
	}
	if got := named(found.Breaks, false); !slices.Equal(got, []string{"missing_left 1007", "missing_right 1005", "price 1003", "quantity 1006"}) {
		t.Errorf("got %q", got)
	}
}

const duplicatesProfile = `
version: 1
name: duplicates
left: &side
  columns: {trade_id: id, execution_id: exec, symbol: symbol, side: side, quantity: qty, price: px, trade_date: traded}
right: {<<: *side}
match: {keys: [[execution_id]]}
duplicate: {economic: true}
`

// rowsOf writes lines of an execution id, a quantity and a price.
func rowsOf(rows ...string) []byte {
	var b strings.Builder
	b.WriteString("id,exec,qty,px,symbol,side,traded\n")
	for i, r := range rows {
		fmt.Fprintf(&b, "%c%d,%s,AAPL,buy,2026-06-12\n", 'a'+i%26, i, r)
	}
	return []byte(b.String())
}

func TestDuplicatesAreToldFromSuspects(t *testing.T) {
	w, _, _ := open(t)
	p := profileOf(t, duplicatesProfile)
	for name, tc := range map[string]struct {
		left, right []byte
		want        []string
	}{
		"a record sent again":                       {rowsOf("E1,100,20", "E1,100,20"), rowsOf("E1,100,20"), []string{"duplicate_left E1"}},
		"one that says otherwise":                   {rowsOf("E1,7,20", "E1,100,20"), rowsOf("E1,100,20"), []string{"duplicate_left E1"}},
		"on both sides, the best of each matches":   {rowsOf("E1,7,20", "E1,100,20"), rowsOf("E1,100,20", "E1,9,20"), []string{"duplicate_left E1", "duplicate_right E1"}},
		"and differs where none is right":           {rowsOf("E1,7,20", "E1,8,20"), rowsOf("E1,100,20"), []string{"duplicate_left E1", "quantity E1"}},
		"without a counterpart":                     {rowsOf("E1,7,20", "E1,7,20", "E1,7,20"), rowsOf(), []string{"duplicate_left E1", "missing_right E1"}},
		"another key, all else the same: a suspect": {rowsOf("E1,100,20", "E2,100,20"), rowsOf("E1,100,20"), []string{"duplicate_left E2"}},
		"another price: missing":                    {rowsOf("E1,100,20", "E2,100,21"), rowsOf("E1,100,20"), []string{"missing_right E2"}},
		"nothing is there to be booked twice":       {rowsOf("E1,100,20", "E2,100,20"), rowsOf(), []string{"missing_right E1", "missing_right E2"}},
	} {
		files := spool{}
		found, err := find(t, w, p, files, recon.Request{Left: files.add(tc.left), Right: files.add(tc.right)})
		if err != nil {
			t.Fatal(err)
		}
		if got := named(found.Breaks, false); !slices.Equal(got, tc.want) {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
		for _, b := range found.Breaks {
			if b.NeedsReview != (b.Field == "economics") {
				t.Errorf("%s: %+v", name, b)
			}
		}
	}
}

// A file in which every record has one key is a file, too.
func TestOneKeyForAllRecordsTakesNoSquareOfTime(t *testing.T) {
	w, _, _ := open(t)
	p := profileOf(t, duplicatesProfile)
	same := slices.Repeat([]string{"E1,100,20"}, 5000)
	files := spool{}
	began := time.Now()
	found, err := find(t, w, p, files, recon.Request{Left: files.add(rowsOf(same...)), Right: files.add(rowsOf(same...))})
	if err != nil {
		t.Fatal(err)
	}
	if got := named(found.Breaks, false); !slices.Equal(got, []string{"duplicate_left E1", "duplicate_right E1"}) || len(found.Breaks[0].LeftIDs) != recon.MaxIDs {
		t.Errorf("got %q", got)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
}

// A block in which all are alike is left out of likeness, and the report says so.
func TestLikenessIsNotTriedOnTooMany(t *testing.T) {
	w, _, _ := open(t)
	p := profileOf(t, strings.Replace(duplicatesProfile, "keys: [[execution_id]]",
		"keys: [[execution_id]], fuzzy: {agree: [symbol], weights: {price: 1}, minimum: 1}", 1))
	var left, right []string
	for i := range 600 {
		left, right = append(left, fmt.Sprintf("L%d,%d,20", i, i+1)), append(right, fmt.Sprintf("R%d,%d,20", i, i+1))
	}
	files := spool{}
	found, err := find(t, w, p, files, recon.Request{Left: files.add(rowsOf(left...)), Right: files.add(rowsOf(right...))})
	if err != nil || found.Report.Matched.LeftOut != 1200 || found.Report.Matched.Fuzzy != 0 || len(found.Breaks) != 1200 {
		t.Errorf("%+v, %v", found.Report.Matched, err)
	}
}

// A book beside a file is read for the days of the file.
func TestABookBesideAFileIsReadForItsDays(t *testing.T) {
	w, _, _ := open(t)
	loadTrades(t, w, "oms", "live", trade("E1"), trade("E2"), trade("OLD", func(x *transaction.Transaction) { x.TradeDate = x.TradeDate.AddDate(0, 0, -1) }),
		trade("GONE", func(x *transaction.Transaction) { x.Status = transaction.Cancelled }))
	loadTrades(t, w, "demo", "demo", trade("E9"))
	p := profileOf(t, `
version: 1
name: mixed
left: {book: oms}
right: {columns: {trade_id: exec, symbol: symbol, side: side, quantity: qty, price: px, trade_date: traded}}
match: {keys: [[trade_id]]}
`)
	files := spool{}
	req := recon.Request{Right: files.add([]byte("exec,symbol,side,qty,px,traded\nE1,MSFT,buy,1500,179.52,2026-06-12\nE3,MSFT,buy,1,1,2026-06-12\n"))}
	found, err := find(t, w, p, files, req)
	if err != nil {
		t.Fatal(err)
	}
	if got := named(found.Breaks, false); !slices.Equal(got, []string{"missing_left E3", "missing_right E2"}) {
		t.Errorf("got %q", got)
	}
}
