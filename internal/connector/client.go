package connector

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	"finobs/internal/action"
	"finobs/internal/approval"
	"finobs/internal/fault"
	"finobs/internal/outbound"
	"finobs/internal/plaintext"
)

// client speaks the protocol with one system.
type client struct {
	name        string
	base        *url.URL
	mode        approval.Mode
	token       []byte // nil: the certificate proves who asks
	http        *http.Client
	timeout     time.Duration
	maxResponse int64 // bytes
	now         func() time.Time
}

// Limits of lists.
const (
	pageSize = 500
	maxPages = 20
)

// reply is an answer that was read whole.
type reply struct {
	status      int
	contentType string
	body        []byte
}

// unsent is a request that the system did not read: no connection came about.
type unsent struct{ error }

// Unwrap gives errors.Is and errors.As the cause.
func (u unsent) Unwrap() error { return u.error }

// do sends a request. An error is unsent when there was no connection to write to
// (address forbidden, name not found, connection refused, TLS handshake) or the system
// refused our certificate; after any other the request may have arrived. A connection is used for one request, so that
// the transport has no reason to send one again by itself.
func (c *client) do(ctx context.Context, method string, at *url.URL, header http.Header, body []byte) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	req, err := http.NewRequestWithContext(ctx, method, at.String(), bytes.NewReader(body))
	if err != nil {
		return reply{}, unsent{err}
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("Accept", "application/json, application/problem+json")
	req.Header.Set("User-Agent", "finobs")
	req.Header.Set("Finobs-Mode", string(c.mode))
	if c.token != nil {
		req.Header.Set("Authorization", "Bearer "+string(c.token))
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if !connected.Load() || turnedAway(err) {
			return reply{}, unsent{err}
		}
		return reply{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, c.maxResponse+1))
	if err != nil {
		return reply{}, fmt.Errorf("reading the answer: %w", err)
	}
	if int64(len(text)) > c.maxResponse {
		return reply{}, fmt.Errorf("the answer is larger than %d bytes", c.maxResponse)
	}
	return reply{resp.StatusCode, resp.Header.Get("Content-Type"), text}, nil
}

// read gets what may be read again at will.
func (c *client) read(ctx context.Context, at *url.URL) (reply, error) {
	r, err := c.do(ctx, http.MethodGet, at, nil, nil)
	if err != nil {
		return reply{}, c.unavailable(err)
	}
	switch r.status {
	case http.StatusOK:
		return r, nil
	case http.StatusNotFound:
		return reply{}, fault.New(fault.NotFound, "connector.not-found", "connector %s has no such thing", c.name)
	case http.StatusUnauthorized, http.StatusForbidden:
		return reply{}, c.denied(r.status)
	}
	return reply{}, fault.New(fault.Unavailable, "connector.bad-answer", "connector %s answered %d to a read", c.name, r.status)
}

// denied is the fault of a request that the system does not take from us. Nothing was
// applied, and once somebody has mended the settings the same may be sent.
func (c *client) denied(status int) error {
	return fault.New(fault.Unavailable, "connector.denied", "connector %s answered %d; check its token_file, its certificate and its mode %s", c.name, status, c.mode)
}

// unavailable is the fault of a request that got no answer and that may be repeated.
func (c *client) unavailable(err error) error {
	cause := withoutURL(err)
	if outbound.Forbidden(err) {
		return fault.Wrap(cause, fault.Invalid, "connector.forbidden-address",
			"connector %s is at an address of this machine or of a private network; set allow_loopback or allow_private if that is meant", c.name)
	}
	switch {
	case turnedAway(err):
		return fault.Wrap(cause, fault.Unavailable, "connector.denied",
			"connector %s ended the TLS handshake; check cert_file and key_file: it wants a certificate that has not expired and is of an authority that it trusts", c.name)
	case untrusted(err):
		return fault.Wrap(cause, fault.Unavailable, "connector.untrusted",
			"connector %s shows a certificate that is not trusted, and nothing was sent; check ca_file, and the certificate's dates and names", c.name)
	}
	var before unsent
	if errors.As(err, &before) {
		return fault.Wrap(cause, fault.Unavailable, "connector.unreachable", "connector %s is not reached, and nothing was sent", c.name)
	}
	return fault.Wrap(cause, fault.Unavailable, "connector.no-answer", "connector %s gave no answer that could be read", c.name)
}

// withoutURL is the cause without the address, whose path may be a secret.
func withoutURL(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}

func (c *client) badAnswer(err error) error {
	return fault.Wrap(err, fault.Unavailable, "connector.bad-answer", "connector %s gave an answer that the protocol does not have", c.name)
}

func (c *client) object(ctx context.Context, kind, id string) (action.Object, error) {
	r, err := c.read(ctx, c.base.JoinPath("v1", "objects", kind, id))
	if err != nil {
		return action.Object{}, err
	}
	o, err := decodeObject(r.body, kind, id)
	if err != nil {
		return action.Object{}, c.badAnswer(err)
	}
	return o, nil
}

func (c *client) list(ctx context.Context, kind string) ([]action.Object, error) {
	var out []action.Object
	after := ""
	for range maxPages {
		at := c.base.JoinPath("v1", "objects", kind)
		at.RawQuery = url.Values{"limit": {fmt.Sprint(pageSize)}, "after": {after}}.Encode()
		r, err := c.read(ctx, at)
		if err != nil {
			return nil, err
		}
		p, err := decodePage(r.body, kind, after)
		if err != nil {
			return nil, c.badAnswer(err)
		}
		out = append(out, p.Objects...)
		if p.Next == "" {
			return out, nil
		}
		after = p.Next
	}
	return nil, fault.New(fault.TooLarge, "connector.too-many", "connector %s has more objects of kind %s than the %d that are listed", c.name, kind, pageSize*maxPages)
}

func (c *client) lookup(ctx context.Context, kind, key string) (Outcome, error) {
	r, err := c.read(ctx, c.base.JoinPath("v1", "effects", key))
	if err != nil {
		if fault.KindOf(err) == fault.NotFound { // absence is said with 200: this may be a proxy that has no such path
			return Outcome{}, c.badAnswer(err)
		}
		return Outcome{}, err
	}
	out, err := decodeEffect(r.body, kind, key)
	if err != nil {
		return Outcome{}, c.badAnswer(err)
	}
	return out, nil
}

// command is what is sent.
type command struct {
	Action     string            `json:"action"`
	Target     approval.Target   `json:"target"`
	Parameters map[string]string `json:"parameters"`
}

func (c *client) apply(ctx context.Context, key string, cmd action.Command, target approval.Target) (Outcome, error) {
	parameters := cmd.Parameters
	if parameters == nil {
		parameters = map[string]string{}
	}
	body, err := json.Marshal(command{cmd.Action, target, parameters})
	if err != nil {
		return Outcome{}, fault.Wrap(err, fault.Internal, "connector.encoding", "the command could not be written")
	}
	until := c.now().Add(c.timeout)
	r, err := c.do(ctx, http.MethodPost, c.base.JoinPath("v1", "commands"), http.Header{
		"Content-Type":    {"application/json"},
		"Idempotency-Key": {key},
		"Apply-Before":    {until.UTC().Format(time.RFC3339Nano)},
	}, body)
	var before unsent
	switch {
	case errors.As(err, &before):
		return Outcome{}, c.unavailable(err)
	case err != nil:
		return c.unknown(CodeNoAnswer, withoutURL(err), until), nil
	}
	return c.judge(r, target, until)
}

// judge reads the outcome from an answer. Only a refusal in the protocol's own form
// proves that nothing was applied; a proxy's page does not.
func (c *client) judge(r reply, target approval.Target, until time.Time) (Outcome, error) {
	switch r.status {
	case http.StatusOK:
		out, err := decodeApplied(r.body, target)
		if err != nil {
			return c.unknown(CodeBadAnswer, err, until), nil
		}
		return out, nil
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusConflict,
		http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity, http.StatusTooManyRequests:
		p, err := decodeProblem(r.contentType, r.body, r.status)
		if err != nil {
			return c.unknown(CodeBadAnswer, err, until), nil
		}
		return c.refused(r.status, p)
	}
	return c.unknown(CodeBadAnswer, fmt.Errorf("it answered %d", r.status), until), nil
}

// refused tells what is final from what may pass.
func (c *client) refused(status int, p problem) (Outcome, error) {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return Outcome{}, c.denied(status)
	case http.StatusTooManyRequests:
		return Outcome{}, fault.New(fault.Unavailable, "connector.busy", "connector %s takes no more commands now, and applied nothing: %s", c.name, p.Detail)
	}
	return Outcome{Status: Failed, Code: p.Code, Reason: p.Detail}, nil
}

func (c *client) unknown(code string, cause error, until time.Time) Outcome {
	return Outcome{Status: Unknown, Code: code, Reason: plaintext.Line("connector "+c.name+": "+cause.Error(), maxReason), Until: until}
}
