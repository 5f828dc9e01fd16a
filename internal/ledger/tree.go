package ledger

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// TileHeight is the height of a tile in levels: full tiles hold 256 hashes, as
// C2SP tlog-tiles lays down.
const TileHeight = 8

// TileWidth is how many hashes a full tile holds.
const TileWidth = 1 << TileHeight

// Tree is a Merkle tree over leaves (RFC 6962, section 2.1).
type Tree struct {
	Size int64
	Root tlog.Hash
}

// LeafHash is the hash of a leaf: SHA-256 over a zero byte and the leaf.
func LeafHash(leaf []byte) tlog.Hash { return tlog.RecordHash(leaf) }

// Tile is a tile with its hashes, one after the other.
type Tile struct {
	Level  int
	N      int64
	Hashes []byte
}

// TileSource reads the stored hashes of tiles, at least as many as W asks for.
type TileSource func(tiles []tlog.Tile) ([][]byte, error)

// Grow computes what appending leaves makes of a tree: the new tree and the tiles
// that change. Hashes of the old tree come from tiles, which are checked against
// the old root, so a changed tile is an error and not a wrong root.
func Grow(old Tree, leaves []tlog.Hash, tiles TileSource) (Tree, []Tile, error) {
	r := &growing{fresh: map[int64]tlog.Hash{}, old: Hashes(old, tiles)}
	for i, leaf := range leaves {
		n := old.Size + int64(i)
		hashes, err := tlog.StoredHashesForRecordHash(n, leaf, r)
		if err != nil {
			return old, nil, fmt.Errorf("hashing leaf %d: %w", n, err)
		}
		first := tlog.StoredHashCount(n)
		for j, h := range hashes {
			r.fresh[first+int64(j)] = h
		}
	}
	grown := Tree{Size: old.Size + int64(len(leaves))}
	var err error
	if grown.Root, err = tlog.TreeHash(grown.Size, r); err != nil {
		return old, nil, fmt.Errorf("hashing a tree of %d leaves: %w", grown.Size, err)
	}
	var changed []Tile
	for _, t := range tlog.NewTiles(TileHeight, old.Size, grown.Size) {
		data, err := tlog.ReadTileData(t, r)
		if err != nil {
			return old, nil, fmt.Errorf("writing tile %s: %w", t.Path(), err)
		}
		changed = append(changed, Tile{Level: t.L, N: t.N, Hashes: data})
	}
	return grown, changed, nil
}

// growing reads hashes that were just computed, and all others from the old tree.
type growing struct {
	fresh map[int64]tlog.Hash
	old   tlog.HashReader
}

// ReadHashes implements tlog.HashReader.
func (g *growing) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	var missing []int64
	var where []int
	for i, index := range indexes {
		h, known := g.fresh[index]
		if !known {
			missing, where = append(missing, index), append(where, i)
			continue
		}
		out[i] = h
	}
	if len(missing) == 0 {
		return out, nil
	}
	hashes, err := g.old.ReadHashes(missing)
	if err != nil {
		return nil, err
	}
	for i, h := range hashes {
		out[where[i]] = h
		g.fresh[missing[i]] = h
	}
	return out, nil
}

// Hashes reads the hashes of a tree from its tiles, each of which is checked
// against the root.
func Hashes(t Tree, tiles TileSource) tlog.HashReader {
	return tlog.TileHashReader(tlog.Tree{N: t.Size, Hash: t.Root}, tileReader{tiles})
}

type tileReader struct{ read TileSource }

// Height implements tlog.TileReader.
func (tileReader) Height() int { return TileHeight }

// ReadTiles implements tlog.TileReader.
func (r tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data, err := r.read(tiles)
	if err != nil {
		return nil, err
	}
	if len(data) != len(tiles) {
		return nil, fmt.Errorf("%d tiles were read, %d asked for", len(data), len(tiles))
	}
	for i, t := range tiles {
		want := t.W * tlog.HashSize
		if len(data[i]) < want {
			return nil, fmt.Errorf("tile %s has %d hashes, %d are needed", t.Path(), len(data[i])/tlog.HashSize, t.W)
		}
		data[i] = data[i][:want]
	}
	return data, nil
}

// SaveTiles implements tlog.TileReader; nothing is cached.
func (tileReader) SaveTiles([]tlog.Tile, [][]byte) {}

// believedTiles reads hashes from tiles without checking them: whoever uses it checks
// what he makes of them.
type believedTiles TileSource

// ReadHashes implements tlog.HashReader.
func (b believedTiles) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	of := make([]int, len(indexes)) // the tile of each index
	places := map[[2]int64]int{}
	var tiles []tlog.Tile
	for i, index := range indexes {
		t := tlog.TileForIndex(TileHeight, index)
		at, known := places[[2]int64{int64(t.L), t.N}]
		if !known {
			at = len(tiles)
			places[[2]int64{int64(t.L), t.N}] = at
			tiles = append(tiles, t)
		}
		of[i], tiles[at].W = at, max(tiles[at].W, t.W)
	}
	data, err := tileReader{TileSource(b)}.ReadTiles(tiles)
	if err != nil {
		return nil, err
	}
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		if out[i], err = tlog.HashFromTile(tiles[of[i]], data[of[i]], index); err != nil {
			return nil, err
		}
	}
	return out, nil
}
