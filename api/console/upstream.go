package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// problem is an error of the API (RFC 9457): what is wrong, where, and how to mend
// it.
type problem struct {
	Type      string   `json:"type"`
	Title     string   `json:"title"`
	Status    int      `json:"status"`
	Detail    string   `json:"detail"`
	RequestID string   `json:"request_id"`
	Errors    []string `json:"errors"`
	Path      string   `json:"-"` // of the call that failed
}

// Error implements error.
func (p *problem) Error() string {
	return fmt.Sprintf("%d to %s: %s", p.Status, p.Path, p.Detail)
}

// Code is the stable name of the kind of problem.
func (p *problem) Code() string { return strings.TrimPrefix(p.Type, "urn:finobs:problem:") }

// More are the errors that the detail does not tell already.
func (p *problem) More() []string {
	var out []string
	for _, e := range p.Errors {
		if !strings.Contains(p.Detail, e) {
			out = append(out, e)
		}
	}
	return out
}

// maxAnswer bounds an answer of the API that is shown on a page.
const maxAnswer = 16 << 20 // bytes

// upstream calls the API as one person.
type upstream struct {
	transport http.RoundTripper
	requestID string // of the request to the console; the API's log has the same
}

// get reads an answer into into.
func (u upstream) get(ctx context.Context, path string, query url.Values, into any) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	_, err := u.call(ctx, http.MethodGet, path, nil, into)
	return err
}

// text reads an answer as it is.
func (u upstream) text(ctx context.Context, path string) (string, error) {
	var out bytes.Buffer
	_, err := u.call(ctx, http.MethodGet, path, nil, &out)
	return out.String(), err
}

// post sends a body as JSON, none when it is nil, and reads the answer into into
// unless that is nil. It returns the status of an answer that is no error.
func (u upstream) post(ctx context.Context, path string, body, into any) (int, error) {
	return u.call(ctx, http.MethodPost, path, body, into)
}

// call makes one call; an answer that says what is wrong is a *problem.
func (u upstream) call(ctx context.Context, method, path string, body, into any) (int, error) {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return 0, fmt.Errorf("calling the API: %w", err)
		}
		content = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://finobs"+path, content)
	if err != nil {
		return 0, fmt.Errorf("calling the API: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if u.requestID != "" {
		req.Header.Set("X-Request-Id", u.requestID)
	}
	res, err := u.transport.RoundTrip(req)
	if err != nil {
		return 0, fmt.Errorf("calling the API: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return 0, fmt.Errorf("reading the API's answer to %s: %w", path, err)
	}
	if len(text) > maxAnswer {
		return 0, fmt.Errorf("the API's answer to %s is over %d bytes", path, maxAnswer)
	}
	if res.StatusCode >= http.StatusBadRequest {
		return 0, readProblem(res, path, text)
	}
	if into == nil || len(text) == 0 {
		return res.StatusCode, nil
	}
	if raw, ok := into.(*bytes.Buffer); ok {
		raw.Write(text)
		return res.StatusCode, nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return 0, fmt.Errorf("reading the API's answer to %s: %w", path, err)
	}
	return res.StatusCode, nil
}

func readProblem(res *http.Response, path string, text []byte) *problem {
	p := &problem{}
	if json.Unmarshal(text, p) != nil || p.Status == 0 {
		p = &problem{Title: http.StatusText(res.StatusCode), Detail: "the API gave no reason", RequestID: res.Header.Get("X-Request-Id")}
	}
	p.Status, p.Path = res.StatusCode, path
	return p
}

// problemOf gives any error the form in which it is shown. What is no answer of the
// API stays in the log.
func (c *Console) problemOf(ctx context.Context, err error, requestID string) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	c.log.ErrorContext(ctx, "a page failed", "error", err, "request_id", requestID)
	return &problem{
		Type: "urn:finobs:problem:internal", Title: http.StatusText(http.StatusInternalServerError), Status: http.StatusInternalServerError,
		Detail: "finobs failed to make this page; the log has the reason under the request id", RequestID: requestID,
	}
}
