package export

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"strings"
	"unicode/utf8"
)

// Cell is one value of a row as text; Null tells an absent value from an empty
// one (both are empty in CSV).
type Cell struct {
	Text string
	Null bool
}

// Encoder writes rows in a dataset's format and knows the digest of what it
// wrote. The same rows give the same bytes: fixed column order, line ends of LF,
// no clock, no locale.
type Encoder struct {
	dataset Dataset
	format  Format
	out     *bufio.Writer
	csv     *csv.Writer
	sum     hash.Hash
	bytes   int64
	rows    int64
	line    bytes.Buffer
	record  []string
}

// NewEncoder returns an encoder that writes to w, and writes the CSV header.
func NewEncoder(w io.Writer, d Dataset, f Format) (*Encoder, error) {
	e := &Encoder{dataset: d, format: f, sum: sha256.New(), record: make([]string, len(d.Columns))}
	e.out = bufio.NewWriterSize(io.MultiWriter(w, e.sum, (*counter)(&e.bytes)), 64<<10)
	if f == CSV {
		e.csv = csv.NewWriter(e.out)
		if err := e.csv.Write(d.ColumnNames()); err != nil {
			return nil, fmt.Errorf("writing header: %w", err)
		}
	}
	return e, nil
}

// Row writes one row; cells are in the order of the dataset's columns.
func (e *Encoder) Row(cells []Cell) error {
	if len(cells) != len(e.dataset.Columns) {
		return fmt.Errorf("writing row %d: %d cells for %d columns", e.rows+1, len(cells), len(e.dataset.Columns))
	}
	e.rows++
	if e.format == CSV {
		for i, c := range cells {
			e.record[i] = c.Text
			if e.dataset.Columns[i].Text {
				e.record[i] = Guard(c.Text)
			}
		}
		if err := e.csv.Write(e.record); err != nil {
			return fmt.Errorf("writing row %d: %w", e.rows, err)
		}
		return nil
	}
	if err := e.object(cells); err != nil {
		return fmt.Errorf("writing row %d: %w", e.rows, err)
	}
	_, err := e.out.Write(e.line.Bytes())
	return err
}

func (e *Encoder) object(cells []Cell) error {
	e.line.Reset()
	for i, c := range cells {
		separator := byte(',')
		if i == 0 {
			separator = '{'
		}
		e.line.WriteByte(separator)
		if err := writeString(&e.line, e.dataset.Columns[i].Name); err != nil {
			return err
		}
		e.line.WriteByte(':')
		switch {
		case c.Null:
			e.line.WriteString("null")
		case e.dataset.Columns[i].JSON:
			if err := json.Compact(&e.line, []byte(c.Text)); err != nil {
				return fmt.Errorf("column %s is not JSON: %w", e.dataset.Columns[i].Name, err)
			}
		default:
			if err := writeString(&e.line, c.Text); err != nil {
				return err
			}
		}
	}
	e.line.WriteString("}\n")
	return nil
}

func writeString(b *bytes.Buffer, s string) error {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1) // the encoder ends each value with a line feed
	return nil
}

// Close writes what is buffered and returns the number of rows and bytes and the
// SHA-256 of the bytes in hexadecimal. It does not close the underlying writer.
func (e *Encoder) Close() (rows, size int64, contentSHA256 string, err error) {
	if e.csv != nil {
		e.csv.Flush()
		if err := e.csv.Error(); err != nil {
			return 0, 0, "", fmt.Errorf("writing artefact: %w", err)
		}
	}
	if err := e.out.Flush(); err != nil {
		return 0, 0, "", fmt.Errorf("writing artefact: %w", err)
	}
	return e.rows, e.bytes, hex.EncodeToString(e.sum.Sum(nil)), nil
}

// Guard makes a text cell harmless to spreadsheet programs: a cell whose first
// character other than white space could begin a formula gets an apostrophe in
// front (OWASP ASVS 5.0, 1.2.10). Unguard takes it back.
func Guard(s string) string {
	if startsFormula(s) || strings.HasPrefix(s, "'") {
		return "'" + s
	}
	return s
}

// Unguard gives back what Guard was given.
func Unguard(s string) string { return strings.TrimPrefix(s, "'") }

func startsFormula(s string) bool {
	if s == "" {
		return false
	}
	if strings.ContainsRune("\t\r\n\x00", rune(s[0])) {
		return true
	}
	r, _ := utf8.DecodeRuneInString(strings.TrimLeft(s, " \u00a0\u3000"))
	return strings.ContainsRune("=+-@＝＋－＠|", r) && r != utf8.RuneError
}

// counter counts the bytes written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
