package inbound_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"finobs/internal/inbound"
	"finobs/internal/notify"
)

var (
	now    = time.Unix(1_781_256_600, 0)
	secret = []byte("It's a Secret to Everybody")
	body   = []byte(`{"alerts":[{"status":"firing"}]}`)
)

func sum(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func headers(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

func verifier(t *testing.T, s inbound.Scheme) *inbound.Verifier {
	t.Helper()
	v, err := inbound.New(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// delivery is what a sender makes of a body: signed with key, at a time, with an
// id.
type delivery struct {
	name   string
	scheme inbound.Scheme
	id     string // that Verify returns
	timed  bool   // the time is signed
	signed bool   // the body is signed
	sign   func(key, body []byte, at time.Time) http.Header
}

func deliveries() []delivery {
	whsec := []byte("whsec_" + base64.StdEncoding.EncodeToString(secret))
	seconds := func(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }
	return []delivery{
		{"finobs", inbound.Scheme{Kind: inbound.Finobs, Secrets: [][]byte{secret}}, "id-1", true, true, func(key, body []byte, at time.Time) http.Header {
			return headers(notify.HeaderIdempotencyKey, "id-1", notify.HeaderTimestamp, seconds(at), notify.HeaderSignature, notify.Sign(key, seconds(at), body))
		}},
		{"standard-webhooks", inbound.Scheme{Kind: inbound.StandardWebhooks, Secrets: [][]byte{whsec}}, "msg_1", true, true, func(key, body []byte, at time.Time) http.Header {
			signature := base64.StdEncoding.EncodeToString(sum(key, "msg_1."+seconds(at)+"."+string(body)))
			return headers("webhook-id", "msg_1", "webhook-timestamp", seconds(at), "webhook-signature", "v1a,other v1,"+signature)
		}},
		{"grafana", inbound.Scheme{Kind: inbound.Grafana, Secrets: [][]byte{secret}}, "", false, true, func(key, body []byte, _ time.Time) http.Header {
			return headers("X-Grafana-Alerting-Signature", hex.EncodeToString(sum(key, string(body))))
		}},
		{"grafana with a time", inbound.Scheme{Kind: inbound.Grafana, Secrets: [][]byte{secret}, Header: "X-Signed", TimestampHeader: "X-Time"}, "", true, true, func(key, body []byte, at time.Time) http.Header {
			return headers("X-Signed", hex.EncodeToString(sum(key, seconds(at)+":"+string(body))), "X-Time", seconds(at))
		}},
		{"pagerduty", inbound.Scheme{Kind: inbound.PagerDuty, Secrets: [][]byte{secret}}, "", false, true, func(key, body []byte, _ time.Time) http.Header {
			return headers("X-PagerDuty-Signature", "v1="+strings.Repeat("00", 32)+",v1="+hex.EncodeToString(sum(key, string(body))))
		}},
		{"github", inbound.Scheme{Kind: inbound.GitHub, Secrets: [][]byte{secret}}, "72d3162e", false, true, func(key, body []byte, _ time.Time) http.Header {
			return headers("X-Hub-Signature-256", "sha256="+hex.EncodeToString(sum(key, string(body))), "X-GitHub-Delivery", "72d3162e")
		}},
		{"token", inbound.Scheme{Kind: inbound.Token, Secrets: [][]byte{secret}}, "", false, false, func(key, _ []byte, _ time.Time) http.Header {
			return headers("Authorization", "Bearer "+string(key))
		}},
		{"token in a header of its own", inbound.Scheme{Kind: inbound.Token, Secrets: [][]byte{secret}, Header: "X-Token"}, "", false, false, func(key, _ []byte, _ time.Time) http.Header {
			return headers("X-Token", string(key))
		}},
		{"basic", inbound.Scheme{Kind: inbound.Basic, Secrets: [][]byte{secret}, User: "sns"}, "", false, false, func(key, _ []byte, _ time.Time) http.Header {
			return headers("Authorization", "Basic "+base64.StdEncoding.EncodeToString(append([]byte("sns:"), key...)))
		}},
	}
}

func TestGoodDeliveriesAreVerified(t *testing.T) {
	for _, d := range deliveries() {
		id, err := verifier(t, d.scheme).Verify(d.sign(secret, body, now), body, now)
		if err != nil || id != d.id {
			t.Errorf("%s: got %q, %v; want %q", d.name, id, err, d.id)
		}
	}
}

// While a sender changes over, the new secret and the old one count.
func TestSecretsRotate(t *testing.T) {
	other := []byte("another secret of length")
	for _, d := range deliveries() {
		old := d.scheme.Secrets[0]
		fresh := other
		if d.scheme.Kind == inbound.StandardWebhooks {
			fresh = []byte("whsec_" + base64.StdEncoding.EncodeToString(other))
		}
		d.scheme.Secrets = [][]byte{fresh, old}
		both := verifier(t, d.scheme)
		d.scheme.Secrets = [][]byte{fresh}
		one := verifier(t, d.scheme)
		for _, key := range [][]byte{secret, other} {
			if _, err := both.Verify(d.sign(key, body, now), body, now); err != nil {
				t.Errorf("%s: %q is refused: %v", d.name, key, err)
			}
		}
		if _, err := one.Verify(d.sign(secret, body, now), body, now); !errors.Is(err, inbound.ErrSignature) {
			t.Errorf("%s: the old secret is still taken: %v", d.name, err)
		}
	}
}

func TestWindow(t *testing.T) {
	for _, d := range deliveries() {
		for _, window := range []time.Duration{0, time.Minute} {
			d.scheme.Window = window
			v, width := verifier(t, d.scheme), window
			if width == 0 {
				width = inbound.DefaultWindow
			}
			for away, fine := range map[time.Duration]bool{
				width: true, -width: true, width + time.Second: false, -width - time.Second: false, 24 * time.Hour: false, 50 * 365 * 24 * time.Hour: false,
			} {
				_, err := v.Verify(d.sign(secret, body, now.Add(-away)), body, now)
				if stale := errors.Is(err, inbound.ErrStale); stale == (fine || !d.timed) || !stale && err != nil {
					t.Errorf("%s, window %s: %s away: %v", d.name, window, away, err)
				}
			}
		}
	}
}

// A header that is missing, empty or there twice is named.
func TestMissingHeadersAreNamed(t *testing.T) {
	for _, d := range deliveries() {
		v := verifier(t, d.scheme)
		good := d.sign(secret, body, now)
		for name := range good {
			if name == "X-Github-Delivery" || name == "Idempotency-Key" {
				continue // without them there is no id
			}
			without, empty, twice := good.Clone(), good.Clone(), good.Clone()
			without.Del(name)
			empty.Set(name, "")
			twice.Add(name, good.Get(name))
			for _, h := range []http.Header{without, empty, twice} {
				_, err := v.Verify(h, body, now)
				if !errors.Is(err, inbound.ErrMissing) || !strings.Contains(strings.ToLower(err.Error()), "header "+strings.ToLower(name)) {
					t.Errorf("%s, %s %q: %v", d.name, name, h[name], err)
				}
			}
		}
		if _, err := v.Verify(http.Header{}, nil, now); !errors.Is(err, inbound.ErrMissing) {
			t.Errorf("%s: nothing at all: %v", d.name, err)
		}
	}
}

// Errors show neither secrets nor what would have been right.
func TestErrorsTellNothing(t *testing.T) {
	for _, d := range deliveries() {
		v := verifier(t, d.scheme)
		h := d.sign([]byte("the wrong secret of all"), body, now)
		_, err := v.Verify(h, body, now)
		if !errors.Is(err, inbound.ErrSignature) || strings.Contains(err.Error(), string(secret)) {
			t.Errorf("%s: %v", d.name, err)
		}
		for _, value := range d.sign(secret, body, now) {
			if len(value[0]) > 20 && strings.Contains(err.Error(), value[0]) {
				t.Errorf("%s shows %s", d.name, value[0])
			}
		}
	}
}

func TestNewRefuses(t *testing.T) {
	good := [][]byte{secret}
	for name, tc := range map[string]struct {
		s    inbound.Scheme
		want string
	}{
		"kind":           {inbound.Scheme{Kind: "md5", Secrets: good}, `kind "md5" is not known`},
		"no secret":      {inbound.Scheme{Kind: inbound.GitHub}, "has no secret"},
		"short secret":   {inbound.Scheme{Kind: inbound.GitHub, Secrets: [][]byte{secret, []byte("hunter2")}}, "secret 2 has 7 bytes; it must have 16 to 1024"},
		"long secret":    {inbound.Scheme{Kind: inbound.Token, Secrets: [][]byte{make([]byte, 1025)}}, "secret 1 has 1025 bytes"},
		"no Base64":      {inbound.Scheme{Kind: inbound.StandardWebhooks, Secrets: [][]byte{[]byte("whsec_***")}}, "secret 1 is not whsec_ and Base64"},
		"short Base64":   {inbound.Scheme{Kind: inbound.StandardWebhooks, Secrets: [][]byte{[]byte("whsec_aGVsbG8=")}}, "secret 1 has 5 bytes"},
		"window":         {inbound.Scheme{Kind: inbound.GitHub, Secrets: good, Window: -1}, "window -1ns must be 0s to 24h"},
		"long window":    {inbound.Scheme{Kind: inbound.GitHub, Secrets: good, Window: 25 * time.Hour}, "window 25h0m0s"},
		"no user":        {inbound.Scheme{Kind: inbound.Basic, Secrets: good}, "the user of basic authentication"},
		"user and colon": {inbound.Scheme{Kind: inbound.Basic, Secrets: good, User: "a:b"}, "the user of basic authentication"},
	} {
		v, err := inbound.New(tc.s)
		if v != nil || err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v\nwant %s", name, err, tc.want)
		}
	}
	for _, kind := range inbound.Kinds() {
		if !kind.Valid() {
			t.Errorf("%s", kind)
		}
	}
}
