package api

import (
	"html/template"
	"net/http"
	"strconv"

	"finobs/internal/fault"

	"github.com/gin-gonic/gin"
)

// openTemplate is what a link in a notification leads to. It shows nothing of the
// request, since nobody has signed in, and decides nothing: mail scanners follow
// links too.
var openTemplate = template.Must(template.New("open").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Approval {{.}}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:3rem auto;padding:0 1rem;color-scheme:light dark}pre{overflow-x:auto;padding:1rem;border:1px solid #8888}</style>
<h1>Approval {{.}}</h1>
<p>Opening this page decides nothing. Read what exactly is asked for, then decide with your own token:</p>
<pre>finobs policy explain {{.}}
curl -H "Authorization: Bearer $TOKEN" $API/approval/{{.}}
curl -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \
  -d '{"decision":"approve","reason":"…"}' $API/approval/{{.}}/decision</pre>
<p><a href="../../docs/">All routes</a></p></html>
`))

// openIncidentTemplate is what a link in a notification about an incident leads
// to; like openTemplate, it shows and does nothing.
var openIncidentTemplate = template.Must(template.New("incident").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Incident {{.}}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:3rem auto;padding:0 1rem;color-scheme:light dark}pre{overflow-x:auto;padding:1rem;border:1px solid #8888}</style>
<h1>Incident {{.}}</h1>
<p>Opening this page acknowledges nothing. Read what is wrong, then say that you deal with it with your own token:</p>
<pre>finobs incident show {{.}}
finobs incident ack {{.}}
curl -H "Authorization: Bearer $TOKEN" $API/incidents/{{.}}
curl -X POST -H "Authorization: Bearer $TOKEN" $API/incidents/{{.}}/acknowledge</pre>
<p><a href="../../docs/">All routes</a></p></html>
`))

func (s *Server) openPage(c *gin.Context) { s.openThing(c, "approval", openTemplate) }

func (s *Server) openIncidentPage(c *gin.Context) { s.openThing(c, "incident", openIncidentTemplate) }

func (s *Server) openThing(c *gin.Context, what string, page *template.Template) {
	id, err := strconv.ParseInt(c.Param("id"), 10, 64)
	if err != nil || id < 1 {
		abort(c, fault.New(fault.NotFound, "no-such-"+what, "there is no %s %q", what, c.Param("id")))
		return
	}
	h := c.Writer.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	c.Status(http.StatusOK)
	if err := page.Execute(c.Writer, id); err != nil {
		s.log.WarnContext(c.Request.Context(), "page not sent in full", "error", err)
	}
}
