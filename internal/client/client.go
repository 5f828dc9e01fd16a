// Package client calls finobs' API. client.gen.go has a method for each route and is
// generated from the document that the server serves; this file has who calls, and
// errors that say why.
package client

//go:generate go run ./generate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"time"
)

// maxProblem is how much of an answer that is an error is read, in bytes.
const maxProblem = 1 << 20

// Doer sends requests, such as an *http.Client.
type Doer interface {
	Do(*http.Request) (*http.Response, error)
}

// Client calls the API as somebody. Its methods return an *Error when the API
// answers with a problem, and wait as long as their context and its Doer let them.
type Client struct {
	base, token string
	doer        Doer
}

// New returns a client of the API at base, such as "http://127.0.0.1:8080". The token
// is sent as a bearer's; without one, the Doer says who calls.
func New(base, token string, doer Doer) *Client {
	return &Client{strings.TrimSuffix(base, "/"), token, doer}
}

// Answer is what a route answered with.
type Answer[T any] struct {
	Status int // 200: done; 201: made; 202: accepted, and not done yet
	Header http.Header
	JSON   json.RawMessage // as it was sent
	Body   T               // the same, read
}

// Error is a problem that the API answered with (RFC 9457).
type Error struct {
	Problem
	Method, Path string
	Header       http.Header
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("the API answered %d to %s %s: %s", e.Status, e.Method, e.Path, e.Detail)
}

// Code is the stable name of the kind of problem, such as "not-permitted".
func (e *Error) Code() string { return strings.TrimPrefix(e.Type, "urn:finobs:problem:") }

// StatusOf is the HTTP status of an error that the API answered with, 0 of others.
func StatusOf(err error) int {
	var e *Error
	if errors.As(err, &e) {
		return int(e.Status)
	}
	return 0
}

// values are query parameters or headers; zero ones are not sent.
type values map[string]any

// request is what a generated method asks for.
type request struct {
	method, path  string
	query, header values
	json          any // sent as the body
	contentType   string
	body          io.Reader
}

// segment writes a parameter into a path.
func segment(v any) string { return url.PathEscape(fmt.Sprint(v)) }

// texts writes what is not zero.
func (v values) texts() url.Values {
	out := url.Values{}
	for name, value := range v {
		if reflect.ValueOf(value).IsZero() {
			continue
		}
		if at, ok := value.(time.Time); ok {
			value = at.Format(time.RFC3339Nano)
		}
		out.Set(name, fmt.Sprint(value))
	}
	return out
}

func (r request) build(ctx context.Context, c *Client) (*http.Request, error) {
	target := c.base + r.path
	if query := r.query.texts().Encode(); query != "" {
		target += "?" + query
	}
	if r.json != nil {
		text, err := json.Marshal(r.json)
		if err != nil {
			return nil, fmt.Errorf("encoding the body: %w", err)
		}
		r.contentType, r.body = "application/json", bytes.NewReader(text)
	}
	out, err := http.NewRequestWithContext(ctx, r.method, target, r.body)
	if err != nil {
		return nil, fmt.Errorf("calling the API: %w", err)
	}
	for name, value := range r.header.texts() {
		out.Header[http.CanonicalHeaderKey(name)] = value
	}
	if r.contentType != "" {
		out.Header.Set("Content-Type", r.contentType)
	}
	if c.token != "" {
		out.Header.Set("Authorization", "Bearer "+c.token)
	}
	return out, nil
}

// open makes a request and returns the answer, whose body the caller closes.
func open(ctx context.Context, c *Client, r request) (*http.Response, error) {
	req, err := r.build(ctx, c)
	if err != nil {
		return nil, err
	}
	res, err := c.doer.Do(req)
	if err != nil {
		return nil, fmt.Errorf("calling the API: %w", err)
	}
	if res.StatusCode/100 == 2 {
		return res, nil
	}
	defer res.Body.Close()
	e := &Error{Method: r.method, Path: r.path, Header: res.Header}
	text, err := io.ReadAll(io.LimitReader(res.Body, maxProblem))
	if err != nil || json.Unmarshal(text, &e.Problem) != nil || e.Detail == "" {
		e.Detail = "it sent no reason; is this the address of finobs api?"
	}
	e.Status = int64(res.StatusCode)
	return nil, e
}

// call makes a request and reads the answer.
func call[T any](ctx context.Context, c *Client, r request) (Answer[T], error) {
	res, err := open(ctx, c, r)
	if err != nil {
		return Answer[T]{}, err
	}
	defer res.Body.Close()
	out := Answer[T]{Status: res.StatusCode, Header: res.Header}
	if out.JSON, err = io.ReadAll(res.Body); err != nil {
		return out, fmt.Errorf("reading the answer to %s %s: %w", r.method, r.path, err)
	}
	if err := json.Unmarshal(out.JSON, &out.Body); err != nil {
		return out, fmt.Errorf("reading the answer to %s %s: %w", r.method, r.path, err)
	}
	return out, nil
}
