package plaintext_test

import (
	"strings"
	"testing"

	"finobs/internal/plaintext"
)

func TestLine(t *testing.T) {
	const limit = 200
	for in, want := range map[string]string{
		"Approve order 7":             "Approve order 7",
		"a\r\nBcc: eve@example.com":   "a Bcc: eve@example.com",
		"a\x00b\x1b[31mc\x7f\u0085d":  "a b [31mc d",
		"pay \u202e001 RUE\u202c now": "pay 001 RUE now",
		"a\u2028b\u2029c\u00a0d":      "a b c d",
		"=?utf-8?B?SGk=?= =?\r\n?":    "= ?utf-8?B?SGk= ?= = ? ?",
		"=\x01?utf-8?q?x":             "= ?utf-8?q?x",
		"Zürich 東京 🙂":                 "Zürich 東京 🙂",
		"bad \xff\xfe bytes":          "bad \uFFFD bytes",
		"  \t\r\n ":                   "",
		strings.Repeat("é", limit+1):  strings.Repeat("é", limit-1) + "…",
	} {
		if got := plaintext.Line(in, limit); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestLines(t *testing.T) {
	for in, want := range map[string]string{
		"a\r\nb\rc\nd\te":          "a\nb\nc\nd\te",
		"a\x1b[2Jb\x00\u202ec":     "a\uFFFD[2Jb\uFFFD\uFFFDc",
		"1\u202f000\u00a0€ \u2028": "1 000 € \n",
		"\xff":                     "\uFFFD",
	} {
		if got := plaintext.Lines(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
