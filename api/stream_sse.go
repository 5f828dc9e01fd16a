package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"finobs/internal/stream"

	"github.com/gin-gonic/gin"
)

// reconnect is after how long a browser that lost a stream comes back.
const reconnect = 2 * time.Second

// events answers with streams as text/event-stream
// (https://html.spec.whatwg.org/multipage/server-sent-events.html).
func (s *Server) events(names ...stream.Name) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := checkOrigin(c.Request, s.streams.origins, false, s.DevInsecure); err != nil {
			s.deny(c, "authorize", err)
			return
		}
		f, release, err := s.streams.prepare(c, names)
		if err != nil {
			abort(c, err)
			return
		}
		defer release()
		out := &eventOutlet{c.Writer, http.NewResponseController(c.Writer)}
		// A stream outlasts the limits of ordinary requests; each write has its own.
		if err := out.control.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
			abort(c, err)
			return
		}
		h := c.Writer.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("X-Accel-Buffering", "no") // or nginx keeps events back
		c.Status(http.StatusOK)
		if out.begin(f.sub.Cursor()) != nil {
			return
		}
		if why := f.run(c.Request.Context(), out); why != closeBroken {
			out.close(why)
		}
	}
}

// eventOutlet writes a text/event-stream.
type eventOutlet struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (o *eventOutlet) write(text []byte) error {
	if err := o.control.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	_, err := o.w.Write(text)
	return err
}

// begin sets the cursor of the client, so that it resumes here even when nothing
// has come.
func (o *eventOutlet) begin(cursor int64) error {
	text := fmt.Appendf(nil, ": finobs\nretry: %d\n", reconnect.Milliseconds())
	if cursor >= 0 {
		text = fmt.Appendf(text, "id: %d\n", cursor)
	}
	if err := o.write(append(text, '\n')); err != nil {
		return err
	}
	return o.flush()
}

func (o *eventOutlet) send(f stream.Frame) error { return o.write(f.SSE) }

func (o *eventOutlet) flush() error { return o.control.Flush() }

// beat is a comment, and the cursor with it: who saw nothing for long resumes near
// the end all the same.
func (o *eventOutlet) beat(cursor int64) error {
	text := []byte(": alive\n")
	if cursor >= 0 {
		text = fmt.Appendf(text, "id: %d\n", cursor)
	}
	if err := o.write(append(text, '\n')); err != nil {
		return err
	}
	return o.flush()
}

// close is the last event. Nobody may be there to read it.
func (o *eventOutlet) close(why *closing) {
	text, err := json.Marshal(why)
	if err == nil && o.write(fmt.Appendf(nil, "event: close\ndata: %s\n\n", text)) == nil {
		_ = o.flush()
	}
}
