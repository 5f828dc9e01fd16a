package alert

import (
	"regexp"
	"strings"
	"time"
)

// datadogTransitions are the values of $ALERT_TRANSITION:
// https://docs.datadoghq.com/integrations/webhooks/#variables.
var datadogTransitions = map[string]State{
	"triggered": Firing, "re-triggered": Firing, "no data": Firing, "re-no data": Firing, "warn": Firing, "re-warn": Firing, "renotify": Firing,
	"alert": Firing, "warning": Firing, "recovered": Resolved, "ok": Resolved, "acknowledged": Acknowledged,
}

// datadogTypes are the values of $ALERT_TYPE, which say the state where the
// template has no transition.
var datadogTypes = map[string]State{"error": Firing, "warning": Firing, "info": Firing, "success": Resolved}

func isDatadog(doc object) bool {
	return doc.hasAny("title", "event_title", "alert_title", "msg_title") &&
		doc.hasAny("alert_transition", "alert_type", "monitor_id", "alert_id", "aggreg_key", "scopes", "alert_scope", "event_type", "query") &&
		!doc.hasAny("evalMatches", "ruleId", "rule_id", "check_id", "alerts")
}

// readDatadog reads bodies of the webhooks integration. Their template is the
// user's: members go by the names of the variables and of the default template.
func readDatadog(doc object) []draft {
	tags := doc.datadogTags()
	d := draft{
		id: doc.firstWord("id", "event_id"), description: doc.firstText("body", "event_msg", "text_only_msg", "message", "msg_text", "text", "description"),
		url: doc.firstText("url", "link", "event_url", "alert_url"), labels: tags,
		at: firstTime(doc.epoch("date", time.Millisecond), doc.epoch("last_updated", time.Millisecond)),
	}
	raw := doc.firstText("event_title", "msg_title", "title", "alert_title")
	d.title = raw
	d.readDatadogState(doc, raw)
	d.readDatadogSeverity(doc, raw)
	if d.id != "" {
		// Templates put ids of events there, but those of monitors, too.
		d.id += "/" + string(d.state) + "/" + stamp(d.at)
	}
	scope := doc.scope()
	monitor := doc.firstWord("monitor_id", "alert_id")
	d.identity = []string{doc.firstWord("aggreg_key"), monitor, scope}
	if doc.firstWord("aggreg_key") == "" && monitor == "" {
		d.identity = []string{"title", bareTitle(raw), scope}
	}
	d.system = firstOf(doc.firstText("hostname", "host"), tags["host"], strings.TrimPrefix(scope, "host:"), tags["service"])
	d.label("monitor", monitor)
	d.label("scope", scope)
	d.label("query", doc.firstText("query", "alert_query"))
	d.label("metric", doc.firstText("metric", "alert_metric"))
	return []draft{d}
}

func (d *draft) readDatadogState(doc object, title string) {
	switch {
	case stated(doc, "alert_transition"):
		d.state = doc.state("alert_transition", datadogTransitions)
		if w := word(doc.text("alert_transition")); strings.Contains(w, "no data") {
			d.label("state", w)
		}
	case stated(doc, "alert_type"):
		d.state = doc.state("alert_type", datadogTypes)
	case strings.Contains(titlePattern.FindString(title), "[Recovered"):
		d.state = Resolved // the default template has nothing but the title
	default:
		d.state = Firing
		if titlePattern.FindString(title) == "" {
			d.note("the body states no alert_transition and counts as firing; add it to the template of the webhook")
		}
	}
}

// readDatadogSeverity takes the priority of the monitor, P1 to P5 or 1 to 5, else
// what the type, the title or a tag says.
func (d *draft) readDatadogSeverity(doc object, title string) {
	priority := strings.TrimSpace(firstOf(doc.word("alert_priority"), doc.word("priority"), doc.word("monitor_priority")))
	if len(priority) == 1 && priority >= "1" && priority <= "5" {
		priority = "P" + priority
	}
	switch w := word(priority); {
	case w != "" && w != "normal" && w != "null": // the priority of an event, not of a monitor, is normal or low
		d.severity = priority
	case stated(doc, "alert_type") && word(doc.text("alert_type")) != "success":
		d.severity = doc.text("alert_type")
	default:
		d.severity = firstOf(priorityPattern.FindString(titlePattern.FindString(title)), d.labels["severity"])
	}
}

// stated reports whether a variable of a template had a value.
func stated(doc object, name string) bool { return doc.has(name) && word(doc.word(name)) != "null" }

// datadogTags reads tags as one text or a list: what stands before the first colon
// is the name, and a name that comes again adds to the value.
func (o object) datadogTags() map[string]string {
	var tags []string
	if elements, is := o.members()["tags"].([]any); is {
		for _, e := range elementsOf(o.pointer("tags"), elements, o.first) {
			text, is := e.value.(string)
			if !is {
				e.first.fail(e.at, "is %s; expected is a tag such as env:prod", describe(e.value))
			}
			tags = append(tags, text)
		}
	} else {
		tags = strings.Split(o.text("tags"), ",")
	}
	labels := map[string]string{}
	for _, tag := range tags {
		name, value, _ := strings.Cut(strings.TrimSpace(tag), ":")
		if name == "" {
			continue
		}
		if before := labels[name]; before != "" && before != value {
			value = before + "," + value
		}
		labels[name] = value
	}
	return labels
}

// scope is what of the monitor's groups it is about, as a text or a list.
func (o object) scope() string {
	for _, name := range []string{"alert_scope", "scopes", "scope"} {
		if _, is := o.members()[name].([]any); !is {
			if text := strings.TrimSpace(o.text(name)); text != "" {
				return text
			}
			continue
		}
		var parts []string
		for _, e := range o.list(name) {
			if text, is := scalar(e.value); is && text != "" {
				parts = append(parts, text)
			}
		}
		if len(parts) > 0 {
			return strings.Join(parts, ",")
		}
	}
	return ""
}

// titlePattern is what Datadog puts before the title of a monitor: its priority
// and transition.
var titlePattern = regexp.MustCompile(`^(\s*\[[^\]]*\])+\s*`)

var priorityPattern = regexp.MustCompile(`\bP[1-5]\b`)

// bareTitle is the same for all transitions of a monitor.
func bareTitle(title string) string { return titlePattern.ReplaceAllString(title, "") }
