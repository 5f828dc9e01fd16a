// Package console is the part of finobs that people look at: pages of HTML, made
// on the server, which read and act through the API alone. It holds no rule about
// who may do what: each form is one call of the API as the person who sent it, and
// the API decides.
//
// A page is a reader, which makes calls of GET and names a template; a form is a
// doer, which makes one call and says where to go on. Both are registered in the
// file of their pages, such as approvals.go, whose templates are in
// templates/approvals.html. To add pages, write a file with a method that registers
// them, call it in New, and put the templates beside the others.
package console

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"finobs/internal/session"
)

// Visitor is who looks at a page.
type Visitor struct{ session.Session }

// Deps are what the console works with.
type Deps struct {
	Session    func(*http.Request) (session.Session, error)        // who looks; an error: nobody is signed in
	API        func(session.Session) http.RoundTripper             // the API as this person, in process
	May        func(context.Context, session.Session, string) bool // whether the API's table grants a permission; decides what is shown, nothing else
	TemporalUI string                                              // base URL of the Temporal Web UI; empty: no links
	Namespace  string                                              // of Temporal
	Dev        bool                                                // a database of finobs dev
	Now        func() time.Time                                    // nil: the clock
}

// Console serves the pages.
type Console struct {
	Deps
	mux       *http.ServeMux
	files     *files
	templates *templates
	origins   *http.CrossOriginProtection
	log       *slog.Logger
	gets      []string // patterns of all pages, for the tests
}

// New makes the console. It fails when a template or a static file is broken.
func New(d Deps) (http.Handler, error) {
	return newConsole(d)
}

func newConsole(d Deps) (*Console, error) {
	if d.Now == nil {
		d.Now = time.Now
	}
	c := &Console{Deps: d, mux: http.NewServeMux(), origins: http.NewCrossOriginProtection(), log: slog.Default()}
	var err error
	if c.files, err = readFiles(); err != nil {
		return nil, fmt.Errorf("reading the console's files: %w", err)
	}
	if c.templates, err = parseTemplates(c); err != nil {
		return nil, fmt.Errorf("reading the console's templates: %w", err)
	}
	c.mux.Handle("GET "+staticPath, c.files)
	c.registerOverview()
	c.registerApprovals()
	c.registerIncidents()
	c.registerAgents()
	c.registerExports()
	c.registerSchedules()
	c.registerOversight()
	c.mux.HandleFunc("/", c.nothingHere)
	return c, nil
}

// ServeHTTP answers with a page, whose headers keep everything of others out of it.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	for name, value := range securityHeaders {
		h.Set(name, value)
	}
	c.mux.ServeHTTP(w, r)
}

// securityHeaders are on every answer. Nothing runs or loads that is not a static
// file of finobs, and no other page may frame this one or send forms to it.
var securityHeaders = map[string]string{
	"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
		"form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
	"Referrer-Policy":              "same-origin", // no-referrer would make forms send the Origin "null"
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Permissions-Policy":           "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
	"Cache-Control":                "no-store",
}
