package alert

import (
	"strings"
	"time"
)

// newRelicStates are current_state of legacy notification channels.
var newRelicStates = map[string]State{"open": Firing, "opened": Firing, "acknowledged": Acknowledged, "closed": Resolved}

// issueStates are those of issues, in workflows.
var issueStates = map[string]State{
	"created": Firing, "activated": Firing, "open": Firing, "acknowledged": Acknowledged, "closed": Resolved, "deactivated": Resolved, "resolved": Resolved,
}

func isNewRelic(doc object) bool {
	if doc.hasAny("current_state") {
		return doc.hasAny("condition_name", "condition_id", "policy_name", "incident_id", "account_id") && !doc.has("check_id")
	}
	_, known := issueStates[word(doc.quiet("state"))]
	return known && doc.hasAny("issueId", "issue_id", "issueUrl", "issue_url", "alertPolicyNames", "alertConditionNames", "workflowName", "impactedEntities", "totalIncidents")
}

// readNewRelic reads the bodies of legacy notification channels, and those of
// workflows in their default template:
// https://docs.newrelic.com/docs/alerts/get-notified/notification-integrations/#webhook.
// The message of a test button gives no alert.
func readNewRelic(doc object) []draft {
	if !doc.has("current_state") {
		return []draft{readIssue(doc)}
	}
	if word(doc.text("current_state")) == "test" {
		return []draft{}
	}
	d := draft{
		state: doc.state("current_state", newRelicStates), severity: doc.text("severity"), title: doc.firstText("condition_name", "policy_name"),
		description: doc.text("details"), url: doc.firstText("incident_url", "violation_callback_url", "policy_url"),
		at: doc.epoch("timestamp", time.Millisecond), labels: map[string]string{},
	}
	incident := doc.word("incident_id")
	d.identity = []string{doc.word("account_id"), "incident", incident}
	var targets []string
	for _, t := range doc.objects("targets") {
		targets = append(targets, firstOf(t.word("id"), t.text("name")))
		d.system = firstOf(d.system, t.text("name"))
		labels := t.labels("labels")
		for _, name := range sortedNames(labels) {
			d.label(name, labels[name])
		}
		d.label("product", t.text("product"))
		d.label("type", t.text("type"))
	}
	if incident == "" {
		d.identity = append([]string{doc.word("account_id"), "condition", doc.firstWord("condition_id", "condition_name")}, targets...)
	}
	for _, name := range []string{"account_name", "policy_name", "condition_name", "owner", "runbook_url"} {
		d.label(name, doc.text(name))
	}
	if d.state == Resolved {
		d.endsAt = d.at
	}
	return []draft{d}
}

func readIssue(doc object) draft {
	d := draft{
		state: doc.state("state", issueStates), severity: doc.firstWord("priority", "severity"), title: doc.firstOfTexts("title", "issueTitle", "issue_title"),
		url: doc.firstText("issueUrl", "issue_url", "issuePageUrl"), labels: map[string]string{},
		startsAt: firstTime(doc.epoch("activatedAt", time.Millisecond), doc.epoch("createdAt", time.Millisecond)),
		at:       firstTime(doc.epoch("updatedAt", time.Millisecond), doc.epoch("closedAt", time.Millisecond), doc.epoch("timestamp", time.Millisecond)),
	}
	issue := doc.firstWord("issueId", "issue_id", "id")
	if issue == "" {
		doc.fail("issueId", "is missing, and so are /issue_id and /id; one of them must tell the issue")
	}
	d.identity = []string{issue}
	// A workflow says by its trigger that somebody took the issue on; the issue
	// stays activated.
	if d.state == Firing && strings.Contains(word(doc.text("trigger")), "acknowledged") {
		d.state = Acknowledged
	}
	if d.state == Resolved {
		d.endsAt = firstTime(doc.epoch("closedAt", time.Millisecond), d.at)
	}
	d.description = doc.firstOfTexts("description", "details", "conditionDescription")
	d.system = doc.firstOfTexts("impactedEntities", "entitiesName", "entityName")
	d.label("policy", doc.firstOfTexts("alertPolicyNames", "policyName"))
	d.label("condition", doc.firstOfTexts("alertConditionNames", "conditionName"))
	d.label("workflow", doc.text("workflowName"))
	d.label("incidents", doc.word("totalIncidents"))
	d.label("trigger", doc.text("trigger"))
	return d
}

// firstOfTexts is the first member that says something; of a list, its first
// text.
func (o object) firstOfTexts(names ...string) string {
	for _, name := range names {
		if !o.holdsList(name) {
			if text := o.text(name); text != "" {
				return text
			}
			continue
		}
		for _, e := range o.list(name) {
			text, is := e.value.(string)
			if !is && e.value != nil {
				e.first.fail(e.at, "is %s; expected is a text", describe(e.value))
			}
			if text != "" {
				return text
			}
		}
	}
	return ""
}
