package api

import (
	"context"
	"net/http"
	"time"

	"finobs/internal/event"
	"finobs/internal/fault"
	"finobs/internal/store"

	"github.com/gin-gonic/gin"
)

// eventView is an event in answers.
type eventView struct {
	ID            int64             `json:"event_id"`
	Source        string            `json:"source"`
	Key           string            `json:"event_key"`
	Kind          string            `json:"kind"`
	State         string            `json:"state" enum:"firing,acknowledged,resolved,point"`
	Severity      string            `json:"severity" enum:"info,low,medium,high,critical"`
	Fingerprint   string            `json:"fingerprint" doc:"of the condition: the same when it begins and when it ends"`
	System        string            `json:"system"`
	Title         string            `json:"title"`
	Detail        string            `json:"detail"`
	Ref           string            `json:"ref" doc:"what it refers to, such as the execution that is busted"`
	Labels        map[string]string `json:"labels"`
	URL           string            `json:"url"`
	OccurredAt    time.Time         `json:"occurred_at" doc:"by its source"`
	ReceivedAt    time.Time         `json:"received_at"`
	ContentSHA256 string            `json:"content_sha256" doc:"of the payload or file that it stood in"`
	Line          int               `json:"line" doc:"of the file, from 1; 0 in a payload"`
	Origin        string            `json:"origin"`
	TraceID       string            `json:"trace_id"`
}

func viewEvent(e event.Event) eventView {
	return eventView{
		ID: e.ID, Source: e.Source, Key: e.Key, Kind: string(e.Kind), State: string(e.State), Severity: string(e.Severity),
		Fingerprint: e.Fingerprint, System: e.System, Title: e.Title, Detail: e.Detail, Ref: e.Ref, Labels: e.Labels, URL: e.URL,
		OccurredAt: e.OccurredAt, ReceivedAt: e.ReceivedAt, ContentSHA256: e.ContentSHA256, Line: e.Line, Origin: string(e.Origin), TraceID: e.TraceID,
	}
}

type listEventsInput struct {
	Paging
	Kind   string `query:"kind" maxLength:"32"`
	Source string `query:"source" maxLength:"128"`
	System string `query:"system" maxLength:"200"`
	State  string `query:"state" enum:"firing,acknowledged,resolved,point"`
	Origin string `query:"origin" enum:"live,demo" doc:"default: both"`
}

type eventPage struct {
	Items      []eventView `json:"items"`
	NextBefore int64       `json:"next_before" doc:"cursor of the next page; 0 on the last one"`
}

func (s *Server) listEvents(ctx context.Context, in *listEventsInput) (*body[eventPage], error) {
	if in.Kind != "" && !event.Kind(in.Kind).Valid() {
		return nil, fault.New(fault.Invalid, "invalid-query", "kind %q must be one of %v", in.Kind, event.Kinds())
	}
	list, err := s.Reader.Events(ctx, store.EventFilter{Kind: in.Kind, Source: in.Source, System: in.System, State: in.State, Origin: in.Origin}, in.page())
	if err != nil {
		return nil, err
	}
	out := eventPage{Items: []eventView{}}
	for _, e := range list {
		out.Items = append(out.Items, viewEvent(e))
		out.NextBefore = in.next(len(list), e.ID)
	}
	return &body[eventPage]{out}, nil
}

func (s *Server) getEvent(ctx context.Context, in *idInput) (*body[eventView], error) {
	e, err := s.Reader.Event(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &body[eventView]{viewEvent(e)}, nil
}

// payload answers with what a source sent, byte for byte. It is shown as text of
// nobody: a browser must not run it.
func (s *Server) payload(c *gin.Context) {
	sha := c.Param("sha256")
	if !shaPattern.MatchString(sha) {
		abort(c, fault.New(fault.Invalid, "invalid-request", "the path must end in 64 hexadecimal digits in lower case"))
		return
	}
	text, err := s.Reader.Payload(c.Request.Context(), sha)
	if err != nil {
		abort(c, err)
		return
	}
	c.Header("Content-Disposition", `attachment; filename="`+sha+`"`)
	c.Data(http.StatusOK, "application/octet-stream", text)
}

// sourceView is a source in answers.
type sourceView struct {
	Name       string     `json:"name"`
	Kind       string     `json:"kind"`
	Desk       string     `json:"desk" doc:"of the incidents that it opens; empty: of no desk"`
	Signed     bool       `json:"signed" doc:"its senders may sign instead of sending a token"`
	ReceivedAt *time.Time `json:"received_at" doc:"when it was heard of last; null: never"`
	Payloads   int64      `json:"payloads"`
}

type sourcesView struct {
	Items []sourceView `json:"items"`
}

func (s *Server) listSources(ctx context.Context, _ *struct{}) (*body[sourcesView], error) {
	heard, err := s.Reader.Feeds(ctx)
	if err != nil {
		return nil, err
	}
	out := sourcesView{Items: []sourceView{}}
	for _, name := range s.Sources.Names() {
		from, err := s.Sources.Get(name)
		if err != nil {
			return nil, err
		}
		v := sourceView{Name: name, Kind: string(from.Kind), Desk: from.Desk, Signed: from.Verifier != nil}
		if f, known := heard[name]; known {
			v.ReceivedAt, v.Payloads = &f.ReceivedAt, f.Payloads
		}
		out.Items = append(out.Items, v)
	}
	return &body[sourcesView]{out}, nil
}
