package delivery_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"finobs/internal/delivery"
)

func TestProbeOfAFolder(t *testing.T) {
	dir := t.TempDir()
	places := fmt.Sprintf("version: 1\ndestinations:\n  - name: here\n    file: {dir: %q}\n  - name: gone\n    file: {dir: %q}\n", dir, filepath.Join(dir, "gone"))
	d, err := delivery.Load(strings.NewReader(places), dir)
	if err != nil {
		t.Fatal(err)
	}
	if said, err := d.Probe(t.Context(), "here"); err != nil || !strings.Contains(said, "MiB are left") {
		t.Errorf("got %q, %v", said, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("the probe left %v, %v", left, err)
	}
	if _, err := d.Probe(t.Context(), "gone"); err == nil || !strings.Contains(err.Error(), "make the folder, or mount its disk") {
		t.Errorf("got %v", err)
	}
	if _, err := d.Probe(t.Context(), "other"); err == nil || !strings.Contains(err.Error(), "other") {
		t.Errorf("got %v", err)
	}
	if os.Geteuid() == 0 {
		return // root may write everywhere
	}
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Probe(t.Context(), "here"); err == nil || !strings.Contains(err.Error(), "let the worker's user write there") {
		t.Errorf("a folder that cannot be written: %v", err)
	}
}
