package api

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"finobs/internal/approval"
	"finobs/internal/identity"
	"finobs/internal/keys"
)

func TestUntilWhenACallerCounts(t *testing.T) {
	key, err := keys.LoadOrCreate(filepath.Join(t.TempDir(), "identity.pem"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Truncate(time.Second)
	token, err := identity.Mint(t.Context(), key, approval.Principal{Person: approval.Person{Subject: "alice"}, Kind: approval.Human}, now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if got := expiryOf(r); !got.IsZero() {
		t.Errorf("without authentication: %s", got)
	}
	session := now.Add(5 * time.Minute)
	if got := expiryOf(r.WithContext(withExpiry(r.Context(), session))); !got.Equal(session) {
		t.Errorf("in a session until %s: %s", session, got)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	if got := expiryOf(r); !got.Equal(now.Add(time.Hour)) {
		t.Errorf("by a token of an hour: %s after %s", got, now)
	}
	r.Header.Set("Authorization", "Bearer no.token.atall")
	if got := expiryOf(r); !got.IsZero() {
		t.Errorf("by what is no token: %s", got)
	}
}
