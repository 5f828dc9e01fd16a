package seal

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Bundle is where the files of a bundle are read from. Names lists everything that
// is there, also what does not belong; a bundle is flat. Open fails with
// fs.ErrNotExist for what is not there, and with ErrUnsafe for what is no plain
// file.
type Bundle interface {
	Names() ([]string, error)
	Open(name string) (f File, size int64, err error) // size in bytes
}

// File is a file of a bundle.
type File interface {
	io.ReaderAt
	io.Closer
}

// ErrUnsafe is wrapped for what no bundle holds and a verifier does not follow:
// links, folders, devices.
var ErrUnsafe = errors.New("not a plain file")

// Dir is the bundle in the folder at path.
func Dir(path string) Bundle { return dir(path) }

type dir string

// Names implements Bundle. A folder of more than maxFiles files is cut short: it is
// refused anyhow.
func (d dir) Names() ([]string, error) {
	folder, err := os.Open(string(d))
	if err != nil {
		return nil, fmt.Errorf("reading bundle: %w", err)
	}
	defer folder.Close()
	names, err := folder.Readdirnames(maxFiles + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading bundle: %w", err)
	}
	return names, nil
}

// Open implements Bundle.
func (d dir) Open(name string) (File, int64, error) {
	if !fileName.MatchString(name) {
		return nil, 0, fmt.Errorf("%w: %q", ErrUnsafe, name)
	}
	path := filepath.Join(string(d), name)
	seen, err := os.Lstat(path)
	if err != nil {
		return nil, 0, fmt.Errorf("reading bundle: %w", err)
	}
	if !seen.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%w: %s", ErrUnsafe, name)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, fmt.Errorf("reading bundle: %w", err)
	}
	now, err := file.Stat()
	if err == nil && !os.SameFile(seen, now) { // exchanged in between
		err = fmt.Errorf("%w: %s", ErrUnsafe, name)
	}
	if err != nil {
		file.Close()
		return nil, 0, err
	}
	return file, now.Size(), nil
}

// Tar reads the bundle in the tar archive at path; Close when done. Only the
// names are held in memory. The archive is not unpacked, so that nothing in it can
// reach the file system.
func Tar(path string) (*Archive, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading bundle: %w", err)
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%w: %s", ErrUnsafe, path)
	}
	a := &Archive{file: file, closer: file}
	if err == nil {
		err = a.index(io.NewSectionReader(file, 0, info.Size()))
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("reading bundle %s: %w", path, err)
	}
	return a, nil
}

// TarOf is Tar over size bytes that are at hand.
func TarOf(r io.ReaderAt, size int64) (*Archive, error) {
	a := &Archive{file: r}
	if err := a.index(io.NewSectionReader(r, 0, size)); err != nil {
		return nil, fmt.Errorf("reading bundle: %w", err)
	}
	return a, nil
}

// Archive is a Bundle in a tar archive.
type Archive struct {
	file   io.ReaderAt
	closer io.Closer // nil: nothing to close
	names  []string
	places map[string]place
}

// place is where a member's bytes are; one that is no plain file has none.
type place struct {
	offset, size int64
	plain        bool
}

// index finds the members. A name that comes twice is unsafe: programs differ in
// which one they unpack.
func (a *Archive) index(r *io.SectionReader) error {
	a.places = map[string]place{}
	for members := tar.NewReader(r); ; {
		h, err := members.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(h.Name, "./") // as tar -C FOLDER . writes
		if name == "" && h.Typeflag == tar.TypeDir {
			continue
		}
		offset, err := r.Seek(0, io.SeekCurrent) // package tar reads whole blocks, and no further
		if err != nil {
			return err
		}
		_, twice := a.places[name]
		at := place{offset, h.Size, h.Typeflag == tar.TypeReg && !twice && !sparse(h)}
		a.places[name] = at
		if a.names = append(a.names, name); len(a.names) > maxFiles {
			return nil // it is refused anyhow
		}
	}
}

// sparse reports whether a member's bytes are not simply what follows its header:
// what would be verified is not what other programs unpack.
func sparse(h *tar.Header) bool {
	for name := range h.PAXRecords {
		if strings.HasPrefix(name, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// Names implements Bundle.
func (a *Archive) Names() ([]string, error) { return a.names, nil }

// Open implements Bundle.
func (a *Archive) Open(name string) (File, int64, error) {
	at, there := a.places[name]
	switch {
	case !there:
		return nil, 0, fmt.Errorf("reading bundle: %s: %w", name, fs.ErrNotExist)
	case !at.plain:
		return nil, 0, fmt.Errorf("%w: %q", ErrUnsafe, name)
	}
	return section{io.NewSectionReader(a.file, at.offset, at.size)}, at.size, nil
}

// Close closes the archive.
func (a *Archive) Close() error {
	if a.closer == nil {
		return nil
	}
	return a.closer.Close()
}

// section is a member; it is closed with its archive.
type section struct{ *io.SectionReader }

// Close implements io.Closer.
func (section) Close() error { return nil }
