package intake

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"finobs/internal/fault"
	"finobs/internal/transaction"

	"github.com/go-json-experiment/json/jsontext"
)

// single reads a file that is one object, over as many lines as it likes. A
// problem of it is one of line 1.
func (t *transactionsReader) single(r io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(bufio.NewReader(r), maxObject+1))
	if err != nil {
		return fmt.Errorf("reading object: %w", err)
	}
	text = bytes.TrimPrefix(text, []byte(byteOrderMark))
	switch {
	case len(text) > maxObject:
		return fault.New(fault.TooLarge, "file-too-large", "the object is over the limit of %d bytes", maxObject)
	case len(bytes.TrimSpace(text)) == 0:
		return fault.New(fault.Invalid, "not-a-transactions-file", "the body is empty; send one object with at least %s", requiredColumns())
	}
	t.report.Lines = 1
	return t.object(text)
}

// object judges one JSON object. Keys that are not columns, keys that come twice
// and nested values are problems of the line.
func (t *transactionsReader) object(line []byte) error {
	if len(bytes.TrimSpace(line)) == 0 {
		return nil
	}
	t.current = transaction.Transaction{}
	e := t.members(line)
	if e != nil {
		t.report.bad(*e, line)
		return nil
	}
	return t.finish(line)
}

func (t *transactionsReader) members(line []byte) *LineError {
	t.bytes.Reset(line)
	dec := jsontext.NewDecoder(&t.bytes)
	if token, err := dec.ReadToken(); err != nil || token.Kind() != '{' {
		return notAnObject(err)
	}
	var seen uint64 // bit i: columns[i] was there
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return notAnObject(err)
		}
		key := name.String()
		i, known := columnIndex[key]
		if !known {
			return &LineError{Column: shown(key), Problem: "there is no such column; known are " + allColumns()}
		}
		value, e := scalar(dec, columns[i].name)
		if e == nil {
			e = columns[i].read(&t.current, value)
		}
		if e != nil {
			return e
		}
		seen |= 1 << i
	}
	if _, err := dec.ReadToken(); err != nil {
		return notAnObject(err)
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return &LineError{Problem: "there is something after the object; write one object a line"}
	}
	for i, c := range columns {
		if c.required && seen&(1<<i) == 0 {
			return &LineError{Column: c.name, Problem: "it is missing; expected is " + c.expected, Expected: c.expected}
		}
	}
	return nil
}

// scalar reads the value of a member as text: numbers exactly as they are
// written, null as nothing.
func scalar(dec *jsontext.Decoder, name string) (string, *LineError) {
	value, err := dec.ReadToken()
	if err != nil {
		return "", notAnObject(err)
	}
	if value.Kind() == jsontext.KindNull {
		return "", nil
	}
	if k := value.Kind(); k == jsontext.KindString || k == jsontext.KindNumber {
		return value.String(), nil
	}
	return "", &LineError{Column: name, Problem: "it is neither text nor a number nor null"}
}

func notAnObject(err error) *LineError {
	problem := "this is not a JSON object"
	if err != nil && !errors.Is(err, io.EOF) {
		problem += ": " + printable([]byte(strings.TrimPrefix(err.Error(), "jsontext: ")))
	}
	return &LineError{Problem: problem}
}
