package llm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
)

// maxResponse bounds the body of an answer, in bytes.
const maxResponse = 256 << 10

// capture is what one call leaves behind. It travels with the context of the
// request.
type capture struct {
	used     bool
	exchange *Exchange
	err      error       // why no answer came, or why it was not passed on
	sent     atomic.Bool // bytes of the request left this process
}

type captureKey struct{}

// wire is the transport below the client of a provider. It adds the key, goes to
// one host alone, bounds and checks what comes back, and keeps both sides.
type wire struct {
	next     http.RoundTripper
	base     *url.URL
	provider Provider
	key      Secret
}

// RoundTrip implements http.RoundTripper. The whole body is read before it
// returns, so that it counts in the deadline of the call.
func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	c, ok := req.Context().Value(captureKey{}).(*capture)
	if !ok {
		return nil, errors.New("llm: a request that belongs to no call")
	}
	if c.used {
		c.err = errTwice
		return nil, c.err
	}
	c.used = true
	response, err := w.exchange(req, c)
	c.err = err
	return response, err
}

func (w *wire) exchange(req *http.Request, c *capture) (*http.Response, error) {
	if req.URL.Scheme != w.base.Scheme || req.URL.Host != w.base.Host {
		return nil, errOtherHost
	}
	x := c.exchange
	x.Method, x.Path = req.Method, req.URL.EscapedPath()
	body, err := io.ReadAll(req.Body)
	req.Body.Close()
	if err != nil {
		return nil, err
	}
	if w.key.in(string(body)) {
		return nil, errSecret
	}
	x.Request = body
	response, err := w.next.RoundTrip(w.outgoing(req, body, c))
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxResponse+1))
	if err != nil {
		return nil, err
	}
	if len(answer) > maxResponse {
		return nil, errTooLarge
	}
	retryAfter := response.Header.Get("Retry-After")
	if w.key.in(string(answer)) || w.key.in(retryAfter) {
		return nil, errSecret
	}
	x.Status, x.Response, x.RetryAfter = response.StatusCode, answer, retryAfter[:min(len(retryAfter), 100)]
	if x.Status == http.StatusOK {
		if err := strict(answer, maxWireDepth, w.key, w.provider == Ollama); errors.Is(err, errSecret) {
			x.Response = nil
			return nil, err
		} else if err != nil {
			return nil, fmt.Errorf("%w: %w", errEnvelope, err)
		}
	}
	// Nothing of the headers is passed on but the status: the clients need no more.
	return &http.Response{
		StatusCode: x.Status, Status: http.StatusText(x.Status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(answer)), ContentLength: int64(len(answer)), Request: req,
	}, nil
}

// outgoing is the request as it is sent: few headers, and the key in the
// provider's.
func (w *wire) outgoing(req *http.Request, body []byte, c *capture) *http.Request {
	trace := &httptrace.ClientTrace{WroteHeaders: func() { c.sent.Store(true) }}
	out := req.Clone(httptrace.WithClientTrace(req.Context(), trace))
	out.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}, "User-Agent": {"finobs"}}
	if version := req.Header.Get("Anthropic-Version"); version != "" {
		out.Header.Set("Anthropic-Version", version)
	}
	switch {
	case w.key.reveal() == "":
	case w.provider == Anthropic:
		out.Header.Set("X-Api-Key", w.key.reveal())
	default:
		out.Header.Set("Authorization", "Bearer "+w.key.reveal())
	}
	out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	out.GetBody = nil // no second try behind our back
	return out
}

func withCapture(ctx context.Context, c *capture) context.Context {
	return context.WithValue(ctx, captureKey{}, c)
}
