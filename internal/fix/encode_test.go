package fix_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"finobs/internal/fix"
)

const soh = "\x01"

// encode writes a message as a session sends it, with BodyLength and CheckSum, and
// then as a logger writes it: with delim in place of each SOH. body is 35 and what
// follows.
func encode(begin, delim string, body []fix.Field) string {
	var b strings.Builder
	for _, f := range body {
		fmt.Fprintf(&b, "%d=%s%s", f.Tag, f.Value, soh)
	}
	text := fmt.Sprintf("8=%s%s9=%d%s%s", begin, soh, b.Len(), soh, b.String())
	sum := 0
	for i := range len(text) {
		sum += int(text[i])
	}
	return strings.ReplaceAll(fmt.Sprintf("%s10=%03d%s", text, sum%256, soh), soh, delim)
}

// message is encode for a body that is written with | between fields, in a header
// that is complete.
func message(seq int, body string) string {
	return between("BUY", "SELL", seq, body)
}

func between(sender, target string, seq int, body string) string {
	kind, rest, _ := strings.Cut(body, "|")
	fields := []fix.Field{{Tag: 35, Value: strings.TrimPrefix(kind, "35=")}, {Tag: 49, Value: sender}, {Tag: 56, Value: target}, {Tag: 34, Value: fmt.Sprint(seq)}}
	at := "20260612-10:00:00.000"
	for _, part := range strings.Split(rest, "|") {
		tag, value, found := strings.Cut(part, "=")
		if !found {
			continue
		}
		if tag == "52" {
			at = value
			continue
		}
		n, err := strconv.Atoi(tag)
		if err != nil {
			panic(err)
		}
		fields = append(fields, fix.Field{Tag: n, Value: value})
	}
	fields = append(fields[:4:4], append([]fix.Field{{Tag: 52, Value: at}}, fields[4:]...)...)
	return encode("FIX.4.4", "|", fields)
}

func read(t *testing.T, text string) ([]*fix.Message, fix.Report) {
	t.Helper()
	list, report, err := tryRead(text)
	if err != nil {
		t.Fatal(err)
	}
	return list, report
}

func tryRead(text string) (list []*fix.Message, report fix.Report, err error) {
	report, err = fix.Read(strings.NewReader(text), func(m *fix.Message) error {
		list = append(list, m)
		return nil
	})
	return list, report, err
}

func readEvents(t *testing.T, text string) ([]*fix.Event, fix.EventReport) {
	t.Helper()
	var list []*fix.Event
	report, err := fix.ReadEvents(strings.NewReader(text), func(e *fix.Event) error {
		list = append(list, e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list, report
}

// one reads a log of one message that tells one event.
func one(t *testing.T, text string) *fix.Event {
	t.Helper()
	list, _ := readEvents(t, text)
	if len(list) != 1 {
		t.Fatalf("%d events in %q", len(list), text)
	}
	return list[0]
}
