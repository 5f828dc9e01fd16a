package approval

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// hidden reports whether r could deceive whoever reads it: it does not print,
// turns the direction of the text, or takes no visible place.
func hidden(r rune) bool {
	const brailleBlank = '\u2800' // prints, as nothing
	return r == brailleBlank || r == utf8.RuneError || !unicode.IsPrint(r) ||
		unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// plain writes untrusted text so that it stays on its line and shows all of its
// characters: what is hidden becomes \u{...}, a byte that is no UTF-8 \x{...},
// and a backslash is doubled, so that nothing can pose as an escape.
func plain(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x{%02x}`, text[i])
		case r == '\\':
			b.WriteString(`\\`)
		case hidden(r):
			fmt.Fprintf(&b, `\u{%x}`, r)
		default:
			b.WriteRune(r)
		}
		i += size
	}
	return b.String()
}

// quote is plain between quotation marks, which the text cannot close.
func quote(text string) string {
	return `"` + strings.ReplaceAll(plain(text), `"`, `\"`) + `"`
}

// wanted says that n more of g are needed; nothing when n is 0.
func wanted(g *Group, n int) []string {
	if n == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%d more of %s", n, plain(g.Name()))}
}

func joinAnd(words []string) string { return strings.Join(words, " and ") }

func joinOr(words []string) string { return strings.Join(words, " or ") }

const maxNames = 10

// someNames lists the first of names and how many there are beside.
func someNames(names []string) string {
	if len(names) <= maxNames {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNames], ", "), len(names)-maxNames)
}

// plainDuration writes 24h and not 24h0m0s.
func plainDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
