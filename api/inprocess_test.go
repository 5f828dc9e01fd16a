package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"finobs/api"
	"finobs/internal/approval"
	"finobs/internal/session"
)

func callAs(t *testing.T, s *api.Server, who session.Session, method, path, body string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://finobs"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer nonsense") // who asks is who is signed in
	res, err := (&http.Client{Transport: api.As(s, who)}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}

func TestTheConsolesCallsAreJudgedLikeAnyOther(t *testing.T) {
	e := newEdge(t, "production")
	who := func(name string, roles ...string) session.Session {
		return e.keep.New(approval.Principal{Person: approval.Person{Issuer: e.op.URL, Subject: name}, Kind: approval.Human, Roles: roles}, session.ViaOIDC, time.Now(), time.Time{})
	}
	for _, tc := range []struct {
		name, role, method, path, body string
		want                           int
	}{
		{"vic", "viewer", "GET", "/approval/", "", http.StatusOK},
		{"vic", "viewer", "GET", "/audit", "", http.StatusForbidden},
		{"eve", "auditor", "GET", "/audit?limit=1", "", http.StatusOK},
		{"vic", "viewer", "POST", "/approval/1/decision", `{"decision":"approve"}`, http.StatusForbidden},
		{"ann", "analyst", "POST", "/approval/1/decision", `{"decision":"maybe"}`, http.StatusUnprocessableEntity},
		{"ann", "analyst", "GET", "/no/such/route", "", http.StatusNotFound},
	} {
		res, text := callAs(t, e.api, who(tc.name, tc.role), tc.method, tc.path, tc.body)
		if res.StatusCode != tc.want {
			t.Errorf("%s %s as %s: %d %s", tc.method, tc.path, tc.role, res.StatusCode, text)
		}
		if res.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s has no request id", tc.path)
		}
	}
	if n := e.entries(t, "authorize"); n != "2" {
		t.Errorf("%s refusals are on record, want 2", n)
	}
	// What is sent from outside makes nobody signed in.
	for _, name := range []string{"X-Session", "X-Dev-User", "X-Forwarded-User", "Remote-User"} {
		if p := newBrowser(t).do("GET", e.URL+"/approval/", nil, name, "ann"); p.status != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, p.status)
		}
	}
}

func TestCallsInTheProcessStream(t *testing.T) {
	release := make(chan struct{})
	s := api.Over(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if who, ok := api.InContext(r.Context()); !ok || who.ID != "s" || r.Header.Get("Cookie") != "" {
			t.Error("the handler does not see who asks")
		}
		w.Header().Set("X-Kind", "stream")
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, "one ")
		w.(http.Flusher).Flush()
		<-release
		w.Header().Set("X-Kind", "late")
		fmt.Fprint(w, "two")
	}))
	req := httptest.NewRequest(http.MethodGet, "http://finobs/x", nil)
	req.RequestURI = ""
	req.Header.Set("Cookie", "finobs=stolen")
	res, err := api.As(s, session.Session{ID: "s"}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	first := make([]byte, 4)
	if _, err := io.ReadFull(res.Body, first); err != nil || string(first) != "one " || res.StatusCode != http.StatusAccepted || res.Header.Get("X-Kind") != "stream" {
		t.Fatalf("%d %q %v", res.StatusCode, first, err)
	}
	if req.Header.Get("Cookie") == "" {
		t.Error("the caller's request was changed")
	}
	close(release)
	if rest, err := io.ReadAll(res.Body); err != nil || string(rest) != "two" {
		t.Errorf("%q %v", rest, err)
	}
}

func TestCallsInTheProcessEnd(t *testing.T) {
	ended := make(chan error, 1)
	endless := api.Over(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 1<<10)); err != nil {
				ended <- err
				return
			}
		}
	}))
	wait := func(what string) {
		t.Helper()
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			t.Errorf("%s: the handler goes on", what)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	req := httptest.NewRequest(http.MethodGet, "/x", nil).WithContext(ctx)
	res, err := api.As(endless, session.Session{}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	wait("the caller's context ended")
	res.Body.Close()
	if res, err = api.As(endless, session.Session{}).RoundTrip(httptest.NewRequest(http.MethodGet, "/x", nil)); err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	wait("the body was closed")

	silent := api.Over(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := api.As(silent, session.Session{}).RoundTrip(httptest.NewRequest(http.MethodGet, "/x", nil).WithContext(ctx)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a handler that says nothing: %v", err)
	}
	broken := api.Over(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") }))
	if _, err := api.As(broken, session.Session{}).RoundTrip(httptest.NewRequest(http.MethodGet, "/x", nil)); err == nil {
		t.Error("a handler that breaks off has an answer")
	}
	late := api.Over(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "x"); panic("boom") }))
	if res, err = api.As(late, session.Session{}).RoundTrip(httptest.NewRequest(http.MethodGet, "/x", nil)); err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.ReadAll(res.Body); err == nil {
		t.Error("an answer that broke off looks whole")
	}
	empty := api.Over(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	if res, err = api.As(empty, session.Session{}).RoundTrip(httptest.NewRequest(http.MethodGet, "/x", nil)); err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("an empty answer: %v", err)
	}
}
