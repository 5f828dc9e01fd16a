package api

import (
	"context"
	"net/http"

	"finobs/api/console"
	"finobs/internal/session"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"
)

// openConsole makes the pages that people look at. They call this server as
// whoever is signed in.
func (s *Server) openConsole(ui, namespace string, dev bool) (http.Handler, error) {
	return console.New(console.Deps{
		Session: s.visitor, API: s.as, May: s.mayVisitor, TemporalUI: ui, Namespace: namespace, Dev: dev,
	})
}

// mayVisitor says whether somebody who is signed in has a permission, as the guard
// would. Pages show by it; the guard decides.
func (s *Server) mayVisitor(ctx context.Context, who session.Session, p string) bool {
	reduced, err := s.roster.reduce(ctx, who.Principal)
	return err == nil && permits(reduced, Permission(p))
}

// consoleRoutes are the pages of the console. They are public: the console itself
// sends whoever is not signed in to sign in.
func (s *Server) consoleRoutes() []route {
	show := func(c *gin.Context) { s.console.ServeHTTP(c.Writer, c.Request) }
	return []route{
		page("/", show), page("/console", show), page("/console/*path", show),
		page("/open/approval/:id", show), page("/open/incident/:id", show),
		{http.MethodPost, "/console/*path", Public, "", func(_ route, engine *gin.Engine, _ huma.API) { engine.POST("/console/*path", show) }},
	}
}
