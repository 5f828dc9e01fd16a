package compliance_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"finobs/internal/compliance"
	"finobs/internal/transaction"

	"github.com/shopspring/decimal"
	"pgregory.net/rapid"
)

// records are few parties and few times, so that rules have much to find.
func records(t *rapid.T) []compliance.Record {
	n := rapid.IntRange(0, 40).Draw(t, "n")
	list := make([]compliance.Record, n)
	for i := range list {
		r := &list[i]
		*r = compliance.Record{
			ID: fmt.Sprintf("%03d", i), Currency: rapid.SampledFrom([]string{"USD", "EUR", "XOF"}).Draw(t, "currency"),
			Kind:   rapid.SampledFrom([]compliance.Kind{compliance.Trade, compliance.Transfer, compliance.CashIn, compliance.CashOut}).Draw(t, "kind"),
			Method: rapid.SampledFrom([]compliance.Method{compliance.Cash, compliance.Cheque, compliance.Wire}).Draw(t, "method"),
			Time:   day.Add(time.Duration(rapid.IntRange(0, 12).Draw(t, "time")) * 12 * time.Hour),
			From:   rapid.SampledFrom([]string{"A", "B", "C", "D", "E", "F", "G", ""}).Draw(t, "from"),
			To:     rapid.SampledFrom([]string{"A", "B", "C", "D", "E", "F", "G", ""}).Draw(t, "to"),
			Amount: decimal.New(int64(rapid.IntRange(1, 1_200_000).Draw(t, "cents")), -2), Instrument: "X",
			Side:     rapid.SampledFrom([]transaction.Side{transaction.Buy, transaction.Sell}).Draw(t, "side"),
			Quantity: decimal.NewFromInt(int64(rapid.IntRange(1, 3).Draw(t, "quantity"))), Price: decimal.NewFromInt(10), TradeDate: day, Status: transaction.New,
		}
	}
	return list
}

func TestOrderWithinATimeDoesNotMatter(t *testing.T) {
	rules := shipped(t)
	rapid.Check(t, func(t *rapid.T) {
		list := records(t)
		compliance.Sort(list)
		found, stats, err := rules.Run(context.Background(), each(list), compliance.Options{AsOf: day})
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		for from := 0; from < len(list); {
			to := from
			for to < len(list) && list[to].Time.Equal(list[from].Time) {
				to++
			}
			r.Shuffle(to-from, func(i, k int) { list[from+i], list[from+k] = list[from+k], list[from+i] })
			from = to
		}
		again, statsAgain, err := rules.Run(context.Background(), each(list), compliance.Options{AsOf: day})
		if err != nil || !reflect.DeepEqual(found, again) || !reflect.DeepEqual(stats, statsAgain) {
			t.Fatalf("%v\n%v\n%v", err, found, again)
		}
		seen := map[string]bool{}
		for _, f := range found {
			if seen[f.ID] || f.Text == "" || f.Why == "" || f.RecordCount != len(f.Records) || f.Last.Before(f.First) {
				t.Fatalf("%+v", f)
			}
			seen[f.ID] = true
		}
	})
}

// TestStructuringAgainstItsDefinition compares the window that slides with looking
// at every window, in whole cents.
func TestStructuringAgainstItsDefinition(t *testing.T) {
	rules := shipped(t)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 12).Draw(t, "n")
		type deposit struct{ hour, cents int }
		var deposits []deposit
		var list []compliance.Record
		for i := range n {
			x := deposit{rapid.IntRange(0, 300).Draw(t, "hour"), rapid.SampledFrom([]int{799_999, 800_000, 900_000, 1_000_000, 1_000_001}).Draw(t, "cents")}
			deposits = append(deposits, x)
			list = append(list, move(fmt.Sprintf("%02d", i), in, time.Duration(x.hour)*time.Hour, "", "A", decimal.New(int64(x.cents), -2).String()))
		}
		want := map[string]bool{}
		for end := range 301 {
			count, sum, members := 0, 0, []string{}
			last := false
			for i, x := range deposits {
				if x.cents >= 800_000 && x.cents <= 1_000_000 && x.hour <= end && end-x.hour < 120 {
					count, sum, members = count+1, sum+x.cents, append(members, fmt.Sprintf("%02d", i))
					last = last || x.hour == end
				}
			}
			if last && count >= 3 && sum > 1_000_000 {
				for _, m := range members {
					want[m] = true
				}
			}
		}
		compliance.Sort(list)
		found, _, err := rules.Run(context.Background(), each(list), compliance.Options{})
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]bool{}
		for _, f := range found {
			if f.Rule == "structured-cash-in" {
				for _, id := range f.Records {
					got[id] = true
				}
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got %v, want %v of %v", got, want, deposits)
		}
	})
}

func TestSumsAreExact(t *testing.T) {
	rules := shipped(t)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 50).Draw(t, "n")
		sum := 0
		var list []compliance.Record
		for i := range n {
			cents := rapid.IntRange(1, 2_000_000/n).Draw(t, "cents")
			sum += cents
			list = append(list, move(fmt.Sprintf("%02d", i), in, time.Duration(i)*time.Second, "", "A", decimal.New(int64(cents), -2).String()))
		}
		found, _, err := rules.Run(context.Background(), each(list), compliance.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var facts map[string]string
		for _, f := range found {
			if f.Rule == "aggregated-cash-in" {
				facts = f.Facts
			}
		}
		if over := sum > 1_000_000; over != (facts != nil) || over && !d(facts["sum"]).Equal(decimal.New(int64(sum), -2)) {
			t.Fatalf("%d cents: %v", sum, facts)
		}
	})
}
