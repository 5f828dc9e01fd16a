package notify

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestOneLine(t *testing.T) {
	for in, want := range map[string]string{
		"Approve order 7":                 "Approve order 7",
		"a\r\nBcc: eve@example.com":       "a Bcc: eve@example.com",
		"a\x00b\x1b[31mc\x7f\u0085d":      "a b [31mc d",
		"pay \u202e001 RUE\u202c now":     "pay 001 RUE now",
		"a\u2028b\u2029c\u00a0d":          "a b c d",
		"=?utf-8?B?SGk=?= =?\r\n?":        "= ?utf-8?B?SGk= ?= = ? ?",
		"=\x01?utf-8?q?x":                 "= ?utf-8?q?x",
		"Zürich 東京 🙂":                     "Zürich 東京 🙂",
		"bad \xff\xfe bytes":              "bad \uFFFD bytes",
		"  \t\r\n ":                       "",
		strings.Repeat("é", maxSubject+1): strings.Repeat("é", maxSubject-1) + "…",
	} {
		if got := oneLine(in, maxSubject); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"a\r\nb\rc\nd\te":          "a\nb\nc\nd\te",
		"a\x1b[2Jb\x00\u202ec":     "a\uFFFD[2Jb\uFFFD\uFFFDc",
		"1\u202f000\u00a0€ \u2028": "1 000 € \n",
		"\xff":                     "\uFFFD",
	} {
		if got := plain(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestGoodAddress(t *testing.T) {
	for _, good := range []string{"a@b", "first.last+tag@sub.example.com", "o'neil@example.com", "a@" + strings.Repeat("a", 63) + ".com"} {
		if !goodAddress(good) {
			t.Errorf("%q is refused", good)
		}
	}
	for _, bad := range []string{
		"", "a", "a@", "@b", "a@b@c", `"a b"@example.com`, `"a"@example.com`, "a@example.com\r\nRCPT TO:<eve@example.com>", "a@example.com\n",
		"a\x00@example.com", "a@exämple.com", "ä@example.com", "a@example.com>", "<a@example.com", "a b@example.com", "a@[127.0.0.1]",
		".a@example.com", "a..b@example.com", "a.@example.com", "a@-b.com", "a@b-.com", "a@b..com", "a@b.com.", "a,b@example.com",
		strings.Repeat("a", 65) + "@example.com", "a@" + strings.Repeat("a", 64) + ".com",
	} {
		if goodAddress(bad) {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestOutcomeOf(t *testing.T) {
	cause := errors.New("cause")
	err := fmt.Errorf("telling: %w", failed(NotSent, cause, "line\r\nend"))
	if OutcomeOf(err) != NotSent || !errors.Is(err, cause) || err.Error() != "telling: not_sent: line end" {
		t.Errorf("got %s, %q", OutcomeOf(err), err)
	}
	if OutcomeOf(nil) != "" || OutcomeOf(cause) != Unknown {
		t.Errorf("got %q, %q", OutcomeOf(nil), OutcomeOf(cause))
	}
	for _, o := range []Outcome{NotSent, Refused, Unknown} {
		if !o.Valid() {
			t.Errorf("%s is not valid", o)
		}
	}
	if Outcome("sent").Valid() {
		t.Error("an outcome outside the set is valid")
	}
}
