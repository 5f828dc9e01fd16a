package identity

import (
	"crypto"
	"crypto/sha256"
	"slices"
	"sync"

	"finobs/internal/approval"

	"github.com/go-jose/go-jose/v4"
)

// maxRemembered bounds the tokens that a memory holds; people have one each, for an
// hour or so.
const maxRemembered = 4096

// memory remembers tokens whose signature held, so that it is verified once. It is of
// the signature alone: whoever finds a token here still judges its times, and whether
// the key that signed it is trusted. Tokens that were refused are not remembered.
type memory[T any] struct {
	mu    sync.Mutex
	known map[[sha256.Size]byte]T
}

func (m *memory[T]) get(token string) (T, bool) {
	sum := sha256.Sum256([]byte(token))
	m.mu.Lock()
	defer m.mu.Unlock()
	known, ok := m.known[sum]
	return known, ok
}

func (m *memory[T]) put(token string, of T) {
	sum := sha256.Sum256([]byte(token))
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil || len(m.known) >= maxRemembered {
		m.known = map[[sha256.Size]byte]T{}
	}
	m.known[sum] = of
}

// signedToken is what is remembered of a provider's token.
type signedToken struct {
	issuer    *Issuer
	kid       string
	algorithm jose.SignatureAlgorithm
	key       crypto.PublicKey // that the signature held under
	claims    accessClaims
	principal approval.Principal
}

// whose returns the principal, with roles that the caller may change.
func (s signedToken) whose() approval.Principal {
	p := s.principal
	p.Roles = slices.Clone(p.Roles)
	return p
}

// sameKey reports whether two public keys are one.
func sameKey(a, b crypto.PublicKey) bool {
	key, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(b)
}
