package alert

import "time"

// pingdomStates are those of checks: uptime, and transactions (SUCCESS, FAILING).
// A check that is paused is not looked at any more, so it is not known to be over.
var pingdomStates = map[string]State{
	"down": Firing, "unconfirmed_down": Firing, "failing": Firing, "unknown": Firing, "nodata": Firing, "no_data": Firing,
	"paused": Acknowledged, "up": Resolved, "success": Resolved,
}

func isPingdom(doc object) bool {
	return doc.hasAny("check_id", "check_name") && doc.has("current_state")
}

// readPingdom reads https://www.pingdom.com/resources/webhooks/.
func readPingdom(doc object) []draft {
	parameters := doc.object("check_params")
	d := draft{
		state: doc.state("current_state", pingdomStates), severity: doc.text("importance_level"), title: doc.text("check_name"),
		description: firstOf(doc.text("long_description"), doc.text("description")), system: parameters.firstText("hostname", "url"),
		url: parameters.text("full_url"), labels: map[string]string{},
		at: firstTime(doc.epoch("state_changed_timestamp", time.Second), doc.time("state_changed_utc_time")),
	}
	check := doc.firstWord("check_id", "check_name")
	d.identity = []string{check}
	if d.title == "" {
		d.title = doc.text("description")
	}
	d.times()
	d.label("check_id", check)
	d.label("check_type", doc.text("check_type"))
	d.label("state", doc.word("current_state"))
	for _, tag := range doc.list("tags") {
		text, is := tag.value.(string)
		if !is {
			tag.first.fail(tag.at, "is %s; expected is a text", describe(tag.value))
		}
		if text != "" {
			d.labels["tag:"+text] = ""
		}
	}
	return []draft{d}
}
