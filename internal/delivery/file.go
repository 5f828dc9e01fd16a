package delivery

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
)

// Modes of what is made in a folder: the group may read it.
const (
	folderMode = 0o750
	fileMode   = 0o640
)

// unfinished are the names of files that are being written. No name of a bundle
// begins with a dot.
var unfinished = regexp.MustCompile(`^\.` + fileName + `\.[A-Z2-7]{26}\.tmp$`)

// directory is a Destination: a folder on this machine, or one that is mounted.
type directory struct {
	name string // of the destination
	dir  string
}

// Repeatable implements Destination: nothing is ever overwritten.
func (d *directory) Repeatable() bool { return true }

// Describe implements Destination.
func (d *directory) Describe() Description {
	return Description{Type: "file", Settings: settings("name", d.name, "dir", d.dir)}
}

// Deliver implements Destination. The folder itself must be there: were it made,
// a disk that is not mounted would go unnoticed.
func (d *directory) Deliver(ctx context.Context, b Bundle) (Receipt, error) {
	if err := b.check(); err != nil {
		return Receipt{}, err
	}
	root, err := os.OpenRoot(d.dir)
	if err != nil {
		return Receipt{}, d.failure("opening the folder", err)
	}
	defer root.Close()
	folder := b.folder()
	if err := d.makeFolders(root, folder); err != nil {
		return Receipt{}, err
	}
	into, err := root.OpenRoot(folder)
	if err != nil {
		return Receipt{}, d.failure("opening "+folder, err)
	}
	defer into.Close()
	if err := removeUnfinished(into); err != nil {
		return Receipt{}, d.failure("removing what an earlier attempt left in "+folder, err)
	}
	objects, err := b.each(func(f File) (Object, error) {
		key := path.Join(folder, f.Name)
		if err := d.put(ctx, into, key, f); err != nil {
			return Object{}, err
		}
		return Object{Name: f.Name, Key: key, Size: f.Size, SHA256: f.SHA256}, nil
	})
	if err != nil {
		return Receipt{}, err
	}
	return Receipt{Ref: filepath.Join(d.dir, folder), Objects: objects}, nil
}

// makeFolders makes a folder and those above it, durably. It follows no symbolic
// link: os.Root lets none lead out, and one that leads elsewhere inside would put
// two exports into one place.
func (d *directory) makeFolders(root *os.Root, folder string) error {
	above, sofar := ".", ""
	for part := range strings.SplitSeq(folder, "/") {
		sofar = path.Join(sofar, part)
		if err := root.Mkdir(sofar, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
			return d.failure("making "+sofar, err)
		}
		info, err := root.Lstat(sofar)
		if err != nil {
			return d.failure("looking at "+sofar, err)
		}
		if !info.IsDir() {
			return failed(false, nil, "%s is not a folder (%s); move it away and deliver again", filepath.Join(d.dir, sofar), info.Mode().Type())
		}
		if err := syncFolder(root, above); err != nil {
			return d.failure("syncing "+above, err)
		}
		above = sofar
	}
	return nil
}

// put copies one file. It has its name only when all its bytes are on the disk.
func (d *directory) put(ctx context.Context, into *os.Root, key string, f File) error {
	if there, err := d.holds(ctx, into, key, f); there || err != nil {
		return err
	}
	from, err := open(ctx, f)
	if err != nil {
		return err
	}
	defer from.Close()
	temporary := "." + f.Name + "." + rand.Text() + ".tmp"
	defer into.Remove(temporary) //nolint:errcheck // the next attempt comes by again
	if err := write(into, temporary, from); err != nil {
		if from.err != nil {
			return from.err
		}
		return d.failure("writing "+key, err)
	}
	// A link, for it never replaces what is there; rename does.
	if err := into.Link(temporary, f.Name); errors.Is(err, fs.ErrExist) {
		if _, err := d.holds(ctx, into, key, f); err != nil {
			return err
		}
	} else if err != nil {
		return d.failure("naming "+key, err)
	}
	if err := syncFolder(into, "."); err != nil {
		return d.failure("syncing the folder of "+key, err)
	}
	return nil
}

func write(into *os.Root, name string, from io.Reader) error {
	out, err := into.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, fileMode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, from)
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

// holds reports whether a file lies there already. One with other bytes is an
// error.
func (d *directory) holds(ctx context.Context, into *os.Root, key string, f File) (bool, error) {
	there, err := openRegular(into, f.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if errors.Is(err, errNotRegular) {
		return false, failed(false, err, "%s is there and is not a file; move it away and deliver again", filepath.Join(d.dir, key))
	}
	if err != nil {
		return false, d.failure("reading "+key, err)
	}
	defer there.Close()
	got, err := digest(ctx, there)
	if err != nil {
		return false, d.failure("reading "+key, err)
	}
	if got != f.SHA256 {
		return false, failed(false, nil,
			"%s is there with other content: its SHA-256 is %s, not %s; it stays as it is: find out who wrote it, move it away, and deliver again",
			filepath.Join(d.dir, key), got, f.SHA256)
	}
	return true, nil
}

var errNotRegular = errors.New("it is not a regular file")

// openRegular opens a file, but no symbolic link, and nothing that opening would
// wait for.
func openRegular(root *os.Root, name string) (*os.File, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	return root.Open(name)
}

func removeUnfinished(folder *os.Root) error {
	entries, err := fs.ReadDir(folder.FS(), ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !unfinished.MatchString(e.Name()) {
			continue
		}
		if err := folder.Remove(e.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// syncFolder makes the names in a folder durable.
func syncFolder(root *os.Root, name string) error {
	folder, err := root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// failure says what an error of the file system means.
func (d *directory) failure(act string, err error) *Error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return failed(true, err, "disk full: %s in %s: %v; make room there", act, d.dir, err)
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return failed(false, err, "%s in %s: %v; let the worker's user write there", act, d.dir, err)
	case errors.Is(err, fs.ErrNotExist):
		return failed(true, err, "%s in %s: %v; make the folder, or mount its disk", act, d.dir, err)
	}
	return failed(true, err, "%s in %s: %v", act, d.dir, err)
}

// Fetch implements Destination.
func (d *directory) Fetch(_ context.Context, r Receipt, name string) (io.ReadCloser, error) {
	o, err := r.object("", name)
	if err != nil {
		return nil, err
	}
	where := filepath.Join(d.dir, o.Key)
	root, err := os.OpenRoot(d.dir)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w: %w", d.dir, ErrUnreachable, err)
	}
	defer root.Close()
	file, err := openRegular(root, o.Key)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, errNotRegular):
		return nil, fmt.Errorf("opening %s: %w: %w", where, ErrMissing, err)
	case err != nil:
		return nil, fmt.Errorf("opening %s: %w: %w", where, ErrUnreachable, err)
	}
	return reading{file, where}, nil
}
