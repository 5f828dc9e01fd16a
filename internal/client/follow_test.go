package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"finobs/internal/client"

	"pgregory.net/rapid"
)

// streamServer sends the events of a log of which every third entry is an event of two
// streams, and cuts the connection after some of them.
type streamServer struct {
	size        int
	cut         func(connection int) int // how many events a connection carries
	connections atomic.Int64
	asked       chan *http.Request // how each connection was asked for, if anybody looks
	checkpoint  string
}

func (s *streamServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/log/checkpoint" {
		if s.checkpoint == "" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = fmt.Fprint(w, s.checkpoint)
		return
	}
	n := int(s.connections.Add(1))
	if s.asked != nil {
		s.asked <- r
	}
	from := r.URL.Query().Get("after")
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		from = id
	}
	next := 0
	if from != "" {
		last, err := strconv.Atoi(from)
		if err != nil {
			w.WriteHeader(http.StatusUnprocessableEntity)
			return
		}
		next = last + 1
	}
	w.Header().Set("Content-Type", "text/event-stream")
	left := s.cut(n)
	_, _ = fmt.Fprint(w, ": heartbeat\n\n")
	for ; next < s.size && left > 0; next, left = next+1, left-1 {
		streams := []string{"incidents"}
		if next%3 == 0 {
			streams = []string{"approvals", "compliance"}
		}
		for _, stream := range streams {
			_, _ = fmt.Fprintf(w, "id: %d\nevent: x\ndata: {\"cursor\":\"%d\",\"stream\":%q,\"type\":\"x.y\",\"subject\":{\"type\":\"a\",\"id\":\"7\"}}\n\n", next, next, stream)
		}
	}
	_, _ = fmt.Fprint(w, "id: 99\ndata: {\"cursor\":") // and breaks off
}

var errSeen = errors.New("seen enough")

// follow collects events until so many were seen.
func follow(t interface{ Fatal(...any) }, ctx context.Context, s *streamServer, f client.Following, want int) []string {
	server := httptest.NewServer(s)
	defer server.Close()
	var seen []string
	if f.First == 0 {
		f.First, f.Longest = time.Microsecond, time.Millisecond
	}
	err := client.New(server.URL, "t", server.Client()).Follow(ctx, client.StreamAll, f, func(e client.Event) error {
		seen = append(seen, e.Cursor+" "+e.Stream)
		if len(seen) == want {
			return errSeen
		}
		return nil
	})
	if !errors.Is(err, errSeen) {
		t.Fatal(err, len(seen))
	}
	return seen
}

// Whatever is cut where, each event is seen once, in order.
func TestEachEventIsSeenOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.IntRange(1, 60).Draw(rt, "events")
		first := rapid.IntRange(-1, size-2).Draw(rt, "after")
		cuts := rapid.SliceOfN(rapid.IntRange(0, 5), 1, 20).Draw(rt, "cuts")
		s := &streamServer{size: size, cut: func(n int) int { return 1 + cuts[n%len(cuts)] }}
		var want []string
		for i := first + 1; i < size; i++ {
			if i%3 == 0 {
				want = append(want, fmt.Sprintf("%d approvals", i), fmt.Sprintf("%d compliance", i))
			} else {
				want = append(want, fmt.Sprintf("%d incidents", i))
			}
		}
		f := client.Following{}
		if first >= 0 {
			f.After = strconv.Itoa(first)
		}
		if got := follow(rt, t.Context(), s, f, len(want)); strings.Join(got, "; ") != strings.Join(want, "; ") {
			rt.Fatalf("saw %v\nnot %v", got, want)
		}
	})
}

func TestTenThousandEventsOverALinkThatIsCutFiftyTimes(t *testing.T) {
	s := &streamServer{size: 10_000, cut: func(int) int { return 200 }}
	got := follow(t, t.Context(), s, client.Following{}, 10_000+10_000/3+1)
	if got[0] != "0 approvals" || got[len(got)-1] != "9999 compliance" {
		t.Errorf("from %s to %s", got[0], got[len(got)-1])
	}
	if n := s.connections.Load(); n < 50 {
		t.Errorf("%d connections", n)
	}
}

// It begins where the log stands, asks first with after and then with the last event.
func TestHowAStreamIsAskedFor(t *testing.T) {
	s := &streamServer{size: 12, cut: func(int) int { return 1 }, asked: make(chan *http.Request, 9), checkpoint: "finobs dev log\n10\nroot\n\n— sig\n"}
	if got := follow(t, t.Context(), s, client.Following{}, 2); got[0] != "10 incidents" {
		t.Errorf("saw %v", got)
	}
	first, second := <-s.asked, <-s.asked
	if first.URL.Path != "/sse/all" || first.URL.Query().Get("after") != "9" || first.Header.Get("Last-Event-ID") != "" {
		t.Errorf("first %s, %v", first.URL, first.Header)
	}
	if second.URL.RawQuery != "" || second.Header.Get("Last-Event-ID") != "10" || second.Header.Get("Accept") != "text/event-stream" {
		t.Errorf("then %s, %v", second.URL, second.Header)
	}
}

func TestARefusalEndsIt(t *testing.T) {
	tries := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tries++
		if tries < 4 { // the checkpoint, and two tries
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = fmt.Fprint(w, `{"detail":"the token has expired"}`)
	}))
	defer server.Close()
	var broken []string
	err := client.New(server.URL, "t", server.Client()).Follow(t.Context(), client.StreamApprovals, client.Following{
		First: time.Microsecond, Broken: func(why error, again time.Duration) { broken = append(broken, why.Error()) },
	}, func(client.Event) error { return nil })
	if client.StatusOf(err) != http.StatusUnauthorized || len(broken) != 2 || !strings.Contains(broken[0], "503") {
		t.Errorf("%v after %q", err, broken)
	}
	if err := client.New(server.URL, "t", server.Client()).Follow(t.Context(), "approvals", client.Following{After: "x"}, nil); err == nil || !strings.Contains(err.Error(), "no cursor") {
		t.Errorf("got %v", err)
	}
}

// A connection without a heartbeat is given up.
func TestSilenceIsNoConnection(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/log/checkpoint" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprint(w, ": heartbeat\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var why error
	err := client.New(server.URL, "t", server.Client()).Follow(ctx, client.StreamAll, client.Following{
		Silence: 20 * time.Millisecond, First: time.Millisecond, Broken: func(err error, _ time.Duration) { why = err; cancel() },
	}, func(client.Event) error { return nil })
	if !errors.Is(err, context.Canceled) || why == nil || !strings.Contains(why.Error(), "no heartbeat came") {
		t.Errorf("%v; %v", err, why)
	}
}

func FuzzFollow(f *testing.F) {
	f.Add("id: 1\ndata: {\"cursor\":\"1\"}\n\n")
	f.Add(": x\n\nid: 5\ndata: {}\n\n")
	f.Add("data: {\"cursor\":\"-1\"}\n\ndata: [\n\n")
	f.Fuzz(func(t *testing.T, stream string) {
		done := false
		doer := doerFunc(func(r *http.Request) (*http.Response, error) {
			answer := httptest.NewRecorder()
			switch {
			case r.URL.Path != "/sse/all":
				answer.WriteHeader(http.StatusServiceUnavailable)
			case done:
				answer.WriteHeader(http.StatusForbidden)
			default:
				done = true
				_, _ = answer.WriteString(stream)
			}
			return answer.Result(), nil
		})
		last := int64(-1)
		err := client.New("http://x", "", doer).Follow(t.Context(), client.StreamAll, client.Following{First: time.Nanosecond}, func(e client.Event) error {
			at, err := strconv.ParseInt(e.Cursor, 10, 64)
			if err != nil || at < last {
				t.Errorf("cursor %q after %d", e.Cursor, last)
			}
			last = at
			return nil
		})
		if client.StatusOf(err) != http.StatusForbidden {
			t.Errorf("got %v", err)
		}
	})
}

type doerFunc func(*http.Request) (*http.Response, error)

func (f doerFunc) Do(r *http.Request) (*http.Response, error) { return f(r) }
