package console

import (
	"net/http"
	"net/url"
	"strings"
)

func (c *Console) registerOverview() {
	c.get("/", c.overview)
	c.get("/console/", c.overview)
	c.get("/console/first-run", c.firstRun)
	c.gets = append(c.gets, "/console", "/console/tabs", "/open/approval/{id}", "/open/incident/{id}")
	c.mux.HandleFunc("GET /console/tabs", c.part("tabs"))
	for from, to := range map[string]string{"/open/approval/{id}": "/console/approvals/", "/open/incident/{id}": "/console/incidents/"} {
		c.mux.HandleFunc("GET "+from, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, to+url.PathEscape(r.PathValue("id")), http.StatusSeeOther)
		})
	}
	c.mux.HandleFunc("GET /console", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/console/", http.StatusSeeOther)
	})
}

// overview is what the visitor sees first: what waits for him, and what happened
// last.
type overview struct {
	Tasks     taskPage
	Counts    taskCounts
	Entries   []logged // nil: the visitor may not read the log
	Approvals []approval
	Incidents []incident
	ReadsLog  bool
}

const onOverview = "12" // lines of a list on the overview

func (c *Console) overview(v *visit) (view, error) {
	var o overview
	ctx := v.Context()
	var incidents incidentPage
	if err := v.api.get(ctx, "/incidents", url.Values{"limit": {onOverview}}, &incidents); err != nil {
		return view{}, err
	}
	var approvals approvalPage
	if err := v.api.get(ctx, "/approval/", url.Values{"limit": {onOverview}}, &approvals); err != nil {
		return view{}, err
	}
	if o.Incidents, o.Approvals = incidents.Items, approvals.Items; len(o.Incidents)+len(o.Approvals) == 0 {
		return c.firstRun(v)
	}
	if err := v.api.get(ctx, "/tasks", url.Values{"limit": {onOverview}}, &o.Tasks); err != nil {
		return view{}, err
	}
	if err := v.api.get(ctx, "/tasks/count", nil, &o.Counts); err != nil {
		return view{}, err
	}
	if o.ReadsLog = v.May("audit.read"); o.ReadsLog {
		var log logPage
		if err := v.api.get(ctx, "/audit", url.Values{"limit": {onOverview}}, &log); err != nil {
			return view{}, err
		}
		o.Entries = log.Items
	}
	return view{Template: "overview", Title: "Overview", Tab: "overview", Data: o}, nil
}

// Href is the page of what a task is about; empty when it has none.
func (t task) Href() string {
	for _, known := range []struct{ api, page, tab string }{
		{"/approval/", "/console/approvals/", "approvals"}, {"/incidents/", "/console/incidents/", "incidents"},
		{"/agent/ops/actions/", "/console/actions/", "actions"}, {"/exports/", "/console/exports/", "exports"},
	} {
		if id, is := strings.CutPrefix(t.Path, known.api); is && id != "" && hasTab(known.tab) {
			return known.page + url.PathEscape(id)
		}
	}
	return ""
}

func hasTab(name string) bool {
	for _, t := range tabs {
		if t.Name == name {
			return true
		}
	}
	return false
}

// step is one thing that a newcomer does, and whether it is done already.
type step struct {
	Title    string
	Text     string
	Commands []string
	Done     bool
	Unknown  string // why it cannot be told whether it is done
}

// firstRun says what to do on a system in which nothing is yet. Each step is
// looked for in the record.
func (c *Console) firstRun(v *visit) (view, error) {
	api := "http://" + v.Host
	if v.TLS != nil {
		api = "https://" + v.Host
	}
	ctx := v.Context()
	one := url.Values{"limit": {"1"}}
	any := func(path string, query url.Values) (bool, string) {
		var page struct {
			Items []struct{} `json:"items"`
		}
		if err := v.api.get(ctx, path, query, &page); err != nil {
			return false, c.problemOf(ctx, err, v.api.requestID).Detail
		}
		return len(page.Items) > 0, ""
	}
	steps := []step{
		{Title: "See the whole story", Text: "The demonstration imports real files, opens incidents, lets an agent plan, gates an export, attacks the record and verifies it offline. Its rows are labelled demo.",
			Commands: []string{"./bin/finobs demo"}},
		{Title: "Or take your own data in", Text: "Files of trades, fails and FIX logs are imported; gateways and monitors send what they see.",
			Commands: []string{
				"./bin/finobs import fails samples/sec_fails_slice.txt",
				"./bin/finobs import fix YOUR.log",
				`curl -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" -d '{"system": "gw-1", "status": "down"}' ` + api + "/ingest/heartbeat",
			}},
		{Title: "Look at an incident", Text: "What is wrong becomes an incident; somebody says that he deals with it."},
		{Title: "Ask for something that needs approval", Text: "For example, let an agent triage an incident: open it and choose so. Nothing happens before other people approve exactly that.",
			Commands: []string{`curl -X POST -H "Authorization: Bearer $TOKEN" "` + api + `/incidents/export?format=csv"`}},
		{Title: "Let somebody else decide", Text: "Whoever asks never counts. Sign in as another person, open Approvals, read the action, approve or reject."},
	}
	steps[0].Done, steps[0].Unknown = any("/incidents", url.Values{"limit": {"1"}, "origin": {"demo"}})
	steps[1].Done, steps[1].Unknown = any("/transactions", one)
	if !steps[1].Done {
		steps[1].Done, steps[1].Unknown = any("/events", one)
	}
	steps[2].Done, steps[2].Unknown = any("/incidents", one)
	steps[3].Done, steps[3].Unknown = any("/approval/", one)
	for _, status := range []string{"consumed", "approved", "rejected"} {
		if !steps[4].Done && steps[4].Unknown == "" {
			steps[4].Done, steps[4].Unknown = any("/approval/", url.Values{"limit": {"1"}, "status": {status}})
		}
	}
	return view{Template: "first-run", Title: "First steps", Tab: "overview", Data: steps}, nil
}
