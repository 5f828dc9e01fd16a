package vault_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"finobs/internal/keys/vault/vaulttest"
)

func TestReferencesRefused(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(vaulttest.FirstToken), 0o600); err != nil {
		t.Fatal(err)
	}
	end := "?token_file=" + token
	for ref, word := range map[string]string{
		"vault+https:log": "no host",
		"vault+https://vault.example.com/transit/keys/log":                                "token_file is missing",
		"vault+https://vault.example.com/transit/log" + end:                               "/MOUNT/keys/NAME",
		"vault+https://vault.example.com/keys/log" + end:                                  "/MOUNT/keys/NAME",
		"vault+https://vault.example.com/v1/transit/keys/log" + end:                       "leave that out",
		"vault+https://vault.example.com/transit/keys/%2e%2e" + end:                       "/MOUNT/keys/NAME",
		"vault+https://vault.example.com/transit/../keys/log" + end:                       "/MOUNT/keys/NAME",
		"vault+https://vault.example.com/transit/keys/log/" + end:                         "/MOUNT/keys/NAME",
		"vault+https://user:hvs.x@vault.example.com/transit/keys/log" + end:               "token_file",
		"vault+https://vault.example.com/transit/keys/log" + end + "#x":                   "#fragment",
		"vault+https://vault.example.com/transit/keys/log" + end + "&token=hvs.x":         `"token" is unknown`,
		"vault+https://vault.example.com/transit/keys/log" + end + "&version=0":           "parameter version",
		"vault+https://vault.example.com/transit/keys/log" + end + "&version=+1":          "parameter version",
		"vault+https://vault.example.com/transit/keys/log" + end + "&version=1&version=2": "one value",
		"vault+https://vault.example.com/transit/keys/log" + end + "&namespace=a/../b":    "namespace",
		"vault+https://vault.example.com/transit/keys/log" + end + "&ca_file=/nowhere":    "ca_file",
		"vault+https://vault.example.com/transit/keys/log" + end + "&x=%zz":               "cannot be read",
		"vault+http://vault.example.com/transit/keys/log" + end:                           "use vault+https",
		"vault+http://127.0.0.1.example.com/transit/keys/log" + end:                       "use vault+https",
		"vault+http://127.0.0.1:1/transit/keys/log" + end + "&ca_file=/x":                 "no use",
		"vault+http://127.0.0.1:1/transit/keys/log?token_file=/nowhere/token":             "no such file",
		"vault+http://127.0.0.1:1/transit/keys/log?token_file=" + filepath.Dir(token):     "is not a file",
		"vault+https://[::1/transit/keys/log" + end:                                       "is no URL",
	} {
		_, err := open(ref)
		wantError(t, err, word)
	}
}

func TestTokenFilesRefused(t *testing.T) {
	s := vaulttest.New(t)
	for text, word := range map[string]string{
		"": "is empty", "\n": "is empty", "hvs.a\nhvs.b\n": "more than a token", "hvs.\x00": "more than a token",
		strings.Repeat("x", 17000): "larger than 16384 bytes",
	} {
		s.WriteToken(text)
		_, err := open(s.Ref("log"))
		wantError(t, err, word)
	}
	s.WriteToken(vaulttest.FirstToken)
	for _, mode := range []os.FileMode{0o640, 0o604, 0o660} {
		if err := os.Chmod(s.TokenFile, mode); err != nil {
			t.Fatal(err)
		}
		_, err := open(s.Ref("log"))
		wantError(t, err, "chmod 600 "+s.TokenFile)
	}
	if s.Requests() != 0 {
		t.Error("a token from a refused file was sent")
	}
}
