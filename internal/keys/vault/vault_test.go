package vault_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"finobs/internal/keys"
	"finobs/internal/keys/vault/vaulttest"
)

func TestSignaturesVerify(t *testing.T) {
	benches(t, func(t *testing.T, b bench) {
		b.create(t, "log", ed)
		signer := b.open(t, "log")
		for _, message := range [][]byte{nil, {}, []byte("message"), bytes.Repeat([]byte{0, 0xff, '\n'}, 20000)} {
			signature, err := signer.Sign(context.Background(), message)
			if err != nil || !ed25519.Verify(signer.Public(), message, signature) {
				t.Errorf("message of %d bytes: %v, or the signature does not verify", len(message), err)
			}
		}
		named, err := keys.NoteSigner(context.Background(), "audit.example.com/desk", signer)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := note.Sign(&note.Note{Text: "audit.example.com/desk\n1\nroot\n"}, named)
		if err != nil {
			t.Fatal(err)
		}
		vkey, err := keys.NoteVerifierKey("audit.example.com/desk", signer.Public())
		if err != nil {
			t.Fatal(err)
		}
		verifier, err := note.NewVerifier(vkey)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := note.Open(signed, note.VerifierList(verifier)); err != nil {
			t.Error(err)
		}
	})
}

func TestRotationUnderLoad(t *testing.T) {
	benches(t, func(t *testing.T, b bench) {
		b.create(t, "log", ed)
		first := b.open(t, "log")
		var signers sync.WaitGroup
		for i := range 8 {
			signers.Go(func() {
				for j := range 25 {
					message := fmt.Appendf(nil, "message %d of %d", j, i)
					signature, err := first.Sign(context.Background(), message)
					if err != nil || !ed25519.Verify(first.Public(), message, signature) {
						t.Errorf("%s: %v, or of another key", message, err)
					}
				}
			})
		}
		for range 4 {
			b.do(t, http.MethodPost, "log/rotate", nil)
		}
		signers.Wait()
		latest, pinned := b.open(t, "log"), b.open(t, "log", "version=1")
		if latest.Public().Equal(first.Public()) || !pinned.Public().Equal(first.Public()) {
			t.Error("a new opening has the old version, or version=1 is not the first")
		}
		if _, err := latest.Sign(context.Background(), []byte("new")); err != nil {
			t.Error(err)
		}
	})
}

func TestVersionsOutOfUse(t *testing.T) {
	benches(t, func(t *testing.T, b bench) {
		b.create(t, "log", ed)
		for range 4 {
			b.do(t, http.MethodPost, "log/rotate", nil)
		}
		early := b.open(t, "log", "version=1")
		b.do(t, http.MethodPost, "log/config", map[string]any{"min_decryption_version": 3, "min_encryption_version": 4})
		b.do(t, http.MethodPost, "log/trim", map[string]any{"min_available_version": 2})
		for version, words := range map[string][]string{
			"1": {"trimmed away"}, "2": {"archived", "min_decryption_version is 3"},
			"3": {"min_encryption_version is 4"}, "6": {"no version 6", "the latest is 5"},
		} {
			_, err := open(b.ref("log", "version="+version))
			wantError(t, err, words...)
		}
		_, err := early.Sign(context.Background(), []byte("late"))
		wantError(t, err, "may not sign any more", "min_encryption_version")
	})
}

func TestKeysThatDoNotFit(t *testing.T) {
	benches(t, func(t *testing.T, b bench) {
		b.create(t, "codec", map[string]any{"type": "aes256-gcm96"})
		b.create(t, "derived", map[string]any{"type": "ed25519", "derived": true})
		_, err := open(b.ref("codec"))
		wantError(t, err, `"aes256-gcm96"`, "type=ed25519")
		_, err = open(b.ref("derived"))
		wantError(t, err, "derived")
		_, err = open(b.ref("missing"))
		wantError(t, err, "no key transit/keys/missing", "vault write -f transit/keys/missing type=ed25519")
		_, err = open(strings.Replace(b.ref("log"), "/transit/", "/nowhere/", 1))
		wantError(t, err, "no transit engine is at nowhere")
		b.create(t, "gone", ed)
		signer := b.open(t, "gone")
		b.do(t, http.MethodPost, "gone/config", map[string]any{"deletion_allowed": true})
		b.do(t, http.MethodDelete, "gone", nil)
		_, err = signer.Sign(context.Background(), []byte("message"))
		wantError(t, err, "no key transit/keys/gone")
		b.create(t, "gone", ed)
		_, err = signer.Sign(context.Background(), []byte("message"))
		wantError(t, err, "not of key "+keys.ID(signer.Public()), "made anew")
	})
}

func TestAnswersToSignThatNeverLeave(t *testing.T) {
	s := vaulttest.New(t)
	b := bench{s.URL, s.TokenFile, vaulttest.FirstToken, s}
	b.create(t, "log", ed)
	b.do(t, http.MethodPost, "log/rotate", nil)
	signer := b.open(t, "log")
	for fault, word := range map[vaulttest.Fault]string{
		vaulttest.WrongVersion: `"v1"`, vaulttest.WrongKey: "not of key", vaulttest.Garbage: "not of key",
		vaulttest.Short: "64 bytes", vaulttest.BadPrefix: "vault:vN:signature", vaulttest.NullSignature: "vault:vN:signature",
		vaulttest.Huge: "more than 1048576 bytes", vaulttest.NotJSON: "check that the address is Vault's",
		vaulttest.Redirect: "redirects are not followed", vaulttest.Echo: "[token]",
	} {
		s.Misbehave(fault)
		signature, err := signer.Sign(context.Background(), []byte("message"))
		if signature != nil {
			t.Errorf("fault %d: a signature came", fault)
		}
		wantError(t, err, word)
	}
	if s.Leaked() {
		t.Error("a redirect was followed")
	}
	s.Misbehave(vaulttest.PEMKey)
	_, err := open(s.Ref("log"))
	wantError(t, err, "not base64 of 32 bytes")
}

func TestSlowAndSealed(t *testing.T) {
	s := vaulttest.New(t)
	b := bench{s.URL, s.TokenFile, vaulttest.FirstToken, s}
	b.create(t, "log", ed)
	signer := b.open(t, "log")
	s.Seal(true)
	_, err := signer.Sign(context.Background(), []byte("message"))
	wantError(t, err, "answered 503", "vault operator unseal", "Vault is sealed")
	s.Seal(false)
	s.Misbehave(vaulttest.Slow)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err = signer.Sign(ctx, []byte("message"))
	wantError(t, err, "did not answer in time")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v is no DeadlineExceeded", err)
	}
	s.Misbehave(vaulttest.None)
	if _, err := signer.Sign(context.Background(), []byte("message")); err != nil {
		t.Errorf("after recovery: %v", err)
	}
}

func TestTokenRotates(t *testing.T) {
	s := vaulttest.New(t)
	bench{s.URL, s.TokenFile, vaulttest.FirstToken, s}.create(t, "log", ed)
	signer, err := open(s.Ref("log"))
	if err != nil {
		t.Fatal(err)
	}
	s.SetToken("hvs.second")
	before := s.Requests()
	_, err = signer.Sign(context.Background(), []byte("message"))
	wantError(t, err, "answered 403", s.TokenFile, `path "transit/sign/log" { capabilities = ["update"] }`)
	if n := s.Requests() - before; n != 1 {
		t.Errorf("%d requests with a token that had not changed, want 1", n)
	}
	s.WriteToken("hvs.second")
	before = s.Requests()
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			if _, err := signer.Sign(context.Background(), []byte("message")); err != nil {
				t.Errorf("after the agent's rotation: %v", err)
			}
		})
	}
	callers.Wait()
	if n := s.Requests() - before; n < 9 || n > 16 {
		t.Errorf("%d requests of 8 callers, want at most one more for each", n)
	}
	s.WriteToken("hvs.third") // which the server does not know
	s.SetToken("hvs.fourth")
	before = s.Requests()
	_, err = signer.Sign(context.Background(), []byte("message"))
	wantError(t, err, "answered 403")
	if n := s.Requests() - before; n != 2 {
		t.Errorf("%d requests, want one with each token", n)
	}
	if text := fmt.Sprintf("%v %+v %#v", signer, signer, signer); strings.Contains(text, "hvs.") {
		t.Errorf("a printed signer shows the token: %s", text)
	}
}

func TestTLSAndNamespace(t *testing.T) {
	s := vaulttest.NewTLS(t)
	s.SetNamespace("desk/audit")
	_, err := open(s.Ref("log"))
	wantError(t, err, "answered 403")
	_, err = open(s.Ref("log", "namespace=desk/audit"))
	wantError(t, err, "no key transit/keys/log")
	s.CAFile = ""
	_, err = open(s.Ref("log"))
	wantError(t, err, "did not answer", "certificate")
}
