package fix

import (
	"bytes"
)

const (
	soh      = 0x01
	maxBegin = 64 // bytes within which a beginning is recognised: BeginString, delimiter and the digit after it
)

var beginTag = []byte("8=FIX")

// delimiters are what loggers write for SOH in more than one character, and what
// they write in its place most often.
var delimiters = [][]byte{
	{soh}, []byte(" | "), []byte("|"), []byte(";"), []byte("^A"), []byte("<SOH>"), []byte("[SOH]"), []byte(`\x01`), []byte(`\u0001`), []byte(`\001`),
	[]byte("␁"), []byte("&#1;"), []byte("&#01;"), []byte("&#x1;"), []byte("&#x01;"),
}

// begin is where a message begins.
type begin struct {
	at    int    // in the bytes that were searched
	head  int    // bytes of 8=..., with its delimiter
	delim []byte // of the fields
}

// findBegin looks for a message that begins before limit; prev is the byte before
// b. 58=FIX is no beginning, nor is 8=FIX.4.2 in a sentence, which no delimiter
// and no tag follow.
func findBegin(b []byte, limit int, prev byte) (begin, bool) {
	for from := 0; from < limit; {
		i := bytes.Index(b[from:min(limit+len(beginTag)-1, len(b))], beginTag)
		if i < 0 {
			return begin{}, false
		}
		i += from
		from = i + 1
		if i > 0 {
			prev = b[i-1]
		}
		if isDigit(prev) {
			continue
		}
		if head, delim := beginning(b[i:]); head > 0 {
			return begin{i, head, delim}, true
		}
	}
	return begin{}, false
}

// findNext looks for the message after one that is not at its end: BodyLength or
// MsgType follow, so that a value that ends with 8=FIX.4.4 is none.
func findNext(b []byte, prev byte) (begin, bool) {
	for from := 0; from < len(b); {
		next, found := findBegin(b[from:], len(b)-from, prev)
		if !found {
			return begin{}, false
		}
		next.at += from
		rest := bytes.TrimLeft(b[next.at+next.head:], "\r\n")
		if bytes.HasPrefix(rest, []byte("9=")) || bytes.HasPrefix(rest, []byte("35=")) {
			return next, true
		}
		from = next.at + len(beginTag)
		prev = b[from-1]
	}
	return begin{}, false
}

// beginning reads 8=..., and detects the delimiter by what follows.
func beginning(b []byte) (head int, delim []byte) {
	b = b[:min(len(b), maxBegin)]
	match := beginString(b)
	if match == 0 {
		return 0, nil
	}
	rest := b[match:]
	for _, d := range delimiters {
		if bytes.HasPrefix(rest, d) && (d[0] == soh || startsField(rest[len(d):])) {
			return match + len(d), d
		}
	}
	// Any other single character is one where the next field is the one it has to be.
	if len(rest) > 3 && !isDigit(rest[0]) && !isLetter(rest[0]) && rest[0] < 0x80 && !bytes.ContainsAny(rest[:1], ".=\r\n\"'()<>") &&
		(bytes.HasPrefix(rest[1:], []byte("9=")) || bytes.HasPrefix(rest[1:], []byte("35="))) {
		return match + 1, bytes.Clone(rest[:1])
	}
	return 0, nil
}

// beginString is the length of 8=FIX.4.2 at the beginning of b, of FIXT.1.1 or of a
// version with a service pack; 0 when there is none.
func beginString(b []byte) int {
	n := len(beginTag)
	if !bytes.HasPrefix(b, beginTag) {
		return 0
	}
	if n < len(b) && b[n] == 'T' {
		n++
	}
	if v := b[n:]; len(v) < 4 || v[0] != '.' || !isDigit(v[1]) || v[2] != '.' || !isDigit(v[3]) {
		return 0
	}
	n += 4
	if pack := b[n:]; len(pack) > 2 && pack[0] == 'S' && pack[1] == 'P' && isDigit(pack[2]) {
		n += 3
	}
	return n
}

// startsField reports whether b begins with a tag, or with a line break that a
// message may have anywhere.
func startsField(b []byte) bool {
	b = bytes.TrimLeft(b, "\r\n")
	return len(b) > 0 && isDigit(b[0])
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
