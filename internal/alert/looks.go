package alert

import "strings"

// looksLike says what a body that is not of the kind it was sent as looks like,
// "" when like nothing that is known.
func looksLike(doc object) string {
	for _, f := range formats() {
		if f.is(document(doc.value)) {
			return "one of kind " + string(f.kind) + "; send it to a source of that kind"
		}
	}
	doc = document(doc.value)
	result := doc.object("result")
	if elements, is := doc.members()["result"].([]any); is && len(elements) > 0 {
		result = document(elements[0])
	}
	switch {
	case result.hasAny("sys_id", "sys_class_name"):
		return "an answer of ServiceNow's API, which is no alert"
	case doc.has("zen") && doc.has("hook_id"), doc.has("repository") && doc.has("sender"):
		return "a webhook of GitHub, which is no alert"
	case strings.HasPrefix(doc.quiet("type"), "url_verification"):
		return "a webhook of Slack, which is no alert"
	}
	return ""
}

// quiet is text without a fault for another type: for telling bodies.
func (o object) quiet(name string) string {
	text, _ := o.members()[name].(string)
	return text
}
