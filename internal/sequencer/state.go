package sequencer

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"finobs/internal/ledger"

	"golang.org/x/mod/sumdb/tlog"
)

// StateFile keeps the last statement that this host has signed, outside the
// database: whoever puts the database back does not put this back.
type StateFile struct {
	Path string

	last  ledger.Tree
	known bool
}

type stateText struct {
	Origin string `json:"origin"`
	Size   int64  `json:"size"`
	Root   string `json:"root"` // base64
}

// Known reports whether the statement is in memory.
func (f *StateFile) Known() bool { return f.known }

// Load reads the statement; an empty tree when there is none yet.
func (f *StateFile) Load(origin string) (ledger.Tree, error) {
	if f.known {
		return f.last, nil
	}
	text, err := os.ReadFile(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return ledger.Tree{}, nil
	}
	if err != nil {
		return ledger.Tree{}, fmt.Errorf("reading what was signed last: %w", err)
	}
	var s stateText
	if err := json.Unmarshal(text, &s); err != nil {
		return ledger.Tree{}, fmt.Errorf("reading %s: %w; do not delete it: find out what was signed last", f.Path, err)
	}
	root, err := base64.StdEncoding.DecodeString(s.Root)
	if err != nil || len(root) != tlog.HashSize || s.Size < 0 {
		return ledger.Tree{}, fmt.Errorf("%s holds no root or size; do not delete it: find out what was signed last", f.Path)
	}
	if s.Origin != origin {
		return ledger.Tree{}, fmt.Errorf("%s is of the log %q, not %q", f.Path, s.Origin, origin)
	}
	f.last, f.known = ledger.Tree{Size: s.Size, Root: tlog.Hash(root)}, true
	return f.last, nil
}

// Store replaces the statement, on disk before it returns.
func (f *StateFile) Store(origin string, t ledger.Tree) error {
	text, err := json.Marshal(stateText{origin, t.Size, base64.StdEncoding.EncodeToString(t.Root[:])})
	if err != nil {
		return fmt.Errorf("keeping what is signed: %w", err)
	}
	if err := replace(f.Path, text); err != nil {
		return fmt.Errorf("keeping what is signed: %w", err)
	}
	f.last, f.known = t, true
	return nil
}

// replace writes a file whole or not at all.
func replace(path string, text []byte) (err error) {
	dir := filepath.Dir(path)
	file, err := os.CreateTemp(dir, ".state-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(file.Name())
		}
	}()
	_, writeErr := file.Write(text)
	if err = errors.Join(writeErr, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err = os.Rename(file.Name(), path); err != nil {
		return err
	}
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
