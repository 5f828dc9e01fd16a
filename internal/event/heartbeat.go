package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"finobs/internal/desk"
	"finobs/internal/fault"
	"finobs/internal/incident"

	jsonv2 "github.com/go-json-experiment/json"
)

// HeartbeatStatus is how a system says it is.
type HeartbeatStatus string

// The closed set of statuses of a heartbeat.
const (
	Up       HeartbeatStatus = "up"
	Degraded HeartbeatStatus = "degraded"
	Down     HeartbeatStatus = "down"
)

// DefaultEvery is how often a system is heard of when it does not say.
const DefaultEvery = 30 * time.Second

// Limits on heartbeats.
const (
	maxHeartbeats = 1000
	maxBeatDetail = 500 // bytes
	maxEvery      = 24 * time.Hour
)

// Heartbeat is a system's word that it lives.
type Heartbeat struct {
	System string
	Status HeartbeatStatus
	Detail string
	Every  time.Duration // until the next one; whole seconds
	At     time.Time     // by the system's clock; zero when it does not say
}

type heartbeatBody struct {
	System   string `json:"system"`
	Status   string `json:"status"`
	Detail   string `json:"detail"`
	Interval *int   `json:"interval_seconds"`
	At       string `json:"at"`
}

// ReadHeartbeats reads a JSON object {system, status, interval_seconds, at,
// detail}, of which only system is required, or a list of such objects. What is
// wrong is a fault of kind Invalid that names the element.
func ReadHeartbeats(body []byte) ([]Heartbeat, error) {
	text := bytes.TrimSpace(body)
	if len(text) == 0 {
		return nil, badBeat("the body is empty; send {\"system\": \"NAME\"}")
	}
	var list []json.RawMessage
	switch text[0] {
	case '{':
		list = []json.RawMessage{text}
	case '[':
		if err := jsonv2.Unmarshal(text, &list); err != nil {
			return nil, badBeat("the body is not JSON: %v", jsonProblem(err))
		}
	default:
		return nil, badBeat("the body begins with %q; send a JSON object {\"system\": \"NAME\"} or a list of them", string([]rune(string(text[:1]))))
	}
	if len(list) > maxHeartbeats {
		return nil, badBeat("there are %d heartbeats, over the limit of %d a body", len(list), maxHeartbeats)
	}
	out := make([]Heartbeat, 0, len(list))
	for i, raw := range list {
		var b heartbeatBody
		if err := jsonv2.Unmarshal(raw, &b, jsonv2.RejectUnknownMembers(true)); err != nil {
			return nil, badBeat("heartbeat %d: %v", i, jsonProblem(err))
		}
		h, err := b.heartbeat()
		if err != nil {
			return nil, badBeat("heartbeat %d: %v", i, err)
		}
		out = append(out, h)
	}
	return out, nil
}

func badBeat(format string, args ...any) error {
	return fault.New(fault.Invalid, "invalid-heartbeat", format, args...)
}

// jsonProblem cuts the library's name and Go's types out of its errors.
func jsonProblem(err error) string {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return "the text ends in the middle of a value"
	}
	return strings.TrimPrefix(strings.TrimPrefix(err.Error(), "json: "), "jsontext: ")
}

func (b heartbeatBody) heartbeat() (Heartbeat, error) {
	h := Heartbeat{System: b.System, Status: HeartbeatStatus(b.Status), Detail: b.Detail, Every: DefaultEvery}
	switch {
	case !name(b.System):
		return h, fmt.Errorf("system must have 1 to %d bytes, without control characters and spaces around it", maxSystem)
	case b.Status == "":
		h.Status = Up
	case h.Status != Up && h.Status != Degraded && h.Status != Down:
		return h, fmt.Errorf("status %q must be up, degraded or down", Cut(b.Status, maxBeatDetail))
	}
	if len(b.Detail) > maxBeatDetail || strings.ContainsRune(b.Detail, 0) {
		return h, fmt.Errorf("detail must have at most %d bytes, and no NUL", maxBeatDetail)
	}
	if b.Interval != nil {
		h.Every = time.Duration(*b.Interval) * time.Second
		if *b.Interval < 1 || *b.Interval > int(maxEvery/time.Second) {
			return h, fmt.Errorf("interval_seconds %d must be 1 to %d", *b.Interval, int(maxEvery/time.Second))
		}
	}
	if b.At == "" {
		return h, nil
	}
	at, err := time.Parse(time.RFC3339, b.At)
	if err != nil || !Plausible(at) {
		return h, fmt.Errorf("at %q must be an RFC 3339 time such as 2026-01-05T09:30:00Z", Cut(b.At, maxBeatDetail))
	}
	h.At = at.UTC()
	return h, nil
}

// name reports whether a text can name a system or a source.
func name(s string) bool {
	return s != "" && len(s) <= maxSystem && utf8.ValidString(s) && strings.TrimSpace(s) == s && !strings.ContainsFunc(s, unicode.IsControl)
}

// Beat is a heartbeat as it is recorded.
type Beat struct {
	Heartbeat
	Source string
	Origin incident.Origin
}

// Newest is the newest beat of each system, the first of them when several are of
// one time, ordered by system; and how many there are of each.
func Newest(list []Beat) ([]Beat, map[string]int64) {
	newest, counts := map[string]Beat{}, map[string]int64{}
	for _, b := range list {
		counts[b.System]++
		if there, known := newest[b.System]; !known || b.At.After(there.At) {
			newest[b.System] = b
		}
	}
	out := make([]Beat, 0, len(newest))
	for _, system := range slices.Sorted(maps.Keys(newest)) {
		out = append(out, newest[system])
	}
	return out, counts
}

// Occurrence is what an incident makes of a beat: a system that says it is not
// well is a condition until it says that it is.
func (b Beat) Occurrence() incident.Occurrence {
	severity := desk.Medium
	if b.Status == Down {
		severity = desk.High
	}
	return incident.Occurrence{
		Key: Bounded("beat/" + b.System + "/" + b.At.UTC().Format(time.RFC3339Nano)), Firing: b.Status != Up, At: b.At, AutoResolve: true,
		Incident: incident.Incident{
			Kind: incident.SystemOutage, Severity: severity, Status: incident.Open,
			Title: Cut(b.System+" says that it is "+string(b.Status), MaxTitle), Description: b.Detail,
			Source: b.Source, DedupKey: Bounded("status:" + b.System), SubjectKind: "system", SubjectID: b.System, System: b.System,
			Origin: b.Origin, OpenedBy: Detector(), Details: map[string]string{"status": string(b.Status)},
		},
	}
}
