package ledger_test

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"testing"

	"finobs/internal/ledger"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

// rootOf is RFC 6962, section 2.1, word for word: slow, and written apart from
// what it judges.
func rootOf(leaves []tlog.Hash) tlog.Hash {
	switch len(leaves) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return leaves[0]
	}
	k := 1
	for k*2 < len(leaves) {
		k *= 2
	}
	left, right := rootOf(leaves[:k]), rootOf(leaves[k:])
	return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
}

func leafHashes(n int) []tlog.Hash {
	out := make([]tlog.Hash, n)
	for i := range out {
		out[i] = ledger.LeafHash(binary.BigEndian.AppendUint64(nil, uint64(i)))
	}
	return out
}

// shelf keeps tiles as the database does.
type shelf map[[2]int64][]byte

func (s shelf) read(tiles []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(tiles))
	for i, t := range tiles {
		out[i] = s[[2]int64{int64(t.L), t.N}]
	}
	return out, nil
}

func (s shelf) put(tiles []ledger.Tile) {
	for _, t := range tiles {
		s[[2]int64{int64(t.Level), t.N}] = t.Hashes
	}
}

func emptyTree() ledger.Tree { return ledger.Tree{Root: sha256.Sum256(nil)} }

func TestATreeGrownInAnyBatchesIsTheTreeOfTheRFC(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		leaves := leafHashes(rapid.IntRange(1, 1500).Draw(t, "leaves"))
		s, tree := shelf{}, emptyTree()
		sizes := []int64{0}
		for done := 0; done < len(leaves); {
			n := min(rapid.IntRange(1, 600).Draw(t, "batch"), len(leaves)-done)
			grown, tiles, err := ledger.Grow(tree, leaves[done:done+n], s.read)
			if err != nil {
				t.Fatal(err)
			}
			s.put(tiles)
			tree, done = grown, done+n
			sizes = append(sizes, tree.Size)
		}
		if want := rootOf(leaves); tree.Root != want || tree.Size != int64(len(leaves)) {
			t.Fatalf("a tree of %d leaves has root %v, the RFC says %v", tree.Size, tree.Root, want)
		}
		index := rapid.Int64Range(0, tree.Size-1).Draw(t, "index")
		p, err := tlog.ProveRecord(tree.Size, index, ledger.Hashes(tree, s.read))
		if err != nil || tlog.CheckRecord(p, tree.Size, tree.Root, index, leaves[index]) != nil {
			t.Fatalf("leaf %d of %d has no proof that holds: %v", index, tree.Size, err)
		}
		from := sizes[rapid.IntRange(0, len(sizes)-1).Draw(t, "from")]
		if from == 0 {
			return
		}
		growth, err := ledger.ProveGrowth(from, tree, s.read)
		if err != nil || tlog.CheckTree(growth, tree.Size, tree.Root, from, rootOf(leaves[:from])) != nil {
			t.Fatalf("%d leaves are not proved to be the beginning of %d: %v", from, tree.Size, err)
		}
	})
}

func TestAChangedTileIsNotGrownUpon(t *testing.T) {
	leaves := leafHashes(700)
	s := shelf{}
	tree, tiles, err := ledger.Grow(emptyTree(), leaves[:600], s.read)
	if err != nil {
		t.Fatal(err)
	}
	s.put(tiles)
	for key, hashes := range s {
		for _, at := range []int{0, len(hashes) / 2, len(hashes) - 1} {
			hashes[at] ^= 1
			_, _, growErr := ledger.Grow(tree, leaves[600:], s.read)
			_, proveErr := ledger.ProveGrowth(300, tree, s.read)
			needed := key[1] == tree.Size>>(8*(key[0]+1)) // the right edge
			if needed && growErr == nil {
				t.Errorf("tile %v with byte %d changed was grown upon", key, at)
			}
			if growErr == nil && proveErr == nil && needed {
				t.Errorf("tile %v with byte %d changed proves something", key, at)
			}
			hashes[at] ^= 1
		}
	}
	if _, _, err := ledger.Grow(tree, leaves[600:], shelf{}.read); err == nil {
		t.Error("a tree without tiles was grown upon")
	}
	if _, _, err := ledger.Grow(tree, leaves[600:], func([]tlog.Tile) ([][]byte, error) { return nil, errors.New("down") }); err == nil {
		t.Error("an error of the database was swallowed")
	}
}

func TestProofsOfWhatIsNotThere(t *testing.T) {
	s := shelf{}
	tree, tiles, err := ledger.Grow(emptyTree(), leafHashes(10), s.read)
	if err != nil {
		t.Fatal(err)
	}
	s.put(tiles)
	for _, index := range []int64{-1, 10, 1 << 40} {
		if _, err := ledger.ProveLeaf(tree, index, nil, s.read); err == nil {
			t.Errorf("leaf %d was proved", index)
		}
	}
	for _, from := range []int64{-1, 0, 11} {
		if _, err := ledger.ProveGrowth(from, tree, s.read); err == nil {
			t.Errorf("a tree of %d was proved to be the beginning", from)
		}
	}
}
