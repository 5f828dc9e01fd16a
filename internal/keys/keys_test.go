package keys_test

import (
	"context"
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"finobs/internal/keys"
)

func TestLoadOrCreate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys", "decision.key")
	first, err := keys.LoadOrCreate(path)
	if err != nil {
		t.Fatal(err)
	}
	second, err := keys.LoadOrCreate(path)
	if err != nil {
		t.Fatal(err)
	}
	public, err := keys.LoadPublic(keys.PublicPath(path))
	if err != nil {
		t.Fatal(err)
	}
	signature, err := first.Sign(context.Background(), []byte("message"))
	if err != nil {
		t.Fatal(err)
	}
	if !second.Public().Equal(first.Public()) || !ed25519.Verify(public, []byte("message"), signature) {
		t.Error("the second load or the public half is another key")
	}
	if len(keys.ID(public)) != 16 {
		t.Errorf("ID = %q, want 16 digits", keys.ID(public))
	}
}

func TestLoadRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "k.key")
	if _, err := keys.LoadOrCreate(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Load(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("Load of a readable key = %v, want advice to chmod 600", err)
	}
	junk := filepath.Join(dir, "junk.key")
	if err := os.WriteFile(junk, []byte("not a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{junk, filepath.Join(dir, "missing.key")} {
		if _, err := keys.Load(p); err == nil {
			t.Errorf("Load(%s) succeeded", p)
		}
	}
	if _, err := keys.LoadPublic(path); err == nil {
		t.Error("LoadPublic of a private key succeeded")
	}
}
