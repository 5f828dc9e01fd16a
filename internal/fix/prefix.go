package fix

import (
	"regexp"
	"strings"
)

// maxPrefix is how many bytes before a message are looked at.
const maxPrefix = 256

// scriptPattern is what stands before a message in a QuickFIX acceptance script:
// I for in, E for expected out, and the number of a session.
var scriptPattern = regexp.MustCompile(`^([IE])(?:[0-9]{1,3},)?$`)

// wordPattern finds words, also within names such as TracingIncomingMessage.
var wordPattern = regexp.MustCompile(`[A-Z]?[a-z]+|[A-Z]+`)

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

// direction reads the text that stands before a message on its line.
func direction(prefix string) (way Direction, script bool) {
	if m := scriptPattern.FindStringSubmatch(prefix); m != nil {
		if m[1] == "I" {
			return In, true
		}
		return Out, true
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
	for _, word := range wordPattern.FindAllString(prefix, -1) {
		d, known := directions[strings.ToLower(word)]
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
