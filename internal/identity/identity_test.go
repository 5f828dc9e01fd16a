package identity_test

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"finobs/internal/approval"
	"finobs/internal/identity"
	"finobs/internal/keys"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

var now = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

func newKey(t *testing.T) *keys.File {
	t.Helper()
	key, err := keys.LoadOrCreate(filepath.Join(t.TempDir(), "identity.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func alice() approval.Principal {
	return approval.Principal{
		Person: approval.Person{Issuer: identity.DevIssuer, Subject: "alice"}, Kind: approval.Human,
		Roles: []string{"analyst"}, Desk: "EQ",
	}
}

func TestMintedTokenNamesItsPrincipal(t *testing.T) {
	key := newKey(t)
	token, err := identity.Mint(context.Background(), key, alice(), now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	got, err := identity.NewVerifier(key.Public()).Verify(token, now.Add(30*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if got.Person != alice().Person || got.Kind != approval.Human || got.Desk != "EQ" || len(got.Roles) != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestMintRefuses(t *testing.T) {
	key := newKey(t)
	for name, change := range map[string]func(*approval.Principal, *time.Duration){
		"no subject":       func(p *approval.Principal, _ *time.Duration) { p.Subject = " " },
		"unknown role":     func(p *approval.Principal, _ *time.Duration) { p.Roles = []string{"root"} },
		"unknown kind":     func(p *approval.Principal, _ *time.Duration) { p.Kind = "robot" },
		"too long a life":  func(_ *approval.Principal, d *time.Duration) { *d = 25 * time.Hour },
		"no life":          func(_ *approval.Principal, d *time.Duration) { *d = 0 },
		"a long desk":      func(p *approval.Principal, _ *time.Duration) { p.Desk = strings.Repeat("D", 33) },
		"a line in a name": func(p *approval.Principal, _ *time.Duration) { p.Subject = "a\nb" },
	} {
		p, ttl := alice(), time.Hour
		change(&p, &ttl)
		if _, err := identity.Mint(context.Background(), key, p, now, ttl); err == nil {
			t.Errorf("%s: minted", name)
		}
	}
}

// sign makes a token with whatever header and claims a forger likes.
func sign(t *testing.T, key *keys.File, typ string, claims map[string]any) string {
	t.Helper()
	options := (&jose.SignerOptions{}).WithType(jose.ContentType(typ))
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: keys.Opaque(context.Background(), key)}, options)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestVerifyIsStrict(t *testing.T) {
	key := newKey(t)
	v := identity.NewVerifier(key.Public())
	good := func() map[string]any {
		return map[string]any{
			"iss": identity.DevIssuer, "aud": identity.Audience, "sub": "alice", "kind": "human", "roles": []string{"analyst"},
			"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		}
	}
	if _, err := v.Verify(sign(t, key, "at+jwt", good()), now); err != nil {
		t.Fatalf("the good token is refused: %v", err)
	}
	for name, change := range map[string]func(map[string]any){
		"other issuer":    func(c map[string]any) { c["iss"] = "https://elsewhere.example" },
		"other audience":  func(c map[string]any) { c["aud"] = "finobs-staging" },
		"no expiry":       func(c map[string]any) { delete(c, "exp") },
		"no issue time":   func(c map[string]any) { delete(c, "iat") },
		"expired":         func(c map[string]any) { c["iat"], c["exp"] = now.Add(-2*time.Hour).Unix(), now.Add(-time.Hour).Unix() },
		"from the future": func(c map[string]any) { c["nbf"] = now.Add(time.Hour).Unix() },
		"lives too long":  func(c map[string]any) { c["exp"] = now.Add(100 * time.Hour).Unix() },
		"no subject":      func(c map[string]any) { delete(c, "sub") },
		"no kind":         func(c map[string]any) { delete(c, "kind") },
		"unknown role":    func(c map[string]any) { c["roles"] = []string{"superuser"} },
	} {
		c := good()
		change(c)
		if _, err := v.Verify(sign(t, key, "at+jwt", c), now); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	good1 := sign(t, key, "at+jwt", good())
	parts := strings.Split(good1, ".")
	for name, token := range map[string]string{
		"wrong type":      sign(t, key, "JWT", good()),
		"other key":       sign(t, newKey(t), "at+jwt", good()),
		"alg none":        "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0." + parts[1] + ".",
		"no signature":    parts[0] + "." + parts[1] + ".",
		"empty":           "",
		"garbage":         "a.b.c",
		"over size limit": good1 + strings.Repeat("A", 9000),
	} {
		if _, err := v.Verify(token, now); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestBearerToken(t *testing.T) {
	for name, tc := range map[string]struct {
		headers []string
		want    string
	}{
		"one":            {[]string{"Bearer abc"}, "abc"},
		"lower case":     {[]string{"bearer abc"}, "abc"},
		"none":           {nil, ""},
		"two":            {[]string{"Bearer abc", "Bearer def"}, ""},
		"two in one":     {[]string{"Bearer abc, Bearer def"}, ""},
		"other scheme":   {[]string{"Basic abc"}, ""},
		"scheme only":    {[]string{"Bearer"}, ""},
		"an empty token": {[]string{"Bearer "}, ""},
	} {
		got, err := identity.BearerToken(http.Header{"Authorization": tc.headers})
		if got != tc.want || (err == nil) != (tc.want != "") {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}
