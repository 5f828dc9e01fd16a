package e2e_test

import (
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"finobs/internal/ledger"
)

// cutter stands between a client and API processes, and cuts connections after so
// many bytes of answers. Connections go to the processes in turn.
type cutter struct {
	l    net.Listener
	to   []string
	mean int // bytes

	mu    sync.Mutex
	left  int // cuts to come
	conns int
	rand  *rand.Rand
}

func startCutter(t *testing.T, cuts, mean int, to ...string) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c := &cutter{l: l, to: to, mean: mean, left: cuts, rand: rand.New(rand.NewPCG(8, uint64(cuts)))}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go c.relay(client)
		}
	}()
	return c
}

func (c *cutter) remaining() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.left
}

// relay passes bytes on until the connection's are spent.
func (c *cutter) relay(client net.Conn) {
	defer client.Close()
	c.mu.Lock()
	server, err := net.Dial("tcp", c.to[c.conns%len(c.to)])
	c.conns++
	budget := 1 + c.rand.IntN(2*c.mean)
	c.mu.Unlock()
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, err := client.Read(buffer)
			if _, writeErr := server.Write(buffer[:n]); err != nil || writeErr != nil {
				server.Close()
				return
			}
		}
	}()
	buffer := make([]byte, 4096)
	for {
		n, err := server.Read(buffer)
		if c.remaining() > 0 && n >= budget {
			c.mu.Lock()
			c.left--
			c.mu.Unlock()
			_, _ = client.Write(buffer[:budget]) // within a message, as it happens
			return
		}
		if budget -= n; budget < 1 {
			budget = 1
		}
		if _, writeErr := client.Write(buffer[:n]); err != nil || writeErr != nil {
			return
		}
	}
}

// follower reads a stream through all that happens to its link, and resumes where
// it was: by the cursor of the last message, or the last id.
type follower struct {
	transport, address, path, token string

	mu     sync.Mutex
	cursor string
	seen   []string // cursors
	breaks int
}

func (f *follower) run(t *testing.T) {
	for t.Context().Err() == nil {
		f.mu.Lock()
		path := f.path + "?after=" + f.cursor
		f.mu.Unlock()
		s, _, err := transports[f.transport](t.Context(), f.address, path, f.token)
		if err != nil {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		for {
			m, end := s.next()
			f.mu.Lock()
			if sse, ok := s.(*sseStream); ok && sse.last != "" {
				f.cursor = sse.last
			}
			if end != nil {
				f.breaks++
				f.mu.Unlock()
				break
			}
			f.cursor, f.seen = m.Cursor, append(f.seen, m.Cursor)
			f.mu.Unlock()
		}
		s.close()
	}
}

func (f *follower) has() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.seen)
}

// follow starts followers of both kinds.
func follow(t *testing.T, path, from, token string, addresses map[string]string) map[string]*follower {
	t.Helper()
	out := map[string]*follower{}
	var all sync.WaitGroup
	for transport, address := range addresses {
		f := &follower{transport: transport, address: address, path: path, token: token, cursor: from}
		out[transport] = f
		all.Go(func() { f.run(t) })
	}
	t.Cleanup(all.Wait)
	return out
}

// exactly waits until a follower has all of the wanted, and compares.
func (f *follower) exactly(t *testing.T, wanted string) {
	t.Helper()
	n := strings.Count(wanted, " ") + 1
	poll(t, f.transport+" has all", 100*time.Millisecond, func() bool { return len(f.has()) >= n })
	time.Sleep(300 * time.Millisecond) // for more than all
	got := f.has()
	if strings.Join(got, " ") == wanted {
		return
	}
	for i, cursor := range strings.Fields(wanted) {
		if i >= len(got) || got[i] != cursor {
			t.Fatalf("%s: the %dth event is not %s: %v", f.transport, i, cursor, got[i:min(i+3, len(got))])
		}
	}
	t.Fatalf("%s: %d events, not %d", f.transport, len(got), n)
}

// Ten thousand events reach readers whose links are cut fifty times, anywhere, and
// who come to one API process and to the other in turn: each event is seen once,
// in order.
func TestTenThousandEventsOverALinkThatIsCut(t *testing.T) {
	t.Parallel()
	w := newStreamWorld(t)
	one, two := w.api(t), w.api(t)
	from := w.now(t)
	const events, cuts = 10_000, 50
	// An event is some 250 bytes; the links are spent before the events are.
	cutters := map[string]*cutter{"ws": startCutter(t, cuts, 20_000, one.address, two.address), "sse": startCutter(t, cuts, 20_000, two.address, one.address)}
	addresses := map[string]string{}
	for transport, c := range cutters {
		addresses[transport] = c.l.Addr().String()
	}
	readers := follow(t, "/approvals", from, w.tokenOf(t, somebody("lin", "LINK", "viewer")), addresses)
	for range events / 100 {
		// Half of what is recorded besides is another desk's.
		w.record(t, 200, func(i int) ledger.Entry { return decided([]string{"LINK", "ELSEWHERE"}[i%2], "e") })
	}
	w.size(t)
	wanted := text(t, w.stack, `SELECT string_agg(leaf_index::text, ' ' ORDER BY leaf_index) FROM ledger.leaf JOIN ledger.entry USING (entry_id)
		WHERE desk = 'LINK' AND leaf_index > $1::bigint`, from)
	if n := strings.Count(wanted, " ") + 1; n != events {
		t.Fatalf("%d events were recorded", n)
	}
	for transport, f := range readers {
		f.exactly(t, wanted)
		if left := cutters[transport].remaining(); left != 0 {
			t.Errorf("the link of %s was cut %d times, not %d", transport, cuts-left, cuts)
		}
		t.Logf("%s: %d events over %d connections", transport, events, cutters[transport].conns)
	}
}

// An API process that is killed loses nothing for those who resume.
func TestStreamsResumeAfterAKill(t *testing.T) {
	t.Parallel()
	w := newStreamWorld(t)
	a := w.api(t)
	from := w.now(t)
	readers := follow(t, "/approvals", from, w.tokenOf(t, somebody("kim", "KILL", "viewer")), map[string]string{"ws": a.address, "sse": a.address})
	entry := func(int) ledger.Entry { return decided("KILL", "e") }
	for round := range 3 {
		w.record(t, 100, entry)
		for _, f := range readers {
			poll(t, "events come", 50*time.Millisecond, func() bool { return len(f.has()) > round*200 })
		}
		if err := a.process.Kill(); err != nil {
			t.Fatal(err)
		}
		w.record(t, 100, entry)
		a.start(t)
	}
	w.size(t)
	wanted := text(t, w.stack, `SELECT string_agg(leaf_index::text, ' ' ORDER BY leaf_index) FROM ledger.leaf JOIN ledger.entry USING (entry_id)
		WHERE desk = 'KILL'`)
	for transport, f := range readers {
		f.exactly(t, wanted)
		if f.breaks < 3 {
			t.Errorf("%s was broken off %d times", transport, f.breaks)
		}
	}
}

// The database's notifications are a nudge and no more: without them, and after an
// outage of the database, nothing is lost.
func TestStreamsWithoutNudges(t *testing.T) {
	t.Parallel()
	w := newStreamWorld(t)
	a := w.api(t)
	from := w.now(t)
	readers := follow(t, "/approvals", from, w.tokenOf(t, somebody("nora", "NUDGE", "viewer")), map[string]string{"ws": a.address, "sse": a.address})
	entry := func(int) ledger.Entry { return decided("NUDGE", "e") }
	for range 5 {
		w.record(t, 20, entry)
		// All connections of the API end, the listening one among them.
		if err := exec1(w.stack, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'finobs_api'`); err != nil {
			t.Fatal(err)
		}
		w.record(t, 20, entry)
	}
	w.size(t)
	wanted := text(t, w.stack, `SELECT string_agg(leaf_index::text, ' ' ORDER BY leaf_index) FROM ledger.leaf JOIN ledger.entry USING (entry_id) WHERE desk = 'NUDGE'`)
	for transport, f := range readers {
		f.exactly(t, wanted)
		if f.breaks > 0 {
			t.Errorf("%s was broken off %d times by an outage of the database", transport, f.breaks)
		}
	}
}
