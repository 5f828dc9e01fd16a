package llm

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"finobs/internal/llmtest"
)

// A client that goes elsewhere, asks twice, or is not of a call, is stopped below
// it: nothing is sent, the key least of all.
func TestTheTransportGoesToOneHostOnce(t *testing.T) {
	server := llmtest.Start(t, llmtest.Body(`{}`))
	base, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	key := NewSecret("sk-canary-0123456789")
	w := &wire{next: http.DefaultTransport, base: base, provider: Compatible, key: key}
	send := func(c *capture, to, body string) error {
		ctx := t.Context()
		if c != nil {
			ctx = withCapture(ctx, c)
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		response, err := w.RoundTrip(req)
		if err == nil {
			response.Body.Close()
		}
		return err
	}
	fresh := func() *capture { return &capture{exchange: &Exchange{}} }
	for name, c := range map[string]struct {
		to, body string
		want     error
	}{
		"another host":   {strings.Replace(server.URL, "127.0.0.1", "localhost", 1), "{}", errOtherHost},
		"another port":   {"http://127.0.0.1:1", "{}", errOtherHost},
		"another scheme": {strings.Replace(server.URL, "http:", "https:", 1), "{}", errOtherHost},
		"the key inside": {server.URL, key.reveal(), errSecret},
	} {
		x := fresh()
		if err := send(x, c.to, c.body); !errors.Is(err, c.want) || !errors.Is(x.err, c.want) || x.exchange.Request != nil {
			t.Errorf("%s: got %v, recorded %q", name, err, x.exchange.Request)
		}
	}
	if err := send(nil, server.URL, "{}"); err == nil {
		t.Error("a request of no call is sent")
	}
	if n := len(server.Requests()); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
	twice := fresh()
	if err := send(twice, server.URL, "{}"); err != nil || len(server.Requests()) != 1 {
		t.Fatalf("the first request: %v", err)
	}
	if err := send(twice, server.URL, "{}"); !errors.Is(err, errTwice) || len(server.Requests()) != 1 {
		t.Errorf("the second request: %v", err)
	}
}
