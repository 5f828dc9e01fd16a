package siem

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// plain returns text in which nothing can end a line, hide or turn the direction
// of what follows. Characters of that kind become \uXXXX and bytes that are not
// UTF-8 become \xNN; a backslash that would look like one of these becomes \u005C.
// Different texts stay different.
func plain(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02X`, text[i])
		case r == '\\' && i+1 < len(text) && (text[i+1] == 'u' || text[i+1] == 'x'):
			b.WriteString(`\u005C`)
		case !hidden(r):
			b.WriteRune(r)
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04X\u%04X`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04X`, r)
		}
		i += size
	}
	return b.String()
}

// hidden reports whether a reader would not see r as what it is: controls (C0,
// DEL, C1), format characters (bidirectional controls, zero width, byte order
// mark, tags), separators and blanks other than the space, and what fonts ignore.
func hidden(r rune) bool {
	const brailleBlank = '\u2800' // prints, as nothing
	return r == brailleBlank || r != utf8.RuneError && !unicode.IsPrint(r) ||
		unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// printable makes a header field of RFC 5424 section 6: characters other than
// PRINTUSASCII become a question mark, and the rest after max is cut. Nothing is
// left empty, which would shift the fields behind it.
func printable(text string, limit int) string {
	var b strings.Builder
	for _, r := range text {
		if b.Len() == limit {
			break
		}
		if r < '!' || r > '~' {
			r = '?'
		}
		b.WriteRune(r)
	}
	if b.Len() == 0 {
		return "-"
	}
	return b.String()
}

// maxProblem is the longest error text that is kept, in bytes.
const maxProblem = 500

// oneLine makes an error short and harmless for a log or an entry.
func oneLine(err error) string {
	text := plain(err.Error())
	if len(text) > maxProblem {
		text = strings.ToValidUTF8(text[:maxProblem], "") + "…"
	}
	return text
}
