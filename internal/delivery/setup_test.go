package delivery_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"finobs/internal/delivery"
)

var sealedAt = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// noise is n bytes that do not repeat, the same each time.
func noise(n int) []byte {
	out := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(out) // it never fails
	return out
}

type readSeekCloser struct{ *bytes.Reader }

func (readSeekCloser) Close() error { return nil }

func hexDigest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func file(name string, content []byte) delivery.File {
	return delivery.File{
		Name: name, Size: int64(len(content)), SHA256: hexDigest(content),
		Open: func() (io.ReadSeekCloser, error) { return readSeekCloser{bytes.NewReader(content)}, nil },
	}
}

// contents are the files of the tests' bundle beside the data.
var contents = map[string]string{
	"manifest.dsse.json": `{"payloadType":"application/vnd.in-toto+json"}`, "manifest.tlog-proof": "proof\n", "SHA256SUMS": "sums\n",
	"SHA256SUMS.sig": "signature\n", "README.txt": "Read me.\n",
}

func bundle(data []byte) delivery.Bundle {
	b := delivery.Bundle{
		ExportID: 7, Dataset: "incidents", Rows: 3, ContentSHA256: hexDigest(data), ManifestSHA256: hexDigest([]byte(contents["manifest.dsse.json"])),
		SealedAt: sealedAt, Attempt: 1, ManifestFile: "manifest.dsse.json", Link: "https://finobs.example.com/exports/7",
		Files: []delivery.File{file("data.csv", data)},
	}
	for _, name := range []string{"manifest.dsse.json", "manifest.tlog-proof", "SHA256SUMS", "SHA256SUMS.sig", "README.txt"} {
		b.Files = append(b.Files, file(name, []byte(contents[name])))
	}
	return b
}

// only makes a bundle of its data and its manifest.
func only(b delivery.Bundle) delivery.Bundle {
	b.Files = b.Files[:2]
	return b
}

// damage gives the data file other bytes than were sealed.
func damage(b *delivery.Bundle, content []byte) {
	b.Files[0].Open = file("data.csv", content).Open
}

// load loads a destination of the name "d" from its YAML, whose files are in dir.
func load(t *testing.T, dir, yaml string) delivery.Destination {
	t.Helper()
	all, err := delivery.Load(strings.NewReader("version: 1\ngroups: {desk: [a@example.com, b@example.com]}\ndestinations:\n  - name: d\n    "+yaml+"\n"), dir)
	if err != nil {
		t.Fatal(err)
	}
	d, ok := all.Get("d")
	if !ok {
		t.Fatal("no destination")
	}
	return d
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func deliver(t *testing.T, d delivery.Destination, b delivery.Bundle) delivery.Receipt {
	t.Helper()
	receipt, err := d.Deliver(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	return receipt
}

// failedDelivery delivers, and wants a failure that says something.
func failedDelivery(t *testing.T, d delivery.Destination, b delivery.Bundle, retry bool, says ...string) {
	t.Helper()
	_, err := d.Deliver(t.Context(), b)
	wantFailure(t, err, delivery.Failed, retry, says...)
}

func wantFailure(t *testing.T, err error, outcome delivery.Outcome, retry bool, says ...string) {
	t.Helper()
	var e *delivery.Error
	if !errors.As(err, &e) || e.Outcome != outcome || e.Retry != retry || delivery.OutcomeOf(err) != outcome {
		t.Fatalf("got %v (%+v), want %s with retry %t", err, e, outcome, retry)
	}
	for _, part := range says {
		if !strings.Contains(e.Reason, part) {
			t.Errorf("%q does not say %q", e.Reason, part)
		}
	}
	if strings.ContainsAny(e.Reason, "\r\n") {
		t.Errorf("%q is not one line", e.Reason)
	}
}

// fetched reads a file back.
func fetched(t *testing.T, d delivery.Destination, r delivery.Receipt, name string) ([]byte, error) {
	t.Helper()
	body, err := d.Fetch(t.Context(), r, name)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

// wantAll reads every file of a bundle back and compares.
func wantAll(t *testing.T, d delivery.Destination, r delivery.Receipt, b delivery.Bundle) {
	t.Helper()
	if len(r.Objects) != len(b.Files) {
		t.Fatalf("the receipt has %d files, want %d", len(r.Objects), len(b.Files))
	}
	for i, f := range b.Files {
		got, err := fetched(t, d, r, f.Name)
		if err != nil || hexDigest(got) != f.SHA256 {
			t.Errorf("%s: got %d bytes, %v", f.Name, len(got), err)
		}
		if o := r.Objects[i]; o.Name != f.Name || o.Size != f.Size || o.SHA256 != f.SHA256 {
			t.Errorf("%s: the receipt says %+v", f.Name, o)
		}
	}
}

// wantFetch reads a file back and wants an error.
func wantFetch(t *testing.T, d delivery.Destination, r delivery.Receipt, name string, want error) {
	t.Helper()
	if got, err := fetched(t, d, r, name); !errors.Is(err, want) {
		t.Errorf("%s: got %d bytes, %v; want %v", name, len(got), err, want)
	}
}

// names lists what lies in a folder and below, without the folders.
func names(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			out = append(out, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(fmt.Errorf("listing %s: %w", dir, err))
	}
	return out
}
