package store_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"finobs/internal/recon"
	"finobs/internal/store"
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
