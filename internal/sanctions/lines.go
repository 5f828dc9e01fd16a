package sanctions

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"finobs/internal/fault"
)

// Limits of a file.
const (
	maxLine = 64 << 10  // bytes; remarks have up to 1,000 characters
	maxFile = 128 << 20 // bytes
)

// endOfFile is the control character with which OFAC's files end.
const endOfFile = "\x1a"

// eachLine reads a file line by line, so that a quote that is not closed never
// swallows the lines after it, and hands the fields of each to take.
func eachLine(r io.Reader, file string, columns int, take func(place, []string) error) error {
	in := bufio.NewScanner(&io.LimitedReader{R: r, N: maxFile + 1})
	in.Buffer(make([]byte, 0, 4096), maxLine)
	at, read, ended := place{file: file}, 0, false
	for in.Scan() {
		at.line++
		read += len(in.Bytes()) + 1
		line := in.Bytes()
		if at.line == 1 {
			line = bytes.TrimPrefix(line, []byte("\ufeff"))
		}
		switch text := strings.TrimSpace(decode(line)); {
		case read > maxFile:
			return fault.New(fault.TooLarge, "sanctions-list-too-large", "%s file: it is over %d bytes", file, maxFile)
		case at.line > MaxEntries:
			return fault.New(fault.TooLarge, "sanctions-list-too-large", "%s file: it has over %d lines", file, MaxEntries)
		case text == endOfFile:
			ended = true
		case text == "":
		case ended:
			return at.wrong(1, "there is a line after the end of the file (0x1A); are two files joined?")
		default:
			fields, err := at.fields(strings.TrimSuffix(text, endOfFile), columns)
			if err == nil {
				err = take(at, fields)
			}
			if err != nil {
				return err
			}
		}
	}
	if errors.Is(in.Err(), bufio.ErrTooLong) {
		return fault.New(fault.TooLarge, "sanctions-list-too-large", "%s file, line %d: the line is over %d bytes", file, at.line+1, maxLine)
	}
	if in.Err() != nil {
		return fmt.Errorf("reading %s file: %w", file, in.Err())
	}
	return nil
}

// decode reads UTF-8 and, where a line is none, ISO 8859-1, in which each byte is
// the code point of the same number. OFAC publishes both.
func decode(line []byte) string {
	if utf8.Valid(line) {
		return string(line)
	}
	out := make([]rune, len(line))
	for i, b := range line {
		out[i] = rune(b)
	}
	return string(out)
}

func (p place) fields(text string, columns int) ([]string, error) {
	in := csv.NewReader(strings.NewReader(text))
	in.FieldsPerRecord = -1
	fields, err := in.Read()
	if err != nil {
		column := 1
		if syntax := (*csv.ParseError)(nil); errors.As(err, &syntax) {
			err, column = syntax.Err, len(strings.Split(text[:min(syntax.Column, len(text))], ","))
		}
		return nil, p.wrong(column, "%v; the line is cut off or its quotes are wrong, download the file again", err)
	}
	if len(fields) != columns {
		return nil, p.wrong(len(fields), "the line has %d columns, a %s file has %d; it is cut off or another kind of file", len(fields), p.file, columns)
	}
	for i, f := range fields {
		f = strings.TrimSpace(f)
		if f == "-0-" { // OFAC's word for empty
			f = ""
		}
		if strings.ContainsFunc(f, unicode.IsControl) {
			return nil, p.wrong(i+1, "there is a control character")
		}
		fields[i] = f
	}
	if n, err := strconv.ParseUint(fields[0], 10, 63); err != nil || n == 0 {
		return nil, p.wrong(1, "%q must be the number of an entry", cut(fields[0], 40))
	}
	return fields, nil
}

func cut(s string, n int) string { return strings.ToValidUTF8(s[:min(n, len(s))], "") }
