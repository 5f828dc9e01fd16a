package blobdir

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// Scratch is a folder for files that nobody keeps. It is locked while it is in
// use, and the lock ends with its process, however that ends.
type Scratch struct {
	Path string

	dir  *Dir
	name string
	lock *os.File
}

// Scratch makes a folder within d, to be closed after use, and removes those of
// the same prefix that dead processes left.
func (d *Dir) Scratch(prefix string) (*Scratch, error) {
	prefix = temporaryPrefix + prefix + "-"
	entries, err := fs.ReadDir(d.root.FS(), ".")
	if err != nil {
		return nil, fmt.Errorf("listing folder: %w", err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), prefix) {
			continue
		}
		if lock, err := d.lock(e.Name()); err == nil {
			err = d.root.RemoveAll(e.Name())
			if err = errors.Join(err, lock.Close()); err != nil {
				return nil, fmt.Errorf("removing abandoned folder: %w", err)
			}
		} else if !lost(err) {
			return nil, fmt.Errorf("looking at temporary folder: %w", err)
		}
	}
	for {
		name := prefix + rand.Text()
		if err := d.root.Mkdir(name, 0o700); err != nil {
			return nil, fmt.Errorf("making temporary folder: %w", err)
		}
		lock, err := d.lock(name)
		if err == nil {
			return &Scratch{Path: d.Path(name), dir: d, name: name, lock: lock}, nil
		}
		if !lost(err) {
			return nil, errors.Join(fmt.Errorf("locking temporary folder: %w", err), d.root.RemoveAll(name))
		}
		// Somebody took it for abandoned before it was locked, and removes it.
	}
}

// lost reports whether a folder belongs to somebody else, or is gone.
func lost(err error) bool {
	return errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, fs.ErrNotExist)
}

// lock locks a folder that is there and that nobody else has locked.
func (d *Dir) lock(name string) (*os.File, error) {
	f, err := d.root.Open(name)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		_, err = d.root.Lstat(name) // whoever had the lock until now may have removed it
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Close removes the folder.
func (s *Scratch) Close() error {
	return errors.Join(s.dir.root.RemoveAll(s.name), s.lock.Close())
}
