package sandbox

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// Config says what a sandbox is.
type Config struct {
	Token    []byte           // bearer token that every request must bring
	Mode     string           // live or simulation: requests for the other are refused
	State    string           // file of the durable state; "" keeps none
	Seed     []Object         // objects of a state that is empty; see DefaultSeed
	Recovery time.Duration    // how long a restart, a switch, a settlement and so on take
	Now      func() time.Time // the clock
}

// minToken is the least length of a token, in bytes.
const minToken = 16

// Server serves the protocol over one desk.
type Server struct {
	world  *world
	faults faults
	token  [sha256.Size]byte
	mode   string
	mux    *http.ServeMux
}

// Open reads the state, or seeds it, and returns a server that is ready. Close it.
func Open(c Config) (*Server, error) {
	switch {
	case len(c.Token) < minToken:
		return nil, fmt.Errorf("the token has %d bytes and needs at least %d; make one: openssl rand -hex 32", len(c.Token), minToken)
	case c.Mode != "live" && c.Mode != "simulation":
		return nil, fmt.Errorf("mode %q must be live or simulation", c.Mode)
	case c.Recovery < 0:
		return nil, fmt.Errorf("recovery %s must not be below 0", c.Recovery)
	}
	w, err := openWorld(c.State, c.Seed, c.Recovery, c.Now)
	if err != nil {
		return nil, err
	}
	s := &Server{world: w, token: sha256.Sum256(c.Token), mode: c.Mode, mux: http.NewServeMux()}
	s.mux.HandleFunc("GET /v1/objects/{kind}/{id}", s.object)
	s.mux.HandleFunc("GET /v1/objects/{kind}", s.list)
	s.mux.HandleFunc("POST /v1/commands", s.command)
	s.mux.HandleFunc("GET /v1/effects/{key}", s.effect)
	s.mux.HandleFunc("GET /v1/effects", s.effects)
	s.mux.HandleFunc("POST /v1/faults", s.addFaults)
	s.mux.HandleFunc("DELETE /v1/faults", s.clearFaults)
	return s, nil
}

// Close ends the writing of state. Requests after it fail.
func (s *Server) Close() error {
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	s.world.broken = errors.New("the sandbox is closed")
	return s.world.journal.close()
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	bearer, isBearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	sum := sha256.Sum256([]byte(bearer))
	if !isBearer || subtle.ConstantTimeCompare(sum[:], s.token[:]) != 1 {
		problem(w, refusal{Status: http.StatusUnauthorized, Code: "unauthenticated", Detail: "bring the token: Authorization: Bearer ..."})
		return
	}
	if mode := r.Header.Get("Finobs-Mode"); mode != "" && mode != s.mode {
		problem(w, refusal{Status: http.StatusForbidden, Code: "wrong_mode", Detail: "this system is for " + s.mode})
		return
	}
	s.mux.ServeHTTP(w, r)
}

// problem answers by RFC 9457.
func problem(w http.ResponseWriter, r refusal) {
	w.Header().Set("Content-Type", "application/problem+json")
	body := map[string]any{"type": "about:blank", "title": http.StatusText(r.Status), "status": r.Status, "code": r.Code, "detail": r.Detail}
	if r.Current != "" {
		body["current_version"] = r.Current
	}
	write(w, r.Status, body)
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	write(w, http.StatusOK, body)
}

func write(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // a caller that left needs no answer
}

func broken(w http.ResponseWriter, err error) {
	problem(w, refusal{Status: http.StatusInternalServerError, Code: "internal", Detail: err.Error()})
}

// maxBody bounds a request, in bytes.
const maxBody = 64 << 10

// read decodes a body strictly; false when it has answered.
func read(w http.ResponseWriter, r *http.Request, into any) bool {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	if err == nil {
		if _, more := decoder.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the object")
		}
	}
	if err != nil {
		problem(w, refusal{Status: http.StatusBadRequest, Code: "invalid", Detail: "the body is not as it must be: " + err.Error()})
		return false
	}
	return true
}

var keyPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$`)
