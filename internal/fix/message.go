package fix

import (
	"strconv"
	"strings"
	"time"
)

// The tags that the reader itself looks at.
const (
	tagMsgSeqNum    = 34
	tagBeginString  = 8
	tagBodyLength   = 9
	tagCheckSum     = 10
	tagMsgType      = 35
	tagPossDup      = 43
	tagSender       = 49
	tagSendingTime  = 52
	tagTarget       = 56
	tagText         = 58
	tagPossResend   = 97
	tagBeginSeqNo   = 7
	tagEndSeqNo     = 16
	tagNewSeqNo     = 36
	tagOrigSending  = 122
	tagGapFill      = 123
	tagResetSeqNums = 141
)

// Direction says which way a message went, seen from whoever wrote the log.
type Direction string

// The closed set of directions.
const (
	In      Direction = "in"
	Out     Direction = "out"
	Unknown Direction = "unknown" // the log does not tell
)

// Field is one tag=value pair, the value as it stands in the log.
type Field struct {
	Tag   int
	Value string
}

// Problem is what is wrong with a message that is understood nevertheless.
type Problem struct {
	Tag      int    `json:"tag,omitempty"` // 0 when it is about the whole message
	Problem  string `json:"problem"`
	Value    string `json:"value,omitempty"`    // of the tag, cut and made printable
	Expected string `json:"expected,omitempty"` // in its place
}

// Message is one FIX message. It belongs to whoever receives it.
type Message struct {
	Line        int    // from 1, where it begins
	Offset      int64  // bytes before it
	BeginString string // 8, such as FIX.4.2
	MsgType     string // 35
	Sender      string // 49 SenderCompID; empty when it is missing
	Target      string // 56 TargetCompID; empty when it is missing
	SeqNum      int64  // 34 MsgSeqNum; -1 when it is missing or no number
	// SendingTime is 52 in UTC, as precise as it is written; zero when it is missing
	// or unreadable.
	SendingTime time.Time
	PossDup     bool // 43=Y: sent before under the same number
	PossResend  bool // 97=Y: may have been sent before under another number
	Direction   Direction
	Script      bool      // a step of a QuickFIX acceptance script, whose 9, 10 and 52 are symbols
	Fields      []Field   // all, in order, repeated ones too; 8 first and 10 last
	Problems    []Problem // warnings, in the order in which they were found
}

// Get is the value of the first field that has the tag.
func (m *Message) Get(tag int) (string, bool) {
	for i := range m.Fields {
		if m.Fields[i].Tag == tag {
			return m.Fields[i].Value, true
		}
	}
	return "", false
}

// value is Get without the question whether the field is there.
func (m *Message) value(tag int) string {
	v, _ := m.Get(tag)
	return v
}

// number is the value of a tag as a number that is not negative; -1 otherwise.
func (m *Message) number(tag int) int64 { return parseNumber(m.value(tag)) }

// parseNumber reads up to 18 digits; -1 means that s is something else. FIX
// allows leading zeros in values.
func parseNumber(s string) int64 {
	if s == "" || len(s) > 18 || strings.Trim(s, "0123456789") != "" {
		return -1
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// fill takes what every message has out of its fields.
func (m *Message) fill() {
	m.SeqNum = -1
	for i := len(m.Fields) - 1; i >= 0; i-- { // so that the first of a tag counts
		v := m.Fields[i].Value
		switch m.Fields[i].Tag {
		case tagBeginString:
			m.BeginString = v
		case tagMsgType:
			m.MsgType = v
		case tagSender:
			m.Sender = v
		case tagTarget:
			m.Target = v
		case tagMsgSeqNum:
			m.SeqNum = parseNumber(v)
		case tagSendingTime:
			m.SendingTime, _ = parseTimestamp(v)
		case tagPossDup:
			m.PossDup = v == "Y"
		case tagPossResend:
			m.PossResend = v == "Y"
		}
	}
}
