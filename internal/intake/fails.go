// Package intake reads the files that come in. It reports what is wrong with a
// file line by line, and never lets a bad line hide the good ones.
package intake

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"finobs/internal/fault"

	"github.com/shopspring/decimal"
)

// The SEC's fails-to-deliver format: https://www.sec.gov/data-research/sec-markets-data/fails-deliver-data
const (
	failsHeader    = "SETTLEMENT DATE|CUSIP|SYMBOL|QUANTITY (FAILS)|DESCRIPTION|PRICE"
	trailerRecords = "Trailer record count "
	trailerShares  = "Trailer total quantity of shares "
)

const (
	maxLine    = 64 << 10 // bytes
	maxReports = 1000     // errors, and as many warnings, that a report lists
	maxText    = 200      // bytes of an offending line that a report shows
)

// Fail is one line: the shares of a security that had not been delivered at a
// settlement date. It is a balance, not the new fails of that day.
type Fail struct {
	Line           int
	SettlementDate time.Time // midnight UTC
	CUSIP          string
	Symbol         string
	Quantity       int64 // shares, at least 1
	Description    string
	Price          decimal.NullDecimal // US dollars, closing price of the day before
}

// LineError says what is wrong with a line and how to mend it.
type LineError struct {
	Line    int    `json:"line"` // from 1; 0 when it is about the whole file
	Column  string `json:"column,omitempty"`
	Problem string `json:"problem"`
	Text    string `json:"text,omitempty"` // the beginning of the line, made printable
}

// The states of a file's two trailer lines.
const (
	TrailerAgrees    = "agrees"
	TrailerMissing   = "missing"
	TrailerDisagrees = "disagrees"
)

// Report is what was read. The counts are complete; the lists end at 1,000.
type Report struct {
	Lines           int         `json:"lines"`
	Rows            int         `json:"rows"`      // good ones
	BadLines        int         `json:"bad_lines"` // not imported
	TotalShares     int64       `json:"total_shares"`
	Errors          []LineError `json:"errors"`
	ErrorsOmitted   int         `json:"errors_omitted"`
	Warnings        []LineError `json:"warnings"` // imported, but look at them
	WarningsOmitted int         `json:"warnings_omitted"`
	TrailerStatus   string      `json:"trailer_status"` // agrees, missing or disagrees
	TrailerRecords  *int64      `json:"trailer_records"`
	TrailerShares   *int64      `json:"trailer_shares"`
}

// ReadFails reads a file and calls yield for each good line. Memory does not grow
// with the file. It fails when the input is no fails file at all, and with
// whatever yield returns.
func ReadFails(r io.Reader, yield func(Fail) error) (Report, error) {
	f := &failsReader{in: bufio.NewReaderSize(r, maxLine), yield: yield}
	f.report.Errors, f.report.Warnings = []LineError{}, []LineError{}
	if err := f.header(); err != nil {
		return f.report, err
	}
	for {
		line, tooLong, err := f.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return f.report, fmt.Errorf("reading line %d: %w", f.report.Lines+1, err)
		}
		if tooLong {
			f.records++
			f.bad(LineError{Problem: fmt.Sprintf("the line is over %d bytes", maxLine)}, line)
			continue
		}
		if err := f.take(line); err != nil {
			return f.report, err
		}
	}
	f.judgeTrailer()
	return f.report, nil
}

type failsReader struct {
	in     *bufio.Reader
	yield  func(Fail) error
	report Report
	// records counts the data lines, bad ones too; a bad trailer line is none.
	records int64
}

// next returns the next line without its end. Of a line that is too long it
// returns the beginning and skips the rest without keeping it.
func (f *failsReader) next() (line []byte, tooLong bool, err error) {
	line, err = f.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		line = bytes.Clone(line[:maxText])
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = f.in.ReadSlice('\n')
		}
		tooLong = true
	}
	if errors.Is(err, io.EOF) && len(line) > 0 {
		err = nil // the last line has no end
	}
	if err != nil {
		return nil, false, err
	}
	f.report.Lines++
	return bytes.TrimRight(line, "\r\n"), tooLong, nil
}

func (f *failsReader) header() error {
	line, _, err := f.next()
	if errors.Is(err, io.EOF) {
		return fault.New(fault.Invalid, "not-a-fails-file", "the file is empty; its first line must be %q", failsHeader)
	}
	if err != nil {
		return fmt.Errorf("reading header: %w", err)
	}
	line = bytes.TrimPrefix(line, []byte("\ufeff"))
	got := strings.Split(strings.ToUpper(string(line)), "|")
	for i := range got {
		got[i] = strings.TrimSpace(got[i])
	}
	if strings.Join(got, "|") != failsHeader {
		return fault.New(fault.Invalid, "not-a-fails-file", "the first line is %q; a fails-to-deliver file begins with %q",
			printable(line), failsHeader)
	}
	return nil
}

// take judges one line after the header.
func (f *failsReader) take(line []byte) error {
	text := strings.TrimSpace(string(line))
	switch {
	case text == "":
		return nil
	case strings.HasPrefix(text, trailerRecords):
		f.trailer(line, &f.report.TrailerRecords, strings.TrimPrefix(text, trailerRecords))
		return nil
	case strings.HasPrefix(text, trailerShares):
		f.trailer(line, &f.report.TrailerShares, strings.TrimPrefix(text, trailerShares))
		return nil
	}
	f.records++
	if f.report.TrailerRecords != nil || f.report.TrailerShares != nil {
		f.bad(LineError{Problem: "data after the trailer; are two files joined? import them one by one"}, line)
		return nil
	}
	fail, problem := parseFail(line)
	if problem != nil {
		f.bad(*problem, line)
		return nil
	}
	if fail.Quantity > math.MaxInt64-f.report.TotalShares {
		f.bad(LineError{Column: "QUANTITY (FAILS)", Problem: "with this line the file's shares add up to more than a 64-bit number holds; correct the quantity"}, line)
		return nil
	}
	fail.Line = f.report.Lines
	if problem := CheckCUSIP(fail.CUSIP); problem != "" {
		f.warn(LineError{Line: fail.Line, Column: "CUSIP", Problem: problem + "; the line is imported as it is", Text: printable(line)})
	}
	f.report.Rows++
	f.report.TotalShares += fail.Quantity
	return f.yield(fail)
}

func (f *failsReader) trailer(line []byte, into **int64, digits string) {
	n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
	switch {
	case err != nil || n < 0:
		f.bad(LineError{Problem: "the trailer's number cannot be read"}, line)
	case *into != nil:
		f.bad(LineError{Problem: "the trailer comes twice; are two files joined? import them one by one"}, line)
	default:
		*into = &n
	}
}

// judgeTrailer compares the trailer with the lines. Bad lines count as records,
// so that one of them is not reported twice; their shares are not known.
func (f *failsReader) judgeTrailer() {
	r := &f.report
	if r.TrailerRecords == nil || r.TrailerShares == nil {
		r.TrailerStatus = TrailerMissing
		f.warn(LineError{Problem: "it does not end with its two trailer lines and may be cut off"})
		return
	}
	r.TrailerStatus = TrailerAgrees
	if *r.TrailerRecords != f.records {
		r.TrailerStatus = TrailerDisagrees
		f.warn(LineError{Problem: fmt.Sprintf("the trailer says %d records, the file has %d", *r.TrailerRecords, f.records)})
	}
	if *r.TrailerShares != r.TotalShares {
		r.TrailerStatus = TrailerDisagrees
		problem := fmt.Sprintf("the trailer says %d shares, the good lines add up to %d", *r.TrailerShares, r.TotalShares)
		if bad := f.records - int64(r.Rows); bad > 0 {
			problem += fmt.Sprintf("; bad lines, whose shares are not in the sum: %d", bad)
		}
		f.warn(LineError{Problem: problem})
	}
}

func (f *failsReader) bad(e LineError, line []byte) {
	e.Line, e.Text = f.report.Lines, printable(line)
	f.report.BadLines++
	if len(f.report.Errors) == maxReports {
		f.report.ErrorsOmitted++
		return
	}
	f.report.Errors = append(f.report.Errors, e)
}

func (f *failsReader) warn(e LineError) {
	if len(f.report.Warnings) == maxReports {
		f.report.WarningsOmitted++
		return
	}
	f.report.Warnings = append(f.report.Warnings, e)
}

// printable makes the beginning of a line or field safe to show: at most maxText
// bytes of valid UTF-8 without control characters.
func printable(line []byte) string {
	var b strings.Builder
	for len(line) > 0 {
		r, size := utf8.DecodeRune(line)
		if unicode.IsControl(r) {
			r = utf8.RuneError
		}
		if b.Len()+utf8.RuneLen(r) > maxText {
			break
		}
		b.WriteRune(r)
		line = line[size:]
	}
	return b.String()
}
