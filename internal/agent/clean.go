package agent

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ansi matches the escape sequences of terminals (ECMA-48): control sequences,
// strings with what is in them, and the short ones.
var ansi = regexp.MustCompile("(?:\x1b\\[|\u009b)[0-?]*[ -/]*[@-~]?" +
	"|(?:\x1b[\\]PX^_]|[\u009d\u0090\u0098\u009e\u009f])[^\x07\x1b\u009c\n]*(?:\x07|\x1b\\\\|\u009c)?" +
	"|\x1b[ -/]*[0-~]?")

// live are the forms that a viewer of mail, chat, HTML or Markdown makes a link, a
// picture or a tag of, and what they become.
var live = []struct {
	form *regexp.Regexp
	dead string
}{
	{regexp.MustCompile(`:([/\\]{2})`), `[:]$1`},
	{regexp.MustCompile(`(?i)\b(https?|ftp|file|mailto|tel|sms|javascript|vbscript|data|blob|cid):(\S)`), `$1[:]$2`},
	{regexp.MustCompile(`(?i)\b(www)\.`), `$1[.]`},
	{regexp.MustCompile(`([\pL\pN._%+-])@([\pL\pN])`), `$1[@]$2`},
	{regexp.MustCompile(`!\[`), `! [`},
	{regexp.MustCompile(`\](\(|:|\[)`), `] $1`},
	{regexp.MustCompile(`<([\pL/!?])`), `< $1`},
	{regexp.MustCompile(`&(#?[0-9A-Za-z]+;)`), `& $1`},
}

// Clean makes an analyst's prose fit to be shown: no escape sequences of terminals,
// no control characters but the line feed, nothing that turns the direction of
// writing or cannot be seen (format characters, tags, variation selectors), no bytes
// that are not UTF-8, no link, picture or tag that a viewer would bring to life, and
// at most MaxProse bytes. Clean of what is clean is the same.
func Clean(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u2028", "\n", "\u2029", "\n", "\t", " ").Replace(s)
	s = ansi.ReplaceAllString(s, "")
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case unseen(r):
			return -1
		case unicode.Is(unicode.Zs, r):
			return ' '
		}
		return r
	}, s)
	// Longer text than that is cut below; looking through all of it would let a
	// hostile length cost time.
	s = cut(s, 2*MaxProse)
	for changed := true; changed; {
		before := s
		for _, l := range live {
			s = l.form.ReplaceAllString(s, l.dead)
		}
		s = cut(s, 2*MaxProse)
		changed = s != before
	}
	return cut(s, MaxProse)
}

// unseen reports whether a character is not to be shown: controls, format
// characters, what a renderer ignores by default, private use, and code points that
// no character has.
func unseen(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Co, unicode.Cs, unicode.Variation_Selector,
		unicode.Other_Default_Ignorable_Code_Point, unicode.Noncharacter_Code_Point) ||
		r >= 0xE0000 && r <= 0xE0FFF // tags, and the rest of their plane that is ignored
}

// cut returns at most n bytes of s and breaks no character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
