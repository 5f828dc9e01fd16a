package api

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"slices"
	"time"

	"finobs/internal/alert"
	"finobs/internal/approval"
	"finobs/internal/event"
	"finobs/internal/fault"
	"finobs/internal/incident"
	"finobs/internal/intake"
	"finobs/internal/source"

	"github.com/gin-gonic/gin"
)

// ingestedView is the answer to a body of alerts or heartbeats.
type ingestedView struct {
	Source        string       `json:"source"`
	Kind          string       `json:"kind"`
	ContentSHA256 string       `json:"content_sha256"`
	Status        string       `json:"status" enum:"recorded,accepted" doc:"accepted: it is safe, and a worker will record it"`
	Events        int          `json:"events" doc:"that were not on record"`
	Repeated      int          `json:"repeated" doc:"that were"`
	Heartbeats    int          `json:"heartbeats"`
	Incidents     []foldedView `json:"incidents" doc:"what became of each condition"`
	Notes         []string     `json:"notes" doc:"what was cut or supposed"`
}

type foldedView struct {
	IncidentID int64  `json:"incident_id"`
	Folding    string `json:"folding" enum:"opened,repeated,updated,reopened,resolved,ignored,suppressed"`
}

// ingestSource takes a body from a source: a FIX log as a file, alerts and
// heartbeats as events.
func (s *Server) ingestSource(c *gin.Context) {
	from, err := s.Sources.Get(c.Param("source"))
	if err != nil {
		abort(c, err)
		return
	}
	if from.Kind == source.FIX {
		s.ingestFIX(c, from)
		return
	}
	s.ingestEvents(c, from)
}

// ingestFIX takes the body as a FIX log.
func (s *Server) ingestFIX(c *gin.Context, from source.Source) {
	file, err := fileParameters(c, "file_name", "origin", "strict", "currency")
	if err != nil {
		abort(c, err)
		return
	}
	file.Kind, file.Source, file.Desk = intake.KindFIX, from.Name, from.Desk
	file.Currency = c.DefaultQuery("currency", from.Currency)
	if file.Currency != "" && !intake.CurrencyCode(file.Currency) {
		abort(c, fault.New(fault.Invalid, "invalid-request", "currency %q is no ISO 4217 code", event.Cut(file.Currency, 16)))
		return
	}
	s.ingest(c, file)
}

// ingestEvents takes the body as alerts or heartbeats. What cannot be read is
// refused before anything is kept.
func (s *Server) ingestEvents(c *gin.Context, from source.Source) {
	body, err := readBody(c)
	if err != nil {
		abort(c, err)
		return
	}
	sender, refused := s.sender(c, from, body)
	if refused != nil {
		s.deny(c, "authenticate", refused)
		return
	}
	origin, err := originOf(c)
	if err != nil {
		abort(c, err)
		return
	}
	delivery, notes, err := s.deliver(c, from, body, origin, sender)
	if err != nil {
		abort(c, err)
		return
	}
	v := ingestedView{
		Source: from.Name, Kind: string(from.Kind), ContentSHA256: delivery.ContentSHA256, Status: "recorded",
		Incidents: []foldedView{}, Notes: append([]string{}, notes...),
	}
	if len(delivery.Events)+len(delivery.Heartbeats) == 0 {
		c.JSON(http.StatusOK, v)
		return
	}
	s.answerDelivery(c, delivery, sender, v)
}

// answerDelivery has a delivery recorded. It answers 202 when a worker has not done
// so in time, or at once when the sender does not want to wait.
func (s *Server) answerDelivery(c *gin.Context, delivery event.Delivery, sender approval.Principal, v ingestedView) {
	a, err := s.collector.add(delivery, sender)
	if err == nil {
		err = <-a.accepted
	}
	if err != nil {
		abort(c, err)
		return
	}
	var recorded event.Recorded
	done := false
	if c.GetHeader("Prefer") != "respond-async" {
		recorded, done = <-a.done
	}
	if !done {
		v.Status = "accepted"
		c.JSON(http.StatusAccepted, v)
		return
	}
	v.Events, v.Repeated, v.Heartbeats = recorded.Events, recorded.Repeated, recorded.Heartbeats
	for _, f := range recorded.Incidents {
		v.Incidents = append(v.Incidents, foldedView{f.IncidentID, string(f.Folding)})
	}
	c.JSON(http.StatusOK, v)
}

// deliver reads a body of a source.
func (s *Server) deliver(c *gin.Context, from source.Source, body []byte, origin incident.Origin, sender approval.Principal) (event.Delivery, []string, error) {
	ctx, now := c.Request.Context(), time.Now().UTC()
	sum := sha256.Sum256(body)
	d := event.Delivery{
		Source: from.Name, Desk: from.Desk, ContentSHA256: hex.EncodeToString(sum[:]), Payload: body, SenderIss: sender.Issuer, SenderSub: sender.Subject,
		RequestID: requestID(ctx), TraceID: traceID(ctx), Origin: origin, ReceivedAt: now,
	}
	var notes []string
	var err error
	if from.Kind == source.Heartbeat {
		d.Heartbeats, err = event.ReadHeartbeats(body)
		for i := range d.Heartbeats {
			if h := &d.Heartbeats[i]; h.At.IsZero() || h.At.After(now) {
				h.At = now
			}
		}
		return d, nil, err
	}
	d.Events, notes, err = from.Alerts(body, d.ContentSHA256, origin, now, d.TraceID)
	return d, notes, err
}

// readBody reads a body of at most alert.MaxBody bytes.
func readBody(c *gin.Context) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, alert.MaxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, fault.New(fault.TooLarge, "body-too-large", "the body is over the limit of %d bytes; send fewer alerts at once", alert.MaxBody)
	case err != nil:
		return nil, fault.Wrap(err, fault.Invalid, "body-unreadable", "the body could not be received in full; send it again")
	}
	return body, nil
}

// sender is who sent a body: who authenticated, or, for a source whose senders
// sign, the source itself.
func (s *Server) sender(c *gin.Context, from source.Source, body []byte) (approval.Principal, *fault.Error) {
	if p := principal(c); p.Subject != "" {
		return p, nil
	}
	if from.Verifier == nil {
		return approval.Principal{}, fault.New(fault.Unauthenticated, "not-authenticated", "source %s takes no signatures; send a token of finobs", from.Name)
	}
	if _, err := from.Verifier.Verify(c.Request.Header, body, time.Now()); err != nil {
		return approval.Principal{}, fault.New(fault.Unauthenticated, "not-authenticated", "source %s: %v", from.Name, err)
	}
	return approval.Principal{Kind: approval.System, Person: approval.Person{Issuer: "finobs:source", Subject: from.Name}, Desk: from.Desk}, nil
}

func originOf(c *gin.Context) (incident.Origin, error) {
	for name := range c.Request.URL.Query() {
		if name != "origin" {
			return "", fault.New(fault.Invalid, "invalid-request", "there is no query parameter %q; known is origin", name)
		}
	}
	origin := incident.Origin(c.DefaultQuery("origin", string(incident.Live)))
	if !slices.Contains([]incident.Origin{incident.Live, incident.Demo}, origin) {
		return "", fault.New(fault.Invalid, "invalid-request", "origin %q must be live or demo", event.Cut(string(origin), 16))
	}
	return origin, nil
}
