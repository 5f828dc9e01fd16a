package console

import (
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// functions are what templates can call beside html/template's own. None of them
// makes text safe: escaping is html/template's alone.
func (c *Console) functions() template.FuncMap {
	return template.FuncMap{
		"asset":    c.files.path,
		"clock":    c.Now,
		"stamp":    stamp,
		"rfc":      func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"distance": func(t time.Time) string { return distance(c.Now(), t) },
		"past":     func(t time.Time) bool { return c.Now().After(t) },
		"soon":     func(t time.Time) bool { return !c.Now().After(t) && t.Sub(c.Now()) < soonWithin },
		"words":    func(s string) string { return strings.NewReplacer("_", " ", ".", " ").Replace(s) },
		"short":    short,
		"name":     func(p *person) string { return p.name() },
		"pairs":    pairs,
		"members":  members,
		"join":     strings.Join,
		"workflow": c.workflowURL,
		"segment":  url.PathEscape,
		"list":     func(items ...any) []any { return items },
		"dict":     dict,
		"percent":  percent,
		"lasting":  lasting,
	}
}

const soonWithin = 15 * time.Minute

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") + " UTC" }

// distance says how far a moment is from now, in the two largest units.
func distance(now, t time.Time) string {
	d := t.Sub(now).Round(time.Second)
	form := "in %s"
	if d < 0 {
		d, form = -d, "%s ago"
	}
	if d < time.Second {
		return "now"
	}
	units := []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}}
	for i, u := range units {
		if d < u.size {
			continue
		}
		text := fmt.Sprintf("%d %s", d/u.size, u.name)
		if rest := d % u.size; i+1 < len(units) && i < 2 && rest >= units[i+1].size {
			text += fmt.Sprintf(" %d %s", rest/units[i+1].size, units[i+1].name)
		}
		return fmt.Sprintf(form, text)
	}
	return "now"
}

// short is the beginning of a digest.
func short(digest string) string {
	digest = strings.TrimPrefix(digest, "sha256:")
	if len(digest) > 12 {
		return digest[:12] + "…"
	}
	return digest
}

// pair is a name and a value.
type pair struct{ Name, Value string }

// pairs are the members of a map, by name.
func pairs(m map[string]string) []pair {
	out := make([]pair, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		out = append(out, pair{name, m[name]})
	}
	return out
}

// members are the members of a JSON object as text, by name; none when it is no
// object.
func members(text json.RawMessage) []pair {
	var m map[string]json.RawMessage
	if json.Unmarshal(text, &m) != nil {
		return nil
	}
	out := make([]pair, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		value := string(m[name])
		if value == "null" || value == `""` {
			continue
		}
		var s string
		if json.Unmarshal(m[name], &s) == nil {
			value = s
		}
		out = append(out, pair{name, value})
	}
	return out
}

// workflowURL is where the Temporal Web UI shows a workflow; empty without a Web
// UI or a workflow.
func (c *Console) workflowURL(id string) string {
	base, err := url.Parse(c.TemporalUI)
	if id == "" || err != nil || base.Scheme != "https" && base.Scheme != "http" {
		return ""
	}
	return strings.TrimSuffix(base.String(), "/") + "/namespaces/" + url.PathEscape(c.Namespace) + "/workflows/" + url.PathEscape(id)
}

// dict makes a map of names and values in turn, for templates with several
// arguments.
func dict(items ...any) (map[string]any, error) {
	if len(items)%2 != 0 {
		return nil, fmt.Errorf("dict needs names and values, not %d items", len(items))
	}
	out := map[string]any{}
	for i := 0; i < len(items); i += 2 {
		name, ok := items[i].(string)
		if !ok {
			return nil, fmt.Errorf("item %d of dict is no name", i)
		}
		out[name] = items[i+1]
	}
	return out, nil
}
