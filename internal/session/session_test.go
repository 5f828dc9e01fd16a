package session_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"finobs/internal/approval"
	"finobs/internal/session"

	"pgregory.net/rapid"
)

var now = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

func key(b byte) []byte { return bytes.Repeat([]byte{b}, session.KeyLength) }

func keeper(t testing.TB, o session.Options) *session.Keeper {
	t.Helper()
	if o.Keys == nil {
		o.Keys = [][]byte{key(1)}
	}
	k, err := session.NewKeeper(o)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func alice() approval.Principal {
	return approval.Principal{Person: approval.Person{Issuer: "https://login.example.com", Subject: "alice"}, Kind: approval.Human, Roles: []string{"analyst"}, Desk: "EQ"}
}

// cookieOf is what a browser that was given the session sends back.
func cookieOf(t testing.TB, k *session.Keeper, s session.Session) *http.Cookie {
	t.Helper()
	w := httptest.NewRecorder()
	if err := k.Write(w, s); err != nil {
		t.Fatal(err)
	}
	return w.Result().Cookies()[0]
}

func with(cookies ...*http.Cookie) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, c := range cookies {
		r.AddCookie(c)
	}
	return r
}

func TestASessionComesBackAsItWas(t *testing.T) {
	k := keeper(t, session.Options{})
	s := k.New(alice(), session.ViaOIDC, now, time.Time{})
	got, err := k.Read(with(cookieOf(t, k, s)), now.Add(time.Minute))
	if err != nil || !reflect.DeepEqual(got, s) {
		t.Errorf("got %+v, %v, want %+v", got, err, s)
	}
	if other := k.New(alice(), session.ViaOIDC, now, time.Time{}); other.ID == s.ID || other.CSRF == s.CSRF {
		t.Error("two sessions have one id or one CSRF token")
	}
	if !got.ValidCSRF(s.CSRF) || got.ValidCSRF("") || got.ValidCSRF(s.CSRF+"a") || got.ValidCSRF(s.CSRF[1:]) || (session.Session{}).ValidCSRF("") {
		t.Error("CSRF tokens are not compared as they should be")
	}
}

func TestCookieAttributes(t *testing.T) {
	for secure, name := range map[bool]string{true: "__Host-finobs", false: "finobs"} {
		k := keeper(t, session.Options{Secure: secure})
		c := cookieOf(t, k, k.New(alice(), session.ViaToken, now, time.Time{}))
		if c.Name != name || c.Secure != secure || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || c.MaxAge != 0 {
			t.Errorf("got %+v", c)
		}
		w := httptest.NewRecorder()
		k.Clear(w)
		if c := w.Result().Cookies()[0]; c.Name != name || c.MaxAge != -1 || c.Value != "" || c.Secure != secure {
			t.Errorf("cleared by %+v", c)
		}
	}
}

func TestWhenASessionEnds(t *testing.T) {
	k := keeper(t, session.Options{Idle: 30 * time.Minute, Max: 8 * time.Hour})
	for name, tc := range map[string]struct {
		seen, notAfter, at time.Duration // after the sign-in
		want               error
	}{
		"at once":                    {0, 0, 0, nil},
		"just not idle":              {0, 0, 30*time.Minute - time.Second, nil},
		"idle":                       {0, 0, 30 * time.Minute, session.ErrIdle},
		"used in between":            {20 * time.Minute, 0, 45 * time.Minute, nil},
		"just before the end":        {8*time.Hour - time.Minute, 0, 8*time.Hour - time.Second, nil},
		"at the end, though used":    {8*time.Hour - time.Minute, 0, 8 * time.Hour, session.ErrExpired},
		"before the token's end":     {9 * time.Minute, 10 * time.Minute, 10*time.Minute - time.Second, nil},
		"at the token's end":         {9 * time.Minute, 10 * time.Minute, 10 * time.Minute, session.ErrExpired},
		"a token of a longer life":   {8*time.Hour - time.Minute, 12 * time.Hour, 8 * time.Hour, session.ErrExpired},
		"seen by a clock far ahead":  {time.Hour, 0, 0, session.ErrBroken},
		"seen by a clock just ahead": {30 * time.Second, 0, 0, nil},
	} {
		limit := time.Time{}
		if tc.notAfter > 0 {
			limit = now.Add(tc.notAfter)
		}
		s := k.New(alice(), session.ViaToken, now, limit)
		s.SeenAt = now.Add(tc.seen)
		if _, err := k.Read(with(cookieOf(t, k, s)), now.Add(tc.at)); !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", name, err, tc.want)
		}
	}
	// Whoever runs with a shorter limit holds older cookies to it.
	s := k.New(alice(), session.ViaToken, now, time.Time{})
	s.SeenAt = now.Add(time.Hour)
	if _, err := keeper(t, session.Options{Max: time.Hour}).Read(with(cookieOf(t, k, s)), now.Add(61*time.Minute)); !errors.Is(err, session.ErrExpired) {
		t.Errorf("a shorter limit: %v", err)
	}
}

func TestKeysRotate(t *testing.T) {
	old, both, fresh := keeper(t, session.Options{}), keeper(t, session.Options{Keys: [][]byte{key(2), key(1)}}), keeper(t, session.Options{Keys: [][]byte{key(2)}})
	s := old.New(alice(), session.ViaOIDC, now, time.Time{})
	got, err := both.Read(with(cookieOf(t, old, s)), now)
	if err != nil || !got.ValidCSRF(s.CSRF) {
		t.Errorf("the older key: %v", err)
	}
	again := cookieOf(t, both, got)
	if _, err := fresh.Read(with(again), now); err != nil {
		t.Errorf("the first key does not seal: %v", err)
	}
	if _, err := old.Read(with(again), now); !errors.Is(err, session.ErrBroken) {
		t.Errorf("another key: %v", err)
	}
}

func TestNoChangedCookieIsRead(t *testing.T) {
	k := keeper(t, session.Options{})
	good := cookieOf(t, k, k.New(alice(), session.ViaOIDC, now, time.Time{}))
	rapid.Check(t, func(t *rapid.T) {
		text := []byte(good.Value)
		switch rapid.IntRange(0, 2).Draw(t, "how") {
		case 0:
			text = text[:rapid.IntRange(0, len(text)-1).Draw(t, "length")]
		case 1:
			at := rapid.IntRange(0, len(text)-1).Draw(t, "at")
			text[at] = rapid.SampledFrom([]byte("abcXYZ019-_")).Draw(t, "byte")
		case 2:
			text = append(text, rapid.SliceOfN(rapid.SampledFrom([]byte("abcXYZ019-_")), 1, 10).Draw(t, "more")...)
		}
		if string(text) == good.Value {
			return
		}
		if _, err := k.Read(with(&http.Cookie{Name: good.Name, Value: string(text)}), now); !errors.Is(err, session.ErrBroken) {
			t.Fatalf("%q: %v", text, err)
		}
	})
	for name, r := range map[string]*http.Request{
		"two of them": with(good, good),
		"a long one":  with(&http.Cookie{Name: good.Name, Value: strings.Repeat("A", 5000)}),
		"empty":       with(&http.Cookie{Name: good.Name}),
	} {
		if _, err := k.Read(r, now); !errors.Is(err, session.ErrBroken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := k.Read(with(), now); !errors.Is(err, session.ErrAbsent) {
		t.Errorf("none: %v", err)
	}
}

func TestACookieOfOneUseIsNoneOfAnother(t *testing.T) {
	k := keeper(t, session.Options{})
	flow, form := session.Passing{Name: "flow", Cross: true, Life: time.Minute}, session.Passing{Name: "form"}
	w := httptest.NewRecorder()
	if err := k.Put(w, flow, k.New(alice(), session.ViaOIDC, now, time.Time{})); err != nil {
		t.Fatal(err)
	}
	c := w.Result().Cookies()[0]
	if c.SameSite != http.SameSiteLaxMode || c.MaxAge != 60 || !c.HttpOnly {
		t.Errorf("got %+v", c)
	}
	var got session.Session
	if err := k.Open(with(c), flow, &got); err != nil || got.Principal.Subject != "alice" {
		t.Errorf("its own use: %v", err)
	}
	c.Name = "finobs-form"
	if err := k.Open(with(c), form, &got); !errors.Is(err, session.ErrBroken) {
		t.Errorf("another use: %v", err)
	}
	c.Name = "finobs"
	if _, err := k.Read(with(c), now); !errors.Is(err, session.ErrBroken) {
		t.Errorf("as a session: %v", err)
	}
}

func TestASessionThatWasSignedOutIsRefused(t *testing.T) {
	k := keeper(t, session.Options{})
	s := k.New(alice(), session.ViaOIDC, now, time.Time{})
	copied := cookieOf(t, k, s)
	k.End(s, now)
	if _, err := k.Read(with(copied), now.Add(time.Second)); !errors.Is(err, session.ErrAbsent) {
		t.Errorf("got %v", err)
	}
	// Another process does not know; the idle timeout bounds that.
	other := keeper(t, session.Options{})
	if _, err := other.Read(with(copied), now.Add(session.DefaultIdle)); !errors.Is(err, session.ErrIdle) {
		t.Errorf("another process: %v", err)
	}
}

func TestASessionThatBrowsersWouldDropIsNotWritten(t *testing.T) {
	k := keeper(t, session.Options{})
	p := alice()
	p.Subject = strings.Repeat("a", 4000)
	if err := k.Write(httptest.NewRecorder(), k.New(p, session.ViaOIDC, now, time.Time{})); err == nil {
		t.Error("it was written")
	}
}

func TestKeyFiles(t *testing.T) {
	dir := t.TempDir()
	made := filepath.Join(dir, "made.key")
	if err := errors.Join(session.MakeKey(made), session.MakeKey(made)); err != nil {
		t.Fatal(err)
	}
	first, err := session.LoadKey(made)
	if err != nil || len(first) != session.KeyLength {
		t.Fatalf("got %d bytes, %v", len(first), err)
	}
	if err := session.MakeKey(made); err != nil {
		t.Fatal(err)
	}
	if again, err := session.LoadKey(made); err != nil || !bytes.Equal(first, again) {
		t.Error("a key that is there was replaced")
	}
	for name, tc := range map[string]struct {
		length int
		mode   os.FileMode
	}{"short": {31, 0o600}, "long": {33, 0o600}, "open": {32, 0o644}, "group": {32, 0o640}} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, make([]byte, tc.length), tc.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := session.LoadKey(path); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for name, o := range map[string]session.Options{
		"a short key": {Keys: [][]byte{{1}}}, "no time": {Idle: time.Second}, "idle beyond the longest": {Idle: 9 * time.Hour},
	} {
		if _, err := session.NewKeeper(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// FuzzRead reads anything as a cookie; only what was sealed is a session.
func FuzzRead(f *testing.F) {
	k := keeper(f, session.Options{})
	good := cookieOf(f, k, k.New(alice(), session.ViaOIDC, now, time.Time{})).Value
	f.Add(good)
	f.Add("")
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, value string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Cookie", "finobs="+value)
		if _, err := k.Read(r, now); err == nil && strings.Trim(value, " \"\t") != good {
			t.Errorf("read %q", value)
		}
	})
}
