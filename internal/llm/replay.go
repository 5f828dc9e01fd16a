package llm

import (
	"bytes"
	"crypto/sha256"
	"io"
	"net/http"
	"sync"

	"finobs/internal/fault"
)

// Replay answers requests from recorded exchanges alone. A request that is not in
// the record is an error of code CodeReplayMiss; nothing ever goes to a network.
type Replay struct {
	mu      sync.Mutex
	answers map[[sha256.Size]byte][]Exchange // in the order of the record
}

// NewReplay makes a Replay of exchanges in the order in which they happened.
func NewReplay(exchanges []Exchange) *Replay {
	r := &Replay{answers: map[[sha256.Size]byte][]Exchange{}}
	for _, x := range exchanges {
		key := requestKey(x.Method, x.Path, x.Request)
		r.answers[key] = append(r.answers[key], x)
	}
	return r
}

// requestKey is by what a recorded answer is found.
func requestKey(method, path string, body []byte) [sha256.Size]byte {
	return sha256.Sum256(bytes.Join([][]byte{[]byte(method), []byte(path), body}, []byte{'\n'}))
}

// RoundTrip implements http.RoundTripper. Each recorded exchange answers once; a
// call that failed in the record fails in the same way.
func (r *Replay) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	req.Body.Close()
	if err != nil {
		return nil, err
	}
	key := requestKey(req.Method, req.URL.EscapedPath(), body)
	r.mu.Lock()
	defer r.mu.Unlock()
	left := r.answers[key]
	if len(left) == 0 {
		return nil, fault.New(fault.NotFound, CodeReplayMiss,
			"the record has no answer to this request of %d bytes, SHA-256 %s: evidence, marker, time, model or instructions are not those of the record", len(body), digest(body))
	}
	x := left[0]
	r.answers[key] = left[1:]
	if x.Response == nil {
		return nil, fault.New(kindOf(x.Outcome), x.Outcome, "the recorded call ended so")
	}
	return &http.Response{
		StatusCode: x.Status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{"Retry-After": {x.RetryAfter}},
		Body: io.NopCloser(bytes.NewReader(x.Response)), ContentLength: int64(len(x.Response)), Request: req,
	}, nil
}

// kindOf is the kind of fault that goes with a code.
func kindOf(code string) fault.Kind {
	switch code {
	case CodeUnavailable, CodeTimeout, CodeCircuitOpen:
		return fault.Unavailable
	case CodeTooLarge:
		return fault.TooLarge
	case CodeOverBudget:
		return fault.Conflict
	}
	return fault.Invalid
}
