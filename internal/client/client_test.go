package client_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"finobs/internal/client"
)

// call sends one request to a server that answers so, and returns what it received.
func call(t *testing.T, status int, answer string) (*client.Client, func() (*http.Request, string)) {
	t.Helper()
	var got *http.Request
	var body string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		got, body = r, string(text)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	return client.New(server.URL+"/", "secret", server.Client()), func() (*http.Request, string) { return got, body }
}

func TestWhatIsNotGivenIsNotSent(t *testing.T) {
	c, got := call(t, http.StatusOK, `{"items":[{"incident_id":7,"title":"x","parent_id":null}],"next_before":7}`)
	answer, err := c.GetIncidents(t.Context(), client.GetIncidentsParams{Limit: 5, Desk: "A&B"})
	if err != nil {
		t.Fatal(err)
	}
	r, _ := got()
	want := url.Values{"limit": {"5"}, "desk": {"A&B"}}
	if r.URL.Path != "/incidents" || r.URL.RawQuery != want.Encode() || r.Header.Get("Authorization") != "Bearer secret" {
		t.Errorf("got %s, %v", r.URL, r.Header)
	}
	if i := answer.Body.Items[0]; answer.Status != http.StatusOK || i.IncidentID != 7 || i.ParentID != nil || !strings.HasPrefix(string(answer.JSON), "{") {
		t.Errorf("got %+v", answer)
	}
	if _, err := c.GetApprovalMetrics(t.Context(), client.GetApprovalMetricsParams{Since: time.Date(2026, 6, 12, 0, 0, 0, 0, time.UTC)}); err != nil {
		t.Fatal(err)
	}
	if r, _ := got(); r.URL.Query().Get("since") != "2026-06-12T00:00:00Z" {
		t.Errorf("got %s", r.URL)
	}
}

func TestBodiesAndPathsAreSentAsTheyAre(t *testing.T) {
	c, got := call(t, http.StatusAccepted, `{"recorded":false}`)
	answer, err := c.PostApprovalIDDecision(t.Context(), 42, client.DecideInputBody{Decision: "approve"})
	if err != nil || answer.Status != http.StatusAccepted {
		t.Fatalf("%d, %v", answer.Status, err)
	}
	if r, body := got(); r.Method != http.MethodPost || r.URL.Path != "/approval/42/decision" || body != `{"decision":"approve"}` ||
		r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("got %s %s %s", r.Method, r.URL, body)
	}
	if _, err := c.PatchUsersSub(t.Context(), "a/b?c", client.PatchUsersSubParams{}, client.UserFields{Active: new(false)}); err != nil {
		t.Fatal(err)
	}
	if r, body := got(); r.URL.EscapedPath() != "/users/a%2Fb%3Fc" || body != `{"active":false}` {
		t.Errorf("got %s %s", r.URL.EscapedPath(), body)
	}
}

func TestErrorsSayWhatTheAPISays(t *testing.T) {
	c, _ := call(t, http.StatusForbidden, `{"type":"urn:finobs:problem:not-permitted","title":"Forbidden","status":403,"detail":"permission x is needed","request_id":"r"}`)
	_, err := c.GetIncidentsID(t.Context(), 1)
	var problem *client.Error
	if client.StatusOf(err) != http.StatusForbidden || !errors.As(err, &problem) || problem.Code() != "not-permitted" || problem.RequestID != "r" {
		t.Fatalf("got %v", err)
	}
	if got := err.Error(); got != "the API answered 403 to GET /incidents/1: permission x is needed" {
		t.Errorf("got %s", got)
	}
	c, _ = call(t, http.StatusBadGateway, "<html>")
	if _, err := c.GetIncidentsID(t.Context(), 1); client.StatusOf(err) != http.StatusBadGateway || !strings.Contains(err.Error(), "finobs api?") {
		t.Errorf("got %v", err)
	}
	c, _ = call(t, http.StatusOK, "not JSON")
	if _, err := c.GetIncidentsID(t.Context(), 1); err == nil || client.StatusOf(err) != 0 {
		t.Errorf("got %v", err)
	}
}

func TestFilesAreStreamed(t *testing.T) {
	c, got := call(t, http.StatusOK, "content")
	res, err := c.GetExportsIDBundle(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); string(text) != "content" {
		t.Errorf("got %s", text)
	}
	if _, err := c.PostIngestFails(t.Context(), client.PostIngestFailsParams{FileName: "f.txt"}, "application/octet-stream", strings.NewReader("a|b")); err == nil {
		t.Error("an answer that is no JSON was read")
	}
	if r, body := got(); r.URL.RawQuery != "file_name=f.txt" || body != "a|b" {
		t.Errorf("got %s %s", r.URL, body)
	}
}
