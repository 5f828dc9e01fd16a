package fix

import (
	"regexp"
	"slices"
	"strings"
)

var (
	// A step of a QuickFIX acceptance script: iCONNECT, e2,DISCONNECT.
	scriptEvent = regexp.MustCompile(`^[ie](?:[0-9]{1,3},)?(CONNECT|DISCONNECT)\b`)
	// FIX.4.4:SENDER->TARGET is how QuickFIX names a session.
	sessionPattern = regexp.MustCompile(`FIXT?\.[0-9]\.[0-9](?:SP[0-9])?:([^\s>]{1,64}?)->([^\s,>)\]:]{1,64})`)
	timePattern    = regexp.MustCompile(`^[<\[( ]*([0-9]{8}-[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?)`)
)

// lineKinds are what lines of a log say of its sessions, in any case. The first
// that fits counts, so that "disconnected" is not "connected".
var lineKinds = []struct {
	kind    EventKind
	pattern *regexp.Regexp
}{
	{KindDisconnect, regexp.MustCompile(`(?i)\bdisconnect|\b(?:session|socket|channel|connection)\b.{0,40}\b(?:closed|lost|dropped|terminated|reset by peer)\b|\bconnection reset\b`)},
	{KindLogout, regexp.MustCompile(`(?i)\b(?:initiated|received|receiving|sent|sending|responding to|response to)\b.{0,20}\b(?:logout|logoff|log out|log off)\b|\b(?:logged (?:out|off)|(?:logout|logoff) (?:received|sent|initiated))\b`)},
	{KindLogon, regexp.MustCompile(`(?i)\b(?:initiated|received|receiving|sent|sending|responding to|response to|successful)\b.{0,20}\b(?:logon|login|log on)\b|\b(?:logged (?:on|in)|(?:logon|login) (?:received|sent|initiated|successful|accepted))\b`)},
	{KindConnect, regexp.MustCompile(`(?i)\bsession created\b|\b(?:session|socket|channel|connection)\b.{0,40}\b(?:opened|established|accepted)\b|\bconnected\b|\baccepted connection\b`)},
}

// notConnected are the lines that say that there is no connection yet.
var notConnected = regexp.MustCompile(`(?i)\b(?:not|never|cannot|unable|until|when|if|not yet) (?:be |been |yet )?connected\b`)

// ClassifyLine says which session event a line tells that is no message; false
// when it tells none. line is counted from 1, and text is the beginning of the
// line.
func ClassifyLine(line int, text string) (Event, bool) {
	kind, known := classifyLine(text)
	if !known {
		return Event{}, false
	}
	e := Event{Kind: kind, Line: line, SeqNum: -1, Direction: Unknown, Text: clean(text)}
	if m := sessionPattern.FindStringSubmatch(text); m != nil {
		e.Sender, e.Target = clean(m[1]), clean(m[2])
	}
	if m := timePattern.FindStringSubmatch(text); m != nil {
		e.At, _ = parseTimestamp(m[1])
	}
	return e, true
}

// eventStems are what every line has that one of lineKinds fits, in small letters.
var eventStems = []string{"connect", "log", "session", "socket", "channel"}

// mayTell keeps the patterns, which are slow, away from most lines.
func mayTell(text string) bool {
	small := strings.ToLower(text)
	return slices.ContainsFunc(eventStems, func(stem string) bool { return strings.Contains(small, stem) })
}

func classifyLine(text string) (EventKind, bool) {
	if strings.HasPrefix(text, "#") { // a comment of a script
		return "", false
	}
	if m := scriptEvent.FindStringSubmatch(text[:min(len(text), 20)]); m != nil {
		if m[1] == "CONNECT" {
			return KindConnect, true
		}
		return KindDisconnect, true
	}
	if !mayTell(text) {
		return "", false
	}
	for _, k := range lineKinds {
		if k.pattern.MatchString(text) && (k.kind != KindConnect || !notConnected.MatchString(text)) {
			return k.kind, true
		}
	}
	return "", false
}
