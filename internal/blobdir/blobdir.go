// Package blobdir keeps complete files in one folder: a name appears only when
// all its bytes are on the disk, a file is never overwritten, and no name leads
// out of the folder (os.Root).
package blobdir

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Dir is such a folder.
type Dir struct {
	root *os.Root
	path string
}

// temporaryPrefix marks files that are not complete.
const temporaryPrefix = "."

var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,159}$`)

// Open makes the folder when it is missing and opens it.
func Open(path string) (*Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("making folder: %w", err)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("opening folder: %w", err)
	}
	return &Dir{root, path}, nil
}

// Sub opens a folder within d, and makes it when it is missing.
func (d *Dir) Sub(name string) (*Dir, error) {
	if !namePattern.MatchString(name) {
		return nil, fmt.Errorf("opening folder: %q is no name of letters, digits, '.', '_' and '-'", name)
	}
	if err := d.root.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("making folder: %w", err)
	}
	if err := d.sync(); err != nil {
		return nil, err
	}
	return d.Within(name)
}

// Within opens a folder within d that is there.
func (d *Dir) Within(name string) (*Dir, error) {
	if !namePattern.MatchString(name) {
		return nil, fmt.Errorf("opening folder %q: %w", name, fs.ErrNotExist)
	}
	root, err := d.root.OpenRoot(name)
	if err != nil {
		return nil, fmt.Errorf("opening folder: %w", err)
	}
	return &Dir{root, filepath.Join(d.path, name)}, nil
}

// Close releases the folder.
func (d *Dir) Close() error { return d.root.Close() }

// Path is where a complete file lies, for messages to people.
func (d *Dir) Path(name string) string { return filepath.Join(d.path, name) }

// Pending is a file that is being written. Publish or Discard ends it.
type Pending struct {
	dir  *Dir
	name string
	file *os.File
}

// Create begins a file. The prefix tells whose it is (see RemoveTemporary).
func (d *Dir) Create(prefix string) (*Pending, error) {
	name := temporaryPrefix + prefix + "-" + rand.Text()
	file, err := d.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("creating file: %w", err)
	}
	return &Pending{dir: d, name: name, file: file}, nil
}

// Write implements io.Writer.
func (p *Pending) Write(b []byte) (int, error) { return p.file.Write(b) }

// Publish makes the file durable and gives it its name. A complete file of that
// name stays as it is, and the pending one is dropped: names carry a digest, so
// both hold the same bytes.
func (p *Pending) Publish(name string) error {
	if !namePattern.MatchString(name) {
		return fmt.Errorf("publishing file: %q is not a file name of letters, digits, '.', '_' and '-'", name)
	}
	if err := p.end(); err != nil {
		return err
	}
	err := p.dir.root.Link(p.name, name)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("naming file: %w", err)
	}
	if err := p.dir.root.Remove(p.name); err != nil {
		return fmt.Errorf("removing temporary name: %w", err)
	}
	return p.dir.sync()
}

// Discard drops the file; after Publish it does nothing.
func (p *Pending) Discard() {
	p.file.Close()
	p.dir.root.Remove(p.name) //nolint:errcheck // RemoveTemporary comes by again
}

// sync makes the names themselves durable.
func (d *Dir) sync() error {
	f, err := d.root.Open(".")
	if err != nil {
		return fmt.Errorf("opening folder: %w", err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("syncing folder: %w", err)
	}
	return nil
}

// Write makes a complete file of content, in place of one of that name. The
// prefix tells whose the unfinished file is (see RemoveTemporary).
func (d *Dir) Write(prefix, name string, content []byte) error {
	if !namePattern.MatchString(name) {
		return fmt.Errorf("writing file: %q is not a file name of letters, digits, '.', '_' and '-'", name)
	}
	p, err := d.Create(prefix)
	if err != nil {
		return err
	}
	defer p.Discard()
	if _, err := p.Write(content); err != nil {
		return fmt.Errorf("writing file: %w", err)
	}
	if err := p.end(); err != nil {
		return err
	}
	if err := d.root.Rename(p.name, name); err != nil {
		return fmt.Errorf("naming file: %w", err)
	}
	return d.sync()
}

// end makes the bytes durable.
func (p *Pending) end() error {
	if err := p.file.Sync(); err != nil {
		return fmt.Errorf("syncing file: %w", err)
	}
	if err := p.file.Close(); err != nil {
		return fmt.Errorf("closing file: %w", err)
	}
	return nil
}

// Names lists the complete files, sorted.
func (d *Dir) Names() ([]string, error) {
	entries, err := fs.ReadDir(d.root.FS(), ".")
	if err != nil {
		return nil, fmt.Errorf("listing folder: %w", err)
	}
	var names []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), temporaryPrefix) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Open opens a complete file.
func (d *Dir) Open(name string) (*os.File, error) {
	if !namePattern.MatchString(name) {
		return nil, fmt.Errorf("opening %q: %w", name, fs.ErrNotExist)
	}
	return d.root.Open(name)
}

// Remove removes a complete file; one that is not there is no error.
func (d *Dir) Remove(name string) error {
	if !namePattern.MatchString(name) {
		return fmt.Errorf("removing file: %q is not a file name of letters, digits, '.', '_' and '-'", name)
	}
	if err := d.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing file: %w", err)
	}
	return nil
}

// RemoveTemporary removes the unfinished files that were created with a prefix.
func (d *Dir) RemoveTemporary(prefix string) error {
	entries, err := fs.ReadDir(d.root.FS(), ".")
	if err != nil {
		return fmt.Errorf("listing folder: %w", err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), temporaryPrefix+prefix+"-") {
			continue
		}
		if err := d.root.Remove(e.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing unfinished file: %w", err)
		}
	}
	return nil
}

// RemoveOthers removes the complete files whose names begin with prefix, except
// one: what a crashed attempt published but never recorded.
func (d *Dir) RemoveOthers(prefix, except string) error {
	entries, err := fs.ReadDir(d.root.FS(), ".")
	if err != nil {
		return fmt.Errorf("listing folder: %w", err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), prefix) || e.Name() == except {
			continue
		}
		if err := d.root.Remove(e.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing file that was never recorded: %w", err)
		}
	}
	return nil
}

// ErrTooLarge is returned by Put when the input has more bytes than allowed.
var ErrTooLarge = errors.New("input is over the size limit")

// Put copies r into a file named by the SHA-256 of its bytes, in hexadecimal,
// and returns that and the size.
func (d *Dir) Put(r io.Reader, limit int64) (sha string, size int64, err error) {
	p, err := d.Create("put")
	if err != nil {
		return "", 0, err
	}
	defer p.Discard()
	sum := sha256.New()
	size, err = io.Copy(io.MultiWriter(p, sum), io.LimitReader(r, limit+1))
	if err != nil {
		return "", size, fmt.Errorf("storing input: %w", err)
	}
	if size > limit {
		return "", size, ErrTooLarge
	}
	sha = hex.EncodeToString(sum.Sum(nil))
	return sha, size, p.Publish(sha)
}

// Digest reads a complete file and returns the SHA-256 of its bytes in
// hexadecimal.
func (d *Dir) Digest(name string) (string, error) {
	f, err := d.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", fmt.Errorf("reading %s: %w", name, err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
