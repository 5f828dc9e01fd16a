// Package intake reads the files that come in. It reports what is wrong with a
// file line by line, and never lets a bad line hide the good ones.
package intake

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"finobs/internal/fault"

	"github.com/shopspring/decimal"
)

// The SEC's fails-to-deliver format: https://www.sec.gov/data-research/sec-markets-data/fails-deliver-data
const (
	failsHeader    = "SETTLEMENT DATE|CUSIP|SYMBOL|QUANTITY (FAILS)|DESCRIPTION|PRICE"
	trailerRecords = "Trailer record count "
	trailerShares  = "Trailer total quantity of shares "
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

// The states of a file's two trailer lines.
const (
	TrailerAgrees    = "agrees"
	TrailerMissing   = "missing"
	TrailerDisagrees = "disagrees"
)

// Report is what was read of a fails file.
type Report struct {
	LineReport
	TotalShares    int64  `json:"total_shares"`
	TrailerStatus  string `json:"trailer_status"` // agrees, missing or disagrees
	TrailerRecords *int64 `json:"trailer_records"`
	TrailerShares  *int64 `json:"trailer_shares"`
}

// ReadFails reads a file and calls yield for each good line. Memory does not grow
// with the file. It fails when the input is no fails file at all, and with
// whatever yield returns.
func ReadFails(r io.Reader, yield func(Fail) error) (Report, error) {
	f := &failsReader{yield: yield}
	f.in = newLineReader(r, &f.report.LineReport)
	if err := f.header(); err != nil {
		return f.report, err
	}
	if err := f.in.each(f.take, func() { f.records++ }); err != nil {
		return f.report, err
	}
	f.judgeTrailer()
	return f.report, nil
}

type failsReader struct {
	in     lineReader
	yield  func(Fail) error
	report Report
	// records counts the data lines, bad ones too; a bad trailer line is none.
	records int64
}

func (f *failsReader) header() error {
	line, _, err := f.in.next()
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
		f.report.bad(LineError{Problem: "data after the trailer; are two files joined? import them one by one"}, line)
		return nil
	}
	fail, problem := parseFail(line)
	if problem != nil {
		f.report.bad(*problem, line)
		return nil
	}
	if fail.Quantity > math.MaxInt64-f.report.TotalShares {
		f.report.bad(LineError{Column: "QUANTITY (FAILS)", Problem: "with this line the file's shares add up to more than a 64-bit number holds; correct the quantity"}, line)
		return nil
	}
	fail.Line = f.report.Lines
	if problem := CheckCUSIP(fail.CUSIP); problem != "" {
		f.report.warn(LineError{Line: fail.Line, Column: "CUSIP", Problem: problem + "; the line is imported as it is", Text: printable(line)})
	}
	f.report.Rows++
	f.report.TotalShares += fail.Quantity
	return f.yield(fail)
}

func (f *failsReader) trailer(line []byte, into **int64, digits string) {
	n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
	switch {
	case err != nil || n < 0:
		f.report.bad(LineError{Problem: "the trailer's number cannot be read"}, line)
	case *into != nil:
		f.report.bad(LineError{Problem: "the trailer comes twice; are two files joined? import them one by one"}, line)
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
		f.report.warn(LineError{Problem: "it does not end with its two trailer lines and may be cut off"})
		return
	}
	r.TrailerStatus = TrailerAgrees
	if *r.TrailerRecords != f.records {
		r.TrailerStatus = TrailerDisagrees
		f.report.warn(LineError{Problem: fmt.Sprintf("the trailer says %d records, the file has %d", *r.TrailerRecords, f.records)})
	}
	if *r.TrailerShares != r.TotalShares {
		r.TrailerStatus = TrailerDisagrees
		problem := fmt.Sprintf("the trailer says %d shares, the good lines add up to %d", *r.TrailerShares, r.TotalShares)
		if bad := f.records - int64(r.Rows); bad > 0 {
			problem += fmt.Sprintf("; bad lines, whose shares are not in the sum: %d", bad)
		}
		f.report.warn(LineError{Problem: problem})
	}
}
