package api_test

import (
	"net/http"
	"strings"
	"testing"

	"finobs/api"

	"github.com/gin-gonic/gin"
)

func TestARouteWithoutAPermissionFailsAtStart(t *testing.T) {
	engine := gin.New()
	if err := api.EveryRouteListed(&api.Server{}, engine); err != nil {
		t.Errorf("no routes at all: %v", err)
	}
	engine.GET("/back-door", func(c *gin.Context) { c.Status(http.StatusOK) })
	err := api.EveryRouteListed(&api.Server{}, engine)
	if err == nil || !strings.Contains(err.Error(), "GET /back-door") {
		t.Errorf("got %v", err)
	}
}
