package console

import (
	"net/http"
	"net/url"
	"slices"
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
	return slices.ContainsFunc(tabs, func(t tab) bool { return t.Name == name })
}

// step is one thing that a newcomer does, and whether it is done already.
type step struct {
	Title    string
	Text     string
	Commands []string
	Done     bool
	Unknown  string // why it cannot be told whether it is done
}

// look is a list of the API, narrowed by a query.
type look struct{ path, query string }

// finds reports whether a list has something in it.
func (v *visit) finds(l look) (bool, error) {
	query, err := url.ParseQuery(l.query)
	if err != nil {
		return false, err
	}
	query.Set("limit", "1")
	var page struct {
		Items []struct{} `json:"items"`
	}
	err = v.api.get(v.Context(), l.path, query, &page)
	return len(page.Items) > 0, err
}

// firstRun says what to do on a system in which nothing is yet. Each step is
// looked for in the record.
func (c *Console) firstRun(v *visit) (view, error) {
	api := "http://" + v.Host
	if v.TLS != nil {
		api = "https://" + v.Host
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
		{Title: "Deal with an incident", Text: "What is wrong becomes an incident. Open one and acknowledge it: the ladder stops, and nobody else is paged."},
		{Title: "Ask for something that needs approval", Text: "For example, let an agent triage an incident: open it and choose so. Nothing happens before other people approve exactly that.",
			Commands: []string{`curl -X POST -H "Authorization: Bearer $TOKEN" "` + api + `/incidents/export?format=csv"`}},
		{Title: "Let somebody else decide", Text: "Whoever asks never counts. Sign in as another person, open Approvals, read the action, approve or reject."},
	}
	// A step is done when one of its looks finds something.
	for i, looks := range [][]look{
		{{"/incidents", "origin=demo"}},
		{{"/incidents", "origin=live"}, {"/transactions", ""}, {"/events", ""}},
		{{"/incidents", "status=acknowledged"}, {"/incidents", "status=resolved"}, {"/incidents", "status=closed"}},
		{{"/approval/", ""}},
		{{"/approval/", "status=consumed"}, {"/approval/", "status=approved"}, {"/approval/", "status=rejected"}},
	} {
		for _, l := range looks {
			found, err := v.finds(l)
			if err != nil {
				steps[i].Unknown = c.problemOf(v.Context(), err, v.api.requestID).Detail
			}
			if steps[i].Done = found; found {
				break
			}
		}
	}
	return view{Template: "first-run", Title: "First steps", Tab: "overview", Data: steps}, nil
}
