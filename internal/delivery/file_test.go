package delivery_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"finobs/internal/delivery"
)

func folderDestination(t *testing.T) (delivery.Destination, string) {
	t.Helper()
	dir := t.TempDir()
	return load(t, dir, "file: {dir: "+dir+"}"), dir
}

const exportFolder = "exports/2026/7"

func TestFileDelivery(t *testing.T) {
	t.Parallel()
	d, dir := folderDestination(t)
	b := bundle(noise(300_000))
	receipt := deliver(t, d, b)
	if receipt.Ref != filepath.Join(dir, exportFolder) || receipt.Objects[0].Key != exportFolder+"/data.csv" {
		t.Errorf("got %+v", receipt)
	}
	wantAll(t, d, receipt, b)
	want := []string{"README.txt", "SHA256SUMS", "SHA256SUMS.sig", "data.csv", "manifest.dsse.json", "manifest.tlog-proof"}
	if got := names(t, filepath.Join(dir, exportFolder)); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	info, err := os.Stat(filepath.Join(dir, exportFolder, "data.csv"))
	if err != nil || info.Mode().Perm()&0o007 != 0 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
	if !d.Repeatable() {
		t.Error("it is not repeatable")
	}

	// The same again is no harm, and touches nothing.
	deliver(t, d, b)
	again, err := os.Stat(filepath.Join(dir, exportFolder, "data.csv"))
	if err != nil || !os.SameFile(info, again) || !again.ModTime().Equal(info.ModTime()) {
		t.Errorf("the file was written again: %v", err)
	}
	if got := names(t, dir); len(got) != len(b.Files) {
		t.Errorf("got %q", got)
	}
}

func TestFileNeverOverwrites(t *testing.T) {
	t.Parallel()
	d, dir := folderDestination(t)
	b := bundle([]byte("a,b\n1,2\n"))
	there := filepath.Join(dir, exportFolder, "data.csv")
	if err := os.MkdirAll(filepath.Dir(there), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, there, "somebody's\n")
	failedDelivery(t, d, b, false, there, "other content", hexDigest([]byte("somebody's\n")), "move it away")
	if got, err := os.ReadFile(there); err != nil || string(got) != "somebody's\n" {
		t.Errorf("got %q, %v", got, err)
	}
	if got := names(t, dir); !slices.Equal(got, []string{exportFolder + "/data.csv"}) {
		t.Errorf("after the failure: %q", got)
	}

	// A link to the right bytes is not a file that stays.
	if err := errors.Join(os.Remove(there), os.WriteFile(filepath.Join(dir, "elsewhere"), []byte("a,b\n1,2\n"), 0o600), os.Symlink("../../../elsewhere", there)); err != nil {
		t.Fatal(err)
	}
	failedDelivery(t, d, b, false, there, "not a file")
}

func TestFileRemovesWhatACrashLeft(t *testing.T) {
	t.Parallel()
	d, dir := folderDestination(t)
	folder := filepath.Join(dir, exportFolder)
	other := filepath.Join(dir, "exports/2026/8")
	if err := errors.Join(os.MkdirAll(folder, 0o700), os.MkdirAll(other, 0o700)); err != nil {
		t.Fatal(err)
	}
	// Killed while the second file was written: the first is complete.
	b := bundle([]byte("a,b\n1,2\n"))
	write(t, filepath.Join(folder, "data.csv"), "a,b\n1,2\n")
	write(t, filepath.Join(folder, ".README.txt.ABCDEFGHIJKLMNOPQRSTUVWXYZ.tmp"), "Rea")
	write(t, filepath.Join(folder, ".mine.tmp"), "a person's")
	write(t, filepath.Join(other, ".data.csv.ABCDEFGHIJKLMNOPQRSTUVWXYZ.tmp"), "of another export")
	wantAll(t, d, deliver(t, d, b), b)
	got := names(t, folder)
	if len(got) != len(b.Files)+1 || got[0] != ".mine.tmp" {
		t.Errorf("got %q", got)
	}
	if got := names(t, other); len(got) != 1 {
		t.Errorf("got %q", got)
	}
}

// stopAt is a file that ends a context when it is read for the nth time.
type stopAt struct {
	io.ReadSeekCloser
	n    int
	stop func()
}

func (s *stopAt) Read(p []byte) (int, error) {
	if s.n--; s.n == 0 {
		s.stop()
	}
	return s.ReadSeekCloser.Read(p[:min(len(p), 1000)])
}

// stopping makes the data file end a context when it is read for the nth time.
func stopping(b *delivery.Bundle, n int, stop func()) {
	usual := b.Files[0].Open
	b.Files[0].Open = func() (io.ReadSeekCloser, error) {
		f, err := usual()
		return &stopAt{f, n, stop}, err
	}
}

func TestFileLeavesNothingUnfinished(t *testing.T) {
	t.Parallel()
	data := noise(50_000)
	for name, c := range map[string]struct {
		change func(b *delivery.Bundle, stop func())
		retry  bool
		says   string
	}{
		"other bytes":   {func(b *delivery.Bundle, _ func()) { damage(b, noise(49_999)) }, false, "49999 bytes, not 50000"},
		"one bit":       {func(b *delivery.Bundle, _ func()) { damage(b, append([]byte{data[0] ^ 1}, data[1:]...)) }, false, "its SHA-256 is"},
		"more bytes":    {func(b *delivery.Bundle, _ func()) { damage(b, noise(50_001)) }, false, "more than 50000"},
		"source gone":   {func(b *delivery.Bundle, _ func()) { b.Files[0].Open = opens(fs.ErrNotExist) }, false, "opening data.csv"},
		"source away":   {func(b *delivery.Bundle, _ func()) { b.Files[0].Open = opens(syscall.EIO) }, true, "opening data.csv"},
		"time ran out":  {func(b *delivery.Bundle, stop func()) { stopping(b, 20, stop) }, true, "canceled"},
		"ended at once": {func(b *delivery.Bundle, stop func()) { stop() }, true, "canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, dir := folderDestination(t)
			b := only(bundle(data))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			c.change(&b, cancel)
			_, err := d.Deliver(ctx, b)
			wantFailure(t, err, delivery.Failed, c.retry, c.says)
			if got := names(t, dir); len(got) != 0 {
				t.Errorf("it left %q", got)
			}
		})
	}
}

func opens(err error) func() (io.ReadSeekCloser, error) {
	return func() (io.ReadSeekCloser, error) { return nil, err }
}

func TestFileFollowsNoLinkOut(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"exports", "exports/2026", exportFolder} {
		for _, target := range []string{"outside", "inside"} {
			d, dir := folderDestination(t)
			to := t.TempDir()
			if target == "inside" {
				to = filepath.Join(dir, "inside")
			}
			link := filepath.Join(dir, at)
			if err := errors.Join(os.MkdirAll(to, 0o700), os.MkdirAll(filepath.Dir(link), 0o700), os.Symlink(to, link)); err != nil {
				t.Fatal(err)
			}
			failedDelivery(t, d, bundle([]byte("x")), false, link, "not a folder")
			if got := names(t, to); len(got) != 0 {
				t.Errorf("%s: %q lie %s", at, got, target)
			}
		}
	}
	// A link that was put there later leads nowhere either.
	d, dir := folderDestination(t)
	outside := t.TempDir()
	b := bundle([]byte("x"))
	receipt := deliver(t, d, b)
	if err := errors.Join(os.Rename(filepath.Join(dir, "exports"), filepath.Join(outside, "exports")), os.Symlink(filepath.Join(outside, "exports"), filepath.Join(dir, "exports"))); err != nil {
		t.Fatal(err)
	}
	wantFetch(t, d, receipt, "data.csv", delivery.ErrUnreachable)
}

// mount mounts a file system in memory, or skips the test.
func mount(t *testing.T, options string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting a small disk needs root")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("mounting a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestFileDiskFull(t *testing.T) {
	t.Parallel()
	dir := mount(t, "size=1m")
	d := load(t, dir, "file: {dir: "+dir+"}")
	b := only(bundle(noise(2 << 20)))
	failedDelivery(t, d, b, true, "disk full", dir, "make room")
	if got := names(t, dir); len(got) != 0 {
		t.Errorf("it left %q", got)
	}
	// With room again, the same delivery succeeds.
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=8m"); err != nil {
		t.Fatal(err)
	}
	wantAll(t, d, deliver(t, d, b), b)
}

func TestFileReadOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if os.Geteuid() == 0 { // whom no mode keeps from writing
		dir = mount(t, "size=1m")
		if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, "size=1m"); err != nil {
			t.Fatal(err)
		}
	} else if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	failedDelivery(t, load(t, dir, "file: {dir: "+dir+"}"), bundle([]byte("x")), false, dir, "worker's user")
}

func TestFileFolderIsNotThere(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "disk")
	d := load(t, t.TempDir(), "file: {dir: "+dir+"}")
	failedDelivery(t, d, bundle([]byte("x")), true, dir, "mount its disk")
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder was made: %v", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	b := bundle([]byte("x"))
	receipt := deliver(t, d, b)
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	wantFetch(t, d, receipt, "data.csv", delivery.ErrUnreachable)
}

func TestFileFetch(t *testing.T) {
	t.Parallel()
	d, dir := folderDestination(t)
	b := bundle([]byte("a,b\n1,2\n"))
	receipt := deliver(t, d, b)
	at := func(name string) string { return filepath.Join(dir, exportFolder, name) }

	// What lies there now, whatever it is.
	write(t, at("data.csv"), "tampered")
	if got, err := fetched(t, d, receipt, "data.csv"); err != nil || string(got) != "tampered" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := errors.Join(os.Remove(at("README.txt")), os.Remove(at("SHA256SUMS")), syscall.Mkfifo(at("SHA256SUMS"), 0o600)); err != nil {
		t.Fatal(err)
	}
	wantFetch(t, d, receipt, "README.txt", delivery.ErrMissing)
	wantFetch(t, d, receipt, "SHA256SUMS", delivery.ErrMissing) // a pipe, which nobody writes to
	wantFetch(t, d, receipt, "other.csv", delivery.ErrMissing)

	// A receipt leads nowhere but to a place of a delivery.
	write(t, filepath.Join(dir, "secret"), "secret")
	for _, key := range []string{"secret", "../secret", "/etc/passwd", "exports/2026/7/../../../secret", "exports/2026/7/README.txt/..", "exports/2026/07/secret", "", "exports/2026/7/secret\n"} {
		forged := delivery.Receipt{Objects: []delivery.Object{{Name: "secret", Key: key}}}
		wantFetch(t, d, forged, "secret", delivery.ErrMissing)
	}
}

func TestBundlesThatNoDestinationTakes(t *testing.T) {
	t.Parallel()
	d, dir := folderDestination(t)
	for name, c := range map[string]struct {
		change func(b *delivery.Bundle)
		says   string
	}{
		"no export":        {func(b *delivery.Bundle) { b.ExportID = 0 }, "export ID"},
		"no attempt":       {func(b *delivery.Bundle) { b.Attempt = 0 }, "attempt"},
		"no time":          {func(b *delivery.Bundle) { b.SealedAt = sealedAt.AddDate(-9999, 0, 0) }, "sealed"},
		"no manifest":      {func(b *delivery.Bundle) { b.ManifestFile = "other" }, "manifest"},
		"no files":         {func(b *delivery.Bundle) { b.Files = nil }, "manifest"},
		"twice":            {func(b *delivery.Bundle) { b.Files[1].Name = "data.csv" }, "two files"},
		"escape":           {func(b *delivery.Bundle) { b.Files[0].Name = "../data.csv" }, "name"},
		"folder":           {func(b *delivery.Bundle) { b.Files[0].Name = "a/data.csv" }, "name"},
		"hidden":           {func(b *delivery.Bundle) { b.Files[0].Name = ".data.csv" }, "name"},
		"header":           {func(b *delivery.Bundle) { b.Files[0].Name = "a\"\r\nBcc: eve@example.com" }, "name"},
		"line end":         {func(b *delivery.Bundle) { b.Files[0].Name = "data.csv\n" }, "name"},
		"long name":        {func(b *delivery.Bundle) { b.Files[0].Name = strings.Repeat("a", 161) }, "name"},
		"no digest":        {func(b *delivery.Bundle) { b.Files[0].SHA256 = "" }, "SHA-256"},
		"digest in CAPS":   {func(b *delivery.Bundle) { b.Files[0].SHA256 = strings.ToUpper(b.Files[0].SHA256) }, "SHA-256"},
		"negative size":    {func(b *delivery.Bundle) { b.Files[0].Size = -1 }, "size"},
		"cannot be opened": {func(b *delivery.Bundle) { b.Files[0].Open = nil }, "opened"},
	} {
		b := bundle([]byte("x"))
		c.change(&b)
		_, err := d.Deliver(t.Context(), b)
		var e *delivery.Error
		if !errors.As(err, &e) || e.Retry || e.Outcome != delivery.Failed || !strings.Contains(e.Reason, c.says) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if got := names(t, dir); len(got) != 0 {
		t.Errorf("they left %q", got)
	}
}
