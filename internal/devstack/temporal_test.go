package devstack_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"finobs/internal/devstack"
)

// Two servers on one database file would spoil each other's tasks; a server whose
// parent was killed goes on for a moment.
func TestTemporalHasItsDatabaseAlone(t *testing.T) {
	t.Parallel()
	bin, err := devstack.EnsureTemporal(t.Context(), "../../.finobs/bin", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	start := func(ctx context.Context) (*devstack.Temporal, error) {
		c := devstack.TemporalConfig{Bin: bin, DBFile: filepath.Join(dir, "temporal.db"), Namespace: "default", Log: filepath.Join(dir, "log")}
		for _, port := range []*int{&c.Port, &c.UIPort} {
			if *port, err = devstack.FreePort(0); err != nil {
				t.Fatal(err)
			}
		}
		return devstack.StartTemporal(ctx, c)
	}
	first, err := start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	impatient, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if second, err := start(impatient); err == nil || !strings.Contains(err.Error(), "still uses") {
		t.Errorf("a second server on one file: %v, %v", second, err)
	}
	ended := make(chan error)
	go func() {
		time.Sleep(500 * time.Millisecond)
		ended <- first.Stop()
	}()
	second, err := start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := second.Stop(); err != nil {
		t.Error(err)
	}
}
