// Package inbound tells whether a webhook comes from whom it says it comes from:
// it verifies the signatures and tokens of those that others send to finobs. It is
// pure; of net/http it knows the headers alone.
package inbound

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kind is how a sender proves itself.
type Kind string

// The closed set of kinds.
const (
	// Finobs is how finobs signs its own webhooks: package notify.
	Finobs Kind = "finobs"
	// StandardWebhooks is https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md.
	StandardWebhooks Kind = "standard-webhooks"
	// Grafana is the HMAC signature of webhook contact points:
	// https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/#hmac-signature,
	// and as HMACRoundTripper of github.com/grafana/alerting makes it.
	Grafana Kind = "grafana"
	// PagerDuty is version 3: https://developer.pagerduty.com/docs/verifying-webhook-signatures.
	// It signs no time, so a delivery that was caught can be sent again; what keeps
	// it from doing harm is the id of the event in the body.
	PagerDuty Kind = "pagerduty"
	// GitHub is the X-Hub-Signature-256 of GitHub and those that do likewise:
	// https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries.
	// It signs no time either.
	GitHub Kind = "github"
	// Token is a secret in a header, for senders that cannot sign: Alertmanager,
	// Datadog, Pingdom. It proves nothing about the body, so it is for HTTPS alone.
	Token Kind = "token"
	// Basic is the password of HTTP basic authentication, for senders that know
	// nothing but URLs, as Amazon SNS and Google Cloud Monitoring. See Token.
	Basic Kind = "basic"
)

// Kinds lists all of them.
func Kinds() []Kind {
	return []Kind{Finobs, StandardWebhooks, Grafana, PagerDuty, GitHub, Token, Basic}
}

// Valid reports whether k is one of the kinds above.
func (k Kind) Valid() bool { return slices.Contains(Kinds(), k) }

// DefaultWindow is how far the time of a delivery may be away from now.
const DefaultWindow = 5 * time.Minute

// Limits of secrets, in bytes. A shorter one can be guessed.
const (
	MinSecret = 16
	maxSecret = 1024
)

// Errors of Verify. What wraps them says which header was expected.
var (
	ErrMissing   = errors.New("the delivery is not signed")
	ErrSignature = errors.New("the signature is not of a secret of this source and this body")
	ErrStale     = errors.New("the time of the delivery is outside the window")
)

// Scheme is how one source proves itself.
type Scheme struct {
	Kind Kind
	// Secrets are those that count: the new one and, while the sender changes over,
	// the old one. Of StandardWebhooks each is whsec_ and Base64.
	Secrets [][]byte
	// Window is how far a signed time may be away, before or after; 0 is
	// DefaultWindow.
	Window time.Duration
	// Header carries the signature or token, where its name is the sender's choice:
	// of Grafana, X-Grafana-Alerting-Signature when empty; of Token, Authorization
	// with the scheme Bearer when empty.
	Header string
	// TimestampHeader carries the signed time of Grafana, whose choice it is. With
	// one, a delivery without it is missing its signature; without one,
	// X-Grafana-Alerting-Timestamp counts where it is there.
	TimestampHeader string
	// User is that of Basic.
	User string
}

// Verifier verifies the deliveries of one source. It may be used by many
// goroutines.
type Verifier struct {
	scheme  Scheme
	secrets [][]byte
	verify  func(*Verifier, http.Header, []byte, time.Time) (string, error)
}

// New checks a scheme. Its errors do not show secrets.
func New(s Scheme) (*Verifier, error) {
	verify, known := verifiers[s.Kind]
	if !known {
		return nil, fmt.Errorf("signature kind %q is not known; known are %v", s.Kind, Kinds())
	}
	if len(s.Secrets) == 0 {
		return nil, fmt.Errorf("signature kind %s has no secret", s.Kind)
	}
	if s.Window < 0 || s.Window > 24*time.Hour {
		return nil, fmt.Errorf("window %s must be 0s to 24h", s.Window)
	}
	if s.Window == 0 {
		s.Window = DefaultWindow
	}
	if s.Kind == Basic && (s.User == "" || strings.Contains(s.User, ":")) {
		return nil, errors.New("the user of basic authentication must not be empty or hold a colon")
	}
	v := &Verifier{scheme: s, verify: verify}
	for i, secret := range s.Secrets {
		if s.Kind == StandardWebhooks {
			var err error
			text := strings.TrimRight(strings.TrimPrefix(string(secret), "whsec_"), "=")
			if secret, err = base64.RawStdEncoding.DecodeString(text); err != nil {
				return nil, fmt.Errorf("secret %d is not whsec_ and Base64", i+1)
			}
		}
		if len(secret) < MinSecret || len(secret) > maxSecret {
			return nil, fmt.Errorf("secret %d has %d bytes; it must have %d to %d", i+1, len(secret), MinSecret, maxSecret)
		}
		v.secrets = append(v.secrets, slices.Clone(secret))
	}
	return v, nil
}

// Verify reports whether a delivery is the source's: body is the whole body as it
// came, byte for byte. It returns the id of the delivery that is signed or sent
// along, "" when there is none; a receiver keeps it to know a repetition within
// the window. Errors wrap ErrMissing, ErrSignature or ErrStale, and never show
// what was expected.
func (v *Verifier) Verify(header http.Header, body []byte, now time.Time) (deliveryID string, err error) {
	return v.verify(v, header, body, now)
}

// ReadsAuthorization reports whether the sender proves itself in the header
// Authorization, where a token of finobs may stand as well.
func (v *Verifier) ReadsAuthorization() bool {
	return v.scheme.Kind == Basic || v.scheme.Kind == Token && (v.scheme.Header == "" || strings.EqualFold(v.scheme.Header, "Authorization"))
}

var verifiers = map[Kind]func(*Verifier, http.Header, []byte, time.Time) (string, error){
	Finobs: (*Verifier).finobs, StandardWebhooks: (*Verifier).standard, Grafana: (*Verifier).grafana,
	PagerDuty: (*Verifier).pagerDuty, GitHub: (*Verifier).gitHub, Token: (*Verifier).token, Basic: (*Verifier).basic,
}

// one returns the only value of a header. Two may be read as one by a proxy and as
// the other here, so they are as good as none.
func one(header http.Header, name string) (string, error) {
	values := header.Values(name)
	switch {
	case len(values) > 1:
		return "", fmt.Errorf("%w: header %s comes %d times; expected is one", ErrMissing, name, len(values))
	case len(values) == 0 || values[0] == "":
		return "", fmt.Errorf("%w: expected is header %s", ErrMissing, name)
	}
	return values[0], nil
}

// mac is the HMAC-SHA256 over parts, one after the other.
func mac(secret []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, secret)
	for _, part := range parts {
		h.Write(part)
	}
	return h.Sum(nil)
}

// anyEqual compares all secrets with all signatures, in constant time each.
func (v *Verifier) anyEqual(signatures [][]byte, parts ...[]byte) bool {
	equal := false
	for _, secret := range v.secrets {
		want := mac(secret, parts...)
		for _, got := range signatures {
			equal = hmac.Equal(want, got) || equal
		}
	}
	return equal
}

// hexSignatures are those of a list with commas whose elements begin with prefix; what is not
// hex is left out.
func hexSignatures(value, prefix string) [][]byte {
	var out [][]byte
	for element := range strings.SplitSeq(value, ",") {
		text, is := strings.CutPrefix(strings.TrimSpace(element), prefix)
		if raw, err := hex.DecodeString(text); is && err == nil && len(out) < maxSignatures {
			out = append(out, raw)
		}
	}
	return out
}

// maxSignatures bounds what one delivery makes us compare.
const maxSignatures = 16

func wrong(name string) error { return fmt.Errorf("%w: header %s", ErrSignature, name) }

// fresh judges a signed time.
func (v *Verifier) fresh(name, text string, now time.Time) error {
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 || text[0] == '+' {
		return fmt.Errorf("%w: header %s is %q; expected is a number of seconds since 1970", ErrStale, name, text)
	}
	// Compared as times of this era: a difference of more than 292 years does not
	// fit into a Duration, which Sub takes care of.
	if away := now.Sub(time.Unix(seconds, 0)).Abs(); away > v.scheme.Window {
		return fmt.Errorf("%w: header %s is %s away, and %s are allowed; check the clocks", ErrStale, name, away.Round(time.Second), v.scheme.Window)
	}
	return nil
}
