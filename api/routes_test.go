package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
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

// Members that a body takes from an embedded type are accepted and documented;
// huma sees those of exported types only.
func TestEmbeddedMembersAreInTheDocument(t *testing.T) {
	s, err := api.New(api.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	s.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/openapi.json", nil))
	var document struct {
		Components struct {
			Schemas map[string]struct{ Properties map[string]any }
		}
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &document); err != nil {
		t.Fatal(err)
	}
	for schema, members := range map[string][]string{
		"ApprovalDetail": {"status", "missing", "summary"}, "AddUserInputBody": {"sub", "iss", "roles", "reason"}, "UserFields": {"active"},
	} {
		for _, name := range members {
			if document.Components.Schemas[schema].Properties[name] == nil {
				t.Errorf("schema %s has no member %s", schema, name)
			}
		}
	}
}
