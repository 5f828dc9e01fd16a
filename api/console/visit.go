package console

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/uuid"
)

// visit is one request of one person.
type visit struct {
	*http.Request
	Visitor Visitor
	api     upstream
	console *Console
	page    string   // path of the page that is shown, or that the form is on
	failed  *failure // what the form was refused for, when it was
}

// failure is a form that was refused, with what was typed into it, so that nothing
// is lost.
type failure struct {
	Form    string
	Problem *problem
	Values  url.Values
}

// view is what a page shows: a template called page/NAME and its data.
type view struct {
	Template string
	Title    string
	Tab      string // of the navigation
	Data     any
	Status   int // 0: 200
}

// reader makes a page. It makes calls of GET alone.
type reader func(*visit) (view, error)

// doer does what a form asks for, by one call of the API, and says what comes next.
type doer func(*visit) (next, error)

// next is where a form leads: to a page, which says what was done, or to a view
// when what became of it is more than a line.
type next struct {
	path string // empty: the page that the form is on
	done string // a code of messages
	view *view
}

// get registers a page.
func (c *Console) get(path string, read reader) {
	c.gets = append(c.gets, path)
	pattern := "GET " + path
	if strings.HasSuffix(path, "/") {
		pattern += "{$}"
	}
	c.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if v, ok := c.enter(w, r, r.URL.Path); ok {
			c.show(w, v, read)
		}
	})
}

// form registers a form on a page. A refused form shows the page again, with the
// reason beside it; somebody who asks for its address by itself is sent to the page.
func (c *Console) form(page, name string, read reader, do doer) {
	path := page + "/" + name
	c.gets = append(c.gets, path)
	c.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, strings.TrimSuffix(r.URL.EscapedPath(), "/"+name), http.StatusSeeOther) //nolint:gosec // the pattern's path, below /console/
	})
	c.mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		v, ok := c.enter(w, r, strings.TrimSuffix(r.URL.Path, "/"+name))
		if !ok || !c.genuine(w, v) {
			return
		}
		to, err := do(v)
		switch {
		case err != nil:
			v.failed = &failure{name, c.problemOf(v.Context(), err, v.api.requestID), v.PostForm}
			c.show(w, v, read)
		case to.view != nil:
			c.render(w, v, *to.view)
		default:
			http.Redirect(w, r, to.url(v), http.StatusSeeOther) //nolint:gosec // a path of the console
		}
	})
}

func (n next) url(v *visit) string {
	path := n.path
	if path == "" {
		path = v.page
	}
	return (&url.URL{Path: path, RawQuery: url.Values{"done": {n.done}}.Encode()}).String()
}

// enter finds out who looks. Whoever is not signed in is sent to sign in.
func (c *Console) enter(w http.ResponseWriter, r *http.Request, page string) (*visit, bool) {
	s, err := c.Session(r)
	if err != nil {
		back := page
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			back = r.URL.RequestURI()
		}
		to := "/login?" + url.Values{"next": {back}}.Encode()
		if r.Header.Get("HX-Request") != "" { // the part of a page that is made anew cannot be a sign-in page
			w.Header().Set("HX-Redirect", to)
			w.WriteHeader(http.StatusUnauthorized)
			return nil, false
		}
		http.Redirect(w, r, to, http.StatusSeeOther)
		return nil, false
	}
	id := w.Header().Get("X-Request-Id")
	if id == "" {
		id = uuid.NewString()
		w.Header().Set("X-Request-Id", id)
	}
	return &visit{Request: r, Visitor: Visitor{s}, api: upstream{c.API(s), id}, console: c, page: page}, true
}

// maxForm bounds a form.
const maxForm = 1 << 20 // bytes

// genuine reports whether a form was sent from a page of this console, in this
// session. Nothing is done with one that was not.
func (c *Console) genuine(w http.ResponseWriter, v *visit) bool {
	refuse := func(status int, code, detail string) bool {
		c.renderProblem(w, v, &problem{
			Type: "urn:finobs:problem:" + code, Title: http.StatusText(status), Status: status, Detail: detail, RequestID: v.api.requestID,
		})
		return false
	}
	if err := c.origins.Check(v.Request); err != nil {
		return refuse(http.StatusForbidden, "foreign-form", "the form was sent from another site, so nothing was done")
	}
	v.Body = http.MaxBytesReader(w, v.Body, maxForm)
	if err := v.ParseForm(); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return refuse(http.StatusRequestEntityTooLarge, "form-too-large", "the form is over 1 MiB, so nothing was done")
		}
		return refuse(http.StatusBadRequest, "form-unreadable", "the form could not be read, so nothing was done")
	}
	token := v.Header.Get("X-CSRF-Token")
	if token == "" {
		token = v.PostForm.Get("csrf")
	}
	if !v.Visitor.ValidCSRF(token) {
		return refuse(http.StatusForbidden, "stale-form",
			"the form is not of this session, so nothing was done; open the page again and send it once more")
	}
	return true
}

// show makes a page and sends it.
func (c *Console) show(w http.ResponseWriter, v *visit, read reader) {
	made, err := read(v)
	if err != nil {
		p := c.problemOf(v.Context(), err, v.api.requestID)
		if v.failed != nil { // the form's own problem says more
			p = v.failed.Problem
		}
		c.renderProblem(w, v, p)
		return
	}
	if v.failed != nil {
		made.Status = v.failed.Problem.Status
	}
	c.render(w, v, made)
}

func (c *Console) renderProblem(w http.ResponseWriter, v *visit, p *problem) {
	if p.Status == http.StatusUnauthorized { // the session ended a moment ago
		http.Redirect(w, v.Request, "/login?"+url.Values{"next": {v.page}}.Encode(), http.StatusSeeOther)
		return
	}
	c.render(w, v, view{Template: "problem", Title: p.Title, Data: p, Status: p.Status})
}

// render sends a page in full or not at all. It is not compressed: it holds a
// secret of the session beside what others wrote.
func (c *Console) render(w http.ResponseWriter, v *visit, what view) {
	var b bytes.Buffer
	if err := c.templates.execute(&b, "page/"+what.Template, c.frame(v, what)); err != nil {
		c.log.ErrorContext(v.Context(), "a page failed", "error", err, "request_id", v.api.requestID)
		http.Error(w, "finobs failed to make this page; the log has the reason under request id "+v.api.requestID, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if what.Status != 0 {
		w.WriteHeader(what.Status)
	}
	if _, err := b.WriteTo(w); err != nil {
		c.log.DebugContext(v.Context(), "a page was not sent in full", "error", err)
	}
}

// part sends one template without what is around a page.
func (c *Console) part(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, ok := c.enter(w, r, "/console/")
		if !ok {
			return
		}
		var b bytes.Buffer
		if err := c.templates.part(&b, name, c.frame(v, view{Tab: r.URL.Query().Get("tab")})); err != nil {
			c.log.ErrorContext(v.Context(), "a part of a page failed", "error", err, "request_id", v.api.requestID)
			http.Error(w, "finobs failed to make this; the log has the reason", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if _, err := b.WriteTo(w); err != nil {
			c.log.DebugContext(v.Context(), "a page was not sent in full", "error", err)
		}
	}
}

func (c *Console) nothingHere(w http.ResponseWriter, r *http.Request) {
	if v, ok := c.enter(w, r, r.URL.Path); ok {
		c.renderProblem(w, v, &problem{
			Type: "urn:finobs:problem:no-such-page", Title: http.StatusText(http.StatusNotFound), Status: http.StatusNotFound,
			Detail: "there is no such page", RequestID: v.api.requestID,
		})
	}
}
