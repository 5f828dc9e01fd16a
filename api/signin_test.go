package api_test

import (
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"finobs/api"
	"finobs/internal/approval"
	"finobs/internal/identity"
	"finobs/internal/keys"
	"finobs/internal/oidctest"
	"finobs/internal/pgtest"
	"finobs/internal/schema"
	"finobs/internal/session"
	"finobs/internal/store"

	"github.com/go-jose/go-jose/v4"
)

// edge is an API over a database of its own, without Temporal, and who may sign in.
type edge struct {
	*httptest.Server
	api  *api.Server
	db   pgtest.Database
	keep *session.Keeper
	key  *keys.File
	op   *oidctest.Provider
}

func newEdge(t *testing.T, environment string) *edge {
	t.Helper()
	return edgeOver(t, pgtest.New(t), environment)
}

// edgeOver is newEdge over a database that is there already.
func edgeOver(t *testing.T, db pgtest.Database, environment string) *edge {
	t.Helper()
	e := &edge{db: db, op: oidctest.Start(t, jose.ES256)}
	if err := schema.MarkEnvironment(t.Context(), e.db.Migrate, environment); err != nil {
		t.Fatal(err)
	}
	reader, err := store.OpenReader(t.Context(), e.db.API)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reader.Close() })
	if e.key, err = keys.LoadOrCreate(filepath.Join(t.TempDir(), "identity.pem")); err != nil {
		t.Fatal(err)
	}
	var handler http.Handler
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(e.Close)
	e.op.Console("console", "", e.URL)
	for sub, group := range map[string]string{"ann": "ops", "victor": "looker", "<b>mallory</b>": "ops", "nobody": "guests"} {
		e.op.Person(sub, map[string]any{"groups": []string{group}})
	}
	issuers, err := identity.ReadIssuers(strings.NewReader("version: 1\nissuers:\n- {name: corp, title: 'Example <Corp>', issuer: '"+e.op.URL+
		"', audience: finobs, allow_private: true, client_id: console, claims: {roles: groups}, roles: {ops: analyst, looker: viewer}}\n"), "")
	if err != nil {
		t.Fatal(err)
	}
	if e.keep, err = session.NewKeeper(session.Options{}); err != nil {
		t.Fatal(err)
	}
	e.api, err = api.New(api.Deps{Reader: reader, Identity: identity.NewVerifier(e.key.Public()), Issuers: issuers, Sessions: e.keep, PublicURL: e.URL})
	if err != nil {
		t.Fatal(err)
	}
	handler = e.api.Handler()
	return e
}

func (e *edge) token(t *testing.T, name string, kind approval.ActorKind, roles ...string) string {
	t.Helper()
	token, err := identity.Mint(t.Context(), e.key, approval.Principal{Person: approval.Person{Issuer: identity.DevIssuer, Subject: name}, Kind: kind, Roles: roles}, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// entries counts what is on record of an action.
func (e *edge) entries(t *testing.T, action string) string {
	t.Helper()
	api.FlushDenials(e.api, t.Context())
	return pgtest.Value(t, e.db.Admin, "SELECT coalesce(sum((convert_from(leaf, 'UTF8')::jsonb->'details'->>'count')::int), 0)::text FROM ledger.entry WHERE action = $1", action)
}

// browser keeps cookies and follows redirects, and pages that move on, by itself.
type browser struct {
	t *testing.T
	*http.Client
}

func newBrowser(t *testing.T) browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return browser{t, &http.Client{Jar: jar}}
}

// page is an answer in full.
type page struct {
	status int
	header http.Header
	url    *url.URL
	body   string
}

func (b browser) do(method, address string, form url.Values, headers ...string) page {
	b.t.Helper()
	req, err := http.NewRequest(method, address, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := b.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return page{res.StatusCode, res.Header, res.Request.URL, string(text)}
}

var (
	csrfField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)
	refresh   = regexp.MustCompile(`http-equiv="refresh" content="0;url=([^"]+)"`)
)

func (p page) csrf() string {
	if m := csrfField.FindStringSubmatch(p.body); m != nil {
		return html.UnescapeString(m[1])
	}
	return ""
}

// next is where a page moves on to by itself.
func (p page) next() string {
	if m := refresh.FindStringSubmatch(p.body); m != nil {
		return html.UnescapeString(m[1])
	}
	return ""
}

// signInByToken fills in the form.
func (b browser) signInByToken(e *edge, token string) page {
	b.t.Helper()
	form := b.do("GET", e.URL+"/login?next=/docs/", nil)
	return b.do("POST", e.URL+"/login", url.Values{"csrf": {form.csrf()}, "next": {"/docs/"}, "with": {"token"}, "token": {token}}, "Sec-Fetch-Site", "same-origin")
}

// signInAtProvider goes the whole way and returns the last page.
func (b browser) signInAtProvider(e *edge, sub, next string) page {
	b.t.Helper()
	form := b.do("GET", e.URL+"/login?next="+url.QueryEscape(next), nil)
	on := b.do("POST", e.URL+"/login", url.Values{"csrf": {form.csrf()}, "next": {next}, "with": {"corp"}}, "Sec-Fetch-Site", "same-origin")
	if on.status != http.StatusOK || on.next() == "" {
		b.t.Fatalf("the form was answered %d: %s", on.status, on.body)
	}
	choice := b.do("GET", on.next(), nil)
	return b.do("POST", choice.url.String(), url.Values{"sub": {sub}})
}

func TestWhatASessionCookieAloneMayDo(t *testing.T) {
	e := newEdge(t, "dev")
	b := newBrowser(t)
	if p := b.signInByToken(e, e.token(t, "alice", approval.Human, "analyst")); p.status != http.StatusOK || p.next() != "/docs/" {
		t.Fatalf("answered %d: %s", p.status, p.body)
	}
	for _, tc := range []struct {
		method, path, site string
		want               int
	}{
		{"GET", "/approval/", "", http.StatusOK}, {"GET", "/api/approval/", "", http.StatusOK},
		{"GET", "/approval/", "same-origin", http.StatusOK}, {"GET", "/approval/", "none", http.StatusOK},
		{"GET", "/approval/", "same-site", http.StatusUnauthorized}, {"GET", "/approval/", "cross-site", http.StatusUnauthorized},
		{"GET", "/approval/", "nonsense", http.StatusUnauthorized},
		{"GET", "/audit", "same-origin", http.StatusForbidden}, // an analyst
		{"GET", "/incidents/export", "same-origin", http.StatusUnauthorized},
		{"GET", "/exports/destinations", "same-origin", http.StatusUnauthorized}, // its permission is not for reading
		{"POST", "/approval/", "same-origin", http.StatusUnauthorized},
		{"POST", "/approval/1/decision", "same-origin", http.StatusUnauthorized},
		{"PATCH", "/users/x", "same-origin", http.StatusUnauthorized},
		{"DELETE", "/exports/1", "same-origin", http.StatusUnauthorized}, // whose permission is for reading
	} {
		headers := []string{}
		if tc.site != "" {
			headers = []string{"Sec-Fetch-Site", tc.site}
		}
		if p := b.do(tc.method, e.URL+tc.path, nil, headers...); p.status != tc.want {
			t.Errorf("%s %s from %q: %d, want %d: %s", tc.method, tc.path, tc.site, p.status, tc.want, p.body)
		}
	}
	victor := "Bearer " + e.token(t, "victor", approval.Human, "viewer")
	if p := b.do("GET", e.URL+"/exports/", nil, "Authorization", victor); p.status != http.StatusForbidden {
		t.Errorf("the cookie wins over a token: %d", p.status)
	}
	if p := b.do("GET", e.URL+"/approval/", nil, "Authorization", "Bearer nonsense"); p.status != http.StatusUnauthorized {
		t.Errorf("a bad token falls back to the cookie: %d", p.status)
	}
	if p := newBrowser(t).do("GET", e.URL+"/approval/", nil, "Cookie", "finobs=AAAA"); p.status != http.StatusUnauthorized {
		t.Errorf("a forged cookie: %d", p.status)
	}
}

func TestSigningInWithAToken(t *testing.T) {
	e := newEdge(t, "dev")
	good := e.token(t, "alice", approval.Human, "analyst")
	b := newBrowser(t)
	form := b.do("GET", e.URL+"/login", nil)
	if !strings.Contains(form.body, `name="token"`) || form.csrf() == "" {
		t.Fatalf("the page has no form for tokens: %s", form.body)
	}
	fill := func(change func(url.Values)) url.Values {
		v := url.Values{"csrf": {form.csrf()}, "with": {"token"}, "token": {good}, "next": {"/"}}
		change(v)
		return v
	}
	for name, tc := range map[string]struct {
		form    url.Values
		headers []string
		want    int
	}{
		"another CSRF token": {fill(func(v url.Values) { v.Set("csrf", session.Random()) }), nil, http.StatusForbidden},
		"no CSRF token":      {fill(func(v url.Values) { v.Del("csrf") }), nil, http.StatusForbidden},
		"another site":       {fill(func(url.Values) {}), []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		"a sibling site":     {fill(func(url.Values) {}), []string{"Sec-Fetch-Site", "same-site"}, http.StatusForbidden},
		"another origin":     {fill(func(url.Values) {}), []string{"Origin", "https://evil.example.com"}, http.StatusForbidden},
		"garbage":            {fill(func(v url.Values) { v.Set("token", "garbage") }), nil, http.StatusUnauthorized},
		"a provider's token": {fill(func(v url.Values) { v.Set("token", e.op.Token(t, "ann", "app")) }), nil, http.StatusUnauthorized},
		"a machine's token":  {fill(func(v url.Values) { v.Set("token", e.token(t, "bot", approval.Agent, "analyst")) }), nil, http.StatusForbidden},
		"an unknown way":     {fill(func(v url.Values) { v.Set("with", "magic") }), nil, http.StatusNotFound},
		"a huge form":        {fill(func(v url.Values) { v.Set("pad", strings.Repeat("x", 32<<10)) }), nil, http.StatusBadRequest},
	} {
		p := b.do("POST", e.URL+"/login", tc.form, tc.headers...)
		if p.status != tc.want || !strings.Contains(p.body, `role="alert"`) {
			t.Errorf("%s: %d: %s", name, p.status, p.body)
		}
		if slices.ContainsFunc(p.header.Values("Set-Cookie"), func(c string) bool { return strings.HasPrefix(c, "finobs=") }) {
			t.Errorf("%s: somebody is signed in", name)
		}
	}
	// A form that another browser got is of no use: nobody signs somebody else in.
	if p := newBrowser(t).do("POST", e.URL+"/login", fill(func(url.Values) {})); p.status != http.StatusForbidden {
		t.Errorf("another browser: %d", p.status)
	}
	if n := e.entries(t, "sign_in"); n != "11" {
		t.Errorf("%s refusals are on record, want 11", n)
	}
	if p := b.signInByToken(e, "  "+good+"\n"); p.status != http.StatusOK || e.entries(t, "signed_in") != "1" {
		t.Errorf("the good token: %d: %s", p.status, p.body)
	}
	if n := pgtest.Value(t, e.db.Admin, "SELECT count(*)::text FROM ledger.entry WHERE position(convert_to($1, 'UTF8') in leaf) > 0", good[len(good)-40:]); n != "0" {
		t.Errorf("%s entries hold the token", n)
	}
	if again := b.do("GET", e.URL+"/login", nil); !strings.Contains(again.body, "signed in as <strong>alice</strong>") {
		t.Errorf("the page does not say who is signed in: %s", again.body)
	}
}

func TestTokensOfDevelopmentCountOnADevelopmentDatabaseAlone(t *testing.T) {
	e := newEdge(t, "production")
	good := e.token(t, "alice", approval.Human, "analyst")
	b := newBrowser(t)
	form := b.do("GET", e.URL+"/login", nil)
	if strings.Contains(form.body, `name="token"`) || !strings.Contains(form.body, "Sign in with Example &lt;Corp&gt;") {
		t.Errorf("the page offers %s", form.body)
	}
	if p := b.do("POST", e.URL+"/login", url.Values{"csrf": {form.csrf()}, "with": {"token"}, "token": {good}}); p.status != http.StatusForbidden {
		t.Errorf("the form is taken: %d", p.status)
	}
	if p := b.do("GET", e.URL+"/approval/", nil, "Authorization", "Bearer "+good); p.status != http.StatusUnauthorized || !strings.Contains(p.body, "development database") {
		t.Errorf("the token is taken: %d %s", p.status, p.body)
	}
	if p := b.do("GET", e.URL+"/approval/", nil, "Authorization", "Bearer "+e.op.Token(t, "victor", "app")); p.status != http.StatusOK {
		t.Errorf("a provider's token: %d %s", p.status, p.body)
	}
}

func TestSigningInAndOutAtAProvider(t *testing.T) {
	e := newEdge(t, "production")
	b := newBrowser(t)
	p := b.signInAtProvider(e, "victor", "/docs/?a=b")
	if p.status != http.StatusOK || p.next() != "/docs/?a=b" {
		t.Fatalf("answered %d: %s", p.status, p.body)
	}
	checkHeaders(t, p)
	if got := b.do("GET", e.URL+"/approval/", nil); got.status != http.StatusOK {
		t.Errorf("victor reads: %d %s", got.status, got.body)
	}
	if got := b.do("GET", e.URL+"/audit", nil); got.status != http.StatusForbidden {
		t.Errorf("a viewer reads the log: %d", got.status)
	}
	home, err := url.Parse(e.URL)
	if err != nil {
		t.Fatal(err)
	}
	copied := b.Jar.Cookies(home)
	req := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, c := range copied {
		req.AddCookie(c)
	}
	who, err := api.Visitor(e.api, req)
	if err != nil || who.Principal.Subject != "victor" || who.Via != session.ViaOIDC || who.Principal.Issuer != e.op.URL {
		t.Fatalf("got %+v, %v", who, err)
	}
	for name, form := range map[string]url.Values{"no CSRF token": {}, "another one": {"csrf": {session.Random()}}} {
		if p := b.do("POST", e.URL+"/logout", form); p.status != http.StatusForbidden {
			t.Errorf("signed out with %s: %d", name, p.status)
		}
	}
	if p := b.do("POST", e.URL+"/logout", url.Values{"csrf": {who.CSRF}}, "Sec-Fetch-Site", "cross-site"); p.status != http.StatusForbidden {
		t.Errorf("signed out by another site: %d", p.status)
	}
	out := b.do("POST", e.URL+"/logout", nil, "X-CSRF-Token", who.CSRF, "Sec-Fetch-Site", "same-origin")
	if out.status != http.StatusOK || !strings.HasPrefix(out.next(), e.op.URL+"/end_session?client_id=console") {
		t.Fatalf("signing out answered %d, on to %q: %s", out.status, out.next(), out.body)
	}
	if back := b.do("GET", out.next(), nil); back.url.String() != e.URL+"/login" {
		t.Errorf("the provider sends to %s", back.url)
	}
	if got := b.do("GET", e.URL+"/approval/", nil); got.status != http.StatusUnauthorized {
		t.Errorf("after signing out: %d", got.status)
	}
	if _, err := api.Visitor(e.api, req); err == nil {
		t.Error("a copy of the cookie still counts here")
	}
	if e.entries(t, "signed_in") != "1" || e.entries(t, "signed_out") != "1" {
		t.Errorf("%s and %s are on record", e.entries(t, "signed_in"), e.entries(t, "signed_out"))
	}
}

func checkHeaders(t *testing.T, p page) {
	t.Helper()
	csp := p.header.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
		if !strings.Contains(csp, part) {
			t.Errorf("the policy lacks %s: %s", part, csp)
		}
	}
	for name, want := range map[string]string{"Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"} {
		if p.header.Get(name) != want {
			t.Errorf("%s is %q", name, p.header.Get(name))
		}
	}
	if regexp.MustCompile(`<script>|<style|onclick=|javascript:`).MatchString(p.body) {
		t.Errorf("the page has something inline: %s", p.body)
	}
}

func TestAnswersOfAProviderThatNobodyAskedFor(t *testing.T) {
	e := newEdge(t, "production")
	b := newBrowser(t)
	if p := b.do("GET", e.URL+"/login/callback?code=x&state=y", nil); p.status != http.StatusBadRequest {
		t.Errorf("without a sign-in: %d", p.status)
	}
	// Login CSRF: mallory's answer is brought into another person's browser.
	mallory, victim := newBrowser(t), newBrowser(t)
	var answer string
	mallory.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), e.URL) {
			answer = r.URL.String()
			return http.ErrUseLastResponse
		}
		return nil
	}
	mallory.signInAtProvider(e, "<b>mallory</b>", "/")
	form := victim.do("GET", e.URL+"/login", nil)
	victim.do("POST", e.URL+"/login", url.Values{"csrf": {form.csrf()}, "with": {"corp"}})
	if p := victim.do("GET", answer, nil); p.status != http.StatusUnauthorized || !strings.Contains(p.body, "another sign-in") {
		t.Errorf("somebody else's answer: %d %s", p.status, p.body)
	}
	if p := victim.do("GET", e.URL+"/approval/", nil); p.status != http.StatusUnauthorized {
		t.Errorf("the victim is signed in: %d", p.status)
	}
	// The provider's words are shown as text.
	form = b.do("GET", e.URL+"/login", nil)
	on := b.do("POST", e.URL+"/login", url.Values{"csrf": {form.csrf()}, "with": {"corp"}})
	begun, err := url.Parse(on.next())
	if err != nil {
		t.Fatal(err)
	}
	p := b.do("GET", e.URL+"/login/callback?error=access_denied&error_description="+url.QueryEscape(`<script>alert(1)</script>`)+"&state="+begun.Query().Get("state"), nil)
	if p.status != http.StatusUnauthorized || strings.Contains(p.body, "<script>") || !strings.Contains(p.body, "&lt;script&gt;alert(1)") || !strings.Contains(p.body, "or you cancelled") {
		t.Errorf("%d %s", p.status, p.body)
	}
	checkHeaders(t, p)
	if p := b.signInAtProvider(e, "nobody", "/"); p.status != http.StatusUnauthorized || !strings.Contains(p.body, "gives you a role") {
		t.Errorf("without a role: %d %s", p.status, p.body)
	}
	e.op.Close()
	form = b.do("GET", e.URL+"/login", nil)
	if form.status != http.StatusOK {
		t.Errorf("the page needs the provider: %d", form.status)
	}
}

func TestAProviderThatIsDownIsSaidSo(t *testing.T) {
	e := newEdge(t, "production")
	e.op.Close()
	b := newBrowser(t)
	form := b.do("GET", e.URL+"/login", nil)
	p := b.do("POST", e.URL+"/login", url.Values{"csrf": {form.csrf()}, "with": {"corp"}})
	if p.status != http.StatusBadGateway || !strings.Contains(p.body, "cannot be reached now") || strings.Contains(p.body, "connection refused") {
		t.Errorf("%d %s", p.status, p.body)
	}
}

func TestTooManySignIns(t *testing.T) {
	e := newEdge(t, "dev")
	b := newBrowser(t)
	last := 0
	for range 2000 {
		if last = b.do("POST", e.URL+"/login", url.Values{"with": {"token"}}).status; last == http.StatusTooManyRequests {
			break
		}
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("the last one of 2,000 is answered %d", last)
	}
	if got := b.do("GET", e.URL+"/healthz", nil); got.status != http.StatusOK {
		t.Errorf("others are held up: %d", got.status)
	}
}

func TestWhoActsStaysSignedIn(t *testing.T) {
	e := newEdge(t, "dev")
	s := e.keep.New(approval.Principal{Person: approval.Person{Issuer: identity.DevIssuer, Subject: "alice"}, Kind: approval.Human, Roles: []string{"analyst"}}, session.ViaToken, time.Now().Add(-time.Hour), time.Time{})
	for name, tc := range map[string]struct {
		seen    time.Duration // ago
		path    string
		headers []string
		want    bool
	}{
		"follows a link":         {10 * time.Minute, "/docs/", []string{"Sec-Fetch-Mode", "navigate"}, true},
		"a boosted link":         {10 * time.Minute, "/docs/", []string{"Sec-Fetch-Mode", "cors", "HX-Boosted", "true"}, true},
		"again within a minute":  {30 * time.Second, "/docs/", []string{"Sec-Fetch-Mode", "navigate"}, false},
		"a live update":          {10 * time.Minute, "/approval/", []string{"Sec-Fetch-Mode", "cors"}, false},
		"a picture":              {10 * time.Minute, "/login/static/login.css", []string{"Sec-Fetch-Mode", "no-cors"}, false},
		"after the idle timeout": {31 * time.Minute, "/docs/", []string{"Sec-Fetch-Mode", "navigate"}, false},
	} {
		s.SeenAt = time.Now().Add(-tc.seen)
		w := httptest.NewRecorder()
		if err := e.keep.Write(w, s); err != nil {
			t.Fatal(err)
		}
		p := newBrowser(t).do("GET", e.URL+tc.path, nil, append(tc.headers, "Cookie", w.Result().Cookies()[0].String())...)
		if got := p.header.Get("Set-Cookie") != ""; got != tc.want {
			t.Errorf("%s: kept alive: %v", name, got)
		}
	}
}

func TestWhereASignInLeads(t *testing.T) {
	for path, want := range map[string]string{
		"/": "/", "/console/approvals/42": "/console/approvals/42", "/console/?a=b&c=%20": "/console/?a=b&c=%20", "/a%3Fb": "/a%3Fb",
		"": "/", "console": "/", "//evil.example.com": "/", "///evil.example.com": "/", "/\\evil.example.com": "/", "\\\\evil": "/", "/a\\b": "/",
		"https://evil.example.com/": "/", "javascript:alert(1)": "/", "/%5cevil": "/", "/%2f/evil": "/", "/a//b": "/", "/%09/evil": "/",
		"/\t/evil": "/", "/ /evil": "/", "/a\nb": "/", "/a\x00": "/", "/%00": "/", "/#x": "/", "http:/a": "/", "/é": "/", "/%c3%a9": "/",
		"/login": "/", "/login?next=/": "/", "/logout": "/", "/" + strings.Repeat("a", 2000): "/", "/%zz": "/", " /console": "/",
	} {
		if got := api.LocalPath(path); got != want {
			t.Errorf("%q leads to %q, want %q", path, got, want)
		}
	}
}

// FuzzLocalPath: wherever a sign-in leads is on this server, as a browser reads it.
func FuzzLocalPath(f *testing.F) {
	for _, s := range []string{"/", "//a", "/\\a", "/a?b#c", "/%2f%2fa"} {
		f.Add(s)
	}
	base, err := url.Parse("https://finobs.example.com/login")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := api.LocalPath(s)
		u, err := base.Parse(got)
		if err != nil || u.Host != base.Host || u.Scheme != base.Scheme || len(got) > 1 && (got[1] == '/' || got[1] == '\\') || strings.ContainsAny(got, "\\\r\n\t ") {
			t.Errorf("%q leads to %q", s, got)
		}
	})
}
