package connector_test

import (
	"bytes"
	"crypto/x509"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"finobs/internal/approval"
	"finobs/internal/connector"
	"finobs/internal/sandbox"
)

func TestTheExampleOfTheDocsLoads(t *testing.T) {
	text, err := os.ReadFile("../../docs/connectors.md")
	if err != nil {
		t.Fatal(err)
	}
	example := regexp.MustCompile("(?s)<!-- read by internal/connector/docs_test.go -->\n```yaml\n(.*?)```").FindSubmatch(text)
	if example == nil {
		t.Fatal("the docs have no example of a connector file")
	}
	dir := t.TempDir()
	ours := newAuthority(t, "ours")
	client := ours.signs(t, x509.ExtKeyUsageClientAuth, time.Now().Add(time.Hour), "127.0.0.1")
	for name, content := range map[string][]byte{
		"oms-client.pem": client.cert, "oms-client-key.pem": client.key, "oms-ca.pem": ours.pem(), "settlement-token": []byte(token), "sandbox-token": []byte(token),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set, err := connector.Load(bytes.NewReader(example[1]), dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if !set.For(approval.Live).Serves("trade") || set.For(approval.Live).Serves("feed") || !set.For(approval.Simulation).Serves("feed") {
		t.Errorf("got %+v", set.Infos())
	}
	for _, fault := range sandbox.Faults() {
		if !bytes.Contains(text, []byte("`"+string(fault)+"`")) {
			t.Errorf("docs/connectors.md lacks the fault %s", fault)
		}
	}
}
