package siem

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"finobs/internal/canonical"

	"finobs/internal/outbound"
)

// Headers of a batch.
const (
	HeaderFrom           = "X-Finobs-From" // first index
	HeaderTo             = "X-Finobs-To"   // last index
	HeaderDigest         = "X-Finobs-Digest"
	HeaderIdempotencyKey = "Idempotency-Key"
)

// Limits and defaults of an HTTPS sink.
const (
	defaultTimeout = 30 * time.Second
	maxTimeout     = 5 * time.Minute
	maxBatch       = 5000    // leaves
	maxBody        = 4 << 20 // bytes; one leaf always fits
	maxAnswer      = 4 << 10 // bytes of an answer that are read, and thrown away
)

// httpsEntry is the YAML form of an HTTPS sink.
type httpsEntry struct {
	URL          string        `yaml:"url"`
	TokenFile    string        `yaml:"token_file"` // a bearer token, mode 0600
	CAFile       string        `yaml:"ca_file"`    // in place of the system's
	AllowPrivate bool          `yaml:"allow_private"`
	Batch        int           `yaml:"batch"` // leaves in one request; 500 when 0
	Timeout      time.Duration `yaml:"timeout"`
}

// poster is a collector that acknowledges batches over HTTPS.
type poster struct {
	label  string
	url    *url.URL
	token  string
	batch  int
	client *http.Client
}

// tokenForm is the b64token of RFC 6750 section 2.1.
var tokenForm = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`)

func (e *httpsEntry) open(name, dir string) (sink, error) {
	u, err := outbound.ParseURL(e.URL, e.AllowPrivate, "use token_file")
	if err != nil {
		return nil, fmt.Errorf("https.url: %w", err)
	}
	if e.Batch < 0 || e.Batch > maxBatch {
		return nil, fmt.Errorf("https.batch %d: want up to %d leaves", e.Batch, maxBatch)
	}
	if e.Timeout != 0 && (e.Timeout < time.Millisecond || e.Timeout > maxTimeout) {
		return nil, fmt.Errorf("https.timeout: %s: want up to %s", e.Timeout, maxTimeout)
	}
	if e.TokenFile == "" {
		return nil, errors.New("https.token_file is missing; it holds the bearer token that the collector expects, mode 0600")
	}
	token, err := outbound.ReadSecret(outbound.Within(dir, e.TokenFile))
	if err != nil {
		return nil, fmt.Errorf("https.token_file: %w", err)
	}
	if !tokenForm.Match(token) {
		return nil, fmt.Errorf("https.token_file: %s holds no bearer token: want one line of letters, digits and -._~+/=", e.TokenFile)
	}
	roots, err := readRoots(dir, e.CAFile)
	if err != nil {
		return nil, fmt.Errorf("https.ca_file: %w", err)
	}
	p := &poster{label: name, url: u, token: string(token), batch: e.Batch}
	timeout := e.Timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	p.client = outbound.Client{Roots: roots, AllowPrivate: e.AllowPrivate, Timeout: timeout, KeepAlive: true}.Open()
	return p, nil
}

func (p *poster) name() string { return p.label }
func (p *poster) lossy() bool  { return false }

func (p *poster) run(l *lane) {
	defer p.client.CloseIdleConnections()
	limit := l.feeder.batch()
	if p.batch > 0 {
		limit = p.batch
	}
	l.batches(limit, func(events []Event) (int, error) {
		body, n, trouble := lines(events)
		if n == 0 {
			return 0, trouble
		}
		err := p.post(l.ctx, events[0].Index, events[n-1].Index, body)
		l.connected(err == nil)
		if err != nil {
			return 0, err
		}
		return n, trouble
	})
}

// lines returns the body of a request and how many of the events are in it. A leaf
// that is not canonical JSON, which has no line breaks, could pass for several
// lines; it is an error, and the events in front of it are in the body.
func lines(events []Event) ([]byte, int, error) {
	var body []byte
	for i, e := range events {
		const around = len(`{"index":"","leaf_sha256":"","leaf":}`) + 20 + 64 + 1 // with a large index and a line feed
		if i > 0 && len(body)+len(e.Leaf)+around > maxBody {
			return body, i, nil
		}
		if _, err := canonical.Parse(e.Leaf); err != nil {
			return body, i, fmt.Errorf("leaf %d: %w", e.Index, err)
		}
		body = append(body, `{"index":"`...)
		body = strconv.AppendInt(body, e.Index, 10)
		body = append(body, `","leaf_sha256":"`...)
		body = hex.AppendEncode(body, e.SHA256[:])
		body = append(body, `","leaf":`...)
		body = append(body, e.Leaf...)
		body = append(body, '}', '\n')
	}
	return body, len(events), nil
}

func (p *poster) post(ctx context.Context, from, to int64, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url.String(), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("preparing the request: %w", err)
	}
	sum := sha256.Sum256(body)
	digest := hex.EncodeToString(sum[:])
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("User-Agent", "finobs")
	req.Header.Set("Authorization", "Bearer "+p.token)
	req.Header.Set(HeaderFrom, strconv.FormatInt(from, 10))
	req.Header.Set(HeaderTo, strconv.FormatInt(to, 10))
	req.Header.Set(HeaderDigest, "sha256:"+digest)
	req.Header.Set(HeaderIdempotencyKey, fmt.Sprintf("%d..%d..%s", from, to, digest))
	resp, err := p.client.Do(req)
	if err != nil {
		return p.unanswered(err)
	}
	defer resp.Body.Close()
	// The status is the answer. What follows cannot change it, so an error in it
	// is none of ours.
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer)
	switch code := resp.StatusCode; {
	case code >= 200 && code <= 299:
		return nil
	case code >= 300 && code <= 399:
		return fmt.Errorf("%s answered %s; redirects are not followed: put the final address into url", p.url.Host, resp.Status)
	case code == http.StatusRequestEntityTooLarge:
		return fmt.Errorf("%s answered %s; set a smaller batch", p.url.Host, resp.Status)
	default:
		return fmt.Errorf("%s answered %s", p.url.Host, resp.Status)
	}
}

func (p *poster) unanswered(err error) error {
	// The address with its path and query may be a secret of the collector's.
	var of *url.Error
	if errors.As(err, &of) {
		err = of.Err
	}
	if outbound.Forbidden(err) {
		return fmt.Errorf("%s is at an address of this machine or a private network; set allow_private: true if that is meant: %w", p.url.Host, err)
	}
	return fmt.Errorf("%s did not answer: %w", p.url.Host, err)
}
