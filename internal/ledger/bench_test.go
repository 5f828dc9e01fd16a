package ledger_test

import (
	"testing"

	"finobs/internal/ledger"
)

func BenchmarkLeafHash(b *testing.B) {
	leaf := make([]byte, 700) // of about an entry of a decision
	b.SetBytes(int64(len(leaf)))
	for b.Loop() {
		ledger.LeafHash(leaf)
	}
}

func BenchmarkSeal(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := entry().Seal("018f0000-0000-7000-8000-000000000001", at, [32]byte{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGrow appends a batch of 256 to a tree of 70,000.
func BenchmarkGrow(b *testing.B) {
	s := shelf{}
	tree, tiles, err := ledger.Grow(emptyTree(), leafHashes(70_000), s.read)
	if err != nil {
		b.Fatal(err)
	}
	s.put(tiles)
	batch := leafHashes(256)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := ledger.Grow(tree, batch, s.read); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkProveLeaf(b *testing.B) {
	s := shelf{}
	tree, tiles, err := ledger.Grow(emptyTree(), leafHashes(70_000), s.read)
	if err != nil {
		b.Fatal(err)
	}
	s.put(tiles)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ledger.ProveLeaf(tree, 12_345, nil, s.read); err != nil {
			b.Fatal(err)
		}
	}
}
