package intake_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"finobs/internal/fault"
	"finobs/internal/intake"

	"go.yaml.in/yaml/v3"
)

func mapping(t testing.TB, text string) intake.Mapping {
	t.Helper()
	var m intake.Mapping
	if err := yaml.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// readAll reads a file by a mapping and returns its records.
func readAll(t testing.TB, text string, l intake.Layout) ([]intake.Record, intake.LineReport, error) {
	t.Helper()
	var out []intake.Record
	report, err := intake.ReadRecords(strings.NewReader(text), l, func(r *intake.Record) error { out = append(out, *r); return nil })
	return out, report, err
}

// one is the value that a mapping of one field makes of a column's value.
func one(t testing.TB, field, form, value string) (string, *intake.LineError) {
	t.Helper()
	f, known := intake.ParseField(field)
	if !known {
		t.Fatalf("no field %s", field)
	}
	l := intake.Layout{Mapping: mapping(t, field+": "+form), Separator: "|"}
	records, report, err := readAll(t, "c|d\n"+value+"\n", l)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Errors) > 0 {
		return "", &report.Errors[0]
	}
	if len(records) == 0 {
		return "", nil
	}
	return records[0].Get(f), nil
}

func TestValuesAreReadAsTheMappingSays(t *testing.T) {
	for _, tc := range []struct{ field, form, value, want string }{
		{"side", "c", "BUY|", "buy"},
		{"side", "{column: c, map: {B: buy, 'S ': sell}}", "b|", "buy"},
		{"side", "{column: c, sign: true}", "-5|", "sell"},
		{"side", "{column: c, sign: true, thousands: ','}", "1,005|", "buy"},
		{"quantity", "{column: c, absolute: true}", "-5.50|", "5.5"},
		{"price", "{column: c, decimal: ',', thousands: '.'}", "1.234,50|", "1234.5"},
		{"price", "{column: c, thousands: ' '}", "1 234|", "1234"},
		{"price", "{column: c, scale: 0.01}", "12345|", "123.45"},
		{"price", "c", "+3.10|", "3.1"},
		{"fees", "[c, d]", "1.10|2", "3.1"},
		{"fees", "[c, d]", "|2", "2"},
		{"fees", "[c, d]", "|", ""},
		{"fees", "{columns: [c, d], default: 0}", "|", "0"},
		{"trade_date", "{column: c, dates: [DD/MM/YYYY, YYYYMMDD]}", "20260612|", "2026-06-12"},
		{"trade_date", "{column: c, dates: ['DD-MMM-YYYY']}", "12-Jun-2026|", "2026-06-12"},
		{"trade_date", "{column: c, dates: ['YYYY-MM-DDThh:mm:ssZ']}", "2026-06-12T16:05:00Z|", "2026-06-12"},
		{"account", "{column: c, strip: '^PA_', upper: true}", "PA_main|", "MAIN"},
		{"account", "[c, d]", "A|B", "A B"},
		{"currency", "{column: c, default: USD}", " |", "USD"},
		{"currency", "{constant: EUR}", "x|", "EUR"},
		{"symbol", "{column: c, map: {BRK-B: BRK.B}}", "brk-b|", "BRK.B"},
		{"isin", "c", "us0378331005|", "US0378331005"},
	} {
		if got, e := one(t, tc.field, tc.form, tc.value); e != nil || got != tc.want {
			t.Errorf("%s: %s of %q: got %q, %+v", tc.field, tc.form, tc.value, got, e)
		}
	}
}

func TestBadValuesSayWhatIsExpected(t *testing.T) {
	for _, tc := range []struct{ field, form, value, expected string }{
		{"side", "c", "up|", "buy, sell"},
		{"side", "{column: c, sign: true}", "0|", "whose sign is the side"},
		{"quantity", "c", "0|", "above 0"},
		{"quantity", "c", "1e5|", "no exponent"},
		{"price", "c", "1,234.50|", "a decimal"},
		{"price", "{column: c, thousands: ','}", "1,2345|", `thousands ","`},
		{"price", "{column: c, decimal: ','}", "1.50|", `decimal separator is ","`},
		{"price", "c", "NaN|", "a decimal"},
		{"price", "c", "1234567890123456789|", "at most 18 digits"},
		{"fees", "[c, d]", "1|x", "a decimal"},
		{"trade_date", "c", "2026-02-30|", "YYYY-MM-DD"},
		{"trade_date", "{column: c, dates: [DD/MM/YYYY]}", "31/13/2026|", "DD/MM/YYYY"},
		{"isin", "c", "US0378331006|", "check digit"},
		{"currency", "c", "GBX|", "ISO 4217"},
		{"trade_id", "c", strings.Repeat("x", 129) + "|", "at most 128 bytes"},
	} {
		_, e := one(t, tc.field, tc.form, tc.value)
		if e == nil || e.Line != 2 || e.Column == "" || e.Value == "" || !strings.Contains(e.Expected, tc.expected) {
			t.Errorf("%s of %q: got %+v", tc.form, tc.value, e)
		}
	}
}

func TestMappingsAreReadStrictly(t *testing.T) {
	for text, want := range map[string]string{
		"colour: c":                                    "line 1: there is no field",
		"side: c\nside: d":                             "twice",
		"side: {colum: c}":                             `there is no "colum"`,
		"side: {}":                                     "names no column",
		"side: {column: c, constant: buy}":             "beside a column",
		"side: [a, b]":                                 "made from one column",
		"price: {column: c, decimal: x}":               `must be "." or ","`,
		"price: {column: c, thousands: '.'}":           "not the same as decimal",
		"price: {column: c, scale: -1}":                "above 0",
		"account: {column: c, scale: 2}":               "for numbers",
		"account: {column: c, strip: '['}":             "strip",
		"account: {column: c, dates: [YYYY]}":          "trade_date",
		"trade_date: {column: c, dates: [YY]}":         "date format",
		"trade_date: {column: c, dates: [DD/DD/YYYY]}": "date format",
		"currency: {constant: dollars}":                "ISO 4217",
		"quantity: {column: c, sign: true}":            "for side",
		"side: {column: c, column: d}":                 "already",
		"- side":                                       "must be a mapping",
	} {
		var m intake.Mapping
		if err := yaml.Unmarshal([]byte(text), &m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

const mappedColumns = "{trade_id: id, symbol: symbol, quantity: qty}"

func TestFilesThatAreNoneSayWhatTheyAre(t *testing.T) {
	l := intake.Layout{Mapping: mapping(t, mappedColumns)}
	for text, want := range map[string]string{
		"": "the file is empty", "\n \n": "the file is empty", "\ufeff": "the file is empty",
		"<?xml version=\"1.0\"?><a/>": "this is XML", "\x1f\x8b\x08": "this is gzip", "PK\x03\x04x": "spreadsheet",
		"\xff\xfei\x00d\x00": "UTF-16", "i\x00d\x00,\x00": "NUL bytes", "[{}]": "JSON array", "%PDF-1.7": "PDF", "8=FIX.4.4\x01": "FIX messages",
		"id,symbol\n1,A\n":                     `no column "qty"`,
		"id;symbol;qty\n1;A;1\n":               `must be separated by ","`,
		"id,symbol,qty,id\n1,A,1,2\n":          `column "id" 2 times`,
		"\"id,symbol,qty\n":                    "not closed",
		"id,symbol,qty\xff\n":                  "not valid UTF-8",
		strings.Repeat("x", 70<<10) + ",\n1\n": "over 65536 bytes",
	} {
		_, _, err := readAll(t, text, l)
		var f *fault.Error
		if !errors.As(err, &f) || f.Kind != fault.Invalid || !strings.Contains(f.Message, want) {
			t.Errorf("%.30q: got %v, want %q", text, err, want)
		}
	}
	l.Format = intake.CSV
	if _, _, err := readAll(t, `{"id":1}`, l); err == nil || !strings.Contains(err.Error(), "begins like JSON") {
		t.Errorf("got %v", err)
	}
}

func TestBadLinesAreReportedAndLeftOut(t *testing.T) {
	l := intake.Layout{Mapping: mapping(t, mappedColumns)}
	text := "note,id,symbol,qty\r\nx,1,A,1\r\n\nx,2,B\nx,3,C,-1\nx,4,\"D\",4\nx,\x00,E,5\nx,6,F,6,7\nx,7,\"G,7"
	records, report, err := readAll(t, text, l)
	if err != nil || len(records) != 2 || report.Rows != 2 || report.BadLines != 5 || records[1].Get(intake.Symbol) != "D" || records[1].Line != 6 {
		t.Fatalf("got %+v, %+v, %v", records, report, err)
	}
	for i, want := range []struct {
		line    int
		problem string
	}{{4, "names 4 columns, the line has 3"}, {5, "above 0"}, {7, "control character"}, {8, "has 5"}, {9, "not closed"}} {
		if e := report.Errors[i]; e.Line != want.line || !strings.Contains(e.Problem, want.problem) {
			t.Errorf("got %+v, want %+v", e, want)
		}
	}
}

func TestObjectsAreReadByTheSameMapping(t *testing.T) {
	l := intake.Layout{Mapping: mapping(t, mappedColumns)}
	records, report, err := readAll(t, `{"id":1,"symbol":"A","qty":1.50,"more":{"x":[1]}}`+"\n"+`{"symbol":"B","id":null,"qty":"2"}`+"\n"+`{"qty":[]}`+"\n{\n", l)
	if err != nil || len(records) != 2 || report.BadLines != 2 {
		t.Fatalf("got %+v, %+v, %v", records, report, err)
	}
	if records[0].Get(intake.TradeID) != "1" || records[0].Get(intake.Quantity) != "1.5" || records[1].Get(intake.TradeID) != "" {
		t.Errorf("got %+v", records)
	}
}

// oneLine is a line of a given length that nobody holds in memory.
type oneLine struct{ left int }

func (e *oneLine) Read(b []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := min(len(b), e.left)
	for i := range b[:n] {
		b[i] = 'x'
	}
	e.left -= n
	return n, nil
}

func TestALineOfAHundredMegabytesTakesNoMemory(t *testing.T) {
	in := io.MultiReader(strings.NewReader("id,symbol,qty\n1,A,1\n"), &oneLine{100 << 20}, strings.NewReader("\n2,B,2\n"))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	rows := 0
	report, err := intake.ReadRecords(in, intake.Layout{Mapping: mapping(t, mappedColumns)}, func(*intake.Record) error { rows++; return nil })
	runtime.ReadMemStats(&after)
	if err != nil || rows != 2 || report.BadLines != 1 || report.Errors[0].Line != 3 || !strings.Contains(report.Errors[0].Problem, "over 65536 bytes") {
		t.Errorf("%d rows, %+v, %v", rows, report, err)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 4<<20 {
		t.Errorf("%d bytes were allocated", got)
	}
}

func TestTruncatedFilesKeepTheirWholeLines(t *testing.T) {
	text := "id,symbol,qty\n1,A,1\n2,B,2\n3,C,3"
	for end := range len(text) {
		records, _, err := readAll(t, text[:end], intake.Layout{Mapping: mapping(t, mappedColumns)})
		if whole := strings.Count(text[:end], "\n") - 1; err == nil && len(records) < whole {
			t.Errorf("%q: %d records", text[:end], len(records))
		}
	}
}

// Strings that break programs are values like others, or problems of their line.
func TestNaughtyStringsBreakNothing(t *testing.T) {
	list := []string{"NULL", "1/0", "$1.00", "0x0", "123456789012345678901234567890", "<script>alert(1)</script>", "'; DROP TABLE x--", "Ω≈ç√∫", "田中さん", "\u202etest", "=cmd|' /C calc'!A0", "\ufffe"}
	if dir := os.Getenv("FINOBS_SAMPLE_DATA"); dir != "" {
		text, err := os.ReadFile(filepath.Join(dir, "naughty_strings", "blns.part1.txt"))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, strings.Split(string(text), "\n")...)
	}
	l := intake.Layout{Mapping: mapping(t, "{trade_id: id, symbol: symbol, quantity: qty, price: px, trade_date: traded, account: account}")}
	for _, s := range list {
		cell := `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
		records, report, err := readAll(t, "id,symbol,qty,px,traded,account\n"+strings.Repeat(cell+",", 5)+cell+"\n1,A,1,1,2026-06-12,B\n", l)
		if err != nil || report.Rows+report.BadLines < 2 || records[len(records)-1].Get(intake.Account) != "B" {
			t.Errorf("%q: %+v, %v", s, report, err)
		}
		if records, _, err := readAll(t, "id,symbol,qty,px,traded,account\n"+cell+",A,1,1,2026-06-12,"+cell+"\n", l); err != nil ||
			len(records) == 1 && records[0].Get(intake.Account) != strings.TrimSpace(s) {
			t.Errorf("%q: got %+v, %v", s, records, err)
		}
	}
}

func FuzzReadRecords(f *testing.F) {
	for _, seed := range []string{"id,symbol,qty\n1,A,1\n", "id,symbol,qty\n\"1,A", "{\"id\":1}\n", "\xff\xfe", "", "id,symbol,qty\n1,A,1e9\n"} {
		f.Add([]byte(seed), byte(0))
		f.Add([]byte(seed), byte(1))
	}
	m := mapping(f, "{trade_id: id, symbol: {column: symbol, map: {a: b}}, quantity: {column: qty, thousands: ',', absolute: true}}")
	f.Fuzz(func(t *testing.T, text []byte, format byte) {
		l := intake.Layout{Mapping: m, Format: []intake.Format{"", intake.CSV, intake.NDJSON}[format%3]}
		rows := 0
		report, err := intake.ReadRecords(bytes.NewReader(text), l, func(r *intake.Record) error {
			rows++
			for _, field := range intake.AllFields() {
				if v := r.Get(field); !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
					t.Errorf("%s is %q", field, v)
				}
			}
			return nil
		})
		if err == nil && (rows != report.Rows || report.Rows+report.BadLines > report.Lines) {
			t.Errorf("%d rows of %+v", rows, report)
		}
	})
}
