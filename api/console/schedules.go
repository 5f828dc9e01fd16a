package console

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

func (c *Console) registerSchedules() {
	c.get("/console/schedules", c.schedules)
	c.form("/console/schedules", "new", c.schedules, c.askSchedule)
	c.form("/console/schedules", "preview", c.schedules, c.previewSchedule("new"))
	const one = "/console/schedules/{id}"
	c.get(one, c.schedule)
	c.form(one, "change", c.schedule, c.changeSchedule)
	c.form(one, "preview", c.schedule, c.previewSchedule("change"))
	for _, verb := range []string{"pause", "resume", "trigger"} {
		c.form(one, verb, c.schedule, c.scheduleAct(verb))
	}
	c.form(one, "end", c.schedule, c.endSchedule)
	c.form(one, "backfill", c.schedule, c.backfill)
}

type schedulesPage struct {
	Items        []schedule
	More         string
	Destinations []destination
	Datasets     []string
	Next         []dueRun // of the expression that stands in the form
}

func (c *Console) schedules(v *visit) (view, error) {
	query := v.asked("name", "state", "dataset", "before")
	query.Set("limit", onPage)
	var page schedulePage
	if err := v.api.get(v.Context(), "/export-schedules", query, &page); err != nil {
		return view{}, err
	}
	out := schedulesPage{Items: page.Items, Datasets: datasets}
	if page.NextBefore != 0 {
		out.More = v.more("before", strconv.FormatInt(page.NextBefore, 10))
	}
	out.Destinations = v.destinations()
	return view{Template: "schedules", Title: "Schedules", Tab: "schedules", Data: out}, nil
}

type scheduleDetail struct {
	schedule
	History      []entry
	Destinations []destination
	Datasets     []string
	Next         []dueRun // of the expression that stands in the form
}

func (c *Console) schedule(v *visit) (view, error) {
	ctx := v.Context()
	path := "/export-schedules/" + url.PathEscape(v.PathValue("id"))
	var out scheduleDetail
	if err := v.api.get(ctx, path, nil, &out.schedule); err != nil {
		return view{}, err
	}
	var h history
	if err := v.api.get(ctx, path+"/history", nil, &h); err != nil {
		return view{}, err
	}
	out.History, out.Datasets, out.Destinations = h.Entries, datasets, v.destinations()
	return view{Template: "schedule", Title: "Schedule " + out.Name, Tab: "schedules", Data: out}, nil
}

// scheduleFields are the fields of the form of a schedule, as the API takes them.
func (v *visit) scheduleFields() (map[string]any, error) {
	filters, err := v.filters("filters")
	if err != nil {
		return nil, err
	}
	body := map[string]any{"filters": filters, "renew": v.text("renew") == "yes"}
	for _, name := range []string{"name", "dataset", "format", "compression", "cron", "zone", "window", "overlap", "catch_up", "max_lateness"} {
		if text := v.text(name); text != "" {
			body[name] = text
		}
	}
	if to := v.text("destination"); to != "" {
		body["destination"] = to
	}
	if text := v.text("text"); text != "" {
		body["reason"] = text
	}
	if text := v.text("expires_at"); text != "" {
		until, err := time.Parse(formTime, text)
		if err != nil {
			return nil, formError("say when the grant ends, in UTC, such as " + formTime)
		}
		body["expires_at"] = until.UTC()
	}
	return body, nil
}

func (c *Console) askSchedule(v *visit) (next, error) {
	return v.grant(http.MethodPost, "/export-schedules")
}

func (c *Console) changeSchedule(v *visit) (next, error) {
	return v.grant(http.MethodPatch, "/export-schedules/"+url.PathEscape(v.PathValue("id")))
}

// grant asks for a schedule, or for a change of one, and goes to the request; or to
// the schedule, when it is as it was asked for.
func (v *visit) grant(method, path string) (next, error) {
	body, err := v.scheduleFields()
	if err != nil {
		return next{}, err
	}
	var got scheduled
	if _, err := v.api.call(v.Context(), method, path, body, &got); err != nil {
		return next{}, err
	}
	if got.Schedule != nil {
		return next{path: "/console/schedules/" + strconv.FormatInt(got.Schedule.ID, 10), done: "granted"}, nil
	}
	return next{path: "/console/approvals/" + strconv.FormatInt(got.ApprovalID, 10), done: "asked"}, nil
}

// previewSchedule shows when the expression of a form falls due; what stands in the
// form stays.
func (c *Console) previewSchedule(form string) doer {
	return func(v *visit) (next, error) {
		var got preview
		if _, err := v.api.post(v.Context(), "/export-schedules/preview", map[string]any{"cron": v.text("cron"), "zone": v.text("zone")}, &got); err != nil {
			return next{}, err
		}
		v.failed = &failure{Form: form, Values: v.PostForm}
		read := c.schedules
		if form == "change" {
			read = c.schedule
		}
		made, err := read(v)
		if err != nil {
			return next{}, err
		}
		switch data := made.Data.(type) {
		case schedulesPage:
			data.Next = got.NextRuns
			made.Data = data
		case scheduleDetail:
			data.Next = got.NextRuns
			made.Data = data
		}
		return next{view: &made}, nil
	}
}

func (c *Console) scheduleAct(verb string) doer {
	return func(v *visit) (next, error) {
		path := "/export-schedules/" + url.PathEscape(v.PathValue("id")) + "/" + verb
		body := map[string]any{"reason": v.text("text")}
		if verb != "trigger" {
			return v.send(path, body, "recorded")
		}
		return v.order(path, body)
	}
}

func (c *Console) endSchedule(v *visit) (next, error) {
	_, err := v.api.call(v.Context(), http.MethodDelete, "/export-schedules/"+url.PathEscape(v.PathValue("id")), map[string]any{"reason": v.text("text")}, nil)
	return next{done: "recorded"}, err
}

func (c *Console) backfill(v *visit) (next, error) {
	body := map[string]any{"reason": v.text("text")}
	for _, name := range []string{"from", "to"} {
		at, err := time.Parse(formTime, v.text(name))
		if err != nil {
			return next{}, formError("say from when until when, in UTC, such as " + formTime)
		}
		body[name] = at.UTC()
	}
	return v.order("/export-schedules/"+url.PathEscape(v.PathValue("id"))+"/backfill", body)
}

// order has slots carried out; it says so only if one was begun.
func (v *visit) order(path string, body any) (next, error) {
	var got ordered
	if _, err := v.api.post(v.Context(), path, body, &got); err != nil {
		return next{}, err
	}
	for _, o := range got.Items {
		if o.Started {
			return next{done: "ordered"}, nil
		}
	}
	why := "no slot of that time is left to carry out"
	if len(got.Items) > 0 && got.Items[0].Detail != "" {
		why = got.Items[0].Detail
	}
	return next{}, formError(why)
}

// Form is the schedule whose values stand in the form of a change.
func (s schedule) Form() *schedule { return &s }

// FilterLines are the filters as the form has them.
func (s *schedule) FilterLines() string {
	var b strings.Builder
	for _, p := range pairs(s.Filters) {
		b.WriteString(p.Name + "=" + p.Value + "\n")
	}
	return b.String()
}
