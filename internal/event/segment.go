package event

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"finobs/internal/canonical"
	"finobs/internal/incident"
)

// Delivery is one body that a source sent, with what the API read in it.
type Delivery struct {
	Source        string          `json:"source"`
	Desk          string          `json:"desk"`
	ContentSHA256 string          `json:"content_sha256"` // hexadecimal, of Payload
	Payload       []byte          `json:"payload"`
	SenderIss     string          `json:"sender_iss"`
	SenderSub     string          `json:"sender_sub"`
	RequestID     string          `json:"request_id"`
	TraceID       string          `json:"trace_id"`
	Origin        incident.Origin `json:"origin"`
	ReceivedAt    time.Time       `json:"received_at"`
	Events        []Event         `json:"events,omitempty"`
	Heartbeats    []Heartbeat     `json:"heartbeats,omitempty"`
}

// Recorded is what became of a delivery.
type Recorded struct {
	Events     int               `json:"events"`     // that were not on record
	Repeated   int               `json:"repeated"`   // that were
	Heartbeats int               `json:"heartbeats"` // taken
	Incidents  []incident.Folded `json:"incidents,omitempty"`
}

// Segment holds deliveries that are recorded together. It is how they get from the
// API to a worker: a file of one delivery a line, named by its digest, so that no
// payload lies in Temporal's history.
type Segment []Delivery

// Write writes the segment.
func (s Segment) Write(w io.Writer) error {
	out := json.NewEncoder(w)
	for _, d := range s {
		if err := out.Encode(d); err != nil {
			return fmt.Errorf("writing delivery of %s: %w", d.Source, err)
		}
	}
	return nil
}

// ReadSegment reads what Write wrote.
func ReadSegment(r io.Reader) (Segment, error) {
	var s Segment
	in := json.NewDecoder(bufio.NewReader(r))
	for {
		var d Delivery
		err := in.Decode(&d)
		if errors.Is(err, io.EOF) {
			return s, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading delivery %d: %w", len(s)+1, err)
		}
		s = append(s, d)
	}
}

// SegmentDigest is what the API's command to record a segment is bound to.
func SegmentDigest(sha256 string) (string, error) {
	return canonical.Digest("finobs.segment.v1", canonical.Object{"sha256": sha256})
}
