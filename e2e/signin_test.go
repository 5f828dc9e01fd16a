package e2e_test

import (
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"finobs/internal/devstack"
	"finobs/internal/identity"
	"finobs/internal/oidctest"

	"github.com/go-jose/go-jose/v4"
)

// visitor is a browser with cookies of its own.
type visitor struct {
	t *testing.T
	*http.Client
}

func newVisitor(t *testing.T) visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return visitor{t, &http.Client{Jar: jar}}
}

// get reads a page; form, if any, is sent as a page of the server itself would.
func (v visitor) get(address string, form url.Values) reply {
	v.t.Helper()
	method := http.MethodGet
	if form != nil {
		method = http.MethodPost
	}
	req, err := http.NewRequest(method, address, strings.NewReader(form.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := v.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, text}
}

var (
	hiddenField = regexp.MustCompile(`name="(csrf|id)" value="([^"]+)"`)
	movesOn     = regexp.MustCompile(`http-equiv="refresh" content="0;url=([^"]+)"`)
)

// hidden is a hidden field of a page, which is where a form's token is.
func hidden(t *testing.T, r reply, name string) string {
	t.Helper()
	for _, m := range hiddenField.FindAllSubmatch(r.Body, -1) {
		if string(m[1]) == name {
			return html.UnescapeString(string(m[2]))
		}
	}
	t.Fatalf("the page has no field %s: %s", name, r.Body)
	return ""
}

func leadsTo(t *testing.T, r reply) string {
	t.Helper()
	m := movesOn.FindSubmatch(r.Body)
	if m == nil {
		t.Fatalf("the page, with status %d, does not move on: %s", r.Status, r.Body)
	}
	return html.UnescapeString(string(m[1]))
}

// signIn goes to the provider as somebody and comes back.
func (v visitor) signIn(base, provider, sub string) reply {
	v.t.Helper()
	form := v.get(base+"/login?next=/docs/", nil)
	on := v.get(base+"/login", url.Values{"csrf": {hidden(v.t, form, "csrf")}, "next": {"/docs/"}, "with": {"corp"}})
	choice := v.get(leadsTo(v.t, on), nil)
	return v.get(provider+"/choose", url.Values{"id": {hidden(v.t, choice, "id")}, "sub": {sub}})
}

// corporate is a stack, no longer one for development, whose people are those of an
// OpenID provider.
func corporate(t *testing.T) (*stack, *oidctest.Provider) {
	p := oidctest.Start(t, jose.RS256)
	for sub, groups := range map[string][]string{"nora": {"traders"}, "cleo": {"risk", "offline_access"}, "vera": {"guests"}, "rolf": {"traders", "guests"}} {
		p.Person(sub, map[string]any{"realm_access": map[string]any{"roles": groups}})
	}
	p.Machine("loader", "machine-secret")
	dir := t.TempDir()
	s := ownStack(t, func(s *stack) {
		p.Console("finobs-console", "console-secret", "http://"+s.APIAddress)
		roster := fmt.Sprintf("version: 1\npeople:\n  - {iss: %q, sub: rolf, roles: [viewer]}\n", p.URL)
		file := fmt.Sprintf(`version: 1
issuers:
  - name: corp
    issuer: %s
    audience: finobs
    allow_private: true
    client_id: finobs-console
    client_secret_file: secret
    claims: {roles: realm_access.roles}
    roles: {traders: analyst, risk: compliance, guests: viewer}
    service_accounts: [{client_id: loader, roles: [service]}]
`, p.URL)
		if err := errors.Join(
			os.WriteFile(filepath.Join(dir, "roster.yaml"), []byte(roster), 0o600),
			os.WriteFile(filepath.Join(dir, "oidc.yaml"), []byte(file), 0o600),
			os.WriteFile(filepath.Join(dir, "secret"), []byte("console-secret\n"), 0o600),
		); err != nil {
			t.Fatal(err)
		}
		s.Settings()["FINOBS_ROSTER"] = filepath.Join(dir, "roster.yaml")
		s.Settings()["FINOBS_OIDC_FILE"] = filepath.Join(dir, "oidc.yaml")
		var environment string
		scan(t, s, &environment, "UPDATE finobs.deployment SET environment = 'production' RETURNING environment")
	})
	return s, p
}

// People of an identity provider ask, decide and read with its tokens and with
// sessions; the roster limits them, and machines decide nothing.
func TestPeopleOfAnIdentityProvider(t *testing.T) {
	t.Parallel()
	s, p := corporate(t)
	base := "http://" + s.APIAddress
	token := func(sub string) string { return p.Token(t, sub, "some-app") }
	machine := p.MachineToken(t, "loader", "machine-secret")

	asked := want(t, callURL(t, token("nora"), "POST", base+"/incidents/export?desk=OIDC", ""), http.StatusAccepted)
	request := base + "/approval/" + asked.str("approval_request_id")
	eventually(t, "the request is recorded", func() bool { return callURL(t, token("vera"), "GET", request, "").str("status") == "pending" })
	const approve = `{"decision":"approve","reason":"seen"}`
	for name, tc := range map[string]struct {
		token, method, path, body string
		want                      int
	}{
		"a viewer reads the log":               {token("vera"), "GET", base + "/audit", "", http.StatusForbidden},
		"a viewer decides":                     {token("vera"), "POST", request + "/decision", approve, http.StatusForbidden},
		"a machine decides":                    {machine, "POST", request + "/decision", approve, http.StatusForbidden},
		"the requester decides":                {token("nora"), "POST", request + "/decision", approve, http.StatusForbidden},
		"whom the roster knows as a viewer":    {token("rolf"), "POST", request + "/decision", approve, http.StatusForbidden},
		"a token of finobs token":              {s.token(t, "alice", "admin"), "GET", request, "", http.StatusUnauthorized},
		"a stranger to the map":                {token("stranger"), "GET", request, "", http.StatusForbidden},
		"a machine reads":                      {machine, "GET", request, "", http.StatusOK},
		"whom the roster knows reads":          {token("rolf"), "GET", request, "", http.StatusOK},
		"a token with its last letter changed": {token("cleo")[:600] + "AAAA", "GET", request, "", http.StatusUnauthorized},
	} {
		if r := callURL(t, tc.token, tc.method, tc.path, tc.body); r.Status != tc.want {
			t.Errorf("%s: answered %d, want %d: %s", name, r.Status, tc.want, r.Body)
		}
	}

	v := newVisitor(t)
	in := want(t, v.signIn(base, p.URL, "cleo"), http.StatusOK)
	if to := leadsTo(t, in); to != "/docs/" {
		t.Errorf("the sign-in leads to %s", to)
	}
	want(t, v.get(request, nil), http.StatusOK)
	want(t, v.get(base+"/audit", nil), http.StatusOK) // compliance
	want(t, v.get(request+"/decision", url.Values{"decision": {"approve"}}), http.StatusUnauthorized)
	if r := want(t, callURL(t, token("cleo"), "POST", request+"/decision", approve), http.StatusOK); r.str("status") != "approved" {
		t.Errorf("cleo's decision: %s", r.Body)
	}
	if n := count(t, s, "SELECT count(*) FROM ledger.entry WHERE type = 'approval.decided' AND actor_sub = 'cleo' AND actor_iss = $1", p.URL); n != 1 {
		t.Errorf("%d decisions of cleo are on record", n)
	}
	s.sharedSession(t, v)
	want(t, newVisitor(t).signIn(base, p.URL, "stranger"), http.StatusUnauthorized)
	for kind, least := range map[string]int{"security.signed_in": 1, "security.denied": 6} {
		if n := count(t, s, "SELECT count(*) FROM ledger.entry WHERE type = $1", kind); n < least {
			t.Errorf("%d entries %s", n, kind)
		}
	}
	if n := count(t, s, "SELECT count(*) FROM ledger.entry WHERE type = 'security.signed_in' AND actor_sub = 'cleo' AND outcome = 'done'"); n != 1 {
		t.Errorf("%d entries that cleo signed in", n)
	}
}

// sharedSession has another process of the API read what the first one sealed.
func (s *stack) sharedSession(t *testing.T, v visitor) {
	t.Helper()
	port, err := devstack.FreePort(0)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	second, err := s.Launch("api2", []string{"FINOBS_LISTEN=" + address}, filepath.Join(bin, "finobs"), "api")
	if err != nil {
		t.Fatal(err)
	}
	defer second.Kill() //nolint:errcheck // the test is over
	eventually(t, "the second API answers", func() bool {
		res, err := http.Get("http://" + address + "/healthz")
		if err == nil {
			res.Body.Close()
		}
		return err == nil
	})
	want(t, v.get("http://"+address+"/approval/", nil), http.StatusOK) // cookies know no ports
	want(t, newVisitor(t).get("http://"+address+"/approval/", nil), http.StatusUnauthorized)
}

// finobs open prints an address with which a person of a development stack signs in.
func TestOpenSignsIn(t *testing.T) {
	run := func(args ...string) (string, error) {
		out, err := exec.Command(filepath.Join(bin, "finobs"), append(args, "--state", world.Dir)...).CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	out, err := run("open", "alice")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	address, err := url.Parse(out)
	if err != nil || address.Path != "/login" || address.RawQuery != "" || address.Host != world.APIAddress {
		t.Fatalf("%q: %v", out, err)
	}
	token := strings.TrimPrefix(address.Fragment, "token=")
	v := newVisitor(t)
	form := v.get("http://"+world.APIAddress+"/login", nil)
	want(t, v.get("http://"+world.APIAddress+"/login", url.Values{"csrf": {hidden(t, form, "csrf")}, "with": {"token"}, "token": {token}}), http.StatusOK)
	want(t, v.get("http://"+world.APIAddress+"/approval/", nil), http.StatusOK)
	if out, err := run("open", "somebody"); err == nil || !strings.Contains(out, "--role") {
		t.Errorf("somebody without a role: %v %s", err, out)
	}
}

func TestCommandsOfSignIn(t *testing.T) {
	runCommandsOf(t, "../docs/sign-in.md", "corp: https://login.example.com/realms/corp, audience finobs, people sign in as client finobs-console",
		"realm_access.roles ops-analyst: analyst", "client finobs-loader: system, service", "/login#token=")
}

// The examples of the docs load, and their secrets are where they say.
func TestTheExampleOfSignInLoads(t *testing.T) {
	text, err := os.ReadFile("../docs/sign-in.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "console.secret"), []byte("sixteen-characters"), 0o600); err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(text, -1)
	if len(examples) == 0 {
		t.Fatal("the docs have no example")
	}
	for _, example := range examples {
		if _, err := identity.ReadIssuers(strings.NewReader(string(example[1])), dir); err != nil {
			t.Errorf("%v:\n%s", err, example[1])
		}
	}
}
