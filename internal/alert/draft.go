package alert

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"
)

// draft is an alert as its body states it: texts are neither bounded nor clean,
// and its identities are not made yet.
type draft struct {
	id          string   // the sender's own, of the notification
	identity    []string // of the condition; several become a SHA-256
	state       State
	severity    string // the sender's word
	title       string
	description string
	system      string
	labels      map[string]string
	startsAt    time.Time
	endsAt      time.Time
	at          time.Time
	url         string
	notes       []string
}

func (d *draft) note(format string, args ...any) {
	d.notes = append(d.notes, fmt.Sprintf(format, args...))
}

// label adds a label where the sender states a value and has none of that name.
func (d *draft) label(name, value string) {
	if d.labels == nil {
		d.labels = map[string]string{}
	}
	if _, taken := d.labels[name]; !taken && strings.TrimSpace(value) != "" {
		d.labels[name] = value
	}
}

// alert makes the identities and bounds what is shown. Identities are made of what
// was sent, not of what is shown of it, so that cutting never makes two one.
func (d *draft) alert(kind Kind) Alert {
	a := Alert{State: d.state, StartsAt: d.startsAt, EndsAt: d.endsAt, At: d.at, Fingerprint: string(kind) + ":" + identity(d.identity)}
	if a.State != Resolved {
		// Senders state when they would give up on it, and move that on with every
		// repetition.
		a.EndsAt = time.Time{}
	}
	a.Timeless = d.id == "" && a.StartsAt.IsZero() && a.EndsAt.IsZero() && a.At.IsZero()
	a.Key = d.key(a)
	a.Severity = d.judge()
	a.Title = d.bound("title", line(d.title), MaxTitle)
	if a.Title == "" {
		a.Title = "alert of " + string(kind) + " without a title"
	}
	a.Description = d.bound("description", strings.TrimSpace(clean(d.description, true)), MaxDescription)
	a.System = d.bound("system", line(d.system), MaxSystem)
	a.URL = d.link()
	a.Labels = d.boundLabels()
	a.Notes = d.notes
	return a
}

// identity is of one part that is short and plain the part, else a SHA-256.
func identity(parts []string) string {
	if len(parts) == 1 && parts[0] != "" && len(parts[0]) <= MaxKey-20 && clean(parts[0], false) == parts[0] {
		return parts[0]
	}
	return digest(parts...)
}

// digest is the SHA-256, in hex, over parts that stand apart whatever they hold.
func digest(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		_, _ = fmt.Fprintf(h, "%d:", len(part)) // a hash never fails
		_, _ = io.WriteString(h, part)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (d *draft) key(a Alert) string {
	if d.id != "" {
		return identity([]string{d.id})
	}
	return digest(a.Fingerprint, string(a.State), stamp(a.StartsAt), stamp(a.EndsAt), stamp(a.At))
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// judge maps the sender's word; one that is not known is kept for people.
func (d *draft) judge() Severity {
	if word(d.severity) == "" {
		return Medium
	}
	s, known := severityWords[word(d.severity)]
	if !known {
		d.label("severity", d.severity)
		d.note("severity %s is not known and counts as medium", shown(d.severity))
		return Medium
	}
	return s
}

// bound cuts a text and says so.
func (d *draft) bound(name, text string, limit int) string {
	short := cut(text, limit)
	if len(short) < len(text) {
		d.note("%s cut from %d to %d bytes", name, len(text), len(short))
	}
	return short
}

// link keeps what a browser may open. Others write host names and worse there.
func (d *draft) link() string {
	text := strings.TrimSpace(d.url)
	if text == "" {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || len(text) > MaxURL || clean(text, false) != text {
		d.note("url %s is left out: it is not http or https, or over %d bytes", shown(text), MaxURL)
		return ""
	}
	return text
}

// boundLabels keeps the first labels by name.
func (d *draft) boundLabels() map[string]string {
	out := make(map[string]string, min(len(d.labels), MaxLabels))
	left := 0
	for _, name := range sortedNames(d.labels) {
		key := line(cut(name, MaxLabelName))
		if _, taken := out[key]; key == "" || taken || len(out) == MaxLabels {
			left++
			continue
		}
		if len(key) < len(name) {
			d.note("the name of label %s is cut to %d bytes", shown(key), len(key))
		}
		out[key] = d.bound("label "+shown(key), clean(d.labels[name], false), MaxLabelValue)
	}
	if left > 0 {
		d.note("%d labels are left out; %d are kept", left, len(out))
	}
	return out
}
