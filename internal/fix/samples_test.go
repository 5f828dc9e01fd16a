package fix_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"finobs/internal/fault"
	"finobs/internal/fix"
)

// sampleCounts are the counts of every sample file. They were taken with other
// tools and then written down: lines with wc -l (plus an unfinished one), messages
// with grep -ao '8=FIX[^;|^]*' less the garbled ones, types by a split at the
// delimiter in Python, wrong sums by a sum in Python, trades with grep for 150=1,
// 2 or F and a 32 above 0, gaps by following 34 in Python, junk by reading.
var sampleCounts = []struct {
	file                                                    string
	lines, messages, bad, junk, warnings, trades, gaps, low int
	types                                                   string
	events, lineEvents                                      string
}{
	{"fix42-client1-tw-caret-A.log", 22, 20, 0, 2, 1, 2, 0, 2, "0:6 8:6 A:4 D:3 F:1", "execution:5 logon:4 order_reject:1 sequence_too_low:2", ""},
	{"fix42-client1-tw-soh-with-junk.log", 24, 22, 0, 2, 21, 2, 0, 1, "0:6 8:6 A:4 D:4 F:1 V:1", "execution:5 logon:4 order_reject:1 sequence_too_low:1", ""},
	{"fix42-kod-bon.part1.log", 1243, 1243, 0, 0, 0, 0, 0, 0, "0:10 2:1 4:1 8:614 A:2 D:602 F:13", "execution:614 logon:2", ""},
	{"fix44-ireach-uat.part1.log", 165, 165, 0, 0, 0, 10, 109, 0, "8:97 9:11 D:12 F:7 G:36 H:2", "cancel_reject:11 execution:94 order_reject:3 sequence_gap:109", ""},
	{"fix44-montran-with-session-events.log", 21, 15, 0, 0, 10, 2, 0, 3, "5:2 8:6 A:2 D:5", "execution:6 logon:2 logout:2 sequence_too_low:3", "connect:1 logon:2 logout:1"},
	{"fixt11-exec-banzai.log", 92, 92, 0, 0, 4, 0, 9, 0, "5:2 8:42 A:2 D:42 E:2 k:2", "execution:42 logon:2 logout:2 sequence_gap:9", ""},
	{"log4fix/FIX42-CoyTrade-BCExchange-MarketDataRequest.log", 15, 1, 0, 10, 0, 0, 0, 0, "V:1", "", ""},
	{"log4fix/FIX42-CoyTrade-BCExchange-NoMessagesInLog.log", 9, 0, 0, 8, 1, 0, 0, 0, "", "", ""},
	{"log4fix/FIX42-CoyTrade-BCExchange-SenderMessagePerLine.log", 12, 4, 0, 7, 0, 0, 1, 0, "0:1 A:1 D:2", "logon:1 sequence_gap:1", ""},
	{"log4fix/FIX42-CoyTrade-BCExchange-TargetMessagePerLine.log", 14, 6, 0, 7, 0, 0, 0, 0, "0:1 8:5", "execution:5", ""},
}

func counts[K ~string](m map[K]int) string {
	s := strings.Trim(fmt.Sprint(m), "map[]")
	return s
}

func sampleFolder(t *testing.T) string {
	root := os.Getenv("FINOBS_SAMPLE_DATA")
	if root == "" {
		t.Skip("FINOBS_SAMPLE_DATA names no folder")
	}
	return filepath.Join(root, "fix")
}

func TestSamples(t *testing.T) {
	root := sampleFolder(t)
	for _, want := range sampleCounts {
		text, err := os.ReadFile(filepath.Join(root, want.file))
		if err != nil {
			t.Fatal(err)
		}
		_, r := readEvents(t, string(text))
		got := []int{r.Lines, r.Messages, r.BadMessages, r.JunkLines, len(r.Warnings), r.Trades, len(r.Gaps), r.Events[fix.KindSeqTooLow]}
		if w := []int{want.lines, want.messages, want.bad, want.junk, want.warnings, want.trades, want.gaps, want.low}; fmt.Sprint(got) != fmt.Sprint(w) {
			t.Errorf("%s: got %v, want %v", want.file, got, w)
		}
		if counts(r.MsgTypes) != want.types || counts(r.Events) != want.events || counts(r.LineEvents) != want.lineEvents {
			t.Errorf("%s: got %v, %v, %v", want.file, r.MsgTypes, r.Events, r.LineEvents)
		}
	}
}

// All 30 scripts: 128 steps in and 100 out begin with 8=FIX, and one with 35=0^A8=FIX,
// by grep; of these 4 are garbled. Each type by grep, too.
func TestSampleScripts(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(sampleFolder(t), "session-scripts-fix42", "*.def"))
	if err != nil || len(files) != 30 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	types, lines := map[string]int{}, map[fix.EventKind]int{}
	messages, bad, junk, in := 0, 0, 0, 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		list, _ := read(t, string(text))
		for _, m := range list {
			if m.Direction == fix.In {
				in++
			}
		}
		_, r := readEvents(t, string(text))
		messages, bad, junk = messages+r.Messages, bad+r.BadMessages, junk+r.JunkLines
		for k, n := range r.MsgTypes {
			types[k] += n
		}
		for k, n := range r.LineEvents {
			lines[k] += n
		}
	}
	// By grep there are 32 of 35=0 and 40 of 35=D; two 35=0 and one 35=D are of garbled steps.
	if messages != 225 || bad != 4 || junk != 0 || in != 125 || counts(types) != "*:1 0:30 1:13 2:6 3:14 4:7 5:53 8:1 A:60 D:39 j:1" {
		t.Errorf("%d messages, %d of them in, %d bad, %d junk, %v", messages, in, bad, junk, types)
	}
	if counts(lines) != "connect:32 disconnect:32" {
		t.Errorf("got %v", lines)
	}
}

func TestSamplesReadTheSameWithAnyDelimiter(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(sampleFolder(t), "fix42-kod-bon.part1.log"))
	if err != nil {
		t.Fatal(err)
	}
	want, _ := read(t, string(text))
	for _, delim := range []string{"|", ";", "^A", "<SOH>", `\x01`, " | "} {
		got, report := read(t, string(bytes.ReplaceAll(text, []byte(soh), []byte(delim))))
		if len(got) != len(want) || len(report.Warnings) != 0 || report.BadMessages != 0 {
			t.Errorf("%q: %d messages, %d warnings", delim, len(got), len(report.Warnings))
			continue
		}
		for i := range got {
			if fmt.Sprint(got[i].Fields) != fmt.Sprint(want[i].Fields) || got[i].Line != want[i].Line {
				t.Fatalf("%q: got %+v, want %+v", delim, got[i], want[i])
			}
		}
	}
}

// What other tests call samples of other kinds is no log.
func TestOtherSamplesAreNoLogs(t *testing.T) {
	root := filepath.Dir(sampleFolder(t))
	files, err := filepath.Glob(filepath.Join(root, "iso20022", "*", "*.xml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if list, report, err := tryRead(string(text)); len(list) != 0 || report.BadMessages != 0 || err != nil && fault.CodeOf(err) != "not-a-fix-log" {
			t.Errorf("%s: %d messages, %v", file, len(list), err)
		} else if err == nil {
			t.Errorf("%s is taken for a log", file)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	one := message(7, "35=8|17=E1|37=O1|11=C1|150=F|39=1|55=MSFT|48=US5949181045|22=4|54=5|32=100|31=99.5|14=300|151=700|6=99.5|15=USD|1=ACC|75=20260611|60=20260612-09:59:59.123456|58=hello")
	for name, delim := range map[string]string{"SOH": soh, "pipe": "|", "caret-A": "^A"} {
		text := bytes.Repeat([]byte("2026-06-12 10:00:00.000 -> "+strings.ReplaceAll(one, "|", delim)+"\n"), 10_000)
		for what, run := range map[string]func() error{
			"messages": func() error {
				_, err := fix.Read(bytes.NewReader(text), func(*fix.Message) error { return nil })
				return err
			},
			"events": func() error {
				_, err := fix.ReadEvents(bytes.NewReader(text), func(*fix.Event) error { return nil })
				return err
			},
		} {
			b.Run(name+"/"+what, func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				b.ReportAllocs()
				for b.Loop() {
					if err := run(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(10_000*b.N)/b.Elapsed().Seconds(), "messages/s")
			})
		}
	}
	junk := bytes.Repeat([]byte("2026-06-12 10:00:00.000 INFO something that is no message happened\n"), 100_000)
	b.Run("junk", func(b *testing.B) {
		b.SetBytes(int64(len(junk)))
		for b.Loop() {
			if _, err := fix.Read(bytes.NewReader(junk), nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}
