package console

import (
	"encoding/json"
	"net/url"
	"strconv"
)

func (c *Console) registerIncidents() {
	c.get("/console/incidents", c.incidents)
	const one = "/console/incidents/{id}"
	c.get(one, c.incident)
	for _, verb := range []string{"acknowledge", "unacknowledge", "close"} {
		c.form(one, verb, c.incident, c.incidentAct(verb, "note"))
	}
	c.form(one, "resolve", c.incident, c.incidentAct("resolve", "resolution"))
	c.form(one, "reopen", c.incident, c.incidentAct("reopen", "reason"))
	c.form(one, "severity", c.incident, c.incidentAct("severity", "reason", "severity"))
	c.form(one, "priority", c.incident, c.incidentAct("priority", "reason", "priority"))
	c.form(one, "link", c.incident, c.incidentRelate("link", "transaction_id"))
	c.form(one, "parent", c.incident, c.incidentRelate("parent", "parent_id"))
	c.form(one, "merge", c.incident, c.incidentRelate("merge", "into"))
	c.form(one, "assign", c.incident, c.assignIncident)
	c.form(one, "comment", c.incident, c.commentIncident)
	c.form(one, "triage", c.incident, c.askAgent("triage"))
	c.form(one, "remediate", c.incident, c.askAgent("remediate"))
	c.form(one, "override", c.incident, c.override)
}

type incidentsPage struct {
	Items []incident
	More  string
}

// incidents lists them, the newest first.
func (c *Console) incidents(v *visit) (view, error) {
	query := v.asked("status", "severity", "kind", "desk", "origin", "system", "owner", "priority", "parent", "q", "before")
	if v.Asked("whose") == "assigned_to_me" {
		query.Set("assignee", v.Me())
	}
	if v.Asked("overdue") == "true" {
		query.Set("overdue", "true")
	}
	query.Set("limit", onPage)
	var page incidentPage
	if err := v.api.get(v.Context(), "/incidents", query, &page); err != nil {
		return view{}, err
	}
	out := incidentsPage{Items: page.Items}
	if page.NextBefore != 0 {
		out.More = v.more("before", strconv.FormatInt(page.NextBefore, 10))
	}
	return view{Template: "incidents", Title: "Incidents", Tab: "incidents", Data: out}, nil
}

// incidentDetail is an incident with what happened in it and what agents made of it.
type incidentDetail struct {
	incident
	Timeline timeline
	Earlier  string // address of the page of the timeline before this one
	Reports  occurrencePage
	Runs     []run
	Triage   *run // the newest run with a result, evidence and all
	Plans    []plan
	Children []incident
	Hidden   []*problem
	People   []user
}

func (c *Console) incident(v *visit) (view, error) {
	ctx := v.Context()
	id := url.PathEscape(v.PathValue("id"))
	var out incidentDetail
	if err := v.api.get(ctx, "/incidents/"+id, nil, &out.incident); err != nil {
		return view{}, err
	}
	number := strconv.FormatInt(out.ID, 10)
	moments := v.asked("before")
	moments.Set("limit", onPage)
	if err := v.api.get(ctx, "/incidents/"+id+"/timeline", moments, &out.Timeline); err != nil {
		return view{}, err
	}
	if out.Timeline.NextBefore != "" {
		out.Earlier = v.more("before", out.Timeline.NextBefore)
	}
	if err := v.api.get(ctx, "/incidents/"+id+"/occurrences", url.Values{"limit": {"20"}}, &out.Reports); err != nil {
		return view{}, err
	}
	var children incidentPage
	if err := v.api.get(ctx, "/incidents", url.Values{"parent": {number}, "limit": {onPage}}, &children); err != nil {
		return view{}, err
	}
	out.Children = children.Items
	c.agentsOf(v, number, &out)
	if out.Can("assign") {
		out.People = v.people()
	}
	return view{Template: "incident", Title: "Incident " + number, Tab: "incidents", Data: out}, nil
}

// agentsOf adds what agents did about an incident. What cannot be read is said on
// the page.
func (c *Console) agentsOf(v *visit, number string, out *incidentDetail) {
	ctx := v.Context()
	of := url.Values{"incident_id": {number}, "limit": {"20"}}
	var runs runPage
	var plans planPage
	for path, into := range map[string]any{"/agent/runs": &runs, "/agent/ops/actions": &plans} {
		if err := v.api.get(ctx, path, of, into); err != nil {
			out.Hidden = append(out.Hidden, c.problemOf(ctx, err, v.api.requestID))
		}
	}
	out.Runs, out.Plans = runs.Items, plans.Items
	for _, r := range out.Runs {
		if r.Result == nil {
			continue
		}
		var full run
		if err := v.api.get(ctx, "/agent/runs/"+strconv.FormatInt(r.ID, 10), nil, &full); err != nil {
			out.Hidden = append(out.Hidden, c.problemOf(ctx, err, v.api.requestID))
			return
		}
		out.Triage = &full
		return
	}
}

// Life is the id of the workflow that looks after the incident.
func (i incident) Life() string {
	if i.Status == "closed" {
		return ""
	}
	return "incident-life-" + strconv.FormatInt(i.ID, 10)
}

// told is what the data of a moment says of entries of the ledger, the most
// frequent kind.
type told struct {
	Type    string          `json:"type"`
	Outcome string          `json:"outcome"`
	Details json.RawMessage `json:"details"`
}

func (m moment) told() told {
	var t told
	if m.Kind != "entry" || json.Unmarshal(m.Data, &t) != nil {
		return told{}
	}
	return t
}

// What is the name of a moment.
func (m moment) What() string {
	if t := m.told(); t.Type != "" {
		return t.Type
	}
	return m.Kind
}

// Outcome is how it ended, of an entry of the ledger.
func (m moment) Outcome() string { return m.told().Outcome }

// Facts are what else is known of it.
func (m moment) Facts() []pair {
	if m.Kind == "entry" {
		return members(m.told().Details)
	}
	return members(m.Data)
}
