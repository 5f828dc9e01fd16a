package seal_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"finobs/internal/export"
	"finobs/internal/seal"
)

// packed is a tar archive of members, which have the given headers.
func packed(t testing.TB, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		m.Size, m.Mode = int64(len(m.content)), 0o600
		if m.Typeflag != 0 && m.Typeflag != tar.TypeReg {
			m.Size = 0
		}
		if err := w.WriteHeader(&m.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(m.content[:m.Size]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type member struct {
	tar.Header
	content []byte
}

func (b bundle) members(prefix string) []member {
	var out []member
	for _, name := range slices.Sorted(maps.Keys(b)) {
		out = append(out, member{tar.Header{Name: prefix + name}, b[name]})
	}
	return out
}

func TestFoldersAndArchives(t *testing.T) {
	s := newSite(t)
	m := s.export(order{id: 7, format: export.Parquet, compression: export.Zstd, rows: 3})
	dir := filepath.Join(t.TempDir(), "bundle")
	m.files.unpack(t, dir)
	s.expect("a folder", seal.Dir(dir), export.Verified, "")
	for name, content := range map[string][]byte{
		"an archive":           packed(t, m.files.members("")...),
		"an archive of a dot":  packed(t, append([]member{{Header: tar.Header{Name: "./", Typeflag: tar.TypeDir}}}, m.files.members("./")...)...),
		"an archive, appended": append(packed(t, m.files.members("")...), make([]byte, 10240)...),
	} {
		path := filepath.Join(t.TempDir(), "bundle.tar")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		archive, err := seal.Tar(path)
		if err != nil {
			t.Fatal(name, err)
		}
		s.expect(name, archive, export.Verified, "")
		if err := archive.Close(); err != nil {
			t.Error(err)
		}
	}
	s.expect("a folder that is not there", seal.Dir(dir+"x"), export.Unreachable, "unreadable")
	if _, err := seal.Tar(filepath.Join(dir, seal.ReadmeFile)); err == nil {
		t.Error("a text was opened as an archive")
	}
	if _, err := seal.Tar(dir); err == nil {
		t.Error("a folder was opened as an archive")
	}
	if _, err := seal.Tar(dir + "x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestFoldersThatLeadElsewhere(t *testing.T) {
	s := newSite(t)
	m := s.export(order{id: 7, format: export.CSV, compression: export.Plain, rows: 3})
	for name, put := range map[string]func(path string) error{
		"a link":   func(path string) error { return os.Symlink("/etc/hostname", path) },
		"a folder": func(path string) error { return os.Mkdir(path, 0o700) },
		"a socket": func(path string) error {
			l, err := net.Listen("unix", path)
			if err == nil {
				t.Cleanup(func() { l.Close() })
			}
			return err
		},
	} {
		for _, file := range []string{m.artefact, seal.ManifestFile, seal.ReadmeFile} {
			dir, err := os.MkdirTemp("", "b") // the path of a socket must be short
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			m.files.without(file).unpack(t, dir)
			if file == m.artefact && name == "a socket" {
				continue // its name is longer than a socket's may be
			}
			if err := put(filepath.Join(dir, file)); err != nil {
				t.Fatal(err)
			}
			s.expect(name+" in the place of "+file, seal.Dir(dir), export.Tampered, "unsafe")
		}
	}
	dir := t.TempDir()
	m.files.unpack(t, dir)
	for i := range 100 {
		if err := os.WriteFile(filepath.Join(dir, strings.Repeat("x", i+1)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.expect("a full folder", seal.Dir(dir), export.Tampered, "extra_file")
	if _, _, err := seal.Dir(dir).Open("../" + filepath.Base(dir) + "/x"); !errors.Is(err, seal.ErrUnsafe) {
		t.Errorf("a path was followed: %v", err)
	}
}

func TestArchivesThatLeadElsewhere(t *testing.T) {
	s := newSite(t)
	m := s.export(order{id: 7, format: export.CSV, compression: export.Plain, rows: 3})
	good := m.files.members("")
	rest := m.files.without(seal.ReadmeFile).members("")
	for name, c := range map[string]struct {
		members []member
		verdict export.Verdict
		code    string
	}{
		"in a folder":   {m.files.members("bundle/"), export.Tampered, "unsafe"},
		"a path":        {append(slices.Clone(good), member{Header: tar.Header{Name: "../../x"}}), export.Tampered, "unsafe"},
		"a link":        {append(rest, member{Header: tar.Header{Name: seal.ReadmeFile, Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}}), export.Tampered, "unsafe"},
		"a hard link":   {append(rest, member{Header: tar.Header{Name: seal.ReadmeFile, Typeflag: tar.TypeLink, Linkname: m.artefact}}), export.Tampered, "unsafe"},
		"a device":      {append(rest, member{Header: tar.Header{Name: seal.ReadmeFile, Typeflag: tar.TypeChar}}), export.Tampered, "unsafe"},
		"a file twice":  {append(slices.Clone(good), member{tar.Header{Name: m.artefact}, []byte("x")}), export.Tampered, "unsafe"},
		"nothing":       {nil, export.Missing, "manifest_missing"},
		"another file":  {append(slices.Clone(good), member{Header: tar.Header{Name: "x"}}), export.Tampered, "extra_file"},
		"without a few": {good[2:], export.Missing, "approval_missing"},
	} {
		content := packed(t, c.members...)
		archive, err := seal.TarOf(bytes.NewReader(content), int64(len(content)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if name == "without a few" {
			c.code = map[bool]string{true: "approval_missing", false: "readme_missing"}[good[0].Name == seal.ApprovalFile || good[1].Name == seal.ApprovalFile]
		}
		s.expect(name, archive, c.verdict, c.code)
	}
	whole := packed(t, good...)
	if _, err := seal.TarOf(bytes.NewReader(whole), 700); err == nil {
		t.Error("an archive was opened that ends within a member")
	}
}

// Memory does not grow with the artefact.
func TestMemoryDoesNotGrow(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 64 MiB")
	}
	s := newSite(t)
	for _, f := range []export.Format{export.CSV, export.NDJSON} {
		m := s.export(order{id: 7, format: f, compression: export.Plain, rows: 150_000})
		size := len(m.files[m.artefact])
		dir := filepath.Join(t.TempDir(), "bundle")
		m.files.unpack(t, dir)
		held := peak(func() { s.expect("as sealed", seal.Dir(dir), export.Verified, "") })
		t.Logf("%s of %d MiB: %d KiB in use", f, size>>20, held>>10)
		if held > 8<<20 {
			t.Errorf("%s of %d bytes: %d bytes in use", f, size, held)
		}
	}
}

// peak is by how much the heap in use grows while f runs.
func peak(f func()) uint64 {
	inUse := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, most := inUse(), uint64(0)
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	for {
		select {
		case <-done:
			return most
		default:
			if now := inUse(); now > before {
				most = max(most, now-before)
			}
			time.Sleep(5 * time.Millisecond) // or collecting garbage is all that is done
		}
	}
}
