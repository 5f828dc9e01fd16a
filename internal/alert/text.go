package alert

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxShown is how many bytes of what was sent a fault shows.
const maxShown = 80

// shown quotes a text for a fault.
func shown(text string) string {
	short := cut(text, maxShown)
	if len(short) < len(text) {
		return strconv.Quote(short) + "…"
	}
	return strconv.Quote(short)
}

// pointerShown bounds a JSON pointer for a fault, and makes it printable: names of
// members are as untrusted as their values.
func pointerShown(at string) string {
	if at == "" {
		return "the body"
	}
	return clean(cut(at, 3*maxShown), false)
}

func count(n int) string { return strconv.Itoa(n) }

// cut returns at most limit bytes of text, and never half a character.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}

// clean replaces what does not show, or shows something else than is there:
// control characters, and those that turn the direction of writing. In texts of
// several lines, line ends and tabs stay.
func clean(text string, lines bool) string {
	text = strings.ToValidUTF8(text, "\ufffd")
	if lines {
		text = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u2028", "\n", "\u2029", "\n").Replace(text)
	}
	return strings.Map(func(r rune) rune {
		switch {
		case lines && (r == '\n' || r == '\t'):
			return r
		case r == '\n', r == '\r', r == '\t', r == '\u2028', r == '\u2029':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r), r == '\ufeff':
			return '\ufffd'
		}
		return r
	}, text)
}

// line makes a text one line, without blanks around it.
func line(text string) string { return strings.TrimSpace(clean(text, false)) }
