package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"finobs/internal/approval"
	"finobs/internal/devstack"
	"finobs/internal/identity"
	"finobs/internal/keys"
	"finobs/internal/ledger"
	"finobs/internal/store"

	"github.com/coder/websocket"
)

// streamWorld is a stack without a worker: what the tests of streams record is all
// that enters its log, beside what its APIs refuse.
type streamWorld struct {
	*stack
	writer *store.Writer
}

func newStreamWorld(t *testing.T) *streamWorld {
	t.Helper()
	s := bareStack(t)
	w := &streamWorld{stack: s}
	var err error
	if w.writer, err = store.OpenWriter(t.Context(), s.Settings()["FINOBS_WORKER_DATABASE_URL"]); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.writer.Close() })
	return w
}

// streamAPI is an API process of a test's own.
type streamAPI struct {
	w       *streamWorld
	name    string
	address string
	process *devstack.Process
}

func (w *streamWorld) api(t *testing.T, env ...string) *streamAPI {
	t.Helper()
	port, err := devstack.FreePort(0)
	if err != nil {
		t.Fatal(err)
	}
	a := &streamAPI{w: w, name: fmt.Sprintf("api-%d", unique.Add(1)), address: fmt.Sprintf("127.0.0.1:%d", port)}
	t.Cleanup(func() {
		if a.process != nil {
			a.process.Kill() //nolint:errcheck // it may be dead already
		}
	})
	a.start(t, env...)
	return a
}

func (a *streamAPI) start(t *testing.T, env ...string) {
	t.Helper()
	var err error
	a.process, err = a.w.Launch(a.name, append([]string{"FINOBS_LISTEN=" + a.address}, env...), filepath.Join(bin, "finobs"), "api")
	if err != nil {
		t.Fatal(err)
	}
	// A stream is refused with 503 until the log was read once.
	token := a.w.token(t, "eve", "auditor")
	eventually(t, a.name+" streams", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		res, err := openSSE(ctx, a.address, "/sse/approvals", token)
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

// appender is all that a test needs of a transaction of the writer.
type appender interface {
	Append(ctx context.Context, step ledger.Step, e ledger.Entry) (ledger.Receipt, error)
}

// record appends n entries in one transaction.
func (w *streamWorld) record(t testing.TB, n int, entry func(i int) ledger.Entry) {
	t.Helper()
	id := fmt.Sprintf("stream-test-%d", unique.Add(1))
	err := store.InTx[appender](w.writer)(context.Background(), func(tx appender) error {
		for i := range n {
			if _, err := tx.Append(context.Background(), ledger.Step{Workflow: ledger.Workflow{ID: id}, Step: "test", Ordinal: strconv.Itoa(i)}, entry(i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// decided is an entry about a request of a desk. No such request is on record, so
// its desk is the entry's.
func decided(desk, id string) ledger.Entry {
	return ledger.Entry{
		Type: "approval.decided", Actor: ledger.Actor{Kind: approval.Human, Person: approval.Person{Issuer: identity.DevIssuer, Subject: "alice"}},
		Subject: ledger.Subject{Kind: "approval", ID: "test-" + id}, Action: "approve", Outcome: "counted", Reason: "a secret reason", Desk: desk,
	}
}

// size is how long the log is, once all that was recorded is in it.
func (w *streamWorld) size(t testing.TB) int {
	t.Helper()
	var leaves int
	eventually(t, "all entries are sequenced", func() bool {
		leaves = count(t, w.stack, "SELECT count(*) FROM ledger.leaf")
		return leaves == count(t, w.stack, "SELECT count(*) FROM ledger.entry")
	})
	return leaves
}

// now is the cursor of the last entry, of which there is one at least.
func (w *streamWorld) now(t testing.TB) string {
	t.Helper()
	w.record(t, 1, func(int) ledger.Entry { return decided("NOW", "now") })
	return strconv.Itoa(w.size(t) - 1)
}

// brief mints a token that is valid for ttl.
func (w *streamWorld) brief(t testing.TB, p approval.Principal, ttl time.Duration) string {
	t.Helper()
	key, err := keys.Load(w.Path("keys", "identity.pem"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := identity.Mint(context.Background(), key, p, time.Now(), ttl)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func somebody(name, desk string, roles ...string) approval.Principal {
	return approval.Principal{Person: approval.Person{Issuer: identity.DevIssuer, Subject: name}, Kind: approval.Human, Roles: roles, Desk: desk}
}

// streamed is a message of a stream.
type streamed struct {
	Cursor  string
	Stream  string
	Type    string
	At      time.Time
	Subject struct{ Type, ID string }
	Desk    string
	Actor   struct{ Type, Sub string }

	Simulation bool   `json:"is_simulation"`
	id         string // of SSE
}

// closed is how a stream ended: the code and reason that the server gave, or 0.
type closed struct {
	Code   int
	Reason string
}

// stream is one open stream of either kind.
type openStream interface {
	// next waits for a message; closed when there is no more.
	next() (streamed, *closed)
	close()
}

// transports open a stream: path is without /ws or /sse, with the query.
var transports = map[string]func(ctx context.Context, address, path, token string, headers ...string) (openStream, int, error){
	"ws": func(ctx context.Context, address, path, token string, headers ...string) (openStream, int, error) {
		conn, res, err := dialWS(ctx, address, "/ws"+path, token, headers...)
		if err != nil {
			if res != nil {
				return nil, res.StatusCode, err
			}
			return nil, 0, err
		}
		return &wsStream{ctx, conn}, res.StatusCode, nil
	},
	"sse": func(ctx context.Context, address, path, token string, headers ...string) (openStream, int, error) {
		res, err := openSSE(ctx, address, "/sse"+path, token, headers...)
		if err != nil {
			return nil, 0, err
		}
		if res.StatusCode != http.StatusOK {
			text, _ := io.ReadAll(res.Body)
			res.Body.Close()
			return nil, res.StatusCode, errors.New(string(text))
		}
		return &sseStream{body: res.Body, lines: bufio.NewReader(res.Body)}, res.StatusCode, nil
	},
}

func open(t testing.TB, transport, address, path, token string) openStream {
	t.Helper()
	s, status, err := transports[transport](t.Context(), address, path, token)
	if err != nil {
		t.Fatalf("%s%s answers %d: %v", transport, path, status, err)
	}
	t.Cleanup(s.close)
	return s
}

func headersOf(token string, headers []string) http.Header {
	h := http.Header{}
	if token != "" {
		h.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return h
}

func dialWS(ctx context.Context, address, path, token string, headers ...string) (*websocket.Conn, *http.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return websocket.Dial(ctx, "ws://"+address+path, &websocket.DialOptions{HTTPClient: streamClient, HTTPHeader: headersOf(token, headers)})
}

type wsStream struct {
	ctx  context.Context
	conn *websocket.Conn
}

func (s *wsStream) next() (m streamed, end *closed) {
	_, text, err := s.conn.Read(s.ctx)
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	var frame websocket.CloseError
	switch {
	case errors.As(err, &frame):
		return m, &closed{int(frame.Code), frame.Reason}
	case err != nil:
		return m, &closed{}
	}
	return m, nil
}

func (s *wsStream) close() { s.conn.CloseNow() }

// streamClient has a connection for each stream, and no limits.
var streamClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dialLink}}

type narrowLink struct{}

// narrow makes links that hold less on the way than the megabytes that the system
// would take, so that whoever does not read is soon waited for. A window below the
// size of one segment of the loopback, 64 KiB, would hardly move at all.
func narrow(ctx context.Context) context.Context { return context.WithValue(ctx, narrowLink{}, true) }

func dialLink(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	if ctx.Value(narrowLink{}) != nil {
		d.Control = func(_, _ string, c syscall.RawConn) error {
			// Before the link stands: the window that is offered then is never exceeded.
			var failed error
			err := c.Control(func(fd uintptr) {
				failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 256<<10)
			})
			return errors.Join(err, failed)
		}
	}
	return d.DialContext(ctx, network, address)
}

func openSSE(ctx context.Context, address, path, token string, headers ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header = headersOf(token, headers)
	return streamClient.Do(req)
}

// sseStream reads text/event-stream as its standard says: an event that is not
// ended by a blank line is none, and neither is its id.
type sseStream struct {
	body  io.ReadCloser
	lines *bufio.Reader
	last  string // id
	beats atomic.Int64
}

func (s *sseStream) next() (m streamed, end *closed) {
	var id, event, data string
	seen := false
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			return m, &closed{}
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == ": alive\n":
			s.beats.Add(1)
		case name == "id":
			id, seen = value, true
		case name == "event":
			event = value
		case name == "data":
			data += value
		case line == "\n":
			if seen {
				s.last = id
			}
			if event == "close" {
				end := &closed{}
				if json.Unmarshal([]byte(data), end) != nil {
					end.Reason = data
				}
				return m, end
			}
			if data != "" {
				m.id = id
				if err := json.Unmarshal([]byte(data), &m); err != nil {
					return m, &closed{Reason: err.Error()}
				}
				return m, nil
			}
			seen = false
		}
	}
}

func (s *sseStream) close() { s.body.Close() }

// collected is what a stream brings, read in the background.
type collected struct {
	mu   sync.Mutex
	all  []streamed
	end  *closed
	over chan struct{}
}

func collect(s openStream) *collected {
	c := &collected{over: make(chan struct{})}
	go func() {
		defer close(c.over)
		for {
			m, end := s.next()
			c.mu.Lock()
			if end != nil {
				c.end = end
				c.mu.Unlock()
				return
			}
			c.all = append(c.all, m)
			c.mu.Unlock()
		}
	}()
	return c
}

func (c *collected) messages() []streamed {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]streamed(nil), c.all...)
}

// ids are the subjects of the messages, in order.
func (c *collected) ids() string {
	var out []string
	for _, m := range c.messages() {
		out = append(out, strings.TrimPrefix(m.Subject.ID, "test-"))
	}
	return strings.Join(out, " ")
}

// ends waits for the end of a stream.
func (c *collected) ends(t testing.TB, within time.Duration) closed {
	t.Helper()
	select {
	case <-c.over:
		return *c.end
	case <-time.After(within):
		t.Fatalf("the stream did not end within %s", within)
		return closed{}
	}
}

func (c *collected) until(t testing.TB, ids string) {
	t.Helper()
	poll(t, "the stream brings "+ids, 50*time.Millisecond, func() bool { return c.ids() == ids || len(c.ids()) > len(ids) })
	if got := c.ids(); got != ids {
		t.Fatalf("the stream brought %q, not %q", got, ids)
	}
}
