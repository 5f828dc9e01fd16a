package identity_test

import (
	"testing"
	"time"

	"finobs/internal/approval"
	"finobs/internal/identity"
	"finobs/internal/oidctest"

	"github.com/go-jose/go-jose/v4"
)

// A token that was verified before counts no longer, no earlier and for nobody else
// than one that is verified for the first time.
func TestATokenThatIsRememberedIsJudgedAgain(t *testing.T) {
	key := newKey(t)
	minted, err := identity.Mint(t.Context(), key, alice(), now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	p := oidctest.Start(t, jose.ES256)
	people(p)
	c := p.Claims("alice", "app")
	c["iat"], c["nbf"], c["exp"] = now.Unix(), now.Unix(), now.Add(time.Hour).Unix()
	verifiers := map[string]struct {
		token  string
		verify func(token string, at time.Time) (approval.Principal, error)
	}{
		"minted": {minted, identity.NewVerifier(key.Public()).Verify},
		"of a provider": {p.Sign(t, map[string]any{"typ": "at+jwt"}, c), func() func(string, time.Time) (approval.Principal, error) {
			issuers := load(t, trust(p, ""))
			return func(token string, at time.Time) (approval.Principal, error) {
				return issuers.Verify(t.Context(), token, at)
			}
		}()},
	}
	for name, v := range verifiers {
		for _, step := range []struct {
			what string
			at   time.Duration
			ok   bool
		}{
			{"before its time", -time.Minute, false}, {"now", 0, true}, {"again", time.Second, true}, {"at its end", time.Hour + 29*time.Second, true},
			{"after its end", time.Hour + 31*time.Second, false}, {"a day later", 24 * time.Hour, false}, {"before its time, known", -time.Minute, false}, {"once more", time.Minute, true},
		} {
			who, err := v.verify(v.token, now.Add(step.at))
			if (err == nil) != step.ok || err == nil && who.Subject != "alice" {
				t.Errorf("%s, %s: %v %v", name, step.what, who, err)
			}
		}
		last := v.token[len(v.token)-10:]
		for _, forged := range []string{v.token[:len(v.token)-10] + "AAAAAAAAAA", v.token + "A", "x" + v.token, last} {
			if who, err := v.verify(forged, now); err == nil {
				t.Errorf("%s: a forged token is %v", name, who)
			}
		}
		first, err := v.verify(v.token, now)
		if err != nil {
			t.Fatal(err)
		}
		first.Roles[0] = "admin"
		if second, err := v.verify(v.token, now); err != nil || second.Roles[0] != "analyst" {
			t.Errorf("%s: what one caller did to his roles, the next has: %v, %v", name, second.Roles, err)
		}
	}
}
