// Package llmtest is a server of language models for tests that answers, and
// misbehaves, as told; and a collection of the worst that a model can say.
package llmtest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"finobs/internal/redteam/hostile"
)

// Request is one that the server got.
type Request struct {
	Method, Path string
	Header       http.Header
	Body         []byte
}

// Messages are the texts of the request's messages by role, in OpenAI's,
// Anthropic's or Ollama's form.
func (r Request) Messages() []Message {
	var form struct {
		System   string `json:"system"`
		Messages []struct {
			Role    string          `json:"role"`
			Content json.RawMessage `json:"content"`
		} `json:"messages"`
	}
	if json.Unmarshal(r.Body, &form) != nil {
		return nil
	}
	var out []Message
	if form.System != "" {
		out = append(out, Message{"system", form.System})
	}
	for _, m := range form.Messages {
		out = append(out, Message{m.Role, hostile.TextOf(m.Content)})
	}
	return out
}

// Message is what one role said.
type Message struct{ Role, Text string }

// Reply answers one request.
type Reply func(w http.ResponseWriter, r Request)

// Server is a server on loopback that answers by a script, a reply for each
// request; the last one answers all that follow.
type Server struct {
	URL string // without a path

	script []Reply
	gone   chan struct{} // closed at the end, so that slow replies end
	mu     sync.Mutex
	got    []Request
}

// Start starts a server, which ends with the test.
func Start(t testing.TB, script ...Reply) *Server {
	t.Helper()
	if len(script) == 0 {
		t.Fatal("llmtest: the script is empty")
	}
	s := &Server{script: script, gone: make(chan struct{})}
	server := httptest.NewServer(http.HandlerFunc(s.serve))
	s.URL = server.URL
	t.Cleanup(func() {
		close(s.gone)
		server.CloseClientConnections()
		server.Close()
	})
	return s
}

// Requests are those that the server got so far.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.got...)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 8<<20))
	if err != nil {
		return
	}
	request := Request{r.Method, r.URL.Path, r.Header.Clone(), body}
	s.mu.Lock()
	reply := s.script[min(len(s.got), len(s.script)-1)]
	s.got = append(s.got, request)
	s.mu.Unlock()
	reply(&waiter{w, r, s.gone}, request)
}

// waiter lets a reply wait until the client or the test is gone.
type waiter struct {
	http.ResponseWriter
	r    *http.Request
	gone <-chan struct{}
}

// Unwrap serves http.ResponseController.
func (w *waiter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
