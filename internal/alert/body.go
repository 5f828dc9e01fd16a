package alert

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"

	"finobs/internal/fault"

	"github.com/go-json-experiment/json/jsontext"
)

// number is a JSON number exactly as it is written: ids go beyond 2^53.
type number string

// formPattern is the beginning of an application/x-www-form-urlencoded body.
var formPattern = regexp.MustCompile(`^[A-Za-z0-9_.%\[\]+-]{1,64}=`)

// parse reads a body as one JSON value of map[string]any, []any, string, number,
// bool and nil. It is strict as RFC 7493 is: UTF-8, no name twice in an object.
func parse(body []byte) (any, error) {
	if len(body) > MaxBody {
		return nil, fault.New(fault.TooLarge, "invalid-alert", "the body has %d bytes, over the limit of %d", len(body), MaxBody)
	}
	body = bytes.TrimPrefix(body, []byte("\ufeff"))
	if problem := notJSON(body); problem != "" {
		return nil, fault.New(fault.Invalid, "not-an-alert", "%s", problem)
	}
	return decode(body, "")
}

// notJSON tells what senders send by mistake.
func notJSON(body []byte) string {
	text := bytes.TrimSpace(body)
	const mend = "; let the sender post JSON in UTF-8"
	switch {
	case len(text) == 0:
		return "the body is empty; expected is JSON"
	case bytes.HasPrefix(body, []byte{0x1f, 0x8b}):
		return "the body is compressed with gzip" + mend + ", not compressed"
	case bytes.HasPrefix(body, []byte{0xff, 0xfe}), bytes.HasPrefix(body, []byte{0xfe, 0xff}),
		len(body) > 1 && (body[0] == 0) != (body[1] == 0):
		return "the body is encoded as UTF-16" + mend
	case text[0] == '<':
		begin := strings.ToLower(string(text[:min(len(text), 16)]))
		if strings.HasPrefix(begin, "<!doctype html") || strings.HasPrefix(begin, "<html") {
			return "the body is a page of HTML" + mend
		}
		return "the body is XML" + mend
	case formPattern.Match(text):
		return "the body is a form (application/x-www-form-urlencoded)" + mend
	}
	return ""
}

// decode reads text as one JSON value. Faults speak of the element at, "" for the
// body itself.
func decode(text []byte, at string) (any, error) {
	d := decoder{dec: jsontext.NewDecoder(bytes.NewReader(text)), text: text, at: at}
	value, err := d.value(0)
	if err != nil {
		return nil, d.fault(err)
	}
	if _, err := d.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, fault.New(fault.Invalid, "not-an-alert", "%s has something after its JSON value at %s; send one value", d.whole(), d.place(d.dec.InputOffset()))
	}
	return value, nil
}

type decoder struct {
	dec  *jsontext.Decoder
	text []byte
	at   string
}

var errDepth = errors.New("too deep")

func (d *decoder) value(depth int) (any, error) {
	token, err := d.dec.ReadToken()
	if err != nil {
		return nil, err
	}
	switch token.Kind() {
	case jsontext.KindString:
		return token.String(), nil
	case jsontext.KindNumber:
		return number(token.String()), nil
	case jsontext.KindTrue, jsontext.KindFalse:
		return token.Bool(), nil
	case jsontext.KindBeginObject, jsontext.KindBeginArray:
		if depth++; depth > MaxDepth {
			return nil, errDepth
		}
		if token.Kind() == jsontext.KindBeginObject {
			return d.object(depth)
		}
		return d.list(depth)
	default: // null, the only kind that is left
		return nil, nil
	}
}

func (d *decoder) object(depth int) (any, error) {
	members := map[string]any{}
	for d.dec.PeekKind() != jsontext.KindEndObject {
		name, err := d.dec.ReadToken()
		if err != nil {
			return nil, err
		}
		key := name.String()
		if members[key], err = d.value(depth); err != nil {
			return nil, err
		}
	}
	_, err := d.dec.ReadToken()
	return members, err
}

func (d *decoder) list(depth int) (any, error) {
	elements := []any{}
	for d.dec.PeekKind() != jsontext.KindEndArray {
		element, err := d.value(depth)
		if err != nil {
			return nil, err
		}
		elements = append(elements, element)
	}
	_, err := d.dec.ReadToken()
	return elements, err
}

// whole names the text in a fault.
func (d *decoder) whole() string {
	if d.at == "" {
		return "the body"
	}
	return d.at
}

// place names an offset in the text as people and editors count.
func (d *decoder) place(offset int64) string {
	offset = min(max(offset, 0), int64(len(d.text)))
	before := d.text[:offset]
	line := bytes.Count(before, []byte("\n")) + 1
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	return "byte " + count(int(offset)) + " (line " + count(line) + ", column " + count(column) + ")"
}

// fault words what is wrong with the JSON and where.
func (d *decoder) fault(err error) error {
	offset, pointer := d.dec.InputOffset(), d.dec.StackPointer()
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		offset, pointer = syntax.ByteOffset, syntax.JSONPointer
	}
	where := d.place(offset)
	if pointer != "" {
		where += ", in " + pointerShown(d.at+string(pointer))
	}
	switch {
	case errors.Is(err, errDepth):
		return fault.New(fault.Invalid, "not-an-alert", "%s holds objects and lists in one another over the limit of %d, at %s", d.whole(), MaxDepth, where)
	case errors.Is(err, jsontext.ErrDuplicateName):
		return fault.New(fault.Invalid, "not-an-alert", "%s has a name twice in one object, at %s; which one counts is not defined", d.whole(), where)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fault.New(fault.Invalid, "not-an-alert", "%s is truncated: its JSON ends too early, at %s", d.whole(), where)
	case !utf8.Valid(d.text):
		return fault.New(fault.Invalid, "not-an-alert", "%s is not valid UTF-8, at %s", d.whole(), where)
	}
	problem := ""
	if syntax != nil {
		problem = ": " + clean(syntax.Err.Error(), false)
	}
	return fault.New(fault.Invalid, "not-an-alert", "%s is not JSON, at %s%s", d.whole(), where, problem)
}
