package intake

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"finobs/internal/fault"

	"github.com/go-json-experiment/json/jsontext"
)

// Layout says how a file of records is written.
type Layout struct {
	Format    Format // csv or ndjson; found out from the first line when it is empty
	Separator string // of the columns of a CSV file, one byte; a comma when it is empty
	Mapping   Mapping
}

// ReadRecords reads a file by a layout and calls yield for each good line; the
// record is yield's until it returns. Columns that are not mapped are left alone.
// Memory does not grow with the file. It fails, with a fault that says what was
// found and what is expected, when the input cannot be such a file, and with
// whatever yield returns.
func ReadRecords(r io.Reader, l Layout, yield func(*Record) error) (LineReport, error) {
	m := &recordReader{layout: l, yield: yield}
	if m.layout.Separator == "" {
		m.layout.Separator = ","
	}
	m.in = newLineReader(r, &m.report)
	if err := m.sniff(); err != nil {
		return m.report, err
	}
	if m.layout.Format == NDJSON {
		m.where, m.columns = map[string]int{}, l.Mapping.Columns()
		for i, name := range m.columns {
			m.where[name] = i
		}
		m.values = make([]string, len(m.where))
		return m.report, m.in.each(m.object, func() {})
	}
	if err := m.readHeader(); err != nil {
		return m.report, err
	}
	return m.report, m.in.each(m.line, func() {})
}

type recordReader struct {
	layout Layout
	in     lineReader
	report LineReport
	yield  func(*Record) error
	where  map[string]int // column's name to its place in values
	width  int            // columns of a CSV file
	fields []string       // of a line, used again for the next
	picked []string       // of one field
	record Record

	// Of NDJSON: the mapped columns, and their values on a line.
	columns, values []string
	bytes           bytes.Reader
}

func notRecords(format string, args ...any) error {
	return fault.New(fault.Invalid, "not-a-trade-file", format, args...)
}

func (m *recordReader) expected() string {
	how := "lines of JSON objects with the keys "
	if m.layout.Format != NDJSON {
		how = "CSV in UTF-8, whose first line names its columns, among them "
	}
	return how + strings.Join(quoted(m.layout.Mapping.Columns()), ", ")
}

// foreign are the beginnings of files that people send by mistake.
var foreign = []struct{ begins, what string }{
	{"\x1f\x8b", "gzip; unpack it first"},
	{"PK\x03\x04", "a zip archive or a spreadsheet (xlsx); save the sheet as CSV"},
	{"\xd0\xcf\x11\xe0", "an old spreadsheet (xls); save the sheet as CSV"},
	{"BZh", "bzip2; unpack it first"},
	{"\x28\xb5\x2f\xfd", "zstd; unpack it first"},
	{"%PDF", "a PDF"},
	{"PAR1", "Parquet"},
	{"\xff\xfe", "UTF-16; save it as UTF-8"},
	{"\xfe\xff", "UTF-16; save it as UTF-8"},
	{"8=FIX", "FIX messages"},
	{"<", "XML or HTML"},
	{"[", "a JSON array; write one object a line"},
}

// sniff refuses what is no file of lines, and finds out the format.
func (m *recordReader) sniff() error {
	head, err := m.in.in.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the first line: %w", err)
	}
	text := bytes.TrimLeft(bytes.TrimPrefix(head, []byte(byteOrderMark)), " \t\r\n")
	if len(text) == 0 && len(head) < 512 {
		return notRecords("the file is empty; expected is %s", m.expected())
	}
	for _, f := range foreign {
		if bytes.HasPrefix(text, []byte(f.begins)) {
			return notRecords("this is %s; expected is %s", f.what, m.expected())
		}
	}
	if bytes.Count(head, []byte{0})*4 > len(head) {
		return notRecords("a quarter of its first bytes and more are NUL bytes: UTF-16 or no text at all; expected is %s", m.expected())
	}
	if m.layout.Format == "" {
		m.layout.Format = CSV
		if text[0] == '{' {
			m.layout.Format = NDJSON
		}
	}
	if m.layout.Format == CSV && len(text) > 0 && text[0] == '{' {
		return notRecords("the file begins like JSON; expected is %s", m.expected())
	}
	return nil
}

func (m *recordReader) readHeader() error {
	line, tooLong, err := m.in.next()
	for err == nil && len(bytes.TrimSpace(line)) == 0 {
		line, tooLong, err = m.in.next()
	}
	switch {
	case errors.Is(err, io.EOF):
		return notRecords("the file is empty; expected is %s", m.expected())
	case err != nil:
		return fmt.Errorf("reading header: %w", err)
	case tooLong:
		return notRecords("line %d, which must name the columns, is over %d bytes; expected is %s", m.report.Lines, maxLine, m.expected())
	}
	line = bytes.TrimPrefix(line, []byte(byteOrderMark))
	if problem := unreadable(line); problem != "" {
		return notRecords("line %d must name the columns; %s; expected is %s", m.report.Lines, strings.Replace(problem, "the line", "it", 1), m.expected())
	}
	names, problem := splitOn(string(line), m.layout.Separator, nil)
	if problem != "" {
		return notRecords("line %d must name the columns; %s", m.report.Lines, problem)
	}
	return m.place(names)
}

// place finds the mapped columns among those of a header.
func (m *recordReader) place(names []string) error {
	m.width, m.where = len(names), map[string]int{}
	var missing []string
	for _, wanted := range m.layout.Mapping.Columns() {
		at, times := 0, 0
		for i, name := range names {
			if strings.TrimSpace(name) == wanted {
				at, times = i, times+1
			}
		}
		switch {
		case times > 1:
			return notRecords("line %d names column %q %d times; leave one", m.report.Lines, wanted, times)
		case times == 0:
			missing = append(missing, wanted)
		default:
			m.where[wanted] = at
		}
	}
	if len(missing) > 0 {
		hint := ""
		if len(names) == 1 && strings.ContainsAny(names[0], ",;|\t") {
			hint = fmt.Sprintf("; columns must be separated by %q", m.layout.Separator)
		}
		return notRecords("the file has no column %s, which the mapping needs; its columns are %s%s",
			strings.Join(quoted(missing), ", "), strings.Join(quoted(names), ", "), hint)
	}
	return nil
}

// quoted makes names safe to show, the first fifty of them.
func quoted(names []string) []string {
	var out []string
	for _, n := range names[:min(len(names), 50)] {
		out = append(out, fmt.Sprintf("%q", shown(strings.TrimSpace(n))))
	}
	return out
}

// line judges one line of a CSV file.
func (m *recordReader) line(line []byte) error {
	if len(bytes.TrimSpace(line)) == 0 {
		return nil
	}
	if problem := unreadable(line); problem != "" {
		m.report.bad(LineError{Problem: problem}, line)
		return nil
	}
	var problem string
	if m.fields, problem = splitOn(string(line), m.layout.Separator, m.fields[:0]); problem != "" {
		m.report.bad(LineError{Problem: problem}, line)
		return nil
	}
	if len(m.fields) != m.width {
		m.report.bad(LineError{Problem: fmt.Sprintf("the header names %d columns, the line has %d", m.width, len(m.fields))}, line)
		return nil
	}
	return m.take(line, m.fields)
}

// object judges one line of an NDJSON file.
func (m *recordReader) object(line []byte) error {
	if m.report.Lines == 1 {
		line = bytes.TrimPrefix(line, []byte(byteOrderMark))
	}
	if len(bytes.TrimSpace(line)) == 0 {
		return nil
	}
	if e := m.members(line); e != nil {
		m.report.bad(*e, line)
		return nil
	}
	return m.take(line, m.values)
}

func (m *recordReader) members(line []byte) *LineError {
	clear(m.values)
	m.bytes.Reset(line)
	dec := jsontext.NewDecoder(&m.bytes)
	if token, err := dec.ReadToken(); err != nil || token.Kind() != '{' {
		return notAnObject(err)
	}
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return notAnObject(err)
		}
		at, mapped := m.where[name.String()]
		if !mapped {
			if err := dec.SkipValue(); err != nil {
				return notAnObject(err)
			}
			continue
		}
		value, e := scalar(dec, m.columns[at])
		if e != nil {
			return e
		}
		m.values[at] = value
	}
	if _, err := dec.ReadToken(); err != nil {
		return notAnObject(err)
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return &LineError{Problem: "there is something after the object; write one object a line"}
	}
	return nil
}

// take makes the record of a line.
func (m *recordReader) take(line []byte, values []string) error {
	m.record = Record{Line: m.report.Lines}
	for _, c := range m.layout.Mapping.columns {
		m.picked = m.picked[:0]
		for _, name := range c.columns {
			m.picked = append(m.picked, values[m.where[name]])
		}
		value, e := c.read(m.picked)
		if e != nil {
			m.report.bad(*e, line)
			return nil
		}
		m.record.values[c.field] = value
	}
	m.report.Rows++
	return m.yield(&m.record)
}
