package recon_test

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"

	"finobs/internal/intake"
	"finobs/internal/recon"
)

func TestTheExampleOfTheDocsLoads(t *testing.T) {
	text, err := os.ReadFile("../../docs/reconciliation.md")
	if err != nil {
		t.Fatal(err)
	}
	example := regexp.MustCompile("(?s)<!-- read by internal/recon/docs_test.go -->\n```yaml\n(.*?)```").FindSubmatch(text)
	if example == nil {
		t.Fatal("the docs have no example of a profile")
	}
	p, err := recon.LoadProfile(bytes.NewReader(example[1]))
	if err != nil {
		t.Fatal(err)
	}
	if p.Fuzzy == nil || p.Rules[recon.QuantityBreak].Owner != "Desk" || p.Cutoff == nil || !p.HasAllocations() {
		t.Errorf("got %+v", p)
	}
	file := "Id;Exec Id;Order;Ticker;ISIN;B/S;Qty;Px;Commission;Fees;Tax;Ccy;Traded;Settles;Acct;State\n" +
		"1;E1;O1;brk-b;;SS;-1.500;12.345,00;1;2;0.5;;12/06/2026;16-Jun-2026;PA_MAIN;DONE\n"
	var got intake.Record
	if _, err := intake.ReadRecords(strings.NewReader(file), p.Books[recon.Left].Layout, func(r *intake.Record) error { got = *r; return nil }); err != nil {
		t.Fatal(err)
	}
	for field, want := range map[intake.Field]string{
		intake.Symbol: "BRK.B", intake.TradeSide: "sell_short", intake.Quantity: "1500", intake.Price: "123.45", intake.Currency: "GBP",
		intake.TradeDate: "2026-06-12", intake.SettlementDate: "2026-06-16", intake.Account: "MAIN", intake.Venue: "XLON",
	} {
		if got.Get(field) != want {
			t.Errorf("%s is %q, want %q", field, got.Get(field), want)
		}
	}
}

func TestTheDocsNameEveryTypeAndField(t *testing.T) {
	text, err := os.ReadFile("../../docs/reconciliation.md")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, kind := range recon.Types() {
		names = append(names, string(kind))
	}
	for _, f := range intake.AllFields() {
		names = append(names, f.String())
	}
	for _, name := range names {
		if !bytes.Contains(text, []byte("`"+name+"`")) {
			t.Errorf("docs/reconciliation.md lacks %s", name)
		}
	}
	for kind, rule := range recon.DefaultRules() {
		line := regexp.MustCompile("(?m)^\\| [^\n]*`" + string(kind) + "`[^\n]*$").FindString(string(text))
		if !strings.Contains(line, string(rule.Severity)) || !strings.Contains(line, rule.Owner) {
			t.Errorf("the default of %s is %+v, and not %s", kind, rule, line)
		}
	}
}
