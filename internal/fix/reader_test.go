package fix_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode"

	"finobs/internal/fault"
	"finobs/internal/fix"
	"finobs/internal/raceflag"
)

// heartbeat is a message that is right in every way: BodyLength and CheckSum were
// worked out by hand.
const heartbeat = "8=FIX.4.2|9=58|35=0|49=CoyTrade|56=BCExchange|34=96|52=20060410-12:02:29|10=007|"

func TestAMessageHasItsHeader(t *testing.T) {
	list, report := read(t, "junk\n04/10/2006 15:20 <== "+heartbeat+" JUNK\n")
	if len(list) != 1 || report.Messages != 1 || report.JunkLines != 1 || report.Lines != 2 || len(report.Warnings) != 0 {
		t.Fatalf("%d messages, report %+v", len(list), report)
	}
	m := list[0]
	if m.Line != 2 || m.Offset != 26 || m.BeginString != "FIX.4.2" || m.MsgType != "0" || m.Sender != "CoyTrade" || m.Target != "BCExchange" ||
		m.SeqNum != 96 || m.PossDup || m.PossResend || m.Direction != fix.In || m.Script || len(m.Fields) != 8 || len(m.Problems) != 0 {
		t.Errorf("got %+v", m)
	}
	if want := time.Date(2006, 4, 10, 12, 2, 29, 0, time.UTC); !m.SendingTime.Equal(want) {
		t.Errorf("sent at %v", m.SendingTime)
	}
	if v, ok := m.Get(10); v != "007" || !ok {
		t.Errorf("CheckSum %q", v)
	}
	if _, ok := m.Get(58); ok {
		t.Error("a field that is not there is found")
	}
}

func TestEveryDelimiterIsDetected(t *testing.T) {
	for _, d := range []string{"\x01", "|", ";", "^A", "<SOH>", "[SOH]", `\x01`, `\u0001`, `\001`, "␁", "&#1;", " | ", ",", "~", "^", "\t", " ", "\x00", "#", "\x02"} {
		list, report := read(t, strings.ReplaceAll(heartbeat, "|", d)+"\n")
		if len(list) != 1 || len(list[0].Fields) != 8 || len(report.Warnings) != 0 {
			t.Errorf("%q: %d messages, report %+v", d, len(list), report)
		}
	}
}

func TestDelimitersMayDifferInOneFile(t *testing.T) {
	list, report := read(t, heartbeat+"\n"+strings.ReplaceAll(heartbeat, "|", ";")+strings.ReplaceAll(heartbeat, "|", "^A")+"\n")
	if len(list) != 3 || len(report.Warnings) != 0 || list[2].Line != 2 {
		t.Errorf("%d messages, report %+v", len(list), report)
	}
}

func TestWhatMakesAMessageBad(t *testing.T) {
	for name, tc := range map[string]struct {
		text    string
		tag     int
		problem string
	}{
		"no CheckSum":               {"8=FIX.4.2|9=58|35=0|49=A|56=B|34=96|52=20060410-12:02:29|\n", 10, "cut off"},
		"CheckSum is cut":           {"8=FIX.4.2|9=58|35=0|49=A|56=B|34=96|52=20060410-12:02:29|10=00\n", 10, "cut off"},
		"no MsgType":                {"8=FIX.4.2|9=58|49=A|56=B|34=96|10=007|\n", 35, "MsgType is missing"},
		"MsgType comes late":        {"8=FIX.4.2|9=58|34=96|35=0|49=A|56=B|10=007|\n", 35, "not where it belongs"},
		"MsgType is empty":          {"8=FIX.4.2|9=58|35=|34=96|49=A|56=B|10=007|\n", 35, "no value"},
		"a tag that is no number":   {"8=FIX.4.2|9=58|35=0|4x9=A|56=B|34=96|10=007|\n", 0, "no field"},
		"the same with SOH":         {"8=FIX.4.2\x019=58\x0135=0\x0149=A\x01what\x0156=B\x0134=96\x0110=007\x01\n", 0, "no field"},
		"a tag with a leading zero": {"8=FIX.4.2|9=58|35=0|49=A|056=B|34=96|10=007|\n", 0, "no field"},
		"an empty field":            {"8=FIX.4.2\x019=58\x0135=0\x0149=A\x01\x0156=B\x0134=96\x0110=007\x01\n", 0, "no field"},
		"data that is cut off":      {"8=FIX.4.2|9=58|35=0|49=A|56=B|34=96|95=9999|96=a|10=000|b|", 95, "what looks like the end may be data"},
		"two messages in one":       {"8=FIX.4.2|9=58|35=0|49=A|56=B|34=96|35=8|10=007|\n", 35, "comes twice"},
	} {
		list, report := read(t, tc.text+heartbeat)
		if len(list) != 1 || list[0].Sender != "CoyTrade" || report.BadMessages != 1 || len(report.Errors) != 1 || report.Refusal() == "" {
			t.Errorf("%s: %d messages, report %+v", name, len(list), report)
			continue
		}
		if e := report.Errors[0]; e.Line != 1 || e.Tag != tc.tag || !strings.Contains(e.Problem.Problem, tc.problem) || e.Text == "" {
			t.Errorf("%s: got %+v", name, e)
		}
	}
}

func TestWhatIsWorthAWarning(t *testing.T) {
	for name, tc := range map[string]struct {
		old, new string
		tag      int
		expected string
	}{
		"wrong CheckSum":          {"10=007", "10=008", 10, "007"},
		"wrong BodyLength":        {"9=58", "9=59", 9, "58"},
		"no BodyLength":           {"9=58|", "", 9, "58"},
		"no SenderCompID":         {"49=CoyTrade|", "", 49, "SenderCompID"},
		"no TargetCompID":         {"56=BCExchange|", "", 56, "TargetCompID"},
		"no MsgSeqNum":            {"34=96|", "", 34, "MsgSeqNum"},
		"MsgSeqNum is no number":  {"34=96", "34=9a", 34, "a whole number"},
		"no SendingTime":          {"52=20060410-12:02:29|", "", 52, "SendingTime"},
		"SendingTime is no time":  {"52=20060410", "52=20060431", 52, "YYYYMMDD-HH:MM:SS with or without a fraction, in UTC"},
		"a tag without value":     {"49=CoyTrade", "49=", 49, "a value"},
		"header after body":       {"34=96|", "58=x|34=96|", 34, "header fields before the others"},
		"CheckSum is a symbol":    {"10=007", "10=<SUM>", 10, "007"},
		"CheckSum without a zero": {"10=007", "10=7", 10, "007"},
	} {
		list, report := read(t, strings.Replace(heartbeat, tc.old, tc.new, 1)+"\n"+heartbeat+"\n")
		if len(list) != 2 || report.BadMessages != 0 || report.Refusal() != "" {
			t.Errorf("%s: %d messages, report %+v", name, len(list), report)
			continue
		}
		found := false
		for i, p := range list[0].Problems {
			found = found || p.Tag == tc.tag && p.Expected == tc.expected
			if w := report.Warnings[i]; w.Problem != p || w.Line != 1 {
				t.Errorf("%s: warning %+v for %+v", name, w, p)
			}
		}
		if !found || len(list[1].Problems) != 0 {
			t.Errorf("%s: got %+v", name, list[0].Problems)
		}
	}
}

func TestWhatIsNoMessage(t *testing.T) {
	for name, text := range map[string]string{
		"a sentence":              "We send 8=FIX.4.2 messages; 8=FIX is the beginning.\n",
		"another tag":             "58=FIX.4.2|9=58|35=0|10=007|\n108=FIX.4.2|9=58|35=0|10=007|\n",
		"a version that is none":  "8=FIX.x.2|9=58|35=0|10=007|\n8=FIX4.2|9=58|35=0|10=007|\n",
		"BeginString alone":       "8=FIX.4.2",
		"an expected result line": "ExpectedBeginString=FIX.4.2\n",
	} {
		list, report := read(t, text)
		if len(list) != 0 || report.BadMessages != 0 || len(report.Warnings) != 1 || !strings.Contains(report.Warnings[0].Problem.Problem, "no FIX message") {
			t.Errorf("%s: %d messages, report %+v", name, len(list), report)
		}
	}
}

func TestValuesAreNeverTakenForMessages(t *testing.T) {
	forged := "x|10=000|8=FIX.4.2|9=58|35=8|150=F|10=007|y"
	for name, text := range map[string]string{
		"another delimiter":             encode("FIX.4.2", soh, []fix.Field{{35, "0"}, {34, "1"}, {49, "A"}, {56, "B"}, {52, "20260612-10:00:00"}, {58, forged}}),
		"another delimiter, wrong sums": "8=FIX.4.2\x019=1\x0135=0\x0134=1\x0149=A\x0156=B\x0158=" + forged + "\x0110=000\x01",
		"data":                          encode("FIX.4.2", "|", []fix.Field{{35, "0"}, {34, "1"}, {49, "A"}, {56, "B"}, {52, "20260612-10:00:00"}, {95, fmt.Sprint(len(forged))}, {96, forged}}),
	} {
		list, report := read(t, text+"\n")
		if len(list) != 1 || list[0].MsgType != "0" || list[0].Fields[len(list[0].Fields)-2].Value != forged || report.BadMessages != 0 {
			t.Errorf("%s: %d messages, report %+v", name, len(list), report)
		}
	}
	// Where the value holds the delimiter of the log and BodyLength agrees, the message
	// is refused, and what is in the value is not read.
	list, report := read(t, encode("FIX.4.2", "|", []fix.Field{{35, "0"}, {34, "1"}, {49, "A"}, {56, "B"}, {52, "20260612-10:00:00"}, {58, forged}})+"\n"+heartbeat)
	if len(list) != 1 || list[0].Sender != "CoyTrade" || report.BadMessages != 1 {
		t.Errorf("%d messages, report %+v", len(list), report)
	}
}

func TestATextMayHoldTheDelimiterOfTheLog(t *testing.T) {
	list, report := read(t, message(1, "35=3|45=2|58=too low; expected 5")+"\n"+strings.ReplaceAll(message(2, "35=3|45=2|58=too low@ reason=x@|371=5"), "|", ";"))
	if len(list) != 2 || len(report.Warnings) != 0 {
		t.Fatalf("%d messages, report %+v", len(list), report)
	}
	text := strings.ReplaceAll(message(2, "35=3|45=2|58=too low@ reason=x@|371=5"), "|", ";")
	list, _ = read(t, strings.ReplaceAll(text, "@", ";"))
	if v, _ := list[0].Get(58); v != "too low; reason=x;" {
		t.Errorf("text %q", v)
	}
}

func TestDataFieldsMayHoldTheDelimiter(t *testing.T) {
	for _, delim := range []string{soh, "|", "^A", "<SOH>"} {
		for _, pair := range [][2]int{{95, 96}, {212, 213}, {354, 355}, {348, 349}, {93, 89}} {
			data := "a" + soh + "10=000" + soh + "b\nc"
			want := strings.ReplaceAll(data, soh, delim)
			text := encode("FIX.4.4", delim, []fix.Field{{35, "B"}, {49, "A"}, {56, "B"}, {34, "7"}, {52, "20260612-10:00:00"}, {pair[0], fmt.Sprint(len(data))}, {pair[1], data}})
			list, report := read(t, text+"\n")
			if len(list) != 1 || report.BadMessages != 0 || report.Lines != 2 {
				t.Errorf("%q %v: %d messages, report %+v", delim, pair, len(list), report)
				continue
			}
			if v, _ := list[0].Get(pair[1]); v != want {
				t.Errorf("%q %v: got %q", delim, pair, v)
			}
		}
	}
}

func TestALengthThatDoesNotAgreeIsAWarningWhenCheckSumDoes(t *testing.T) {
	for _, length := range []string{"9", "99999999", "0", "x", "8"} { // 8 would end after CheckSum
		text := encode("FIX.4.4", "|", []fix.Field{{35, "B"}, {49, "A"}, {56, "B"}, {34, "7"}, {52, "20260612-10:00:00"}, {95, length}, {96, "a"}})
		for _, text := range []string{text, strings.Replace(text, "|49", "\n|49", 1)} {
			list, report := read(t, text+"\n")
			if len(list) != 1 || len(list[0].Fields) != 10 || length != "x" && (len(report.Warnings) != 1 || report.Warnings[0].Tag != 95 || report.Warnings[0].Value != length) {
				t.Errorf("%s: %d messages, report %+v", length, len(list), report)
			}
		}
	}
}

func TestDataThatIsCutOffEndsNoMessage(t *testing.T) {
	data := "a|10=000|b|10=111|"
	text := encode("FIX.4.4", "|", []fix.Field{{35, "B"}, {49, "A"}, {56, "B"}, {34, "7"}, {52, "20260612-10:00:00"}, {95, fmt.Sprint(len(data))}, {96, data}})
	for cut := range len(text) - 1 {
		if list, _, err := tryRead("log\n" + text[:cut]); len(list) != 0 || err != nil {
			t.Fatalf("%d messages in %q, %v", len(list), text[:cut], err)
		}
	}
}

func TestMessagesSplitOverLines(t *testing.T) {
	for name, text := range map[string]string{
		"before a delimiter":     strings.Replace(heartbeat, "|34", "\n|34", 1),
		"after a delimiter":      strings.Replace(heartbeat, "|34", "|\r\n34", 1),
		"within a value":         strings.Replace(heartbeat, "Trade", "Tr\nade", 1),
		"within a tag":           strings.Replace(heartbeat, "34=", "3\n4=", 1),
		"within CheckSum":        strings.Replace(heartbeat, "10=007", "1\n0=0\n07", 1),
		"after each field":       strings.ReplaceAll(heartbeat, "|", "|\n"),
		"with blank lines":       strings.Replace(heartbeat, "|34", "|\n\n\r\n34", 1),
		"right after the begin":  strings.Replace(heartbeat, "|9=", "|\n9=", 1),
		"and no last delimiter":  strings.TrimSuffix(strings.Replace(heartbeat, "|34", "\n|34", 1), "|"),
		"and text that follows ": strings.Replace(heartbeat, "|34", "\n|34", 1) + ") done",
	} {
		list, report := read(t, "one\n"+text+"\n"+heartbeat)
		if len(list) != 2 || report.BadMessages != 0 || len(report.Warnings) != 0 || len(list[0].Fields) != 8 || list[0].Line != 2 {
			t.Errorf("%s: %d messages, report %+v", name, len(list), report)
			continue
		}
		if want := 3 + strings.Count(text, "\n"); list[1].Line != want || report.Lines != want || report.JunkLines != 1 {
			t.Errorf("%s: the second message is on line %d, not %d; report %+v", name, list[1].Line, want, report)
		}
	}
}

func TestSeveralMessagesOnOneLine(t *testing.T) {
	for _, between := range []string{"", " ", "\x00\x00", " and then: "} {
		list, report := read(t, heartbeat+between+heartbeat+between+strings.TrimSuffix(heartbeat, "|")+between+heartbeat)
		if len(list) != 4 || report.BadMessages != 0 || report.Lines != 1 || report.JunkLines != 0 || list[3].Line != 1 {
			t.Errorf("%q: %d messages, report %+v", between, len(list), report)
		}
	}
}

func TestAMessageWhoseEndIsMissingDoesNotTakeTheNext(t *testing.T) {
	whole := message(2, "35=0|112=the length of this message is that of the next")
	for cut := len("8=FIX.4.4|9=1"); cut < len(whole)-len("7|"); cut++ {
		list, report := read(t, whole[:cut]+"\n2026-06-12 | INFO | "+whole+"\n")
		if len(list) != 1 || list[0].Line != 2 || len(list[0].Problems) != 0 || report.BadMessages != 1 {
			t.Fatalf("%d bytes: %d messages, report %+v", cut, len(list), report)
		}
	}
}

func TestDirections(t *testing.T) {
	for prefix, want := range map[string]fix.Direction{
		"":                             fix.Unknown,
		"2018/02/23 19:14:25.174 ":     fix.Unknown,
		"04/10/2006  15:20:27:   <== ": fix.In, "x <- ": fix.In, "x << ": fix.In, "20060410-07:02:29 -> \x00": fix.Out, "==> ": fix.Out, ">> ": fix.Out,
		"<20200713-17:51:24, FIX.4.4:FIXTESTA->MONTRANTS, outgoing> (":            fix.Out,
		"<20200713-17:51:24, FIX.4.4:FIXTESTA->MONTRANTS, incoming> (":            fix.In,
		"2020/03/02-06:14:36,393 INFO :: TracingIncomingMessage[HFE_UAT_EQ_US]: ": fix.In,
		"2020/03/02-06:14:36,393 INFO :: TracingOutgoingMessage[HFE_UAT_EQ_US]: ": fix.Out,
		"[main] Received: ": fix.In, "Sending message ": fix.Out, "RECV ": fix.In, "fromApp: ": fix.In, "toAdmin: ": fix.Out, "IN  ": fix.In, "OUT ": fix.Out,
		"from A to B: ": fix.Unknown, "I": fix.In, "E": fix.Out, "I1,": fix.In, "E2,": fix.Out,
	} {
		list, _ := read(t, prefix+heartbeat+"\n")
		if len(list) != 1 || list[0].Direction != want {
			t.Errorf("%q: got %+v", prefix, list)
		}
	}
}

func TestTimesOfEveryPrecision(t *testing.T) {
	day := time.Date(2026, 6, 12, 10, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"20260612-10:00:00": day, "20260612-10:00:00.5": day.Add(500 * time.Millisecond), "20260612-10:00:00.123": day.Add(123 * time.Millisecond),
		"20260612-10:00:00.123456": day.Add(123456 * time.Microsecond), "20260612-10:00:00.123456789": day.Add(123456789),
		"20260612-10:00:00.123456789999": day.Add(123456789), "20161231-23:59:60": time.Date(2017, 1, 1, 0, 0, 0, 0, time.UTC),
		"20260612": {}, "20260230-10:00:00": {}, "20260612-24:00:00": {}, "20260612 10:00:00": {}, "2026-06-12T10:00:00Z": {}, "20260612-10:00:00.": {},
		"20260612-10:00:00Z": {}, "<TIME>": {}, "00000000-00:00:00.000": {}, "20260612-1a:00:00": {}, "20260612-10:00:00.12x": {},
	} {
		list, _ := read(t, message(1, "35=0|52="+text)+"\n")
		if len(list) != 1 || !list[0].SendingTime.Equal(want) || want.IsZero() != (len(list[0].Problems) == 1) {
			t.Errorf("%q: got %v and %+v", text, list[0].SendingTime, list[0].Problems)
		}
	}
}

func TestOtherFormatsAreNamed(t *testing.T) {
	utf16 := func(s string) string {
		var b strings.Builder
		for i := range len(s) {
			b.WriteByte(s[i])
			b.WriteByte(0)
		}
		return b.String()
	}
	for name, tc := range map[string]struct{ text, found string }{
		"empty": {"", "an empty file"}, "blank": {" \n\r\n", "an empty file"}, "a BOM": {"\ufeff", "an empty file"},
		"gzip": {"\x1f\x8b\x08\x00rest", "gzip"}, "zip": {"PK\x03\x04rest", "zip"}, "UTF-16": {"\xff\xfe" + utf16(heartbeat), "UTF-16"},
		"UTF-16 without a BOM": {utf16(heartbeat), "UTF-16"}, "big-endian UTF-16": {"\xfe\xff\x00" + utf16(heartbeat), "UTF-16"},
		"XML": {"<?xml version=\"1.0\"?>\n<Document/>", "XML"}, "FIXML": {"\ufeff\n<FIXML xmlns=\"x\"><ExecRpt/></FIXML>", "XML"}, "HTML": {"<!DOCTYPE html><html>", "XML"},
		"binary": {strings.Repeat("\x02\x03\x04abc", 100), "binary"},
	} {
		list, report, err := tryRead(tc.text)
		if len(list) != 0 || report.Messages != 0 || fault.CodeOf(err) != "not-a-fix-log" || fault.KindOf(err) != fault.Invalid || !strings.Contains(fault.MessageOf(err), tc.found) {
			t.Errorf("%s: %d messages, %v", name, len(list), err)
		}
	}
	for name, text := range map[string]string{"a log in XML": "<log>\n<m>" + heartbeat + "</m>\n</log>", "a QuickFIX log": "<20200713-17:51:23, x, event> (" + heartbeat + ")", "a BOM": "\ufeff" + heartbeat} {
		if list, _ := read(t, text); len(list) != 1 {
			t.Errorf("%s: %d messages", name, len(list))
		}
	}
}

func TestMessagesOverTheLimit(t *testing.T) {
	long := strings.Repeat("x", fix.MaxMessage)
	for name, after := range map[string]string{
		"on the next line":                      "\n" + heartbeat,
		"on the same line after its CheckSum":   "|10=000|" + heartbeat,
		"on the same line as a field":           "|" + heartbeat,
		"after a text that looks like messages": " " + heartbeat + "\n" + heartbeat,
	} {
		list, report := read(t, "first\n"+message(1, "35=0|112=a")+strings.TrimSuffix(heartbeat, "10=007|")+"58="+long+after)
		if len(list) != 2 || list[1].Sender != "CoyTrade" || report.BadMessages != 1 {
			t.Errorf("%s: %d messages, report %+v", name, len(list), report)
			continue
		}
		if e := report.Errors[0]; e.Line != 2 || !strings.Contains(e.Problem.Problem, "no end within 65536 bytes, from byte ") {
			t.Errorf("%s: got %+v", name, e)
		}
	}
	// The limit itself is allowed.
	body := message(1, "35=0|58=")
	list, report := read(t, message(1, "35=0|58="+strings.Repeat("x", fix.MaxMessage-len(body)-3)))
	if len(list) != 1 || report.BadMessages != 0 {
		t.Errorf("%d messages, report %+v", len(list), report)
	}
}

// repeated is s, n bytes long, without being in memory.
type repeated struct {
	s string
	n int
	i int
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.n <= 0 {
		return 0, io.EOF
	}
	n := 0
	for n < len(p) && r.n > 0 {
		c := copy(p[n:], r.s[r.i:])
		n, r.i, r.n = n+c, (r.i+c)%len(r.s), r.n-c
	}
	return n, nil
}

func TestLongLinesTakeNoMemory(t *testing.T) {
	much := raceflag.Of(100, 48) << 20 // bytes; over the 32 MiB that are allowed
	for name, tc := range map[string]struct {
		text  string
		size  int
		whole bool // messages are in it
	}{
		"junk": {"no message at all ", much, false}, "messages": {strings.ReplaceAll(heartbeat, "|", soh), much, true},
		"one field": {"8", much, false}, "beginnings": {"8=FIX.4.2|9=1|", 10 << 20, false}, "NULs": {"\x00", 10 << 20, false},
	} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		peak, n := uint64(0), 0
		in := io.MultiReader(strings.NewReader("log\n"+heartbeat+"8=FIX.4.2|9=5|35=0|58="), &repeated{s: tc.text, n: tc.size}, strings.NewReader("\n"+heartbeat+"\n"))
		report, err := fix.Read(in, func(*fix.Message) error {
			if n++; n%100_000 == 0 {
				runtime.ReadMemStats(&after)
				peak = max(peak, after.HeapAlloc)
			}
			return nil
		})
		runtime.ReadMemStats(&after)
		peak = max(peak, after.HeapAlloc)
		want := 2
		if tc.whole {
			want = (tc.size - fix.MaxMessage) / len(heartbeat)
		}
		if err != nil || n < want || report.Lines != 3 || report.BadMessages == 0 {
			t.Errorf("%s: %d messages, %v, report of %d bad ones and %d lines", name, n, err, report.BadMessages, report.Lines)
		}
		if peak > before.HeapAlloc+32<<20 {
			t.Errorf("%s: %d bytes more on the heap", name, peak-before.HeapAlloc)
		}
	}
}

func TestAReportIsShortAndPrintable(t *testing.T) {
	var log strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&log, "8=FIX.4.2|9=5|35=0|58=\x1b[31m\xff%s|\n", strings.Repeat("y", 500))
		log.WriteString(strings.Replace(message(i, "35="+fmt.Sprintf("Z%d", i)+"|58=\x1b\xff"), "10=", "10=x", 1))
		log.WriteString("\n")
	}
	_, report := read(t, log.String())
	if report.BadMessages != 3000 || len(report.Errors) != fix.MaxReports || report.ErrorsOmitted != 2000 || len(report.Warnings) != fix.MaxReports || report.WarningsOmitted != 2000 {
		t.Errorf("%d bad, %d and %d omitted", report.BadMessages, report.ErrorsOmitted, report.WarningsOmitted)
	}
	if len(report.MsgTypes) > 201 || report.MsgTypes["other"] != 2800 {
		t.Errorf("%d types, %d others", len(report.MsgTypes), report.MsgTypes["other"])
	}
	text, err := json.Marshal(report)
	if err != nil || len(text) > 2<<20 {
		t.Errorf("%d bytes of JSON, %v", len(text), err)
	}
	for _, e := range append(report.Errors, report.Warnings...) {
		if s := e.Text + e.Value; len(e.Text) > 200 || strings.ContainsFunc(s, unicode.IsControl) {
			t.Fatalf("%q", s)
		}
	}
}

func TestReadingEndsWithWhatItsCallerReturns(t *testing.T) {
	stop := errors.New("stop")
	n := 0
	report, err := fix.Read(strings.NewReader(heartbeat+heartbeat), func(*fix.Message) error { n++; return stop })
	if !errors.Is(err, stop) || n != 1 || report.Messages != 1 {
		t.Errorf("%d calls, %v, %+v", n, err, report)
	}
	if _, err = fix.Read(io.MultiReader(strings.NewReader("a\nb\n"), failing{stop}), nil); !errors.Is(err, stop) || !strings.Contains(err.Error(), "reading line 1") {
		t.Errorf("got %v", err)
	}
	if _, err = fix.Read(failing{nil}, nil); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("got %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestScripts(t *testing.T) {
	for name, want := range map[string]struct{ messages, bad, warnings int }{
		"3c_GarbledMessage": {9, 2, 0}, "2t_FirstThreeFieldsOutOfOrder": {8, 2, 0}, "14b_RequiredFieldMissing": {8, 0, 1},
		"20_SimultaneousResendRequest": {16, 0, 0}, "8_OnlyAdminMessages": {16, 0, 0}, "AlreadyLoggedOn": {5, 0, 0}, "2m_BodyLengthValueNotCorrect": {16, 0, 2},
	} {
		text, err := os.ReadFile("testdata/scripts/" + name + ".def")
		if err != nil {
			t.Fatal(err)
		}
		list, report := read(t, string(text))
		if len(list) != want.messages || report.BadMessages != want.bad || len(report.Warnings) != want.warnings || report.JunkLines != 0 {
			t.Errorf("%s: %d messages, report %+v", name, len(list), report)
		}
		for _, m := range list {
			if !m.Script || m.Direction == fix.Unknown {
				t.Errorf("%s: line %d is no step of a script", name, m.Line)
			}
		}
	}
	// A step whose line is cut off is not read, whatever is left of it.
	step := "I8=FIX.4.2\x0135=D\x0134=2\x0149=TW\x0152=<TIME>\x0156=ISLD\x0111=id\x01"
	for cut := range len(step) {
		if list, _, err := tryRead("#\n" + step[:cut]); len(list) != 0 || err != nil {
			t.Errorf("%q is read", step[:cut])
		}
	}
}
