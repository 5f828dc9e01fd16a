package identity_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"finobs/internal/approval"
	"finobs/internal/identity"
	"finobs/internal/oidctest"

	"github.com/go-jose/go-jose/v4"
)

// trust is the file that the tests trust a provider by; more are lines on top.
func trust(p *oidctest.Provider, more string) string {
	return fmt.Sprintf(`version: 1
issuers:
  - name: corp
    title: Example Corp
    issuer: %s
    audience: finobs
    allow_private: true
    client_id: console
    claims: {roles: realm.roles, desk: desk}
    roles: {ops: analyst, risk: [compliance, viewer], looker: [viewer]}
    desks: {equities: EQ, bonds: FI}
    service_accounts:
      - {client_id: loader, roles: [service], desk: EQ}
    agents:
      - {client_id: triage, roles: [viewer]}
%s`, p.URL, more)
}

func load(t testing.TB, text string) *identity.Issuers {
	t.Helper()
	issuers, err := identity.ReadIssuers(strings.NewReader(text), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return issuers
}

func people(p *oidctest.Provider) {
	p.Person("alice", map[string]any{"realm": map[string]any{"roles": []string{"ops", "unheard-of"}}, "desk": "equities"})
	p.Person("carol", map[string]any{"realm": map[string]any{"roles": "risk"}})
	p.Person("nobody", map[string]any{"realm": map[string]any{"roles": []string{"guests"}}, "desk": "canteen"})
}

const everyAlgorithm = "    algorithms: [RS256, PS256, ES256, EdDSA]\n"

func TestAccessTokensOfEveryAlgorithm(t *testing.T) {
	for _, algorithm := range []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256, jose.EdDSA} {
		p := oidctest.Start(t, algorithm)
		people(p)
		issuers := load(t, trust(p, everyAlgorithm))
		got, err := issuers.Verify(t.Context(), p.Token(t, "alice", "app"), time.Now())
		want := approval.Principal{Person: approval.Person{Issuer: p.URL, Subject: "alice"}, Kind: approval.Human, Roles: []string{"analyst"}, Desk: "EQ"}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v", algorithm, got, err)
		}
	}
}

func TestWhatTheMapGives(t *testing.T) {
	p := oidctest.Start(t, jose.ES256)
	people(p)
	p.Person("object", map[string]any{"realm": map[string]any{"roles": map[string]any{"looker": map[string]string{}, "ops": 1}}})
	p.Person("numbers", map[string]any{"realm": map[string]any{"roles": []any{1, nil, "ops"}}, "desk": []string{"bonds", "bonds"}})
	p.Person("flat", map[string]any{"realm": "ops"})
	p.Person("dotted", map[string]any{"realm.roles": "ops"})
	issuers := load(t, trust(p, ""))
	for _, tc := range []struct {
		sub, client string
		kind        approval.ActorKind
		roles, desk string
	}{
		{"alice", "app", approval.Human, "analyst", "EQ"},
		{"carol", "app", approval.Human, "compliance viewer", ""},
		{"nobody", "app", approval.Human, "", ""},
		{"stranger", "app", approval.Human, "", ""},
		{"object", "app", approval.Human, "analyst viewer", ""},
		{"numbers", "app", approval.Human, "analyst", "FI"},
		{"flat", "app", approval.Human, "", ""},
		{"dotted", "app", approval.Human, "analyst", ""},
		{"loader", "loader", approval.System, "service", "EQ"},
		{"alice", "loader", approval.System, "service", "EQ"}, // through a machine's client nobody is a person
		{"triage", "triage", approval.Agent, "viewer", ""},
		{"loader", "app", approval.Human, "", ""}, // a name alone makes no machine
	} {
		got, err := issuers.Verify(t.Context(), p.Token(t, tc.sub, tc.client), time.Now())
		if err != nil || got.Kind != tc.kind || strings.Join(got.Roles, " ") != tc.roles || got.Desk != tc.desk {
			t.Errorf("%s by %s: got %+v, %v", tc.sub, tc.client, got, err)
		}
	}
	p.Person("torn", map[string]any{"desk": []string{"bonds", "equities"}})
	if _, err := issuers.Verify(t.Context(), p.Token(t, "torn", "app"), time.Now()); err == nil {
		t.Error("somebody is on two desks")
	}
}

func TestEveryDefectOfAnAccessTokenIsRefused(t *testing.T) {
	p := oidctest.Start(t, jose.RS256)
	people(p)
	issuers := load(t, trust(p, ""))
	typ := map[string]any{"typ": "at+jwt"}
	good := p.Sign(t, typ, p.Claims("alice", "app"))
	if _, err := issuers.Verify(t.Context(), good, time.Now()); err != nil {
		t.Fatalf("the good token is refused: %v", err)
	}
	if _, err := issuers.Verify(t.Context(), p.Sign(t, map[string]any{"typ": "application/AT+JWT"}, p.Claims("alice", "app")), time.Now()); err != nil {
		t.Errorf("a typ in full is refused: %v", err)
	}
	now := time.Now()
	refused := map[string]string{}
	for name, change := range map[string]func(map[string]any){
		"other audience":      func(c map[string]any) { c["aud"] = "finobs2" },
		"part of audience":    func(c map[string]any) { c["aud"] = "finob" },
		"audience in capital": func(c map[string]any) { c["aud"] = "FINOBS" },
		"no audience":         func(c map[string]any) { delete(c, "aud") },
		"issuer with slash":   func(c map[string]any) { c["iss"] = p.URL + "/" },
		"no exp":              func(c map[string]any) { delete(c, "exp") },
		"no iat":              func(c map[string]any) { delete(c, "iat") },
		"expired":             func(c map[string]any) { c["iat"], c["exp"] = now.Unix()-600, now.Unix()-31 },
		"not yet":             func(c map[string]any) { c["nbf"] = now.Unix() + 60 },
		"issued to come":      func(c map[string]any) { c["iat"] = now.Unix() + 60 },
		"lives too long":      func(c map[string]any) { c["exp"] = now.Add(time.Hour + time.Minute).Unix() },
		"lives for ever":      func(c map[string]any) { c["exp"] = int64(1) << 60 },
		"lives backwards":     func(c map[string]any) { c["iat"], c["exp"] = now.Unix()+20, now.Unix()+10 },
		"exp is a text":       func(c map[string]any) { c["exp"] = "tomorrow" },
		"no sub":              func(c map[string]any) { delete(c, "sub") },
		"blank sub":           func(c map[string]any) { c["sub"] = "  " },
		"long sub":            func(c map[string]any) { c["sub"] = strings.Repeat("a", 256) },
		"sub with a line":     func(c map[string]any) { c["sub"] = "alice\nbob" },
		"sub is a number":     func(c map[string]any) { c["sub"] = 7 },
		"an ID token's nonce": func(c map[string]any) { c["nonce"] = "n" },
		"an ID token's hash":  func(c map[string]any) { c["at_hash"] = "h" },
		"two clients":         func(c map[string]any) { c["azp"] = "loader" },
		"over 8 KiB":          func(c map[string]any) { c["pad"] = strings.Repeat("x", 8<<10) },
	} {
		c := p.Claims("alice", "app")
		change(c)
		refused[name] = p.Sign(t, typ, c)
	}
	for name, header := range badHeaders(p) {
		refused["header: "+name] = p.Sign(t, header, p.Claims("alice", "app"))
	}
	forger := oidctest.Start(t, jose.RS256) // has keys of its own
	forged := p.Claims("alice", "app")
	refused["another provider's key"] = forger.Sign(t, typ, forged)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	refused["a known kid with another key"] = signWith(t, jose.RS256, jose.JSONWebKey{Key: other, KeyID: kidOf(t, good)}, forged)
	refused["the public key as a secret"] = signWith(t, jose.HS256, jose.JSONWebKey{Key: []byte(strings.Repeat("k", 32)), KeyID: kidOf(t, good)}, forged)
	refused["an algorithm of the same key that is not allowed"] = signWith(t, jose.PS256, jose.JSONWebKey{Key: other, KeyID: kidOf(t, good)}, forged)
	refused["no kid"] = signWith(t, jose.RS256, jose.JSONWebKey{Key: other}, forged)
	parts := strings.Split(good, ".")
	refused["alg none"] = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0." + parts[1] + "."
	refused["no signature"] = parts[0] + "." + parts[1] + "."
	refused["another's signature"] = parts[0] + "." + parts[1] + "." + strings.Split(refused["other audience"], ".")[2]
	refused["four parts"] = good + ".x"
	for name, token := range refused {
		got, err := issuers.Verify(t.Context(), token, now)
		if err == nil {
			t.Errorf("%s: accepted as %+v", name, got)
			continue
		}
		if len(token) > 40 && strings.Contains(err.Error(), token[len(token)-40:]) {
			t.Errorf("%s: the error holds the token: %v", name, err)
		}
	}
	for _, foreign := range []string{"", "a.b.c", "garbage", refused["issuer with slash"]} {
		if _, err := issuers.Verify(t.Context(), foreign, now); !errors.Is(err, identity.ErrForeign) {
			t.Errorf("%q: got %v", foreign, err)
		}
	}
	var none *identity.Issuers
	if _, err := none.Verify(t.Context(), good, now); !errors.Is(err, identity.ErrForeign) {
		t.Errorf("without providers: %v", err)
	}
}

// badHeaders are what an access token's header must not be.
func badHeaders(p *oidctest.Provider) map[string]map[string]any {
	return map[string]map[string]any{
		"no typ": {}, "typ JWT": {"typ": "JWT"}, "typ of an ID token": {"typ": "id+jwt"}, "typ is a number": {"typ": 1},
		"jku": {"typ": "at+jwt", "jku": p.URL + "/keys"}, "x5u": {"typ": "at+jwt", "x5u": p.URL}, "JKU": {"typ": "at+jwt", "JKU": p.URL},
		"crit": {"typ": "at+jwt", "crit": []string{"exp"}, "exp": 1}, "jwk": {"typ": "at+jwt", "jwk": map[string]string{"kty": "oct", "k": "AAAA"}},
	}
}

func TestATokenOfAnotherTypeNeedsTheSetting(t *testing.T) {
	p := oidctest.Start(t, jose.ES256)
	people(p)
	p.TokenType = "JWT"
	if _, err := load(t, trust(p, "    token_type: JWT\n")).Verify(t.Context(), p.Token(t, "alice", "app"), time.Now()); err != nil {
		t.Error(err)
	}
	p.TokenType = "at+jwt"
	if _, err := load(t, trust(p, "    token_type: JWT\n")).Verify(t.Context(), p.Token(t, "alice", "app"), time.Now()); err == nil {
		t.Error("at+jwt is accepted where JWT is set")
	}
}

func TestKeysRotate(t *testing.T) {
	p := oidctest.Start(t, jose.ES256)
	people(p)
	issuers := load(t, trust(p, ""))
	old := p.Token(t, "alice", "app")
	now := time.Now()
	check := func(what, token string, at time.Time, want bool) {
		t.Helper()
		if _, err := issuers.Verify(t.Context(), token, at); (err == nil) != want {
			t.Errorf("%s: %v", what, err)
		}
	}
	check("the first key", old, now, true)
	p.Rotate(t, jose.RS256, false)
	fresh := p.Token(t, "alice", "app")
	check("a new key within the minute", fresh, now.Add(10*time.Second), false)
	check("a new key a minute later", fresh, now.Add(61*time.Second), true)
	check("the old key, still published", old, now.Add(61*time.Second), true)
	p.Rotate(t, jose.ES256, true)
	check("the newest key", p.Token(t, "alice", "app"), now.Add(3*time.Minute), true)
	check("a withdrawn key", fresh, now.Add(3*time.Minute), false)
}

func TestAFloodOfUnknownKeysCostsOneFetchAMinute(t *testing.T) {
	p := oidctest.Start(t, jose.ES256)
	people(p)
	issuers := load(t, trust(p, ""))
	good := p.Token(t, "alice", "app")
	now := time.Now()
	if _, err := issuers.Verify(t.Context(), good, now); err != nil {
		t.Fatal(err)
	}
	forger := oidctest.Start(t, jose.ES256)
	tokens := make([]string, 20)
	for i := range tokens {
		forger.Rotate(t, jose.ES256, false)
		tokens[i] = forger.Sign(t, map[string]any{"typ": "at+jwt"}, p.Claims("alice", "app"))
	}
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			for j := range 200 {
				at := now.Add(time.Duration(61+j%50) * time.Second) // within one minute, after the first
				if _, err := issuers.Verify(t.Context(), tokens[(i+j)%len(tokens)], at); err == nil {
					t.Error("a forged token is accepted")
				}
				if j%20 == 0 {
					if _, err := issuers.Verify(t.Context(), good, at); err != nil {
						t.Errorf("a good token is refused meanwhile: %v", err)
					}
				}
			}
		})
	}
	all.Wait()
	if n := p.Requests("/keys"); n != 2 {
		t.Errorf("10,000 unknown keys cost %d fetches after the first, want 1", n-1)
	}
}

func TestAProviderThatIsDown(t *testing.T) {
	p := oidctest.Start(t, jose.ES256)
	people(p)
	issuers := load(t, trust(p, ""))
	now := time.Now()
	p.Lifetime = time.Hour
	if _, err := issuers.Verify(t.Context(), p.Token(t, "alice", "app"), now); err != nil {
		t.Fatal(err)
	}
	tokenAt := func(at time.Time) string {
		c := p.Claims("alice", "app")
		c["iat"], c["exp"] = at.Unix(), at.Add(time.Hour).Unix()
		return p.Sign(t, map[string]any{"typ": "at+jwt"}, c)
	}
	p.Fault(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusBadGateway)
		return true
	})
	for _, after := range []time.Duration{time.Minute, 2 * time.Hour, 23*time.Hour + 59*time.Minute} {
		if _, err := issuers.Verify(t.Context(), tokenAt(now.Add(after)), now.Add(after)); err != nil {
			t.Errorf("after %s: %v", after, err)
		}
	}
	day := now.Add(24*time.Hour + time.Minute)
	_, err := issuers.Verify(t.Context(), tokenAt(day), day)
	if err == nil || !strings.Contains(err.Error(), "cannot be fetched") {
		t.Errorf("after a day: %v", err)
	}
	p.Fault(nil)
	later := day.Add(time.Minute)
	if _, err := issuers.Verify(t.Context(), tokenAt(later), later); err != nil {
		t.Errorf("once it is back: %v", err)
	}
}

func TestAProviderThatMisbehaves(t *testing.T) {
	elsewhere := oidctest.Start(t, jose.ES256)
	discovery := "/.well-known/openid-configuration"
	only := func(path string, answer http.HandlerFunc) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == path {
				answer(w, r)
			}
			return r.URL.Path == path
		}
	}
	for name, fault := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"another issuer": only(discovery, func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, elsewhere.URL, elsewhere.URL+"/keys")
		}),
		"keys over http of another host": only(discovery, func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, `{"issuer":"http://%s","jwks_uri":"http://keys.example.com/keys"}`, r.Host)
		}),
		"a file as keys": only(discovery, func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, `{"issuer":"http://%s","jwks_uri":"file:///etc/passwd"}`, r.Host)
		}),
		"no keys": only(discovery, func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, `{"issuer":"http://%s"}`, r.Host) }),
		"a redirect": only("/keys", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+"/keys", http.StatusFound)
		}),
		"a huge answer": only("/keys", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"keys":[],"pad":"`)
			for range 2 << 10 {
				if _, err := fmt.Fprint(w, strings.Repeat("x", 1<<10)); err != nil {
					return
				}
			}
			fmt.Fprint(w, `"}`)
		}),
		"not JSON": only("/keys", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }),
		"symmetric keys": only("/keys", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"keys":[{"kty":"oct","kid":"a","k":"AAAA"}]}`)
		}),
		"an empty set":     only("/keys", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"keys":[]}`) }),
		"hangs up at once": only("/keys", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
	} {
		p := oidctest.Start(t, jose.ES256)
		people(p)
		p.Fault(fault)
		_, err := load(t, trust(p, "")).Verify(t.Context(), p.Token(t, "alice", "app"), time.Now())
		if err == nil || !strings.Contains(err.Error(), "cannot be fetched") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if elsewhere.Requests("/keys") != 0 {
		t.Error("a redirect to another host was followed")
	}
}

func TestASlowProviderHoldsNobodyForLong(t *testing.T) {
	p := oidctest.Start(t, jose.ES256)
	people(p)
	release := make(chan struct{})
	p.Fault(func(_ http.ResponseWriter, r *http.Request) bool {
		select {
		case <-release:
		case <-r.Context().Done():
		}
		return true
	})
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begun := time.Now()
	issuers := load(t, trust(p, ""))
	if _, err := issuers.Verify(ctx, p.Token(t, "alice", "app"), begun); err == nil || time.Since(begun) > 2*time.Second {
		t.Errorf("a caller who leaves waits %s: %v", time.Since(begun), err)
	}
	if _, err := issuers.Verify(t.Context(), p.Token(t, "alice", "app"), begun); err == nil || time.Since(begun) > 8*time.Second {
		t.Errorf("a patient caller waits %s: %v", time.Since(begun), err)
	}
}

func TestLoopbackNeedsAllowPrivate(t *testing.T) {
	p := oidctest.Start(t, jose.ES256)
	people(p)
	text := strings.Replace(trust(p, ""), "allow_private: true", "allow_private: false", 1)
	if _, err := load(t, text).Verify(t.Context(), p.Token(t, "alice", "app"), time.Now()); err == nil || p.Requests("/keys") != 0 {
		t.Errorf("a private address was reached: %v", err)
	}
}

func TestFilesOfProviders(t *testing.T) {
	base := trust(&oidctest.Provider{URL: "https://login.example.com"}, "")
	for name, tc := range map[string]struct{ old, with, want string }{
		"another version":        {"version: 1", "version: 2", "version 2"},
		"an unknown field":       {"audience:", "audiences:", "audiences"},
		"no audience":            {"audience: finobs", "audience: ''", "audience"},
		"http":                   {"https://login", "http://login", "https"},
		"a name in the URL":      {"https://login", "https://a:b@login", "issuer"},
		"a query":                {"example.com", "example.com/?a=b", "issuer"},
		"not a URL":              {"https://login.example.com", "corp", "issuer"},
		"a bad name":             {"name: corp", "name: Corp!", "name"},
		"the name of tokens":     {"name: corp", "name: token", "token"},
		"an unknown role":        {"ops: analyst", "ops: boss", "boss"},
		"a symmetric algorithm":  {"client_id: console", "client_id: console\n    algorithms: [HS256]", "HS256"},
		"no algorithm at all":    {"client_id: console", "client_id: console\n    algorithms: [none]", "none"},
		"a long life":            {"client_id: console", "client_id: console\n    max_lifetime: 48h", "48h"},
		"a type without safety":  {"client_id: console", "client_id: finobs\n    token_type: JWT", "ID token"},
		"roles without a claim":  {"roles: realm.roles, ", "", "claims.roles"},
		"desks without a claim":  {", desk: desk", "", "claims.desk"},
		"a machine that decides": {"roles: [service]", "roles: [analyst]", "for people"},
		"people's own client":    {"client_id: loader", "client_id: console", "needs its own"},
		"a machine twice":        {"client_id: triage", "client_id: loader", "twice"},
		"a desk with a space":    {"desk: EQ", "desk: 'E Q'", "E Q"},
		"a missing secret":       {"client_id: console", "client_id: console\n    client_secret_file: none", "client_secret_file"},
		"scopes without openid":  {"client_id: console", "client_id: console\n    scopes: [profile]", "openid"},
	} {
		text := strings.Replace(base, tc.old, tc.with, 1)
		if text == base {
			t.Errorf("%s: nothing was changed", name)
		}
		if _, err := identity.ReadIssuers(strings.NewReader(text), t.TempDir()); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("hush\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	open := strings.Replace(base, "client_id: console", "client_id: console\n    client_secret_file: "+path, 1)
	if _, err := identity.ReadIssuers(strings.NewReader(open), ""); err == nil || !strings.Contains(err.Error(), "0644") {
		t.Errorf("a secret that others can read: %v", err)
	}
	lines := strings.Join(load(t, base).Describe(), "\n")
	for _, part := range []string{"people sign in as client console", "realm.roles ops: analyst", "desk bonds: desk FI", "client triage: agent, viewer"} {
		if !strings.Contains(lines, part) {
			t.Errorf("the description lacks %q:\n%s", part, lines)
		}
	}
}

// FuzzReadIssuers reads anything as a file of providers: it is refused in valid
// text, or trusts no one over an open line.
func FuzzReadIssuers(f *testing.F) {
	f.Add(trust(&oidctest.Provider{URL: "https://login.example.com"}, everyAlgorithm))
	f.Add("version: 1\nissuers: []\n")
	f.Add("version: 1\nissuers: [null]\n")
	f.Add("version: 1\nissuers:\n  - &a {name: a, issuer: 'http://127.0.0.1:1', audience: b}\n")
	f.Fuzz(func(t *testing.T, text string) {
		issuers, err := identity.ReadIssuers(strings.NewReader(text), t.TempDir())
		if err != nil {
			if err.Error() != strings.ToValidUTF8(err.Error(), "") {
				t.Errorf("refused by %q", err)
			}
			return
		}
		if len(issuers.Describe()) == 0 {
			t.Error("a file that trusts nobody was read")
		}
	})
}

// FuzzVerifyAccessToken gives anything as a token: none is accepted, and none is
// shown.
func FuzzVerifyAccessToken(f *testing.F) {
	p := oidctest.Start(f, jose.ES256)
	people(p)
	issuers := load(f, trust(p, ""))
	good := p.Token(f, "alice", "app")
	for _, token := range []string{good, "", "..", "a.b.c", strings.Replace(good, ".", "..", 1)} {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := issuers.Verify(t.Context(), token, time.Now()); err == nil && token != good {
			t.Errorf("accepted %q", token)
		}
	})
}
