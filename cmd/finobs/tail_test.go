package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestTailPrintsEventsUntilItIsRefused(t *testing.T) {
	event := `{"cursor":"%d","stream":"approvals","type":"approval.decided","at":"2026-06-12T09:00:00Z","subject":{"type":"approval","id":"42"},"desk":"EQ","is_simulation":%t,"actor":{"type":"human","sub":"al\u001b[2Jice"}}`
	first, second := fmt.Sprintf(event, 7, false), fmt.Sprintf(event, 8, true)
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RequestURI()+" "+r.Header.Get("Last-Event-ID"))
		switch len(asked) % 3 {
		case 1:
			fmt.Fprintf(w, ": heartbeat\n\nid: 7\ndata: %s\n\n", first)
		case 2:
			fmt.Fprintf(w, "id: 7\ndata: %s\n\nid: 8\ndata: %s\n\n", first, second)
		default:
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"detail":"permission approval.read is needed"}`)
		}
	}))
	defer server.Close()
	f := &fakeAPI{Server: server}
	out, aside, code := f.runs(t, "tail", "approvals", "--after", "6")
	want := "       7  2026-06-12 09:00:00  approvals   approval.decided          approval 42           EQ      human al [2Jice\n" +
		"       8  2026-06-12 09:00:00  approvals   approval.decided          approval 42 (simulation)  EQ      human al [2Jice\n"
	if out != want || code != exitRefused || !strings.Contains(aside, "trying again in ") || !strings.Contains(aside, "permission approval.read") {
		t.Errorf("%d\n%s%s", code, out, aside)
	}
	if got := strings.Join(asked, "; "); got != "/sse/approvals?after=6 ; /sse/approvals 7; /sse/approvals 8" {
		t.Errorf("it asked %s", got)
	}
	if out, _, _ := f.runs(t, "tail", "--after", "6", "--json"); out != first+"\n"+second+"\n" {
		t.Errorf("got %s", out)
	}
}
