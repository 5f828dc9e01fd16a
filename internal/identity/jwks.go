package identity

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"finobs/internal/fault"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"
)

const (
	keysFresh  = time.Hour        // after that keys are fetched again when a token needs one
	keysUsable = 24 * time.Hour   // after that keys are not believed, when the provider stays down
	keysPause  = time.Minute      // between fetches, whatever tokens name
	keysRetry  = 10 * time.Second // between fetches while there are no keys at all
	minRSA     = 2048             // bits
)

// keySet remembers a provider's public keys. A flood of tokens that name unknown
// keys costs one fetch a minute, and tokens of known keys nothing.
type keySet struct {
	fetch func(context.Context) ([]jose.JSONWebKey, error)

	flight singleflight.Group
	mu     sync.Mutex
	keys   []jose.JSONWebKey
	got    time.Time // when the keys were fetched last
	tried  time.Time // when that was tried last
}

// find returns the key that a token names by kid and may be verified with by the
// algorithm.
func (s *keySet) find(ctx context.Context, kid string, algorithm jose.SignatureAlgorithm, now time.Time) (jose.JSONWebKey, error) {
	if kid == "" {
		return jose.JSONWebKey{}, errors.New("the token does not name the key that signed it (kid)")
	}
	key, known, due := s.look(kid, algorithm, now)
	if known {
		if due {
			go s.refresh(context.WithoutCancel(ctx), now) //nolint:errcheck // it is logged, and the keys that there are still count
		}
		return key, nil
	}
	var failed error
	if due {
		failed = s.refresh(ctx, now)
		if key, known, _ = s.look(kid, algorithm, now); known {
			return key, nil
		}
	}
	if failed != nil || s.stale(now) {
		return jose.JSONWebKey{}, fault.New(fault.Unavailable, "provider-unavailable", "the identity provider's keys cannot be fetched now, so the token cannot be verified; try again in a minute")
	}
	return jose.JSONWebKey{}, errors.New("the token is signed with a key that the identity provider does not publish")
}

// look searches the keys at hand. due reports whether it is time to fetch them.
func (s *keySet) look(kid string, algorithm jose.SignatureAlgorithm, now time.Time) (key jose.JSONWebKey, known, due bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	age := now.Sub(s.got)
	if s.usable(now) {
		for _, k := range s.keys {
			if k.KeyID == kid && fits(k, algorithm) {
				key, known = k, true
				break
			}
		}
	}
	return key, known, (!known || age > keysFresh) && s.mayFetch(now)
}

// usable reports whether the keys at hand still count. The caller holds the lock.
func (s *keySet) usable(now time.Time) bool { return !s.got.IsZero() && now.Sub(s.got) <= keysUsable }

// mayFetch reports whether the last fetch is long enough ago. The caller holds the
// lock.
func (s *keySet) mayFetch(now time.Time) bool {
	pause := keysRetry
	if s.usable(now) {
		pause = keysPause
	}
	return now.Sub(s.tried) >= pause
}

func (s *keySet) stale(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.usable(now)
}

// refresh fetches the keys; callers at the same time share one fetch, which goes on
// when one of them leaves.
func (s *keySet) refresh(ctx context.Context, now time.Time) error {
	done := s.flight.DoChan("keys", func() (any, error) {
		s.mu.Lock()
		if !s.mayFetch(now) { // somebody was quicker
			s.mu.Unlock()
			return nil, nil
		}
		s.tried = now
		s.mu.Unlock()
		keys, err := s.fetch(context.WithoutCancel(ctx))
		if err != nil {
			slog.WarnContext(ctx, "keys of an identity provider not fetched", "error", err)
			return nil, err
		}
		s.mu.Lock()
		s.keys, s.got = keys, now
		s.mu.Unlock()
		return nil, nil
	})
	select {
	case result := <-done:
		return result.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// parseKeys reads a JWK set (RFC 7517, section 5). Keys of kinds that we do not
// know are left out, as the RFC advises; so are private and symmetric ones.
func parseKeys(text []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("reading the key set: %w", err)
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if json.Unmarshal(raw, &k) == nil && k.Valid() && k.IsPublic() && (k.Use == "" || k.Use == "sig") {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the key set holds no public key for signatures")
	}
	return keys, nil
}

// fits reports whether a key is of the kind that an algorithm signs with, and
// strong enough.
func fits(k jose.JSONWebKey, algorithm jose.SignatureAlgorithm) bool {
	if k.Algorithm != "" && k.Algorithm != string(algorithm) {
		return false
	}
	switch public := k.Key.(type) {
	case *rsa.PublicKey:
		return (algorithm == jose.RS256 || algorithm == jose.PS256) && public.N.BitLen() >= minRSA
	case *ecdsa.PublicKey:
		return algorithm == jose.ES256 && public.Curve == elliptic.P256()
	case ed25519.PublicKey:
		return algorithm == jose.EdDSA
	}
	return false
}
