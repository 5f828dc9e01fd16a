package alert

import "strings"

// severityWords maps what vendors and the rules of their users call severities,
// in lower case. What is not here is Medium, and is kept as the label severity.
var severityWords = map[string]Severity{
	"critical": Critical, "crit": Critical, "fatal": Critical, "emergency": Critical, "emerg": Critical, "disaster": Critical,
	"blocker": Critical, "page": Critical, "p1": Critical, "sev1": Critical, "sev-1": Critical, "s1": Critical,
	"high": High, "error": High, "err": High, "major": High, "severe": High, "alert": High, "p2": High, "sev2": High, "sev-2": High, "s2": High,
	"medium": Medium, "moderate": Medium, "warning": Medium, "warn": Medium, "average": Medium, "normal": Medium,
	"p3": Medium, "sev3": Medium, "sev-3": Medium, "s3": Medium,
	"low": Low, "minor": Low, "notice": Low, "p4": Low, "sev4": Low, "sev-4": Low, "s4": Low,
	"info": Info, "informational": Info, "information": Info, "debug": Info, "trace": Info, "none": Info, "ok": Info, "success": Info,
	"p5": Info, "sev5": Info, "sev-5": Info, "s5": Info, "no severity": Info,
}

// stateWords maps what generic senders call states, in lower case.
var stateWords = map[string]State{
	"firing": Firing, "alert": Firing, "alerting": Firing, "alarm": Firing, "error": Firing, "problem": Firing, "triggered": Firing,
	"trigger": Firing, "open": Firing, "opened": Firing, "active": Firing, "activated": Firing, "new": Firing, "down": Firing,
	"failing": Firing, "failed": Firing, "failure": Firing, "critical": Firing, "warning": Firing, "warn": Firing, "1": Firing, "true": Firing,
	"acknowledged": Acknowledged, "acknowledge": Acknowledged, "ack": Acknowledged,
	"resolved": Resolved, "resolve": Resolved, "ok": Resolved, "recovery": Resolved, "recovered": Resolved, "closed": Resolved,
	"close": Resolved, "cleared": Resolved, "inactive": Resolved, "up": Resolved, "success": Resolved, "normal": Resolved, "healthy": Resolved,
	"0": Resolved, "false": Resolved,
}

func word(text string) string { return strings.ToLower(strings.TrimSpace(text)) }

// state maps the word of a member to a state by the words of its vendor, in lower
// case.
func (o object) state(name string, words map[string]State) State {
	text := o.word(name)
	if s, known := words[word(text)]; known {
		return s
	}
	if !o.has(name) {
		o.fail(name, "is missing; expected is one of %s", strings.Join(sortedNames(words), ", "))
	} else {
		o.fail(name, "is %s; expected is one of %s", shown(text), strings.Join(sortedNames(words), ", "))
	}
	return Firing
}
