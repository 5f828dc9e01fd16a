package blobdir_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"finobs/internal/blobdir"
)

func TestScratchRemovesWhatDeadProcessesLeft(t *testing.T) {
	dir := t.TempDir()
	d, err := blobdir.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	abandoned, other := filepath.Join(dir, ".verify-AAAA"), filepath.Join(dir, ".artefact-AAAA")
	for _, folder := range []string{abandoned, other} {
		if err := errors.Join(os.Mkdir(folder, 0o700), os.WriteFile(filepath.Join(folder, "data"), []byte("x"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	first, err := d.Scratch("verify")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(abandoned); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the abandoned folder is still there: %v", err)
	}
	second, err := d.Scratch("verify")
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{first.Path, second.Path, other} { // in use, or somebody else's
		if _, err := os.Stat(folder); err != nil {
			t.Error(err)
		}
	}
	if err := errors.Join(first.Close(), second.Close()); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("%v are left, %v", left, err)
	}
}

func TestScratchAtOnce(t *testing.T) {
	d, err := blobdir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 50 {
				s, err := d.Scratch("verify")
				if err != nil {
					t.Error(err)
					return
				}
				if err := os.WriteFile(filepath.Join(s.Path, "data"), []byte("x"), 0o600); err != nil {
					t.Errorf("it was taken away while in use: %v", err)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
