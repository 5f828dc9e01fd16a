package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"finobs/internal/session"
	"finobs/internal/store"

	"github.com/gin-gonic/gin"
)

// prepareSessions fills in what the caller of New left out.
func (s *Server) prepareSessions() (err error) {
	s.environment = &environment{reader: s.Reader}
	s.PublicURL = strings.TrimSuffix(s.PublicURL, "/")
	if s.Sessions == nil {
		s.Sessions, err = session.NewKeeper(session.Options{Secure: strings.HasPrefix(s.PublicURL, "https://")})
	}
	return err
}

// reads reports whether a permission changes nothing. Its name says so: it ends in
// .read or .read_all.
func (p Permission) reads() bool {
	return strings.HasSuffix(string(p), ".read") || strings.HasSuffix(string(p), ".read_all")
}

// bySession says whose session the cookie of a request is. A cookie comes along
// whoever made the browser send the request, so by itself it only reads, and only
// for pages of this server.
func (s *Server) bySession(r *http.Request, wanted Permission) (session.Session, error) {
	signedIn, err := s.Sessions.Read(r, time.Now())
	if err != nil {
		if errors.Is(err, session.ErrAbsent) {
			err = errors.New("no bearer token, and nobody is signed in")
		}
		return session.Session{}, err
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead || !wanted.reads() {
		return session.Session{}, errors.New("a session cookie alone is for reading; send a bearer token, or use the console")
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return signedIn, nil
	}
	return session.Session{}, errors.New("another site's page asked for this; a session cookie counts for pages of this server alone")
}

// visitor is who looks at the console. The error says why nobody is signed in.
func (s *Server) visitor(r *http.Request) (session.Session, error) {
	signedIn, err := s.Sessions.Read(r, time.Now())
	if err != nil && s.DevInsecure {
		return s.Sessions.Standing(devPrincipal(""), time.Now()), nil
	}
	return signedIn, err
}

// keepAlive writes the session's cookie again when its person does something:
// follows a link, or sends a form. What a page fetches by itself, such as a live
// update, keeps nobody signed in who went away.
func (s *Server) keepAlive(c *gin.Context) {
	r := c.Request
	acts := r.Header.Get("Sec-Fetch-Mode") == "navigate" || r.Header.Get("HX-Boosted") == "true" || r.Method == http.MethodPost
	if _, inside := visitorOf(r.Context()); !acts || inside || c.FullPath() == "/logout" {
		return
	}
	now := time.Now()
	signedIn, err := s.Sessions.Read(r, now)
	if err != nil || !s.Sessions.Due(signedIn, now) {
		return
	}
	signedIn.SeenAt = now
	if err := s.Sessions.Write(c.Writer, signedIn); err != nil {
		s.log.WarnContext(r.Context(), "session not kept alive", "error", err)
	}
}

// environment remembers what kind of deployment the database serves, which never
// changes while a process runs.
type environment struct {
	reader *store.Reader
	known  atomic.Pointer[string]
}

// dev reports whether finobs dev made the database.
func (e *environment) dev(ctx context.Context) (bool, error) {
	if known := e.known.Load(); known != nil {
		return *known == "dev", nil
	}
	name, err := e.reader.Environment(ctx)
	if err != nil {
		return false, err
	}
	e.known.Store(&name)
	return name == "dev", nil
}
