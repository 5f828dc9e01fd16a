package fix

import (
	"strings"
	"time"

	"github.com/shopspring/decimal"
)

// Action says what an execution report does to the trades on record.
type Action string

// The closed set of actions.
const (
	ActionTrade   Action = "trade"   // a fill, in part or in full
	ActionCorrect Action = "correct" // replaces the trade that ExecRefID names
	ActionBust    Action = "bust"    // takes the trade that ExecRefID names back
	ActionStatus  Action = "status"  // of an order; no trade
)

// Execution is what an execution report (35=8) says. Texts are as they were sent,
// with valid UTF-8 and at most 4 KiB each; a number or time that is missing or
// unreadable is null or zero.
type Execution struct {
	Action        Action
	ExecID        string              // 17
	ExecRefID     string              // 19, of a correction or bust
	OrderID       string              // 37
	ClOrdID       string              // 11
	OrigClOrdID   string              // 41
	ExecType      string              // 150, from FIX 4.1 on
	ExecTransType string              // 20, up to FIX 4.2: 0 new, 1 cancel, 2 correct, 3 status
	OrdStatus     string              // 39
	Symbol        string              // 55
	SecurityID    string              // 48
	IDSource      string              // 22: 1 CUSIP, 2 SEDOL, 4 ISIN and others
	Side          string              // 54: 1 buy, 2 sell, 5 sell short and others
	LastQty       decimal.NullDecimal // 32, of this fill
	LastPx        decimal.NullDecimal // 31, of this fill
	CumQty        decimal.NullDecimal // 14
	LeavesQty     decimal.NullDecimal // 151
	AvgPx         decimal.NullDecimal // 6
	Currency      string              // 15, as sent: GBp is pence for some
	Account       string              // 1
	TradeDate     time.Time           // 75, midnight UTC
	SettlDate     time.Time           // 64, midnight UTC
	TransactTime  time.Time           // 60, UTC
	Commission    decimal.NullDecimal // 12
	CommType      string              // 13: 3 or nothing for an amount; 1 is per unit, 2 in per cent
	LastMkt       string              // 30
	ExecBroker    string              // 76, up to FIX 4.2
	Text          string              // 58
}

// Trade reports whether the report is a fill.
func (e *Execution) Trade() bool { return e.Action == ActionTrade }

// ISIN is SecurityID when it is one, by IDSource.
func (e *Execution) ISIN() string { return e.identifier("4") }

// CUSIP is SecurityID when it is one, by IDSource.
func (e *Execution) CUSIP() string { return e.identifier("1") }

// SEDOL is SecurityID when it is one, by IDSource.
func (e *Execution) SEDOL() string { return e.identifier("2") }

func (e *Execution) identifier(source string) string {
	if e.IDSource != source {
		return ""
	}
	return e.SecurityID
}

// execution reads an execution report, and says which values it cannot read.
func execution(m *Message) (*Execution, []Problem) {
	v := values{m: m}
	e := &Execution{
		ExecID: v.text(17), ExecRefID: v.text(19), OrderID: v.text(37), ClOrdID: v.text(11), OrigClOrdID: v.text(41),
		ExecType: v.text(150), ExecTransType: v.text(20), OrdStatus: v.text(39),
		Symbol: v.text(55), SecurityID: v.text(48), IDSource: v.text(22), Side: v.text(54),
		LastQty: v.decimal(32), LastPx: v.decimal(31), CumQty: v.decimal(14), LeavesQty: v.decimal(151), AvgPx: v.decimal(6),
		Currency: v.text(15), Account: v.text(1),
		TradeDate: v.date(75), SettlDate: v.date(64), TransactTime: v.timestamp(60),
		Commission: v.decimal(12), CommType: v.text(13), LastMkt: v.text(30), ExecBroker: v.text(76), Text: v.text(tagText),
	}
	e.Action = e.action()
	if e.Trade() {
		v.needs(17, "a fill without ExecID cannot be told from its repeats")
		v.needs(32, "a fill does not say how much was filled")
		v.needs(31, "a fill does not say at which price")
	}
	return e, v.problems
}

// action goes by ExecTransType where the report has one (up to FIX 4.2, and some
// senders of later versions), and then by ExecType.
func (e *Execution) action() Action {
	switch e.ExecTransType {
	case "1":
		return ActionBust
	case "2":
		return ActionCorrect
	case "3":
		return ActionStatus
	}
	switch e.ExecType {
	case "F":
		return ActionTrade
	case "G":
		return ActionCorrect
	case "H":
		return ActionBust
	case "1", "2":
		return e.partOrFull()
	case "": // FIX 4.0 has no ExecType
		if e.OrdStatus == "1" || e.OrdStatus == "2" {
			return e.partOrFull()
		}
	}
	return ActionStatus
}

// partOrFull is what 1 and 2 mean: FIX 4.3 took them out of ExecType, and a report
// of later versions that has them must say how much was filled. Where
// ExecTransType says that it is new, no more than a quantity of 0 speaks against it.
func (e *Execution) partOrFull() Action {
	positive := e.LastQty.Valid && e.LastQty.Decimal.IsPositive()
	if positive || e.ExecTransType == "0" && !e.LastQty.Valid {
		return ActionTrade
	}
	return ActionStatus
}

// maxValue is how many bytes of a value an event has.
const maxValue = 4 << 10

// clean bounds a value and makes it text: invalid UTF-8 and NUL, which databases
// refuse, are replaced. What it says stays untrusted.
func clean(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s[:min(len(s), maxValue)], "\uFFFD"), "\x00", "\uFFFD")
	if len(s) > maxValue {
		s = strings.ToValidUTF8(s[:maxValue], "")
	}
	return s
}

// values reads the values of a message by their type.
type values struct {
	m        *Message
	problems []Problem
}

func (v *values) text(tag int) string { return clean(v.m.value(tag)) }

func (v *values) bad(tag int, value, expected string) {
	v.problems = append(v.problems, Problem{Tag: tag, Problem: "the value cannot be read", Value: shown(value), Expected: expected})
}

// needs notes that a value is missing.
func (v *values) needs(tag int, problem string) {
	if v.m.value(tag) == "" {
		v.problems = append(v.problems, Problem{Tag: tag, Problem: problem, Expected: "a value"})
	}
}

// decimal reads a FIX float: an optional minus, digits and at most one point,
// without an exponent.
func (v *values) decimal(tag int) decimal.NullDecimal {
	s := v.m.value(tag)
	if s == "" {
		return decimal.NullDecimal{}
	}
	digits := strings.Replace(strings.TrimPrefix(s, "-"), ".", "", 1)
	if digits == "" || len(digits) > 40 || strings.Trim(digits, "0123456789") != "" {
		v.bad(tag, s, "a plain decimal of at most 40 digits, without plus, separators and exponent")
		return decimal.NullDecimal{}
	}
	d, err := decimal.NewFromString(s)
	return decimal.NullDecimal{Decimal: d, Valid: err == nil}
}

func (v *values) date(tag int) time.Time {
	s := v.m.value(tag)
	t, ok := parseDate(s)
	if !ok && s != "" {
		v.bad(tag, s, "a calendar date of the form YYYYMMDD")
	}
	return t
}

func (v *values) timestamp(tag int) time.Time {
	s := v.m.value(tag)
	t, ok := parseTimestamp(s)
	if !ok && s != "" && !v.m.Script {
		v.bad(tag, s, "YYYYMMDD-HH:MM:SS with or without a fraction, in UTC")
	}
	return t
}
