package api

import (
	"context"
	"fmt"
	"net/http"

	"finobs/api/console"
	"finobs/internal/session"

	"github.com/gin-gonic/gin"
)

// openConsole makes the pages that people look at. They call this server as
// whoever is signed in.
func (s *Server) openConsole() (err error) {
	d := console.Deps{Session: s.visitor, API: s.as, May: s.visitorMay, TemporalUI: s.TemporalUI, Namespace: s.Namespace}
	if s.Reader != nil {
		if d.Dev, err = s.environment.dev(context.Background()); err != nil {
			s.log.Warn("the console does not tell whether the database is one of a development stack", "error", err)
		}
	}
	if s.console, err = console.New(d); err != nil {
		return fmt.Errorf("making the console: %w", err)
	}
	return nil
}

// visitorMay says whether somebody who is signed in has a permission, as the guard
// would. Pages show by it; the guard decides.
func (s *Server) visitorMay(ctx context.Context, who session.Session, p string) bool {
	reduced, err := s.roster.reduce(ctx, who.Principal)
	return err == nil && permits(reduced, Permission(p))
}

// consoleRoutes are the pages of the console. They are public: the console itself
// sends whoever is not signed in to sign in, and makes calls as whoever is.
func (s *Server) consoleRoutes() []route {
	show := func(c *gin.Context) { s.console.ServeHTTP(c.Writer, c.Request) }
	var out []route
	for _, path := range []string{"/", "/console/*path", "/open/approval/:id", "/open/incident/:id"} {
		out = append(out, page(path, show))
	}
	return append(out, hidden(http.MethodPost, "/console/*path", show))
}
