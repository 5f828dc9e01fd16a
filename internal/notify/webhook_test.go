package notify_test

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"finobs/internal/notify"
)

// hookChannel is a webhook to url; more are further fields.
func hookChannel(t *testing.T, dir, url, more string) notify.Channel {
	t.Helper()
	c, ok := load(t, dir, fmt.Sprintf("  - {name: ops, webhook: {url: %q, secret_file: secret, %s}}\n", url, more)).Get("ops")
	if !ok {
		t.Fatal("no channel")
	}
	return c
}

func TestWebhook(t *testing.T) {
	t.Parallel()
	var header http.Header
	var body []byte
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header = r.Header
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
	}))
	defer server.Close()
	dir := folder(t)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), ca, 0o644); err != nil {
		t.Fatal(err)
	}
	channel := hookChannel(t, dir, server.URL+"/hook?team=ops", "allow_private: true, ca_file: ca.pem")
	m := message("a@example.com")
	m.Subject = "Order\r\n7"
	m.Data["action_digest"] = "abc"
	receipt, err := channel.Send(t.Context(), m)
	if err != nil || receipt.Ref != "202 Accepted" || receipt.Recipients != 1 {
		t.Fatalf("got %+v, %v", receipt, err)
	}
	want := `{"id":"` + messageID + `","kind":"approval.requested","at":"2026-03-04T05:06:07Z","subject":"Order 7","text":"Please look.\n",` +
		`"url":"https://finobs.example.com/approvals/7","to":[{"name":"Somebody","email":"a@example.com"}],"data":{"action_digest":"abc","approval_id":"7"}}`
	if string(body) != want {
		t.Errorf("got %s\nwant %s", body, want)
	}
	if header.Get("Content-Type") != "application/json" || header.Get("Idempotency-Key") != messageID {
		t.Errorf("got %v", header)
	}
	now := time.Now()
	if err := notify.Verify([]byte(secret), header, body, now, time.Minute); err != nil {
		t.Error(err)
	}
	first := body
	if _, err := channel.Send(t.Context(), m); err != nil || !bytes.Equal(body, first) || header.Get("Idempotency-Key") != messageID {
		t.Errorf("the repetition differs: %v, %s", err, body)
	}
	stranger := hookChannel(t, dir, server.URL, "allow_private: true")
	if _, err := stranger.Send(t.Context(), m); notify.OutcomeOf(err) != notify.NotSent || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a server that nobody vouches for: got %v", err)
	}
	bare := notify.Message{ID: m.ID, Kind: m.Kind, Subject: m.Subject, At: m.At}
	if _, err := channel.Send(t.Context(), bare); err != nil {
		t.Error(err)
	}
	var parsed map[string]any
	if err := json.Unmarshal(body, &parsed); err != nil || parsed["to"] == nil || parsed["data"] == nil {
		t.Errorf("got %s, %v", body, err)
	}
	m.ID = "7"
	if _, err := channel.Send(t.Context(), m); notify.OutcomeOf(err) != notify.Refused {
		t.Errorf("got %v", err)
	}
}

func TestVerify(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	body := []byte(`{"id":"1"}`)
	// Computed apart: printf '1800000000.{"id":"1"}' | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef
	const known = "v1=bd4654ad22455998a2b9156dd5748325c461303b218fa3c7427a444a9ece00c0"
	if got := notify.Sign([]byte(secret), "1800000000", body); got != known {
		t.Errorf("got %s", got)
	}
	header := func(timestamp, signature string) http.Header {
		h := http.Header{}
		h.Set(notify.HeaderTimestamp, timestamp)
		h.Set(notify.HeaderSignature, signature)
		return h
	}
	at := func(offset time.Duration) http.Header {
		timestamp := strconv.FormatInt(now.Add(offset).Unix(), 10)
		return header(timestamp, notify.Sign([]byte(secret), timestamp, body))
	}
	for name, c := range map[string]struct {
		secret string
		header http.Header
		body   string
		want   error
	}{
		"good":               {secret, at(0), string(body), nil},
		"at the old end":     {secret, at(-5 * time.Minute), string(body), nil},
		"at the new end":     {secret, at(5 * time.Minute), string(body), nil},
		"too old":            {secret, at(-5*time.Minute - time.Second), string(body), notify.ErrStale},
		"from the future":    {secret, at(5*time.Minute + time.Second), string(body), notify.ErrStale},
		"another secret":     {secret + "x", at(0), string(body), notify.ErrSignature},
		"another body":       {secret, at(0), `{"id":"2"}`, notify.ErrSignature},
		"another time":       {secret, header("1800000001", known), string(body), notify.ErrSignature},
		"moved full stop":    {secret, header("180000000", known), "0" + string(body), notify.ErrSignature},
		"no headers":         {secret, http.Header{}, string(body), notify.ErrSignature},
		"no version":         {secret, header("1800000000", strings.TrimPrefix(known, "v1=")), string(body), notify.ErrSignature},
		"signed nonsense":    {secret, header("soon", notify.Sign([]byte(secret), "soon", body)), string(body), notify.ErrStale},
		"signed plus":        {secret, header("+1800000000", notify.Sign([]byte(secret), "+1800000000", body)), string(body), notify.ErrStale},
		"signed far away":    {secret, header("9223372036854775807", notify.Sign([]byte(secret), "9223372036854775807", body)), string(body), notify.ErrStale},
		"signed before time": {secret, header("-9223372036854775808", notify.Sign([]byte(secret), "-9223372036854775808", body)), string(body), notify.ErrStale},
	} {
		if err := notify.Verify([]byte(c.secret), c.header, []byte(c.body), now, 5*time.Minute); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

func TestWebhookStatus(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]notify.Outcome{
		200: "", 201: "", 202: "", 204: "",
		301: notify.Refused, 302: notify.Refused, 303: notify.Refused, 304: notify.Refused, 307: notify.Refused, 308: notify.Refused,
		400: notify.Refused, 401: notify.Refused, 403: notify.Refused, 404: notify.Refused, 405: notify.Refused, 409: notify.Refused, 410: notify.Refused, 422: notify.Refused,
		408: notify.NotSent, 425: notify.NotSent, 429: notify.NotSent,
		500: notify.NotSent, 501: notify.NotSent, 502: notify.NotSent, 503: notify.NotSent, 504: notify.NotSent,
	} {
		var asked atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
		}))
		_, err := hookChannel(t, folder(t), server.URL, "allow_private: true").Send(t.Context(), message())
		server.Close()
		if got := notify.OutcomeOf(err); got != want {
			t.Errorf("%d: got %q (%v), want %q", status, got, err, want)
		}
		if err != nil && !strings.Contains(err.Error(), strconv.Itoa(status)) {
			t.Errorf("%d: %q does not name it", status, err)
		}
		if asked.Load() != 1 {
			t.Errorf("%d: the server was asked %d times", status, asked.Load())
		}
	}
}

func TestWebhookStaysOutOfPrivateNetworks(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer server.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "https://"), ":")
	for _, host := range []string{
		"127.0.0.1", "127.1.2.3", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0", "[::]",
		"10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "169.254.169.254", "[fe80::1]", "[fd00::1]", "[fd00:ec2::254]", "224.0.0.1", "255.255.255.255",
		"[64:ff9b::7f00:1]",
	} {
		_, err := hookChannel(t, folder(t), "https://"+host+":"+port+"/secret-path", "timeout: 2s").Send(t.Context(), message())
		if notify.OutcomeOf(err) != notify.Refused || !strings.Contains(err.Error(), "allow_private") {
			t.Errorf("%s: got %v", host, err)
		}
		if strings.Contains(fmt.Sprint(err), "secret-path") {
			t.Errorf("%s: %q shows the path", host, err)
		}
	}
	// Where clouds keep credentials stays closed even then.
	for _, host := range []string{"169.254.169.254", "[fe80::1]", "0.0.0.0", "[::ffff:169.254.169.254]"} {
		_, err := hookChannel(t, folder(t), "http://"+host+":"+port, "timeout: 2s, allow_private: true").Send(t.Context(), message())
		if notify.OutcomeOf(err) != notify.Refused {
			t.Errorf("%s with allow_private: got %v", host, err)
		}
	}
	if asked.Load() != 0 {
		t.Errorf("the server was asked %d times", asked.Load())
	}
}

func TestWebhookServerThatMisbehaves(t *testing.T) {
	t.Parallel()
	done := make(chan struct{})
	defer close(done)
	var written atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("/slow", func(http.ResponseWriter, *http.Request) { <-done })
	mux.HandleFunc("/slow-body", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-done
	})
	mux.HandleFunc("/drops", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	mux.HandleFunc("/headers", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Large", strings.Repeat("x", 1<<20)) })
	mux.HandleFunc("/huge", func(w http.ResponseWriter, _ *http.Request) {
		chunk := make([]byte, 64<<10)
		for written.Load() < 1<<30 {
			n, err := w.Write(chunk)
			written.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
	server := httptest.NewServer(mux)
	defer server.CloseClientConnections()
	for path, want := range map[string]notify.Outcome{
		"/slow": notify.NotSent, "/slow-body": "", "/drops": notify.NotSent, "/headers": notify.NotSent, "/huge": "",
	} {
		began := time.Now()
		_, err := hookChannel(t, folder(t), server.URL+path, "allow_private: true, timeout: 1s").Send(t.Context(), message())
		if got := notify.OutcomeOf(err); got != want {
			t.Errorf("%s: got %q (%v), want %q", path, got, err, want)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: it took %s", path, took)
		}
	}
	if n := written.Load(); n > 64<<20 {
		t.Errorf("%d bytes of a huge answer were taken", n)
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, url := range []string{gone.URL, "http://nowhere.invalid/"} {
		_, err := hookChannel(t, folder(t), url, "allow_private: true, timeout: 3s").Send(t.Context(), message())
		if notify.OutcomeOf(err) != notify.NotSent {
			t.Errorf("%s: got %v", url, err)
		}
	}
}

func TestWebhookUsesNoProxy(t *testing.T) {
	var asked atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer proxy.Close()
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"} {
		t.Setenv(name, proxy.URL)
	}
	t.Setenv("NO_PROXY", "")
	t.Setenv("no_proxy", "")
	_, err := hookChannel(t, folder(t), "http://nowhere.invalid/", "allow_private: true, timeout: 3s").Send(t.Context(), message())
	if notify.OutcomeOf(err) != notify.NotSent || asked.Load() != 0 {
		t.Errorf("got %v; the proxy was asked %d times", err, asked.Load())
	}
}
