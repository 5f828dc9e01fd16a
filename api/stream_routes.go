package api

import (
	"net/http"

	"finobs/internal/stream"
)

// streamRoutes are those of streams; see docs/streams.md.
func (s *Server) streamRoutes() []route {
	return []route{
		raw(http.MethodGet, "/ws/approvals", ApprovalRead, "What happens to requests for approval, as a WebSocket", s.socket(stream.Approvals)),
		raw(http.MethodGet, "/ws/incidents", IncidentRead, "What happens to incidents, as a WebSocket", s.socket(stream.Incidents)),
		raw(http.MethodGet, "/ws/compliance", AuditRead, "What enters the compliance log, as a WebSocket", s.socket(stream.Compliance)),
		raw(http.MethodGet, "/sse/approvals", ApprovalRead, "What happens to requests for approval, as text/event-stream", s.events(stream.Approvals)),
		raw(http.MethodGet, "/sse/incidents", IncidentRead, "What happens to incidents, as text/event-stream", s.events(stream.Incidents)),
		raw(http.MethodGet, "/sse/compliance", AuditRead, "What enters the compliance log, as text/event-stream", s.events(stream.Compliance)),
		raw(http.MethodGet, "/sse/all", StreamRead, "All streams that the caller may read, as one text/event-stream", s.events(stream.All()...)),
	}
}
