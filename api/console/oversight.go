package console

import (
	"net/url"
	"strconv"
)

// registerOversight registers the pages of those who look after finobs and over the
// others' shoulders. None of them has a form that changes anything.
func (c *Console) registerOversight() {
	c.get("/console/audit", c.audit)
	c.get("/console/audit/{id}", c.leaf)
	c.get("/console/systems", c.systems)
	c.get("/console/metrics", c.metrics)
}

type auditPage struct {
	Items  []logged
	More   string
	Status *logStatus // nil: not known
}

// audit searches the log.
func (c *Console) audit(v *visit) (view, error) {
	query := v.asked("subject_kind", "subject_id", "actor", "type", "outcome", "desk", "workflow", "trace", "is_simulation", "before", "after", "order")
	for field, name := range map[string]string{"from_day": "since", "to_day": "until"} {
		if day := v.Asked(field); day != "" {
			query.Set(name, day+"T00:00:00Z")
		}
	}
	query.Set("limit", onPage)
	var page logPage
	if err := v.api.get(v.Context(), "/audit", query, &page); err != nil {
		return view{}, err
	}
	out := auditPage{Items: page.Items}
	if page.Next >= 0 && len(page.Items) > 0 {
		cursor := "before"
		if v.Asked("order") == "oldest" {
			cursor = "after"
		}
		out.More = v.more(cursor, strconv.FormatInt(page.Next, 10))
	}
	if v.May("metrics.read") {
		var s logStatus
		if err := v.api.get(v.Context(), "/log/status", nil, &s); err == nil {
			out.Status = &s
		}
	}
	return view{Template: "audit", Title: "Audit", Tab: "audit", Data: out}, nil
}

// leafPage is an entry as it is hashed.
type leafPage struct {
	Index  string
	Leaf   string
	Signed bool // a checkpoint covers it, so there is a proof
}

func (c *Console) leaf(v *visit) (view, error) {
	index := url.PathEscape(v.PathValue("id"))
	leaf, err := v.api.text(v.Context(), "/audit/"+index+"/leaf")
	if err != nil {
		return view{}, err
	}
	_, err = v.api.text(v.Context(), "/audit/"+index+"/proof")
	return view{Template: "leaf", Title: "Entry " + index, Tab: "audit", Data: leafPage{index, leaf, err == nil}}, nil
}

// systemsPage is how finobs is doing, what is not well first.
type systemsPage struct {
	systems
	Counts map[string]int
}

func (c *Console) systems(v *visit) (view, error) {
	out := systemsPage{Counts: map[string]int{}}
	if err := v.api.get(v.Context(), "/systems", nil, &out.systems); err != nil {
		return view{}, err
	}
	for _, one := range out.Components {
		out.Counts[one.State]++
	}
	return view{Template: "systems", Title: "Systems", Tab: "systems", Data: out}, nil
}

// Took is how long the probe of a component took; empty when that is not measured.
func (c component) Took() string {
	if c.LatencyMS == nil {
		return ""
	}
	return strconv.FormatFloat(*c.LatencyMS, 'f', 1, 64) + " ms"
}
