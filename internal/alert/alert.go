// Package alert reads the bodies of monitoring webhooks. Each vendor's body
// becomes a list of Alerts in one vocabulary: what is wrong, with which system,
// how badly, whether it goes on, and two identities, that of the condition and
// that of the notification. It is pure. Bodies are written by others: whatever
// comes out of here is valid UTF-8, of bounded size and without control
// characters, and still not to be believed.
package alert

import (
	"slices"
	"strings"
	"time"

	"finobs/internal/fault"
)

// Kind is whose body is read.
type Kind string

// The closed set of kinds.
const (
	Alertmanager Kind = "alertmanager" // Prometheus Alertmanager, webhook versions 3 and 4
	Grafana      Kind = "grafana"      // legacy alerting, and unified alerting
	CloudWatch   Kind = "cloudwatch"   // through Amazon SNS or EventBridge
	Datadog      Kind = "datadog"      // the webhooks integration
	PagerDuty    Kind = "pagerduty"    // webhooks version 1, 2 and 3
	NewRelic     Kind = "newrelic"     // legacy notification channels, and workflows
	Pingdom      Kind = "pingdom"      // the webhook of checks
	Stackdriver  Kind = "stackdriver"  // Google Cloud Monitoring, versions 1.1 and 1.2
	Generic      Kind = "generic"      // any JSON, see Mapping
)

// Kinds lists all of them.
func Kinds() []Kind {
	return []Kind{Alertmanager, Grafana, CloudWatch, Datadog, PagerDuty, NewRelic, Pingdom, Stackdriver, Generic}
}

// Valid reports whether k is one of the kinds above.
func (k Kind) Valid() bool { return slices.Contains(Kinds(), k) }

// State is where the condition of an alert stands.
type State string

// The closed set of states.
const (
	Firing       State = "firing"       // the condition holds, or nobody can tell whether it does
	Acknowledged State = "acknowledged" // somebody has taken it on, and it is not known to be over
	Resolved     State = "resolved"     // the condition is over
)

// Valid reports whether s is one of the states above.
func (s State) Valid() bool { return s == Firing || s == Acknowledged || s == Resolved }

// Severity is how bad the sender says it is.
type Severity string

// The closed set of severities.
const (
	Info     Severity = "info"
	Low      Severity = "low"
	Medium   Severity = "medium"
	High     Severity = "high"
	Critical Severity = "critical"
)

// Valid reports whether s is one of the severities above.
func (s Severity) Valid() bool {
	return s == Info || s == Low || s == Medium || s == High || s == Critical
}

// Limits of what is read, and of what comes out of it.
const (
	MaxBody        = 1 << 20 // bytes
	MaxAlerts      = 10_000  // in one body
	MaxDepth       = 64      // of objects and lists in one another
	MaxKey         = 200     // bytes; longer ids of a sender become their SHA-256
	MaxTitle       = 200     // bytes
	MaxDescription = 4000    // bytes
	MaxSystem      = 200     // bytes
	MaxURL         = 2048    // bytes
	MaxLabels      = 64
	MaxLabelName   = 128  // bytes
	MaxLabelValue  = 1024 // bytes
)

// Alert is one notification about one condition.
type Alert struct {
	// Key is the identity of this notification: the sender's own id of it, or
	// else the SHA-256, in hex, over the fingerprint, the state and the times.
	// What is sent again has the same key. Keys are of one source: two sources
	// may use the same.
	Key string
	// Timeless says that the sender states neither an id nor a time. The key then
	// is that of the state alone: it is a repetition only while the condition's
	// last notification was of the same state.
	Timeless bool
	// Fingerprint is the identity of the condition: the kind, a colon and the
	// vendor's own identity or a SHA-256. It is the same when the condition
	// fires, when somebody takes it on and when it is over.
	Fingerprint string
	State       State
	Severity    Severity
	Title       string // one line, never empty
	Description string
	System      string // what it is about, such as a host or a service; "" when not known
	Labels      map[string]string
	StartsAt    time.Time // UTC, as are the others; zero when not stated
	EndsAt      time.Time // zero when not stated, and while the condition holds
	At          time.Time // when the state changed or the notification was made
	URL         string    // http or https; "" when not stated
	Notes       []string  // what was cut, left out or supposed, in sentences
}

// format is how the bodies of one kind are told and read.
type format struct {
	kind     Kind
	expected string            // what tells it, in words
	is       func(object) bool // whether the body looks like it
	read     func(object) []draft
}

// formats are tried in this order to say what a body looks like.
func formats() []format {
	return []format{
		{Grafana, `an object with "evalMatches", "ruleId" or "ruleName", or one with a list "alerts"`, isGrafana, readGrafana},
		{Alertmanager, `an object with a list "alerts"`, isAlertmanager, readAlertmanager},
		{CloudWatch, `a message of Amazon SNS with "Type" and "Message", an object with "AlarmName", or an event with "detail-type"`, isCloudWatch, readCloudWatch},
		{PagerDuty, `an object with a list "messages", or one with an object "event"`, isPagerDuty, readPagerDuty},
		{NewRelic, `an object with "current_state" and a condition or an incident, or one with "state" and an issue`, isNewRelic, readNewRelic},
		{Pingdom, `an object with "check_id" and "current_state"`, isPingdom, readPingdom},
		{Stackdriver, `an object with an object "incident"`, isStackdriver, readStackdriver},
		{Datadog, `an object with a title and one of "alert_transition", "alert_type", "monitor_id", "alert_id", "aggreg_key", "scopes" or "event_type"`, isDatadog, readDatadog},
	}
}

// Read reads the body of one webhook. What is of the kind and says nothing about
// the state of an alert, such as a note on an incident, gives no alerts and no
// error. Everything else that is not read is a fault of code not-an-alert (this is
// no body of the kind) or invalid-alert (an element of it is wrong), whose message
// names the element by its JSON pointer. Generic bodies are read by Mapping.Read.
func Read(kind Kind, body []byte) ([]Alert, error) {
	if kind == Generic {
		return nil, fault.New(fault.Invalid, "invalid-alert", "a generic body is read by a mapping, and there is none")
	}
	i := slices.IndexFunc(formats(), func(f format) bool { return f.kind == kind })
	if i < 0 {
		return nil, fault.New(fault.Invalid, "invalid-alert", "kind %s is not known; known are %s", shown(string(kind)), list(Kinds()))
	}
	f := formats()[i]
	root, err := parse(body)
	if err != nil {
		return nil, err
	}
	doc := document(root)
	if !f.is(document(root)) { // with its own faults: telling is not reading
		return nil, notOfKind(f, doc)
	}
	drafts := f.read(doc)
	if doc.first.err != nil {
		return nil, doc.first.err
	}
	return finish(kind, drafts)
}

// finish turns what was read into alerts.
func finish(kind Kind, drafts []draft) ([]Alert, error) {
	if len(drafts) > MaxAlerts {
		return nil, fault.New(fault.Invalid, "invalid-alert", "the body holds %d alerts, over the limit of %d; let the sender split it", len(drafts), MaxAlerts)
	}
	alerts := make([]Alert, 0, len(drafts))
	for i := range drafts {
		alerts = append(alerts, drafts[i].alert(kind))
	}
	return alerts, nil
}

// notOfKind says why the body is none of format f, and what it looks like.
func notOfKind(f format, doc object) error {
	text := "the body is no alert of kind " + string(f.kind) + ": expected is " + f.expected
	if look := looksLike(doc); look != "" {
		text += "; it looks like " + look
	} else {
		text += "; found is " + describe(doc.value)
	}
	return fault.New(fault.Invalid, "not-an-alert", "%s", text)
}

func list[T ~string](words []T) string {
	texts := make([]string, 0, len(words))
	for _, w := range words {
		texts = append(texts, string(w))
	}
	return strings.Join(texts, ", ")
}
