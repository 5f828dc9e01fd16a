// Package e2e_test runs finobs as its users do: the real binary in processes of
// its own, Postgres, Temporal, HTTP. Its binary is built with the tag failpoint,
// so that tests can kill a process at a named place.
package e2e_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"finobs/internal/approval"
	"finobs/internal/devstack"
	"finobs/internal/identity"
	"finobs/internal/keys"

	"go.temporal.io/sdk/client"
)

// world is the stack that most tests share.
var world *stack

// stack is a development stack with its API and one worker as processes.
type stack struct {
	*devstack.Stack
	api, worker, sequencer *devstack.Process
	temporal               client.Client
	superuser              *sql.DB // a connection for each look would cost the database more than the look
}

var bin string // folder of the binaries

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "finobs-e2e-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return 1, err
	}
	bin = filepath.Join(dir, "bin")
	build := exec.Command("go", "build", "-tags", "failpoint", "-o", bin+"/", "../cmd/finobs", "../cmd/finaudit")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("building: %w\n%s", err, out)
	}
	if world, err = newStack(filepath.Join(dir, "world")); err != nil {
		return 1, err
	}
	defer world.stop()
	defer stopEngine()
	defer stopDeliveries()
	if err := world.start(); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// stateDir is a folder for a stack of a test's own; the built tools are in it.
func stateDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "finobs-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(lastWords(dir))
		}
		os.RemoveAll(dir)
	})
	tools, err := filepath.Abs("../.finobs/bin")
	if err != nil {
		t.Fatal(err)
	}
	// Postgres, which may run as another user, must get in.
	if err := errors.Join(os.Chmod(dir, 0o755), os.Symlink(tools, filepath.Join(dir, "bin"))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// ownStack is a stack of a test's own that runs; before changes its settings while
// nothing but the sequencer does.
func ownStack(t *testing.T, before ...func(*stack)) *stack {
	t.Helper()
	s := bareStack(t)
	for _, change := range before {
		change(s)
	}
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	return s
}

// bareStack is a stack of a test's own of which only the servers and the sequencer run.
func bareStack(t *testing.T) *stack {
	t.Helper()
	s, err := newStack(stateDir(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(waitsFor(s.temporal))
		}
		s.stop()
	})
	return s
}

// newStack brings servers up, with the state in dir.
func newStack(dir string) (*stack, error) {
	// Not the port that every stack prefers: whoever starts while this API is down for
	// a moment would take it.
	port, err := devstack.FreePort(0)
	if err != nil {
		return nil, err
	}
	s, err := devstack.Start(context.Background(), devstack.Options{Dir: dir, BinDir: "../.finobs/bin", APIPort: port, Out: os.Stderr})
	if err != nil {
		return nil, err
	}
	w := &stack{Stack: s}
	if w.superuser, err = sql.Open("postgres", s.AdminURL); err != nil {
		w.stop()
		return nil, err
	}
	w.superuser.SetConnMaxIdleTime(time.Second) // tests restart databases
	migrate := exec.Command(filepath.Join(bin, "finobs"), "migrate", "up")
	migrate.Env = os.Environ()
	for name, value := range s.Settings() {
		migrate.Env = append(migrate.Env, name+"="+value)
	}
	if out, err := migrate.CombinedOutput(); err != nil {
		w.stop()
		return nil, fmt.Errorf("migrating: %w\n%s", err, out)
	}
	if w.temporal, err = client.Dial(client.Options{HostPort: s.Settings()["TEMPORAL_ADDRESS"]}); err != nil {
		return w, err
	}
	return w, w.startSequencer()
}

func (s *stack) start() error {
	if err := s.startAPI(); err != nil {
		return err
	}
	if err := s.startWorker(""); err != nil {
		return err
	}
	// A test may replace the worker at once by one that only records; where exports
	// can go is known by then.
	for range 600 {
		if err := exec1(s, "SELECT 1 / count(*) FROM finobs.destination"); err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("the worker does not tell where exports can go; see %s", s.Path("logs", "worker.log"))
}

func (s *stack) startAPI(env ...string) (err error) {
	s.api, err = s.Launch("api", append([]string{"FINOBS_ANSWER_WAIT=5s"}, env...), filepath.Join(bin, "finobs"), "api")
	if err != nil {
		return err
	}
	for range 1200 { // a minute: the machine may be busy with other packages' tests
		res, err := http.Get("http://" + s.APIAddress + "/healthz")
		if err == nil {
			res.Body.Close()
			return nil
		}
		select {
		case <-s.api.Done():
			text, _ := os.ReadFile(s.Path("logs", "api.log"))
			return fmt.Errorf("the API ended at once: %s", text[max(0, len(text)-2000):])
		case <-time.After(50 * time.Millisecond):
		}
	}
	return fmt.Errorf("the API does not answer; see %s", s.Path("logs", "api.log"))
}

// startSequencer lets the log grow, which exports wait for.
func (s *stack) startSequencer() (err error) {
	s.sequencer, err = s.Launch("sequencer", nil, filepath.Join(bin, "finobs"), "sequencer")
	return err
}

func (s *stack) startWorker(failpoint string, args ...string) (err error) {
	s.worker, err = s.Launch("worker", []string{"FINOBS_FAILPOINT=" + failpoint}, filepath.Join(bin, "finobs"), append([]string{"worker"}, args...)...)
	return err
}

// restartWorker replaces the worker by one that dies at a failpoint, or by an
// ordinary one when it is "".
func (s *stack) restartWorker(t *testing.T, failpoint string, args ...string) {
	t.Helper()
	if err := s.worker.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.startWorker(failpoint, args...); err != nil {
		t.Fatal(err)
	}
}

func (s *stack) stop() {
	for _, p := range []*devstack.Process{s.api, s.worker, s.sequencer} {
		if p != nil {
			p.Kill() //nolint:errcheck // it may be dead already
		}
	}
	if s.temporal != nil {
		s.temporal.Close()
	}
	if s.superuser != nil {
		s.superuser.Close()
	}
	if err := s.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
	}
}

// token mints a token of the stack's identity key.
func (s *stack) token(t testing.TB, name string, roles ...string) string {
	t.Helper()
	return s.tokenOf(t, approval.Principal{
		Person: approval.Person{Issuer: identity.DevIssuer, Subject: name}, Kind: approval.Human, Roles: roles, Desk: "EQ",
	})
}

func (s *stack) tokenOf(t testing.TB, p approval.Principal) string {
	t.Helper()
	key, err := keys.Load(s.Path("keys", "identity.pem"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := identity.Mint(context.Background(), key, p, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// reply is an HTTP answer in full.
type reply struct {
	Status int
	Header http.Header
	Body   []byte
}

// str reads a member of a JSON answer as text.
func (r reply) str(name string) string {
	dec := json.NewDecoder(bytes.NewReader(r.Body))
	dec.UseNumber()
	var members map[string]any
	if dec.Decode(&members) != nil || members[name] == nil {
		return ""
	}
	return fmt.Sprint(members[name])
}

// people of the tests and their roles.
var roles = map[string]string{
	"alice": "analyst", "bob": "analyst", "carol": "compliance", "dave": "admin", "eve": "auditor", "victor": "viewer",
	"ann": "analyst", "arno": "analyst", "axel": "analyst", "cora": "compliance", "cyril": "compliance", "cleo": "compliance",
	"ada": "admin", "abel": "admin", "bea": "admin compliance", "tim": "trader",
}

// call makes a request as one of the people; "" sends no token.
func (s *stack) call(t testing.TB, who, method, path, body string, headers ...string) reply {
	t.Helper()
	r, err := s.try(t, who, method, path, body, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (s *stack) try(t testing.TB, who, method, path, body string, headers ...string) (reply, error) {
	t.Helper()
	token := ""
	if who != "" {
		role := roles[who]
		if role == "" {
			role = "analyst"
		}
		token = s.token(t, who, strings.Fields(role)...)
	}
	return send(t, token, method, "http://"+s.APIAddress+path, body, headers...)
}

// callURL makes a request with a token to any URL.
func callURL(t testing.TB, token, method, url, body string) reply {
	t.Helper()
	r, err := send(t, token, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func send(t testing.TB, token, method, url, body string, headers ...string) (reply, error) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, res.Header, text}, err
}

// want fails the test unless the answer has the status.
func want(t testing.TB, r reply, status int) reply {
	t.Helper()
	if r.Status != status {
		t.Fatalf("answered %d, not %d: %s", r.Status, status, r.Body)
	}
	return r
}

// eventually polls for a minute and a half, soon at first: what takes long is asked
// for less often, as asking takes the time of those who work on it.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	poll(t, what, 200*time.Millisecond, holds)
}

// poll is eventually with pauses of at most latest.
func poll(t testing.TB, what string, latest time.Duration, holds func() bool) {
	t.Helper()
	pause := min(20*time.Millisecond, latest)
	for deadline := time.Now().Add(90 * time.Second); time.Now().Before(deadline); time.Sleep(pause) {
		if holds() {
			return
		}
		pause = min(pause*5/4, latest)
	}
	t.Fatalf("waited in vain until %s", what)
}

var unique atomic.Int64

// export is an export that one test asks for; its desk filter makes it an action
// of its own.
type exportCase struct {
	s    *stack
	path string
	id   string
}

// ask has alice ask for a new export and waits until it is recorded.
func (s *stack) ask(t *testing.T) exportCase {
	t.Helper()
	e := exportCase{s: s, path: fmt.Sprintf("/incidents/export?format=ndjson&desk=T%d", unique.Add(1))}
	e.id = want(t, s.call(t, "alice", "POST", e.path, ""), http.StatusAccepted).str("approval_request_id")
	e.untilStatus(t, "pending")
	return e
}

// status is where the approval stands; "" while it is not on record.
func (e exportCase) status(t testing.TB) string {
	t.Helper()
	r := e.s.call(t, "alice", "GET", "/approval/"+e.id, "")
	if r.Status != http.StatusOK {
		return "" // a problem has a status of its own
	}
	return r.str("status")
}

func (e exportCase) untilStatus(t *testing.T, wanted string) {
	t.Helper()
	eventually(t, "approval "+e.id+" is "+wanted, func() bool { return e.status(t) == wanted })
}

func (e exportCase) decide(t testing.TB, who, verdict string) reply {
	t.Helper()
	return e.s.call(t, who, "POST", "/approval/"+e.id+"/decision", `{"decision":"`+verdict+`","reason":"seen"}`)
}

func (e exportCase) workflowID(t testing.TB) string {
	t.Helper()
	return e.s.call(t, "alice", "GET", "/approval/"+e.id, "").str("workflow_id")
}

// entries counts the ledger entries of a type about the approval.
func (e exportCase) entries(t testing.TB, kind string) int {
	t.Helper()
	return count(t, e.s, "SELECT count(*) FROM ledger.entry WHERE subject_kind = 'approval' AND subject_id = $1 AND type = $2", e.id, kind)
}
