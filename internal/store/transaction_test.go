package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"finobs/internal/export"
	"finobs/internal/fault"
	"finobs/internal/intake"
	"finobs/internal/pgtest"
	"finobs/internal/store"
	"finobs/internal/transaction"

	"github.com/shopspring/decimal"
	"pgregory.net/rapid"
)

func trade(id string, change ...func(*transaction.Transaction)) transaction.Transaction {
	x := transaction.Transaction{
		TradeID: id, TradeDate: time.Date(2026, 6, 12, 0, 0, 0, 0, time.UTC), Side: transaction.Buy, Symbol: "MSFT",
		Quantity: decimal.NewFromInt(1500), Price: decimal.RequireFromString("179.52"), Currency: "USD", Status: transaction.New, Account: "PA",
	}
	for _, c := range change {
		c(&x)
	}
	return x
}

func priced(price string) func(*transaction.Transaction) {
	return func(x *transaction.Transaction) { x.Price = decimal.RequireFromString(price) }
}

// loadTrades loads a file of transactions as the activity does, and records it.
func loadTrades(t *testing.T, w *store.Writer, source, origin string, list ...transaction.Transaction) (intake.Changes, []intake.RepeatedLine) {
	t.Helper()
	var changes intake.Changes
	var repeated []intake.RepeatedLine
	err := inTx(t, w, func(tx *store.Tx) error {
		id, err := tx.NextImportID(ctx)
		if err != nil {
			return err
		}
		err = tx.StageTransactions(ctx, func(put func(int, *transaction.Transaction) error) error {
			for i := range list {
				if err := put(i+2, &list[i]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if changes.Repeated, repeated, err = tx.DropRepeated(ctx, 3); err != nil {
			return err
		}
		merged, err := tx.MergeTransactions(ctx, id, source, origin, "trace-1")
		if err != nil {
			return err
		}
		changes.Add(merged)
		return tx.InsertImport(ctx, intake.Import{
			ID: id, Kind: intake.KindTransactions, Source: source, ContentSHA256: fmt.Sprintf("%064x", id), Origin: origin, Report: []byte("{}"),
			ImportedIss: "i", ImportedSub: "s", WorkflowID: "w",
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return changes, repeated
}

func TestTransactionsAreAddedCorrectedOrLeft(t *testing.T) {
	w, r, db := open(t)
	for i, step := range []struct {
		source string
		list   []transaction.Transaction
		want   intake.Changes
	}{
		{"oms", []transaction.Transaction{trade("A"), trade("B")}, intake.Changes{Added: 2}},
		{"oms", []transaction.Transaction{trade("A"), trade("B", priced("179.5200"))}, intake.Changes{Unchanged: 2}},
		{"oms", []transaction.Transaction{trade("A"), trade("B", priced("180")), trade("C")}, intake.Changes{Added: 1, Corrected: 1, Unchanged: 1}},
		{"oms", []transaction.Transaction{trade("B", priced("181"))}, intake.Changes{Corrected: 1}},
		{"broker", []transaction.Transaction{trade("A"), trade("A", priced("1")), trade("A")}, intake.Changes{Added: 1, Repeated: 2}},
		{"broker", nil, intake.Changes{}},
	} {
		if got, _ := loadTrades(t, w, step.source, "demo", step.list...); got != step.want {
			t.Errorf("step %d: got %+v, want %+v", i, got, step.want)
		}
	}
	list, err := r.Transactions(ctx, map[string]string{"trade_id": "B"}, store.Page{Limit: 10})
	if err != nil || len(list) != 1 {
		t.Fatalf("got %v, %v", list, err)
	}
	b := list[0]
	if b.Version != 3 || b.Price.String() != "181" || b.Source != "oms" || b.Origin != "demo" || b.TraceID != "trace-1" || !b.UpdatedAt.After(b.CreatedAt) {
		t.Errorf("got %+v", b)
	}
	versions, err := r.TransactionVersions(ctx, b.ID)
	if err != nil || len(versions) != 2 || versions[0].Price.String() != "179.52" || versions[1].Price.String() != "180" ||
		versions[0].Version != 1 || versions[1].Version != 2 || versions[0].TradeID != "B" {
		t.Errorf("got %+v, %v", versions, err)
	}
	if n := pgtest.Value(t, db.Admin, "SELECT price FROM finobs.transaction WHERE source = 'broker'"); n != "179.52" {
		t.Errorf("of a trade id that is in a file three times, %s was kept", n)
	}
	if _, err := r.Transaction(ctx, 1e9); fault.KindOf(err) != fault.NotFound {
		t.Errorf("got %v", err)
	}
}

func TestRepeatedLinesNameTheFirst(t *testing.T) {
	w, _, _ := open(t)
	changes, repeated := loadTrades(t, w, "oms", "live", trade("A"), trade("B"), trade("A"), trade("A"), trade("B"), trade("B"))
	want := []intake.RepeatedLine{{Line: 4, First: 2, TradeID: "A"}, {Line: 5, First: 2, TradeID: "A"}, {Line: 6, First: 3, TradeID: "B"}}
	if changes.Repeated != 4 || changes.Added != 2 || !slices.Equal(repeated, want) {
		t.Errorf("got %+v, %+v", changes, repeated)
	}
}

// What is on record after any files is what a map would hold.
func TestTransactionsAgreeWithTheOracle(t *testing.T) {
	t.Parallel()
	w, _, db := open(t)
	rapid.Check(t, func(rt *rapid.T) {
		if err := pgtest.Exec(t, db.Admin, "DELETE FROM finobs.transaction_version; DELETE FROM finobs.transaction; DELETE FROM finobs.import"); err != nil {
			rt.Fatal(err)
		}
		prices, versions := map[string]string{}, map[string]int{}
		for range rapid.IntRange(1, 4).Draw(rt, "files") {
			var list []transaction.Transaction
			var want intake.Changes
			seen := map[string]bool{}
			for range rapid.IntRange(0, 8).Draw(rt, "lines") {
				id, price := rapid.SampledFrom([]string{"A", "B", "C"}).Draw(rt, "id"), rapid.SampledFrom([]string{"1", "2"}).Draw(rt, "price")
				list = append(list, trade(id, priced(price)))
				switch was, there := prices[id]; {
				case seen[id]:
					want.Repeated++
					continue
				case !there:
					want.Added++
					versions[id] = 1
				case was != price:
					want.Corrected++
					versions[id]++
				default:
					want.Unchanged++
				}
				seen[id], prices[id] = true, price
			}
			if got, _ := loadTrades(t, w, "oms", "live", list...); got != want {
				rt.Fatalf("got %+v, want %+v", got, want)
			}
		}
		for id, price := range prices {
			got := pgtest.Value(t, db.Admin, "SELECT price || ' ' || version || ' ' || (SELECT count(*) FROM finobs.transaction_version v WHERE v.transaction_id = t.transaction_id) FROM finobs.transaction t WHERE trade_id = $1", id)
			if want := fmt.Sprintf("%s %d %d", price, versions[id], versions[id]-1); got != want {
				rt.Fatalf("%s: got %s, want %s", id, got, want)
			}
		}
	})
}

// Two loads of one source at once both end, with each trade on record once.
func TestLoadsOfOneSourceAtOnce(t *testing.T) {
	w, _, db := open(t)
	done := make(chan struct{})
	for n := range 4 {
		go func() {
			defer func() { done <- struct{}{} }()
			var list []transaction.Transaction
			for i := range 500 {
				list = append(list, trade(fmt.Sprint("T", (i*7+n*131)%500), priced(fmt.Sprint(n+1))))
			}
			loadTrades(t, w, "oms", "live", list...)
		}()
	}
	for range 4 {
		<-done
	}
	got := pgtest.Value(t, db.Admin, "SELECT count(*) || ' ' || min(version) || ' ' || max(version) FROM finobs.transaction")
	if versions := pgtest.Value(t, db.Admin, "SELECT count(*) FROM finobs.transaction_version"); got != "500 4 4" || versions != "1500" {
		t.Errorf("got %s, and %s earlier versions", got, versions)
	}
}

func TestTransactionFilters(t *testing.T) {
	w, r, _ := open(t)
	loadTrades(t, w, "oms", "live", trade("A"), trade("B", func(x *transaction.Transaction) {
		x.TradeDate = x.TradeDate.AddDate(0, 0, 1)
		x.Symbol, x.Side, x.Status, x.Account, x.Counterparty, x.Desk, x.Currency = "QQQ", transaction.SellShort, transaction.Failed, "X", "BRKR", "FX", "EUR"
	}))
	loadTrades(t, w, "demo source", "demo", trade("C"))
	for name, tc := range map[string]struct {
		filters map[string]string
		want    string
	}{
		"none": {nil, "C B A"}, "source": {map[string]string{"source": "oms"}, "B A"}, "trade_id": {map[string]string{"trade_id": "B"}, "B"},
		"symbol": {map[string]string{"symbol": "QQQ"}, "B"}, "side": {map[string]string{"side": "sell_short"}, "B"},
		"status": {map[string]string{"status": "failed"}, "B"}, "account": {map[string]string{"account": "X"}, "B"},
		"counterparty": {map[string]string{"counterparty": "BRKR"}, "B"}, "desk": {map[string]string{"desk": "FX"}, "B"},
		"currency": {map[string]string{"currency": "EUR"}, "B"}, "origin": {map[string]string{"origin": "demo"}, "C"},
		"from is inclusive": {map[string]string{"from": "2026-06-13"}, "B"}, "to is exclusive": {map[string]string{"to": "2026-06-13"}, "C A"},
		"a day":       {map[string]string{"from": "2026-06-12", "to": "2026-06-13"}, "C A"},
		"together":    {map[string]string{"source": "oms", "currency": "USD"}, "A"},
		"text of SQL": {map[string]string{"symbol": "' OR true --"}, ""},
	} {
		list, err := r.Transactions(ctx, tc.filters, store.Page{Limit: 10})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var got []string
		for _, x := range list {
			got = append(got, x.TradeID)
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s: got %v, want %s", name, got, tc.want)
		}
	}
	first, err := r.Transactions(ctx, nil, store.Page{Limit: 2})
	if err != nil || len(first) != 2 {
		t.Fatalf("got %v, %v", first, err)
	}
	if rest, err := r.Transactions(ctx, nil, store.Page{Before: first[1].ID, Limit: 2}); err != nil || len(rest) != 1 || rest[0].TradeID != "A" {
		t.Errorf("the second page is %v, %v", rest, err)
	}
	if c, args := store.Filtered(export.Transactions, map[string]string{"x": "y", "desk": "", "symbol": "Q"}); c != " AND symbol = $1" || len(args) != 1 {
		t.Errorf("got %q, %v", c, args)
	}
}

func TestWhatTheWorkerMayDoToTransactions(t *testing.T) {
	w, _, db := open(t)
	loadTrades(t, w, "oms", "live", trade("A"))
	for _, statement := range []string{
		"DELETE FROM finobs.transaction", "TRUNCATE finobs.transaction", "UPDATE finobs.transaction SET source = 'x'", "UPDATE finobs.transaction SET trade_id = 'x'",
		"UPDATE finobs.transaction SET created_at = now()", "UPDATE finobs.transaction_version SET price = 1", "DELETE FROM finobs.transaction_version",
		"UPDATE finobs.import SET report = '{}'", "CREATE TABLE finobs.x (a int)",
	} {
		if err := pgtest.Exec(t, db.Worker, statement); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("%s: %v", statement, err)
		}
	}
	for _, column := range []string{"quantity", "price", "gross_amount", "fees"} {
		for _, value := range []string{"NaN", "Infinity", "1e18"} {
			if err := pgtest.Exec(t, db.Worker, "UPDATE finobs.transaction SET "+column+" = $1", value); err == nil {
				t.Errorf("%s = %s is taken", column, value)
			}
		}
	}
}
