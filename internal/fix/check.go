package fix

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// headerTags are the fields of the standard header, which come before the others.
var headerTags = func() (tags [1157]bool) {
	for _, tag := range []int{
		8, 9, 35, 1128, 1156, 1129, 49, 56, 115, 128, 90, 91, 34, 50, 142, 57, 143, 116, 144, 129, 145, 43, 97, 52, 122, 212, 213, 347, 369, 370,
		627, 628, 629, 630,
	} {
		tags[tag] = true
	}
	return tags
}()

// once reports whether a message has a field once. Where one comes twice, two
// messages ran together or a value holds what looks like fields.
func once(tag int) bool {
	switch tag {
	case tagBeginString, tagBodyLength, tagMsgType, tagMsgSeqNum, tagSender, tagTarget, tagSendingTime, tagCheckSum:
		return true
	}
	return false
}

// garbled says why a message must be ignored, as the session layer ignores one: it
// has no CheckSum, does not begin with BeginString, BodyLength and MsgType, or
// something in it is no field. nil means that it is whole.
func (r *reader) garbled(kind frameKind, script bool) *Problem {
	f := &r.framer
	switch {
	case kind == tooLong:
		return &Problem{Problem: fmt.Sprintf("the message has no end within %d bytes", MaxMessage)}
	case kind == cut && !script:
		return &Problem{Tag: tagCheckSum, Problem: "CheckSum is missing: the message is cut off", Expected: "10= and three digits at the end"}
	case kind == cut && (f.rest || !r.newlineAhead()):
		return &Problem{Problem: "the message is cut off", Expected: "a delimiter and a line end after the last field"}
	}
	if f.badData != 0 && f.complete && !script && f.sum() != parseNumber(f.checkSumText()) {
		return &Problem{
			Tag: f.badData, Problem: "neither the length of the data after it nor CheckSum agrees: what looks like the end may be data",
			Expected: "the number of bytes of the field that follows",
		}
	}
	for i, s := range f.spans {
		if s.tag < 0 {
			token := string(f.text[s.start:s.to])
			return &Problem{Problem: "something is no field", Value: shown(token), Expected: "a tag of digits, '=' and a value"}
		}
		if s.tag == tagBodyLength && i > 1 && f.spans[1].tag != tagBodyLength {
			return &Problem{Tag: s.tag, Problem: "BodyLength is not where it belongs", Value: shown(string(f.text[s.from:s.to])), Expected: "BodyLength right after BeginString"}
		}
		if once(s.tag) && slices.ContainsFunc(f.spans[:i], func(o span) bool { return o.tag == s.tag }) {
			return &Problem{
				Tag: s.tag, Problem: "the field comes twice: two messages ran together, or a value holds what looks like fields",
				Value: shown(string(f.text[s.from:s.to])), Expected: "the field once",
			}
		}
	}
	third := 1
	if len(f.spans) > 1 && f.spans[1].tag == tagBodyLength {
		third = 2
	}
	if len(f.spans) <= third || f.spans[third].tag != tagMsgType {
		return &Problem{Tag: tagMsgType, Problem: "MsgType is missing or not where it belongs", Expected: "BeginString, BodyLength and MsgType at the beginning"}
	}
	if t := f.spans[third]; t.from == t.to {
		return &Problem{Tag: tagMsgType, Problem: "MsgType has no value", Expected: "the type of the message"}
	}
	return nil
}

// check finds what is wrong with a message that is understood nevertheless.
func (r *reader) check(m *Message) {
	f := &r.framer
	warn := func(tag int, value, expected, format string, args ...any) {
		m.Problems = append(m.Problems, Problem{Tag: tag, Problem: fmt.Sprintf(format, args...), Value: shown(value), Expected: expected})
	}
	if m.Script {
		f.checkScript(m, warn)
	} else {
		f.checkFrame(m, warn)
	}
	if f.badData != 0 {
		warn(f.badData, m.value(f.badData), "the number of bytes of the field that follows", "the length does not agree with the data after it")
	}
	for _, h := range []struct {
		tag  int
		name string
	}{{tagSender, "SenderCompID"}, {tagTarget, "TargetCompID"}, {tagMsgSeqNum, "MsgSeqNum"}, {tagSendingTime, "SendingTime"}} {
		v, ok := m.Get(h.tag)
		switch {
		case !ok:
			warn(h.tag, "", h.name, "%s is missing", h.name)
		case h.tag == tagMsgSeqNum && v != "" && m.SeqNum < 0:
			warn(h.tag, v, "a whole number", "MsgSeqNum is not a number")
		case h.tag == tagSendingTime && v != "" && m.SendingTime.IsZero() && !m.Script:
			warn(h.tag, v, "YYYYMMDD-HH:MM:SS with or without a fraction, in UTC", "SendingTime cannot be read")
		}
	}
	body := false
	for _, field := range m.Fields {
		header := field.Tag < len(headerTags) && headerTags[field.Tag]
		if header && body {
			warn(field.Tag, field.Value, "header fields before the others", "the field is out of order")
		}
		body = body || !header
		if field.Value == "" {
			warn(field.Tag, "", "a value", "the field has no value")
		}
		if len(m.Problems) > maxProblems {
			break
		}
	}
}

// maxProblems bounds what is said of one message.
const maxProblems = 20

// checkFrame compares BodyLength and CheckSum with the message.
func (f *framer) checkFrame(m *Message, warn func(tag int, value, expected, format string, args ...any)) {
	length, ok := m.Get(tagBodyLength)
	want := f.bodyLength()
	switch {
	case !ok:
		warn(tagBodyLength, "", strconv.FormatInt(want, 10), "BodyLength is missing")
	case parseNumber(length) != want:
		warn(tagBodyLength, length, strconv.FormatInt(want, 10), "BodyLength is wrong; the values may have been changed after it was sent")
	}
	sum, expected := f.checkSumText(), fmt.Sprintf("%03d", f.sum())
	if sum != expected {
		warn(tagCheckSum, sum, expected, "CheckSum is wrong; the values may have been changed after it was sent")
	}
}

// checkScript compares BodyLength, where a step of a script has it, with the
// message: a symbol of a time stands for 17 to 21 bytes.
func (f *framer) checkScript(m *Message, warn func(tag int, value, expected, format string, args ...any)) {
	length, ok := m.Get(tagBodyLength)
	if !ok {
		return
	}
	low := f.bodyLengthUntil(len(f.spans))
	if f.complete {
		low = f.bodyLength()
	}
	high := low
	for _, field := range m.Fields {
		if strings.HasPrefix(field.Value, "<TIME") {
			low += int64(17 - len(field.Value))
			high += int64(21 - len(field.Value))
		}
	}
	if got := parseNumber(length); got < low || got > high {
		warn(tagBodyLength, length, strconv.FormatInt(high, 10), "BodyLength is wrong: a receiver ignores the message")
	}
}
