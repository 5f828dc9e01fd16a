// Package identity says who is asking: it verifies bearer tokens and, for
// development, mints them.
//
// A token is a JWT access token (RFC 9068) signed with EdDSA. Everything that a
// verifier could be lenient about is pinned: algorithm, type, issuer, audience,
// lifetime and the names of roles.
package identity

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"finobs/internal/approval"
	"finobs/internal/keys"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"
)

const (
	// DevIssuer is the iss claim of tokens that finobs mints itself.
	DevIssuer = "finobs-dev"
	// Audience is the aud claim that a token must carry.
	Audience = "finobs"

	tokenType   = "at+jwt" // RFC 9068, section 2.1
	maxToken    = 8 << 10  // bytes
	maxSubject  = 255      // bytes
	maxDesk     = 32       // bytes
	maxLifetime = 24 * time.Hour
	leeway      = 30 * time.Second // between our clock and the issuer's
)

// ErrNoToken is returned for a request without a bearer token.
var ErrNoToken = errors.New("no bearer token")

type claims struct {
	jwt.Claims
	Kind  approval.ActorKind `json:"kind"`
	Roles []string           `json:"roles"`
	Desk  string             `json:"desk,omitempty"`
}

// Mint returns a token for p that is valid from now for ttl, 24 hours at most.
func Mint(ctx context.Context, key keys.Signer, p approval.Principal, now time.Time, ttl time.Duration) (string, error) {
	c := claims{
		Claims: jwt.Claims{
			Issuer: DevIssuer, Subject: p.Subject, Audience: jwt.Audience{Audience}, ID: uuid.NewString(),
			IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(ttl)),
		},
		Kind: p.Kind, Roles: p.Roles, Desk: p.Desk,
	}
	if err := c.check(); err != nil {
		return "", fmt.Errorf("minting token: %w", err)
	}
	options := (&jose.SignerOptions{}).WithType(tokenType)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: keys.Opaque(ctx, key)}, options)
	if err != nil {
		return "", fmt.Errorf("minting token: %w", err)
	}
	token, err := jwt.Signed(signer).Claims(c).Serialize()
	if err != nil {
		return "", fmt.Errorf("minting token: %w", err)
	}
	return token, nil
}

// Verifier verifies tokens of one issuer.
type Verifier struct {
	issuer string
	keys   map[string]ed25519.PublicKey

	verified memory[claims]
}

// NewVerifier returns a Verifier of the tokens that Mint makes with the given
// keys.
func NewVerifier(trusted ...ed25519.PublicKey) *Verifier {
	v := &Verifier{issuer: DevIssuer, keys: map[string]ed25519.PublicKey{}}
	for _, k := range trusted {
		v.keys[keys.ID(k)] = k
	}
	return v
}

// Verify returns whom a token speaks for. The error says what is wrong with the
// token; it holds nothing of the token but names.
func (v *Verifier) Verify(token string, now time.Time) (approval.Principal, error) {
	p, _, err := v.VerifyUntil(token, now)
	return p, err
}

// VerifyUntil is Verify, and tells when the token expires.
func (v *Verifier) VerifyUntil(token string, now time.Time) (p approval.Principal, until time.Time, err error) {
	c, known := v.verified.get(token)
	if !known || v.valid(c, now) != nil { // verifying it anew says why
		if c, err = v.claimsOf(token, now); err != nil {
			return approval.Principal{}, time.Time{}, err
		}
		v.verified.put(token, c)
	}
	p = approval.Principal{Person: approval.Person{Issuer: c.Issuer, Subject: c.Subject}, Kind: c.Kind, Roles: slices.Clone(c.Roles), Desk: c.Desk}
	return p, c.Expiry.Time(), nil
}

func (v *Verifier) claimsOf(token string, now time.Time) (claims, error) {
	if len(token) > maxToken {
		return claims{}, fmt.Errorf("the token has %d bytes, over the limit of %d", len(token), maxToken)
	}
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		return claims{}, errors.New("the token is not a JWT signed with EdDSA")
	}
	header := parsed.Headers[0]
	if header.ExtraHeaders[jose.HeaderType] != tokenType {
		return claims{}, fmt.Errorf("the token is not of type %s", tokenType)
	}
	key, known := v.keys[header.KeyID]
	if !known {
		return claims{}, errors.New("the token is signed with a key that is not trusted")
	}
	var c claims
	if err := parsed.Claims(key, &c); err != nil {
		return claims{}, errors.New("the token's signature does not hold")
	}
	if err := v.valid(c, now); err != nil {
		return claims{}, err
	}
	if err := c.check(); err != nil {
		return claims{}, err
	}
	return c, nil
}

// valid judges what of a token's claims depends on where and when it is used.
func (v *Verifier) valid(c claims, now time.Time) error {
	expected := jwt.Expected{Issuer: v.issuer, AnyAudience: jwt.Audience{Audience}, Time: now}
	if err := c.ValidateWithLeeway(expected, leeway); err != nil {
		return fmt.Errorf("the token is not valid here and now: %w", err)
	}
	return nil
}

// check holds for every token, minted or received.
func (c claims) check() error {
	if err := checkSubject(c.Subject); err != nil {
		return err
	}
	switch {
	case len(c.Desk) > maxDesk || strings.ContainsFunc(c.Desk, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return fmt.Errorf("the desk must have at most %d bytes and no white space", maxDesk)
	case c.Expiry == nil || c.IssuedAt == nil:
		return errors.New("the token has no exp or no iat")
	case c.Expiry.Time().Sub(c.IssuedAt.Time()) > maxLifetime || !c.Expiry.Time().After(c.IssuedAt.Time()):
		return fmt.Errorf("the token's lifetime must be positive and %s at most", maxLifetime)
	case !c.Kind.Valid():
		return fmt.Errorf("kind %q must be human, agent or system", c.Kind)
	}
	for _, r := range c.Roles {
		if !slices.Contains(approval.Roles(), r) {
			return fmt.Errorf("role %q is not one of %s", r, strings.Join(approval.Roles(), ", "))
		}
	}
	return nil
}

// BearerToken returns the token of a request that carries exactly one
// Authorization header of scheme Bearer (RFC 6750, section 2.1).
func BearerToken(h http.Header) (string, error) {
	values := h.Values("Authorization")
	if len(values) == 0 {
		return "", ErrNoToken
	}
	if len(values) > 1 {
		return "", errors.New("the request has more than one Authorization header")
	}
	scheme, token, found := strings.Cut(values[0], " ")
	if !found || !strings.EqualFold(scheme, "Bearer") || token == "" || strings.ContainsAny(token, " ,") {
		return "", errors.New("the Authorization header is not of the form: Bearer TOKEN")
	}
	return token, nil
}
