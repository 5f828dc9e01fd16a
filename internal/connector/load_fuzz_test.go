package connector_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"finobs/internal/action"
	"finobs/internal/approval"
	"finobs/internal/connector"
)

// FuzzLoadConnectors reads anything as a connector file: it is refused, or what it
// configures is whole.
func FuzzLoadConnectors(f *testing.F) {
	f.Add([]byte("version: 1\nconnectors:\n" + entry("sim", approval.Simulation, "http://127.0.0.1:1", everyKind, "")))
	f.Add([]byte("version: 1\nconnectors:\n" + entry("oms", approval.Live, "https://oms.example.com", "order", ", cert_file: a, key_file: b")))
	f.Add([]byte("version: 1\nconnectors: [{}]\n"))
	dir := f.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte(token), 0o600); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		set, err := connector.Load(bytes.NewReader(text), dir, time.Now)
		if err != nil {
			if set != nil || err.Error() == "" {
				t.Errorf("refused with %v and %v", set, err)
			}
			return
		}
		for _, info := range set.Infos() {
			if info.Name == "" || !info.Mode.Valid() || info.Host == "" || len(info.Kinds) == 0 {
				t.Errorf("loaded %+v", info)
			}
			for _, kind := range info.Kinds {
				if !set.For(info.Mode).Serves(kind) {
					t.Errorf("%s does not serve %s", info.Name, kind)
				}
			}
		}
		for _, kind := range action.Kinds() {
			if len(set.Infos()) == 0 && set.For(approval.Live).Serves(kind) {
				t.Errorf("%s is served by nothing", kind)
			}
		}
	})
}
