package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"finobs/internal/audit"
	"finobs/internal/audit/audittest"
	"finobs/internal/ledger"
)

const (
	verifyEntries = 200_000
	verifyAll     = 1_000_000 // in full
	proofCount    = 2_000     // proofs of one round
	growBatch     = 1_024     // leaves of one append, as many as the sequencer takes at most
)

// madeLog is a signed log in a folder, and what the floors need of it in memory.
type madeLog struct {
	*audittest.Log
	dir, keys string
	finaudit  string
}

// measureVerify compares `finaudit verify`, which starts as a process of its own and
// reads the log from files, with the hashing that it cannot do without; and proofs
// and appends over tiles, which are checked each time, with a tree in memory.
func measureVerify(ctx context.Context, b *bench) error {
	n := int64(verifyEntries)
	if b.full {
		n = verifyAll
	}
	l, err := b.makeLog(ctx, n)
	if err != nil {
		return err
	}
	leaves, err := l.leaves()
	if err != nil {
		return err
	}
	for _, goroutines := range []int{1, runtime.NumCPU()} {
		floor := hashRate(leaves, goroutines)
		floorIs := fmt.Sprintf("SHA-256 of the same leaves and of their tree, in memory, %d goroutines", goroutines)
		if goroutines == 1 {
			floorIs = "SHA-256 of the same leaves and of their tree, in memory, one goroutine"
		}
		for _, c := range []struct {
			name, dir string
			goal      float64
		}{{"entries and columns", "whole", 0}, {"entries alone", "entries", 0.5}} {
			err := b.measure(ctx, comparison{
				name: fmt.Sprintf("verify/%s, floor of %d", c.name, goroutines), unit: "entries/s", better: higher, goal: c.goal, floor: floorIs,
				ours: l.verifyRate(c.dir), plain: floor,
			})
			if err != nil {
				return err
			}
		}
	}
	memory, err := newMemoryTree(leaves)
	if err != nil {
		return err
	}
	err = b.measure(ctx, comparison{
		name: fmt.Sprintf("verify/proofs at %d entries", n), unit: "proofs/s", better: higher, floor: "a tree in memory that is believed",
		ours: l.proofRate, plain: memory.proofRate,
	})
	if err != nil {
		return err
	}
	return b.measure(ctx, comparison{
		name: fmt.Sprintf("verify/appends to a tree of %d", n), unit: "leaves/s", better: higher, floor: "a tree in memory that is believed",
		ours: l.growRate(leaves), plain: memory.growRate(leaves),
	})
}

// makeLog writes a log twice, once without its columns; the bundles of entries are
// the same files.
func (b *bench) makeLog(ctx context.Context, n int64) (*madeLog, error) {
	l := &madeLog{dir: filepath.Join(b.dir, "log"), keys: filepath.Join(b.dir, "log.keys"), finaudit: filepath.Join(b.dir, "finaudit")}
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", l.finaudit, "./cmd/finaudit").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building: %w\n%s", err, out)
	}
	whole, entries := filepath.Join(l.dir, "whole"), filepath.Join(l.dir, "entries")
	var err error
	l.Log, err = audittest.Make(n, func(path string, text []byte) error {
		for _, dir := range []string{whole, entries} {
			if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(path)), 0o755); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(whole, path), text, 0o600); err != nil {
			return err
		}
		if filepath.Dir(path) != "." && path[:4] == "proj" {
			return nil
		}
		return os.Link(filepath.Join(whole, path), filepath.Join(entries, path))
	})
	if err != nil {
		return nil, fmt.Errorf("making a log: %w", err)
	}
	return l, os.WriteFile(l.keys, []byte(l.Key+" 0 -\n"), 0o600)
}

// leaves are the entries, from the files.
func (l *madeLog) leaves() ([][]byte, error) {
	var out [][]byte
	for n := range audit.Bundles(l.Tree.Size) {
		data, err := os.ReadFile(filepath.Join(l.dir, "entries", audit.EntriesPath(n, audit.Width(l.Tree.Size, n))))
		if err != nil {
			return nil, err
		}
		more, err := audit.SplitBundle(data)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

// verifyRate runs finaudit over one of the folders.
func (l *madeLog) verifyRate(dir string) func(context.Context) (float64, error) {
	return func(ctx context.Context) (float64, error) {
		began := time.Now()
		out, err := exec.CommandContext(ctx, l.finaudit, "verify", filepath.Join(l.dir, dir), "--keys", l.keys).CombinedOutput()
		took := time.Since(began)
		if err != nil {
			return 0, fmt.Errorf("verifying: %w\n%s", err, out)
		}
		if !bytes.Contains(out, fmt.Appendf(nil, "all %d make up that tree", l.Tree.Size)) {
			return 0, fmt.Errorf("verifying %d entries: it said %s", l.Tree.Size, out)
		}
		return float64(l.Tree.Size) / took.Seconds(), nil
	}
}

// proofRate makes proofs from tiles, each of which is checked against the root.
func (l *madeLog) proofRate(context.Context) (float64, error) {
	began := time.Now()
	for i := range int64(proofCount) {
		p, err := ledger.ProveLeaf(l.Tree, i*(l.Tree.Size/proofCount), nil, l.Tiles)
		if err != nil {
			return 0, err
		}
		if len(p) == 0 {
			return 0, errors.New("a proof is empty")
		}
	}
	return proofCount / time.Since(began).Seconds(), nil
}

// growRate appends batches to the tree over and over, from its tiles.
func (l *madeLog) growRate(leaves [][]byte) func(context.Context) (float64, error) {
	batch := leafHashes(leaves[:growBatch])
	return func(context.Context) (float64, error) {
		const batches = 50
		began := time.Now()
		for range batches {
			if _, _, err := ledger.Grow(l.Tree, batch, l.Tiles); err != nil {
				return 0, err
			}
		}
		return batches * growBatch / time.Since(began).Seconds(), nil
	}
}
