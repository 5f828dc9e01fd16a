package agent_test

import (
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"finobs/internal/agent"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"Two fails.\nBoth of T+1.":                     "Two fails.\nBoth of T+1.",
		"Zürich 東京 🙂 café":                             "Zürich 東京 🙂 café",
		"\x1b[31;1mred\x1b[0m":                         "red",
		"\x1b]8;;http://x.example\x07click\x1b]8;;\a":  "click",
		"\u009b2Jgone":                                 "gone",
		"a\x00b\x7fc\u0085d\re\tf":                     "abcd\ne f",
		"pay \u202e001\u202c \u2066x\u2069":            "pay 001 x",
		"ze\u200bro\u200d\ufeff wi\u00addth":           "zero width",
		"tag\U000e0041\U000e007f":                      "tag",
		"hidden\ufe0f\U000e0101":                       "hidden",
		"bad \xff\xfe":                                 "bad \uFFFD",
		"see https://evil.example/?q=1":                "see https[:]//evil.example/?q=1",
		"ht\u200btp://x":                               "http[:]//x",
		"mailto:a@b.example":                           "mailto[:]a[@]b.example",
		"www.evil.example WWW.evil.example":            "www[.]evil.example WWW[.]evil.example",
		"![x](//evil/x.png)":                           "! [x] (//evil/x.png)",
		"[x](y) [x][y]\n[x]: /y":                       "[x] (y) [x] [y]\n[x] : /y",
		"<script>alert(1)</script> 1 < 2":              "< script>alert(1)< /script> 1 < 2",
		"https&colon;//x &#58;":                        "https& colon;//x & #58;",
		"JaVaScript:alert(1)":                          "JaVaScript[:]alert(1)",
		"market data: stale since 09:30":               "market data: stale since 09:30",
		strings.Repeat("é", agent.MaxProse):            strings.Repeat("é", agent.MaxProse/2),
		"x" + strings.Repeat("é", agent.MaxProse)[:10]: "x" + strings.Repeat("é", 5),
	} {
		if got := agent.Clean(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// lives is written apart from the code: what a viewer would bring to life.
var lives = regexp.MustCompile(`(?i)://|\bwww\.|mailto:\S|javascript:\S|!\[|\]\(|<[a-z/!]|&#?[a-z0-9]+;|[a-z0-9]@[a-z0-9]`)

func FuzzClean(f *testing.F) {
	for _, seed := range []string{
		"\x1b[31mred", "\x1b\x1b[[", "https://x", "![a](b)", "www.www.", "a@b@c", "h\u200bttps\u202e://", "\xff<\x00a>", "&&amp;;", ":https:///\\", "]([(:", "\u009d\x07x",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got := agent.Clean(in)
		if again := agent.Clean(got); again != got {
			t.Errorf("%q: %q becomes %q", in, got, again)
		}
		if !utf8.ValidString(got) || len(got) > agent.MaxProse || lives.MatchString(got) {
			t.Errorf("%q: got %q", in, got)
		}
		for _, r := range got {
			if r != '\n' && unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r >= 0xE0000 && r <= 0xE007F || r == '\u2028' || r == '\u2029' {
				t.Errorf("%q: %U is in %q", in, r, got)
			}
		}
	})
}
