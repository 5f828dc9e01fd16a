package fix

import (
	"cmp"
	"slices"
)

const (
	maxSessions = 1000 // directions of sessions that are followed
	maxGaps     = 1000 // that are listed, of all sessions together
)

// Session is one direction of a FIX session: what Sender sent to Target.
type Session struct {
	Sender    string `json:"sender"`
	Target    string `json:"target"`
	Messages  int    `json:"messages"`
	FirstSeq  int64  `json:"first_seq"`   // of the log; 0 when no message has a number
	Expected  int64  `json:"expected"`    // the number that is due next; 0 while none is known
	Resets    int    `json:"resets"`      // times that the numbers began anew
	Gaps      int    `json:"gaps"`        // also those that are not listed
	SeqTooLow int    `json:"seq_too_low"` // messages whose number had come before, without PossDup
	Repeats   int    `json:"repeats"`     // messages with PossDup
	gaps      []*Gap // open ones
	// before is the latest day of a SendingTime, in days since 1970; 0 when none is known.
	before int64
	// fresh says that the last message was a logon that began the numbers with 1.
	fresh bool
}

type sessionKey struct{ sender, target string }

// Sequences follows the numbers (34) of each direction of each session. A log may
// begin anywhere: the first number of a direction is taken as it comes, and so is a
// lower one on a later day (UTC), whose logon is then not in the log.
type Sequences struct {
	sessions map[sessionKey]*Session
	gaps     []*Gap
	// Untracked counts the messages of sessions over the limit of 1,000, and GapsOmitted
	// the gaps over it: whether these were filled is not known.
	Untracked, GapsOmitted int
}

// NewSequences returns one that knows no session.
func NewSequences() *Sequences { return &Sequences{sessions: map[sessionKey]*Session{}} }

// Observe takes the next message of the log. It returns a sequence gap or a number
// that is too low as an event.
func (q *Sequences) Observe(m *Message) (Event, bool) {
	s := q.session(m.Sender, m.Target)
	if s == nil {
		q.Untracked++
		return Event{}, false
	}
	s.Messages++
	if m.PossDup {
		s.Repeats++
	}
	if m.MsgType == "2" {
		q.requested(m)
	}
	if m.SeqNum < 0 {
		return Event{}, false
	}
	if s.FirstSeq == 0 && !m.PossDup {
		s.FirstSeq = m.SeqNum
	}
	fresh := m.MsgType == "A" && m.SeqNum == 1 && !m.PossDup
	defer func() { s.fresh, s.before = fresh, max(s.before, daysOf(m)) }()
	switch {
	case m.MsgType == "A" && !m.PossDup && (m.SeqNum == 1 || m.value(tagResetSeqNums) == "Y"):
		q.logon(s, m)
		return Event{}, false
	case m.MsgType == "4" && m.value(tagGapFill) != "Y":
		s.reset(m.number(tagNewSeqNo))
		return Event{}, false
	case m.MsgType == "4":
		return q.gapFill(s, m)
	}
	return q.take(s, m, Range{m.SeqNum, m.SeqNum})
}

// session finds a direction; nil when there are too many. A message that lacks one
// of the two names uses up a number of the only session it can belong to.
func (q *Sequences) session(sender, target string) *Session {
	key := sessionKey{clean(sender), clean(target)}
	s := q.sessions[key]
	if s == nil && (sender == "" || target == "") {
		if s = q.only(key); s != nil {
			return s
		}
	}
	if s == nil && len(q.sessions) < maxSessions {
		s = &Session{Sender: key.sender, Target: key.target}
		q.sessions[key] = s
	}
	return s
}

// only finds the one session that has the name that is there; nil when there are
// none or several.
func (q *Sequences) only(key sessionKey) *Session {
	var found *Session
	for k, s := range q.sessions {
		if (key.sender == "" || key.sender == k.sender) && (key.target == "" || key.target == k.target) {
			if found != nil {
				return nil
			}
			found = s
		}
	}
	return found
}

// logon begins the numbers anew: with 1 at a new day's logon, and at one that asks
// for it (141=Y). The latter is for both directions: unless the other one has just
// done it itself, its next number is 1.
func (q *Sequences) logon(s *Session, m *Message) {
	s.begin(m.SeqNum + 1)
	if m.value(tagResetSeqNums) != "Y" {
		return
	}
	if other := q.sessions[sessionKey{clean(m.Target), clean(m.Sender)}]; other != nil && other != s && !other.fresh && other.Expected > 1 {
		other.begin(1)
	}
}

// begin starts a new series of numbers. What is missing of the old one stays so.
func (s *Session) begin(expected int64) {
	if s.Expected > 0 {
		s.Resets++
	}
	for _, g := range s.gaps {
		g.Reset = true
	}
	s.gaps, s.Expected = nil, expected
}

// reset is SequenceReset in reset mode: the numbers up to the new one are given up
// on purpose. A lower one is against the rules and changes nothing.
func (s *Session) reset(next int64) {
	if next > s.Expected {
		s.begin(next)
	}
}

// gapFill is SequenceReset with 123=Y: it stands for the numbers from its own to
// the one before NewSeqNo.
func (q *Sequences) gapFill(s *Session, m *Message) (Event, bool) {
	return q.take(s, m, Range{m.SeqNum, max(m.SeqNum, m.number(tagNewSeqNo)-1)})
}

// take takes numbers that came.
func (q *Sequences) take(s *Session, m *Message, r Range) (Event, bool) {
	open := r.From < s.Expected && s.fill(r)
	switch {
	case m.PossDup && s.Expected == 0: // a replay says nothing of where the numbers are
	case s.Expected == 0, r.From == s.Expected:
		s.Expected = r.To + 1
	case open: // came late
		s.Expected = max(s.Expected, r.To+1)
	case m.PossDup:
	case r.From > s.Expected:
		return q.gap(s, m, r), true
	case s.newDay(m): // the logon between is not in the log
		s.begin(r.To + 1)
	default:
		s.SeqTooLow++
		return happening(KindSeqTooLow, m, s.Expected), true
	}
	return Event{}, false
}

// newDay reports whether the message was sent on a later day, in UTC, than the one
// before it.
func (s *Session) newDay(m *Message) bool { return s.before > 0 && daysOf(m) > s.before }

func daysOf(m *Message) int64 {
	if m.SendingTime.IsZero() {
		return 0
	}
	return m.SendingTime.Unix() / (24 * 60 * 60)
}

// fill takes numbers out of the open gaps, and reports whether the first of them was
// missing.
func (s *Session) fill(r Range) bool {
	missing := slices.ContainsFunc(s.gaps, func(g *Gap) bool { return g.holds(r.From) })
	for _, g := range s.gaps {
		g.fill(r)
	}
	s.gaps = slices.DeleteFunc(s.gaps, func(g *Gap) bool { return g.Filled })
	return missing
}

// gap notes that the numbers before r are missing.
func (q *Sequences) gap(s *Session, m *Message, r Range) Event {
	missing := Range{s.Expected, r.From - 1}
	s.Gaps++
	s.Expected = r.To + 1
	g := &Gap{
		Sender: s.Sender, Target: s.Target, Line: m.Line, From: missing.From, To: missing.To, Count: missing.Count(), Missing: []Range{missing},
	}
	if len(q.gaps) < maxGaps {
		q.gaps = append(q.gaps, g)
		s.gaps = append(s.gaps, g)
	} else {
		q.GapsOmitted++
	}
	e := happening(KindSequenceGap, m, missing.From)
	told := *g // as it is now; the list has what becomes of it
	e.Gap = &told
	return e
}

// requested notes that the sender of a ResendRequest asks the other side for
// numbers; EndSeqNo 0 means all that follow (999999 up to FIX 4.2).
func (q *Sequences) requested(m *Message) {
	other := q.sessions[sessionKey{clean(m.Target), clean(m.Sender)}]
	from, to := m.number(tagBeginSeqNo), m.number(tagEndSeqNo)
	if other == nil || from < 0 {
		return
	}
	for _, g := range other.gaps {
		if g.To >= from && (to <= 0 || g.From <= to) {
			g.Requested = true
		}
	}
}

// happening is an event of a message's number.
func happening(kind EventKind, m *Message, expected int64) Event {
	return Event{
		Kind: kind, Line: m.Line, Message: clean(m.MsgType), At: m.SendingTime, Sender: clean(m.Sender), Target: clean(m.Target), SeqNum: m.SeqNum,
		Direction: m.Direction, Repeat: m.PossDup, Expected: expected,
	}
}

// Sessions lists the directions by sender and target.
func (q *Sequences) Sessions() []Session {
	list := make([]Session, 0, len(q.sessions))
	for _, s := range q.sessions {
		list = append(list, *s)
	}
	slices.SortFunc(list, func(a, b Session) int {
		return cmp.Or(cmp.Compare(a.Sender, b.Sender), cmp.Compare(a.Target, b.Target))
	})
	return list
}

// Gaps lists the gaps in the order in which they were found, filled ones too.
func (q *Sequences) Gaps() []Gap {
	list := make([]Gap, 0, len(q.gaps))
	for _, g := range q.gaps {
		list = append(list, *g)
		list[len(list)-1].Missing = append([]Range{}, g.Missing...)
	}
	return list
}
