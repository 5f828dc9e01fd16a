package keys_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"finobs/internal/keys"
)

const origin = "audit.example.com/desk"

// signNote returns a note, and the bytes of its one signature.
func signNote(t *testing.T, key keys.Signer, text string) (signed, signature []byte) {
	t.Helper()
	signer, err := keys.NoteSigner(context.Background(), origin, key)
	if err != nil {
		t.Fatal(err)
	}
	if signed, err = note.Sign(&note.Note{Text: text}, signer); err != nil {
		t.Fatal(err)
	}
	last := strings.TrimSpace(string(signed[strings.LastIndex(string(signed), " ")+1:]))
	raw, err := base64.StdEncoding.DecodeString(last)
	if err != nil || len(raw) != 4+ed25519.SignatureSize {
		t.Fatalf("signature line holds %d bytes (%v), want the key hash and a signature", len(raw), err)
	}
	return signed, raw[4:]
}

func vkey(t *testing.T, name string, key keys.Signer) string {
	t.Helper()
	text, err := keys.NoteVerifierKey(name, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestNotesOpen(t *testing.T) {
	key, other := newKey(t), newKey(t)
	signed, _ := signNote(t, key, origin+"\n3\nroot\n")
	verifier, err := note.NewVerifier(vkey(t, origin, key))
	if err != nil {
		t.Fatal(err)
	}
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil || opened.Text != origin+"\n3\nroot\n" {
		t.Errorf("note.Open = %v, %v", opened, err)
	}
	stranger, err := note.NewVerifier(vkey(t, origin, other))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open(signed, note.VerifierList(stranger)); err == nil {
		t.Error("the note opens with another key")
	}
	for _, name := range []string{"", "two words", "a+b", "line\nfeed", "\xff"} {
		_, err := keys.NoteVerifierKey(name, key.Public())
		wantError(t, err, "no name for a note key")
		_, err = keys.NoteSigner(context.Background(), name, key)
		wantError(t, err, "no name for a note key")
	}
	_, err = keys.NoteVerifierKey(origin, key.Public()[:31])
	wantError(t, err, "31")
	_, err = keys.NoteSigner(context.Background(), origin, nil)
	wantError(t, err, "needs a signing key")
}

// TestVerifierKeyVector pins the text form: the first test key of RFC 8032, its
// hash calculated with sha256sum.
func TestVerifierKeyVector(t *testing.T) {
	public, err := hex.DecodeString("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
	if err != nil {
		t.Fatal(err)
	}
	got, err := keys.NoteVerifierKey(origin, public)
	if want := origin + "+599aa739+AddamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"; err != nil || got != want {
		t.Errorf("NoteVerifierKey = %q, %v; want %q", got, err, want)
	}
}

type failing struct{ keys.Signer }

func (failing) Sign(context.Context, []byte) ([]byte, error) { return nil, errors.New("sealed") }

func TestNoteSignerFails(t *testing.T) {
	signer, err := keys.NoteSigner(context.Background(), origin, failing{newKey(t)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = note.Sign(&note.Note{Text: "x\n"}, signer)
	wantError(t, err, "sealed")
}

func TestOpenSSLVerifiesNote(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	if help, _ := exec.Command(openssl, "pkeyutl", "-help").CombinedOutput(); !strings.Contains(string(help), "-rawin") {
		t.Skip("this openssl has no pkeyutl -rawin; it came with 3.0")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "log.pem")
	key, err := keys.LoadOrCreate(path)
	if err != nil {
		t.Fatal(err)
	}
	text := origin + "\n3\nroot\n"
	_, signature := signNote(t, key, text)
	verify := func(body string) error {
		for name, data := range map[string][]byte{"body": []byte(body), "sig": signature} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command(openssl, "pkeyutl", "-verify", "-pubin", "-inkey", keys.PublicPath(path), "-rawin", "-in", "body", "-sigfile", "sig")
		cmd.Dir = dir
		return cmd.Run()
	}
	if err := verify(text); err != nil {
		t.Errorf("openssl refuses the note: %v", err)
	}
	if verify(text+"x") == nil {
		t.Error("openssl takes a changed note")
	}
}

func TestVerifiersBySize(t *testing.T) {
	first, second := vkey(t, origin, newKey(t)), vkey(t, origin, newKey(t))
	trust, err := keys.LoadVerifiers(strings.NewReader("# keys of the log\n\n" + first + " 0 120\r\n  " + second + "\t100   -"))
	if err != nil {
		t.Fatal(err)
	}
	if trust.Origin() != origin {
		t.Errorf("Origin = %q", trust.Origin())
	}
	for size, want := range map[int64]int{-1: 0, 0: 1, 99: 1, 100: 2, 120: 2, 121: 1, 1<<63 - 1: 1} {
		if got := trust.For(size); len(got) != want {
			t.Errorf("For(%d) has %d keys, want %d", size, len(got), want)
		}
	}
	hash := strings.Split(second, "+")[1]
	if got := trust.For(121)[0].KeyHash(); hash != hex.EncodeToString([]byte{byte(got >> 24), byte(got >> 16), byte(got >> 8), byte(got)}) {
		t.Errorf("For(121) has key %08x, want %s", got, hash)
	}
	if none := (keys.Verifiers{}); none.Origin() != "" || none.For(0) != nil {
		t.Error("the zero value trusts something")
	}
}

func TestTrustFilesRefused(t *testing.T) {
	key, other := vkey(t, origin, newKey(t)), vkey(t, "audit.example.com/other", newKey(t))
	for text, words := range map[string][]string{
		"":                                {"holds no key"},
		"# only words\n":                  {"holds no key"},
		key + "\n":                        {"line 1", "1 fields"},
		"\n" + key + " 0 - # open":        {"line 2", "5 fields"},
		key + " 0 -\nxyz 0 -":             {"line 2", "none for notes"},
		key[:len(key)-4] + "AAA= 0 -":     {"line 1", "none for notes"},
		key + " -1 -":                     {"line 1", "first size", `"-1"`},
		key + " 007 -":                    {"line 1", "first size"},
		key + " - 5":                      {"line 1", "first size"},
		key + " 0 +5":                     {"line 1", "last size"},
		key + " 0 9223372036854775808":    {"line 1", "last size"},
		key + " 9 8":                      {"line 1", "before the first"},
		key + " 0 9\n#\n" + key + " 10 -": {"line 3", "line 1 has this key already"},
		key + " 0 9\n" + other + " 10 -":  {"line 2", "for one log"},
		key + " 0 -\n" + longLine(1<<17):  {"after line 1"},
	} {
		_, err := keys.LoadVerifiers(strings.NewReader(text))
		wantError(t, err, words...)
	}
}

func longLine(n int) string { return strings.Repeat("x", n) }
