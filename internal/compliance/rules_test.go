package compliance_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"finobs/internal/compliance"
	"finobs/internal/fault"
	"finobs/internal/sanctions"
	"finobs/internal/transaction"

	"github.com/shopspring/decimal"
)

func each(list []compliance.Record) iter.Seq2[compliance.Record, error] {
	return func(yield func(compliance.Record, error) bool) {
		for _, r := range list {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func find(t testing.TB, rules *compliance.Rules, o compliance.Options, list ...compliance.Record) []compliance.Finding {
	t.Helper()
	compliance.Sort(list)
	found, _, err := rules.Run(context.Background(), each(list), o)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// only are the findings of one rule, each with its records.
func only(found []compliance.Finding, rule string) []string {
	var out []string
	for _, f := range found {
		if f.Rule == rule {
			out = append(out, f.Party+": "+strings.Join(f.Records, " "))
		}
	}
	return out
}

var day = time.Date(2026, 3, 2, 15, 0, 0, 0, time.UTC) // a Monday, morning in New York

func d(text string) decimal.Decimal { return decimal.RequireFromString(text) }

func move(id string, kind compliance.Kind, after time.Duration, from, to, amount string) compliance.Record {
	r := compliance.Record{ID: id, Kind: kind, Time: day.Add(after), Amount: d(amount), Currency: "USD", From: from, To: to, Method: compliance.Wire}
	if kind == compliance.CashIn || kind == compliance.CashOut {
		r.Method = compliance.Cash
	}
	return r
}

func trade(id string, date time.Time, account string, side transaction.Side, quantity, price string) compliance.Record {
	return compliance.FromTransaction(transaction.Transaction{
		Source: "oms", TradeID: id, TradeDate: date, SettlementDate: date.AddDate(0, 0, 1), Side: side, Symbol: "ABC",
		Quantity: d(quantity), Price: d(price), Currency: "USD", Account: account, Counterparty: "BROKER", Status: transaction.Settled,
	})
}

const (
	in, out, pay = compliance.CashIn, compliance.CashOut, compliance.Transfer
	h            = time.Hour
)

func TestMoney(t *testing.T) {
	for _, step := range []struct {
		name, rule string
		records    []compliance.Record
		want       []string
	}{
		{"the threshold itself is not over it", "large-cash", []compliance.Record{move("1", in, 0, "", "A", "10000")}, nil},
		{"a cent over", "large-cash", []compliance.Record{move("1", out, 0, "A", "", "10000.01")}, []string{"A: 1"}},
		{"a wire is no cash", "large-cash", []compliance.Record{move("1", pay, 0, "A", "B", "20000")}, nil},
		{"a day's sum", "aggregated-cash-in", []compliance.Record{move("1", in, 0, "", "A", "5000"), move("2", in, h, "", "A", "5000.01")}, []string{"A: 1 2"}},
		{"a day's sum at the threshold", "aggregated-cash-in", []compliance.Record{move("1", in, 0, "", "A", "5000"), move("2", in, h, "", "A", "5000")}, nil},
		{"a day ends at midnight in New York", "aggregated-cash-in",
			[]compliance.Record{move("1", in, 0, "", "A", "6000"), move("2", in, 14*h-1, "", "A", "6000"), move("3", in, 14*h, "", "A", "6000")}, []string{"A: 1 2"}},
		{"Saturday counts with Monday", "aggregated-cash-in", []compliance.Record{move("1", in, -48*h, "", "A", "6000"), move("2", in, 0, "", "A", "6000")}, []string{"A: 1 2"}},
		{"in and out are not added", "aggregated-cash-out", []compliance.Record{move("1", in, 0, "", "A", "6000"), move("2", out, h, "A", "", "6000")}, nil},
		{"three within five days", "structured-cash-in",
			[]compliance.Record{move("1", in, 0, "", "A", "9000"), move("2", in, 24*h, "", "A", "8000"), move("3", in, 120*h-1, "", "A", "10000")}, []string{"A: 1 2 3"}},
		{"the third at five days", "structured-cash-in",
			[]compliance.Record{move("1", in, 0, "", "A", "9000"), move("2", in, 24*h, "", "A", "8000"), move("3", in, 120*h, "", "A", "10000")}, nil},
		{"one too small", "structured-cash-in",
			[]compliance.Record{move("1", in, 0, "", "A", "9000"), move("2", in, 24*h, "", "A", "7999.99"), move("3", in, 48*h, "", "A", "10000")}, nil},
		{"what goes on is one finding", "structured-cash-in",
			[]compliance.Record{move("1", in, 0, "", "A", "9000"), move("2", in, 24*h, "", "A", "9000"), move("3", in, 48*h, "", "A", "9000"), move("4", in, 96*h, "", "A", "9000"),
				move("5", in, 144*h, "", "A", "9000")}, []string{"A: 1 2 3 4 5"}},
		{"passed on", "pass-through", []compliance.Record{move("1", pay, 0, "A", "B", "10000"), move("2", pay, 47*h, "B", "C", "9000")}, []string{"B: 1 2"}},
		{"passed on too late", "pass-through", []compliance.Record{move("1", pay, 0, "A", "B", "10000"), move("2", pay, 48*h, "B", "C", "9500")}, nil},
		{"paid out before", "pass-through", []compliance.Record{move("1", pay, 0, "B", "C", "10000"), move("2", pay, h, "A", "B", "10000")}, nil},
		{"paid back", "pass-through", []compliance.Record{move("1", pay, 0, "A", "B", "10000"), move("2", pay, h, "B", "A", "10000")}, nil},
		{"less than the limit", "pass-through", []compliance.Record{move("1", pay, 0, "A", "B", "9999.99"), move("2", pay, h, "B", "C", "9500")}, nil},
		{"a round", "round-trip", []compliance.Record{move("1", pay, 0, "B", "C", "100"), move("2", pay, h, "C", "A", "90"), move("3", pay, 719*h, "A", "B", "70")}, []string{"A: 1 2 3"}},
		{"a round against time", "round-trip", []compliance.Record{move("1", pay, 0, "C", "A", "100"), move("2", pay, h, "B", "C", "90"), move("3", pay, 2*h, "A", "B", "80")}, nil},
		{"a round too long", "round-trip", []compliance.Record{move("1", pay, 0, "B", "C", "100"), move("2", pay, h, "C", "A", "90"), move("3", pay, 720*h, "A", "B", "80")}, nil},
		{"a round that shrinks", "round-trip", []compliance.Record{move("1", pay, 0, "B", "C", "100"), move("2", pay, h, "C", "A", "90"), move("3", pay, 2*h, "A", "B", "69.99")}, nil},
		{"there and back", "round-trip", []compliance.Record{move("1", pay, 0, "A", "B", "100"), move("2", pay, h, "B", "A", "100")}, nil},
	} {
		t.Run(step.name, func(t *testing.T) {
			found := find(t, shipped(t), compliance.Options{}, step.records...)
			if got := only(found, step.rule); !slices.Equal(got, step.want) {
				t.Errorf("%s finds %q, want %q", step.rule, got, step.want)
			}
		})
	}
}

func TestManyParties(t *testing.T) {
	var list []compliance.Record
	for i := range 5 {
		list = append(list, move(fmt.Sprint(i), pay, time.Duration(i)*24*h, fmt.Sprint("P", i), "HUB", "10"))
	}
	if got := only(find(t, shipped(t), compliance.Options{}, list...), "fan-in"); !slices.Equal(got, []string{"HUB: 0 1 2 3 4"}) {
		t.Errorf("fan-in %q", got)
	}
	list[4].From = "P3"
	if got := only(find(t, shipped(t), compliance.Options{}, list...), "fan-in"); len(got) != 0 {
		t.Errorf("four parties: %q", got)
	}
	for i := range list {
		list[i].From, list[i].To = "HUB", fmt.Sprint("P", i)
	}
	found := find(t, shipped(t), compliance.Options{}, list...)
	if got := only(found, "fan-out"); !slices.Equal(got, []string{"HUB: 0 1 2 3 4"}) {
		t.Errorf("fan-out %q", got)
	}
	f := found[0]
	if f.Facts["others"] != "5" || f.Facts["sum"] != "50" || !strings.Contains(f.Why, "at least 5 different other parties") || !strings.Contains(f.Why, "FFIEC") {
		t.Errorf("%+v", f)
	}
}

func TestEmptiedAccount(t *testing.T) {
	r := move("1", pay, 0, "A", "B", "120.50")
	r.FromBefore = decimal.NewNullDecimal(d("120.5"))
	if got := only(find(t, shipped(t), compliance.Options{}, r), "account-emptied"); !slices.Equal(got, []string{"A: 1"}) {
		t.Errorf("emptied: %q", got)
	}
	for name, before := range map[string]decimal.NullDecimal{"not known": {}, "nothing": decimal.NewNullDecimal(decimal.Zero), "a cent left": decimal.NewNullDecimal(d("120.51"))} {
		r.FromBefore = before
		if got := only(find(t, shipped(t), compliance.Options{}, r), "account-emptied"); len(got) != 0 {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestTrades(t *testing.T) {
	monday := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	for _, step := range []struct {
		name, rule string
		records    []compliance.Record
		want       []string
	}{
		{"bought and sold", "wash-trade", []compliance.Record{trade("1", monday, "A", transaction.Buy, "1000", "10"), trade("2", monday, "A", transaction.Sell, "990", "10.05")}, []string{"FUND: oms:1 oms:2"}},
		{"by a linked account", "wash-trade", []compliance.Record{trade("1", monday, "A", transaction.Buy, "1000", "10"), trade("2", monday, "B", transaction.SellShort, "1000", "10")}, []string{"FUND: oms:1 oms:2"}},
		{"by another", "wash-trade", []compliance.Record{trade("1", monday, "A", transaction.Buy, "1000", "10"), trade("2", monday, "C", transaction.Sell, "1000", "10")}, nil},
		{"the next day", "wash-trade", []compliance.Record{trade("1", monday, "A", transaction.Buy, "1000", "10"), trade("2", monday.AddDate(0, 0, 1), "A", transaction.Sell, "1000", "10")}, nil},
		{"another price", "wash-trade", []compliance.Record{trade("1", monday, "A", transaction.Buy, "1000", "10"), trade("2", monday, "A", transaction.Sell, "1000", "10.06")}, nil},
		{"another quantity", "wash-trade", []compliance.Record{trade("1", monday, "A", transaction.Buy, "1000", "10"), trade("2", monday, "A", transaction.Sell, "989.99", "10")}, nil},
		{"one sell for two buys", "wash-trade", []compliance.Record{trade("1", monday, "A", transaction.Buy, "1000", "10"), trade("2", monday, "A", transaction.Buy, "1000", "10"), trade("3", monday, "A", transaction.Sell, "1000", "10")},
			[]string{"FUND: oms:1 oms:3"}},
		{"over one order's limit", "order-notional", []compliance.Record{trade("1", monday, "A", transaction.Buy, "5000001", "10")}, []string{"A: oms:1"}},
		{"at one order's limit", "order-notional", []compliance.Record{trade("1", monday, "A", transaction.Buy, "5000000", "10")}, nil},
		{"a position short", "position-limit", []compliance.Record{trade("1", monday, "A", transaction.Sell, "600000", "1"), trade("2", monday.AddDate(0, 0, 1), "A", transaction.SellShort, "400001", "1"), trade("3", monday.AddDate(0, 0, 2), "A", transaction.Sell, "1", "1")},
			[]string{"A: oms:2"}},
		{"a position within a day", "position-limit", []compliance.Record{trade("1", monday, "A", transaction.Buy, "1000001", "1"), trade("2", monday, "A", transaction.Sell, "1", "1")}, nil},
	} {
		t.Run(step.name, func(t *testing.T) {
			found := find(t, shipped(t), compliance.Options{Owners: map[string]string{"A": "FUND", "B": "FUND"}}, step.records...)
			if got := only(found, step.rule); !slices.Equal(got, step.want) {
				t.Errorf("%s finds %q, want %q", step.rule, got, step.want)
			}
		})
	}
	self := trade("1", monday, "A", transaction.Buy, "1", "1")
	self.To = "A"
	if got := only(find(t, shipped(t), compliance.Options{}, self), "self-trade"); len(got) != 1 {
		t.Errorf("a trade with itself: %q", got)
	}
}

func TestLateSettlement(t *testing.T) {
	date := func(y, m, d int) time.Time { return time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC) }
	for _, step := range []struct {
		name          string
		traded, agree time.Time
		status        transaction.Status
		asOf          time.Time
		want          string
	}{
		{"in time", date(2026, 3, 2), date(2026, 3, 3), transaction.Settled, date(2026, 3, 9), ""},
		{"over a weekend", date(2026, 3, 6), date(2026, 3, 9), transaction.Confirmed, date(2026, 3, 9), ""},
		{"over Good Friday", date(2026, 4, 2), date(2026, 4, 6), transaction.Confirmed, time.Time{}, ""},
		{"over Columbus Day", date(2026, 10, 9), date(2026, 10, 13), transaction.Confirmed, time.Time{}, ""},
		{"T+2", date(2026, 3, 2), date(2026, 3, 4), transaction.Confirmed, time.Time{}, "agreed to settle on 2026-03-04"},
		{"failed", date(2026, 3, 2), date(2026, 3, 3), transaction.Failed, time.Time{}, "failed"},
		{"not yet", date(2026, 3, 2), date(2026, 3, 3), transaction.Confirmed, date(2026, 3, 4), "not settled on 2026-03-04"},
		{"cancelled", date(2026, 3, 2), date(2026, 3, 9), transaction.Cancelled, date(2026, 3, 10), ""},
	} {
		r := trade("1", step.traded, "A", transaction.Buy, "1", "1")
		r.SettlementDate, r.Status = step.agree, step.status
		got := ""
		for _, f := range find(t, shipped(t), compliance.Options{AsOf: step.asOf}, r) {
			got += f.Text
		}
		if (got == "") != (step.want == "") || !strings.Contains(got, step.want) {
			t.Errorf("%s: %q, want %q", step.name, got, step.want)
		}
	}
}

func TestNames(t *testing.T) {
	list, err := sanctions.Read(sanctions.Files{SDN: strings.NewReader(`7,"DOE TRADING S.A.",-0- ,"CUBA",-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- `)})
	if err != nil {
		t.Fatal(err)
	}
	r := move("1", pay, 0, "A", "B", "5")
	r.FromName, r.ToName = "Jane Roe", "Doe Trading Ltd"
	found := find(t, shipped(t), compliance.Options{Names: sanctions.NewIndex(list)}, r)
	if got := only(found, "sanctioned-name"); !slices.Equal(got, []string{"B: 1"}) {
		t.Fatalf("got %q", got)
	}
	for _, f := range found {
		if f.Rule == "sanctioned-name" && (f.Facts["entry"] != "7" || f.Facts["method"] != "exact" || f.Facts["score"] != "1.00" || f.Facts["programme"] != "CUBA") {
			t.Errorf("facts %v", f.Facts)
		}
	}
	_, stats, err := shipped(t).Run(context.Background(), each([]compliance.Record{r}), compliance.Options{})
	if err != nil || !strings.Contains(stats.NotRun["sanctioned-name"], "no sanctions list was given") {
		t.Errorf("without a list: %v, %v", stats.NotRun, err)
	}
}

func TestWhatCannotBeJudgedIsCounted(t *testing.T) {
	r := move("1", in, 0, "", "A", "99999")
	r.Currency = "XOF"
	found, stats, err := shipped(t).Run(context.Background(), each([]compliance.Record{r}), compliance.Options{})
	if err != nil || len(found) != 0 || stats.NoLimit["large-cash"] != 1 || stats.NoLimit["aggregated-cash-in"] != 1 || stats.Records != 1 {
		t.Errorf("%v, %+v, %v", found, stats, err)
	}
}

func TestRunRefuses(t *testing.T) {
	broken := errors.New("broken")
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	for name, step := range map[string]struct {
		ctx     context.Context
		records iter.Seq2[compliance.Record, error]
		options compliance.Options
		code    string
	}{
		"disorder":      {context.Background(), each([]compliance.Record{move("1", pay, h, "A", "B", "1"), move("2", pay, 0, "A", "B", "1")}), compliance.Options{}, "records-out-of-order"},
		"no id":         {context.Background(), each([]compliance.Record{move("", pay, h, "A", "B", "1")}), compliance.Options{}, "invalid-record"},
		"no time":       {context.Background(), each([]compliance.Record{{ID: "1"}}), compliance.Options{}, "invalid-record"},
		"many at once":  {context.Background(), each([]compliance.Record{move("1", pay, 0, "A", "B", "1"), move("2", pay, 0, "A", "B", "1")}), compliance.Options{MaxHeld: 1}, "too-many-records-held"},
		"many held":     {context.Background(), each([]compliance.Record{move("1", pay, 0, "A", "B", "1"), move("2", pay, h, "A", "B", "1")}), compliance.Options{MaxHeld: 5}, "too-many-records-held"},
		"many findings": {context.Background(), each([]compliance.Record{move("1", in, 0, "", "A", "20000"), move("2", in, h, "", "A", "20000")}), compliance.Options{MaxFound: 1}, "too-many-findings"},
		"reading":       {context.Background(), func(yield func(compliance.Record, error) bool) { yield(compliance.Record{}, broken) }, compliance.Options{}, "internal"},
		"cancelled":     {canceled, each(nil), compliance.Options{}, "internal"},
	} {
		if _, _, err := shipped(t).Run(step.ctx, step.records, step.options); err == nil || fault.CodeOf(err) != step.code {
			t.Errorf("%s: %v, want %s", name, err, step.code)
		}
	}
}

func TestOldRecordsAreLetGo(t *testing.T) {
	rules := shipped(t)
	var list []compliance.Record
	for i := range 20_000 {
		list = append(list, move(fmt.Sprintf("%06d", i), pay, time.Duration(i)*h, fmt.Sprint("A", i), fmt.Sprint("B", i), "10000"))
	}
	_, stats, err := rules.Run(context.Background(), each(list), compliance.Options{})
	// Three rules keep 720 hours and one keeps both sides of 48 hours.
	if most := 2*(3*720+2*48) + 4096 + 8; err != nil || stats.MaxHeld > most {
		t.Errorf("%d records held, want at most %d; %v", stats.MaxHeld, most, err)
	}
}

func TestFindingsListFewRecordsAndCountAll(t *testing.T) {
	var list []compliance.Record
	for i := range 30 {
		list = append(list, move(fmt.Sprintf("%02d", i), in, time.Duration(i)*time.Minute, "", "A", "9000"))
	}
	for _, f := range find(t, shipped(t), compliance.Options{MaxRecords: 10}, list...) {
		if f.RecordCount != 30 || len(f.Records) != 10 || f.Facts["sum"] != "270000" {
			t.Errorf("%+v", f)
		}
	}
}

// A transfer that closes more rounds than are looked for is counted: that not all of
// them are found is not silent.
func TestManyRoundsAreCounted(t *testing.T) {
	rules := shipped(t)
	for among, cut := range map[int]int{10: 0, 30: 1} {
		list := []compliance.Record{}
		for i := range among {
			middle := fmt.Sprintf("M%02d", i)
			list = append(list, move(fmt.Sprintf("1-%02d", i), compliance.Transfer, 0, "B", middle, "100"), move(fmt.Sprintf("2-%02d", i), compliance.Transfer, time.Hour, middle, "A", "100"))
		}
		list = append(list, move("3", compliance.Transfer, 2*time.Hour, "A", "B", "100"))
		compliance.Sort(list)
		found, stats, err := rules.Run(t.Context(), each(list), compliance.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(only(found, "round-trip")); stats.Cut["round-trip"] != cut || n != min(among, 20) {
			t.Errorf("of %d rounds %d are found, cut is %v", among, n, stats.Cut)
		}
	}
}
