package notify

import (
	"regexp"
	"strings"
	"unicode"
)

// Limits, in characters.
const (
	maxSubject = 200
	maxName    = 100
	maxDetail  = 500
)

// oneLine makes text from outside fit for a header or a log: no line ends, no
// control characters, nothing that turns the direction of writing, no encoded
// words of its own making, and not longer than limit.
func oneLine(s string, limit int) string {
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

// plain makes text from outside fit for a body: its lines stay, what cannot be
// seen becomes visible.
func plain(s string) string {
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

// Addresses are of the plain form alone: no quoted local part, no address
// literal, nothing beyond ASCII. What is left needs no escaping anywhere.
var (
	localForm  = regexp.MustCompile(`^[A-Za-z0-9!#$%&'*+/=?^_{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_{|}~-]+)*$`)
	domainForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`)
)

const formOfAddress = "want name@example.com, in plain letters, without quotes"

func goodAddress(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && len(local) <= 64 && len(domain) <= 253 && len(s) <= 254 && localForm.MatchString(local) && domainForm.MatchString(domain)
}
