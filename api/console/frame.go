package console

import (
	"embed"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// tab is an entry of the navigation.
type tab struct {
	Name, Path, Label string
	Key               string   // after g, on the keyboard
	Permission        string   // whoever lacks it does not see the tab
	Counts            []string // types of tasks whose number stands beside it
}

// frame is what the layout shows: a view, and what is around every page.
type frame struct {
	view
	*visit
	Self   string      // address of the page, for the parts that are made anew
	Page   string      // the same without its query: forms are below it
	Counts *taskCounts // nil: not known
	Done   string      // what was done a moment ago
}

func (c *Console) frame(v *visit, what view) frame {
	self := v.more() // what was done is said once
	if v.Method != http.MethodGet && v.Method != http.MethodHead {
		self = (&url.URL{Path: v.page}).String()
	}
	f := frame{view: what, visit: v, Self: self, Page: (&url.URL{Path: v.page}).String(), Done: messages[v.URL.Query().Get("done")]}
	var counts taskCounts
	if err := v.api.get(v.Context(), "/tasks/count", nil, &counts); err == nil {
		f.Counts = &counts // a page without its counter is better than none
	}
	return f
}

// Tabs are the entries of the navigation that the visitor may see.
func (f frame) Tabs() []tab {
	var out []tab
	for _, t := range tabs {
		if t.Permission == "" || f.May(t.Permission) {
			out = append(out, t)
		}
	}
	return out
}

// Waiting is how many tasks of a tab wait for the visitor.
func (f frame) Waiting(t tab) int {
	n := 0
	if f.Counts != nil {
		for _, name := range t.Counts {
			n += f.Counts.ByType[name]
		}
	}
	return n
}

// CSRF is what forms send back.
func (f frame) CSRF() string { return f.Visitor.CSRF }

// Dev reports whether the database is one of finobs dev.
func (f frame) Dev() bool { return f.console.Dev }

// May reports whether the API would grant a permission to the visitor.
func (v *visit) May(permission string) bool {
	return v.console.May(v.Context(), v.Visitor.Session, permission)
}

// Me is the visitor's name.
func (v *visit) Me() string { return v.Visitor.Principal.Subject }

// Failure is why a form was refused, nil when none was.
func (v *visit) Failure() *problem {
	if v.failed == nil {
		return nil
	}
	return v.failed.Problem
}

// Refused reports whether it was that form, which is shown open then.
func (v *visit) Refused(form string) bool { return v.failed != nil && v.failed.Form == form }

// Typed is what stood in a field of a form that was refused.
func (v *visit) Typed(form, field string) string {
	if v.failed == nil || v.failed.Form != form {
		return ""
	}
	return v.failed.Values.Get(field)
}

// Asked is a parameter of the page's address.
func (v *visit) Asked(name string) string {
	if v.Method != http.MethodGet && v.Method != http.MethodHead {
		return ""
	}
	return v.URL.Query().Get(name)
}

// Filtered reports whether the page's address narrows its list.
func (v *visit) Filtered(names ...string) bool {
	for _, name := range names {
		if v.Asked(name) != "" {
			return true
		}
	}
	return false
}

// asked are the parameters that narrow a list, those of the names that are set.
func (v *visit) asked(names ...string) url.Values {
	out := url.Values{}
	for _, name := range names {
		if value := strings.TrimSpace(v.Asked(name)); value != "" {
			out.Set(name, value)
		}
	}
	return out
}

// more is the address of the next page of a list; empty on the last one. cursor
// holds names and values in turn.
func (v *visit) more(cursor ...string) string {
	query := v.URL.Query()
	query.Del("done")
	for i := 0; i+1 < len(cursor); i += 2 {
		query.Set(cursor[i], cursor[i+1])
	}
	return (&url.URL{Path: v.page, RawQuery: query.Encode()}).String()
}

//go:embed templates/*.html
var templateFS embed.FS

// templates are the pages, each with the layout around it.
type templates struct{ pages map[string]*template.Template }

func parseTemplates(c *Console) (*templates, error) {
	base, err := template.New("console").Funcs(c.functions()).ParseFS(templateFS, "templates/*.html")
	if err != nil {
		return nil, err
	}
	out := &templates{map[string]*template.Template{}}
	for _, t := range base.Templates() {
		if !strings.HasPrefix(t.Name(), "page/") {
			continue
		}
		page, err := base.Clone()
		if err != nil {
			return nil, err
		}
		if out.pages[t.Name()], err = page.Parse(`{{define "main"}}{{template "` + t.Name() + `" .}}{{end}}`); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (t *templates) part(w io.Writer, name string, data any) error {
	return t.pages["page/problem"].ExecuteTemplate(w, name, data)
}

func (t *templates) execute(w io.Writer, name string, data any) error {
	page, there := t.pages[name]
	if !there {
		return fmt.Errorf("there is no template %s", name)
	}
	return page.ExecuteTemplate(w, "layout", data)
}
