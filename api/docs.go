package api

import (
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/swaggest/swgui"
	"github.com/swaggest/swgui/v5emb"
)

// openAPI serves the document that was made from the handlers' own types.
func (s *Server) openAPI(c *gin.Context) { c.JSON(http.StatusOK, s.document) }

// docs serves the document for people. All of it is embedded; no page asks
// another host for anything.
func (s *Server) docs() gin.HandlerFunc {
	ui := v5emb.NewHandlerWithConfig(swgui.Config{
		Title: "finobs API", SwaggerJSON: "../openapi.json", BasePath: "/docs/", InternalBasePath: "/docs/",
		SettingsUI: map[string]string{"persistAuthorization": "true"},
	})
	return gin.WrapH(ui)
}
