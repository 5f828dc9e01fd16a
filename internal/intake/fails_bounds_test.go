package intake_test

import (
	"io"
	"math"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"finobs/internal/intake"

	"pgregory.net/rapid"
)

// A report is stored and sent, so no line may make it large or unsafe to show.
func TestWhatAReportShowsIsShortAndPrintable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fields := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 150, 400), 1, 7).Draw(t, "fields")
		line := make([]string, len(fields))
		for i, f := range fields {
			line[i] = strings.ReplaceAll(string(f), "\n", "")
		}
		report, err := intake.ReadFails(strings.NewReader(header+strings.Join(line, "|")+"\n"), func(intake.Fail) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range append(report.Errors, report.Warnings...) {
			if len(e.Text) > 200 || !utf8.ValidString(e.Text) || strings.ContainsFunc(e.Text, unicode.IsControl) {
				t.Fatalf("text of %d bytes: %q", len(e.Text), e.Text)
			}
		}
	})
}

func TestALongFieldIsNotRepeatedWhole(t *testing.T) {
	long := strings.Repeat("9", 60_000)
	for name, line := range map[string]string{
		"date":     long + "|023135106|AMZN|1|X|1",
		"CUSIP":    "20210104|" + long + "|AMZN|1|X|1",
		"quantity": "20210104|023135106|AMZN|" + long + "|X|1",
		"price":    "20210104|023135106|AMZN|1|X|" + long,
	} {
		_, report := read(t, header+line+"\n")
		if len(report.Errors) != 1 || len(report.Errors[0].Problem) > 1000 {
			t.Errorf("%s: %d errors, the first of %d bytes", name, len(report.Errors), len(report.Errors[0].Problem))
		}
	}
}

func TestTotalSharesDoNotOverflow(t *testing.T) {
	row := "20210104|023135106|AMZN|" + strconv.FormatInt(math.MaxInt64, 10) + "|X|1\n"
	fails, report := read(t, header+row+row)
	if len(fails) != 1 || report.BadLines != 1 || report.TotalShares != math.MaxInt64 {
		t.Errorf("%d rows, report %+v", len(fails), report)
	}
}

func TestOldEncodingsAreForDescriptionsOnly(t *testing.T) {
	for name, tc := range map[string]struct{ line, column string }{
		"symbol":              {"20210104|023135106|AMZ\xc9|1|X|1", "SYMBOL"},
		"C1 control in UTF-8": {"20210104|023135106|AMZN|1|X\u0085Y|1", ""},
	} {
		_, report := read(t, header+tc.line+"\n")
		if report.BadLines != 1 || report.Errors[0].Column != tc.column {
			t.Errorf("%s: report %+v", name, report)
		}
	}
	fails, _ := read(t, header+"20210104|023135106|AMZN|1|X\x92S|1\n")
	if len(fails) != 1 || fails[0].Description != "X’S" {
		t.Errorf("a curly quote of Windows-1252: %+v", fails)
	}
}

// A corrupted line is still a record of the trailer's count; a repeated trailer
// line is not.
func TestRecordCountIsOfDataLines(t *testing.T) {
	const row = "20210104|023135106|AMZN|5|X|1\n"
	const count, shares = "Trailer record count 2\n", "Trailer total quantity of shares 10\n"
	says := func(r intake.Report, what string) bool {
		for _, w := range r.Warnings {
			if strings.Contains(w.Problem, what) {
				return true
			}
		}
		return false
	}
	_, corrupted := read(t, header+row+"2021010x|023135106|AMZN|5|X|1\n"+count+shares)
	if says(corrupted, "records") || !says(corrupted, "not in the sum: 1") || corrupted.TrailerStatus != intake.TrailerDisagrees {
		t.Errorf("one corrupted line: %+v", corrupted)
	}
	_, repeated := read(t, header+row+row+count+shares+shares)
	if repeated.TrailerStatus != intake.TrailerAgrees || repeated.BadLines != 1 {
		t.Errorf("a repeated trailer line: %+v", repeated)
	}
}

// ReadFails holds no more than the beginning of a line that is too long.
func TestAnEndlessLineIsNotBuffered(t *testing.T) {
	in := io.MultiReader(strings.NewReader(header), io.LimitReader(endless{}, 64<<20),
		strings.NewReader("\n20210104|023135106|AMZN|5|X|1\n"))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	report, err := intake.ReadFails(in, func(intake.Fail) error { return nil })
	runtime.ReadMemStats(&after)
	if err != nil || report.Rows != 1 || report.BadLines != 1 || report.Errors[0].Line != 2 {
		t.Errorf("err %v, report %+v", err, report)
	}
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 4<<20 {
		t.Errorf("%d bytes allocated for a line of 64 MiB", allocated)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'A'
	}
	return len(p), nil
}
