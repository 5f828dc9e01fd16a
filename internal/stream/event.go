// Package stream hands the entries of the log to those who listen, in the order of
// the log, each once. It is pure but for the Source it reads from: a Hub keeps the
// newest events in one window that all subscriptions share, and each subscription
// is nothing but a cursor into the log.
package stream

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"finobs/internal/ledger"
)

// Name is the name of a stream.
type Name string

// The closed set of streams.
const (
	Approvals  Name = "approvals"
	Incidents  Name = "incidents"
	Compliance Name = "compliance"
)

// All lists the streams. An entry that is in several is sent once to who reads
// several, under the first of them.
func All() []Name { return []Name{Approvals, Incidents, Compliance} }

// Entry is what streams know of an entry of the log.
type Entry struct {
	Index       int64
	Type        string // empty: the entry that has the place is gone
	RecordedAt  time.Time
	SubjectKind string
	SubjectID   string
	Desk        string // of the subject, or else of the entry; empty for none
	ActorType   string
	ActorSub    string
	Simulation  bool
}

// complianceFamilies are the first words of the types in the compliance log; view
// api.compliance_log has the same.
var complianceFamilies = []string{"approval", "effect", "export", "user", "policy", "security", "agent", "schedule", "workflow", "activity"}

// in reports whether the entry is in a stream.
func (e Entry) in(name Name) bool {
	family, _, _ := strings.Cut(e.Type, ".")
	switch name {
	case Approvals:
		return e.SubjectKind == "approval" || e.SubjectKind == "delegation" || family == "effect"
	case Incidents:
		return e.SubjectKind == "incident" || e.SubjectKind == "maintenance_window" || e.SubjectKind == "agent_stop"
	case Compliance:
		return slices.Contains(complianceFamilies, family)
	}
	return false
}

// Event is an entry in the form in which it is sent, made once for all who get it.
type Event struct {
	Index  int64
	Desk   string
	frames map[Name]Frame
}

// Frame is an event as one stream sends it.
type Frame struct {
	SSE []byte // an event of text/event-stream, with the blank line at its end
	at  int    // where its JSON begins
}

// JSON is the message that the frame carries.
func (f Frame) JSON() []byte { return f.SSE[f.at : len(f.SSE)-2] }

// Frame is the event as a stream sends it, when it is in that stream.
func (e *Event) Frame(name Name) (Frame, bool) {
	f, ok := e.frames[name]
	return f, ok
}

// message is the JSON of an event. It holds nothing that a person wrote.
type message struct {
	Cursor     string  `json:"cursor"`
	Stream     Name    `json:"stream"`
	Type       string  `json:"type"`
	At         string  `json:"at"`
	Subject    subject `json:"subject"`
	Desk       string  `json:"desk"`
	Simulation bool    `json:"is_simulation"`
	Actor      actor   `json:"actor"`
}

type subject struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

type actor struct {
	Type string `json:"type"`
	Sub  string `json:"sub"`
}

// NewEvent makes the event of an entry; nil when it is in no stream.
func NewEvent(e Entry) (*Event, error) {
	out := Event{Index: e.Index, Desk: e.Desk}
	for _, name := range All() {
		if e.Type == "" || !e.in(name) {
			continue
		}
		frame, err := e.frame(name)
		if err != nil {
			return nil, err
		}
		if out.frames == nil {
			out.frames = map[Name]Frame{}
		}
		out.frames[name] = frame
	}
	if out.frames == nil {
		return nil, nil
	}
	return &out, nil
}

func (e Entry) frame(name Name) (Frame, error) {
	cursor := strconv.FormatInt(e.Index, 10)
	text, err := json.Marshal(message{
		Cursor: cursor, Stream: name, Type: e.Type, At: ledger.FormatTime(e.RecordedAt), Subject: subject{e.SubjectKind, e.SubjectID},
		Desk: e.Desk, Simulation: e.Simulation, Actor: actor{e.ActorType, e.ActorSub},
	})
	if err != nil {
		return Frame{}, fmt.Errorf("encoding leaf %d: %w", e.Index, err)
	}
	head := "id: " + cursor + "\ndata: "
	sse := make([]byte, 0, len(head)+len(text)+2)
	sse = append(append(append(sse, head...), text...), '\n', '\n')
	return Frame{SSE: sse, at: len(head)}, nil
}
