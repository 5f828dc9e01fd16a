package api

import (
	"embed"
	"html/template"
	"net"
	"net/http"
	"path"
	"sync"
	"time"

	"finobs/internal/fault"
	"finobs/internal/identity"
	"finobs/internal/session"

	"github.com/gin-gonic/gin"
	ratelimit "golang.org/x/time/rate"
)

//go:embed signin
var signInFiles embed.FS

var signInPages = template.Must(template.ParseFS(signInFiles, "signin/*.html"))

// signInPolicy lets a page of sign-in load its own style and script and send forms
// to this server, and nothing else.
const signInPolicy = "default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// loginView is what the page shows.
type loginView struct {
	Refused, Note string // why a sign-in was refused; what was done
	Words         string // what the provider says of the refusal
	Next          string // where to go afterwards
	CSRF          string
	Who           *session.Session // nil: nobody is signed in
	Issuers       []*identity.Issuer
	Dev           bool // tokens of finobs token are taken
}

// showLogin fills in what the server knows and writes the page.
func (s *Server) showLogin(c *gin.Context, status int, view loginView) {
	now := time.Now()
	var held formBinding
	if err := s.Sessions.Open(c.Request, formCookie, &held); err != nil || now.Add(formLife/2).After(held.Until) {
		held = formBinding{CSRF: session.Random(), Until: now.Add(formLife)}
		if err := s.Sessions.Put(c.Writer, formCookie, held); err != nil {
			abort(c, err)
			return
		}
	}
	view.CSRF, view.Issuers = held.CSRF, s.Issuers.SignIn()
	if who, err := s.Sessions.Read(c.Request, now); err == nil {
		view.Who = &who
	}
	var err error
	if view.Dev, err = s.environment.dev(c.Request.Context()); err != nil {
		s.log.WarnContext(c.Request.Context(), "whether this is a development database cannot be told; sign-in with tokens is not offered", "error", err)
	}
	s.showPage(c, status, "login.html", view)
}

// moveOn writes a page that leads to another one by itself.
func (s *Server) moveOn(c *gin.Context, title, to string) {
	s.showPage(c, http.StatusOK, "moving.html", struct{ Title, To string }{title, to})
}

func (s *Server) showPage(c *gin.Context, status int, name string, view any) {
	h := c.Writer.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", signInPolicy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("X-Frame-Options", "DENY")
	c.Status(status)
	if err := signInPages.ExecuteTemplate(c.Writer, name, view); err != nil {
		s.log.WarnContext(c.Request.Context(), "page not sent in full", "error", err)
	}
	c.Abort()
}

// loginStatic serves the style and the script of the pages.
func loginStatic(c *gin.Context) {
	types := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
	name := c.Param("file")
	kind, servable := types[path.Ext(name)]
	text, err := signInFiles.ReadFile("signin/" + name)
	if err != nil || !servable {
		abort(c, fault.New(fault.NotFound, "no-such-file", "there is no file %q", name))
		return
	}
	c.Header("Cache-Control", "public, max-age=300")
	c.Data(http.StatusOK, kind, text)
}

// Limits of sign-ins from one address: each asks a provider something.
const (
	signInBurst     = 120
	signInPerSecond = 5
	maxAddresses    = 10_000
)

// attempts bounds how often an address signs in.
type attempts struct {
	mu sync.Mutex
	of map[string]*ratelimit.Limiter
}

// allow counts one attempt. The address is the connection's: what headers say of it
// is anybody's word.
func (a *attempts) allow(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.of == nil || len(a.of) >= maxAddresses {
		a.of = map[string]*ratelimit.Limiter{}
	}
	if a.of[host] == nil {
		a.of[host] = ratelimit.NewLimiter(signInPerSecond, signInBurst)
	}
	return a.of[host].Allow()
}
