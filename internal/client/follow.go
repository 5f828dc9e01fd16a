package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tmaxmax/go-sse"
)

// Streams that can be followed: each by itself, and all that the caller may read.
const (
	StreamIncidents  = "incidents"
	StreamApprovals  = "approvals"
	StreamCompliance = "compliance"
	StreamAll        = "all"
)

// Event is one message of a stream; docs/streams.md describes its members.
type Event struct {
	Cursor  string    `json:"cursor"` // leaf index in the log, decimal
	Stream  string    `json:"stream"`
	Type    string    `json:"type"` // of the ledger entry, such as approval.decided
	At      time.Time `json:"at"`
	Subject struct {
		Type string `json:"type"`
		ID   string `json:"id"`
	} `json:"subject"`
	Desk         string `json:"desk"`
	IsSimulation bool   `json:"is_simulation"`
	Actor        struct {
		Type string `json:"type"`
		Sub  string `json:"sub"`
	} `json:"actor"`

	JSON json.RawMessage `json:"-"` // as it was sent
}

// Following is how a stream is followed. The zero value is fit for use.
type Following struct {
	After   string                               // cursor of the last event that was seen; "": from now on
	Silence time.Duration                        // without a heartbeat for so long, the connection is dead; default 45 s
	First   time.Duration                        // wait before the second try, doubled for each one after it; default 500 ms
	Longest time.Duration                        // that a wait becomes; default 30 s
	Broken  func(why error, again time.Duration) // told when a connection is lost; nil: nobody
}

// Defaults of Following. The server sends a heartbeat every 15 s.
const (
	silence     = 45 * time.Second
	firstWait   = 500 * time.Millisecond
	longestWait = 30 * time.Second
)

// maxEvent is how long an event may be, in bytes. What is longer is no event of ours.
const maxEvent = 256 << 10

// errSilent ends a connection over which no heartbeat comes.
var errSilent = errors.New("no heartbeat came")

// Follow calls each for every event of a stream, each once and in the order of the
// log. It connects again whenever the connection is lost, after the last event that
// it saw, and returns when ctx ends, when each fails, or when the API refuses.
func (c *Client) Follow(ctx context.Context, stream string, f Following, each func(Event) error) error {
	if f.Silence == 0 {
		f.Silence = silence
	}
	if f.First == 0 {
		f.First = firstWait
	}
	if f.Longest == 0 {
		f.Longest = longestWait
	}
	if f.Broken == nil {
		f.Broken = func(error, time.Duration) {}
	}
	t := &tail{client: c, path: "/sse/" + stream, Following: f, each: each}
	if err := t.start(ctx); err != nil {
		return err
	}
	for wait := f.First; ; wait = min(2*wait, f.Longest) {
		before := t.events
		err := t.connect(ctx)
		var stop *stopped
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &stop):
			return stop.error
		case t.events > before:
			wait = f.First
		}
		// Those who lost the same server do not all come back at once.
		again := wait/2 + rand.N(wait/2+1) //nolint:gosec // nobody gains by guessing it
		f.Broken(err, again)
		select {
		case <-time.After(again):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// stopped is an error that connecting again does not mend.
type stopped struct{ error }

// tail is a stream as far as it was seen.
type tail struct {
	Following
	client *Client
	path   string
	each   func(Event) error
	last   int64           // cursor of the last event, once there was one
	seen   map[string]bool // streams that had an event at last
	events int
}

// start fixes where "from now on" begins, so that what happens between a connection
// that is lost before its first event and the next one is not missed.
func (t *tail) start(ctx context.Context) error {
	t.last = -1
	if t.After != "" {
		at, err := strconv.ParseInt(t.After, 10, 64)
		if err != nil || at < 0 {
			return fmt.Errorf("%q is no cursor; give the number of an event, such as 123", t.After)
		}
		t.last = at
		return nil
	}
	res, err := t.client.GetLogCheckpoint(ctx)
	if err != nil {
		return nil // the log has no checkpoint yet; the server's own "now" serves
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxEvent))
	if err != nil {
		return fmt.Errorf("reading the log's checkpoint: %w", err)
	}
	// https://c2sp.org/tlog-checkpoint: the origin, then the number of entries.
	if lines := strings.SplitN(string(text), "\n", 3); len(lines) == 3 {
		if size, err := strconv.ParseInt(lines[1], 10, 64); err == nil && size > 0 {
			t.last, t.After = size-1, strconv.FormatInt(size-1, 10)
		}
	}
	return nil
}

// connect reads events until the connection ends, which is always an error.
func (t *tail) connect(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := request{method: http.MethodGet, path: t.path, header: values{"Accept": "text/event-stream"}}
	switch {
	case t.events > 0:
		r.header["Last-Event-ID"] = strconv.FormatInt(t.last, 10)
	case t.After != "":
		r.query = values{"after": t.After}
	}
	alarm := time.AfterFunc(t.Silence, func() { cancel(errSilent) })
	defer alarm.Stop()
	res, err := open(ctx, t.client, r)
	if err != nil {
		return final(errors.Join(err, context.Cause(ctx)))
	}
	defer res.Body.Close()
	for e, err := range sse.Read(heard{res.Body, func() { alarm.Reset(t.Silence) }}, &sse.ReadConfig{MaxEventSize: maxEvent}) {
		if err != nil {
			return fmt.Errorf("reading the stream: %w", errors.Join(err, context.Cause(ctx)))
		}
		if err := t.take(e); err != nil {
			return err
		}
	}
	return fmt.Errorf("reading the stream: %w", io.ErrUnexpectedEOF)
}

// take hands an event on, unless it was handed on before. One entry of the log may be
// an event of several streams.
func (t *tail) take(from sse.Event) error {
	if from.Data == "" {
		return nil
	}
	e := Event{JSON: json.RawMessage(from.Data)}
	if err := json.Unmarshal(e.JSON, &e); err != nil {
		return fmt.Errorf("reading an event: %w", err)
	}
	at, err := strconv.ParseInt(e.Cursor, 10, 64)
	if err != nil || e.Cursor != from.LastEventID && from.LastEventID != "" {
		return fmt.Errorf("event %q has the cursor %q", from.LastEventID, e.Cursor)
	}
	if at > t.last {
		t.last, t.seen = at, map[string]bool{}
	} else if at < t.last || t.seen[e.Stream] || t.events == 0 {
		return nil
	}
	t.seen[e.Stream] = true
	t.events++
	if err := t.each(e); err != nil {
		return &stopped{err}
	}
	return nil
}

// final says of a refusal whether another try may do better: a server that is down or
// busy is tried again, one that says no is believed.
func final(err error) error {
	switch status := StatusOf(err); {
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status/100 != 4:
		return err
	}
	return &stopped{err}
}

// heard tells that bytes came.
type heard struct {
	io.Reader
	tell func()
}

// Read implements io.Reader.
func (h heard) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	if n > 0 {
		h.tell()
	}
	return n, err
}
