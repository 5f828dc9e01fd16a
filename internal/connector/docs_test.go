package connector_test

import (
	"bytes"
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
	selfSigned(t, dir)
	for from, to := range map[string]string{"cert.pem": "oms-client.pem", "key.pem": "oms-client-key.pem"} {
		if err := os.Link(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "oms-ca.pem")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"settlement-token", "sandbox-token"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(token), 0o600); err != nil {
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
