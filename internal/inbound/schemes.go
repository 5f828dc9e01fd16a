package inbound

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"finobs/internal/notify"
)

// finobs verifies the webhooks of another finobs, or of whoever signs like it. The
// id is the Idempotency-Key, which is not signed: it tells repetitions that are
// honest.
func (v *Verifier) finobs(header http.Header, body []byte, now time.Time) (string, error) {
	for _, name := range []string{notify.HeaderSignature, notify.HeaderTimestamp} {
		if _, err := one(header, name); err != nil {
			return "", err
		}
	}
	var err error
	for _, secret := range v.secrets {
		err = notify.Verify(secret, header, body, now, v.scheme.Window)
		switch {
		case err == nil:
			return header.Get(notify.HeaderIdempotencyKey), nil
		case errors.Is(err, notify.ErrStale): // so the signature is right
			return "", fmt.Errorf("%w: header %s: %w", ErrStale, notify.HeaderTimestamp, err)
		}
	}
	return "", wrong(notify.HeaderSignature)
}

// The headers of Standard Webhooks.
const (
	headerID        = "Webhook-Id"
	headerTime      = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
)

// standard verifies the symmetric signatures, v1, over the id, the time and the
// body.
func (v *Verifier) standard(header http.Header, body []byte, now time.Time) (string, error) {
	var values [3]string
	for i, name := range []string{headerID, headerTime, headerSignature} {
		var err error
		if values[i], err = one(header, name); err != nil {
			return "", err
		}
	}
	id, at, signatures := values[0], values[1], values[2]
	var raw [][]byte
	for element := range strings.SplitSeq(signatures, " ") {
		text, is := strings.CutPrefix(element, "v1,")
		if signature, err := base64.StdEncoding.DecodeString(text); is && err == nil && len(raw) < maxSignatures {
			raw = append(raw, signature)
		}
	}
	// With a full stop in the id, what is the id and what is the time could be read
	// in two ways.
	if strings.Contains(id, ".") || !v.anyEqual(raw, []byte(id+"."+at+"."), body) {
		return "", wrong(headerSignature)
	}
	if err := v.fresh(headerTime, at, now); err != nil {
		return "", err
	}
	return id, nil
}

// The headers of Grafana, where its contact point does not say otherwise.
const (
	grafanaSignature = "X-Grafana-Alerting-Signature"
	grafanaTimestamp = "X-Grafana-Alerting-Timestamp"
)

// grafana verifies the hex HMAC over the body or, with a timestamp, over the
// timestamp, a colon and the body.
func (v *Verifier) grafana(header http.Header, body []byte, now time.Time) (string, error) {
	name := or(v.scheme.Header, grafanaSignature)
	signature, err := one(header, name)
	if err != nil {
		return "", err
	}
	timeName := or(v.scheme.TimestampHeader, grafanaTimestamp)
	if v.scheme.TimestampHeader == "" && len(header.Values(timeName)) == 0 {
		if !v.anyEqual(hexSignatures(signature, ""), body) {
			return "", wrong(name)
		}
		return "", nil
	}
	at, err := one(header, timeName)
	if err != nil {
		return "", err
	}
	if !v.anyEqual(hexSignatures(signature, ""), []byte(at+":"), body) {
		return "", wrong(name)
	}
	return "", v.fresh(timeName, at, now)
}

const pagerDutySignature = "X-PagerDuty-Signature"

// pagerDuty verifies the hex HMACs over the body. X-Webhook-Id is that of the
// subscription, the same for all deliveries, so there is no delivery id.
func (v *Verifier) pagerDuty(header http.Header, body []byte, _ time.Time) (string, error) {
	signatures, err := one(header, pagerDutySignature)
	if err != nil {
		return "", err
	}
	if !v.anyEqual(hexSignatures(signatures, "v1="), body) {
		return "", wrong(pagerDutySignature)
	}
	return "", nil
}

const (
	gitHubSignature = "X-Hub-Signature-256"
	gitHubDelivery  = "X-GitHub-Delivery" // not signed
)

func (v *Verifier) gitHub(header http.Header, body []byte, _ time.Time) (string, error) {
	signature, err := one(header, gitHubSignature)
	if err != nil {
		return "", err
	}
	if !v.anyEqual(hexSignatures(signature, "sha256="), body) {
		return "", wrong(gitHubSignature)
	}
	return header.Get(gitHubDelivery), nil
}

// token compares a shared secret. Both sides are hashed first, so that the time it
// takes tells nothing, not even a length.
func (v *Verifier) token(header http.Header, _ []byte, _ time.Time) (string, error) {
	name := or(v.scheme.Header, "Authorization")
	got, err := one(header, name)
	if err != nil {
		return "", err
	}
	if v.scheme.Header == "" || strings.EqualFold(name, "Authorization") {
		scheme, credential, _ := strings.Cut(got, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return "", fmt.Errorf("%w: expected is header %s with the scheme Bearer", ErrMissing, name)
		}
		got = strings.TrimSpace(credential)
	}
	if !v.anySecret([]byte(got)) {
		return "", wrong(name)
	}
	return "", nil
}

func (v *Verifier) basic(header http.Header, _ []byte, _ time.Time) (string, error) {
	const name = "Authorization"
	got, err := one(header, name)
	if err != nil {
		return "", err
	}
	scheme, credential, _ := strings.Cut(got, " ")
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(credential))
	if err != nil || !strings.EqualFold(scheme, "Basic") {
		return "", fmt.Errorf("%w: expected is header %s with the scheme Basic", ErrMissing, name)
	}
	user, password, _ := strings.Cut(string(raw), ":")
	isUser := equalHashed([]byte(user), []byte(v.scheme.User))
	if isPassword := v.anySecret([]byte(password)); !isUser || !isPassword {
		return "", wrong(name)
	}
	return "", nil
}

func (v *Verifier) anySecret(got []byte) bool {
	equal := false
	for _, secret := range v.secrets {
		equal = equalHashed(got, secret) || equal
	}
	return equal
}

func equalHashed(a, b []byte) bool {
	x, y := sha256.Sum256(a), sha256.Sum256(b)
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
