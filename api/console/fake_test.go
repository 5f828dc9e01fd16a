package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	domain "finobs/internal/approval"
	"finobs/internal/session"
)

// clock is the time of all tests.
var clock = time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)

const goodCSRF = "csrf-token-of-the-test"

// fakeAPI answers with whole records, all texts of which are the same hostile one,
// and counts what it is asked.
type fakeAPI struct {
	text   string         // in every field of text
	empty  bool           // lists are empty
	status int            // of answers to POST; 0: 200
	fail   map[string]int // path, or method and path → status of a problem
	answer map[string]any // path of POST → answer
	lost   bool           // an outcome is not known

	mu    sync.Mutex
	calls []call
}

type call struct {
	Method, Path, Body string
}

func (f *fakeAPI) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	f.mu.Lock()
	f.calls = append(f.calls, call{r.Method, r.URL.RequestURI(), string(body)})
	f.mu.Unlock()
	w := httptest.NewRecorder()
	f.serve(w, r)
	return w.Result(), nil
}

// made are the calls that change something.
func (f *fakeAPI) made() []call {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []call
	for _, c := range f.calls {
		if c.Method != http.MethodGet {
			out = append(out, c)
		}
	}
	return out
}

func (f *fakeAPI) serve(w http.ResponseWriter, r *http.Request) {
	if status := max(f.fail[r.URL.Path], f.fail[r.Method+" "+r.URL.Path]); status != 0 {
		w.WriteHeader(status)
		answerJSON(w, problem{
			Type: "urn:finobs:problem:test", Title: http.StatusText(status), Status: status, Detail: "it failed: " + f.text, RequestID: "request-7",
			Errors: []string{"an error " + f.text},
		})
		return
	}
	if r.Method != http.MethodGet {
		if f.status != 0 {
			w.WriteHeader(f.status)
		}
		answer, ok := f.answer[r.URL.Path]
		if !ok {
			answer = map[string]any{"approval_request_id": 43, "status": "pending", "recorded": true, "override_type": "ai_override"}
		}
		answerJSON(w, answer)
		return
	}
	v, ok := f.record(r.URL)
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		answerJSON(w, problem{Type: "urn:finobs:problem:no-such-route", Title: "Not Found", Status: 404, Detail: "no route " + r.URL.Path, RequestID: "request-8"})
		return
	}
	answerJSON(w, v)
}

func answerJSON(w io.Writer, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(err) // of a test's own record
	}
}

var idPath = regexp.MustCompile(`/\d+`)

// record makes the answer of a route.
func (f *fakeAPI) record(u *url.URL) (any, bool) {
	page := func(items ...any) any {
		if f.empty {
			items = []any{}
		}
		return map[string]any{"items": items, "next_before": f.cursor(), "next_deadline": clock, "total": len(items), "complete": true}
	}
	switch path := idPath.ReplaceAllString(u.Path, "/{id}"); path {
	case "/tasks/count":
		return taskCounts{Total: 3, Overdue: 1, Mine: 1, ByType: map[string]int{"approval": 2, "incident": 1}, Complete: true}, true
	case "/tasks":
		var list []any
		for _, path := range []string{"/approval/42", "/incidents/7", "/agent/ops/actions/9", "/notifications", f.text} {
			t := fill(&task{}, f.text)
			t.Path, t.ID = path, path
			list = append(list, t)
		}
		return page(list...), true
	case "/approval/":
		return page(f.approval(42), f.approval(43)), true
	case "/approval/{id}":
		return f.approval(42), true
	case "/approval/{id}/history":
		return fill(&history{}, f.text), true
	case "/incidents":
		return page(f.incident()), true
	case "/incidents/{id}":
		return f.incident(), true
	case "/incidents/{id}/timeline":
		m := fill(&moment{}, f.text)
		entry := fill(&moment{}, f.text)
		entry.Kind = "entry"
		m.Data, _ = json.Marshal(map[string]any{"type": f.text, f.text: f.text, "details": map[string]string{f.text: f.text}})
		entry.Data = m.Data
		return map[string]any{"items": []any{m, entry}, "next_before": f.text}, true
	case "/incidents/{id}/occurrences":
		return page(fill(&occurrence{}, f.text)), true
	case "/agent/runs":
		return page(f.run()), true
	case "/agent/runs/{id}":
		return f.run(), true
	case "/agent/runs/{id}/record":
		return runRecord{Exchanges: [][]byte{[]byte("asked"), []byte("answered")}}, true
	case "/agent/ops/actions":
		return page(f.plan()), true
	case "/agent/ops/actions/{id}":
		return f.plan(), true
	case "/agent/ops/stops":
		s := fill(&stop{}, f.text)
		s.InForce = true
		return page(s), true
	case "/users":
		return page(fill(&user{}, f.text)), true
	case "/audit":
		return page(fill(&logged{}, f.text)), true
	case "/transactions", "/events":
		return page(map[string]any{}), true
	}
	return f.oversight(u, page)
}

// oversight makes the answers of the routes about exports and of those who oversee.
func (f *fakeAPI) oversight(u *url.URL, page func(...any) any) (any, bool) {
	switch idPath.ReplaceAllString(u.Path, "/{id}") {
	case "/exports/":
		return page(f.export()), true
	case "/exports/{id}":
		return f.export(), true
	case "/exports/{id}/progress":
		p := fill(&exportProgress{}, f.text)
		p.Total = 14
		return p, true
	case "/exports/{id}/history", "/export-schedules/{id}/history":
		return fill(&history{}, f.text), true
	case "/exports/destinations":
		return page(fill(&destination{}, f.text)), true
	case "/exports/batch_verify/{id}":
		return fill(&verification{}, f.text), true
	case "/export-schedules":
		return page(fill(&schedule{}, f.text)), true
	case "/export-schedules/{id}":
		return fill(&schedule{}, f.text), true
	case "/audit/{id}/leaf", "/audit/{id}/proof":
		return map[string]string{f.text: f.text}, true
	case "/log/status":
		return fill(&logStatus{}, f.text), true
	case "/systems":
		return fill(&systems{}, f.text), true
	case "/agent/ops/actions/metrics":
		return fill(&approvalFigures{}, f.text), true
	case "/incidents/metrics":
		return fill(&incidentFigures{}, f.text), true
	case "/recon/breaks/metrics":
		return fill(&breakFigures{}, f.text), true
	}
	return nil, false
}

func (f *fakeAPI) cursor() int64 {
	if f.empty {
		return 0
	}
	return 41
}

func (f *fakeAPI) approval(id int64) *approval {
	a := fill(&approval{}, f.text)
	a.ID, a.Kind, a.Status, a.RiskTier = id, "remediation.settlement.reinstruct", "pending", "high"
	a.Action, _ = json.Marshal(map[string]any{
		"kind": a.Kind, "targets": []target{{f.text, f.text, f.text}, {"incident", "7", f.text}}, "parameters": map[string]string{f.text: f.text}, "mode": "live",
	})
	a.ActionDigest = strings.Repeat("ab", 32)
	a.ExpiresAt = clock.Add(90 * time.Minute)
	a.AllowedActions = []string{"approve", "reject", "comment", "assign", "escalate", "delegate", "edit", "cancel", "revoke", "reopen"}
	return a
}

func (f *fakeAPI) incident() *incident {
	i := fill(&incident{}, f.text)
	i.ID, i.Status = 7, "open"
	i.AllowedActions = []string{"acknowledge", "unacknowledge", "assign", "comment", "resolve", "close", "reopen", "severity", "priority", "link", "parent", "merge"}
	return i
}

func (f *fakeAPI) export() *export {
	x := fill(&export{}, f.text)
	x.ID = 42
	return x
}

func (f *fakeAPI) run() *run {
	r := fill(&run{}, f.text)
	r.ID, r.IncidentID = 5, 7
	struck := r.Result.Claims[0]
	struck.Struck = false
	r.Result.Claims = append(r.Result.Claims, struck)
	return r
}

func (f *fakeAPI) plan() *plan {
	p := fill(&plan{}, f.text)
	p.ID, p.RunID, p.IncidentID, p.Status = 42, 5, 7, "pending"
	if f.lost {
		p.Status = "unknown"
	}
	return p
}

// fill sets every field of a record: texts to text, lists and maps to one element.
func fill[T any](into *T, text string) *T {
	fillValue(reflect.ValueOf(into).Elem(), text)
	return into
}

func fillValue(v reflect.Value, text string) {
	switch x := v.Addr().Interface().(type) {
	case *time.Time:
		*x = clock.Add(-2 * time.Hour)
		return
	case *json.RawMessage:
		*x, _ = json.Marshal(map[string]string{text: text})
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Float64:
		v.SetFloat(7)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillValue(v.Elem(), text)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fillValue(v.Index(0), text)
	case reflect.Map:
		value := reflect.New(v.Type().Elem()).Elem()
		fillValue(value, text)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf(text), value)
	default: // a struct: records have no other kinds
		for i := range v.NumField() {
			fillValue(v.Field(i), text)
		}
	}
}

// console makes a console over a fake API, for somebody who is signed in.
func makeConsole(t testing.TB, api *fakeAPI, change ...func(*Deps)) *Console {
	t.Helper()
	d := testDeps(api)
	for _, f := range change {
		f(&d)
	}
	c, err := newConsole(d)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func testDeps(api *fakeAPI) Deps {
	return Deps{
		Session: func(r *http.Request) (session.Session, error) {
			if r.Header.Get("X-Test-Absent") != "" {
				return session.Session{}, errors.New("nobody is signed in")
			}
			return session.Session{
				ID: "s", CSRF: goodCSRF, Principal: domain.Principal{
					Person: domain.Person{Issuer: "test", Subject: api.text}, Kind: domain.Human, Roles: []string{"analyst", api.text}, Desk: api.text,
				},
			}, nil
		},
		API:        func(session.Session) http.RoundTripper { return api },
		May:        func(context.Context, session.Session, string) bool { return true },
		TemporalUI: "http://127.0.0.1:8233", Namespace: "default", Dev: true, Now: func() time.Time { return clock },
	}
}

// pages are the addresses of all pages, with ids in them.
func (c *Console) pages() []string {
	var out []string
	for _, path := range c.gets {
		out = append(out, strings.NewReplacer("{id}", "42").Replace(path))
	}
	return out
}

func fetch(c http.Handler, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	c.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

// post sends a form as a browser does.
func post(c http.Handler, path string, form url.Values, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for _, f := range change {
		f(r)
	}
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	return w
}

func withCSRF(pairs ...string) url.Values {
	form := url.Values{"csrf": {goodCSRF}}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return form
}

func (c call) String() string { return fmt.Sprintf("%s %s %s", c.Method, c.Path, c.Body) }
