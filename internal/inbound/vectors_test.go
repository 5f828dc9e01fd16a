package inbound_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"finobs/internal/inbound"

	"pgregory.net/rapid"
)

// Vectors that others publish.
func TestKnownVectors(t *testing.T) {
	// https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries#testing-the-webhook-payload-validation
	github := verifier(t, inbound.Scheme{Kind: inbound.GitHub, Secrets: [][]byte{[]byte("It's a Secret to Everybody")}})
	if _, err := github.Verify(headers("X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"), []byte("Hello, World!"), now); err != nil {
		t.Errorf("GitHub: %v", err)
	}
	// The example of the libraries of Standard Webhooks.
	standard := verifier(t, inbound.Scheme{Kind: inbound.StandardWebhooks, Secrets: [][]byte{[]byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")}})
	id, err := standard.Verify(headers("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp", "1614265330",
		"webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="), []byte(`{"test": 2432232314}`), time.Unix(1_614_265_330, 0))
	if err != nil || id != "msg_p5jXN8AQM9LWM0D4loKWxJek" {
		t.Errorf("Standard Webhooks: %q, %v", id, err)
	}
	// RFC 4231, test case 7: the HMAC over a body alone, as Grafana and PagerDuty
	// make it.
	key := bytes.Repeat([]byte{0xaa}, 131)
	text := []byte("This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed before being used by the HMAC algorithm.")
	const want = "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"
	for kind, h := range map[inbound.Kind]http.Header{
		inbound.Grafana: headers("X-Grafana-Alerting-Signature", want), inbound.PagerDuty: headers("X-PagerDuty-Signature", "v1="+want),
	} {
		if _, err := verifier(t, inbound.Scheme{Kind: kind, Secrets: [][]byte{key}}).Verify(h, text, now); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// A Grafana whose contact point sends a time cannot be made one that does not.
func TestGrafanaTimestamp(t *testing.T) {
	named := verifier(t, inbound.Scheme{Kind: inbound.Grafana, Secrets: [][]byte{secret}, TimestampHeader: "X-Grafana-Alerting-Timestamp"})
	bare := headers("X-Grafana-Alerting-Signature", hex.EncodeToString(sum(secret, string(body))))
	if _, err := named.Verify(bare, body, now); !errors.Is(err, inbound.ErrMissing) {
		t.Errorf("without a time: %v", err)
	}
	lax := verifier(t, inbound.Scheme{Kind: inbound.Grafana, Secrets: [][]byte{secret}})
	timed := headers("X-Grafana-Alerting-Signature", hex.EncodeToString(sum(secret, "1781256600:"+string(body))), "X-Grafana-Alerting-Timestamp", "1781256600")
	if _, err := lax.Verify(timed, body, now); err != nil {
		t.Errorf("with a time: %v", err)
	}
	if _, err := lax.Verify(timed, body, now.Add(6*time.Minute)); !errors.Is(err, inbound.ErrStale) {
		t.Errorf("six minutes later: %v", err)
	}
	bare.Set("X-Grafana-Alerting-Timestamp", "1781256600")
	if _, err := lax.Verify(bare, body, now); !errors.Is(err, inbound.ErrSignature) {
		t.Errorf("a time that is not signed: %v", err)
	}
}

// What is signed with a time that is no number was made by the sender, and is
// still refused.
func TestTimesMustBeSeconds(t *testing.T) {
	for _, at := range []string{"soon", "1781256600.5", "+1781256600", "-5", "99999999999999999999", "0x6a2", " 1781256600"} {
		v := verifier(t, inbound.Scheme{Kind: inbound.Grafana, Secrets: [][]byte{secret}})
		h := headers("X-Grafana-Alerting-Signature", hex.EncodeToString(sum(secret, at+":"+string(body))), "X-Grafana-Alerting-Timestamp", at)
		if _, err := v.Verify(h, body, now); !errors.Is(err, inbound.ErrStale) {
			t.Errorf("%q: %v", at, err)
		}
	}
}

func TestWrongShapes(t *testing.T) {
	right := hex.EncodeToString(sum(secret, string(body)))
	for name, tc := range map[string]struct {
		kind inbound.Kind
		h    http.Header
		want error
	}{
		"GitHub without prefix":       {inbound.GitHub, headers("X-Hub-Signature-256", right), inbound.ErrSignature},
		"GitHub, SHA-1's prefix":      {inbound.GitHub, headers("X-Hub-Signature-256", "sha1="+right), inbound.ErrSignature},
		"PagerDuty, another version":  {inbound.PagerDuty, headers("X-PagerDuty-Signature", "v2="+right), inbound.ErrSignature},
		"cut":                         {inbound.Grafana, headers("X-Grafana-Alerting-Signature", right[:32]), inbound.ErrSignature},
		"no hex":                      {inbound.Grafana, headers("X-Grafana-Alerting-Signature", "zz"), inbound.ErrSignature},
		"the right one, 17th of many": {inbound.PagerDuty, headers("X-PagerDuty-Signature", strings.Repeat("v1=00,", 16)+"v1="+right), inbound.ErrSignature},
		"the right one, 16th of many": {inbound.PagerDuty, headers("X-PagerDuty-Signature", strings.Repeat("v1=00, ", 15)+"v1="+right), nil},
		"upper-case hex":              {inbound.Grafana, headers("X-Grafana-Alerting-Signature", strings.ToUpper(right)), nil},
		"token, another scheme":       {inbound.Token, headers("Authorization", "Basic "+string(secret)), inbound.ErrMissing},
		"token, lower case":           {inbound.Token, headers("Authorization", "bearer "+string(secret)), nil},
		"token, prefix of the secret": {inbound.Token, headers("Authorization", "Bearer "+string(secret[:20])), inbound.ErrSignature},
		"token, no secret":            {inbound.Token, headers("Authorization", "Bearer"), inbound.ErrSignature},
	} {
		_, err := verifier(t, inbound.Scheme{Kind: tc.kind, Secrets: [][]byte{secret}}).Verify(tc.h, body, now)
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", name, err, tc.want)
		}
	}
	basic := verifier(t, inbound.Scheme{Kind: inbound.Basic, Secrets: [][]byte{secret}, User: "sns"})
	for value, want := range map[string]error{
		"Basic ***": inbound.ErrMissing, "Bearer x": inbound.ErrMissing, "Basic c25z": inbound.ErrSignature, "Basic eDp5": inbound.ErrSignature,
		"Basic " + base64.StdEncoding.EncodeToString([]byte("sqs:"+string(secret))): inbound.ErrSignature, // the password of somebody else
	} {
		if _, err := basic.Verify(headers("Authorization", value), body, now); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", value, err, want)
		}
	}
}

// With a full stop in the id, one signature would be good for two readings of id,
// time and body.
func TestStandardIDsHoldNoFullStop(t *testing.T) {
	whsec := []byte("whsec_" + base64.StdEncoding.EncodeToString(secret))
	v := verifier(t, inbound.Scheme{Kind: inbound.StandardWebhooks, Secrets: [][]byte{whsec}})
	for id, want := range map[string]error{"a": nil, "a.1781256600": inbound.ErrSignature} {
		signature := "v1," + base64.StdEncoding.EncodeToString(sum(secret, id+".1781256600."+string(body)))
		if _, err := v.Verify(headers("webhook-id", id, "webhook-timestamp", "1781256600", "webhook-signature", signature), body, now); !errors.Is(err, want) {
			t.Errorf("id %s: got %v, want %v", id, err, want)
		}
	}
}

// Whatever is changed in what is signed, the delivery is refused.
func TestAnyChangeIsRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := rapid.SampledFrom(deliveries()).Draw(t, "delivery")
		v, err := inbound.New(d.scheme)
		if err != nil {
			t.Fatal(err)
		}
		content := rapid.SliceOfN(rapid.Byte(), 1, 200).Draw(t, "body")
		h := d.sign(secret, content, now)
		if _, err := v.Verify(h, content, now); err != nil {
			t.Fatalf("the good delivery: %v", err)
		}
		parts := []string{"header", "secret"}
		if d.signed {
			parts = append(parts, "body", "longer body", "shorter body")
		}
		changed := bytes.Clone(content)
		switch rapid.SampledFrom(parts).Draw(t, "part") {
		case "body":
			i := rapid.IntRange(0, len(changed)-1).Draw(t, "byte")
			changed[i] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
		case "longer body":
			changed = append(changed, rapid.Byte().Draw(t, "more"))
		case "shorter body":
			changed = changed[:len(changed)-1]
		case "secret":
			key := bytes.Clone(secret)
			key[rapid.IntRange(0, len(key)-1).Draw(t, "byte")] ^= byte(rapid.IntRange(1, 127).Draw(t, "bits"))
			h = d.sign(key, content, now)
		case "header":
			h = changeHeader(t, d, h)
		}
		if id, err := v.Verify(h, changed, now); err == nil {
			t.Errorf("%s: accepted as %q", d.name, id)
		}
	})
}

// changeHeader changes a letter of a header that counts, other than the case of
// hex digits, which is the same signature.
func changeHeader(t *rapid.T, d delivery, h http.Header) http.Header {
	var names []string
	for _, name := range []string{
		"X-Finobs-Timestamp", "X-Finobs-Signature", "Webhook-Id", "Webhook-Timestamp", "Webhook-Signature", "X-Grafana-Alerting-Signature",
		"X-Signed", "X-Time", "X-Pagerduty-Signature", "X-Hub-Signature-256", "Authorization", "X-Token",
	} {
		if h.Get(name) != "" {
			names = append(names, name)
		}
	}
	name := rapid.SampledFrom(names).Draw(t, "name")
	value := []byte(h.Get(name))
	// The end of the list is the good signature; what stands before may be anything.
	first := max(strings.LastIndexByte(string(value), ','), strings.LastIndexByte(string(value), '='), strings.LastIndexByte(string(value), ' ')) + 1
	if d.scheme.Kind == inbound.StandardWebhooks && name == "Webhook-Signature" {
		first = strings.LastIndex(string(value), "v1,") + 3
	}
	if first >= len(value)-2 {
		first = 0
	}
	// The last two letters of Base64 hold bits that are not the value's.
	i := rapid.IntRange(first, len(value)-3).Draw(t, "letter")
	letter := rapid.SampledFrom([]byte("0123456789abcdefXYZ")).Filter(func(b byte) bool {
		return !strings.EqualFold(string(b), string(value[i]))
	}).Draw(t, "to")
	value[i] = letter
	out := h.Clone()
	out.Set(name, string(value))
	return out
}
