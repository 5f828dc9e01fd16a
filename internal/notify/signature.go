package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of a webhook.
const (
	HeaderIdempotencyKey = "Idempotency-Key"    // the message's ID
	HeaderTimestamp      = "X-Finobs-Timestamp" // of the sending, in seconds since 1970
	HeaderSignature      = "X-Finobs-Signature" // see Sign
	HeaderKind           = "X-Finobs-Kind"      // of mails
	HeaderApproval       = "X-Finobs-Approval"  // of mails
	signatureVersion     = "v1="
)

// Sign returns the signature of a webhook's body that is sent at timestamp
// (seconds since 1970): v1= and the HMAC-SHA256, in hex, over the timestamp, a
// full stop and the body.
func Sign(secret []byte, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(timestamp + "."))
	mac.Write(body)
	return signatureVersion + hex.EncodeToString(mac.Sum(nil))
}

// Errors of Verify.
var (
	ErrSignature = errors.New("the signature is not of this secret and body")
	ErrStale     = errors.New("the timestamp is outside the window")
)

// Verify is for receivers of webhooks: body is the whole body as it came. A
// message from further than window away from now, before or after, is refused;
// within the window a receiver keeps the Idempotency-Key to know a repetition.
func Verify(secret []byte, header http.Header, body []byte, now time.Time, window time.Duration) error {
	timestamp := header.Get(HeaderTimestamp)
	if !hmac.Equal([]byte(header.Get(HeaderSignature)), []byte(Sign(secret, timestamp, body))) {
		return ErrSignature
	}
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || strings.HasPrefix(timestamp, "+") {
		return fmt.Errorf("%w: %s %q is not a number of seconds", ErrStale, HeaderTimestamp, timestamp)
	}
	if away := now.Sub(time.Unix(seconds, 0)).Abs(); away > window {
		return fmt.Errorf("%w: %s away, and %s are allowed; check the clocks", ErrStale, away.Round(time.Second), window)
	}
	return nil
}
