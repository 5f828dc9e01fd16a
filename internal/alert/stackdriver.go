package alert

import (
	"strings"
	"time"
)

// stackdriverStates are those of incidents of Google Cloud Monitoring.
var stackdriverStates = map[string]State{"open": Firing, "acknowledged": Acknowledged, "closed": Resolved}

func isStackdriver(doc object) bool {
	return doc.object("incident").hasAny("incident_id", "policy_name", "condition_name", "started_at")
}

// readStackdriver reads
// https://cloud.google.com/monitoring/support/notification-options#webhooks.
func readStackdriver(doc object) []draft {
	o := doc.object("incident")
	resource, metric := o.object("resource"), o.object("metric")
	d := draft{
		state: o.state("state", stackdriverStates), severity: o.text("severity"), url: o.text("url"), labels: map[string]string{},
		startsAt: o.epoch("started_at", time.Second), endsAt: o.epoch("ended_at", time.Second),
		title: joinNonEmpty(": ", o.text("policy_name"), o.text("condition_name")),
	}
	d.title = firstOf(o.object("documentation").text("subject"), d.title, o.text("summary"))
	d.description = joinNonEmpty("\n", o.text("summary"), o.object("documentation").text("content"))
	incident := o.word("incident_id")
	if incident == "" {
		o.fail("incident_id", "is missing; expected is the id of the incident")
	}
	d.identity = []string{incident}
	for _, set := range []map[string]string{o.labels("policy_user_labels"), resource.labels("labels"), metric.labels("labels"), o.object("metadata").labels("user_labels")} {
		for _, name := range sortedNames(set) {
			d.label(name, set[name])
		}
	}
	d.severity = firstOf(d.severity, d.labels["severity"])
	d.label("project", firstOf(o.text("scoping_project_id"), resource.labels("labels")["project_id"]))
	d.label("resource_type", firstOf(resource.text("type"), o.text("resource_type_display_name")))
	d.label("resource_id", o.text("resource_id"))
	d.label("metric_type", metric.text("type"))
	d.label("policy", o.text("policy_name"))
	d.label("condition", o.text("condition_name"))
	d.system = firstOf(o.text("resource_name"), o.text("resource_display_name"), d.labels["instance_name"], d.labels["host"],
		d.labels["instance_id"], d.labels["service_name"], o.text("resource_id"))
	return []draft{d}
}

func joinNonEmpty(between string, texts ...string) string {
	var out []string
	for _, text := range texts {
		if strings.TrimSpace(text) != "" {
			out = append(out, text)
		}
	}
	return strings.Join(out, between)
}
