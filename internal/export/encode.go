package export

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Cell is one value of a row as text, in the form of its column's kind; nil is an
// absent value. A cell is valid until the next row.
type Cell []byte

// encoder writes rows in one format. The same rows give the same bytes: fixed
// column order, line ends of LF, no clock, no locale.
type encoder interface {
	row(cells []Cell) error
	close() error
}

// flushBytes is how much of a text format is gathered before it is written.
const flushBytes = 128 << 10

func newEncoder(w io.Writer, d Dataset, f Format, c Compression) (encoder, error) {
	switch f {
	case CSV:
		return newCSV(w, d), nil
	case NDJSON:
		return newNDJSON(w, d), nil
	case Parquet:
		return newParquet(w, d, c)
	}
	return nil, fmt.Errorf("format %q is not known", f)
}

// lines gathers text and writes it in pieces.
type lines struct {
	w   io.Writer
	buf []byte
}

func (l *lines) spill(limit int) error {
	if len(l.buf) <= limit {
		return nil
	}
	_, err := l.w.Write(l.buf)
	l.buf = l.buf[:0]
	return err
}

func (l *lines) close() error { return l.spill(0) }

// csvEncoder writes RFC 4180, with LF. An absent value is empty, an empty text is
// "", so that the two can be told apart.
type csvEncoder struct {
	lines
	columns []Column
}

func newCSV(w io.Writer, d Dataset) *csvEncoder {
	e := &csvEncoder{lines{w: w}, d.Columns}
	for i, c := range d.Columns {
		if i > 0 {
			e.buf = append(e.buf, ',')
		}
		e.buf = append(e.buf, c.Name...)
	}
	e.buf = append(e.buf, '\n')
	return e
}

func (e *csvEncoder) row(cells []Cell) error {
	b := e.buf
	for i, c := range cells {
		if i > 0 {
			b = append(b, ',')
		}
		switch {
		case c == nil:
		case e.columns[i].Kind == Text || e.columns[i].Kind == JSON:
			b = appendText(b, c)
		default:
			b = append(b, c...)
		}
	}
	e.buf = append(b, '\n')
	return e.spill(flushBytes)
}

// needsQuotes are the bytes for which RFC 4180 asks that a cell be quoted.
var needsQuotes = [256]bool{',': true, '"': true, '\n': true, '\r': true}

// appendText quotes a cell where RFC 4180 asks for it, and guards it.
func appendText(b []byte, c Cell) []byte {
	guard, quote := startsFormula(c) || len(c) > 0 && c[0] == '\'', len(c) == 0
	for _, x := range c {
		if needsQuotes[x] {
			quote = true
			break
		}
	}
	if quote {
		b = append(b, '"')
	}
	if guard {
		b = append(b, '\'')
	}
	if !quote {
		return append(b, c...)
	}
	for {
		i := bytes.IndexByte(c, '"')
		if i < 0 {
			return append(append(b, c...), '"')
		}
		b = append(append(b, c[:i+1]...), '"')
		c = c[i+1:]
	}
}

// FormulaGuard names what Guard does, for manifests.
const FormulaGuard = "apostrophe/v1"

// Guard makes a text cell harmless to spreadsheet programs: a cell whose first
// character other than white space could begin a formula gets an apostrophe in
// front (OWASP ASVS 5.0, 1.2.10). So does one that begins with an apostrophe, that
// Unguard may take back what Guard did.
func Guard(s string) string {
	if startsFormula([]byte(s)) || strings.HasPrefix(s, "'") {
		return "'" + s
	}
	return s
}

// Unguard gives back what Guard was given.
func Unguard(s string) string { return strings.TrimPrefix(s, "'") }

func startsFormula(c []byte) bool {
	for len(c) > 0 {
		switch c[0] {
		case '=', '+', '-', '@', '|', '\t', '\r', '\n', 0:
			return true
		case ' ':
			c = c[1:]
			continue
		}
		if c[0] < utf8.RuneSelf {
			return false
		}
		r, size := utf8.DecodeRune(c)
		switch r {
		case '＝', '＋', '－', '＠', '｜':
			return true
		case '\u00a0', '\u3000', '\ufeff', '\u200b':
			c = c[size:]
		default:
			return false
		}
	}
	return false
}

// ndjsonEncoder writes one JSON object a line. Numbers and truth values are bare,
// with every digit; documents are nested as they are stored.
type ndjsonEncoder struct {
	lines
	names [][]byte // `{"name":` or `,"name":`
	bare  []bool
}

func newNDJSON(w io.Writer, d Dataset) *ndjsonEncoder {
	e := &ndjsonEncoder{lines: lines{w: w}}
	for i, c := range d.Columns {
		separator := ","
		if i == 0 {
			separator = "{"
		}
		e.names = append(e.names, []byte(separator+`"`+c.Name+`":`))
		e.bare = append(e.bare, c.Kind == Integer || c.Kind == Decimal || c.Kind == Bool || c.Kind == JSON)
	}
	return e
}

func (e *ndjsonEncoder) row(cells []Cell) error {
	b := e.buf
	for i, c := range cells {
		b = append(b, e.names[i]...)
		switch {
		case c == nil:
			b = append(b, "null"...)
		case e.bare[i]:
			b = append(b, c...)
		case plain(c):
			b = append(append(append(b, '"'), c...), '"')
		default:
			var err error
			if b, err = jsontext.AppendQuote(b, c); err != nil {
				return fmt.Errorf("column %d is not text: %w", i+1, err)
			}
		}
	}
	e.buf = append(b, '}', '\n')
	return e.spill(flushBytes)
}

// plain reports whether a text stands in JSON as it is: ASCII without control
// characters, quotation marks or backslashes, as most are.
func plain(c Cell) bool {
	for _, x := range c {
		if x < ' ' || x >= utf8.RuneSelf-1 || x == '"' || x == '\\' {
			return false
		}
	}
	return true
}
