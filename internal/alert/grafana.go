package alert

import "strings"

// grafanaStates are those of legacy alerting. A rule that is paused is not looked
// at any more, so its condition is not known to be over. Its pending never leaves
// Grafana unless somebody makes it.
var grafanaStates = map[string]State{
	"alerting": Firing, "no_data": Firing, "pending": Firing, "unknown": Firing, "paused": Acknowledged, "ok": Resolved,
}

func isGrafana(doc object) bool {
	if isLegacyGrafana(doc) {
		return true
	}
	return doc.holdsList("alerts") && (doc.hasAny("orgId", "title", "state", "message") || len(doc.list("alerts")) > 0 &&
		doc.list("alerts")[0].hasAny("dashboardURL", "panelURL", "silenceURL", "valueString"))
}

func isLegacyGrafana(doc object) bool {
	return doc.hasAny("evalMatches", "ruleName", "ruleId", "ruleUrl") && !doc.has("alerts")
}

// readGrafana reads the bodies of legacy alerting (up to Grafana 10) and those of
// unified alerting, which are Alertmanager's with members of its own:
// https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/.
func readGrafana(doc object) []draft {
	if !isLegacyGrafana(doc) {
		return readAlertmanager(doc)
	}
	word := word(doc.word("state"))
	d := draft{
		state: doc.state("state", grafanaStates), title: doc.firstText("ruleName", "title"), description: doc.text("message"),
		url: doc.firstText("ruleUrl"), labels: doc.grafanaTags("tags"),
	}
	d.severity = firstOf(d.labels["severity"], d.labels["priority"])
	rule := doc.firstWord("ruleId", "ruleName", "title")
	if rule == "" {
		doc.fail("ruleId", "is missing, and so are /ruleName and /title; one of them must tell the rule")
	}
	// Not the tags of what matches: a rule that is fine again has no matches.
	d.identity = []string{doc.firstWord("orgId"), rule}
	d.identity = append(d.identity, pairs(d.labels)...)
	if word != "alerting" && word != "ok" {
		d.label("state", word)
	}
	matches := doc.objects("evalMatches")
	d.readMatches(matches)
	return []draft{d}
}

// readMatches takes the tags that all matches have as labels, and lists the values.
func (d *draft) readMatches(matches []object) {
	var lines []string
	common := map[string]string{}
	for i, m := range matches {
		tags := m.grafanaTags("tags")
		for name, value := range common {
			if tags[name] != value {
				delete(common, name)
			}
		}
		if i == 0 {
			common = tags
		}
		if i < 20 {
			lines = append(lines, strings.TrimSpace(m.word("metric")+" = "+m.word("value")))
		}
	}
	if len(matches) > len(lines) {
		lines = append(lines, "and "+count(len(matches)-len(lines))+" more")
	}
	for _, name := range sortedNames(common) {
		d.label(name, common[name])
	}
	d.description = joinNonEmpty("\n", append([]string{d.description}, lines...)...)
	for _, name := range []string{"instance", "host", "hostname", "node", "server", "service", "job"} {
		d.system = firstOf(d.system, d.labels[name])
	}
}

// grafanaTags are an object; Grafana writes an empty one as null or as a list.
func (o object) grafanaTags(name string) map[string]string {
	if elements, is := o.members()[name].([]any); is && len(elements) == 0 {
		return map[string]string{}
	}
	return o.labels(name)
}
