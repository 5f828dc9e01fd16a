package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"finobs/internal/approval"
	"finobs/internal/identity"
)

// engine is the stack of the tests of the approval engine: a roster, and a policy
// for each shape of quorum. It starts with the first test that needs it and stops
// with the last test of the binary.
var engine struct {
	sync.Once
	*stack
	err error
}

func engineStack(t *testing.T) *stack {
	t.Helper()
	engine.Do(func() { engine.stack, engine.err = startEngine(filepath.Join(filepath.Dir(bin), "engine")) })
	if engine.err != nil {
		t.Fatal(engine.err)
	}
	return engine.stack
}

func stopEngine() {
	if engine.stack != nil {
		engine.stop()
	}
}

func startEngine(dir string) (*stack, error) {
	s, err := newStack(dir)
	if err != nil {
		return nil, err
	}
	policies, err := filepath.Abs("testdata/engine.yaml")
	if err != nil {
		return s, err
	}
	roster := filepath.Join(dir, "roster.yaml")
	if err := os.WriteFile(roster, []byte(rosterText()), 0o644); err != nil {
		return s, err
	}
	s.Settings()["FINOBS_POLICIES"], s.Settings()["FINOBS_ROSTER"] = policies, roster
	if err := s.startWorker(""); err != nil {
		return s, err
	}
	return s, s.startAPI("FINOBS_ANSWER_WAIT=20s")
}

// The roster of the engine's stack is everybody in roles, beside two whose tokens
// say more than the roster: lost, who was an analyst once, and gone, who has left.
func rosterText() string {
	var b strings.Builder
	b.WriteString("version: 1\npeople:\n")
	for name, role := range roles {
		fmt.Fprintf(&b, "  - {iss: %s, sub: %s, roles: [%s], desk: EQ}\n", identity.DevIssuer, name, strings.ReplaceAll(role, " ", ", "))
	}
	fmt.Fprintf(&b, "  - {iss: %s, sub: lost, roles: [viewer], desk: EQ}\n", identity.DevIssuer)
	fmt.Fprintf(&b, "  - {iss: %s, sub: gone, roles: [analyst], desk: EQ, inactive: true}\n", identity.DevIssuer)
	return b.String()
}

// asks has somebody ask for an action of a kind; members are put into the body as
// they are.
func (s *stack) asks(t *testing.T, who, kind string, members ...string) exportCase {
	t.Helper()
	body := fmt.Sprintf(`{"kind":%q,"parameters":{"n":"%d"},"reason":"because"`, kind, unique.Add(1))
	body += strings.Join(append([]string{""}, members...), ",") + "}"
	r := want(t, s.call(t, who, "POST", "/approval/", body), http.StatusAccepted)
	e := exportCase{s: s, id: r.str("approval_request_id")}
	e.untilStatus(t, "pending")
	return e
}

// does posts to one of the request's routes.
func (e exportCase) does(t testing.TB, who, what, body string) reply {
	t.Helper()
	return e.s.call(t, who, "POST", "/approval/"+e.id+"/"+what, body)
}

// detail reads the request as somebody sees it.
func (e exportCase) detail(t testing.TB, who string) map[string]any {
	t.Helper()
	r := want(t, e.s.call(t, who, "GET", "/approval/"+e.id, ""), http.StatusOK)
	var v map[string]any
	if err := json.Unmarshal(r.Body, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// receipt reads the request's receipt.
func (e exportCase) receipt(t testing.TB) approval.Receipt {
	t.Helper()
	r := want(t, e.s.call(t, "eve", "GET", "/approval/"+e.id+"/receipt", ""), http.StatusOK)
	var out approval.Receipt
	if err := json.Unmarshal(r.Body, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// entryBy wants exactly one entry of a type about the request, by an actor and
// with a reason.
func (e exportCase) entryBy(t testing.TB, kind, actor, reason string) {
	t.Helper()
	n := count(t, e.s, `SELECT count(*) FROM ledger.entry WHERE subject_kind = 'approval' AND subject_id = $1 AND type = $2
		AND actor_sub = $3 AND reason = $4`, e.id, kind, actor, reason)
	if n != 1 {
		var there string
		scan(t, e.s, &there, `SELECT coalesce(string_agg(type || ' by ' || actor_sub || ': ' || reason, '; ' ORDER BY recorded_at), '')
			FROM ledger.entry WHERE subject_kind = 'approval' AND subject_id = $1`, e.id)
		t.Errorf("approval %s has %d entries %s by %s with reason %q, want 1; it has %s", e.id, n, kind, actor, reason, there)
	}
}

// refusedAs wants a problem with a status, a code and words in its detail.
func refusedAs(t testing.TB, r reply, status int, code, words string) {
	t.Helper()
	if r.Status != status || !strings.HasSuffix(r.str("type"), ":"+code) || !strings.Contains(r.str("detail"), words) {
		t.Errorf("answered %d %s, want %d %s with %q in the detail: %s", r.Status, r.str("type"), status, code, words, r.Body)
	}
}

// soon is a time in the near future as JSON.
func soon(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }
