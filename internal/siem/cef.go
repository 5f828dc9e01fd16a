package siem

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Escapes of CEF:0. A header field must be one line; a value of the extension may
// have line breaks, written as \n and \r.
var (
	escapeHeader    = strings.NewReplacer(`\`, `\\`, `|`, `\|`)
	escapeExtension = strings.NewReplacer(`\`, `\\`, `=`, `\=`)
	breaks          = strings.NewReplacer(`\\u000A`, `\n`, `\\u000D`, `\r`)
)

// cefSeverity is on the scale of CEF, from 0 to 10.
func cefSeverity(s severity) int {
	switch s {
	case warning:
		return 7
	case notice:
		return 5
	default:
		return 3
	}
}

func writeCEF(b *strings.Builder, r *record, e Event, cut cut) {
	header := func(text string) string { return escapeHeader.Replace(cut.value(text)) }
	fmt.Fprintf(b, "CEF:0|finobs|finobs|1|%s|%s|%d|", header(r.kind), header(r.action+" "+r.outcome), cefSeverity(r.severity()))
	separator := ""
	pair := func(key, value string) {
		// A real line break is \\u000A by now; a backslash that was there before
		// plain cannot be, because plain writes it as \u005C.
		fmt.Fprintf(b, "%s%s=%s", separator, key, breaks.Replace(escapeExtension.Replace(cut.value(value))))
		separator = " "
	}
	custom := func(key, label, value string) {
		pair(key, value)
		pair(key+"Label", label)
	}
	pair("rt", strconv.FormatInt(r.at.UnixMilli(), 10))
	pair("externalId", r.id)
	pair("cat", r.kind)
	pair("suser", r.actor)
	pair("act", r.action)
	pair("outcome", r.outcome)
	custom("cn1", "idx", strconv.FormatInt(e.Index, 10))
	custom("cn2", "tree", strconv.FormatInt(e.TreeSize, 10))
	custom("cs1", "leaf_sha256", hex.EncodeToString(e.SHA256[:]))
	custom("cs2", "subject", r.subject)
	custom("cs3", "wf", r.workflow)
	custom("cs4", "desk", r.desk)
	custom("cs5", "actor_iss", r.issuer)
	custom("cs6", "actor_type", r.actorKind)
	custom("flexString1", "sim", strconv.FormatBool(r.simulation))
	if cut == nothing {
		pair("msg", r.reason)
	} else {
		custom("flexString2", "trunc", "1")
	}
}
