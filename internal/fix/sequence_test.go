package fix_test

import (
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"finobs/internal/fix"

	"pgregory.net/rapid"
)

// sent is messages of BUY to SELL, written as "number body", and of SELL to BUY
// with < before.
func sent(lines ...string) string {
	var b strings.Builder
	for _, line := range lines {
		from, to := "BUY", "SELL"
		if strings.HasPrefix(line, "<") {
			from, to, line = to, from, line[1:]
		}
		number, body, _ := strings.Cut(line, " ")
		if body == "" {
			body = "0"
		}
		n, err := strconv.Atoi(number)
		if err != nil {
			panic(err)
		}
		b.WriteString(between(from, to, n, "35="+body) + "\n")
	}
	return b.String()
}

func gapList(r fix.EventReport) string {
	var out []string
	for _, g := range r.Gaps {
		s := fmt.Sprintf("%s %d-%d", g.Sender, g.From, g.To)
		for _, m := range g.Missing {
			s += fmt.Sprintf(" -%d..%d", m.From, m.To)
		}
		if g.Filled {
			s += " filled"
		}
		if g.Requested {
			s += " requested"
		}
		if g.Reset {
			s += " reset"
		}
		out = append(out, s)
	}
	return strings.Join(out, "; ")
}

func TestSequenceNumbers(t *testing.T) {
	const tomorrow = "|52=20260613-07:00:00"
	for name, tc := range map[string]struct {
		lines []string
		gaps  string
		low   int
	}{
		"in order":                        {[]string{"1 A", "<1 A", "2", "<2", "3", "<3"}, "", 0},
		"the log begins in the middle":    {[]string{"94", "<7", "95", "<8"}, "", 0},
		"each direction for itself":       {[]string{"94", "<7", "96", "<8"}, "BUY 95-95 -95..95", 0},
		"a jump":                          {[]string{"1", "5"}, "BUY 2-4 -2..4", 0},
		"filled by resends":               {[]string{"1", "5", "<1 2|7=2|16=0", "2 0|43=Y", "3 0|43=Y", "4 0|43=Y", "6"}, "BUY 2-4 filled requested", 0},
		"requested and filled":            {[]string{"<1 A", "1 A", "5", "<2 2|7=2|16=4", "2 0|43=Y", "3 0|43=Y", "4 0|43=Y", "6"}, "BUY 2-4 filled requested", 0},
		"filled in part":                  {[]string{"1", "7", "3 0|43=Y", "5 0|43=Y"}, "BUY 2-6 -2..2 -4..4 -6..6", 0},
		"filled by a gap fill":            {[]string{"1", "5", "2 4|43=Y|123=Y|36=5", "6"}, "BUY 2-4 filled", 0},
		"filled by resend and gap fill":   {[]string{"1", "9", "2 D|43=Y", "3 4|43=Y|123=Y|36=8", "8 D|43=Y", "10"}, "BUY 2-8 filled", 0},
		"filled late without PossDup":     {[]string{"1", "3", "2", "4"}, "BUY 2-2 filled", 0},
		"a gap fill goes on":              {[]string{"1", "2 4|123=Y|36=20", "20"}, "", 0},
		"a gap fill that was due later":   {[]string{"1", "4 4|123=Y|36=20", "20"}, "BUY 2-3 -2..3", 0},
		"an old gap fill is ignored":      {[]string{"1", "2", "1 4|43=Y|123=Y|36=20", "3"}, "", 0},
		"a replay of what came":           {[]string{"1", "2", "3", "1 0|43=Y", "2 0|43=Y", "4"}, "", 0},
		"a log begins with a replay":      {[]string{"50 0|43=Y", "51 0|43=Y", "100", "101"}, "", 0},
		"too low":                         {[]string{"1", "2", "3", "2", "4"}, "", 1},
		"reset mode":                      {[]string{"1", "0 4|36=40", "40"}, "", 0},
		"reset mode with 123=N":           {[]string{"1", "5", "0 4|36=40|123=N", "40"}, "BUY 2-4 -2..4 reset", 0},
		"reset to a lower number":         {[]string{"9", "10 4|36=3", "10", "11"}, "", 0},
		"a new day":                       {[]string{"1 A", "2", "3", "1 A" + tomorrow, "2" + " 0" + tomorrow}, "", 0},
		"a new day without its logon":     {[]string{"900", "901", "17 0" + tomorrow, "18 0" + tomorrow}, "", 0},
		"a logon with 141=Y":              {[]string{"8", "<9", "1 A|141=Y", "<1 A|141=Y", "2", "<2"}, "", 0},
		"only the answer has 141=Y":       {[]string{"8", "<9", "<1 A|141=Y", "1", "<2"}, "", 0},
		"141=Y and then a loss":           {[]string{"8", "<9", "<1 A|141=Y", "3", "<2"}, "BUY 1-2 -1..2", 0},
		"a logon that is too high":        {[]string{"1 A", "2", "9 A", "10"}, "BUY 3-8 -3..8", 0},
		"the largest numbers":             {[]string{"999999999999999998", "1 4|123=Y|43=Y|36=999999999999999999", "999999999999999999"}, "", 0},
		"a resend of what is still to be": {[]string{"1", "9 0|43=Y", "2"}, "", 0},
	} {
		list, report := readEvents(t, sent(tc.lines...))
		if got := gapList(report); got != tc.gaps || report.Events[fix.KindSeqTooLow] != tc.low {
			t.Errorf("%s: got %q and %d too low, want %q and %d", name, got, report.Events[fix.KindSeqTooLow], tc.gaps, tc.low)
		}
		unfilled := 0
		for _, g := range report.Gaps {
			if !g.Filled {
				unfilled++
			}
		}
		if report.GapsUnfilled != unfilled || report.Events[fix.KindSequenceGap] != len(report.Gaps) {
			t.Errorf("%s: report %+v", name, report)
		}
		for _, e := range list {
			if e.Kind == fix.KindSequenceGap && (e.Gap == nil || e.Gap.Filled || e.Gap.Count != e.Gap.To-e.Gap.From+1 || e.SeqNum != e.Gap.To+1 || e.Line != e.Gap.Line) {
				t.Errorf("%s: event %+v", name, e)
			}
		}
	}
	list, _ := readEvents(t, sent("1", "2", "3", "2"))
	if e := list[0]; e.Kind != fix.KindSeqTooLow || e.Line != 4 || e.SeqNum != 2 || e.Expected != 4 || e.Sender != "BUY" {
		t.Errorf("got %+v", e)
	}
}

func TestSessionsAreSummed(t *testing.T) {
	_, report := readEvents(t, sent("1 A|141=Y", "<1 A|141=Y", "2", "5", "3 0|43=Y", "4", "4", "<2", "1 A"))
	want := []fix.Session{
		{Sender: "BUY", Target: "SELL", Messages: 7, FirstSeq: 1, Expected: 2, Resets: 1, Gaps: 1, SeqTooLow: 1, Repeats: 1},
		{Sender: "SELL", Target: "BUY", Messages: 2, FirstSeq: 1, Expected: 3},
	}
	if got := plainSessions(report.Sessions); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

// plainSessions keeps what is exported.
func plainSessions(list []fix.Session) []fix.Session {
	out := []fix.Session{}
	for _, s := range list {
		out = append(out, fix.Session{Sender: s.Sender, Target: s.Target, Messages: s.Messages, FirstSeq: s.FirstSeq, Expected: s.Expected, Resets: s.Resets, Gaps: s.Gaps, SeqTooLow: s.SeqTooLow, Repeats: s.Repeats})
	}
	return out
}

func TestSessionsAndGapsAreBounded(t *testing.T) {
	q := fix.NewSequences()
	for i := range 1500 {
		q.Observe(&fix.Message{Sender: fmt.Sprint(i), Target: "X", SeqNum: 1, MsgType: "0"})
	}
	if len(q.Sessions()) != 1000 || q.Untracked != 500 {
		t.Errorf("%d sessions, %d untracked", len(q.Sessions()), q.Untracked)
	}
	q = fix.NewSequences()
	for i := range 3000 {
		if e, ok := q.Observe(&fix.Message{Sender: "A", Target: "X", SeqNum: int64(i*2 + 1), MsgType: "0"}); ok != (i > 0) || ok && e.Kind != fix.KindSequenceGap {
			t.Fatalf("%d: %+v", i, e)
		}
	}
	if s := q.Sessions()[0]; len(q.Gaps()) != 1000 || q.GapsOmitted != 1999 || s.Gaps != 2999 {
		t.Errorf("%d gaps, %d omitted, %+v", len(q.Gaps()), q.GapsOmitted, s)
	}
	// A gap in too many pieces says that too much is missing, never too little.
	q = fix.NewSequences()
	q.Observe(&fix.Message{Sender: "A", Target: "X", SeqNum: 1, MsgType: "0"})
	q.Observe(&fix.Message{Sender: "A", Target: "X", SeqNum: 1001, MsgType: "0"})
	for n := int64(3); n < 1000; n += 2 {
		q.Observe(&fix.Message{Sender: "A", Target: "X", SeqNum: n, MsgType: "0", PossDup: true})
	}
	if g := q.Gaps()[0]; len(g.Missing) != 64 || g.Filled || g.Missing[63].To != 1000 {
		t.Errorf("%d pieces, %+v", len(g.Missing), g)
	}
}

// Whatever is lost and resent in whatever order: what did not come is what is
// reported missing.
func TestWhatIsMissingIsWhatDidNotCome(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(2, 60).Draw(t, "n")
		came := map[int64]bool{1: true, n: true}
		q := fix.NewSequences()
		observe := func(seq int64, dup bool) {
			q.Observe(&fix.Message{Sender: "A", Target: "B", SeqNum: seq, MsgType: "D", PossDup: dup})
			came[seq] = true
		}
		observe(1, false)
		for seq := int64(2); seq < n; seq++ {
			if rapid.Bool().Draw(t, "came") {
				observe(seq, false)
			}
		}
		observe(n, false)
		for _, seq := range rapid.SliceOfN(rapid.Int64Range(1, n), 0, 40).Draw(t, "resent") {
			observe(seq, true)
		}
		for _, g := range q.Gaps() {
			for seq := g.From; seq <= g.To; seq++ {
				missing := false
				for _, m := range g.Missing {
					missing = missing || m.From <= seq && seq <= m.To
				}
				if missing == came[seq] {
					t.Fatalf("%d came: %v, %+v", seq, came[seq], g)
				}
				delete(came, seq)
			}
			if g.Filled != (len(g.Missing) == 0) {
				t.Fatalf("got %+v", g)
			}
		}
		if s := q.Sessions()[0]; s.Expected != n+1 || s.SeqTooLow != 0 {
			t.Fatalf("got %+v", s)
		}
	})
}

func TestMessagesWithoutANameUseUpANumber(t *testing.T) {
	text := sent("1", "2", "3", "4")
	_, report := readEvents(t, strings.Replace(text, "49=BUY|56=SELL|34=3", "49=BUY|56=|34=3", 1))
	if len(report.Gaps) != 0 || len(report.Sessions) != 1 {
		t.Errorf("got %+v and %+v", report.Gaps, report.Sessions)
	}
	_, report = readEvents(t, strings.Replace(text, "|34=3", "", 1))
	if gapList(report) != "BUY 3-3 -3..3" || report.Sessions[0].Messages != 4 {
		t.Errorf("got %+v and %+v", report.Gaps, report.Sessions)
	}
}

func TestScriptsTellWhatHappened(t *testing.T) {
	for name, want := range map[string]struct {
		events string
		gaps   string
	}{
		"20_SimultaneousResendRequest": {"connect logon logon sequence_gap logout sequence_too_low logout disconnect", "TW 4-6 filled requested"},
		"8_OnlyAdminMessages":          {"connect logon logon sequence_too_low logout sequence_too_low logout disconnect", ""},
		"14b_RequiredFieldMissing":     {"connect logon logon session_reject session_reject logout logout disconnect", ""},
		"3c_GarbledMessage":            {"connect logon logon sequence_gap logout sequence_too_low logout disconnect", "TW 3-3 filled requested"},
		"AlreadyLoggedOn":              {"connect logon logon connect logon disconnect logout logout disconnect", ""},
		"2r_UnregisteredMsgType":       {"connect logon logon execution business_reject logout logout disconnect", ""},
	} {
		text, err := os.ReadFile("testdata/scripts/" + name + ".def")
		if err != nil {
			t.Fatal(err)
		}
		list, report := readEvents(t, string(text))
		var kinds []string
		for _, e := range list {
			kinds = append(kinds, string(e.Kind))
		}
		if strings.Join(kinds, " ") != want.events || gapList(report) != want.gaps {
			t.Errorf("%s: got %v, gaps %q", name, kinds, gapList(report))
		}
	}
}
