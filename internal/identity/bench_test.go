package identity_test

import (
	"path/filepath"
	"testing"
	"time"

	"finobs/internal/identity"
	"finobs/internal/keys"
)

func BenchmarkVerify(b *testing.B) {
	key, err := keys.LoadOrCreate(filepath.Join(b.TempDir(), "identity.pem"))
	if err != nil {
		b.Fatal(err)
	}
	token, err := identity.Mint(b.Context(), key, alice(), now, time.Hour)
	if err != nil {
		b.Fatal(err)
	}
	verifier := identity.NewVerifier(key.Public())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := verifier.Verify(token, now); err != nil {
			b.Fatal(err)
		}
	}
}
