package blobdir_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"finobs/internal/blobdir"
)

func open(t *testing.T) (*blobdir.Dir, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "blobs")
	d, err := blobdir.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d, path
}

func names(t *testing.T, path string) string {
	t.Helper()
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return strings.Join(list, " ")
}

func TestANameAppearsOnlyWhenTheFileIsComplete(t *testing.T) {
	d, path := open(t)
	p, err := d.Create("x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(p, "half"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Open("whole.txt"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if err := p.Publish("whole.txt"); err != nil {
		t.Fatal(err)
	}
	if got := names(t, path); got != "whole.txt" {
		t.Errorf("the folder holds %s", got)
	}
}

func TestACompleteFileIsNeverOverwritten(t *testing.T) {
	d, _ := open(t)
	for _, text := range []string{"first", "second"} {
		p, err := d.Create("x")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(p, text); err != nil {
			t.Fatal(err)
		}
		if err := p.Publish("name"); err != nil {
			t.Fatal(err)
		}
	}
	f, err := d.Open("name")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := io.ReadAll(f); err != nil || string(got) != "first" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestNoNameLeadsOut(t *testing.T) {
	d, path := open(t)
	if err := os.WriteFile(filepath.Join(path, "..", "secret"), []byte("s"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../secret", "/etc/passwd", "a/b", ".", "..", "", ".hidden", "\u00fcber", "a\x00b", strings.Repeat("a", 300)} {
		if f, err := d.Open(name); err == nil {
			f.Close()
			t.Errorf("opened %q", name)
		}
		p, err := d.Create("x")
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Publish(name); err == nil {
			t.Errorf("published %q", name)
		}
		p.Discard()
	}
	if err := os.Symlink("../secret", filepath.Join(path, "link")); err != nil {
		t.Fatal(err)
	}
	if f, err := d.Open("link"); err == nil {
		f.Close()
		t.Error("followed a link out of the folder")
	}
}

func TestPutNamesContentByItsDigest(t *testing.T) {
	d, path := open(t)
	for range 2 {
		sha, size, err := d.Put(strings.NewReader("content"), 7)
		sum := sha256.Sum256([]byte("content"))
		if err != nil || size != 7 || sha != hex.EncodeToString(sum[:]) {
			t.Errorf("got %s, %d, %v", sha, size, err)
		}
		if again, err := d.Digest(sha); err != nil || again != sha {
			t.Errorf("the digest of the file is %s, %v", again, err)
		}
	}
	if _, _, err := d.Put(bytes.NewReader(make([]byte, 8)), 7); !errors.Is(err, blobdir.ErrTooLarge) {
		t.Errorf("over the limit: %v", err)
	}
	if got := strings.Fields(names(t, path)); len(got) != 1 {
		t.Errorf("the folder holds %v", got)
	}
}

func TestRemove(t *testing.T) {
	d, path := open(t)
	for _, name := range []string{".mine-1", ".mine-2", ".other-1", "mine-a", "mine-b", "other"} {
		if err := os.WriteFile(filepath.Join(path, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(d.RemoveTemporary("mine"), d.RemoveOthers("mine-", "mine-a")); err != nil {
		t.Fatal(err)
	}
	if got := names(t, path); got != ".other-1 mine-a other" {
		t.Errorf("left are %s", got)
	}
}
