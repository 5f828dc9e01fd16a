package sandbox

import (
	"cmp"
	"errors"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Limits of a list.
const (
	defaultPage = 100
	maxPage     = 500
)

func (s *Server) object(w http.ResponseWriter, r *http.Request) {
	s.world.mu.Lock()
	err := s.world.advance()
	o, there := s.world.objects[ref{r.PathValue("kind"), r.PathValue("id")}]
	s.world.mu.Unlock()
	switch {
	case err != nil:
		broken(w, err)
	case !there:
		problem(w, refusal{Status: http.StatusNotFound, Code: "not_found", Detail: "there is no such object"})
	default:
		answer(w, o.Object)
	}
}

// list pages through the objects of a kind by id. Every other parameter of the
// query is a field that must have the value.
func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	limit := defaultPage
	if text := query.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxPage {
			problem(w, refusal{Status: http.StatusBadRequest, Code: "invalid", Detail: "limit must be 1 to " + strconv.Itoa(maxPage)})
			return
		}
		limit = n
	}
	after := query.Get("after")
	query.Del("limit")
	query.Del("after")
	s.world.mu.Lock()
	err := s.world.advance()
	found := []Object{}
	for _, o := range s.world.objects {
		if o.Kind == r.PathValue("kind") && o.ID > after && o.has(query) {
			found = append(found, o.Object)
		}
	}
	s.world.mu.Unlock()
	if err != nil {
		broken(w, err)
		return
	}
	slices.SortFunc(found, func(a, b Object) int { return cmp.Compare(a.ID, b.ID) })
	next := ""
	if len(found) > limit {
		found = found[:limit]
		next = found[limit-1].ID
	}
	answer(w, map[string]any{"objects": found, "next": next})
}

func (h *held) has(fields map[string][]string) bool {
	for name, values := range fields {
		if !slices.Contains(values, h.Fields[name]) {
			return false
		}
	}
	return true
}

func (s *Server) command(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Idempotency-Key")
	if !keyPattern.MatchString(key) {
		problem(w, refusal{Status: http.StatusBadRequest, Code: "invalid", Detail: "Idempotency-Key must be 1 to 128 letters, digits, '_', '.', ':' and '-'"})
		return
	}
	var before time.Time
	if text := r.Header.Get("Apply-Before"); text != "" {
		var err error
		if before, err = time.Parse(time.RFC3339Nano, text); err != nil {
			problem(w, refusal{Status: http.StatusBadRequest, Code: "invalid", Detail: "Apply-Before is no time of RFC 3339"})
			return
		}
	}
	var c Command
	if !read(w, r, &c) {
		return
	}
	s.flying(key, 1)
	defer s.flying(key, -1)
	f := s.faults.take()
	if s.failBefore(w, r, f) {
		return
	}
	e, err := s.world.apply(key, c, before)
	if s.failAfter(w, r, f) {
		return
	}
	switch {
	case errors.Is(err, errKeyReuse):
		problem(w, refusal{Status: http.StatusConflict, Code: "key_reused", Detail: errKeyReuse.Error()})
	case err != nil:
		broken(w, err)
	case e.Object == nil:
		problem(w, e.Refused)
	default:
		answer(w, map[string]any{"effect_id": e.ID, "status": "applied", "object": e.Object})
	}
}

// flying counts the requests of a key that are not decided yet.
func (s *Server) flying(key string, more int) {
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	s.world.inFlight[key] += more
	if s.world.inFlight[key] == 0 {
		delete(s.world.inFlight, key)
	}
}

// failBefore lets a command go wrong before its effect; true when it ends there.
func (s *Server) failBefore(w http.ResponseWriter, r *http.Request, f planned) bool {
	switch f.fault {
	case HangBefore:
		if f.delay == 0 {
			<-r.Context().Done()
			return true
		}
		time.Sleep(f.delay) // whether the caller is still there or not
	case FailBefore:
		broken(w, errors.New("told to fail before the effect"))
		return true
	case DropBefore:
		drop(w)
		return true
	case LieBefore:
		garbage(w)
		return true
	case Redirect:
		http.Redirect(w, r, "/v1/effects", http.StatusTemporaryRedirect)
		return true
	case Slow:
		time.Sleep(f.delay)
	case NoRecovery:
		s.world.mu.Lock()
		s.world.badEnds++
		s.world.mu.Unlock()
	case HangAfter, FailAfter, DropAfter, Lie, Endless: // after the effect
	}
	return false
}

// failAfter lets a command go wrong after its effect; true when it has ended.
func (s *Server) failAfter(w http.ResponseWriter, r *http.Request, f planned) bool {
	switch f.fault {
	case HangAfter:
		if f.delay == 0 {
			<-r.Context().Done()
			return true
		}
		time.Sleep(f.delay)
		return false
	case FailAfter:
		broken(w, errors.New("told to fail after the effect"))
	case DropAfter:
		drop(w)
	case Lie:
		garbage(w)
	case Endless:
		endless(w, r)
	default: // before the effect, or none
		return false
	}
	return true
}

func garbage(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"effect_id":"","status":"applied","object":{"kind":"moon"`))
}

func endless(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	chunk := make([]byte, 32<<10)
	for i := range chunk {
		chunk[i] = ' '
	}
	for r.Context().Err() == nil {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

// drop resets the connection, without an answer.
func drop(w http.ResponseWriter) {
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	conn, _, err := hijacker.Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // the close that follows sends RST
	}
	_ = conn.Close()
}

// effect says what became of the command of a key.
func (s *Server) effect(w http.ResponseWriter, r *http.Request) {
	key := r.PathValue("key")
	s.world.mu.Lock()
	err := s.world.advance()
	e, known := s.world.effects[key]
	flying := s.world.inFlight[key] > 0
	s.world.mu.Unlock()
	switch {
	case err != nil:
		broken(w, err)
	case known:
		answer(w, e.shown())
	case flying:
		answer(w, map[string]any{"key": key, "status": "pending"})
	default:
		answer(w, map[string]any{"key": key, "status": "absent"})
	}
}

func (e *effect) shown() map[string]any {
	out := map[string]any{"key": e.Key, "action": e.Command.Action, "target": e.Command.Target, "effect_id": e.ID, "applications": e.Applications}
	if e.Object != nil {
		out["status"], out["object"] = "applied", e.Object
	} else {
		out["status"], out["code"], out["reason"] = "refused", e.Refused.Code, e.Refused.Detail
	}
	return out
}

func (s *Server) effects(w http.ResponseWriter, _ *http.Request) {
	s.world.mu.Lock()
	all := slices.SortedFunc(maps.Values(s.world.effects), func(a, b *effect) int { return cmp.Compare(a.ID, b.ID) })
	s.world.mu.Unlock()
	out := make([]map[string]any, 0, len(all))
	for _, e := range all {
		out = append(out, e.shown())
	}
	answer(w, map[string]any{"effects": out})
}

func (s *Server) addFaults(w http.ResponseWriter, r *http.Request) {
	var o order
	if !read(w, r, &o) {
		return
	}
	more, err := o.read()
	if err != nil {
		problem(w, refusal{Status: http.StatusUnprocessableEntity, Code: "refused", Detail: err.Error()})
		return
	}
	s.faults.add(more)
	answer(w, map[string]any{"fault": o.Fault, "added": len(more)})
}

func (s *Server) clearFaults(w http.ResponseWriter, _ *http.Request) {
	s.faults.clear()
	w.WriteHeader(http.StatusNoContent)
}
