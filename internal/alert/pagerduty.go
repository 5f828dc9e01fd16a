package alert

import "strings"

// pagerDutyTypes are the events that say a state, in all versions.
var pagerDutyTypes = map[string]State{
	"trigger": Firing, "triggered": Firing, "unacknowledge": Firing, "unacknowledged": Firing, "reopened": Firing,
	"acknowledge": Acknowledged, "acknowledged": Acknowledged, "resolve": Resolved, "resolved": Resolved,
}

// pagerDutyStatuses are those of incidents.
var pagerDutyStatuses = map[string]State{"triggered": Firing, "acknowledged": Acknowledged, "resolved": Resolved}

func isPagerDuty(doc object) bool {
	if messages := doc.list("messages"); len(messages) > 0 {
		return messages[0].hasAny("event", "type") && messages[0].hasAny("incident", "data")
	}
	return doc.object("event").has("event_type")
}

// readPagerDuty reads webhooks of version 1 and 2 (a list messages) and 3:
// https://developer.pagerduty.com/docs/webhooks-overview. An event that is not
// about the state of an incident, such as a note or a ping, gives no alert.
func readPagerDuty(doc object) []draft {
	drafts := []draft{}
	if !doc.holdsList("messages") {
		event := doc.object("event")
		if d, is := readEvent(event, event.object("data"), "event_type", "occurred_at"); is {
			drafts = append(drafts, d)
		}
		return drafts
	}
	for _, m := range doc.objects("messages") {
		incident, name := m.object("incident"), "event"
		if !m.has("incident") {
			incident, name = m.object("data").object("incident"), "type"
		}
		if !m.has(name) {
			name = "event"
		}
		if d, is := readEvent(m, incident, name, "created_on"); is {
			drafts = append(drafts, d)
		}
	}
	return drafts
}

// readEvent reads one event about an incident; it is none when it says no state.
func readEvent(event, incident object, typeName, whenName string) (draft, bool) {
	kind := event.text(typeName)
	about, what, _ := strings.Cut(kind, ".")
	if kind == "" {
		event.fail(typeName, "is missing; expected is the type of an event such as incident.triggered")
		return draft{}, false
	}
	state, says := pagerDutyTypes[what]
	if about != "incident" || !says && !incident.has("status") {
		return draft{}, false
	}
	if !says {
		state = incident.state("status", pagerDutyStatuses)
	}
	at := event.time(whenName)
	d := draft{
		id: event.word("id"), identity: []string{incident.word("id")}, state: state, at: at, url: incident.text("html_url"),
		startsAt: firstTime(incident.time("created_at"), incident.time("created_on")), labels: map[string]string{},
	}
	if d.identity[0] == "" {
		incident.fail("id", "is missing; expected is the id of the incident")
	}
	if state == Resolved {
		d.endsAt = firstTime(incident.time("resolved_at"), at)
	}
	service, summary := incident.object("service"), incident.object("trigger_summary_data")
	d.system = service.firstText("name", "summary")
	d.title = firstOf(incident.text("title"), summary.text("subject"), summary.text("description"), incident.text("summary"), incident.text("description"))
	d.description = firstOf(incident.text("description"), summary.text("description"), incident.object("body").quiet("details"))
	priority := incident.object("priority")
	d.severity = firstOf(priority.firstText("summary", "name"), incident.text("urgency"))
	d.label("event", kind)
	d.label("incident_key", incident.word("incident_key"))
	d.label("incident_number", firstOf(incident.word("incident_number"), incident.word("number")))
	d.label("service", d.system)
	d.label("urgency", incident.text("urgency"))
	d.label("priority", priority.firstText("summary", "name"))
	return d, true
}
