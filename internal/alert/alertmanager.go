package alert

import "strings"

// alertStates are Alertmanager's, and those of Grafana's unified alerting.
var alertStates = map[string]State{"firing": Firing, "resolved": Resolved}

// isAlertmanager tells webhooks, lists of alerts as Prometheus posts them, and
// single ones.
func isAlertmanager(doc object) bool {
	if elements, is := doc.value.([]any); is {
		return len(elements) > 0 && document(elements[0]).holdsObject("labels")
	}
	return doc.holdsList("alerts") && !doc.holdsList("evalMatches") || doc.holdsObject("labels") && doc.hasAny("summary", "annotations", "startsAt", "generatorURL")
}

// readAlertmanager reads
// https://prometheus.io/docs/alerting/latest/configuration/#webhook_config.
func readAlertmanager(doc object) []draft {
	if elements, is := doc.value.([]any); is {
		return readAlerts(elementsOf(doc.at, elements, doc.first), object{first: doc.first})
	}
	if !doc.has("alerts") {
		return readAlerts([]object{doc}, object{first: doc.first})
	}
	elements := doc.list("alerts")
	if len(elements) == 0 {
		doc.fail("alerts", "is an empty list; expected is at least one alert")
	}
	drafts := readAlerts(elements, doc)
	if n := strings.TrimSpace(doc.word("truncatedAlerts")); len(drafts) > 0 && n != "" && n != "0" {
		drafts[0].note("the sender left out %s more alerts of the group; see max_alerts of its receiver", shown(n))
	}
	return drafts
}

// readAlerts reads the alerts of one group.
func readAlerts(elements []object, group object) []draft {
	drafts := make([]draft, 0, len(elements))
	labelsOf := map[string]string{} // by fingerprint
	shared := map[string]bool{}     // fingerprints of alerts that are not the same
	for _, e := range elements {
		e.mustBeObject()
		d, fingerprint := readOneAlert(e, group)
		labels := digest(pairs(d.labels)...)
		if other, seen := labelsOf[fingerprint]; seen && other != labels {
			shared[fingerprint] = true
		}
		labelsOf[fingerprint] = labels
		d.identity = []string{fingerprint}
		drafts = append(drafts, d)
	}
	for i := range drafts {
		d := &drafts[i]
		fingerprint := d.identity[0]
		if fingerprint != "" && !shared[fingerprint] {
			continue
		}
		if fingerprint != "" {
			d.note("fingerprint %s is shared by alerts with other labels, so the labels are the identity", shown(fingerprint))
		}
		d.identity = append([]string{"labels"}, pairs(d.labels)...)
	}
	return drafts
}

func readOneAlert(e, group object) (draft, string) {
	annotations := e.labels("annotations")
	d := draft{
		labels: e.labels("labels"), startsAt: e.time("startsAt"), endsAt: e.time("endsAt"), state: alertState(e, group),
		url: firstOf(e.text("panelURL"), e.text("dashboardURL"), e.text("generatorURL")),
	}
	d.severity = firstOf(d.labels["severity"], d.labels["priority"], d.labels["level"], d.labels["criticality"])
	summary := firstOf(annotations["summary"], annotations["title"], e.text("summary"))
	name := d.labels["alertname"]
	switch {
	case name != "" && summary != "" && !strings.Contains(summary, name):
		d.title = name + ": " + summary
	default:
		d.title = firstOf(summary, name, annotations["description"], annotations["message"])
	}
	d.description = firstOf(annotations["description"], annotations["message"], e.text("description"), summary)
	if values := e.text("valueString"); values != "" {
		d.description = strings.TrimSpace(d.description + "\n" + values)
	}
	d.system = firstOf(d.labels["instance"], d.labels["host"], d.labels["hostname"], d.labels["node"], d.labels["pod"], d.labels["service"], d.labels["job"])
	return d, strings.TrimSpace(e.text("fingerprint"))
}

// alertState is the alert's own, or else that of its group (version 3), or else
// firing when it has no end. One that has an end may have been told that it will
// end unless it is told otherwise, so it is not guessed.
func alertState(e, group object) State {
	switch {
	case e.has("status"):
		return e.state("status", alertStates)
	case group.has("status"):
		return group.state("status", alertStates)
	case e.time("endsAt").IsZero():
		return Firing
	}
	e.fail("status", "is missing, and so is /status of the body, while endsAt is stated; expected is firing or resolved")
	return Firing
}

// pairs lists labels as name, value, by name.
func pairs(labels map[string]string) []string {
	out := make([]string, 0, 2*len(labels))
	for _, name := range sortedNames(labels) {
		out = append(out, name, labels[name])
	}
	return out
}

func firstOf(texts ...string) string {
	for _, text := range texts {
		if strings.TrimSpace(text) != "" {
			return text
		}
	}
	return ""
}
