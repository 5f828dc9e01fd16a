package notify

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"finobs/internal/outbound"
	"finobs/internal/plaintext"
)

// maxAnswer is how much of an answer's body is read, and thrown away.
const maxAnswer = 4 << 10

// webhook is a Channel that posts to one URL.
type webhook struct {
	url    *url.URL
	secret []byte
	client *http.Client
	now    func() time.Time
}

// webhookBody is what is posted. The order of its fields is the order in the
// JSON, and keys of data are sorted, so a repetition has the same bytes.
type webhookBody struct {
	ID      string            `json:"id"`
	Kind    string            `json:"kind"`
	At      string            `json:"at"`
	Subject string            `json:"subject"`
	Text    string            `json:"text"`
	URL     string            `json:"url,omitempty"`
	To      []webhookPerson   `json:"to"`
	Data    map[string]string `json:"data"`
}

type webhookPerson struct {
	Name  string `json:"name,omitempty"`
	Email string `json:"email,omitempty"`
}

func newWebhook(u *url.URL, secret []byte, roots *x509.CertPool, allowPrivate bool, timeout time.Duration, now func() time.Time) *webhook {
	client := outbound.Client{Roots: roots, AllowPrivate: allowPrivate, Timeout: timeout} // messages are rare
	return &webhook{url: u, secret: secret, now: now, client: client.Open()}
}

// Send implements Channel. A repetition does no harm, because the receiver knows
// it by its Idempotency-Key: so whatever may pass is NotSent, never Unknown.
func (w *webhook) Send(ctx context.Context, m Message) (Receipt, error) {
	if err := m.check(); err != nil {
		return Receipt{}, err
	}
	body, err := json.Marshal(bodyOf(m))
	if err != nil {
		return Receipt{}, refused(err, "writing the message as JSON: %v", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url.String(), bytes.NewReader(body))
	if err != nil {
		return Receipt{}, refused(err, "preparing the request: %v", err)
	}
	timestamp := strconv.FormatInt(w.now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "finobs")
	req.Header.Set(HeaderIdempotencyKey, m.ID)
	req.Header.Set(HeaderTimestamp, timestamp)
	req.Header.Set(HeaderSignature, Sign(w.secret, timestamp, body))
	resp, err := w.client.Do(req)
	if err != nil {
		return Receipt{}, w.unanswered(err)
	}
	defer resp.Body.Close()
	// The status is the answer. What follows cannot change it, so an error in
	// it is none of ours.
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer)
	return w.answered(resp)
}

func bodyOf(m Message) webhookBody {
	b := webhookBody{
		ID: m.ID, Kind: m.Kind, At: m.At.UTC().Format(time.RFC3339Nano), Subject: plaintext.Line(m.Subject, maxSubject),
		Text: plaintext.Lines(m.Text), URL: m.URL, To: []webhookPerson{}, Data: m.Data,
	}
	if b.Data == nil {
		b.Data = map[string]string{}
	}
	for _, to := range m.To {
		b.To = append(b.To, webhookPerson{Name: plaintext.Line(to.Name, maxName), Email: to.Email})
	}
	return b
}

// unanswered classifies a request that got no answer.
func (w *webhook) unanswered(err error) *Error {
	// The address with its path and query may be a secret of the receiver's.
	cause := err
	var of *url.Error
	if errors.As(err, &of) {
		cause = of.Err
	}
	if outbound.Forbidden(err) {
		return refused(cause, "%s is at an address of this machine or a private network (%v); set allow_private: true for the channel if that is meant", w.url.Host, cause)
	}
	return failed(NotSent, cause, "%s did not answer: %v", w.url.Host, cause)
}

// answered classifies an answer by its status.
func (w *webhook) answered(resp *http.Response) (Receipt, error) {
	code := resp.StatusCode
	switch {
	case code >= 200 && code <= 299:
		return Receipt{Ref: plaintext.Line(resp.Status, maxDetail), Recipients: 1}, nil
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests, code >= 500:
		return Receipt{}, failed(NotSent, nil, "%s answered %s", w.url.Host, resp.Status)
	case code >= 300 && code <= 399:
		return Receipt{}, refused(nil, "%s answered %s; redirects are not followed: put the final address into url", w.url.Host, resp.Status)
	}
	return Receipt{}, refused(nil, "%s answered %s; check url and secret_file of the channel", w.url.Host, resp.Status)
}
