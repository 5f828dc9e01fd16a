// Package dropcopy says what a FIX log or drop copy means for a desk: which events
// it tells of, and which trades. It is pure.
package dropcopy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"finobs/internal/approval"
	"finobs/internal/event"
	"finobs/internal/fix"
	"finobs/internal/incident"
)

// Log is what is known of a log before it is read.
type Log struct {
	Source        string
	Desk          string
	Currency      string // ISO 4217, of executions that name none; empty: they must
	ContentSHA256 string // hexadecimal
	Origin        incident.Origin
	ReceivedAt    time.Time // stands in for times that a log lacks
	TraceID       string
}

// Watch turns the happenings of one log, in their order, into events.
type Watch struct {
	log  Log
	at   time.Time       // the latest time that the log named
	told bool            // whether it named any
	same map[string]int  // by words: lines since that time
	pair string          // the session that it spoke of last
	left map[string]bool // sessions that have logged out
	gaps []gap           // whether they are filled is known at the end
}

type gap struct {
	event event.Event
	gap   *fix.Gap
}

// NewWatch returns one that has seen nothing.
func NewWatch(l Log) *Watch {
	return &Watch{log: l, at: l.ReceivedAt, left: map[string]bool{}, same: map[string]int{}}
}

// kinds of events by those of the log.
var kinds = map[fix.EventKind]event.Kind{
	fix.KindOrderReject: event.OrderReject, fix.KindCancelReject: event.CancelReject, fix.KindBusinessReject: event.BusinessReject,
	fix.KindSessionReject: event.SessionReject, fix.KindDontKnowTrade: event.DontKnowTrade, fix.KindSequenceGap: event.SequenceGap,
	fix.KindDisconnect: event.Disconnect, fix.KindLogon: event.Logon, fix.KindLogout: event.Logout,
}

// Event is what e is to a desk; false when it is no event of its own. Gaps come
// from Gaps, at the end.
func (w *Watch) Event(e *fix.Event) (event.Event, bool) {
	if !e.At.IsZero() && event.Plausible(e.At) { // a clock that was never set says nothing
		if !e.At.Equal(w.at) {
			w.same = map[string]int{}
		}
		w.at, w.told = e.At, true
	}
	if e.Sender != "" && e.Target != "" {
		w.pair = pair(e.Sender, e.Target)
	}
	kind, known := kinds[e.Kind]
	if x := e.Execution; x != nil && e.Kind == fix.KindExecution {
		kind, known = map[fix.Action]event.Kind{fix.ActionBust: event.TradeBust, fix.ActionCorrect: event.TradeCorrect}[x.Action]
	}
	if !known {
		return event.Event{}, false
	}
	out := event.Event{
		Source: w.log.Source, Kind: kind, State: event.Point, Severity: event.Medium, System: cmp.Or(e.Sender, w.pair, w.log.Source),
		OccurredAt: w.occurred(e), ReceivedAt: w.log.ReceivedAt, ContentSHA256: w.log.ContentSHA256, Line: e.Line, Origin: w.log.Origin, TraceID: w.log.TraceID,
		Labels: labels(e),
	}
	w.describe(&out, e)
	out.Key = w.key(out, e)
	out.Fingerprint = event.Cut(string(kind)+":"+cmp.Or(out.Ref, out.System), event.MaxKey)
	if kind == event.SequenceGap {
		w.gaps = append(w.gaps, gap{out, e.Gap})
		return event.Event{}, false
	}
	return out, true
}

// occurred is when an event happened: when its message was sent first, or the
// latest time that the log named.
func (w *Watch) occurred(e *fix.Event) time.Time {
	if !e.FirstSent.IsZero() && event.Plausible(e.FirstSent) {
		return e.FirstSent
	}
	return w.at
}

// describe gives an event its words, its weight and what it refers to.
func (w *Watch) describe(out *event.Event, e *fix.Event) {
	switch out.Kind {
	case event.OrderReject, event.CancelReject, event.BusinessReject, event.SessionReject:
		out.Title = fmt.Sprintf("%s rejects: %s", out.System, reason(e.Reject))
		out.Ref = cmp.Or(e.Reject.ClOrdID, e.Reject.BusinessRef)
	case event.DontKnowTrade:
		out.State, out.Severity = event.Firing, event.High
		out.Title = fmt.Sprintf("%s does not know trade %s: %s", out.System, e.Reject.ExecID, reason(e.Reject))
		out.Ref = cmp.Or(e.Reject.ExecID, e.Reject.OrderID)
	case event.SequenceGap:
		out.State, out.Severity, out.System = event.Firing, event.High, e.Sender+"->"+e.Target
		out.Title = fmt.Sprintf("%s: messages %d to %d are missing", out.System, e.Gap.From, e.Gap.To)
	case event.Disconnect:
		out.System = cmp.Or(w.pair, w.log.Source)
		out.Title = out.System + " disconnected after its logout"
		if !w.left[out.System] {
			out.State, out.Severity, out.Title = event.Firing, event.High, out.System+" disconnected without a logout"
		}
	case event.Logon:
		out.State, out.Severity, out.System = event.Resolved, event.Info, cmp.Or(w.pair, w.log.Source)
		out.Title = out.System + " logged on"
		delete(w.left, out.System)
	case event.Logout:
		out.Severity, out.System = event.Info, cmp.Or(w.pair, w.log.Source)
		out.Title = out.System + " logged out"
		w.left[out.System] = true
	case event.TradeBust, event.TradeCorrect:
		out.Ref = TradeID(e, e.Execution.ExecRefID)
		out.Title = fmt.Sprintf("%s: %s of execution %s", out.System, strings.ReplaceAll(string(out.Kind), "_", " "), e.Execution.ExecRefID)
	case event.Alert:
	}
	out.Title = event.Cut(approval.Printable(out.Title), event.MaxTitle)
	out.Detail = event.Cut(approval.Printable(e.Text), event.MaxDetail)
	out.System, out.Ref = event.Cut(approval.Printable(out.System), maxName), event.Cut(approval.Printable(out.Ref), maxName)
}

// maxName bounds names that a log gives, in bytes.
const maxName = 128

// reason is why something was refused: in the words of the standard, and what the
// sender adds.
func reason(r *fix.Reject) string {
	words := r.Words
	if r.Code != "" {
		words = r.Words + " (" + r.Code + ")"
	}
	if r.Text == "" {
		return words
	}
	return strings.TrimPrefix(words+": "+r.Text, ": ")
}

func labels(e *fix.Event) map[string]string {
	out := map[string]string{}
	put := func(name, value string) {
		if value != "" {
			out[name] = event.Cut(approval.Printable(value), maxName)
		}
	}
	put("sender", e.Sender)
	put("target", e.Target)
	put("msg_type", e.Message)
	if e.SeqNum >= 0 {
		put("seq_num", strconv.FormatInt(e.SeqNum, 10))
	}
	if r := e.Reject; r != nil {
		put("code", r.Code)
		put("cl_ord_id", r.ClOrdID)
		put("order_id", r.OrderID)
		put("exec_id", r.ExecID)
		put("ref_msg_type", r.RefMsgType)
		put("ref_tag", r.RefTagID)
	}
	if x := e.Execution; x != nil {
		put("symbol", x.Symbol)
	}
	return out
}

// key is the identity of an event: what the message is, wherever and however often
// it stands in logs. A resent message has the number and the day of the first.
func (w *Watch) key(out event.Event, e *fix.Event) string {
	parts := []string{string(out.Kind), e.Sender, e.Target, e.Message, strconv.FormatInt(e.SeqNum, 10), out.OccurredAt.UTC().Format(time.DateOnly)}
	switch {
	case e.Message != "" && (out.Kind == event.Logon || out.Kind == event.Logout):
		// These are never resent, and their numbers begin anew more than once a day.
		parts = append(parts, out.OccurredAt.UTC().Format(time.RFC3339Nano))
	case e.Gap != nil:
		parts = append(parts, strconv.FormatInt(e.Gap.From, 10), strconv.FormatInt(e.Gap.To, 10))
	case e.Message == "": // a line of the log, which has nothing but its time and its words
		parts = append(parts, w.at.UTC().Format(time.RFC3339Nano), e.Text)
		w.same[e.Text]++
		parts = append(parts, w.pair, strconv.Itoa(w.same[e.Text]))
		if !w.told {
			parts = append(parts, w.log.ContentSHA256, strconv.Itoa(e.Line))
		}
	}
	if x := e.Execution; x != nil {
		parts = append(parts, x.ExecID, x.ExecRefID, x.ClOrdID)
	}
	if r := e.Reject; r != nil {
		parts = append(parts, r.Code, r.ClOrdID, r.ExecID, strconv.FormatInt(r.RefSeqNum, 10), r.BusinessRef)
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x1f")))
	return "fix:" + hex.EncodeToString(sum[:])
}

// Gaps are the gaps of the log, once it is read: those that were filled later in it
// are no condition.
func (w *Watch) Gaps(report fix.EventReport) []event.Event {
	type place struct {
		sender, target string
		line           int
		from           int64
	}
	filled := map[place]bool{}
	for _, g := range report.Gaps {
		filled[place{g.Sender, g.Target, g.Line, g.From}] = g.Filled
	}
	out := make([]event.Event, 0, len(w.gaps))
	for _, g := range w.gaps {
		e := g.event
		if filled[place{g.gap.Sender, g.gap.Target, g.gap.Line, g.gap.From}] {
			e.State, e.Severity, e.Title = event.Point, event.Info, event.Cut(e.Title+", and came later", event.MaxTitle)
		}
		out = append(out, e)
	}
	return out
}

// pair names a session by its two ends, whoever sends.
func pair(a, b string) string {
	if b < a {
		a, b = b, a
	}
	return event.Cut(approval.Printable(a+"<->"+b), maxName)
}
