// Package vaulttest is a server that speaks the part of Vault's HTTP API that
// finobs uses, for tests: transit keys of type ed25519, with the paths, bodies
// and statuses of Vault 1.21. It can be told to misbehave.
package vaulttest

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// FirstToken is the token that a new server knows and that its file holds.
const FirstToken = "hvs.first-token-of-the-test" //nolint:gosec // it opens nothing but this server

// Fault is a way to misbehave.
type Fault int

// The faults. Those of answers to sign leave the reading of keys alone.
const (
	None          Fault = iota
	WrongVersion        // sign with the version before or after the one asked for
	WrongKey            // sign with a key of nobody, under the right version
	Garbage             // a signature of 64 random bytes
	Short               // a signature of 63 bytes
	BadPrefix           // a signature that does not begin with vault:
	NullSignature       // no signature in the data
	PEMKey              // public keys as PEM
	Slow                // no answer until the client goes away
	Huge                // two megabytes
	Redirect            // 307 to /elsewhere, where the request would be recorded
	NotJSON             // a page for people
	Echo                // 500, with the token in the error
)

// Server is a fake Vault.
type Server struct {
	URL       string
	TokenFile string // holds the token, mode 0600
	CAFile    string // certificate in PEM, of servers with TLS

	tb testing.TB
	mu sync.Mutex

	token     string
	namespace string
	sealed    bool
	fault     Fault
	requests  int
	leaked    bool // a redirect was followed
	keys      map[string]*key
}

// New starts a server on this machine, over plain HTTP.
func New(tb testing.TB) *Server {
	s := prepare(tb)
	server := httptest.NewServer(s)
	tb.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

// NewTLS starts a server on this machine, over TLS.
func NewTLS(tb testing.TB) *Server {
	s := prepare(tb)
	server := httptest.NewTLSServer(s)
	tb.Cleanup(server.Close)
	s.URL = server.URL
	s.CAFile = filepath.Join(tb.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(s.CAFile, text, 0o600); err != nil {
		tb.Fatal(err)
	}
	return s
}

func prepare(tb testing.TB) *Server {
	s := &Server{tb: tb, keys: map[string]*key{}, TokenFile: filepath.Join(tb.TempDir(), "token")}
	s.SetToken(FirstToken)
	s.WriteToken(FirstToken)
	return s
}

// Ref is a reference to the key name for package vault. Further parameters are
// of the form name=value.
func (s *Server) Ref(name string, parameters ...string) string {
	values := url.Values{"token_file": {s.TokenFile}}
	if s.CAFile != "" {
		values.Set("ca_file", s.CAFile)
	}
	for _, parameter := range parameters {
		name, value, _ := strings.Cut(parameter, "=")
		values.Set(name, value)
	}
	return "vault+" + s.URL + "/transit/keys/" + name + "?" + values.Encode()
}

// SetToken changes the one token that the server knows.
func (s *Server) SetToken(token string) { s.with(func() { s.token = token }) }

// SetNamespace puts the transit engine into a namespace.
func (s *Server) SetNamespace(namespace string) { s.with(func() { s.namespace = namespace }) }

// Seal seals or unseals.
func (s *Server) Seal(sealed bool) { s.with(func() { s.sealed = sealed }) }

// Misbehave does so until told None.
func (s *Server) Misbehave(fault Fault) { s.with(func() { s.fault = fault }) }

// Requests is how many requests came in.
func (s *Server) Requests() (n int) {
	s.with(func() { n = s.requests })
	return n
}

// Leaked reports whether a client followed a redirect.
func (s *Server) Leaked() (leaked bool) {
	s.with(func() { leaked = s.leaked })
	return leaked
}

// WriteToken writes the file that clients read, as an agent does: a new file in
// the place of the old.
func (s *Server) WriteToken(token string) {
	s.tb.Helper()
	temporary := s.TokenFile + ".new"
	if err := os.WriteFile(temporary, []byte(token+"\n"), 0o600); err != nil {
		s.tb.Fatal(err)
	}
	if err := os.Rename(temporary, s.TokenFile); err != nil {
		s.tb.Fatal(err)
	}
}

func (s *Server) with(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests++
	fault := s.fault
	if r.URL.Path == "/elsewhere" {
		s.leaked = true
	}
	s.mu.Unlock()
	switch fault {
	case Slow:
		_, _ = io.Copy(io.Discard, r.Body) // net/http sees the client go only afterwards
		<-r.Context().Done()
		return
	case Huge:
		_, _ = w.Write([]byte(`{"data":"` + strings.Repeat("x", 2<<20) + `"}`))
		return
	case Redirect:
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		return
	case NotJSON:
		_, _ = w.Write([]byte("<html>Welcome</html>"))
		return
	case Echo:
		fail(w, http.StatusInternalServerError, "bad token "+r.Header.Get("X-Vault-Token"))
		return
	default:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer(w, r)
}

// answer checks what Vault checks before an engine sees the request.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	path, ok := strings.CutPrefix(r.URL.Path, "/v1/")
	switch {
	case r.Header.Get("X-Vault-Request") != "true":
		fail(w, http.StatusPreconditionFailed, "missing 'X-Vault-Request' header")
	case s.sealed:
		fail(w, http.StatusServiceUnavailable, "Vault is sealed")
	case r.Header.Get("X-Vault-Token") != s.token:
		fail(w, http.StatusForbidden, "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n")
	case r.Header.Get("X-Vault-Namespace") != s.namespace:
		fail(w, http.StatusForbidden, "1 error occurred:\n\t* permission denied\n\n")
	case !ok || !strings.HasPrefix(path, "transit/"):
		fail(w, http.StatusNotFound, `no handler for route "`+path+`". route entry not found.`)
	default:
		s.transit(w, r, strings.Split(strings.TrimPrefix(path, "transit/"), "/"))
	}
}

// fail answers as Vault does; without messages the array is empty, as for a key
// that is not there.
func fail(w http.ResponseWriter, status int, messages ...string) {
	if messages == nil {
		messages = []string{}
	}
	write(w, status, map[string]any{"errors": messages})
}

func succeed(w http.ResponseWriter, data map[string]any) {
	write(w, http.StatusOK, map[string]any{
		"request_id": "7b7c7e4e-0c5f-4b8f-9d0a-000000000000", "lease_id": "", "renewable": false, "lease_duration": 0,
		"data": data, "wrap_info": nil, "warnings": nil, "auth": nil, "mount_type": "transit",
	})
}

func write(w http.ResponseWriter, status int, body map[string]any) {
	text, err := json.Marshal(body)
	if err != nil {
		panic(errors.Join(errors.New("vaulttest: an answer is no JSON"), err))
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n'))
}
