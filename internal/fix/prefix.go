package fix

import (
	"iter"
	"strings"
)

// maxPrefix is how many bytes before a message are looked at.
const maxPrefix = 256

// directions are words of a prefix. The weak ones are also words of English.
var directions = map[string]struct {
	way  Direction
	weak bool
}{
	"incoming": {In, false}, "inbound": {In, false}, "received": {In, false}, "receiving": {In, false}, "recv": {In, false}, "rcvd": {In, false},
	"rx": {In, false}, "in": {In, true}, "from": {In, true},
	"outgoing": {Out, false}, "outbound": {Out, false}, "sent": {Out, false}, "sending": {Out, false}, "tx": {Out, false},
	"out": {Out, true}, "to": {Out, true}, "send": {Out, true},
}

// arrows are what stands right before a message and points to where it goes: into
// the log's process, or out of it.
var arrows = []struct {
	text string
	way  Direction
}{{"<=", In}, {"<==", In}, {"<-", In}, {"<--", In}, {"<<", In}, {"<", In}, {"->", Out}, {"-->", Out}, {"=>", Out}, {"==>", Out}, {">>", Out}, {">", Out}}

// scriptStep reads what stands before a message in a QuickFIX acceptance script: I
// for in, E for expected out, and the number of a session.
func scriptStep(prefix string) (way Direction, ok bool) {
	if prefix == "" || len(prefix) > len("I999,") || prefix[0] != 'I' && prefix[0] != 'E' {
		return Unknown, false
	}
	if session, found := strings.CutSuffix(prefix[1:], ","); prefix[1:] != "" && (!found || digitsAt(session) < 0 || session == "") {
		return Unknown, false
	}
	if prefix[0] == 'I' {
		return In, true
	}
	return Out, true
}

// direction reads the text that stands before a message on its line.
func direction(prefix string) (way Direction, script bool) {
	if prefix == "" {
		return Unknown, false
	}
	if way, script = scriptStep(prefix); script {
		return way, true
	}
	if way := byWords(prefix); way != Unknown {
		return way, false
	}
	end := strings.TrimRight(prefix, " \t\x00:([\"'")
	last := end[strings.LastIndexAny(end, " \t\x00")+1:]
	for _, a := range arrows {
		if last == a.text {
			return a.way, false
		}
	}
	return Unknown, false
}

// byWords goes by the last strong word, and by weak words where all point the
// same way.
func byWords(prefix string) Direction {
	strong, weak := Unknown, Unknown
	both := false
	for word := range words(prefix) {
		d, known := directions[word]
		switch {
		case !known:
		case !d.weak:
			strong = d.way
		case weak != Unknown && weak != d.way:
			both = true
		default:
			weak = d.way
		}
	}
	if strong != Unknown || both {
		return strong
	}
	return weak
}

// words yields the words of a text in small letters, also those within names such
// as TracingIncomingMessage.
func words(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := 0; i < len(text); {
			start := i
			for i < len(text) && isCapital(text[i]) {
				i++
			}
			if i <= start+1 { // a word, with a capital or without
				for i < len(text) && isLetter(text[i]) && !isCapital(text[i]) {
					i++
				}
			}
			switch {
			case i == start:
				i++
			case i-start <= maxWord && !yield(strings.ToLower(text[start:i])):
				return
			}
		}
	}
}

// maxWord is how long the longest of directions is.
const maxWord = len("receiving")

func isCapital(c byte) bool { return 'A' <= c && c <= 'Z' }
