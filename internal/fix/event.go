package fix

import (
	"time"
)

// EventKind says what happened.
type EventKind string

// The closed set of kinds.
const (
	KindExecution      EventKind = "execution"        // 35=8: a fill, correction, bust or an order's status
	KindOrderReject    EventKind = "order_reject"     // 35=8 with 39=8 or 150=8
	KindCancelReject   EventKind = "cancel_reject"    // 35=9
	KindBusinessReject EventKind = "business_reject"  // 35=j
	KindSessionReject  EventKind = "session_reject"   // 35=3
	KindDontKnowTrade  EventKind = "dont_know_trade"  // 35=Q
	KindLogon          EventKind = "logon"            // 35=A, or a line of the log
	KindLogout         EventKind = "logout"           // 35=5, or a line of the log
	KindConnect        EventKind = "connect"          // a line of the log
	KindDisconnect     EventKind = "disconnect"       // a line of the log
	KindSequenceGap    EventKind = "sequence_gap"     // messages are missing
	KindSeqTooLow      EventKind = "sequence_too_low" // a number comes again without PossDup
)

// Event is one happening of a log. What it is of depends on Kind; texts are
// untrusted, valid UTF-8 and at most 4 KiB each.
type Event struct {
	Kind    EventKind
	Line    int    // from 1
	Message string // MsgType of the message that tells it; empty when a line of the log does
	// At is SendingTime, or the time a line begins with when that has FIX's own form; zero
	// when there is none.
	At time.Time
	// FirstSent is OrigSendingTime of a message that was sent before; zero when there
	// is none.
	FirstSent time.Time
	Sender    string // of the message, or of the session that the line names
	Target    string
	SeqNum    int64 // of the message; -1 when there is none
	Direction Direction
	// Repeat says that the message has PossDup: the happening may be on record already.
	Repeat bool
	// MayRepeat says that the message has PossResend: the sender does not know whether
	// the same was received before, under another number.
	MayRepeat bool
	Execution *Execution // of executions and order rejects
	Reject    *Reject    // of all rejects, and of trades that are not known
	Gap       *Gap       // of sequence gaps
	Expected  int64      // of numbers that are too low: which was due
	Text      string     // 58, or the line of the log
	Problems  []Problem  // values of the message that cannot be read
}

// Reject is why something was refused. Which fields are there depends on the
// kind of the event.
type Reject struct {
	Code        string // 103, 102, 380, 373 or 127, by kind
	Words       string // of the standard, or "unknown code X"
	ClOrdID     string // 11, of order and cancel rejects
	OrigClOrdID string // 41, of order and cancel rejects
	OrderID     string // 37
	ExecID      string // 17, of trades that are not known and of order rejects
	ResponseTo  string // 434, of cancel rejects: 1 cancel request, 2 cancel/replace request
	RefMsgType  string // 372, of session and business rejects
	RefSeqNum   int64  // 45, of session and business rejects; -1 when it is missing
	RefTagID    string // 371, of session and business rejects
	BusinessRef string // 379, of business rejects
	Text        string // 58
}

// Throttled reports whether the event is a business reject because messages came
// too fast.
func (e *Event) Throttled() bool {
	if e.Kind != KindBusinessReject {
		return false
	}
	return e.Reject.Code == "8" || e.Reject.Code == "9" || e.Reject.Code == "10"
}

// Classify says what a message tells; false when it is none of the kinds.
func Classify(m *Message) (Event, bool) {
	e := Event{
		Line: m.Line, Message: clean(m.MsgType), At: m.SendingTime, Sender: clean(m.Sender), Target: clean(m.Target), SeqNum: m.SeqNum,
		Direction: m.Direction, Repeat: m.PossDup, MayRepeat: m.PossResend,
	}
	v := values{m: m}
	e.Text = v.text(tagText)
	if m.PossDup {
		e.FirstSent, _ = parseTimestamp(m.value(tagOrigSending))
	}
	switch m.MsgType {
	case "8":
		e.Kind = KindExecution
		e.Execution, e.Problems = execution(m)
		if e.Execution.OrdStatus == "8" || e.Execution.ExecType == "8" {
			e.Kind = KindOrderReject
			e.Reject = v.reject(103, orderRejectWords)
		}
	case "9":
		e.Kind = KindCancelReject
		e.Reject = v.reject(102, cancelRejectWords)
	case "j":
		e.Kind = KindBusinessReject
		e.Reject = v.reject(380, businessRejectWords)
	case "3":
		e.Kind = KindSessionReject
		e.Reject = v.reject(373, sessionRejectWords)
	case "Q":
		e.Kind = KindDontKnowTrade
		e.Reject = v.reject(127, dontKnowWords)
	case "A":
		e.Kind = KindLogon
	case "5":
		e.Kind = KindLogout
	default:
		return Event{}, false
	}
	return e, true
}

// reject reads what any kind of reject has.
func (v *values) reject(reason int, words map[string]string) *Reject {
	r := &Reject{
		Code: v.text(reason), ClOrdID: v.text(11), OrigClOrdID: v.text(41), OrderID: v.text(37), ExecID: v.text(17), ResponseTo: v.text(434),
		RefMsgType: v.text(372), RefSeqNum: v.m.number(45), RefTagID: v.text(371), BusinessRef: v.text(379), Text: v.text(tagText),
	}
	r.Words = wordsFor(words, r.Code)
	return r
}
