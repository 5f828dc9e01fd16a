package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// subtree is how many leaves a goroutine of the floor hashes at once; a power of
// two, so that the roots over them make up the tree.
const subtree = 1024

// hashRate hashes leaves and their tree (RFC 6962, section 2.1), with nothing but
// crypto/sha256.
func hashRate(leaves [][]byte, goroutines int) func(context.Context) (float64, error) {
	return func(context.Context) (float64, error) {
		began := time.Now()
		roots := make([][32]byte, (len(leaves)+subtree-1)/subtree)
		var all sync.WaitGroup
		for g := range goroutines {
			all.Go(func() {
				level := make([][32]byte, 0, subtree)
				var text []byte
				for i := g; i < len(roots); i += goroutines {
					level = level[:0]
					for _, leaf := range leaves[i*subtree : min(len(leaves), (i+1)*subtree)] {
						text = append(append(text[:0], 0), leaf...)
						level = append(level, sha256.Sum256(text))
					}
					roots[i] = bareRoot(level)
				}
			})
		}
		all.Wait()
		if bareRoot(roots) == ([32]byte{}) {
			return 0, errors.New("there is no root")
		}
		return float64(len(leaves)) / time.Since(began).Seconds(), nil
	}
}

// bareRoot is the root over hashes, which it overwrites.
func bareRoot(level [][32]byte) [32]byte {
	var node [65]byte
	node[0] = 1
	for len(level) > 1 {
		for i := 0; i+1 < len(level); i += 2 {
			copy(node[1:], level[i][:])
			copy(node[33:], level[i+1][:])
			level[i/2] = sha256.Sum256(node[:])
		}
		if len(level)%2 == 1 {
			level[len(level)/2] = level[len(level)-1]
		}
		level = level[:(len(level)+1)/2]
	}
	return level[0]
}

// memoryTree is a Merkle tree whose hashes are all in memory, in the order of
// tlog.StoredHashIndex.
type memoryTree struct {
	hashes []tlog.Hash
	size   int64
}

func newMemoryTree(leaves [][]byte) (*memoryTree, error) {
	m := &memoryTree{hashes: make([]tlog.Hash, 0, 2*len(leaves))}
	return m, m.grow(leafHashes(leaves))
}

func leafHashes(leaves [][]byte) []tlog.Hash {
	out := make([]tlog.Hash, len(leaves))
	for i, leaf := range leaves {
		out[i] = tlog.RecordHash(leaf)
	}
	return out
}

// ReadHashes implements tlog.HashReader.
func (m *memoryTree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		out[i] = m.hashes[index]
	}
	return out, nil
}

func (m *memoryTree) grow(hashes []tlog.Hash) error {
	for _, h := range hashes {
		more, err := tlog.StoredHashesForRecordHash(m.size, h, m)
		if err != nil {
			return err
		}
		m.hashes = append(m.hashes, more...)
		m.size++
	}
	return nil
}

func (m *memoryTree) proofRate(context.Context) (float64, error) {
	began := time.Now()
	for i := range int64(proofCount) {
		if _, err := tlog.ProveRecord(m.size, i*(m.size/proofCount), m); err != nil {
			return 0, err
		}
	}
	return proofCount / time.Since(began).Seconds(), nil
}

func (m *memoryTree) growRate(leaves [][]byte) func(context.Context) (float64, error) {
	batch := leafHashes(leaves[:growBatch])
	return func(context.Context) (float64, error) {
		const batches = 50
		hashes, size := len(m.hashes), m.size
		began := time.Now()
		for range batches {
			if err := m.grow(batch); err != nil {
				return 0, err
			}
			if _, err := tlog.TreeHash(m.size, m); err != nil {
				return 0, err
			}
		}
		took := time.Since(began)
		m.hashes, m.size = m.hashes[:hashes], size
		return batches * growBatch / took.Seconds(), nil
	}
}
