package intake

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"finobs/internal/fault"
	"finobs/internal/transaction"
)

// maxObject bounds the one object of a JSON file, in bytes.
const maxObject = 1 << 20

// ReadTransactions reads a file and calls yield for each good line with its
// number; the transaction has no source and no origin yet, and is yield's until
// it returns. Memory does not grow with the file. It fails when the input is no
// file of transactions at all, and with whatever yield returns.
func ReadTransactions(r io.Reader, format Format, yield func(line int, t *transaction.Transaction) error) (TransactionReport, error) {
	t := &transactionsReader{yield: yield}
	t.in = newLineReader(r, &t.report.LineReport)
	var err error
	switch format {
	case CSV:
		err = t.csv()
	case NDJSON:
		err = t.in.each(func(line []byte) error {
			if t.report.Lines == 1 {
				line = bytes.TrimPrefix(line, []byte(byteOrderMark))
			}
			return t.object(line)
		}, func() {})
	case JSON:
		err = t.single(r)
	default:
		err = fault.New(fault.Invalid, "unknown-format", "format %q must be csv, ndjson or json", shown(string(format)))
	}
	return t.report, err
}

const byteOrderMark = "\ufeff"

type transactionsReader struct {
	in     lineReader
	yield  func(int, *transaction.Transaction) error
	report TransactionReport
	header []*column // of a CSV file, by position
	fields []string  // of a line, used again for the next
	bytes  bytes.Reader
	// current is filled by the columns of a line.
	current transaction.Transaction
}

// csv reads a header and then a record a line. No column can hold a line break,
// so a quote that is not closed never swallows the lines after it.
func (t *transactionsReader) csv() error {
	line, tooLong, err := t.in.next()
	switch {
	case errors.Is(err, io.EOF):
		return fault.New(fault.Invalid, "not-a-transactions-file", "the file is empty; its first line must name its columns, of which %s are required", requiredColumns())
	case err != nil:
		return fmt.Errorf("reading header: %w", err)
	case tooLong:
		return fault.New(fault.Invalid, "not-a-transactions-file", "the first line is over %d bytes; it must name the columns", maxLine)
	}
	if t.header, err = readHeader(bytes.TrimPrefix(line, []byte(byteOrderMark))); err != nil {
		return err
	}
	return t.in.each(t.record, func() {})
}

// record judges one line of a CSV file.
func (t *transactionsReader) record(line []byte) error {
	if len(bytes.TrimSpace(line)) == 0 {
		return nil
	}
	if problem := unreadable(line); problem != "" {
		t.report.bad(LineError{Problem: problem}, line)
		return nil
	}
	var problem string
	if t.fields, problem = splitCSV(string(line), t.fields[:0]); problem != "" {
		t.report.bad(LineError{Problem: problem}, line)
		return nil
	}
	if len(t.fields) != len(t.header) {
		problem := fmt.Sprintf("the header names %d columns, the line has %d", len(t.header), len(t.fields))
		if len(t.fields) > len(t.header) {
			problem += "; a comma inside a field must stand in quotes, and numbers have none"
		}
		t.report.bad(LineError{Problem: problem}, line)
		return nil
	}
	t.current = transaction.Transaction{}
	for i, c := range t.header {
		if e := c.read(&t.current, t.fields[i]); e != nil {
			t.report.bad(*e, line)
			return nil
		}
	}
	return t.finish(line)
}

// finish judges a line whose columns are each fine, and yields it.
func (t *transactionsReader) finish(line []byte) error {
	x := &t.current
	if x.Status == "" {
		x.Status = transaction.New
	}
	if !x.SettlementDate.IsZero() && x.SettlementDate.Before(x.TradeDate) {
		t.report.warn(LineError{
			Line: t.report.Lines, Column: "settlement_date", Text: printable(line),
			Problem: "it is before trade_date; the line is imported as it is",
		})
	}
	t.report.Rows++
	return t.yield(t.report.Lines, x)
}

// unreadable says what keeps a line from being text.
func unreadable(line []byte) string {
	if !utf8.Valid(line) {
		return "the line is not valid UTF-8; save the file as UTF-8"
	}
	for i, b := range line {
		if b < ' ' && b != '\t' || b == 0x7f {
			return fmt.Sprintf("there is a control character at byte %d", i+1)
		}
	}
	return ""
}

// splitCSV splits one record as RFC 4180 says, and appends its fields.
func splitCSV(line string, fields []string) ([]string, string) { return splitOn(line, ",", fields) }

// splitOn is splitCSV with another separator, of one byte.
func splitOn(line, separator string, fields []string) ([]string, string) {
	for {
		if !strings.HasPrefix(line, `"`) {
			field, rest, more := strings.Cut(line, separator)
			if strings.Contains(field, `"`) {
				return fields, `there is a quote inside a field that does not begin with one; quote the whole field and write the quote twice`
			}
			fields = append(fields, field)
			if !more {
				return fields, ""
			}
			line = rest
			continue
		}
		field, rest, closed := unquote(line[1:])
		if !closed {
			return fields, "a quoted field is not closed on its line; no column holds line breaks"
		}
		fields = append(fields, field)
		if rest == "" {
			return fields, ""
		}
		if rest[0] != separator[0] {
			return fields, "there is text after the closing quote of a field; write a quote inside a quoted field twice"
		}
		line = rest[1:]
	}
}

// unquote reads up to the quote that closes a field.
func unquote(s string) (field, rest string, closed bool) {
	for i := 0; ; {
		next := strings.IndexByte(s[i:], '"')
		if next < 0 {
			return "", "", false
		}
		i += next
		if !strings.HasPrefix(s[i+1:], `"`) {
			return strings.ReplaceAll(s[:i], `""`, `"`), s[i+1:], true
		}
		i += 2
	}
}
