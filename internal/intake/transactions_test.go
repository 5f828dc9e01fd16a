package intake_test

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"finobs/internal/fault"
	"finobs/internal/intake"
	"finobs/internal/transaction"

	"github.com/shopspring/decimal"
	"pgregory.net/rapid"
)

const (
	tradesHeader = "trade_id,trade_date,side,symbol,quantity,price,currency\n"
	goodTrade    = "T-1,2026-06-12,buy,MSFT,1500,179.52,USD\n"
	goodObject   = `{"trade_id":"T-1","trade_date":"2026-06-12","side":"buy","symbol":"MSFT","quantity":"1500","price":179.52,"currency":"USD"}` + "\n"
)

func readTrades(t *testing.T, format intake.Format, text string) ([]transaction.Transaction, intake.TransactionReport) {
	t.Helper()
	var list []transaction.Transaction
	report, err := intake.ReadTransactions(strings.NewReader(text), format, func(_ int, x *transaction.Transaction) error {
		list = append(list, *x)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list, report
}

func TestReadTransactionsReadsEveryColumn(t *testing.T) {
	want := transaction.Transaction{
		TradeID: "T,1", ExecutionID: `E"1`, TradeDate: time.Date(2026, 6, 12, 0, 0, 0, 0, time.UTC), SettlementDate: time.Date(2026, 6, 16, 0, 0, 0, 0, time.UTC),
		Side: transaction.SellShort, Symbol: "MSFT", ISIN: "US5949181045", CUSIP: "594918104", Quantity: decimal.RequireFromString("1500.5"),
		Price: decimal.RequireFromString("-0.000000000001"), Currency: "USD", GrossAmount: decimal.NewNullDecimal(decimal.RequireFromString("269280.00")),
		Fees: decimal.NewNullDecimal(decimal.RequireFromString("-5.3856")), Account: "PA_MAIN", Counterparty: "Société", Venue: "XNAS",
		Status: transaction.Settled, Desk: "EQ",
	}
	const header = "Desk,status,venue,counterparty,account,fees,gross_amount,currency,price,quantity,cusip,isin,symbol, SIDE ,settlement_date,trade_date,execution_id,trade_id\r\n"
	const line = `EQ,SETTLED,XNAS,Société,PA_MAIN,-5.3856,269280.0,USD,-0.000000000001,1500.5,594918104,US5949181045,MSFT,Sell_Short,2026-06-16,2026-06-12,"E""1","T,1"`
	const object = `{"desk":"EQ","status":"settled","venue":"XNAS","counterparty":"Soci\u00e9t\u00e9","account":"PA_MAIN","fees":-5.3856,"gross_amount":"269280",
		"currency":"USD","price":-0.000000000001,"quantity":1500.5,"cusip":"594918104","isin":"US5949181045","symbol":"MSFT","side":"sell_short",
		"settlement_date":"2026-06-16","trade_date":"2026-06-12","execution_id":"E\"1","trade_id":"T,1"}`
	for name, tc := range map[string]struct {
		format intake.Format
		text   string
	}{
		"CSV": {intake.CSV, header + line + "\r\n"}, "CSV with a BOM and no final line end": {intake.CSV, "\ufeff" + header + line},
		"NDJSON": {intake.NDJSON, strings.ReplaceAll(object, "\n", " ") + "\n\n"}, "JSON": {intake.JSON, object},
		"NDJSON with a BOM": {intake.NDJSON, "\ufeff" + strings.ReplaceAll(object, "\n", " ")},
	} {
		got, report := readTrades(t, tc.format, tc.text)
		if len(got) != 1 || report.Rows != 1 || report.BadLines != 0 || len(report.Warnings) != 0 {
			t.Errorf("%s: report %+v", name, report)
			continue
		}
		a, b := fmt.Sprint(got[0]), fmt.Sprint(want)
		if a != b {
			t.Errorf("%s: got\n%s\nwant\n%s", name, a, b)
		}
	}
}

func TestReadTransactionsReportsBadLines(t *testing.T) {
	line := func(column, value string) string {
		values := map[string]string{
			"trade_id": "T-2", "trade_date": "2026-06-12", "side": "buy", "symbol": "MSFT", "quantity": "1", "price": "1", "currency": "USD",
		}
		values[column] = value
		var cells []string
		for _, name := range strings.Split(strings.TrimSpace(tradesHeader), ",") {
			cells = append(cells, values[name])
		}
		return strings.Join(cells, ",")
	}
	for name, tc := range map[string]struct{ line, column, value, problem string }{
		"30 February":        {line("trade_date", "2026-02-30"), "trade_date", "2026-02-30", "calendar date of the form YYYY-MM-DD"},
		"American date":      {line("trade_date", "06/12/2026"), "trade_date", "06/12/2026", "calendar date"},
		"date with a time":   {line("trade_date", "2026-06-12T17:00:00"), "trade_date", "2026-06-12T17:00:00", "calendar date"},
		"no date":            {line("trade_date", " "), "trade_date", "", "it is empty"},
		"exponent":           {line("price", "1e5"), "price", "1e5", "no exponent"},
		"thousands":          {line("price", `"1,000.50"`), "price", "1,000.50", "no separators"},
		"unquoted thousands": {line("price", `1,000.50`), "", "", "the header names 7 columns, the line has 8"},
		"NaN":                {line("price", "NaN"), "price", "NaN", "plain decimal"},
		"infinity":           {line("price", "Infinity"), "price", "Infinity", "plain decimal"},
		"hexadecimal":        {line("price", "0x10"), "price", "0x10", "plain decimal"},
		"plus sign":          {line("price", "+1"), "price", "+1", "plain decimal"},
		"no digit before":    {line("price", ".5"), "price", ".5", "plain decimal"},
		"no digit after":     {line("price", "5."), "price", "5.", "plain decimal"},
		"two signs":          {line("price", "--5"), "price", "--5", "plain decimal"},
		"Arabic digits":      {line("price", "٣"), "price", "٣", "plain decimal"},
		"huge number":        {line("price", strings.Repeat("9", 5000)), "price", strings.Repeat("9", 200), "at most 18 digits"},
		"too precise":        {line("price", "0.0000000000001"), "price", "0.0000000000001", "12 after it"},
		"negative quantity":  {line("quantity", "-5"), "quantity", "-5", "above 0; side says which way"},
		"no quantity":        {line("quantity", "0"), "quantity", "0", "above 0"},
		"unknown side":       {line("side", "B"), "side", "B", "buy, sell, sell_short or buy_to_cover"},
		"pence":              {line("currency", "GBX"), "currency", "GBX", "ISO 4217"},
		"two codes":          {line("currency", "D A"), "currency", "D A", "ISO 4217"},
		"small letters":      {line("currency", "usd"), "currency", "usd", "ISO 4217"},
		"no trade id":        {line("trade_id", ""), "trade_id", "", "it is empty"},
		"long trade id":      {line("trade_id", strings.Repeat("x", 129)), "trade_id", strings.Repeat("x", 129), "at most 128 bytes"},
		"open quote":         {line("symbol", `"MSFT`), "", "", "not closed on its line"},
		"quote inside":       {line("symbol", `MS"FT`), "", "", "quote inside a field"},
		"text after quote":   {line("symbol", `"MS"FT`), "", "", "text after the closing quote"},
		"NUL":                {line("symbol", "MS\x00FT"), "", "", "control character at byte"},
		"escape":             {line("symbol", "\x1b[31m"), "", "", "control character at byte"},
		"tab inside":         {line("symbol", "MS\tFT"), "symbol", "MS\uFFFDFT", "without control characters"},
		"invalid UTF-8":      {line("symbol", "MS\xffFT"), "", "", "not valid UTF-8"},
		"too few":            {"T-2,2026-06-12", "", "", "the line has 2"},
		"too long":           {line("symbol", strings.Repeat("A", 200_000)), "", "", "over 65536 bytes"},
	} {
		list, report := readTrades(t, intake.CSV, tradesHeader+goodTrade+tc.line+"\n"+goodTrade)
		if len(list) != 2 || report.Rows != 2 || report.BadLines != 1 || len(report.Errors) != 1 || report.Refusal() == "" {
			t.Errorf("%s: %d rows, report %+v", name, len(list), report)
			continue
		}
		e := report.Errors[0]
		if e.Line != 3 || e.Column != tc.column || e.Value != tc.value || !strings.Contains(e.Problem, tc.problem) {
			t.Errorf("%s: got %+v", name, e)
		}
		if strings.ContainsAny(e.Text, "\x00\x1b") || len(e.Text) > 3*200 {
			t.Errorf("%s: the text %q is not safe to show", name, e.Text)
		}
	}
}

func TestReadTransactionsChecksDigits(t *testing.T) {
	const header = "trade_id,trade_date,side,symbol,quantity,price,currency,isin,cusip,status\n"
	const start = "T,2026-06-12,buy,X,1,1,USD,"
	for rest, column := range map[string]string{
		"US5949181045,594918104,": "", ",,": "", "US5949181046,,": "isin", "us5949181045,,": "isin", "US594918104,,": "isin",
		",594918105,": "cusip", ",59491810,": "cusip", ",,open": "status", ",,Confirmed": "",
	} {
		_, report := readTrades(t, intake.CSV, header+start+rest+"\n")
		if column == "" && report.Rows != 1 || column != "" && (report.BadLines != 1 || report.Errors[0].Column != column) {
			t.Errorf("%q: got %+v", rest, report)
		}
	}
}

func TestCheckISIN(t *testing.T) {
	for isin, fine := range map[string]bool{
		"US0378331005": true,  // Apple
		"GB0002634946": true,  // BAE Systems
		"AU0000XVGZA3": true,  // the example of ISO 6166's guide
		"DE000BAY0017": true,  // Bayer
		"US0378331006": false, // wrong check digit
		"":             false,
		"US037833100":  false,
	} {
		if problem := intake.CheckISIN(isin); (problem == "") != fine {
			t.Errorf("%s: %q", isin, problem)
		}
	}
}

func TestReadTransactionsReportsBadObjects(t *testing.T) {
	for name, tc := range map[string]struct{ line, column, problem string }{
		"duplicate key":  {`{"trade_id":"a","trade_id":"b"}`, "", "duplicate"},
		"unknown key":    {`{"trade_id":"a","colour":"red"}`, "colour", "no such column"},
		"folded key":     {`{"Trade_ID":"a"}`, "Trade_ID", "no such column"},
		"missing":        {`{"trade_id":"a"}`, "trade_date", "missing"},
		"null":           {strings.Replace(goodObject, `"MSFT"`, "null", 1), "symbol", "it is empty"},
		"exponent":       {strings.Replace(goodObject, `179.52`, "1e5", 1), "price", "no exponent"},
		"nested":         {strings.Replace(goodObject, `"MSFT"`, `{"a":1}`, 1), "symbol", "neither text nor a number"},
		"boolean":        {strings.Replace(goodObject, `"MSFT"`, `true`, 1), "symbol", "neither text nor a number"},
		"NUL":            {strings.Replace(goodObject, `"MSFT"`, `"\u0000"`, 1), "symbol", "control characters"},
		"half":           {`{"trade_id":"a"`, "", "not a JSON object"},
		"open quote":     {`{"trade_id":"a`, "", "not a JSON object"},
		"array":          {`[]`, "", "not a JSON object"},
		"NaN":            {strings.Replace(goodObject, `179.52`, "NaN", 1), "", "not a JSON object"},
		"two":            {strings.TrimSpace(goodObject) + strings.TrimSpace(goodObject), "", "something after the object"},
		"invalid UTF-8":  {"{\"trade_id\":\"\xff\"}", "", "not a JSON object"},
		"too deep":       {strings.Repeat("[", 60_000), "", "not a JSON object"},
		"lone surrogate": {`{"trade_id":"\ud800"}`, "", "not a JSON object"},
	} {
		list, report := readTrades(t, intake.NDJSON, goodObject+strings.TrimSpace(tc.line)+"\n"+goodObject)
		if len(list) != 2 || report.BadLines != 1 {
			t.Errorf("%s: %d rows, report %+v", name, len(list), report)
			continue
		}
		if e := report.Errors[0]; e.Line != 2 || e.Column != tc.column || !strings.Contains(e.Problem, tc.problem) {
			t.Errorf("%s: got %+v", name, e)
		}
	}
}

func TestReadTransactionsRefusesWhatIsNoSuchFile(t *testing.T) {
	internal := "internal_trade_id,order_id,execution_id,trade_date,settle_date,symbol,side,quantity,price,currency\n"
	for name, tc := range map[string]struct {
		format  intake.Format
		text    string
		problem string
	}{
		"empty":             {intake.CSV, "", "the file is empty"},
		"no header":         {intake.CSV, goodTrade, `there are no columns "T-1"`},
		"other names":       {intake.CSV, internal, `there are no columns "internal_trade_id", "order_id", "settle_date"; rename them`},
		"lacks one":         {intake.CSV, strings.Replace(tradesHeader, ",price", "", 1) + goodTrade, "lacks column price"},
		"one twice":         {intake.CSV, "trade_id," + tradesHeader, "names column trade_id twice"},
		"semicolons":        {intake.CSV, strings.ReplaceAll(tradesHeader, ",", ";"), "separated by commas"},
		"open quote":        {intake.CSV, `"trade_id,` + tradesHeader, "not closed"},
		"binary":            {intake.CSV, "\x00\x01\x02", "control character"},
		"UTF-16":            {intake.CSV, "\xff\xfet\x00r\x00", "save the file as UTF-8"},
		"an endless line":   {intake.CSV, strings.Repeat("a", 100_000), "over 65536 bytes"},
		"an empty object":   {intake.JSON, " ", "the body is empty"},
		"a giant object":    {intake.JSON, strings.Repeat(" ", 2<<20), "over the limit"},
		"an unknown format": {intake.Format("xls"), "", "csv, ndjson or json"},
	} {
		_, err := intake.ReadTransactions(strings.NewReader(tc.text), tc.format, func(int, *transaction.Transaction) error { return nil })
		if k := fault.KindOf(err); k != fault.Invalid && k != fault.TooLarge || !strings.Contains(fault.MessageOf(err), tc.problem) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, report := readTrades(t, intake.CSV, tradesHeader); report.Rows != 0 || report.BadLines != 0 || report.Lines != 1 {
		t.Errorf("a header alone: %+v", report)
	}
}

func TestRepeatedLinesAreBadOnes(t *testing.T) {
	_, report := readTrades(t, intake.CSV, tradesHeader+goodTrade+"nonsense\n"+goodTrade+"nonsense\n")
	report.Repeat(1, []intake.RepeatedLine{{Line: 4, First: 2, TradeID: "T-1"}})
	if report.Rows != 1 || report.BadLines != 3 || report.Changes.Repeated != 1 || report.ErrorsOmitted != 0 {
		t.Fatalf("got %+v", report)
	}
	if e := report.Errors[1]; e.Line != 4 || e.Column != "trade_id" || !strings.Contains(e.Problem, `"T-1" was on line 2 already`) {
		t.Errorf("got %+v", e)
	}
	_, report = readTrades(t, intake.CSV, tradesHeader+strings.Repeat("nonsense\n", 2500))
	report.Repeat(700, []intake.RepeatedLine{{Line: 1, First: 1}})
	if report.BadLines != 3200 || len(report.Errors) != 1000 || report.ErrorsOmitted != 2200 || report.Errors[0].Line != 1 {
		t.Errorf("%d bad lines, %d listed, %d omitted", report.BadLines, len(report.Errors), report.ErrorsOmitted)
	}
}

func TestASettlementBeforeTheTradeIsAWarning(t *testing.T) {
	_, report := readTrades(t, intake.CSV, "settlement_date,"+tradesHeader+"2026-06-11,"+goodTrade)
	if report.Rows != 1 || len(report.Warnings) != 1 || report.Warnings[0].Line != 2 {
		t.Errorf("got %+v", report)
	}
}

// A line of a gigabyte is told from a file in memory.
func TestReadTransactionsHoldsNoLine(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	endless := io.MultiReader(strings.NewReader(tradesHeader+goodTrade), io.LimitReader(letters{}, 1<<30), strings.NewReader("\n"+goodTrade))
	report, err := intake.ReadTransactions(endless, intake.CSV, func(int, *transaction.Transaction) error { return nil })
	runtime.ReadMemStats(&after)
	if err != nil || report.Rows != 2 || report.BadLines != 1 {
		t.Fatalf("got %+v, %v", report, err)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
		t.Errorf("reading took %d bytes of memory", grown)
	}
}

type letters struct{}

func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

// What is written as CSV and as NDJSON is read as it was.
func TestReadTransactionsRoundTrip(t *testing.T) {
	word := rapid.StringMatching(`[A-Za-z0-9_"', é-]{0,19}[A-Z0-9"]`)
	number := rapid.StringMatching(`[1-9][0-9]{0,17}(\.[0-9]{0,11}[1-9])?`)
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(0, 20).Draw(rt, "rows")
		var asCSV, asJSON strings.Builder
		asCSV.WriteString(tradesHeader)
		var want []string
		for i := range n {
			id := strings.TrimSpace(word.Draw(rt, "id"))
			date := time.Unix(rapid.Int64Range(0, 4e9).Draw(rt, "date"), 0).UTC().Format(time.DateOnly)
			side := rapid.SampledFrom([]string{"buy", "sell", "sell_short", "buy_to_cover"}).Draw(rt, "side")
			quantity, price := number.Draw(rt, "quantity"), rapid.SampledFrom([]string{"", "-"}).Draw(rt, "sign")+number.Draw(rt, "price")
			want = append(want, strings.Join([]string{id, date, side, strconv.Itoa(i), quantity, price}, "|"))
			fmt.Fprintf(&asCSV, "\"%s\",%s,%s,%d,%s,%s,EUR\n", strings.ReplaceAll(id, `"`, `""`), date, side, i, quantity, price)
			object, err := json.Marshal(map[string]any{
				"trade_id": id, "trade_date": date, "side": side, "symbol": i, "quantity": json.Number(quantity), "price": json.Number(price), "currency": "EUR",
			})
			if err != nil {
				rt.Fatal(err)
			}
			asJSON.Write(append(object, '\n'))
		}
		for format, text := range map[intake.Format]string{intake.CSV: asCSV.String(), intake.NDJSON: asJSON.String()} {
			var got []string
			report, err := intake.ReadTransactions(strings.NewReader(text), format, func(_ int, x *transaction.Transaction) error {
				got = append(got, strings.Join([]string{
					x.TradeID, x.TradeDate.Format(time.DateOnly), string(x.Side), x.Symbol, x.Quantity.String(), x.Price.String(),
				}, "|"))
				return nil
			})
			if err != nil || report.BadLines != 0 || fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
				rt.Fatalf("%s: %v, %+v\ngot  %q\nwant %q", format, err, report, got, want)
			}
		}
	})
}

func FuzzReadTransactions(f *testing.F) {
	f.Add("csv", tradesHeader+goodTrade)
	f.Add("csv", "\ufeff"+tradesHeader+`"T""1",2026-02-30,buy,"X`+"\r\n\x00")
	f.Add("ndjson", goodObject+`{"trade_id":"a","trade_id":"b"}`)
	f.Add("json", goodObject)
	f.Fuzz(func(t *testing.T, format, text string) {
		rows, last := 0, 0
		report, err := intake.ReadTransactions(strings.NewReader(text), intake.Format(format), func(line int, x *transaction.Transaction) error {
			rows++
			if line <= last {
				t.Errorf("line %d after line %d", line, last)
			}
			last = line
			all := x.TradeID + x.ExecutionID + x.Symbol + x.ISIN + x.CUSIP + x.Account + x.Counterparty + x.Venue + x.Desk
			if !utf8.ValidString(all) || strings.ContainsFunc(all, unicode.IsControl) || x.TradeID == "" || x.Symbol == "" ||
				!x.Side.Valid() || !x.Status.Valid() || !x.Quantity.IsPositive() || len(x.Currency) != 3 || x.TradeDate.Year() < 1900 {
				t.Errorf("yielded %+v", x)
			}
			return nil
		})
		if err == nil && (report.Rows != rows || report.Lines < report.Rows+report.BadLines || len(report.Errors)+report.ErrorsOmitted != report.BadLines) {
			t.Errorf("report %+v for %d rows", report, rows)
		}
	})
}
