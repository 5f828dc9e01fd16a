package keys_test

import (
	"context"
	"crypto/ed25519"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"finobs/internal/keys"
)

type memory struct{ key keys.Signer }

func (memory) Schemes() []string { return []string{"memory"} }
func (memory) Form() string      { return "memory:NAME" }
func (m memory) Open(context.Context, *url.URL) (keys.Signer, error) {
	return m.key, nil
}

func TestOpen(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	path := filepath.Join(dir, "log.pem")
	made, err := keys.LoadOrCreate(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	if err := os.Link("log.pem", "a:b.pem"); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{path, "log.pem", "./a:b.pem", "memory:x", "MEMORY:x"} {
		signer, err := keys.Open(ctx, ref, memory{made})
		if err != nil || !signer.Public().Equal(made.Public()) {
			t.Errorf("Open(%s) = %v, or another key", ref, err)
		}
	}
	for ref, words := range map[string][]string{
		"":                      {"empty", "PEM file", "memory:NAME"},
		"awskms:///alias/x":     {`"awskms"`, "PEM file", "memory:NAME", "./"},
		"a:b.pem":               {`"a"`, "./"},
		"memory://[":            {"no URL", "memory:NAME"},
		filepath.Join(dir, "x"): {"no such file"},
	} {
		_, err := keys.Open(ctx, ref, memory{made})
		wantError(t, err, words...)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o644} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := keys.Open(ctx, path)
		wantError(t, err, "chmod 600 "+path)
	}
}

func TestDistinct(t *testing.T) {
	a, b := newKey(t), newKey(t)
	if err := keys.Distinct(map[string]ed25519.PublicKey{"log": a.Public(), "decisions": b.Public()}); err != nil {
		t.Error(err)
	}
	err := keys.Distinct(map[string]ed25519.PublicKey{"log": a.Public(), "decisions": b.Public(), "manifests": a.Public()})
	wantError(t, err, "log and manifests share the key "+keys.ID(a.Public()))
	err = keys.Distinct(map[string]ed25519.PublicKey{"log": a.Public(), "manifests": nil})
	wantError(t, err, "manifests", "0 bytes")
}

func newKey(t *testing.T) *keys.File {
	t.Helper()
	key, err := keys.LoadOrCreate(filepath.Join(t.TempDir(), "k.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func wantError(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error; want one about %q", words)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q does not say %q", err, word)
		}
	}
}
