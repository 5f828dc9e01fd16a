package api

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"time"

	"finobs/internal/stream"

	"github.com/coder/websocket"
	"github.com/gin-gonic/gin"
)

const (
	// maxIncoming is how long a message of a client may be, in bytes. Its content is
	// ignored.
	maxIncoming = 1 << 10
	// pongTimeout is how long a client may take to answer a ping.
	pongTimeout = 10 * time.Second
)

// cursorHeader tells a client of a WebSocket where its stream begins.
const cursorHeader = "X-Finobs-Cursor"

// socket answers with a stream as a WebSocket (RFC 6455).
func (s *Server) socket(name stream.Name) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := checkOrigin(c.Request, s.streams.origins, true, s.DevInsecure); err != nil {
			s.deny(c, "authorize", err)
			return
		}
		if !websocketAsked(c.Request) {
			c.Header("Upgrade", "websocket")
			abort(c, newProblem(c.Request.Context(), http.StatusUpgradeRequired, "not-a-websocket",
				"this route answers WebSockets; GET /sse/"+string(name)+" sends the same as text/event-stream"))
			return
		}
		f, release, err := s.streams.prepare(c, []stream.Name{name})
		if err != nil {
			abort(c, err)
			return
		}
		defer release()
		c.Header(cursorHeader, strconv.FormatInt(max(f.sub.Cursor(), 0), 10)) // 0: from the beginning
		// The origin was checked above, and answered with a problem.
		conn, err := websocket.Accept(c.Writer, c.Request, &websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled})
		if err != nil {
			c.Abort() // Accept has answered
			return
		}
		f.serve(c.Request.Context(), conn)
	}
}

// websocketAsked reports whether a request wants what Accept gives; the rest of
// the handshake is Accept's to judge.
func websocketAsked(r *http.Request) bool {
	return r.ProtoMajor == 1 && r.Header.Get("Sec-WebSocket-Key") != "" && r.Header.Get("Upgrade") != ""
}

// serve runs the stream and closes the connection.
func (f *feed) serve(ctx context.Context, conn *websocket.Conn) {
	defer conn.CloseNow() //nolint:errcheck // it is closed or broken already
	conn.SetReadLimit(maxIncoming)
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	// Reading has a context of its own: when that ends, the connection is cut, and
	// the close frame would not be sent.
	reading, stopReading := context.WithCancel(context.WithoutCancel(ctx))
	defer stopReading()
	go func() { end(listen(reading, conn)) }()
	go func() { end(keepAlive(ctx, reading, conn)) }()
	late := time.AfterFunc(sendTimeout, func() { _ = conn.CloseNow() })
	late.Stop()
	why := f.run(ctx, socketOutlet{conn, late})
	if why != closeBroken {
		_ = conn.Close(websocket.StatusCode(why.Code), why.Reason) // waits for the client's own for a while
	}
}

// listen reads what a client sends, which means nothing, until the link is gone.
// Pings, pongs and closes are answered meanwhile.
func listen(ctx context.Context, conn *websocket.Conn) error {
	for {
		_, message, err := conn.Reader(ctx)
		if err == nil {
			_, err = io.Copy(io.Discard, message)
		}
		if err != nil {
			return closeBroken
		}
	}
}

// keepAlive pings the client until one is not answered in time, or ctx ends.
func keepAlive(ctx, reading context.Context, conn *websocket.Conn) error {
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		pong, cancel := context.WithTimeout(reading, pongTimeout)
		err := conn.Ping(pong)
		cancel()
		if err != nil {
			return closeBroken
		}
	}
}

// socketOutlet writes messages of a WebSocket, each when it is sent.
type socketOutlet struct {
	conn *websocket.Conn
	late *time.Timer // cuts the connection
}

func (o socketOutlet) send(f stream.Frame) error {
	// Not the stream's own context: a message that is cut short ends the connection
	// without a word. One timer for all messages costs less than a context for each.
	o.late.Reset(sendTimeout)
	defer o.late.Stop()
	return o.conn.Write(context.Background(), websocket.MessageText, f.JSON())
}

func (o socketOutlet) flush() error { return nil }

func (o socketOutlet) beat(int64) error { return nil } // pings go their own way
