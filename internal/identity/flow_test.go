package identity_test

import (
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"finobs/internal/identity"
	"finobs/internal/oidctest"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2"
)

func signWith(t *testing.T, algorithm jose.SignatureAlgorithm, key jose.JSONWebKey, claims any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, (&jose.SignerOptions{}).WithType("at+jwt"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func kidOf(t *testing.T, token string) string {
	t.Helper()
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	return signed.Signatures[0].Protected.KeyID
}

const base = "http://127.0.0.1:9"

func newFlow() identity.Flow {
	return identity.Flow{Issuer: "corp", State: "state", Nonce: "nonce", Verifier: oauth2.GenerateVerifier(), Next: "/", Until: time.Now().Add(time.Minute)}
}

// answerOf goes through a provider's pages as somebody and returns the query that
// the provider sends back.
func answerOf(t *testing.T, begin, sub string) url.Values {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	var back *url.URL
	browser := &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), base) {
			back = r.URL
			return http.ErrUseLastResponse
		}
		return nil
	}}
	res, err := browser.Get(begin)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res, err = browser.PostForm(res.Request.URL.String(), url.Values{"sub": {sub}}); err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if back == nil {
		t.Fatalf("the provider sent nobody back: %s", res.Status)
	}
	return back.Query()
}

func TestTheCodeFlow(t *testing.T) {
	for name, secret := range map[string]string{"public client": "", "confidential client": "hush"} {
		p := oidctest.Start(t, jose.RS256)
		people(p)
		p.Console("console", secret, base)
		more := ""
		if secret != "" {
			path := filepath.Join(t.TempDir(), "secret")
			if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			more = "    client_secret_file: " + path + "\n"
		}
		issuer, ok := load(t, trust(p, more)).Named("corp")
		if !ok {
			t.Fatal("nobody can sign in")
		}
		flow := newFlow()
		begin, err := issuer.Begin(t.Context(), flow, base+"/login/callback")
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{"code_challenge_method=S256", "state=state", "nonce=nonce", "response_type=code"} {
			if !strings.Contains(begin, part) {
				t.Errorf("%s: %s lacks %s", name, begin, part)
			}
		}
		if strings.Contains(begin, flow.Verifier) {
			t.Errorf("%s: the address holds the verifier", name)
		}
		answer := answerOf(t, begin, "alice")
		got, err := issuer.Finish(t.Context(), flow, base+"/login/callback", answer, time.Now())
		if err != nil || got.Subject != "alice" || got.Issuer != p.URL || strings.Join(got.Roles, " ") != "analyst" || got.Desk != "EQ" {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
		if _, err := issuer.Finish(t.Context(), flow, base+"/login/callback", answer, time.Now()); err == nil {
			t.Errorf("%s: a code was taken twice", name)
		}
	}
}

func TestAnswersOfTheProviderThatAreRefused(t *testing.T) {
	p := oidctest.Start(t, jose.ES256)
	people(p)
	p.Console("console", "", base)
	issuer, _ := load(t, trust(p, "")).Named("corp")
	for name, tc := range map[string]struct {
		sub    string
		change func(*identity.Flow, url.Values)
		want   string
	}{
		"another state":       {"alice", func(_ *identity.Flow, q url.Values) { q.Set("state", "other") }, "another sign-in"},
		"no state":            {"alice", func(_ *identity.Flow, q url.Values) { q.Del("state") }, "another sign-in"},
		"no state at all":     {"alice", func(f *identity.Flow, q url.Values) { f.State = ""; q.Del("state") }, "another sign-in"},
		"too late":            {"alice", func(f *identity.Flow, _ url.Values) { f.Until = time.Now().Add(-time.Second) }, "too long"},
		"another verifier":    {"alice", func(f *identity.Flow, _ url.Values) { f.Verifier = oauth2.GenerateVerifier() }, "did not take the code"},
		"another nonce":       {"alice", func(f *identity.Flow, _ url.Values) { f.Nonce = "other" }, "does not hold"},
		"another issuer":      {"alice", func(_ *identity.Flow, q url.Values) { q.Set("iss", "https://evil.example.com") }, "another provider"},
		"no code":             {"alice", func(_ *identity.Flow, q url.Values) { q.Del("code") }, "neither a code nor an error"},
		"an invented code":    {"alice", func(_ *identity.Flow, q url.Values) { q.Set("code", "invented") }, "did not take the code"},
		"cancelled":           {"alice", func(_ *identity.Flow, q url.Values) { q.Set("error", "access_denied") }, "or you cancelled"},
		"somebody with words": {"alice", func(_ *identity.Flow, q url.Values) { q.Set("error", "x"); q.Set("error_description", "<script>") }, `"<script>"`},
		"nobody's role":       {"nobody", func(*identity.Flow, url.Values) {}, "gives you a role"},
	} {
		flow := newFlow()
		begin, err := issuer.Begin(t.Context(), flow, base+"/login/callback")
		if err != nil {
			t.Fatal(err)
		}
		answer := answerOf(t, begin, tc.sub)
		tc.change(&flow, answer)
		_, err = issuer.Finish(t.Context(), flow, base+"/login/callback", answer, time.Now())
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnIDTokenThatDoesNotHold(t *testing.T) {
	p := oidctest.Start(t, jose.ES256)
	people(p)
	p.Console("console", "", base)
	issuer, _ := load(t, trust(p, "")).Named("corp")
	for name, change := range map[string]func(map[string]any){
		"good":             func(map[string]any) {},
		"another client's": func(c map[string]any) { c["aud"] = "other" },
		"for two, no azp":  func(c map[string]any) { c["aud"] = []string{"console", "other"} },
		"of another azp":   func(c map[string]any) { c["azp"] = "other" },
		"expired":          func(c map[string]any) { c["exp"] = time.Now().Add(-time.Minute).Unix() },
		"another issuer":   func(c map[string]any) { c["iss"] = "https://evil.example.com" },
		"no nonce":         func(c map[string]any) { delete(c, "nonce") },
		"another at_hash":  func(c map[string]any) { c["at_hash"] = "AAAAAAAAAAAAAAAAAAAAAA" },
		"no sub":           func(c map[string]any) { delete(c, "sub") },
	} {
		c := p.Claims("alice", "console")
		c["aud"], c["nonce"] = "console", "nonce"
		change(c)
		token := p.Sign(t, map[string]any{"typ": "JWT"}, c)
		p.Fault(func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/oauth/token" {
				return false
			}
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"access_token":"opaque","token_type":"Bearer","id_token":%q}`, token)
			return true
		})
		_, err := issuer.Finish(t.Context(), newFlow(), base+"/login/callback", url.Values{"state": {"state"}, "code": {"c"}}, time.Now())
		if (err == nil) != (name == "good") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEndSession(t *testing.T) {
	p := oidctest.Start(t, jose.ES256)
	p.Console("console", "", base)
	issuer, _ := load(t, trust(p, "")).Named("corp")
	to := issuer.EndSession(t.Context(), base+"/login")
	res, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Get(to)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.Header.Get("Location") != base+"/login" {
		t.Errorf("%s answered %s to %s", to, res.Status, res.Header.Get("Location"))
	}
}
