package intake_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"finobs/internal/fault"
	"finobs/internal/intake"

	"pgregory.net/rapid"
)

const header = "SETTLEMENT DATE|CUSIP|SYMBOL|QUANTITY (FAILS)|DESCRIPTION|PRICE\n"

func read(t *testing.T, text string) ([]intake.Fail, intake.Report) {
	t.Helper()
	var fails []intake.Fail
	report, err := intake.ReadFails(strings.NewReader(text), func(f intake.Fail) error {
		fails = append(fails, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return fails, report
}

func TestReadFailsOfTheShippedSlice(t *testing.T) {
	text, err := os.ReadFile("../../samples/sec_fails_slice.txt")
	if err != nil {
		t.Fatal(err)
	}
	fails, report := read(t, string(text))
	if report.TrailerStatus != intake.TrailerAgrees || report.BadLines != 0 || len(fails) != report.Rows || report.Rows == 0 {
		t.Errorf("report %+v", report)
	}
	if *report.TrailerRecords != int64(report.Rows) || *report.TrailerShares != report.TotalShares {
		t.Errorf("trailer says %d and %d", *report.TrailerRecords, *report.TrailerShares)
	}
	withoutPrice := 0
	for _, f := range fails {
		if !f.Price.Valid {
			withoutPrice++
		}
	}
	if withoutPrice == 0 {
		t.Error("the slice has no line without a price")
	}
}

func TestReadFailsTolerates(t *testing.T) {
	const row = "20210104|023135106|AMZN|19305|AMAZON COM INC|8.00"
	const trailer = "Trailer record count 1\nTrailer total quantity of shares 19305\n"
	for name, text := range map[string]string{
		"line feeds":           header + row + "\n" + trailer,
		"carriage returns":     strings.ReplaceAll(header+row+"\n"+trailer, "\n", "\r\n"),
		"no final line end":    strings.TrimSuffix(header+row+"\n"+trailer, "\n"),
		"byte order mark":      "\ufeff" + header + row + "\n" + trailer,
		"blank lines":          header + row + "\n\n" + trailer + "\n\n",
		"trailer upside down":  header + row + "\nTrailer total quantity of shares 19305\nTrailer record count 1\n",
		"header in lower case": strings.ToLower(header) + row + "\n" + trailer,
		"spaces in the header": strings.ReplaceAll(header, "|", " | ") + row + "\n" + trailer,
	} {
		fails, report := read(t, text)
		if len(fails) != 1 || report.BadLines != 0 || report.TrailerStatus != intake.TrailerAgrees || len(report.Warnings) != 0 {
			t.Errorf("%s: %d rows, report %+v", name, len(fails), report)
		}
	}
	fails, _ := read(t, header+"20210104|023135106|AMZN|1|SOCI\xc9T\xc9 G\xc9N\xc9RALE|.\n")
	if len(fails) != 1 || fails[0].Description != "SOCIÉTÉ GÉNÉRALE" || fails[0].Price.Valid {
		t.Errorf("Latin-1: %+v", fails)
	}
}

func TestReadFailsReportsBadLines(t *testing.T) {
	for name, tc := range map[string]struct{ line, column, problem string }{
		"no such day":        {"20210230|023135106|AMZN|1|X|1", "SETTLEMENT DATE", "not a calendar date"},
		"date with dashes":   {"2021-01-04|023135106|AMZN|1|X|1", "SETTLEMENT DATE", "YYYYMMDD"},
		"short CUSIP":        {"20210104|02313510|AMZN|1|X|1", "CUSIP", "nine characters"},
		"CUSIP in lower":     {"20210104|g2313510a|AMZN|1|X|1", "CUSIP", "nine characters"},
		"no shares":          {"20210104|023135106|AMZN|0|X|1", "QUANTITY (FAILS)", "positive whole number"},
		"negative shares":    {"20210104|023135106|AMZN|-5|X|1", "QUANTITY (FAILS)", "positive whole number"},
		"half a share":       {"20210104|023135106|AMZN|1.5|X|1", "QUANTITY (FAILS)", "positive whole number"},
		"grouped shares":     {"20210104|023135106|AMZN|1,000|X|1", "QUANTITY (FAILS)", "positive whole number"},
		"overflowing shares": {"20210104|023135106|AMZN|9223372036854775808|X|1", "QUANTITY (FAILS)", "positive whole number"},
		"no quantity":        {"20210104|023135106|AMZN||X|1", "QUANTITY (FAILS)", "positive whole number"},
		"huge price":         {"20210104|023135106|AMZN|1|X|1e999", "PRICE", "plain decimal"},
		"negative price":     {"20210104|023135106|AMZN|1|X|-1", "PRICE", "plain decimal"},
		"text price":         {"20210104|023135106|AMZN|1|X|N/A", "PRICE", "plain decimal"},
		"five fields":        {"20210104|023135106|AMZN|1|X", "", "6 fields are expected, the line has 5"},
		"a bar in a name":    {"20210104|023135106|AMZN|1|A|B|1", "", "6 fields are expected, the line has 7"},
		"NUL":                {"20210104|023135106|AM\x00ZN|1|X|1", "", "control character"},
		"an escape":          {"20210104|023135106|AMZN|1|\x1b[31mX|1", "", "control character"},
		"an endless line":    {"20210104|023135106|AMZN|1|" + strings.Repeat("A", 200_000) + "|1", "", "over 65536 bytes"},
	} {
		good := "20210105|023135106|AMZN|2|X|1\n"
		fails, report := read(t, header+good+tc.line+"\n"+good)
		if len(fails) != 2 || report.BadLines != 1 || len(report.Errors) != 1 {
			t.Errorf("%s: %d rows, report %+v", name, len(fails), report)
			continue
		}
		e := report.Errors[0]
		if e.Line != 3 || e.Column != tc.column || !strings.Contains(e.Problem, tc.problem) {
			t.Errorf("%s: got %+v", name, e)
		}
		if strings.ContainsAny(e.Text, "\x00\x1b") || len(e.Text) > 3*200 {
			t.Errorf("%s: the text %q is not safe to show", name, e.Text)
		}
	}
}

func TestReadFailsJudgesTheTrailer(t *testing.T) {
	const row = "20210104|023135106|AMZN|5|X|1\n"
	for name, tc := range map[string]struct {
		rest   string
		status string
		bad    int
	}{
		"agrees":           {row + "Trailer record count 1\nTrailer total quantity of shares 5\n", intake.TrailerAgrees, 0},
		"missing":          {row, intake.TrailerMissing, 0},
		"half":             {row + "Trailer record count 1\n", intake.TrailerMissing, 0},
		"a row was cut":    {row + "Trailer record count 2\nTrailer total quantity of shares 10\n", intake.TrailerDisagrees, 0},
		"shares differ":    {row + "Trailer record count 1\nTrailer total quantity of shares 6\n", intake.TrailerDisagrees, 0},
		"rows come after":  {row + "Trailer record count 1\nTrailer total quantity of shares 5\n" + row, intake.TrailerDisagrees, 1},
		"number is a word": {row + "Trailer record count one\nTrailer total quantity of shares 5\n", intake.TrailerMissing, 1},
	} {
		_, report := read(t, header+tc.rest)
		if report.TrailerStatus != tc.status || report.BadLines != tc.bad {
			t.Errorf("%s: got %s with %d bad lines", name, report.TrailerStatus, report.BadLines)
		}
		if tc.status != intake.TrailerAgrees && len(report.Warnings) == 0 {
			t.Errorf("%s: no warning", name)
		}
	}
}

func TestReadFailsRefusesWhatIsNoFailsFile(t *testing.T) {
	for name, text := range map[string]string{
		"empty":        "",
		"other header": "date,cusip\n1,2\n",
		"no header":    "20210104|023135106|AMZN|5|X|1\n",
		"binary":       "\x00\x01\x02\xff",
	} {
		_, err := intake.ReadFails(strings.NewReader(text), func(intake.Fail) error { return nil })
		if fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestReadFailsStopsWithYield(t *testing.T) {
	stop := errors.New("stop")
	_, err := intake.ReadFails(strings.NewReader(header+"20210104|023135106|A|5|X|1\n"), func(intake.Fail) error { return stop })
	if !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
}

func TestReportListsAreBounded(t *testing.T) {
	_, report := read(t, header+strings.Repeat("nonsense\n", 2500))
	if report.BadLines != 2500 || len(report.Errors) != 1000 || report.ErrorsOmitted != 1500 {
		t.Errorf("%d bad lines, %d listed, %d omitted", report.BadLines, len(report.Errors), report.ErrorsOmitted)
	}
}

func TestCheckCUSIP(t *testing.T) {
	for cusip, fine := range map[string]bool{
		"023135106": true,  // Amazon
		"037833100": true,  // Apple
		"38259P508": true,  // Google, with a letter
		"B38564108": true,  // Euronav, a CINS number
		"023135107": false, // wrong check digit
		"02313510":  false,
		"":          false,
	} {
		if problem := intake.CheckCUSIP(cusip); (problem == "") != fine {
			t.Errorf("%s: %q", cusip, problem)
		}
	}
	_, report := read(t, header+"20210104|023135107|AMZN|5|X|1\n")
	if report.Rows != 1 || len(report.Warnings) == 0 || report.Warnings[0].Column != "CUSIP" {
		t.Errorf("a wrong check digit is not reported and kept: %+v", report)
	}
}

// What ReadFails yields is what was written, whatever else the file holds.
func TestReadFailsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 30).Draw(t, "rows")
		var b strings.Builder
		b.WriteString(header)
		var total int64
		for i := range n {
			q := rapid.Int64Range(1, 1<<40).Draw(t, "quantity")
			total += q
			fmt.Fprintf(&b, "202101%02d|023135106|AMZN|%d|NAME|%d.%02d\n", i%28+1, q, i, i)
		}
		fmt.Fprintf(&b, "Trailer record count %d\nTrailer total quantity of shares %d\n", n, total)
		var sum int64
		report, err := intake.ReadFails(strings.NewReader(b.String()), func(f intake.Fail) error { sum += f.Quantity; return nil })
		if err != nil || report.Rows != n || sum != total || report.TrailerStatus != intake.TrailerAgrees {
			t.Fatalf("err %v, report %+v", err, report)
		}
	})
}

func FuzzReadFails(f *testing.F) {
	f.Add(header + "20210104|023135106|AMZN|5|X|1\nTrailer record count 1\nTrailer total quantity of shares 5\n")
	f.Add("\ufeff" + header + "|||||\n\x00")
	f.Fuzz(func(t *testing.T, text string) {
		rows := 0
		report, err := intake.ReadFails(strings.NewReader(text), func(x intake.Fail) error {
			rows++
			if x.Quantity <= 0 || len(x.CUSIP) != 9 || !utf8.ValidString(x.Description) || strings.Contains(x.Description, "\x00") {
				t.Errorf("yielded %+v", x)
			}
			return nil
		})
		if err == nil && (report.Rows != rows || report.Lines < report.Rows+report.BadLines) {
			t.Errorf("report %+v for %d rows", report, rows)
		}
	})
}
