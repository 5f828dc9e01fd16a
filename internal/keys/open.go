package keys

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Provider opens keys that lie in another process. Providers are plugged in by
// the programs that sign, so that a program that only verifies links no network.
type Provider interface {
	// Schemes are the URL schemes of the provider's references.
	Schemes() []string
	// Form shows what its references look like.
	Form() string
	// Open opens the key of one reference.
	Open(ctx context.Context, ref *url.URL) (Signer, error)
}

// schemeForm finds the scheme of a reference. A path with a colon behind a
// slash, such as ./a:b, has none.
var schemeForm = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]*):`)

// Open opens the signing key that ref names: the path of a PEM file, for which
// it is Load, or a URL of one of the providers. The Signer is one key for life,
// also when its provider rotates.
func Open(ctx context.Context, ref string, providers ...Provider) (Signer, error) {
	if ref == "" {
		return nil, errors.New("the reference of a signing key is empty; want " + known(providers))
	}
	match := schemeForm.FindStringSubmatch(ref)
	if match == nil {
		return Load(ref)
	}
	scheme := strings.ToLower(match[1])
	for _, provider := range providers {
		if !slices.Contains(provider.Schemes(), scheme) {
			continue
		}
		u, err := url.Parse(ref)
		if err != nil { // which would quote it, and it may hold a secret by mistake
			return nil, fmt.Errorf("the reference of a signing key is no URL; want %s", provider.Form())
		}
		return provider.Open(ctx, u)
	}
	return nil, fmt.Errorf("signing keys of scheme %q are unknown here; known are %s (a file of that name: put ./ before it)", scheme, known(providers))
}

func known(providers []Provider) string {
	forms := []string{"the path of a PEM file"}
	for _, provider := range providers {
		forms = append(forms, provider.Form())
	}
	return strings.Join(forms, "; ")
}

// Distinct returns an error when two purposes share a key, or when one has no
// Ed25519 public key. A key with two purposes lets a signature that was given
// for one be shown for the other.
func Distinct(named map[string]ed25519.PublicKey) error {
	first := map[string]string{}
	for _, purpose := range slices.Sorted(maps.Keys(named)) {
		public := named[purpose]
		if len(public) != ed25519.PublicKeySize {
			return fmt.Errorf("the public key for %s has %d bytes; an Ed25519 key has %d", purpose, len(public), ed25519.PublicKeySize)
		}
		if other, taken := first[string(public)]; taken {
			return fmt.Errorf("%s and %s share the key %s; make a key for each", other, purpose, ID(public))
		}
		first[string(public)] = purpose
	}
	return nil
}
