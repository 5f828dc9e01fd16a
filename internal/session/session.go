// Package session keeps people signed in to the console. A session is a sealed
// cookie and nothing else, so that every process of the API that has the key can
// read it; docs/sign-in.md says what that costs.
package session

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"time"

	"finobs/internal/approval"
)

// How a person signed in.
const (
	ViaOIDC  = "oidc"  // at an OpenID provider
	ViaToken = "token" // with a token of finobs token, on a development database
)

// Why a request has no session.
var (
	ErrAbsent  = errors.New("nobody is signed in")
	ErrIdle    = errors.New("the session ended because it was not used for a while; sign in again")
	ErrExpired = errors.New("the session has reached its longest time; sign in again")
	ErrBroken  = errors.New("the session cookie is not one that this server made; sign in again")
)

// Session is a person who is signed in.
type Session struct {
	ID         string             `json:"id"`   // 128 random bits, base64url
	Principal  approval.Principal `json:"who"`  // as the provider or the token had it; the roster still limits it
	CSRF       string             `json:"csrf"` // what forms and scripts send back, base64url
	SignedInAt time.Time          `json:"in"`
	SeenAt     time.Time          `json:"seen"` // of the last act; see Keeper.Due
	ExpiresAt  time.Time          `json:"exp"`  // whatever happens
	Via        string             `json:"via"`  // ViaOIDC or ViaToken
}

// ValidCSRF reports whether sent is the session's own CSRF token, in a time that
// does not tell how much of it is right.
func (s Session) ValidCSRF(sent string) bool {
	return s.CSRF != "" && hmac.Equal([]byte(s.CSRF), []byte(sent))
}

// New begins a session at now. It ends after the keeper's longest time, or at
// notAfter when that is earlier; a zero notAfter sets no limit.
func (k *Keeper) New(p approval.Principal, via string, now, notAfter time.Time) Session {
	id := Random()
	s := Session{
		ID: id, Principal: p, CSRF: k.csrf(id), SignedInAt: now, SeenAt: now, ExpiresAt: now.Add(k.max), Via: via,
	}
	if !notAfter.IsZero() && notAfter.Before(s.ExpiresAt) {
		s.ExpiresAt = notAfter
	}
	return s
}

// Standing is a session that no cookie holds, for a server that authenticates
// nobody: it is the same at each look, so that its CSRF token is too.
func (k *Keeper) Standing(p approval.Principal, now time.Time) Session {
	s := k.New(p, ViaToken, now, time.Time{})
	s.ID = "standing"
	s.CSRF = k.csrf(s.ID)
	return s
}

// csrf derives a session's CSRF token from its id.
func (k *Keeper) csrf(id string) string {
	mac := hmac.New(sha256.New, k.seals[0].csrf)
	mac.Write([]byte(id))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Random is a text of 128 random bits.
func Random() string {
	b := make([]byte, 16)
	rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}
