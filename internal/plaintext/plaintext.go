// Package plaintext makes text that came from outside fit for headers, logs and
// the bodies of mails.
package plaintext

import (
	"strings"
	"unicode"
)

// Line makes text fit for a header or a log: no line ends, no control
// characters, nothing that turns the direction of writing, no encoded words of
// its own making, and not longer than limit characters.
func Line(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
	// A reader of mail would decode it and show what nobody wrote.
	s = strings.ReplaceAll(s, "=?", "= ?")
	s = strings.Join(strings.Fields(s), " ")
	if runes := []rune(s); len(runes) > limit {
		s = string(runes[:limit-1]) + "…"
	}
	return s
}

// Lines makes text fit for a body: its lines stay, what cannot be seen becomes
// visible.
func Lines(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u2028", "\n", "\u2029", "\n").Replace(s)
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t', unicode.IsPrint(r):
			return r
		case unicode.Is(unicode.Zs, r):
			return ' '
		}
		return '\uFFFD'
	}, s)
}
