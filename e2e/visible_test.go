package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// What belongs to one desk is not there for viewers and traders of another: no
// list, no detail, no part of one, and nothing that they could do to it.
func TestAnotherDesksThingsAreNotThere(t *testing.T) {
	name := fmt.Sprintf("desk%d", unique.Add(1))
	token := func(who, desk, role string) string { return world.tokenOf(t, somebody(who, desk, role)) }
	at := func(token, method, path, body string) reply {
		return callURL(t, token, method, "http://"+world.APIAddress+path, body)
	}
	fiona := token("fiona", "FX", "analyst")
	opened := func(token, title string) string {
		want(t, at(token, "POST", "/incidents", `{"kind":"other","severity":"low","title":"`+title+`","dedup_key":"`+title+`"}`), http.StatusCreated)
		return text(t, world, "SELECT incident_id FROM finobs.incident WHERE title = $1", title)
	}
	frank, tim := token("frank", "FX", "trader"), token("tim", "EQ", "trader")
	incident := opened(frank, name)
	request := want(t, at(fiona, "POST", "/incidents/export?format=ndjson&desk="+name, ""), http.StatusAccepted).str("approval_request_id")
	eventually(t, "the request is recorded", func() bool { return at(fiona, "GET", "/approval/"+request, "").Status == http.StatusOK })

	details := []string{"/incidents/" + incident, "/approval/" + request}
	for _, part := range []string{"history", "timeline", "occurrences"} {
		details = append(details, "/incidents/"+incident+"/"+part)
	}
	for _, part := range []string{"history", "receipt", "progress"} {
		details = append(details, "/approval/"+request+"/"+part)
	}
	lists := map[string]string{"/incidents?limit=100": `"incident_id":` + incident + ",", "/approval/?limit=100": `"approval_request_id":` + request + ","}
	for _, c := range []struct {
		desk, role string
		sees       bool
	}{{"FX", "viewer", true}, {"FX", "trader", true}, {"EQ", "analyst", true}, {"", "auditor", true}, {"EQ", "viewer", false}, {"EQ", "trader", false}, {"", "viewer", false}, {"EQ", "service", false}} {
		who := token("looks-"+c.role, c.desk, c.role)
		status := map[bool]int{true: 200, false: 404}[c.sees]
		for _, path := range details {
			if r := at(who, "GET", path, ""); r.Status != status {
				t.Errorf("%s of desk %q: GET %s answers %d %s", c.role, c.desk, path, r.Status, r.Body)
			}
		}
		for path, item := range lists {
			if r := at(who, "GET", path, ""); r.Status != 200 || strings.Contains(string(r.Body), item) != c.sees {
				t.Errorf("%s of desk %q: %s shows it: %v", c.role, c.desk, path, !c.sees)
			}
		}
	}
	// The answer is the one about what does not exist.
	absent := func(token, path, id string) string {
		return strings.ReplaceAll(at(token, "GET", path+id, "").str("detail"), id, "N")
	}
	if a, b := absent(tim, "/incidents/", incident), absent(tim, "/incidents/", "999999999"); a != b {
		t.Errorf("%q is told from %q", a, b)
	}
	if a, b := absent(tim, "/approval/", request), absent(tim, "/approval/", "999999999"); a != b {
		t.Errorf("%q is told from %q", a, b)
	}
	mine := opened(tim, "mine-"+name)
	if r := at(tim, "POST", "/incidents", `{"kind":"other","severity":"low","title":"x","dedup_key":"`+name+`"}`); r.Status != http.StatusOK || strings.Contains(string(r.Body), name) || !strings.Contains(string(r.Body), "another desk") {
		t.Errorf("opening what another desk has answers %d %s", r.Status, r.Body)
	}
	for path, body := range map[string]string{
		"/incidents/" + incident + "/acknowledge": "", "/incidents/" + incident + "/comment": `{"text":"x"}`, "/incidents/" + mine + "/merge": `{"into":` + incident + `,"reason":"x"}`,
		"/incidents/" + mine + "/parent": `{"parent_id":` + incident + `}`, "/approval/" + request + "/comment": `{"text":"x"}`, "/approval/" + request + "/escalate": `{"reason":"x"}`,
		"/agent/triage": `{"incident_id":` + incident + `}`,
		"/approval/":    `{"kind":"test.plain","targets":[{"kind":"incident","id":"` + incident + `"}]}`,
	} {
		if r := at(tim, "POST", path, body); r.Status != http.StatusNotFound {
			t.Errorf("POST %s answers %d %s", path, r.Status, r.Body)
		}
	}
	bulk := want(t, at(tim, "POST", "/incidents/bulk", `{"act":"acknowledge","ids":[`+incident+`]}`), http.StatusOK)
	if !strings.Contains(string(bulk.Body), `"status":404`) {
		t.Errorf("the bulk call answers %s", bulk.Body)
	}
	if got := at(fiona, "GET", "/incidents/"+incident, "").str("status"); got != "open" {
		t.Errorf("the incident is %s", got)
	}
	for who, wanted := range map[string]bool{frank: true, tim: false} {
		if got := strings.Contains(string(at(who, "GET", "/tasks?limit=500", "").Body), `"/incidents/`+incident+`"`); got != wanted {
			t.Errorf("that it is a task of a trader is %v, not %v", got, wanted)
		}
	}
	if got := at(fiona, "GET", "/approval/"+request, "").str("status"); got != "pending" {
		t.Errorf("the request is %s", got)
	}
}
