package identity

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"finobs/internal/approval"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2"
)

const (
	fetchTimeout   = 5 * time.Second // of one request to a provider
	maxAnswer      = 1 << 20         // bytes of a provider's answer
	discoveryFresh = time.Hour       // after that the provider is asked again where its endpoints are
)

// TokenSignIn is what sign-in with a token of finobs token is called, beside the
// names of providers.
const TokenSignIn = "token"

// ErrForeign is returned for a token whose issuer is not a trusted provider.
var ErrForeign = errors.New("the token's issuer is not trusted here")

// Issuers are the OpenID providers whose tokens are trusted. A nil one trusts none.
type Issuers struct {
	list   []*Issuer
	byURL  map[string]*Issuer
	byName map[string]*Issuer

	verified memory[signedToken]
}

// Issuer is one OpenID provider: how it is reached, and what its claims mean.
type Issuer struct {
	Name  string // in the file and in forms
	Title string // for people

	url, audience          string
	tokenType              string // in lower case
	algorithms             []jose.SignatureAlgorithm
	lifetime               time.Duration // longest of an access token
	clientID, clientSecret string
	scopes                 []string
	claims                 claimNames
	roles                  map[string]words
	desks                  map[string]string
	machines               map[string]machine // by client id

	http *http.Client
	keys keySet

	mu    sync.Mutex
	found *endpoints
}

// machine is what the file says of a client that is no person.
type machine struct {
	kind  approval.ActorKind
	roles []string
	desk  string
}

// endpoints are what a provider says of itself (OpenID Connect Discovery 1.0,
// section 3).
type endpoints struct {
	oauth2.Endpoint
	keys, endSession string
	at               time.Time
}

// SignIn lists the providers that people can sign in at with a browser.
func (i *Issuers) SignIn() []*Issuer {
	if i == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(i.list), func(i *Issuer) bool { return i.clientID == "" })
}

// Named returns a provider that people can sign in at.
func (i *Issuers) Named(name string) (*Issuer, bool) {
	if i == nil || i.byName[name] == nil || i.byName[name].clientID == "" {
		return nil, false
	}
	return i.byName[name], true
}

// Of returns the provider whose tokens have the given iss.
func (i *Issuers) Of(iss string) (*Issuer, bool) {
	if i == nil || i.byURL[iss] == nil {
		return nil, false
	}
	return i.byURL[iss], true
}

// Verify returns whom an access token speaks for. The error is ErrForeign when no
// trusted provider has the token's issuer; otherwise it says what is wrong, and
// holds nothing of the token but names.
func (i *Issuers) Verify(ctx context.Context, token string, now time.Time) (approval.Principal, error) {
	switch {
	case len(token) > maxToken:
		return approval.Principal{}, fmt.Errorf("the token has %d bytes, over the limit of %d", len(token), maxToken)
	case i == nil:
		return approval.Principal{}, ErrForeign
	}
	if s, known := i.verified.get(token); known && s.holds(ctx, now) {
		return s.whose(), nil
	}
	issuer, ok := i.Of(issuerOf(token))
	if !ok {
		return approval.Principal{}, ErrForeign
	}
	s, err := issuer.verify(ctx, token, now)
	if err != nil {
		return approval.Principal{}, err
	}
	i.verified.put(token, s)
	return s.whose(), nil
}

// holds reports whether a token that is remembered counts here and now: its key is
// still one that the provider publishes, and its times are right. When it does not,
// verifying it anew says why.
func (s signedToken) holds(ctx context.Context, now time.Time) bool {
	key, err := s.issuer.keys.find(ctx, s.kid, s.algorithm, now)
	return err == nil && sameKey(s.key, key.Key) && s.issuer.checkAccess(s.claims, now) == nil
}

// issuerOf reads who a token says it is of, which nothing has proven yet.
func issuerOf(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var c struct {
		Issuer string `json:"iss"`
	}
	if json.Unmarshal(payload, &c) != nil {
		return ""
	}
	return c.Issuer
}

// accessClaims are the claims of an access token that finobs reads (RFC 9068,
// section 2.2); nonce and at_hash give an ID token away.
type accessClaims struct {
	jwt.Claims
	ClientID string  `json:"client_id"`
	Party    string  `json:"azp"`
	Nonce    *string `json:"nonce"`
	Hash     *string `json:"at_hash"`
}

// Verify returns whom an access token of this provider speaks for.
func (i *Issuer) Verify(ctx context.Context, token string, now time.Time) (approval.Principal, error) {
	s, err := i.verify(ctx, token, now)
	return s.principal, err
}

func (i *Issuer) verify(ctx context.Context, token string, now time.Time) (signedToken, error) {
	refused := signedToken{}
	if len(token) > maxToken {
		return refused, fmt.Errorf("the token has %d bytes, over the limit of %d", len(token), maxToken)
	}
	signed, err := i.parse(token)
	if err != nil {
		return refused, err
	}
	header := signed.Signatures[0].Protected
	if kind, _ := header.ExtraHeaders[jose.HeaderType].(string); mediaType(kind) != mediaType(i.tokenType) {
		return refused, fmt.Errorf("the token is not an access token: its typ is not %s", i.tokenType)
	}
	payload, key, err := i.open(ctx, signed, now)
	if err != nil {
		return refused, err
	}
	out := signedToken{issuer: i, kid: header.KeyID, algorithm: jose.SignatureAlgorithm(header.Algorithm), key: key.Key}
	all, err := readClaims(payload, &out.claims)
	if err != nil {
		return refused, err
	}
	if err := i.checkAccess(out.claims, now); err != nil {
		return refused, err
	}
	client := out.claims.ClientID
	if client == "" {
		client = out.claims.Party
	}
	if out.principal, err = i.principal(out.claims.Subject, client, all); err != nil {
		return refused, err
	}
	return out, nil
}

func (i *Issuer) checkAccess(c accessClaims, now time.Time) error {
	expected := jwt.Expected{Issuer: i.url, AnyAudience: jwt.Audience{i.audience}, Time: now}
	if err := c.ValidateWithLeeway(expected, leeway); err != nil {
		return fmt.Errorf("the token is not valid here and now: %w", err)
	}
	switch {
	case c.Nonce != nil || c.Hash != nil:
		return errors.New("the token is an ID token; send an access token")
	case c.Expiry == nil || c.IssuedAt == nil:
		return errors.New("the token has no exp or no iat")
	case !c.Expiry.Time().After(c.IssuedAt.Time()) || c.Expiry.Time().Sub(c.IssuedAt.Time()) > i.lifetime:
		return fmt.Errorf("the token's lifetime must be positive and %s at most", i.lifetime)
	case c.ClientID != "" && c.Party != "" && c.ClientID != c.Party:
		return errors.New("the token names two clients, by client_id and azp")
	}
	return checkSubject(c.Subject)
}

// parse reads a signed token of one of the provider's algorithms. A header that
// brings a key of its own, or asks for what we do not do, is refused unread.
func (i *Issuer) parse(token string) (*jose.JSONWebSignature, error) {
	head, _, _ := strings.Cut(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		return nil, errors.New("the token is not a JWT")
	}
	var header map[string]json.RawMessage
	if json.Unmarshal(raw, &header) != nil {
		return nil, errors.New("the token is not a JWT")
	}
	for name := range header {
		if slices.Contains([]string{"crit", "jku", "jwk", "x5u", "x5c", "b64", "zip", "enc"}, strings.ToLower(name)) {
			return nil, fmt.Errorf("the token's header has %s, which is not allowed", strings.ToLower(name))
		}
	}
	signed, err := jose.ParseSignedCompact(token, i.algorithms)
	if err != nil || len(signed.Signatures) != 1 {
		return nil, fmt.Errorf("the token is not a JWT signed with %v", i.algorithms)
	}
	return signed, nil
}

// open verifies the signature and returns what it is over, and the key.
func (i *Issuer) open(ctx context.Context, signed *jose.JSONWebSignature, now time.Time) ([]byte, jose.JSONWebKey, error) {
	header := signed.Signatures[0].Protected
	key, err := i.keys.find(ctx, header.KeyID, jose.SignatureAlgorithm(header.Algorithm), now)
	if err != nil {
		return nil, key, err
	}
	payload, err := signed.Verify(key.Key)
	if err != nil {
		return nil, key, errors.New("the token's signature does not hold")
	}
	return payload, key, nil
}

// VerifySignature implements oidc.KeySet, so that ID tokens are verified with the
// same keys under the same rules.
func (i *Issuer) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	signed, err := i.parse(token)
	if err != nil {
		return nil, err
	}
	payload, _, err := i.open(ctx, signed, time.Now())
	return payload, err
}

// mediaType is a typ without the prefix that may be left out (RFC 7515, section
// 4.1.9).
func mediaType(typ string) string {
	return strings.TrimPrefix(strings.ToLower(typ), "application/")
}

// discover returns where the provider's endpoints are. What it said last counts
// while it does not answer.
func (i *Issuer) discover(ctx context.Context) (endpoints, error) {
	i.mu.Lock()
	known := i.found
	i.mu.Unlock()
	if known != nil && time.Since(known.at) < discoveryFresh {
		return *known, nil
	}
	fresh, err := i.ask(ctx)
	if err != nil {
		if known != nil {
			again := *known
			again.at = time.Now().Add(keysPause - discoveryFresh) // not each time that somebody wants it
			i.mu.Lock()
			i.found = &again
			i.mu.Unlock()
			return again, nil
		}
		return endpoints{}, fmt.Errorf("asking %s for its endpoints: %w", i.url, err)
	}
	i.mu.Lock()
	i.found = &fresh
	i.mu.Unlock()
	return fresh, nil
}

func (i *Issuer) ask(ctx context.Context) (endpoints, error) {
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, i.http), i.url)
	if err != nil {
		return endpoints{}, errors.New(cut(err.Error(), 300)) // it may quote a whole page
	}
	var more struct {
		Keys       string `json:"jwks_uri"`
		EndSession string `json:"end_session_endpoint"`
	}
	if err := provider.Claims(&more); err != nil {
		return endpoints{}, err
	}
	e := endpoints{Endpoint: provider.Endpoint(), keys: more.Keys, endSession: more.EndSession, at: time.Now()}
	for name, address := range map[string]string{"jwks_uri": e.keys, "authorization_endpoint": e.AuthURL, "token_endpoint": e.TokenURL, "end_session_endpoint": e.endSession} {
		if address == "" && name != "jwks_uri" {
			continue // who needs it says that it is missing
		}
		if u, err := url.Parse(address); err != nil || u.Hostname() == "" || u.User != nil || !i.mayReach(u) {
			return endpoints{}, fmt.Errorf("its %s is not an https URL", name)
		}
	}
	return e, nil
}

// mayReach reports whether an endpoint is safe to use: over https, or on this
// machine when the provider itself is there.
func (i *Issuer) mayReach(u *url.URL) bool {
	return u.Scheme == "https" || strings.HasPrefix(i.url, "http:") && SafeURL(u)
}

// fetchKeys is how the key set gets the provider's keys.
func (i *Issuer) fetchKeys(ctx context.Context) ([]jose.JSONWebKey, error) {
	e, err := i.discover(ctx)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.keys, nil)
	if err != nil {
		return nil, fmt.Errorf("fetching keys: %w", err)
	}
	res, err := i.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetching keys: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetching keys: %s answered %d", e.keys, res.StatusCode)
	}
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("fetching keys: %w", err)
	}
	return parseKeys(text)
}

// bounded makes a client refuse answers that are larger than any provider's.
func bounded(c *http.Client) *http.Client {
	c.Transport = boundedTransport{c.Transport}
	return c
}

type boundedTransport struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t boundedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := t.next.RoundTrip(r)
	if err == nil {
		res.Body = http.MaxBytesReader(nil, res.Body, maxAnswer)
	}
	return res, err
}
