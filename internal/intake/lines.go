package intake

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxReports is how many errors, and as many warnings, a report lists.
const MaxReports = 1000

const (
	maxLine = 64 << 10 // bytes
	maxText = 200      // bytes of an offending line that a report shows
)

// LineError says what is wrong with a line and how to mend it.
type LineError struct {
	Line     int    `json:"line"` // from 1; 0 when it is about the whole file
	Column   string `json:"column,omitempty"`
	Problem  string `json:"problem"`
	Value    string `json:"value,omitempty"`    // of the column, cut and made printable
	Expected string `json:"expected,omitempty"` // in its place
	Text     string `json:"text,omitempty"`     // the beginning of the line, made printable
}

// LineReport is what was read, line by line. The counts are complete; the lists end at
// 1,000.
type LineReport struct {
	Lines           int         `json:"lines"`
	Rows            int         `json:"rows"`      // good ones
	BadLines        int         `json:"bad_lines"` // not imported
	Errors          []LineError `json:"errors"`
	ErrorsOmitted   int         `json:"errors_omitted"`
	Warnings        []LineError `json:"warnings"` // imported, but look at them
	WarningsOmitted int         `json:"warnings_omitted"`
}

// bad reports the line that was read last as one that is not imported.
func (l *LineReport) bad(e LineError, line []byte) {
	e.Line, e.Text = l.Lines, printable(line)
	l.BadLines++
	if len(l.Errors) == MaxReports {
		l.ErrorsOmitted++
		return
	}
	l.Errors = append(l.Errors, e)
}

func (l *LineReport) warn(e LineError) {
	if len(l.Warnings) == MaxReports {
		l.WarningsOmitted++
		return
	}
	l.Warnings = append(l.Warnings, e)
}

// first names the first bad line, for the refusal of a file.
func (l LineReport) first() string {
	if len(l.Errors) == 0 {
		return ""
	}
	e := l.Errors[0]
	return fmt.Sprintf("; the first is line %d: %s", e.Line, strings.TrimLeft(e.Column+" "+e.Problem, " "))
}

// lineReader reads lines within constant memory and counts them in a report.
type lineReader struct {
	in    *bufio.Reader
	lines *LineReport
}

func newLineReader(r io.Reader, l *LineReport) lineReader {
	l.Errors, l.Warnings = []LineError{}, []LineError{}
	return lineReader{bufio.NewReaderSize(r, maxLine), l}
}

// next returns the next line without its end; it is valid until the call after.
// Of a line that is too long it returns the beginning and skips the rest without
// keeping it.
func (l lineReader) next() (line []byte, tooLong bool, err error) {
	line, err = l.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		line = bytes.Clone(line[:maxText])
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = l.in.ReadSlice('\n')
		}
		tooLong = true
	}
	if errors.Is(err, io.EOF) && len(line) > 0 {
		err = nil // the last line has no end
	}
	if err != nil {
		return nil, false, err
	}
	l.lines.Lines++
	return bytes.TrimRight(line, "\r\n"), tooLong, nil
}

// each calls take for every line that is left, and reports those that are too
// long.
func (l lineReader) each(take func(line []byte) error, tooLong func()) error {
	for {
		line, long, err := l.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading line %d: %w", l.lines.Lines+1, err)
		}
		if long {
			tooLong()
			l.lines.bad(LineError{Problem: fmt.Sprintf("the line is over %d bytes", maxLine)}, line)
			continue
		}
		if err := take(line); err != nil {
			return err
		}
	}
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
