// Package audit verifies a downloaded copy of the log from files alone: with
// public keys, an older checkpoint, and no word of the operator's.
//
// A copy is a folder of what the log serves over HTTP (C2SP tlog-tiles):
// checkpoint, tile/entries/…, and projection/…, which are the columns that people
// were shown.
package audit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"

	"finobs/internal/ledger"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// What a verification can find. Each has an exit code of finaudit.
var (
	ErrSignature  = ledger.ErrSignature
	ErrInclusion  = errors.New("the entries do not make up the tree that was signed")
	ErrFork       = errors.New("the log is not a continuation of the older checkpoint")
	ErrProjection = errors.New("columns differ from the leaf")
	ErrGap        = errors.New("an entry is missing")
)

// Copy is a downloaded log.
type Copy struct {
	Files  fs.FS
	Origin string
	// Keys are the verifiers that a tree of a size may be signed by.
	Keys func(size int64) []note.Verifier
}

// Checkpoint opens the checkpoint of the copy.
func (c Copy) Checkpoint() (ledger.Tree, error) {
	text, err := fs.ReadFile(c.Files, "checkpoint")
	if err != nil {
		return ledger.Tree{}, fmt.Errorf("reading the checkpoint: %w", err)
	}
	return c.Open(text)
}

// Open opens a checkpoint with the keys that are valid for its size.
func (c Copy) Open(text []byte) (ledger.Tree, error) {
	_, peeked, err := ledger.PeekCheckpoint(text)
	if err != nil {
		return ledger.Tree{}, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return ledger.OpenCheckpoint(text, c.Origin, c.Keys(peeked.Size)...)
}

// bundlePath is where a bundle of entries, or of their columns, lies.
func bundlePath(kind string, n, width int64) string {
	t := tlog.Tile{H: ledger.TileHeight, L: -1, N: n, W: int(width)}
	return kind + strings.TrimPrefix(t.Path(), "tile/8/data")
}

// EntriesPath is the path of a bundle of entries within a log.
func EntriesPath(n, width int64) string { return bundlePath("tile/entries", n, width) }

// ProjectionPath is the path of the columns of a bundle within a log.
func ProjectionPath(n, width int64) string { return bundlePath("projection", n, width) }

// Width is how many entries bundle n of a tree has.
func Width(size, n int64) int64 { return min(ledger.TileWidth, size-n*ledger.TileWidth) }

// Bundles is how many bundles a tree has.
func Bundles(size int64) int64 { return (size + ledger.TileWidth - 1) / ledger.TileWidth }

// Report is what a verification covered.
type Report struct {
	Size        int64
	Projections int64 // entries whose columns were compared
}

// Verify checks the whole copy: the signature, every entry, the root over all of
// them, that an older tree (if it is not empty) is the beginning, and every
// column. progress is told how many entries are done, now and then.
func (c Copy) Verify(older ledger.Tree, progress func(done, total int64)) (Report, error) {
	tree, err := c.Checkpoint()
	if err != nil {
		return Report{}, err
	}
	if older.Size > tree.Size {
		return Report{}, fmt.Errorf("%w: it has %d entries, the older checkpoint had %d", ErrFork, tree.Size, older.Size)
	}
	r := &run{copy: c, size: tree.Size, progress: progress, older: older}
	if err := r.all(); err != nil {
		return r.report, err
	}
	if got := r.root(tree.Size); got != tree.Root {
		return r.report, fmt.Errorf("%w: the root over %d entries is %v, signed was %v; %s", ErrInclusion, tree.Size, got, tree.Root, c.blame(tree, r))
	}
	if older.Size > 0 && r.root(older.Size) != older.Root {
		return r.report, fmt.Errorf("%w: the first %d entries are not those of the older checkpoint", ErrFork, older.Size)
	}
	return r.report, nil
}

// run is one verification. Bundles are read and hashed side by side, and joined
// in order.
type run struct {
	copy     Copy
	size     int64
	older    ledger.Tree
	progress func(done, total int64)

	hashes []tlog.Hash // of all leaves: 32 bytes an entry
	roots  []tlog.Hash // over the leaves of each bundle, which is a subtree
	report Report
}

// result is what one bundle came to.
type result struct {
	n      int64
	hashes []tlog.Hash
	root   tlog.Hash
	shown  int64
	err    error
}

func (r *run) all() error {
	bundles := Bundles(r.size)
	r.hashes, r.roots = make([]tlog.Hash, r.size), make([]tlog.Hash, bundles)
	next := make(chan int64)
	done := make(chan result, runtime.NumCPU())
	stop := make(chan struct{})
	var workers sync.WaitGroup
	for range runtime.NumCPU() {
		workers.Go(func() {
			var s scratch
			for n := range next {
				done <- r.bundle(n, &s)
			}
		})
	}
	go func() {
		defer close(next)
		for n := range bundles {
			select {
			case next <- n:
			case <-stop:
				return
			}
		}
	}()
	go func() { workers.Wait(); close(done) }()
	var first result
	stopped := false
	for b := range done {
		if b.err != nil {
			if first.err == nil || b.n < first.n {
				first = b
			}
			if !stopped {
				stopped = true
				close(stop)
			}
			continue
		}
		copy(r.hashes[b.n*ledger.TileWidth:], b.hashes)
		r.roots[b.n] = b.root
		r.report.Size += int64(len(b.hashes))
		r.report.Projections += b.shown
		if r.progress != nil {
			r.progress(r.report.Size, r.size)
		}
	}
	return first.err
}

// scratch is memory that a worker uses again for every bundle.
type scratch struct {
	entries, columns bytes.Buffer
	quick            quick
}

// readInto reads a file. What it returns is there until the buffer is used again.
func readInto(b *bytes.Buffer, files fs.FS, name string) ([]byte, error) {
	f, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b.Reset()
	_, err = b.ReadFrom(f)
	return b.Bytes(), err
}

func (r *run) bundle(n int64, s *scratch) result {
	width := Width(r.size, n)
	out := result{n: n}
	data, err := readInto(&s.entries, r.copy.Files, EntriesPath(n, width))
	if err != nil {
		out.err = fmt.Errorf("%w: %s", ErrGap, r.copy.lost(n, width, err))
		return out
	}
	leaves, err := SplitBundle(data)
	if err == nil && int64(len(leaves)) != width {
		err = fmt.Errorf("the bundle has %d entries, not %d", len(leaves), width)
	}
	if err != nil {
		out.err = fmt.Errorf("%w: entries from %d: %w", ErrGap, n*ledger.TileWidth, err)
		return out
	}
	out.hashes = make([]tlog.Hash, len(leaves))
	for i, leaf := range leaves {
		out.hashes[i] = ledger.LeafHash(leaf)
	}
	out.root = rootOf(out.hashes)
	shown, err := r.copy.compare(n, width, leaves, s)
	out.shown = shown
	if err != nil && errors.Is(err, ErrProjection) {
		// A changed leaf differs from its columns too; the tree says which it is.
		if differs := r.copy.tileDiffers(n, width, out.hashes); differs != nil {
			err = differs
		}
	}
	out.err = err
	return out
}

// lost says what the log said when a bundle was downloaded, or why it cannot be
// read.
func (c Copy) lost(n, width int64, err error) string {
	if said, readErr := fs.ReadFile(c.Files, EntriesPath(n, width)+".lost"); readErr == nil {
		return string(said)
	}
	return fmt.Sprintf("entries %d to %d cannot be read: %v", n*ledger.TileWidth, n*ledger.TileWidth+width-1, err)
}

// SplitBundle cuts an entry bundle into its entries: each is preceded by its
// length in two bytes, big-endian (C2SP tlog-tiles).
func SplitBundle(data []byte) ([][]byte, error) {
	out := make([][]byte, 0, ledger.TileWidth)
	for len(data) > 0 {
		if len(data) < 2 {
			return out, errors.New("the bundle ends within a length")
		}
		n := int(binary.BigEndian.Uint16(data))
		if len(data) < 2+n {
			return out, errors.New("the bundle ends within an entry")
		}
		out = append(out, data[2:2+n])
		data = data[2+n:]
	}
	return out, nil
}

// root is the root over the first n entries: over their full bundles and what is
// left, as a bundle has a power of two of them.
func (r *run) root(n int64) tlog.Hash {
	full := n / ledger.TileWidth
	roots := slices.Clone(r.roots[:full])
	if rest := r.hashes[full*ledger.TileWidth : n]; len(rest) > 0 {
		roots = append(roots, rootOf(rest))
	}
	return rootOf(roots)
}

// rootOf is RFC 6962, section 2.1.
func rootOf(leaves []tlog.Hash) tlog.Hash {
	if len(leaves) == 0 {
		h, err := tlog.TreeHash(0, nil)
		if err != nil {
			panic(err) // the hash of the empty tree reads nothing
		}
		return h
	}
	level := slices.Clone(leaves)
	// Level by level: an odd hash at the end goes up as it is, which is the same
	// as splitting at the largest power of two.
	for len(level) > 1 {
		half := level[:0:len(level)]
		for i := 0; i+1 < len(level); i += 2 {
			half = append(half, tlog.NodeHash(level[i], level[i+1]))
		}
		if len(level)%2 == 1 {
			half = append(half, level[len(level)-1])
		}
		level = half
	}
	return level[0]
}

// tileDiffers finds the first entry whose hash is not the one in the copy's tile
// of hashes; nil when the copy has no such tile, or none differs.
func (c Copy) tileDiffers(n, width int64, hashes []tlog.Hash) error {
	t := tlog.Tile{H: ledger.TileHeight, L: 0, N: n, W: int(width)}
	data, err := fs.ReadFile(c.Files, TilePath(t))
	if err != nil {
		data = nil // without the tile nothing can be said
	}
	if len(data) < len(hashes)*tlog.HashSize {
		return nil
	}
	for i, h := range hashes {
		if tlog.Hash(data[i*tlog.HashSize:(i+1)*tlog.HashSize]) != h {
			return fmt.Errorf("%w: entry %d is not the one that was sequenced", ErrInclusion, n*ledger.TileWidth+int64(i))
		}
	}
	return nil
}

// TilePath is the path of a tile of hashes within a log.
func TilePath(t tlog.Tile) string {
	return path.Join("tile", strings.TrimPrefix(t.Path(), "tile/8/"))
}

// blame says which entry is wrong, by the tiles of hashes in the copy, as far as
// they make up the tree that was signed.
func (c Copy) blame(tree ledger.Tree, r *run) string {
	reader := ledger.Hashes(tree, func(tiles []tlog.Tile) ([][]byte, error) {
		out := make([][]byte, len(tiles))
		for i, t := range tiles {
			data, err := fs.ReadFile(c.Files, TilePath(t))
			if err != nil {
				return nil, err
			}
			out[i] = data
		}
		return out, nil
	})
	for n := range Bundles(r.size) {
		width := Width(r.size, n)
		indexes := make([]int64, width)
		for i := range indexes {
			indexes[i] = tlog.StoredHashIndex(0, n*ledger.TileWidth+int64(i))
		}
		signed, err := reader.ReadHashes(indexes)
		if err != nil {
			return fmt.Sprintf("the tiles do not make up that tree either (bundle %d: %v)", n, err)
		}
		for i, h := range signed {
			if index := n*ledger.TileWidth + int64(i); r.hashes[index] != h {
				return fmt.Sprintf("entry %d is not the one that was signed", index)
			}
		}
	}
	return "no entry differs from the tiles"
}
