package siem

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Limits of a message. RFC 5425 section 4.3.1 has receivers take 2048 octets and
// wants them to take 8192.
const (
	maxMessage  = 8192 // octets, without the count in front
	maxHostname = 255  // RFC 5424 section 6
	maxAppName  = 48
	maxProcID   = 128
	maxMsgID    = 32
	maxLong     = 256 // octets of a value in a message that is too long
)

// DocumentationPEN is the private enterprise number that IANA keeps for examples.
// Whoever has a number of their own should set it.
const DocumentationPEN = 32473

// severity is of RFC 5424 section 6.2.1.
type severity int

const (
	warning severity = 4
	notice  severity = 5
	info    severity = 6
)

// severities are by type, or by the part of a type up to and with its first dot.
var severities = map[string]severity{
	"security.denied":       warning,
	"effect.denied":         warning,
	"activity.contradicted": warning,
	"siem.lag":              warning,
	"security.":             notice,
	"policy.":               notice,
	"user.":                 notice,
	"log.":                  notice,
	"key.":                  notice,
}

func (r *record) severity() severity {
	if s, ok := severities[r.kind]; ok {
		return s
	}
	switch {
	case r.outcome == "refused", strings.HasSuffix(r.kind, ".refused"), strings.HasSuffix(r.kind, "_refused"):
		return warning
	case r.outcome == "failed":
		return notice
	}
	family, _, _ := strings.Cut(r.kind, ".")
	if s, ok := severities[family+"."]; ok {
		return s
	}
	return info
}

// format writes messages of RFC 5424.
type format struct {
	facility                  int
	hostname, appName, procID string
	enterprise                uint32
	cef                       bool
}

// encode returns the message of an event, without a frame. A message over
// maxMessage loses its text, and if that is not enough its long values, which are
// replaced by digests; it is never split.
func (f *format) encode(e Event) ([]byte, error) {
	r, err := readRecord(e.Leaf)
	if err != nil {
		return nil, fmt.Errorf("leaf %d: %w", e.Index, err)
	}
	for _, cut := range []cut{nothing, message, values} {
		var b strings.Builder
		f.header(&b, &r)
		if f.cef {
			writeCEF(&b, &r, e, cut)
		} else {
			f.element(&b, &r, e, cut)
			if cut == nothing {
				b.WriteString(" \uFEFF") // RFC 5424 section 6.4: it says that the text is UTF-8
				b.WriteString(plain(r.sentence()))
			}
		}
		if b.Len() <= maxMessage {
			return []byte(b.String()), nil
		}
	}
	return nil, fmt.Errorf("leaf %d: its message has over %d octets even without text", e.Index, maxMessage)
}

// cut is how much of a message is left out.
type cut int

const (
	nothing cut = iota
	message     // its text
	values      // and long values
)

// value returns a text as it is written when so much is cut, before the escapes of
// the form around it. Those at most double it.
func (c cut) value(text string) string {
	if out := plain(text); c < values || len(out) <= maxLong {
		return out
	}
	digest := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(digest[:])
}

func (f *format) header(b *strings.Builder, r *record) {
	fmt.Fprintf(b, "<%d>1 %s %s %s %s %s ", f.facility*8+int(r.severity()), r.time,
		printable(f.hostname, maxHostname), printable(f.appName, maxAppName), printable(f.procID, maxProcID), printable(r.kind, maxMsgID))
	if f.cef {
		b.WriteString("- ") // no structured data
	}
}

// escapeParam are the escapes of RFC 5424 section 6.3.3.
var escapeParam = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `]`, `\]`)

func (f *format) element(b *strings.Builder, r *record, e Event, cut cut) {
	fmt.Fprintf(b, "[finobs@%d", f.enterprise)
	param := func(name, value string) {
		fmt.Fprintf(b, ` %s="%s"`, name, escapeParam.Replace(cut.value(value)))
	}
	param("idx", strconv.FormatInt(e.Index, 10))
	param("id", r.id)
	param("type", r.kind)
	param("actor", r.actor)
	param("actor_iss", r.issuer)
	param("actor_type", r.actorKind)
	param("subject", r.subject)
	param("action", r.action)
	param("outcome", r.outcome)
	param("wf", r.workflow)
	param("desk", r.desk)
	param("sim", strconv.FormatBool(r.simulation))
	param("leaf_sha256", hex.EncodeToString(e.SHA256[:]))
	param("tree", strconv.FormatInt(e.TreeSize, 10))
	if cut != nothing {
		param("trunc", "1")
	}
	b.WriteByte(']')
}

// sentence is the event in words.
func (r *record) sentence() string {
	text := fmt.Sprintf("%s: %s %s, action %s, subject %s, outcome %s", r.kind, r.actorKind, r.actor, r.action, r.subject, r.outcome)
	if r.reason != "" {
		text += ": " + r.reason
	}
	return text
}
