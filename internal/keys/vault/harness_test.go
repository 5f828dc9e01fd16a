package vault_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"finobs/internal/keys"
	"finobs/internal/keys/vault"
	"finobs/internal/keys/vault/vaulttest"
)

// bench is a server to test against: the fake one, or a real Vault or OpenBao
// whose address is in FINOBS_TEST_VAULT, with a transit engine at transit and a
// token for everything in the file FINOBS_TEST_VAULT_TOKEN_FILE.
type bench struct {
	url, tokenFile, token string
	fake                  *vaulttest.Server // nil for the real one
}

// benches runs a test against the fake server and, when there is one, the real.
func benches(t *testing.T, run func(t *testing.T, b bench)) {
	t.Run("fake", func(t *testing.T) {
		s := vaulttest.New(t)
		run(t, bench{s.URL, s.TokenFile, vaulttest.FirstToken, s})
	})
	t.Run("real", func(t *testing.T) {
		address, tokenFile := os.Getenv("FINOBS_TEST_VAULT"), os.Getenv("FINOBS_TEST_VAULT_TOKEN_FILE")
		if address == "" || tokenFile == "" {
			t.Skip("FINOBS_TEST_VAULT and FINOBS_TEST_VAULT_TOKEN_FILE name no server")
		}
		token, err := os.ReadFile(tokenFile)
		if err != nil {
			t.Fatal(err)
		}
		run(t, bench{address, tokenFile, strings.TrimSpace(string(token)), nil})
	})
}

// do speaks to the server as its operator.
func (b bench) do(t *testing.T, method, path string, body map[string]any) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(method, b.url+"/v1/transit/keys/"+path, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Vault-Token", b.token)
	req.Header.Set("X-Vault-Request", "true")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if answer, _ := io.ReadAll(resp.Body); resp.StatusCode > 299 {
		t.Fatalf("%s %s: %s %s", method, path, resp.Status, answer)
	}
}

// create makes a key, anew when the name is taken.
func (b bench) create(t *testing.T, name string, body map[string]any) {
	t.Helper()
	if b.fake == nil {
		b.do(t, http.MethodPost, name, map[string]any{"type": "ed25519"})
		b.do(t, http.MethodPost, name+"/config", map[string]any{"deletion_allowed": true})
		b.do(t, http.MethodDelete, name, nil)
	}
	b.do(t, http.MethodPost, name, body)
}

func (b bench) ref(name string, parameters ...string) string {
	return "vault+" + b.url + "/transit/keys/" + name + "?token_file=" + b.tokenFile + strings.Join(append([]string{""}, parameters...), "&")
}

func (b bench) open(t *testing.T, name string, parameters ...string) keys.Signer {
	t.Helper()
	signer, err := open(b.ref(name, parameters...))
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func open(ref string) (keys.Signer, error) {
	return keys.Open(context.Background(), ref, vault.Transit{})
}

var ed = map[string]any{"type": "ed25519"}

// wantError checks that an error says all of the words and never a token.
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
	if strings.Contains(err.Error(), "hvs.") {
		t.Errorf("error %q has the token", err)
	}
}
