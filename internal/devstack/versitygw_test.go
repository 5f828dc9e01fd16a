package devstack_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"finobs/internal/devstack"
)

func TestVersitygwAnswersAndStops(t *testing.T) {
	// Settings of a developer's own gateway must not reach this one.
	t.Setenv("VGW_PORT", "127.0.0.1:1")
	bin, err := devstack.EnsureVersitygw(t.Context(), "../../.finobs/bin", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := devstack.VersitygwConfig{
		Bin: bin, Log: filepath.Join(dir, "log"), Root: filepath.Join(dir, "buckets"), Versions: filepath.Join(dir, "versions"),
		Access: "test", Secret: "test-secret",
	}
	if config.Port, err = devstack.FreePort(0); err != nil {
		t.Fatal(err)
	}
	if _, err := devstack.StartVersitygw(t.Context(), config); err == nil || !strings.Contains(err.Error(), "buckets") {
		t.Errorf("without its folder: got %v", err)
	}
	for _, folder := range []string{config.Root, config.Versions} {
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	g, err := devstack.StartVersitygw(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(g.URL() + "/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("a stranger's list of buckets: %s", resp.Status)
	}
	if err := g.Stop(); err != nil {
		t.Fatal(err)
	}
	<-g.Done()
	if _, err := http.Get(g.URL() + "/"); err == nil {
		t.Error("it answers after it was stopped")
	}
}
