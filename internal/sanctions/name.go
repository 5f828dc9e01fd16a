package sanctions

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// letters that NFKD leaves whole, and how they are commonly written without.
var letters = strings.NewReplacer("ß", "ss", "æ", "ae", "œ", "oe", "ø", "o", "ł", "l", "đ", "d", "ð", "d", "þ", "th", "ı", "i", "ħ", "h")

// tokens are the words of a name: NFKD without marks, lower case, full stops and
// apostrophes left out ("S.A." is "sa", "O'Brien" is "obrien"), and every other
// character that is no letter or digit between words.
func tokens(name string) []string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(strings.ToValidUTF8(cut(name, maxName), "")) {
		switch {
		case unicode.Is(unicode.Mn, r), apostrophe(r):
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			b.WriteRune(unicode.ToLower(r))
		default:
			b.WriteByte(' ')
		}
	}
	return strings.Fields(letters.Replace(b.String()))
}

// maxName bounds a name that is looked for, in bytes; what is beyond is not read.
const maxName = 512

func apostrophe(r rune) bool {
	switch r {
	case '.', '\'', '’', '‘', '`', 'ʼ', 'ʻ', 'ʿ', 'ʾ':
		return true
	}
	return false
}

// legal are the forms of companies, and stop the words that tell no two names
// apart. Neither is compared, unless nothing else is left of a name.
var (
	legal = wordSet(`ltd limited ltda limitada co company cia compania corp corporation inc incorporated llc llp lp plc sa sas sarl srl
		spa gmbh mbh ag kg nv bv oy oyj ab asa aps pte pty jsc ojsc cjsc pjsc oao ooo zao pao fze fzco fzc sdn bhd cv kft doo dd ad sae sal`)
	stop = wordSet(`the of and de del la las el los le les y e et und der die das for da do dos di`)
	// titles are not part of a person's name.
	titles = wordSet(`mr mrs ms miss dr prof sir`)
)

func wordSet(words string) map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(words) {
		out[w] = true
	}
	return out
}

// core leaves the words out that do not tell names of a type apart.
func core(words []string, t Type) []string {
	var out []string
	for _, w := range words {
		if t == Individual && titles[w] || t != Individual && (legal[w] || stop[w]) {
			continue
		}
		out = append(out, w)
	}
	if len(out) == 0 {
		return words
	}
	return out
}
