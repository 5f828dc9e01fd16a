// Package oidctest runs an OpenID provider for tests: zitadel/oidc's, with people
// and clients in memory. It signs who is chosen in without a password.
package oidctest

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// Provider is a running provider. Its fields may be changed before it is used.
type Provider struct {
	URL       string
	Audience  string        // of access tokens
	TokenType string        // typ of access tokens
	Lifetime  time.Duration // of access tokens

	server  *httptest.Server
	storage *storage

	mu       sync.Mutex
	people   map[string]map[string]any // claims by sub
	clients  map[string]*client
	keys     []*signingKey // the last one signs
	requests map[string]int
	fault    func(http.ResponseWriter, *http.Request) bool
}

type signingKey struct {
	id        string
	algorithm jose.SignatureAlgorithm
	private   any
	public    any
}

func (k *signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return k.algorithm }
func (k *signingKey) Key() any                                    { return k.private }
func (k *signingKey) ID() string                                  { return k.id }

type publicKey struct{ *signingKey }

func (k publicKey) Algorithm() jose.SignatureAlgorithm { return k.algorithm }
func (k publicKey) Use() string                        { return "sig" }
func (k publicKey) Key() any                           { return k.public }

// Start runs a provider until the test ends. Its first key is of the algorithm.
func Start(t testing.TB, algorithm jose.SignatureAlgorithm) *Provider {
	t.Helper()
	p := &Provider{
		Audience: "finobs", TokenType: "at+jwt", Lifetime: 30 * time.Minute,
		people: map[string]map[string]any{}, clients: map[string]*client{}, requests: map[string]int{},
	}
	p.storage = &storage{provider: p, requests: map[string]*authRequest{}, codes: map[string]string{}}
	mux := http.NewServeMux()
	p.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.requests[r.URL.Path]++
		fault := p.fault
		p.mu.Unlock()
		if fault == nil || !fault(w, r) {
			mux.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(p.server.Close)
	p.URL = p.server.URL
	p.Rotate(t, algorithm, false)
	provider, err := op.NewProvider(&op.Config{CodeMethodS256: true, DefaultLogoutRedirectURI: p.URL + "/signed-out"}, p.storage,
		op.StaticIssuer(p.URL), op.WithAllowInsecure(), op.WithCrypto(tokenCrypto{p}))
	if err != nil {
		t.Fatal(err)
	}
	mux.Handle("/", provider)
	mux.HandleFunc("GET /choose", p.choosePage)
	mux.HandleFunc("POST /choose", p.choose(op.AuthCallbackURL(provider)))
	return p
}

// Person makes somebody known, with claims that his tokens have.
func (p *Provider) Person(sub string, claims map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.people[sub] = claims
}

// Console makes a client known that people sign in with; without a secret it is a
// public one. base is where the API is reached.
func (p *Provider) Console(id, secret, base string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clients[id] = &client{id: id, secret: secret, redirects: []string{base + "/login/callback"}, afterwards: []string{base + "/login"}, issuer: p.URL}
}

// Machine makes a client known that gets tokens of its own.
func (p *Provider) Machine(id, secret string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clients[id] = &client{id: id, secret: secret, issuer: p.URL}
}

// Rotate makes a new key sign; the old ones are published as well, unless they are
// withdrawn.
func (p *Provider) Rotate(t testing.TB, algorithm jose.SignatureAlgorithm, withdraw bool) {
	t.Helper()
	k := &signingKey{id: uuid.NewString(), algorithm: algorithm}
	var err error
	switch algorithm {
	case jose.RS256, jose.PS256:
		var private *rsa.PrivateKey
		if private, err = rsa.GenerateKey(rand.Reader, 2048); err == nil {
			k.private, k.public = private, private.Public()
		}
	case jose.ES256:
		var private *ecdsa.PrivateKey
		if private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err == nil {
			k.private, k.public = private, private.Public()
		}
	case jose.EdDSA:
		k.public, k.private, err = ed25519.GenerateKey(rand.Reader)
	default:
		err = fmt.Errorf("no keys for %s", algorithm)
	}
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if withdraw {
		p.keys = nil
	}
	p.keys = append(p.keys, k)
}

// Fault sees each request first and reports whether it has answered it; nil ends
// that.
func (p *Provider) Fault(f func(http.ResponseWriter, *http.Request) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
}

// Requests counts the requests for a path.
func (p *Provider) Requests(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests[path]
}

// Close ends the provider before the test does.
func (p *Provider) Close() { p.server.Close() }

func (p *Provider) current() *signingKey {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.keys[len(p.keys)-1]
}

func (p *Provider) published() []*signingKey {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]*signingKey{}, p.keys...)
}

func (p *Provider) claimsOf(sub string) map[string]any {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.people[sub])
}

// Claims are those of a good access token of somebody, for a test to spoil.
func (p *Provider) Claims(sub, clientID string) map[string]any {
	now := time.Now()
	claims := map[string]any{
		"iss": p.URL, "sub": sub, "aud": []string{p.Audience}, "client_id": clientID, "jti": uuid.NewString(),
		"iat": now.Unix(), "exp": now.Add(p.Lifetime).Unix(),
	}
	maps.Copy(claims, p.claimsOf(sub))
	return claims
}

// Sign signs claims with the provider's key, under a header with the given members
// besides alg and kid.
func (p *Provider) Sign(t testing.TB, header map[string]any, claims any) string {
	t.Helper()
	token, err := p.sign(header, claims)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (p *Provider) sign(header map[string]any, claims any) (string, error) {
	k := p.current()
	options := &jose.SignerOptions{}
	for name, value := range header {
		options.WithHeader(jose.HeaderKey(name), value)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: k.algorithm, Key: jose.JSONWebKey{Key: k.private, KeyID: k.id}}, options)
	if err != nil {
		return "", err
	}
	return jwt.Signed(signer).Claims(claims).Serialize()
}

// Token is a good access token of somebody.
func (p *Provider) Token(t testing.TB, sub, clientID string) string {
	t.Helper()
	return p.Sign(t, map[string]any{"typ": p.TokenType}, p.Claims(sub, clientID))
}

// MachineToken gets a machine's token as machines do, by client credentials.
func (p *Provider) MachineToken(t testing.TB, id, secret string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.URL+"/oauth/token", strings.NewReader(url.Values{"grant_type": {"client_credentials"}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(id, secret)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := p.server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || answer.AccessToken == "" {
		t.Fatalf("the provider answered %d without a token: %v", res.StatusCode, err)
	}
	return answer.AccessToken
}

// tokenCrypto makes of the library's opaque tokens, which it knows by the text
// "client:sub", JWT access tokens of the type that a test wants: the library's own
// are always of type JWT.
type tokenCrypto struct{ p *Provider }

// Encrypt implements op.Crypto.
func (c tokenCrypto) Encrypt(text string) (string, error) {
	id, sub, found := strings.Cut(text, ":")
	if !found {
		return uuid.NewString(), nil // a code
	}
	return c.p.sign(map[string]any{"typ": c.p.TokenType}, c.p.Claims(sub, id))
}

// Decrypt implements op.Crypto.
func (tokenCrypto) Decrypt(string) (string, error) {
	return "", errors.New("nothing is decrypted here")
}

// choosePage asks who signs in.
func (p *Provider) choosePage(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(w, `<!doctype html><title>Provider</title><form method="post"><input type="hidden" name="id" value="%s">`, html.EscapeString(r.FormValue("id")))
	for sub := range p.people {
		fmt.Fprintf(w, `<button name="sub" value="%[1]s">%[1]s</button>`, html.EscapeString(sub))
	}
	fmt.Fprint(w, `</form>`)
}

// choose signs the chosen person in and sends the browser back.
func (p *Provider) choose(back func(ctx context.Context, id string) string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a, err := p.storage.request(r.FormValue("id"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		a.user, a.at, a.done = r.FormValue("sub"), time.Now(), true
		http.Redirect(w, r, back(op.ContextWithIssuer(r.Context(), p.URL), a.id), http.StatusFound)
	}
}
