package fix_test

import (
	"bytes"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"finobs/internal/fix"
	"finobs/internal/raceflag"

	"pgregory.net/rapid"
)

var allDelimiters = []string{"\x01", "|", ";", "^A", "<SOH>", `\x01`, `\u0001`, " | ", "~"}

// drawBody draws a message after BodyLength, of values that do not hold the
// delimiter: with fields again, and empty ones.
func drawBody(t *rapid.T, delim string) []fix.Field {
	body := []fix.Field{
		{Tag: 35, Value: rapid.StringMatching(`[A-Za-z0-9]{1,2}`).Draw(t, "type")}, {Tag: 49, Value: rapid.StringMatching(`[A-Z0-9 ._-]{1,12}`).Draw(t, "sender")},
		{Tag: 56, Value: rapid.StringMatching(`[A-Z0-9 ._-]{1,12}`).Draw(t, "target")}, {Tag: 34, Value: fmt.Sprint(rapid.IntRange(0, 1e9).Draw(t, "number"))},
		{Tag: 52, Value: "20260612-10:00:00.000"},
	}
	for range rapid.IntRange(0, 12).Draw(t, "fields") {
		tag := rapid.SampledFrom([]int{1, 6, 11, 14, 17, 31, 32, 37, 39, 55, 58, 150, 448, 5001, 20001, 999999999}).Draw(t, "tag")
		value := string(rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "value"))
		for _, c := range []string{delim, "\n", "\r", "\x01", "|", "<", "^", `\`, ";", "~"} {
			value = strings.ReplaceAll(value, c, "")
		}
		body = append(body, fix.Field{Tag: tag, Value: strings.TrimSpace(value)})
	}
	return body
}

// log is what a rapid test wrote, and the messages that are in it.
type log struct {
	text     string
	messages [][]fix.Field // without BodyLength and CheckSum
	whole    []int         // length of the text after which as many messages are whole
}

func drawLog(t *rapid.T) log {
	var l log
	var b strings.Builder
	for range rapid.IntRange(1, 5).Draw(t, "messages") {
		delim := rapid.SampledFrom(allDelimiters).Draw(t, "delimiter")
		body := drawBody(t, delim)
		begin := rapid.SampledFrom([]string{"FIX.4.0", "FIX.4.2", "FIX.4.4", "FIX.5.0SP2", "FIXT.1.1"}).Draw(t, "version")
		b.WriteString(rapid.SampledFrom([]string{"", "junk\n", "\r\n\x00\n", "# comment\n", "2026-06-12 | 10=1 | x\n", "iCONNECT\r\n", "8=FIX.4.2 is no message\n"}).Draw(t, "junk"))
		b.WriteString(rapid.SampledFrom([]string{"", "2026-06-12 10:00:00 -> ", "<20200713-17:51:24, FIX.4.4:A->B, outgoing> (", "INFO | ", "\x00\x00", "12 "}).Draw(t, "prefix"))
		text := encode(begin, delim, body)
		if split := rapid.IntRange(-2*len(text), len(text)-len(delim)-1).Draw(t, "split"); split > len(begin)+len("8=9=")+len(delim) { // a beginning is not looked for over lines
			text = text[:split] + rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "break") + text[split:]
		}
		b.WriteString(text)
		l.whole = append(l.whole, b.Len()-len(delim))
		b.WriteString(rapid.SampledFrom([]string{"\n", "\r\n", ")\n", " trailing text\n", " "}).Draw(t, "end"))
		l.messages = append(l.messages, append([]fix.Field{{Tag: 8, Value: begin}}, body...))
	}
	l.text = b.String()
	return l
}

// contents is the fields of messages without BodyLength and CheckSum.
func contents(list []*fix.Message) [][]fix.Field {
	out := [][]fix.Field{}
	for _, m := range list {
		fields := []fix.Field{m.Fields[0]}
		out = append(out, append(fields, m.Fields[2:len(m.Fields)-1]...))
	}
	return out
}

func readAll(in io.Reader) ([]*fix.Message, fix.Report, error) {
	var list []*fix.Message
	report, err := fix.Read(in, func(m *fix.Message) error { list = append(list, m); return nil })
	return list, report, err
}

func TestAMessageReadsTheSameHoweverItIsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLog(t)
		list, report, err := readAll(strings.NewReader(l.text))
		if err != nil {
			t.Fatal(err)
		}
		if got := contents(list); !reflect.DeepEqual(got, l.messages) {
			t.Fatalf("got %v\nwant %v\nof %q, %+v", got, l.messages, l.text, report)
		}
		for _, e := range report.Warnings {
			if e.Tag == 9 || e.Tag == 10 {
				t.Fatalf("%+v of %q", e, l.text)
			}
		}
		if want := strings.Count(l.text, "\n"); report.Lines != want && (report.Lines != want+1 || strings.HasSuffix(l.text, "\n")) {
			t.Fatalf("%d lines of %d", report.Lines, want)
		}
	})
}

func TestHowALogComesInPiecesChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLog(t)
		want, wantReport, _ := readAll(strings.NewReader(l.text))
		size := rapid.IntRange(1, 100).Draw(t, "size")
		for name, in := range map[string]io.Reader{
			"one byte":         iotest.OneByteReader(strings.NewReader(l.text)),
			"data with EOF":    iotest.DataErrReader(strings.NewReader(l.text)),
			"pieces":           &pieces{strings.NewReader(l.text), size},
			"halves":           iotest.HalfReader(strings.NewReader(l.text)),
			"behind much text": io.MultiReader(strings.NewReader(l.text)),
		} {
			got, report, err := readAll(in)
			if err != nil || !reflect.DeepEqual(got, want) || !reflect.DeepEqual(report, wantReport) {
				t.Fatalf("%s: %v, %+v and %+v", name, err, report, wantReport)
			}
		}
	})
}

type pieces struct {
	r io.Reader
	n int
}

func (p *pieces) Read(b []byte) (int, error) { return p.r.Read(b[:min(len(b), p.n)]) }

// What stands where in the reader's buffer changes nothing either.
func TestWhereAMessageStandsInTheBufferChangesNothing(t *testing.T) {
	t.Parallel()
	step := 150 / raceflag.Of(150, 10)                  // of the race detector a part: one goroutine reads
	for _, n := range []int{65_400, 196_300, 262_500} { // around a window and the buffer
		for shift := 0; shift < 150; shift += step {
			junk := strings.Repeat("junk of a line\n", n/15) + strings.Repeat("x", shift) + "\n"
			list, report, err := readAll(strings.NewReader(junk + "-> " + heartbeat + "\n" + heartbeat + "\n"))
			if err != nil || len(list) != 2 || list[0].Direction != fix.Out || report.BadMessages != 0 || list[0].Line != n/15+2 && shift > 0 || list[0].Offset != int64(len(junk)+3) {
				t.Fatalf("after %d bytes: %d messages, %v, %+v", len(junk), len(list), err, report.Errors)
			}
		}
	}
}

func TestTruncationNeverInventsAMessage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLog(t)
		want, _, _ := readAll(strings.NewReader(l.text))
		cut := rapid.IntRange(0, len(l.text)).Draw(t, "cut")
		got, _, _ := readAll(strings.NewReader(l.text[:cut]))
		whole := 0
		for whole < len(l.whole) && l.whole[whole] <= cut {
			whole++
		}
		if len(got) != whole || !reflect.DeepEqual(contents(got), contents(want[:whole])) {
			t.Fatalf("%d messages of %d in %q", len(got), whole, l.text[:cut])
		}
	})
}

func TestNoByteStringIsTooStrange(t *testing.T) {
	parts := []string{"8=FIX.4.2", "\x01", "|", "9=5", "9=58", "35=0", "35=8", "10=007", "10=", "\n", "\r", "95=3", "96=", "abc", "34=1", "=", "\x00", "^A", "iCONNECT", " ", "I", "58=", "8=FIX"}
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOf(rapid.SampledFrom(parts)).Draw(t, "parts"), "")
		checkRead(t, []byte(text))
	})
}

// checkRead reads anything and checks what holds of whatever comes out.
func checkRead(t interface{ Fatalf(string, ...any) }, text []byte) {
	var list []*fix.Message
	report, err := fix.Read(bytes.NewReader(text), func(m *fix.Message) error {
		list = append(list, m)
		return nil
	})
	if report.Messages != len(list) || report.BadMessages != len(report.Errors)+report.ErrorsOmitted {
		t.Fatalf("%d messages, report %+v", len(list), report)
	}
	if want := bytes.Count(text, []byte{'\n'}); err == nil && report.Lines != want && report.Lines != want+1 {
		t.Fatalf("%d lines, %d line ends", report.Lines, want)
	}
	if err != nil && len(list) > 0 {
		t.Fatalf("%d messages and %v", len(list), err)
	}
	var offset int64
	for _, m := range list {
		if m.Offset < offset || m.Line < 1 || m.Line > report.Lines || m.MsgType == "" || len(m.Fields) < 2 || m.Fields[0].Tag != 8 || !bytes.HasPrefix(text[m.Offset:], []byte("8=FIX")) {
			t.Fatalf("got %+v", m)
		}
		offset = m.Offset + 1
		again(t, m)
	}
	whole, err := fix.ReadEvents(&pieces{bytes.NewReader(text), 7}, func(*fix.Event) error { return nil })
	if whole.Messages != report.Messages || whole.BadMessages != report.BadMessages || whole.Lines != report.Lines || whole.JunkLines != report.JunkLines {
		t.Fatalf("in pieces %+v and whole %+v, %v", whole.Report, report, err)
	}
}

// again writes a message with a delimiter that no value holds, and reads it: it is
// the same.
func again(t interface{ Fatalf(string, ...any) }, m *fix.Message) {
	body := m.Fields[1:]
	if body[0].Tag == 9 {
		body = body[1:]
	}
	if body[len(body)-1].Tag == 10 {
		body = body[:len(body)-1]
	}
	var values strings.Builder
	for _, f := range body {
		values.WriteString(f.Value + "\n")
	}
	for _, delim := range []string{"\x01", "<SOH>", `\u0001`, "&#x01;"} {
		if strings.ContainsAny(values.String(), soh+delim[:1]) { // encode writes SOH at first
			continue
		}
		list, report, err := readAll(strings.NewReader(encode(m.BeginString, delim, body)))
		if err != nil || len(list) != 1 || !reflect.DeepEqual(contents(list)[0][1:], append([]fix.Field{}, body...)) {
			t.Fatalf("%v read again with %q: %+v, %v, %d messages", body, delim, report, err, len(list))
		}
		return
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{
		heartbeat, strings.ReplaceAll(heartbeat, "|", soh), strings.ReplaceAll(heartbeat, "|", "^A"), "iCONNECT\r\nI8=FIX.4.2\x0135=A\x0134=1\x0149=TW\x01\r\neDISCONNECT",
		strings.Replace(heartbeat, "|34", "\n|34", 1), message(1, "35=8|17=1|150=F|32=1|31=2|95=3|96=a|b"), "8=FIX.4.2|9=5|35=0|10=000|8=FIX.4.2|9=5|35=0|10=000|",
		"8=FIX.4.2|9=5|35=0\n8=FIX.4.2|9=5|35=0|1\n0=161|", "\x1f\x8b", "<?xml ?>", "8=FIX.4.4;9=5;35=3;58=a;b;10=000;",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) { checkRead(t, text) })
}
