package labelled

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"finobs/internal/fault"

	"github.com/shopspring/decimal"
)

// table is a CSV file with a header.
type table struct {
	name    string
	in      *csv.Reader
	columns map[string]int
	header  []string
	fields  []string
	line    int
	row     int // data rows so far
}

const (
	maxField = 1 << 10 // bytes
	maxRows  = 20_000_000
)

func openTable(name string, r io.Reader) (*table, error) {
	buffered := bufio.NewReader(r)
	if mark, err := buffered.Peek(3); err == nil && string(mark) == "\ufeff" {
		if _, err := buffered.Discard(3); err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
	}
	t := &table{name: name, in: csv.NewReader(buffered), columns: map[string]int{}}
	t.in.ReuseRecord = true
	header, err := t.in.Read()
	if errors.Is(err, io.EOF) {
		return nil, fault.New(fault.Invalid, "unknown-layout", "%s is empty; its first line must name its columns", name)
	}
	if err != nil {
		return nil, t.unreadable(err)
	}
	for i, column := range header {
		t.columns[strings.TrimSpace(column)] = i
	}
	t.header = slices.Clone(header)
	return t, nil
}

func (t *table) has(columns []string) bool {
	return !slices.ContainsFunc(columns, func(c string) bool { _, has := t.columns[c]; return !has })
}

// next reads a row; io.EOF after the last one.
func (t *table) next() error {
	fields, err := t.in.Read()
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	if err != nil {
		return t.unreadable(err)
	}
	t.fields = fields
	t.line, _ = t.in.FieldPos(0)
	if t.row++; t.row > maxRows {
		return fault.New(fault.TooLarge, "too-many-rows", "%s has over %d rows", t.name, maxRows)
	}
	for i, f := range fields {
		if len(f) > maxField || !utf8.ValidString(f) {
			return t.wrong(t.header[i], "it is over %d bytes, or no UTF-8", maxField)
		}
	}
	return nil
}

func (t *table) unreadable(err error) error {
	if syntax := (*csv.ParseError)(nil); errors.As(err, &syntax) {
		return fault.New(fault.Invalid, "invalid-row", "%s, line %d: %v; the header names %d columns", t.name, syntax.Line, syntax.Err, len(t.header))
	}
	return fmt.Errorf("reading %s: %w", t.name, err)
}

func (t *table) wrong(column, format string, args ...any) error {
	return fault.New(fault.Invalid, "invalid-row", "%s, line %d, column %s: %s", t.name, t.line, column, fmt.Sprintf(format, args...))
}

func (t *table) text(column string) string { return strings.TrimSpace(t.fields[t.columns[column]]) }

func (t *table) filled(column string) (string, error) {
	s := t.text(column)
	if s == "" {
		return "", t.wrong(column, "it is empty")
	}
	return s, nil
}

// amount reads a decimal of 0 or more, without an exponent.
func (t *table) amount(column string) (decimal.Decimal, error) {
	s := t.text(column)
	if d, err := decimal.NewFromString(s); err == nil && len(s) <= 40 && strings.Trim(s, "0123456789.") == "" {
		return d, nil
	}
	return decimal.Zero, t.wrong(column, "%q must be a decimal of 0 or more, such as 125.05", s)
}

func (t *table) balance(column string) (decimal.NullDecimal, error) {
	if t.text(column) == "" {
		return decimal.NullDecimal{}, nil
	}
	d, err := t.amount(column)
	return decimal.NewNullDecimal(d), err
}

// step reads a whole number, as which 12.0 counts too, of at most a century of hours.
func (t *table) step(column string) (int, error) {
	const most = 876_000
	s := strings.TrimSuffix(t.text(column), ".0")
	if n, err := strconv.Atoi(s); err == nil && n >= 0 && n <= most {
		return n, nil
	}
	return 0, t.wrong(column, "%q must be a whole number of 0 to %d", t.text(column), most)
}

func (t *table) label(column string) (bool, error) {
	switch strings.ToLower(t.text(column)) {
	case "0", "0.0", "false", "no":
		return false, nil
	case "1", "1.0", "true", "yes":
		return true, nil
	}
	return false, t.wrong(column, "label %q must be 0 or 1, true or false", t.text(column))
}

func (t *table) moment(date, clock string) (time.Time, error) {
	at, err := time.Parse("2006-01-02 15:04", t.text(date)+" "+t.text(clock))
	if err != nil {
		if at, err = time.Parse(time.DateTime, t.text(date)+" "+t.text(clock)); err != nil {
			return at, t.wrong(date, "%q with %q must be a date and a time such as 2023-05-17 and 09:26", t.text(date), t.text(clock))
		}
	}
	return at, nil
}
