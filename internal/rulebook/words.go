package rulebook

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// token is a word of a text: letters and digits of any script, in lower case, and
// the bytes where it stands.
type token struct {
	word       string
	start, end int
}

// tokens splits a text into its words, shifting their places by offset.
func tokens(text string, offset int) []token {
	var out []token
	start := -1
	for at, r := range text {
		inside := unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.Is(unicode.Mn, r)
		switch {
		case inside && start < 0:
			start = at
		case !inside && start >= 0:
			out = append(out, token{strings.ToLower(text[start:at]), start + offset, at + offset})
			start = -1
		}
	}
	if start >= 0 {
		out = append(out, token{strings.ToLower(text[start:]), start + offset, len(text) + offset})
	}
	return out
}

// phrase is one or more words in a row; a last word that ends in * stands for all
// that begin so.
type phrase struct {
	text   string
	words  []string
	prefix bool
}

const maxPhrase = 100 // bytes

func parsePhrase(text string) (phrase, error) {
	p := phrase{text: text, prefix: strings.HasSuffix(text, "*")}
	if !utf8.ValidString(text) || len(text) > maxPhrase {
		return p, fmt.Errorf("word %.20q must be valid UTF-8 of at most %d bytes", text, maxPhrase)
	}
	for _, t := range tokens(text, 0) {
		p.words = append(p.words, t.word)
	}
	if len(p.words) == 0 {
		return p, errors.New("a word has no letter or digit")
	}
	return p, nil
}

// find returns where a phrase stands first.
func (p phrase) find(text []token) (start, end int, found bool) {
	last := len(p.words) - 1
	for at := 0; at+last < len(text); at++ {
		for n, word := range p.words {
			have := text[at+n].word
			if have == word || n == last && p.prefix && strings.HasPrefix(have, word) {
				if n == last {
					return text[at].start, text[at+n].end, true
				}
				continue
			}
			break
		}
	}
	return 0, 0, false
}
