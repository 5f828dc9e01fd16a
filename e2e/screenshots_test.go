package e2e_test

import (
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestScreenshots makes the pictures of the docs: on a desktop and a phone, light and
// dark. make screenshots runs it.
func TestScreenshots(t *testing.T) {
	if os.Getenv("FINOBS_SCREENSHOTS") == "" {
		t.Skip("make screenshots makes the pictures")
	}
	c := chromium(t)
	d := newDesk(t)
	fresh := d.at(t, c, "carol", desktop, coloured("light"))
	fresh.photograph("first-run")
	request, incident, export := pictured(t, d)
	pages := map[string]string{
		"overview": "/console/", "approvals": "/console/approvals", "approval": request, "incident": incident, "export": export,
		"audit": "/console/audit", "systems": "/console/systems", "metrics": "/console/metrics",
	}
	for _, look := range []struct {
		name   string
		size   viewport
		scheme string
		pages  []string
	}{
		{"light", desktop, "light", slices.Sorted(maps.Keys(pages))}, {"dark", desktop, "dark", []string{"approval", "metrics"}},
		{"phone-light", phone, "light", []string{"approval"}}, {"phone-dark", phone, "dark", []string{"approvals"}},
	} {
		b := d.at(t, c, "carol", look.size, coloured(look.scheme))
		for _, name := range look.pages {
			b.open(pages[name])
			b.sees("#link", "live")
			b.photograph(name + "-" + look.name)
		}
	}
}

// pictured fills the desk: an incident that an agent looked at, a plan that waits for
// approval, exports, and requests.
func pictured(t *testing.T, d *deskStack) (request, incident, export string) {
	t.Helper()
	i := d.incident(t, "failed_settlement", "high", "Settlement S-1001 failed", "82,000 shares of AAPL to GALE; the CSD says SETR")
	d.incident(t, "system_outage", "critical", "Gateway G-1 is down", "no heartbeat for 40 s")
	d.incident(t, "trade_break", "medium", "EXEC-000020 differs in its price", "ours 101.25, the broker's 101.52")
	d.runs(t, "/agent/triage", `{"incident_id":`+i.id+`,"reason":"what is it?"}`)
	run := d.runs(t, "/agent/remediate", `{"incident_id":`+i.id+`,"targets":["settlement:S-1001"],"reason":"it failed again"}`)
	plan := d.plans(t, run, 1)[0]
	d.pending(t, plan)
	e := d.ask(t)
	if r := e.decide(t, "bob", "approve"); r.Status/100 != 2 {
		t.Fatal(r)
	}
	e.delivered(t)
	exports := d.call(t, "alice", "GET", "/exports/?limit=1", "")
	export = "/console/exports/" + strings.Split(strings.SplitN(string(exports.Body), `"export_id":`, 2)[1], ",")[0]
	for range 3 {
		d.askPlain(t)
	}
	d.ask(t)
	return "/console/approvals/" + strconv.FormatInt(plan, 10), "/console/incidents/" + i.id, export
}
