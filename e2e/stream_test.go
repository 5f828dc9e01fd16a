package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"finobs/internal/approval"
	"finobs/internal/ledger"

	"github.com/coder/websocket"
)

// The tests of this file share one stack without a worker, and run side by side.
func TestStreams(t *testing.T) {
	t.Parallel()
	w := newStreamWorld(t)
	a := w.api(t)
	for name, test := range map[string]func(*testing.T, *streamWorld, *streamAPI){
		"messages":        messagesAreAsDocumented,
		"desks":           nobodySeesAnotherDesk,
		"subjects":        theSubjectsDeskCounts,
		"one stream each": permissionsOfStreams,
		"expiry":          streamsEndWithTheToken,
		"suspended":       theSuspendedAreShutOut,
		"moved":           whoMovesSeesTheNewDesk,
		"origins":         foreignPagesAreRefused,
		"cursors":         cursorsThatAreNone,
		"limits":          limitsOfStreams,
		"incoming":        whatClientsSendMeansNothing,
		"slow":            theSlowAreClosed,
		"long":            streamsOutlastTheLimitsOfRequests,
		"stop":            aServerThatStopsSaysSo,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, w, a)
		})
	}
}

// both runs a test over both transports.
func both(t *testing.T, test func(t *testing.T, transport string)) {
	for _, transport := range []string{"ws", "sse"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			test(t, transport)
		})
	}
}

func messagesAreAsDocumented(t *testing.T, w *streamWorld, a *streamAPI) {
	both(t, func(t *testing.T, transport string) {
		got := collect(open(t, transport, a.address, "/approvals", w.tokenOf(t, somebody("vera-"+transport, "M-"+transport, "viewer"))))
		entry := decided("M-"+transport, "1")
		entry.Simulation = true
		w.record(t, 1, func(int) ledger.Entry { return entry })
		got.until(t, "1")
		m := got.messages()[0]
		if m.Stream != "approvals" || m.Type != "approval.decided" || m.Subject.Type != "approval" || m.Desk != "M-"+transport || !m.Simulation ||
			m.Actor.Type != "human" || m.Actor.Sub != "alice" || time.Since(m.At) > time.Minute {
			t.Errorf("got %+v", m)
		}
		index := text(t, w.stack, `SELECT leaf_index FROM ledger.leaf JOIN ledger.entry USING (entry_id) WHERE desk = $1`, "M-"+transport)
		if m.Cursor != index || transport == "sse" && m.id != index {
			t.Errorf("the cursor is %s, the id %s, the entry's index %s", m.Cursor, m.id, index)
		}
		raw := want(t, send2(t, a.address, "/sse/approvals", "", ""), http.StatusUnauthorized)
		if raw.str("type") != "urn:finobs:problem:not-authenticated" {
			t.Errorf("without a token: %s", raw.Body)
		}
	})
}

// send2 makes a request to an address; extra headers are names and values in turn.
func send2(t testing.TB, address, path, token, body string, headers ...string) reply {
	t.Helper()
	r, err := send(t, token, http.MethodGet, "http://"+address+path, body, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Entries of two desks and of none, interleaved: each reader gets what is his, all
// of it, in order, and nothing else.
func nobodySeesAnotherDesk(t *testing.T, w *streamWorld, a *streamAPI) {
	both(t, func(t *testing.T, transport string) {
		desk := func(name string) string { return name + "-" + transport }
		from := w.now(t)
		readers := map[string]approval.Principal{
			"viewer of A": somebody("va", desk("A"), "viewer"), "trader of A": somebody("ta", desk("A"), "trader"), "viewer of B": somebody("vb", desk("B"), "viewer"),
			"viewer of none": somebody("vn", "", "viewer"), "analyst of A": somebody("aa", desk("A"), "analyst"), "auditor": somebody("au", "", "auditor"),
		}
		streams := map[string]*collected{}
		for name, p := range readers {
			p.Subject += transport
			streams[name] = collect(open(t, transport, a.address, "/approvals?after="+from, w.tokenOf(t, p)))
		}
		desks := []string{desk("A"), desk("B"), ""}
		const each = 50
		for range each / 10 {
			w.record(t, 30, func(i int) ledger.Entry { return decided(desks[i%3], desk("d")) })
		}
		sees := map[string]int{"viewer of A": 2, "trader of A": 2, "viewer of B": 2, "viewer of none": 1, "analyst of A": 3, "auditor": 3}
		for name, c := range streams {
			p := readers[name]
			mine := func() (out []streamed) {
				for _, m := range c.messages() {
					if m.Subject.ID == "test-"+desk("d") {
						out = append(out, m)
					}
				}
				return out
			}
			eventually(t, name+" has all", func() bool { return len(mine()) >= sees[name]*each })
			if n := len(mine()); n != sees[name]*each {
				t.Errorf("%s got %d events, not %d", name, n, sees[name]*each)
			}
			last := -1
			for _, m := range c.messages() {
				if !approval.MaySee(p, m.Desk) {
					t.Errorf("%s got an event of desk %s", name, m.Desk)
				}
				n, err := strconv.Atoi(m.Cursor)
				if err != nil || n <= last {
					t.Errorf("%s got %s after %d", name, m.Cursor, last)
				}
				last = n
			}
		}
	})
}

// Some entries carry no desk, and some carry that of who acted: whose the subject
// is decides.
func theSubjectsDeskCounts(t *testing.T, w *streamWorld, a *streamAPI) {
	id := text(t, w.stack, `INSERT INTO finobs.incident (kind, severity, title, description, desk, source, dedup_key, subject_kind, subject_id, details, origin,
			opened_by_type, opened_by_iss, opened_by_sub, trace_id, opened_at, updated_at, system, owner, last_seen_at, began_at, firing_at, ladder_from, priority)
		VALUES ('other', 'low', 'title', '', 'SUBJECT', 'manual', 'subject', '', '', '{}', 'live', 'human', 'i', 's', '', now(), now(), '', '', now(), now(), now(), now(), 'p4')
		RETURNING incident_id`)
	mine := collect(open(t, "sse", a.address, "/incidents", w.tokenOf(t, somebody("sam", "SUBJECT", "viewer"))))
	other := collect(open(t, "sse", a.address, "/incidents", w.tokenOf(t, somebody("otto", "OTHER", "viewer"))))
	w.record(t, 3, func(i int) ledger.Entry {
		return ledger.Entry{
			Type: "notification.sent", Actor: ledger.Itself("worker"), Subject: ledger.Subject{Kind: "incident", ID: id},
			Action: "notify", Outcome: "sent", Desk: []string{"", "OTHER", "SUBJECT"}[i],
		}
	})
	w.record(t, 1, func(int) ledger.Entry {
		return ledger.Entry{Type: "incident.opened", Actor: ledger.Itself("worker"), Subject: ledger.Subject{Kind: "incident", ID: "test-end"}, Action: "open", Outcome: "done"}
	})
	mine.until(t, strings.Repeat(id+" ", 3)+"end")
	other.until(t, "end")
}

// Each stream asks for a permission of its own; /sse/all has those of the caller.
func permissionsOfStreams(t *testing.T, w *streamWorld, a *streamAPI) {
	for _, c := range []struct {
		role string
		all  string // streams within /sse/all
	}{{"viewer", "approvals incidents"}, {"trader", "approvals incidents"}, {"service", "approvals incidents"}, {"analyst", "approvals incidents"},
		{"compliance", "approvals incidents compliance"}, {"admin", "approvals incidents compliance"}, {"auditor", "approvals incidents compliance"}} {
		token := w.tokenOf(t, somebody("perm-"+c.role, "P-"+c.role, c.role))
		for _, name := range []string{"approvals", "incidents", "compliance"} {
			for transport, connect := range transports {
				s, status, err := connect(t.Context(), a.address, "/"+name, token)
				if err == nil {
					s.close()
				}
				if allowed := strings.Contains(c.all, name); allowed != (err == nil) || !allowed && status != http.StatusForbidden {
					t.Errorf("%s %s for a %s answers %d: %v", transport, name, c.role, status, err)
				}
			}
		}
		got := collect(open(t, "sse", a.address, "/all", token))
		w.record(t, 4, func(i int) ledger.Entry {
			e := decided("P-"+c.role, c.role)
			switch i {
			case 1:
				e.Type, e.Subject.Kind = "incident.opened", "incident"
			case 2:
				e.Type, e.Subject.Kind = "user.changed", "user"
			case 3:
				e.Subject.ID += "-end"
			}
			return e
		})
		of := func() (out []string) {
			for _, m := range got.messages() {
				if m.Subject.ID == "test-"+c.role {
					out = append(out, m.Stream)
				}
			}
			return out
		}
		eventually(t, "the end comes", func() bool { return strings.Contains(got.ids(), c.role+"-end") })
		if got := strings.Join(of(), " "); got != c.all {
			t.Errorf("/sse/all for a %s brought %q, not %q", c.role, got, c.all)
		}
	}
}

func streamsEndWithTheToken(t *testing.T, w *streamWorld, a *streamAPI) {
	both(t, func(t *testing.T, transport string) {
		began := time.Now()
		token := w.brief(t, somebody("brief-"+transport, "X", "viewer"), 4*time.Second)
		got := collect(open(t, transport, a.address, "/approvals", token)).ends(t, 20*time.Second)
		if took := time.Since(began); got != (closed{4001, "token-expired"}) || took < 2900*time.Millisecond || took > 8*time.Second {
			t.Errorf("it ended with %+v after %s", got, took)
		}
	})
}

// onRoster puts somebody on the roster who may be there already.
func (w *streamWorld) onRoster(t *testing.T, p approval.Principal) {
	t.Helper()
	if err := exec1(w.stack, `INSERT INTO finobs.person (person_key, iss, sub, kind, roles, desk, email, active, version, created_at, updated_at)
		VALUES ($1, $2, $3, 'human', string_to_array($4, ' '), $5, '', true, 1, now(), now()) ON CONFLICT DO NOTHING`, p.Key(), p.Issuer, p.Subject, strings.Join(p.Roles, " "), p.Desk); err != nil {
		t.Fatal(err)
	}
}

func theSuspendedAreShutOut(t *testing.T, w *streamWorld, a *streamAPI) {
	both(t, func(t *testing.T, transport string) {
		p := somebody("suspended-"+transport, "S", "analyst")
		w.onRoster(t, p)
		stays := collect(open(t, transport, a.address, "/approvals", w.tokenOf(t, somebody("stays-"+transport, "S", "analyst"))))
		got := collect(open(t, transport, a.address, "/approvals", w.tokenOf(t, p)))
		w.record(t, 1, func(int) ledger.Entry { return decided("S", "before") })
		eventually(t, "the event comes", func() bool { return strings.Contains(got.ids(), "before") })
		if err := exec1(w.stack, `UPDATE finobs.person SET active = false, version = 2 WHERE person_key = $1`, p.Key()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1200 * time.Millisecond) // a second, and the machine's own
		w.record(t, 1, func(int) ledger.Entry { return decided("S", "after-"+transport) })
		if end := got.ends(t, 5*time.Second); end != (closed{4003, "permission-lost"}) {
			t.Errorf("it ended with %+v", end)
		}
		eventually(t, "who stays sees what comes after", func() bool { return strings.Contains(stays.ids(), "after-"+transport) })
		if strings.Contains(got.ids(), "after-"+transport) {
			t.Error("somebody suspended saw what came after")
		}
	})
}

func whoMovesSeesTheNewDesk(t *testing.T, w *streamWorld, a *streamAPI) {
	both(t, func(t *testing.T, transport string) {
		old, next := "OLD-"+transport, "NEW-"+transport
		p := somebody("moves-"+transport, old, "trader")
		w.onRoster(t, p)
		got := collect(open(t, transport, a.address, "/approvals", w.tokenOf(t, p)))
		w.record(t, 2, func(i int) ledger.Entry { return decided([]string{old, next}[i], []string{"old", "new"}[i]+"-first") })
		eventually(t, "the first comes", func() bool { return strings.Contains(got.ids(), "old-first") })
		if err := exec1(w.stack, `UPDATE finobs.person SET desk = $2, version = 2 WHERE person_key = $1`, p.Key(), next); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1200 * time.Millisecond)
		w.record(t, 2, func(i int) ledger.Entry { return decided([]string{old, next}[i], []string{"old", "new"}[i]+"-second") })
		eventually(t, "the second comes", func() bool { return strings.Contains(got.ids(), "new-second") })
		if strings.Contains(got.ids(), "new-first") || strings.Contains(got.ids(), "old-second") {
			t.Errorf("it brought %s", got.ids())
		}
	})
}

func foreignPagesAreRefused(t *testing.T, w *streamWorld, _ *streamAPI) {
	a := w.api(t, "FINOBS_ORIGINS=https://ops.example.com,http://localhost:3000")
	token := w.token(t, "olga", "viewer")
	for origin, wanted := range map[string]int{
		"":                                 101,
		"http://" + a.address:              101,
		"https://" + a.address:             101, // behind a proxy that ends TLS
		"https://ops.example.com":          101,
		"https://OPS.example.com":          101,
		"http://localhost:3000":            101,
		"http://ops.example.com":           403,
		"https://ops.example.com.evil.org": 403,
		"https://evil.org":                 403,
		"http://localhost":                 403,
		"null":                             403,
		"file://":                          403,
		"https://evil.org@" + a.address:    403,
		a.address:                          403,
	} {
		conn, res, err := dialWS(t.Context(), a.address, "/ws/approvals", token, "Origin", origin)
		if err == nil {
			conn.CloseNow()
		}
		if res == nil || res.StatusCode != wanted {
			t.Errorf("origin %q: %v, %v", origin, res, err)
			continue
		}
		if wanted == 403 {
			body, _ := io.ReadAll(res.Body)
			if !strings.Contains(string(body), "urn:finobs:problem:foreign-origin") || !strings.Contains(string(body), "FINOBS_ORIGINS") {
				t.Errorf("origin %q: %s", origin, body)
			}
			if r := send2(t, a.address, "/sse/approvals", token, "", "Origin", origin); r.Status != 403 {
				t.Errorf("origin %q opens an event stream: %d", origin, r.Status)
			}
		}
	}
	if n := count(t, w.stack, `SELECT count(*) FROM ledger.entry WHERE type = 'security.denied' AND actor_sub = 'olga' AND reason LIKE 'pages of "https://evil.org"%'`); n == 0 {
		t.Error("a foreign page left no trace in the record")
	}
	for path, wanted := range map[string]int{
		"/ws/approvals?access_token=" + token: 401, "/sse/approvals?token=" + token: 401, "/ws/approvals": 401,
	} {
		if r := send2(t, a.address, path, "", ""); r.Status != wanted {
			t.Errorf("%.30s without a header answers %d", path, r.Status)
		}
	}
	if r := send2(t, a.address, "/sse/approvals?token=x", token, ""); r.Status != 400 || !strings.Contains(r.str("detail"), "Authorization") {
		t.Errorf("a token in the query: %d %s", r.Status, r.Body)
	}
	if r := send2(t, a.address, "/ws/approvals", token, ""); r.Status != http.StatusUpgradeRequired || !strings.Contains(r.str("detail"), "/sse/approvals") {
		t.Errorf("a GET that is no WebSocket: %d %s", r.Status, r.Body)
	}
}

func cursorsThatAreNone(t *testing.T, w *streamWorld, a *streamAPI) {
	token := w.token(t, "conny", "auditor")
	w.record(t, 1, func(int) ledger.Entry { return decided("", "one") })
	size := w.size(t)
	for query, code := range map[string]string{
		"after=":                                "invalid-cursor",
		"after=x":                               "invalid-cursor",
		"after=-1":                              "invalid-cursor",
		"after=1.0":                             "invalid-cursor",
		"after=99999999999999999999":            "invalid-cursor",
		"after=" + strconv.Itoa(size+1000000):   "cursor-ahead",
		"after=9223372036854775807":             "cursor-ahead",
		"before=1":                              "invalid-query",
		"after=" + strconv.Itoa(size-1) + "&x=": "invalid-query",
	} {
		for _, path := range []string{"/sse/approvals?", "/ws/approvals?"} {
			headers := []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}
			if r := send2(t, a.address, path+query, token, "", headers...); r.Status != 400 || r.str("type") != "urn:finobs:problem:"+code {
				t.Errorf("%s%s answers %d %s", path, query, r.Status, r.Body)
			}
		}
	}
	for header, status := range map[string]int{"x": 400, strconv.Itoa(size + 1000000): 400} {
		if r := send2(t, a.address, "/sse/approvals?after=0", token, "", "Last-Event-ID", header); r.Status != status {
			t.Errorf("Last-Event-ID %s answers %d", header, r.Status)
		}
	}
	both(t, func(t *testing.T, transport string) {
		got := collect(open(t, transport, a.address, "/compliance?after=0", token))
		logged := `FROM api.compliance_log WHERE leaf_index < ` + strconv.Itoa(size)
		n := count(t, w.stack, "SELECT count(*) "+logged)
		eventually(t, "all comes", func() bool { return len(got.messages()) >= n })
		indexes := text(t, w.stack, "SELECT string_agg(leaf_index::text, ' ' ORDER BY leaf_index) "+logged)
		var seen []string
		for _, m := range got.messages()[:n] {
			seen = append(seen, m.Cursor)
		}
		if strings.Join(seen, " ") != indexes {
			t.Errorf("from the beginning the stream has %v, the compliance log %s", seen, indexes)
		}
	})
	// What the header says wins over the address, as browsers resume with both.
	s, _, err := transports["sse"](t.Context(), a.address, "/compliance?after=0", token, "Last-Event-ID", strconv.Itoa(size-1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	got := collect(s)
	w.record(t, 1, func(int) ledger.Entry { return decided("", "two") })
	eventually(t, "something comes", func() bool { return len(got.messages()) > 0 })
	if first, err := strconv.Atoi(got.messages()[0].Cursor); err != nil || first < size {
		t.Errorf("resuming at %d brought %d", size-1, first)
	}
}

func limitsOfStreams(t *testing.T, w *streamWorld, _ *streamAPI) {
	a := w.api(t, "FINOBS_STREAMS_PER_PERSON=2", "FINOBS_STREAMS_IN_TOTAL=3")
	lea, leo := w.token(t, "lea", "viewer"), w.token(t, "leo", "viewer")
	first := open(t, "ws", a.address, "/approvals", lea)
	open(t, "sse", a.address, "/approvals", lea)
	for _, transport := range []string{"ws", "sse"} {
		if _, status, err := transports[transport](t.Context(), a.address, "/approvals", lea); status != http.StatusTooManyRequests {
			t.Errorf("a third stream over %s: %d, %v", transport, status, err)
		}
	}
	if r := send2(t, a.address, "/sse/approvals", w.token(t, "LEA", "viewer"), ""); r.Status != 429 || r.str("type") != "urn:finobs:problem:too-many-streams" || r.Header.Get("Retry-After") == "" {
		t.Errorf("her other spelling: %d %s", r.Status, r.Body)
	}
	open(t, "sse", a.address, "/approvals", leo)
	if r := send2(t, a.address, "/sse/approvals", leo, ""); r.Status != 503 || r.str("type") != "urn:finobs:problem:streams-full" || r.Header.Get("Retry-After") == "" {
		t.Errorf("over the total: %d %s", r.Status, r.Body)
	}
	first.close()
	eventually(t, "a place is free again", func() bool {
		s, _, err := transports["ws"](t.Context(), a.address, "/approvals", leo)
		if err == nil {
			s.close()
		}
		return err == nil
	})
}

func whatClientsSendMeansNothing(t *testing.T, w *streamWorld, a *streamAPI) {
	conn, res, err := dialWS(t.Context(), a.address, "/ws/approvals", w.tokenOf(t, somebody("chatty", "CHAT", "viewer")))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	if res.Header.Get("Sec-WebSocket-Extensions") != "" || res.Header.Get("X-Finobs-Cursor") == "" {
		t.Errorf("the upgrade answers %v", res.Header)
	}
	got := collect(&wsStream{t.Context(), conn})
	for range 20 {
		if err := conn.Write(t.Context(), websocket.MessageText, []byte(strings.Repeat("x", 1000))); err != nil {
			t.Fatal(err)
		}
	}
	w.record(t, 1, func(int) ledger.Entry { return decided("CHAT", "1") })
	got.until(t, "1")
	if err := conn.Write(t.Context(), websocket.MessageBinary, make([]byte, 2000)); err != nil {
		t.Fatal(err)
	}
	if end := got.ends(t, 20*time.Second); end.Code != int(websocket.StatusMessageTooBig) {
		t.Errorf("a message of 2,000 bytes ended it with %+v", end)
	}
}

// Ordinary requests end after a minute; streams do not, and show that they live.
func streamsOutlastTheLimitsOfRequests(t *testing.T, w *streamWorld, a *streamAPI) {
	token := w.tokenOf(t, somebody("patient", "LONG", "viewer"))
	events := open(t, "sse", a.address, "/approvals", token).(*sseStream)
	viaSSE, viaWS := collect(events), collect(open(t, "ws", a.address, "/approvals", token))
	time.Sleep(65 * time.Second)
	w.record(t, 1, func(int) ledger.Entry { return decided("LONG", "late") })
	for name, c := range map[string]*collected{"sse": viaSSE, "ws": viaWS} {
		eventually(t, "an event comes over "+name, func() bool { return strings.Contains(c.ids(), "late") })
	}
	viaSSE.mu.Lock()
	defer viaSSE.mu.Unlock()
	if n := events.beats.Load(); n < 4 {
		t.Errorf("%d heartbeats in 65 s", n)
	}
}

func aServerThatStopsSaysSo(t *testing.T, w *streamWorld, _ *streamAPI) {
	a := w.api(t)
	token := w.tokenOf(t, somebody("stopped", "STOP", "viewer"))
	viaSSE, viaWS := collect(open(t, "sse", a.address, "/approvals", token)), collect(open(t, "ws", a.address, "/approvals", token))
	began := time.Now()
	if err := a.process.Stop(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("stopping took %s", took)
	}
	for name, c := range map[string]*collected{"sse": viaSSE, "ws": viaWS} {
		if end := c.ends(t, time.Second); end != (closed{1001, "server-stopping"}) {
			t.Errorf("%s ended with %+v", name, end)
		}
	}
}

// A consumer that does not keep up is closed, and resumes where it was; whoever
// keeps up notices nothing.
func theSlowAreClosed(t *testing.T, w *streamWorld, _ *streamAPI) {
	a := w.api(t, "FINOBS_STREAM_BUFFER=600")
	token := w.tokenOf(t, somebody("slow", "SLOW", "viewer"))
	both(t, func(t *testing.T, transport string) {
		for attempt := 1; ; attempt++ {
			if end := tooSlow(t, w, a, token, transport, attempt); end.Code != 0 {
				return
			}
			// On a busy machine the link gives up before the buffer is full, and says
			// nothing then.
			if attempt == 4 {
				t.Fatal("the link gave up first, each time")
			}
		}
	})
}

// tooSlow has somebody read nothing of thousands of entries, and returns how his
// stream ended: without a code when the link gave up first.
func tooSlow(t *testing.T, w *streamWorld, a *streamAPI, token, transport string, attempt int) closed {
	t.Helper()
	const batch, batches, sent = 250, 12, 3000
	prefix := fmt.Sprintf("test-%s-%d-", transport, attempt)
	name := func(i int) string { return fmt.Sprintf("%s%06d-", prefix, i) }
	mine := func(c *collected) (out []streamed) {
		for _, m := range c.messages() {
			if strings.HasPrefix(m.Subject.ID, prefix) {
				out = append(out, m)
			}
		}
		return out
	}
	quick := collect(open(t, transport, a.address, "/approvals", token))
	slow, _, err := transports[transport](narrow(t.Context()), a.address, "/approvals", token)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(slow.close)
	for b := range batches {
		// All at once, and quicker than a link gives up: the leaves are none that
		// finaudit would know.
		if err := exec1(w.stack, `INSERT INTO ledger.entry (entry_id, idem_key, content_sha256, leaf, leaf_sha256, recorded_at, type, actor_type, actor_iss,
				actor_sub, subject_kind, subject_id, action, outcome, reason, desk, request_id, trace_id, workflow_id, is_simulation)
			SELECT lpad(to_hex($4::int + i), 32, '0')::uuid, sha256(name::bytea), '', name::bytea, sha256(name::bytea), now(), 'approval.decided', 'human', 'i',
				'alice', 'approval', name, 'approve', 'counted', '', 'SLOW', '', '', '', false
			FROM (SELECT format('%s%s-', $1::text, lpad(i::text, 6, '0')) || repeat('x', 4000) AS name, i
				FROM generate_series($2::int, $3::int) i) x`, prefix, b*batch, (b+1)*batch-1, len(transport)*100_000+attempt*10_000); err != nil {
			t.Fatal(err)
		}
		poll(t, "who is quick keeps up", 20*time.Millisecond, func() bool { return len(mine(quick)) >= (b+1)*batch })
	}
	seen, last := 0, ""
	var end *closed
	for end == nil {
		if seen == sent {
			t.Fatalf("all %d events came: nobody was slow", sent)
		}
		var m streamed
		if m, end = slow.next(); end != nil || !strings.HasPrefix(m.Subject.ID, prefix) {
			continue // the other transport's, or nobody's
		}
		if !strings.HasPrefix(m.Subject.ID, name(seen)) {
			t.Fatalf("%.40s came in the place of %s", m.Subject.ID, name(seen))
		}
		last = m.Cursor
		seen++
	}
	if *end == (closed{}) && seen < sent {
		return *end
	}
	if *end != (closed{4008, "slow-consumer"}) {
		t.Errorf("it ended with %+v after %d of %d events", *end, seen, sent)
	}
	again := collect(open(t, transport, a.address, "/approvals?after="+last, token))
	eventually(t, "all the rest comes", func() bool { return len(mine(again)) >= sent-seen })
	if rest := mine(again); len(rest) != sent-seen || !strings.HasPrefix(rest[0].Subject.ID, name(seen)) {
		t.Errorf("%d events came after %d of %d", len(rest), seen, sent)
	}
	if n := len(mine(quick)); n != sent {
		t.Errorf("who is quick got %d events of %d", n, sent)
	}
	t.Logf("the slow consumer got %d events of %d", seen, sent)
	return *end
}
