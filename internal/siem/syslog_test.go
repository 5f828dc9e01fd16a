package siem

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"finobs/internal/approval"
	"finobs/internal/ledger"
	"finobs/internal/siem/seen"

	"github.com/leodido/go-syslog/v4"
	"github.com/leodido/go-syslog/v4/octetcounting"
	"github.com/leodido/go-syslog/v4/rfc5424"
)

var sd = format{facility: 13, hostname: "host", appName: "finobs", procID: "7", enterprise: DocumentationPEN}

// unplain is the reverse of plain.
func unplain(t testing.TB, s string) string {
	t.Helper()
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) || s[i+1] != 'u' && s[i+1] != 'x' {
			b.WriteByte(s[i])
			continue
		}
		code := func(at, digits int) rune {
			n, err := strconv.ParseUint(s[at:at+digits], 16, 32)
			if err != nil {
				t.Fatalf("%q has a bad escape: %v", s, err)
			}
			return rune(n)
		}
		if s[i+1] == 'x' {
			b.WriteByte(byte(code(i+2, 2)))
			i += 3
			continue
		}
		r := code(i+2, 4)
		i += 5
		if utf16.IsSurrogate(r) {
			r = utf16.DecodeRune(r, code(i+3, 4))
			i += 6
		}
		b.WriteRune(r)
	}
	return b.String()
}

// want are the parameters that a message of e must have.
func want(e ledger.Entry, ev Event) map[string]string {
	return map[string]string{
		"idx": strconv.FormatInt(ev.Index, 10), "id": fmt.Sprintf("018f0000-0000-7000-8000-%012d", ev.Index), "type": e.Type,
		"actor": e.Actor.Subject, "actor_iss": e.Actor.Issuer, "actor_type": string(e.Actor.Kind), "subject": e.Subject.Kind + ":" + e.Subject.ID,
		"action": e.Action, "outcome": e.Outcome, "wf": e.Workflow.ID, "desk": e.Desk, "sim": strconv.FormatBool(e.Simulation),
		"leaf_sha256": hex.EncodeToString(ev.SHA256[:]), "tree": strconv.FormatInt(ev.TreeSize, 10),
	}
}

// messages parses a stream with an independent parser.
func messages(t testing.TB, stream []byte) []*rfc5424.SyslogMessage {
	t.Helper()
	var out []*rfc5424.SyslogMessage
	octetcounting.NewParser(syslog.WithMaxMessageLength(maxMessage), syslog.WithListener(func(r *syslog.Result) {
		if r.Error != nil {
			t.Fatalf("message %d: %v", len(out), r.Error)
		}
		out = append(out, r.Message.(*rfc5424.SyslogMessage))
	})).Parse(bytes.NewReader(stream))
	return out
}

func frame(message []byte) []byte { return append(fmt.Appendf(nil, "%d ", len(message)), message...) }

// same checks a message against its entry.
func same(t testing.TB, m *rfc5424.SyslogMessage, e ledger.Entry, ev Event) {
	t.Helper()
	got := (*m.StructuredData)["finobs@32473"]
	expected := want(e, ev)
	for name, value := range expected {
		if have := unplain(t, got[name]); have != value {
			t.Errorf("%s is %q, want %q", name, have, value)
		}
	}
	if len(got) != len(expected) || len(*m.StructuredData) != 1 {
		t.Errorf("got %v", *m.StructuredData)
	}
	text := strings.TrimPrefix(*m.Message, "\uFEFF")
	r, err := readRecord(ev.Leaf)
	if err != nil {
		t.Fatal(err)
	}
	if have := unplain(t, text); have != r.sentence() {
		t.Errorf("message is %q, want %q", have, r.sentence())
	}
}

// clean checks that nothing in a message can end it or hide.
func clean(t testing.TB, message []byte) {
	t.Helper()
	text := strings.Replace(string(message), " \uFEFF", "", 1)
	for _, r := range text {
		if r < ' ' || hidden(r) {
			t.Fatalf("%q has %U", message, r)
		}
	}
	if !utf8.Valid(message) || len(message) > maxMessage {
		t.Fatalf("%q: %d octets", message, len(message))
	}
}

func TestMessagesComeBack(t *testing.T) {
	t.Parallel()
	var stream []byte
	var entries []ledger.Entry
	var events []Event
	for i, text := range nasty {
		e := entry(text)
		e.Simulation = i%2 == 0
		ev := sealed(t, int64(i), e)
		m, err := sd.encode(ev)
		if err != nil {
			t.Fatal(err)
		}
		clean(t, m)
		entries, events, stream = append(entries, e), append(events, ev), append(stream, frame(m)...)
	}
	got := messages(t, stream)
	if len(got) != len(events) {
		t.Fatalf("got %d messages of %d", len(got), len(events))
	}
	for i, m := range got {
		same(t, m, entries[i], events[i])
	}
	if report := complete(t, stream, int64(len(events))); report.Skipped != 0 || report.Duplicates != 0 {
		t.Errorf("got %+v", report)
	}
}

func TestMessageIsExactly(t *testing.T) {
	t.Parallel()
	e := sealed(t, 17, entry("7]"))
	got, err := sd.encode(e)
	wanted := `<110>1 2026-03-04T05:06:07.017000Z host finobs 7 approval.decided [finobs@32473 idx="17" id="018f0000-0000-7000-8000-000000000017"` +
		` type="approval.decided" actor="alice 7\]" actor_iss="https://idp.example.com" actor_type="human" subject="approval:7\]" action="decide"` +
		` outcome="approved" wf="wf-7\]" desk="7\]" sim="false" leaf_sha256="` + hex.EncodeToString(e.SHA256[:]) + `" tree="18"]` +
		" \uFEFFapproval.decided: human alice 7], action decide, subject approval:7], outcome approved: 7]"
	if err != nil || string(got) != wanted {
		t.Errorf("got %s, %v\nwant %s", got, err, wanted)
	}
	cef := sd
	cef.cef = true
	got, err = cef.encode(sealed(t, 17, entry("a=b|c\\\nd")))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		"<110>1 2026-03-04T05:06:07.017000Z host finobs 7 approval.decided - CEF:0|finobs|finobs|1|approval.decided|decide approved|3|rt=1772600767017 ",
		` suser=alice a\=b|c\\\nd act=decide `, " cn1=17 cn1Label=idx cn2=18 cn2Label=tree cs1=", ` msg=a\=b|c\\\nd`,
	} {
		if !strings.Contains(string(got), part) {
			t.Errorf("%s lacks %s", got, part)
		}
	}
}

func TestSeverities(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind, outcome string
		want          severity
	}{
		{"security.denied", "denied", warning}, {"effect.denied", "denied", warning}, {"activity.contradicted", "done", warning},
		{"workflow.refused", "x", warning}, {"approval.signal_refused", "x", warning}, {"import.done", "refused", warning},
		{"siem.lag", "done", warning}, {"policy.activated", "done", notice}, {"user.added", "done", notice}, {"security.login", "done", notice},
		{"effect.failed", "failed", notice}, {"approval.decided", "denied", info}, {"policyx", "done", info},
	} {
		r := record{kind: c.kind, outcome: c.outcome}
		if got := r.severity(); got != c.want {
			t.Errorf("%s %s: got %d, want %d", c.kind, c.outcome, got, c.want)
		}
	}
}

func TestHeaderFields(t *testing.T) {
	t.Parallel()
	f := format{facility: 13, hostname: strings.Repeat("h", 300), appName: "a b\nc", procID: "", enterprise: 1}
	e := entry("x")
	e.Type = "approval." + strings.Repeat("ö]", 30)
	m, err := f.encode(sealed(t, 0, e))
	if err != nil {
		t.Fatal(err)
	}
	got := messages(t, frame(m))[0]
	if *got.Hostname != strings.Repeat("h", 255) || *got.Appname != "a?b?c" || got.ProcID != nil || *got.MsgID != ("approval." + strings.Repeat("?]", 30))[:32] {
		t.Errorf("got %q", m)
	}
}

func TestLongMessages(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*ledger.Entry)
		digest bool
	}{
		"reason": {func(e *ledger.Entry) { e.Reason = strings.Repeat("x", 9000) }, false},
		"values": {func(e *ledger.Entry) {
			for _, s := range []*string{&e.Actor.Subject, &e.Actor.Issuer, &e.Subject.ID, &e.Action, &e.Outcome, &e.Workflow.ID, &e.Desk} {
				*s = strings.Repeat("]", 1200)
			}
		}, true},
		"at the edge of a cut": {func(e *ledger.Entry) {
			for _, s := range []*string{&e.Actor.Subject, &e.Actor.Issuer, &e.Subject.ID, &e.Action, &e.Outcome, &e.Workflow.ID, &e.Desk, &e.Type} {
				*s = strings.Repeat("=", 240)
			}
			e.Actor.Kind = approval.ActorKind(strings.Repeat(`\`, 250))
			e.Reason = strings.Repeat("x", 6000)
		}, false},
	} {
		e := entry("x")
		c.change(&e)
		ev := sealed(t, 3, e)
		for _, cef := range []bool{false, true} {
			f := sd
			f.cef, f.hostname, f.appName, f.procID = cef, strings.Repeat("h", 255), strings.Repeat("a", 48), strings.Repeat("p", 128)
			m, err := f.encode(ev)
			if err != nil {
				t.Fatal(name, err)
			}
			clean(t, m)
			mark := ` trunc="1"]`
			if cef {
				mark = "flexString2=1 flexString2Label=trunc"
			}
			if !strings.HasSuffix(string(m), mark) || strings.Contains(string(m), "sha256:") != c.digest {
				t.Errorf("%s: %s", name, m)
			}
			report, err := seen.Check(bytes.NewReader(frame(m)))
			if err != nil || report.Min != 3 || report.Skipped != 0 {
				t.Errorf("%s: got %+v, %v", name, report, err)
			}
		}
	}
}

func TestMissingFieldIsAnError(t *testing.T) {
	t.Parallel()
	full := string(sealed(t, 0, entry("x")).Leaf)
	for _, gone := range []string{
		`"action":"decide",`, `"iss":"https://idp.example.com",`, `"kind":"human",`, `"desk":"x",`, `"is_simulation":false,`, `"outcome":"approved",`,
		`"time":"2026-03-04T05:06:07.000000Z",`, `"type":"approval.decided",`, `"id":"018f0000-0000-7000-8000-000000000000",`, `"reason":"x",`,
	} {
		leaf := strings.Replace(full, gone, "", 1)
		if leaf == full {
			t.Fatalf("%s is not in %s", gone, full)
		}
		if _, err := sd.encode(Event{Leaf: []byte(leaf)}); err == nil {
			t.Errorf("without %s it is written", gone)
		}
	}
	for _, leaf := range []string{``, `{}`, `[]`, full + "\n", strings.Replace(full, `"human"`, `""`, 1), strings.Replace(full, "07.0", "07,0", 1), strings.Replace(full, `"desk":"x"`, `"desk":1`, 1)} {
		if _, err := sd.encode(Event{Leaf: []byte(leaf)}); err == nil {
			t.Errorf("%s is written", leaf)
		}
	}
}

func FuzzMessage(f *testing.F) {
	for _, text := range nasty {
		f.Add(text, text, text, "b"+text)
	}
	f.Fuzz(func(t *testing.T, a, b, c, d string) {
		if back := unplain(t, plain(a)); back != a {
			t.Errorf("%q comes back as %q", a, back)
		}
		e := entry("x")
		e.Actor.Subject, e.Subject.ID, e.Desk, e.Reason, e.Workflow.ID, e.Action = a, b, c, d, a+b, c+d
		s := func() (ev Event, ok bool) {
			got, err := e.Seal("018f0000-0000-7000-8000-000000000005", sealedAt, [32]byte{})
			return Event{Index: 5, Leaf: got.Leaf, SHA256: got.LeafSHA256, TreeSize: 6}, err == nil
		}
		ev, ok := s()
		if !ok {
			return // not UTF-8, or too long: the ledger has no such leaf
		}
		m, err := sd.encode(ev)
		if err != nil {
			t.Fatal(err)
		}
		clean(t, m)
		got := messages(t, append(frame(m), frame(m)...))
		if len(got) != 2 {
			t.Fatalf("got %d messages", len(got))
		}
		if _, cut := (*got[0].StructuredData)["finobs@32473"]["trunc"]; !cut {
			same(t, got[0], e, ev)
		}
		cef := sd
		cef.cef = true
		line, err := cef.encode(ev)
		if err != nil {
			t.Fatal(err)
		}
		clean(t, line)
		for _, received := range [][]byte{m, line, frame(m)} {
			report, err := seen.Check(bytes.NewReader(append(received, '\n')))
			if err != nil || report.Count != 1 || report.Min != 5 || report.Skipped != 0 {
				t.Errorf("%q: got %+v, %v", received, report, err)
			}
		}
	})
}
