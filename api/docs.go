package api

import (
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
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

// describe adds to the document what the types of the handlers do not say: the
// statuses that an operation chooses among, files, and answers in other formats.
func describe(d *huma.OpenAPI) {
	view := func(v any) map[string]*huma.MediaType {
		return map[string]*huma.MediaType{"application/json": {Schema: d.Components.Schemas.Schema(reflect.TypeOf(v), true, "")}}
	}
	problem := &huma.Response{Description: "Problem (RFC 9457)", Content: map[string]*huma.MediaType{
		"application/problem+json": {Schema: d.Components.Schemas.Schema(reflect.TypeOf(Problem{}), true, "")},
	}}
	text := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	artefact := &huma.Response{
		Description: "The artefact; X-Export-Id and X-Content-SHA256 name it",
		Content:     map[string]*huma.MediaType{"text/csv": text, "application/x-ndjson": text},
	}
	waits := &huma.Response{Description: "Not done yet; the same call answers again", Content: view(askedView{})}

	d.Paths["/approval/"].Post.Responses = map[string]*huma.Response{"202": waits, "default": problem}
	alsoAnswers(d.Paths["/approval/{id}/decision"].Post, "the decision is recorded", map[string]string{
		"202": "the decision is accepted and will be recorded",
	})
	alsoAnswers(d.Paths["/incidents"].Post, "an open incident has this dedup key", map[string]string{
		"201": "the incident is open", "202": "accepted; a worker will open the incident",
	})
	alsoAnswers(d.Paths["/imports/{sha256}"].Get, "the file is imported", map[string]string{"202": "the file is being imported"})
	for _, op := range []*huma.Operation{d.Paths["/incidents/export"].Get, d.Paths["/incidents/export"].Post} {
		op.Responses = map[string]*huma.Response{"200": artefact, "202": waits, "default": problem}
	}
	d.Paths["/exports/{id}/content"].Get.Responses = map[string]*huma.Response{"200": artefact, "default": problem}

	describeFiles(d, view(importView{}), problem)
	for _, path := range []string{"/healthz", "/readyz"} {
		d.Paths[path].Get.Responses = map[string]*huma.Response{"200": {Description: "It does"}}
	}
	d.Paths["/readyz"].Get.Responses["503"] = &huma.Response{Description: "A dependency is unavailable"}
}

// describeFiles describes the routes that take a file as the body.
func describeFiles(d *huma.OpenAPI, imported map[string]*huma.MediaType, problem *huma.Response) {
	word := &huma.Schema{Type: huma.TypeString}
	parameters := []*huma.Param{
		{Name: "file_name", In: "query", Schema: word, Description: "as the sender calls the file"},
		{Name: "origin", In: "query", Schema: &huma.Schema{Type: huma.TypeString, Enum: []any{"live", "demo"}, Default: "live"}},
		{Name: "strict", In: "query", Schema: &huma.Schema{Type: huma.TypeBoolean, Default: false},
			Description: "refuse the whole file when one line is bad or a trailer does not agree"},
	}
	source := &huma.Param{Name: "source", In: "query", Schema: word, Description: "whose books these are; default: the caller's sub"}
	binary := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}
	for path, content := range map[string]map[string]*huma.MediaType{
		"/ingest/fails": {"application/octet-stream": binary},
		"/transactions": {"text/csv": binary, "application/x-ndjson": binary, "application/json": {Schema: &huma.Schema{Type: huma.TypeObject}}},
	} {
		op := d.Paths[path].Post
		op.Responses = map[string]*huma.Response{
			"200":     {Description: "The file is imported, or was before", Content: imported},
			"202":     {Description: "The file is received; GET /imports/{sha256} tells more", Content: imported},
			"default": problem,
		}
		op.RequestBody = &huma.RequestBody{Required: true, Description: "The file as it is, 1 GiB at most", Content: content}
		op.Parameters = parameters
	}
	post := d.Paths["/transactions"].Post
	post.Parameters = append([]*huma.Param{source}, parameters...)
}

// alsoAnswers says which other statuses come with the same body as 200.
func alsoAnswers(op *huma.Operation, ok string, others map[string]string) {
	body := op.Responses["200"].Content
	op.Responses["200"].Description = ok
	for status, description := range others {
		op.Responses[status] = &huma.Response{Description: description, Content: body}
	}
}
