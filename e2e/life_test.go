package e2e_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"finobs/internal/devstack"
	"finobs/internal/notify"

	"go.temporal.io/api/workflowservice/v1"
)

// hookSecret signs what the webhook of a life stack posts.
const hookSecret = "a secret of the tests, long enough"

// life is a stack of a test's own whose people are told of requests: by mail to a
// real mail server, and by a webhook that the test answers.
type life struct {
	*stack
	mail devstack.MailpitConfig
	hook *receiver
}

// newLife brings servers up, without any process of finobs.
func newLife(t *testing.T, policies, people string) *life {
	t.Helper()
	s := bareStack(t)
	l := &life{stack: s, hook: newReceiver(t)}
	l.mail = devstack.MailpitConfig{Log: s.Path("logs", "mailpit.log"), SMTPPort: freePort(t), HTTPPort: freePort(t), DB: s.Path("mails.db")}
	var err error
	if l.mail.Bin, err = devstack.EnsureMailpit(context.Background(), "../.finobs/bin", os.Stderr); err != nil {
		t.Fatal(err)
	}
	channels := fmt.Sprintf(`version: 1
channels:
  - name: mail
    smtp: {host: 127.0.0.1, port: %d, tls: none, from: finobs@desk.example}
  - name: hook
    webhook: {url: %q, secret_file: hook.secret, allow_private: true}
`, l.mail.SMTPPort, l.hook.URL)
	for name, file := range map[string]struct{ name, text string }{
		"FINOBS_POLICIES": {"policies.yaml", "version: 1\npolicies:\n" + policies}, "FINOBS_ROSTER": {"roster.yaml", "version: 1\npeople:\n" + people},
		"FINOBS_CHANNELS": {"channels.yaml", channels}, "": {"hook.secret", hookSecret},
	} {
		if err := os.WriteFile(s.Path(file.name), []byte(file.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if name != "" {
			s.Settings()[name] = s.Path(file.name)
		}
	}
	return l
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := devstack.FreePort(0)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// member is a line of a roster file.
func member(name, role string) string {
	return fmt.Sprintf("  - {iss: finobs-dev, sub: %s, roles: [%s], desk: EQ, email: %s@desk.example}\n", name, role, name)
}

// startMail starts the mail server, which the test stops.
func (l *life) startMail(t *testing.T) *mailbox {
	t.Helper()
	m, err := devstack.StartMailpit(context.Background(), l.mail)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Stop(); err != nil {
			t.Error(err)
		}
	})
	return &mailbox{m}
}

// mailbox counts what the mail server got.
type mailbox struct{ *devstack.Mailpit }

// about lists the mails about an approval.
func (m *mailbox) about(t *testing.T, id string) (out []devstack.MailpitMessage) {
	t.Helper()
	all, err := m.Messages(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, mail := range all {
		if strings.Contains(strings.ToLower(mail.Subject)+" ", "approval "+id+" ") {
			out = append(out, mail)
		}
	}
	return out
}

// counts counts the mails about an approval that carry a notice, by its id.
func (m *mailbox) counts(t *testing.T, id, noticeID string) (n int) {
	t.Helper()
	for _, mail := range m.about(t, id) {
		if strings.HasPrefix(mail.MessageID, noticeID+"@") {
			n++
		}
	}
	return n
}

// posted is one call of the webhook.
type posted struct {
	key, body string
	valid     error // what notify.Verify says
	status    int   // the answer
}

// receiver is a webhook's other end.
type receiver struct {
	*httptest.Server
	mu      sync.Mutex
	answers []int // to the next calls, in order; then 200
	calls   []posted
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		text, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		p := posted{
			key: req.Header.Get(notify.HeaderIdempotencyKey), body: string(text), status: http.StatusOK,
			valid: notify.Verify([]byte(hookSecret), req.Header, text, time.Now(), time.Minute),
		}
		if len(r.answers) > 0 {
			p.status, r.answers = r.answers[0], r.answers[1:]
		}
		r.calls = append(r.calls, p)
		w.WriteHeader(p.status)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) answer(statuses ...int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers = statuses
}

// got lists the calls about an approval.
func (r *receiver) got(id string) (out []posted) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.calls {
		if strings.Contains(p.body, `"approval_id":"`+id+`"`) {
			out = append(out, p)
		}
	}
	return out
}

// wants asks for approval of an action of a kind, which no other call asks for.
func (l *life) wants(t *testing.T, who, kind string) exportCase {
	t.Helper()
	body := fmt.Sprintf(`{"kind":%q,"parameters":{"n":"%d"}}`, kind, unique.Add(1))
	e := exportCase{s: l.stack, id: want(t, l.call(t, who, "POST", "/approval/", body), http.StatusAccepted).str("approval_request_id")}
	eventually(t, "approval "+e.id+" is recorded", func() bool { return e.status(t) != "" })
	return e
}

// notice reads a column of the notice of an occasion; "" when there is none.
func (e exportCase) notice(t *testing.T, occasion, column string) (value string) {
	t.Helper()
	scan(t, e.s, &value, `SELECT coalesce((SELECT `+column+`::text FROM finobs.notification WHERE approval_id = $1::bigint AND occasion = $2), '')`,
		e.id, occasion)
	return value
}

func (e exportCase) untilNotice(t *testing.T, occasion, status string) {
	t.Helper()
	eventually(t, fmt.Sprintf("the notice %s of approval %s is %s", occasion, e.id, status), func() bool { return e.notice(t, occasion, "status") == status })
}

// replica is one of several processes of a kind, which can be killed and started
// again.
type replica struct {
	l       *life
	name    string
	port    int      // of an API
	args    []string // of a worker
	process *devstack.Process
}

func (l *life) startAPIs(t *testing.T, n int) (out []*replica) {
	t.Helper()
	for i := range n {
		r := &replica{l: l, name: fmt.Sprintf("api-%d", i), port: freePort(t)}
		r.start(t)
		out = append(out, r)
	}
	l.APIAddress = out[0].address()
	for _, r := range out {
		r.untilReady(t)
	}
	return out
}

func (l *life) startWorkers(t *testing.T, n int, args ...string) (out []*replica) {
	t.Helper()
	for i := range n {
		r := &replica{l: l, name: fmt.Sprintf("worker-%d", i), args: args}
		r.start(t)
		out = append(out, r)
	}
	return out
}

func (r *replica) address() string { return fmt.Sprintf("127.0.0.1:%d", r.port) }

func (r *replica) start(t *testing.T, env ...string) {
	t.Helper()
	kind := "worker"
	if r.port != 0 {
		kind, env = "api", append(env, "FINOBS_LISTEN="+r.address(), "FINOBS_ANSWER_WAIT=5s")
	}
	p, err := r.l.Launch(r.name, env, filepath.Join(bin, "finobs"), append([]string{kind}, r.args...)...)
	if err != nil {
		t.Fatal(err)
	}
	r.process = p
	t.Cleanup(func() { p.Kill() }) //nolint:errcheck // it may be dead already
}

// restart kills a process, as kill -9 does, and starts it again.
func (r *replica) restart(t *testing.T, env ...string) {
	t.Helper()
	if err := r.process.Kill(); err != nil {
		t.Fatal(err)
	}
	r.start(t, env...)
}

func (r *replica) untilReady(t *testing.T) {
	t.Helper()
	eventually(t, r.name+" is ready", func() bool {
		res, err := http.Get("http://" + r.address() + "/readyz")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

// untilWorking waits until a worker takes work for the nth time, and returns at once
// then: what it does next may be over soon.
func (r *replica) untilWorking(t *testing.T, n int) {
	t.Helper()
	poll(t, r.name+" works", 5*time.Millisecond, func() bool {
		log, err := os.ReadFile(r.l.Path("logs", r.name+".log"))
		return err == nil && strings.Count(string(log), "worker started") == n
	})
}

// use has the calls of the tests go to this API.
func (r *replica) use(t *testing.T) {
	t.Helper()
	r.untilReady(t)
	r.l.APIAddress = r.address()
}

func listRunning(approvalID string) *workflowservice.ListWorkflowExecutionsRequest {
	return &workflowservice.ListWorkflowExecutionsRequest{Query: "FinobsApprovalId = " + approvalID + " AND ExecutionStatus = 'Running'"}
}

// scanExec runs a statement without a result as the superuser.
func scanExec(t *testing.T, l *life, statement string) {
	t.Helper()
	db, err := sql.Open("postgres", l.AdminURL)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}
