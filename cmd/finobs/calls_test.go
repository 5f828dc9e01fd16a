package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"finobs/internal/approval"
	"finobs/internal/canonical"
)

// fakeAPI answers with what its map has for "METHOD /path", and keeps what was sent.
type fakeAPI struct {
	*httptest.Server
	answers map[string]string
	sent    []string // method, path and body of each call
}

func newFakeAPI(t *testing.T, answers map[string]string) *fakeAPI {
	t.Helper()
	f := &fakeAPI{answers: answers}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		f.sent = append(f.sent, r.Method+" "+r.URL.RequestURI()+" "+string(body))
		answer, known := f.answers[r.Method+" "+r.URL.Path]
		if !known {
			w.WriteHeader(http.StatusNotFound)
			answer = `{"detail":"there is no such thing"}`
		} else if status, rest, found := strings.Cut(answer, "|"); found && len(status) == 3 {
			var code int
			_, _ = fmt.Sscan(status, &code)
			w.WriteHeader(code)
			answer = rest
		}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(f.Close)
	return f
}

// runs runs finobs and returns what it printed and its exit code.
func (f *fakeAPI) runs(t *testing.T, args ...string) (out, aside string, code int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	root := rootCommand()
	root.SetArgs(append(args, "--url", f.URL, "--token", "t"))
	root.SetOut(&stdout)
	root.SetErr(&stderr)
	root.SetIn(strings.NewReader(""))
	err := root.ExecuteContext(t.Context())
	if err != nil {
		fmt.Fprintln(&stderr, message(err))
	}
	return stdout.String(), stderr.String(), exitCode(err)
}

// requestOf is an approval as the API shows it, with the digest that its action has.
func requestOf(t *testing.T, id int, action string) (view, digest string) {
	t.Helper()
	digest = canonical.DigestBytes(approval.ActionDigestDomain, []byte(action))
	v := map[string]any{
		"approval_request_id": id, "status": "pending", "risk_tier": "high", "kind": "users.add", "desk": "EQ", "requester": map[string]string{"sub": "alice"},
		"action": json.RawMessage(action), "action_digest": digest, "summary": "add mallory\x1b[2J\nas admin",
		"expires_at": time.Now().Add(3*time.Hour + time.Minute), "created_at": time.Now(), "missing": []string{"1 more of admin"}, "allowed_actions": []string{"approve"},
	}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text), digest
}

const decided = `{"items":[{"approval_request_id":42,"http_status":200,"decision":{"recorded":true,"status":"approved","detail":"counted"}}],"decided":1,"refused":0}`

// The decision goes with the digest of what was shown.
func TestADecisionIsOverWhatIsShown(t *testing.T) {
	view, digest := requestOf(t, 42, `{"kind":"users.add","parameters":{"sub":"<mallory>"}}`)
	f := newFakeAPI(t, map[string]string{"GET /approval/42": view, "POST /approval/batch_decision": decided})
	out, aside, code := f.runs(t, "approvals", "approve", "42", "--yes", "--reason", "read it")
	if code != 0 || !strings.Contains(out, "approval 42: counted; the request is approved") {
		t.Errorf("%d: %s%s", code, out, aside)
	}
	if !strings.Contains(aside, digest) || !strings.Contains(aside, `"sub":"<mallory>"`) || !strings.Contains(aside, "asked for by alice, due in 3h") || strings.Contains(aside, "\x1b") {
		t.Errorf("it shows %q", aside)
	}
	want := `POST /approval/batch_decision {"decision":"approve","items":[{"action_digest":"` + digest + `","approval_request_id":42}],"reason":"read it"}`
	if got := f.sent[len(f.sent)-1]; got != want {
		t.Errorf("it sent %s\nnot %s", got, want)
	}
	if out, _, code := f.runs(t, "approvals", "approve", "42", "--yes", "--digest", digest, "--json"); code != 0 || out != decided+"\n" {
		t.Errorf("%d: %s", code, out)
	}
}

func TestADecisionThatIsNotSent(t *testing.T) {
	view, digest := requestOf(t, 42, `{"kind":"users.add"}`)
	other := strings.Replace(view, `"users.add"}`, `"users.drop"}`, 1)
	for name, c := range map[string]struct {
		view string
		args []string
		code int
		says string
	}{
		"another digest":       {view, []string{"42", "--yes", "--digest", "sha256:00"}, exitRefused, "look at it again"},
		"another action":       {other, []string{"42", "--yes", "--digest", digest}, exitRefused, "does not have the digest"},
		"nobody to ask":        {view, []string{"42"}, exitUsage, "is no terminal"},
		"one digest of two":    {view, []string{"42", "43", "--yes", "--digest", digest}, exitUsage, "decide on each by itself"},
		"no such request":      {view, []string{"7", "--yes"}, exitNothing, "there is no such thing"},
		"no number":            {view, []string{"x", "--yes"}, exitUsage, "no approval id"},
		"no request":           {view, nil, exitUsage, "requires at least 1 arg"},
		"a flag that is not":   {view, []string{"42", "--force"}, exitUsage, "unknown flag"},
		"the API is not there": {"503|", []string{"42", "--yes"}, exitFailed, "503"},
		"he may not":           {`403|{"detail":"permission approval.read is needed"}`, []string{"42", "--yes"}, exitRefused, "permission approval.read"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeAPI(t, map[string]string{"GET /approval/42": c.view})
			out, aside, code := f.runs(t, append([]string{"approvals", "reject"}, c.args...)...)
			if code != c.code || !strings.Contains(aside, c.says) || out != "" {
				t.Errorf("%d: %s%s", code, out, aside)
			}
			for _, sent := range f.sent {
				if strings.HasPrefix(sent, "POST") {
					t.Errorf("it sent %s", sent)
				}
			}
		})
	}
}

func TestADecisionThatIsRefused(t *testing.T) {
	view, _ := requestOf(t, 42, `{"kind":"users.add"}`)
	second, _ := requestOf(t, 43, `{"kind":"users.add"}`)
	refused := `{"items":[{"approval_request_id":42,"http_status":409,"problem":{"detail":"not your turn"}}%s],"decided":%d,"refused":1}`
	f := newFakeAPI(t, map[string]string{"GET /approval/42": view, "GET /approval/43": second, "POST /approval/batch_decision": fmt.Sprintf(refused, "", 0)})
	if out, _, code := f.runs(t, "approvals", "approve", "42", "-y"); code != exitRefused || !strings.Contains(out, "refused: not your turn") {
		t.Errorf("%d: %s", code, out)
	}
	f.answers["POST /approval/batch_decision"] = fmt.Sprintf(refused, `,{"approval_request_id":43,"http_status":202,"decision":{"detail":"accepted"}}`, 1)
	out, aside, code := f.runs(t, "approvals", "approve", "42", "43", "-y")
	if code != exitRefused || !strings.Contains(out, "approval 43: accepted") || !strings.Contains(aside, "1 decided, 1 refused") {
		t.Errorf("%d: %s%s", code, out, aside)
	}
}

func TestCommandsThatAreNot(t *testing.T) {
	f := newFakeAPI(t, nil)
	for _, args := range [][]string{{"approvals", "bogus"}, {"aprovals"}, {"exports", "verify"}, {"exports", "verify", "7", "--all"}, {"tail", "bogus"}, {"approvals", "delegate", "1", "bob"}} {
		if _, aside, code := f.runs(t, args...); code != exitUsage {
			t.Errorf("%v: %d %s", args, code, aside)
		}
	}
	var out bytes.Buffer
	root := rootCommand()
	root.SetArgs([]string{"approvals"})
	root.SetOut(&out)
	if err := root.ExecuteContext(t.Context()); err != nil || !strings.Contains(out.String(), "Available Commands") {
		t.Errorf("%v: %s", err, out.String())
	}
}

func TestJSONIsPrintedAsItWasSent(t *testing.T) {
	page := `{"items": [ ],  "next_before":0,"unknown":"<&>"}`
	f := newFakeAPI(t, map[string]string{"GET /approval/": page, "GET /incidents": page, "GET /exports/": page, "GET /incidents/7": page})
	for _, args := range [][]string{{"approvals", "ls"}, {"incidents", "ls"}, {"exports", "ls"}, {"incident", "show", "7"}} {
		if out, _, code := f.runs(t, append(args, "--json")...); code != 0 || out != page+"\n" {
			t.Errorf("%v: %d %s", args, code, out)
		}
	}
	if got := f.sent[0]; got != "GET /approval/?limit=50&sort=deadline&status=pending " {
		t.Errorf("it asked %s", got)
	}
}

func TestWatchingPrintsWhatChanges(t *testing.T) {
	f := newFakeAPI(t, map[string]string{"GET /approval/": `{"items":[]}`})
	var out bytes.Buffer
	c := conversation{screen: screen{out: &out}}
	looks := 0
	stop := errors.New("stop")
	err := c.watch(t.Context(), time.Microsecond, func(to *conversation) error {
		if looks++; looks == 5 {
			return stop
		}
		to.say("look %d", looks/2)
		return nil
	})
	if !errors.Is(err, stop) || out.String() != "look 0\nlook 1\nlook 2\n" {
		t.Errorf("%v: %s", err, out.String())
	}
	if _, _, code := f.runs(t, "approvals", "ls", "--watch", "--every", "0s"); code != exitUsage {
		t.Errorf("exit code %d", code)
	}
}

// A download that breaks off leaves no file.
func TestADownloadIsWholeOrNotThere(t *testing.T) {
	f := newFakeAPI(t, map[string]string{"GET /exports/7": `{"export_id":7}`, "GET /exports/7/bundle": "content"})
	file := filepath.Join(t.TempDir(), "x.tar")
	out, aside, code := f.runs(t, "exports", "download", "7", "-o", file)
	text, err := os.ReadFile(file)
	if code != 0 || err != nil || string(text) != "content" || !strings.Contains(out, "export 7 is in "+file) {
		t.Errorf("%d %v %s: %s%s", code, err, text, out, aside)
	}
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/bundle") {
			w.Header().Set("Content-Length", "100")
		}
		_, _ = io.WriteString(w, `{"export_id":7}`)
	}))
	defer broken.Close()
	f.URL = broken.URL
	other := filepath.Join(t.TempDir(), "y.tar")
	if _, aside, code := f.runs(t, "exports", "download", "7", "-o", other); code != exitFailed {
		t.Errorf("%d: %s", code, aside)
	}
	if left, _ := filepath.Glob(other + "*"); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

func TestVerdictsDecideTheExitCode(t *testing.T) {
	done := `{"verification_id":"v","status":"done","done":1,"total":1,"verdicts":[{"export_id":7,"verdict":%q,"places":[{"destination":"archive","verdict":%q,"detail":"row 3"}]}]}`
	f := newFakeAPI(t, map[string]string{
		"POST /exports/batch_verify": `{"verification_id":"v","status":"running","done":0,"total":1}`, "GET /exports/batch_verify/v": fmt.Sprintf(done, "tampered", "tampered"),
	})
	out, aside, code := f.runs(t, "exports", "verify", "7")
	if code != exitFound || !strings.Contains(out, "tampered  archive      row 3") || !strings.Contains(aside, "1 of 1 exports are not verified") {
		t.Errorf("%d: %s%s", code, out, aside)
	}
	f.answers["GET /exports/batch_verify/v"] = fmt.Sprintf(done, "verified", "verified")
	if _, aside, code := f.runs(t, "exports", "verify", "--dataset", "incidents"); code != 0 {
		t.Errorf("%d: %s", code, aside)
	}
	if got := f.sent[len(f.sent)-2]; got != `POST /exports/batch_verify {"filter":{"dataset":"incidents"}}` {
		t.Errorf("it sent %s", got)
	}
}

func TestCompletionOffersWhatThereIs(t *testing.T) {
	f := newFakeAPI(t, map[string]string{"GET /approval/": `{"items":[{"approval_request_id":42,"status":"pending","kind":"users.add","requester":{"sub":"al\u001b[2Jice"}}]}`})
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"__complete", "approvals", "approve", "--token", "t", "--url", f.URL, ""}, "42\tpending, users.add, by al [2Jice"},
		{[]string{"__complete", "incidents", "severity", "--token", "t", "--url", f.URL, "7", ""}, "critical"},
		{[]string{"__complete", "incidents", "ls", "--status", ""}, "acknowledged"},
		{[]string{"__complete", "exports", "create", ""}, "compliance_logs"},
	} {
		var stdout bytes.Buffer
		root := rootCommand()
		root.SetArgs(c.args)
		root.SetOut(&stdout)
		root.SetErr(io.Discard)
		if err := root.ExecuteContext(t.Context()); err != nil || !strings.Contains(stdout.String(), c.want) {
			t.Errorf("%v: %v\n%s", c.args, err, stdout.String())
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		var stdout bytes.Buffer
		root := rootCommand()
		root.SetArgs([]string{"completion", shell})
		root.SetOut(&stdout)
		if err := root.ExecuteContext(t.Context()); err != nil || stdout.Len() < 1000 {
			t.Errorf("%s: %v, %d bytes", shell, err, stdout.Len())
		}
	}
}
