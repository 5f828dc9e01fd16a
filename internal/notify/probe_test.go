package notify_test

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// A webhook is connected to, with TLS, and is sent nothing.
func TestProbeOfAWebhookSendsNothing(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	defer server.Close()
	dir := folder(t)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), ca, 0o644); err != nil {
		t.Fatal(err)
	}
	probe := func(more string) (string, error) {
		channels := load(t, dir, fmt.Sprintf("  - {name: ops, webhook: {url: %q, secret_file: secret, %s}}\n", server.URL+"/hook", more))
		return channels.Probe(t.Context(), "ops")
	}
	if said, err := probe("allow_private: true, ca_file: ca.pem"); err != nil || !strings.Contains(said, "nothing was sent") {
		t.Errorf("got %q, %v", said, err)
	}
	if _, err := probe("allow_private: true"); err == nil || !strings.Contains(err.Error(), "speaking TLS") {
		t.Errorf("a certificate that nobody knows: %v", err)
	}
	if _, err := probe("ca_file: ca.pem"); err == nil || !strings.Contains(err.Error(), "allow_private") {
		t.Errorf("an address of this machine: %v", err)
	}
	server.Close()
	if _, err := probe("allow_private: true, ca_file: ca.pem"); err == nil || !strings.Contains(err.Error(), "connecting to") {
		t.Errorf("nobody listens: %v", err)
	}
	if n := requests.Load(); n != 0 {
		t.Errorf("%d requests were made", n)
	}
	channels := load(t, dir, "  - {name: ops, smtp: {host: 127.0.0.1, port: 1, tls: none, from: a@example.com}}\n")
	if _, err := channels.Probe(t.Context(), "ops"); err == nil || !strings.Contains(err.Error(), "connecting at 127.0.0.1:1") {
		t.Errorf("no mail server: %v", err)
	}
	if _, err := channels.Probe(t.Context(), "other"); err == nil || !strings.Contains(err.Error(), "other") {
		t.Errorf("an unknown channel: %v", err)
	}
}
