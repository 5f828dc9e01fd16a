package ledger

import (
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// ErrSignature is wrapped when a checkpoint is not signed by a trusted key.
var ErrSignature = errors.New("the checkpoint is not signed by a trusted key")

// SignCheckpoint states a tree (C2SP tlog-checkpoint) and signs the statement
// with every given key (C2SP signed-note).
func SignCheckpoint(origin string, t Tree, signers ...note.Signer) ([]byte, error) {
	body := log.Checkpoint{Origin: origin, Size: uint64(t.Size), Hash: t.Root[:]}.Marshal()
	signed, err := note.Sign(&note.Note{Text: string(body)}, signers...)
	if err != nil {
		return nil, fmt.Errorf("signing checkpoint of size %d: %w", t.Size, err)
	}
	return signed, nil
}

// OpenCheckpoint reads a checkpoint that one of the keys has signed. Signatures
// by other keys are ignored, as the format wants, unless their base64 has another
// spelling: two texts that differ are never the same checkpoint.
func OpenCheckpoint(text []byte, origin string, keys ...note.Verifier) (Tree, error) {
	n, err := note.Open(text, note.VerifierList(keys...))
	if err != nil {
		return Tree{}, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	for _, sig := range append(n.Sigs, n.UnverifiedSigs...) {
		if _, err := base64.StdEncoding.Strict().DecodeString(sig.Base64); err != nil {
			return Tree{}, fmt.Errorf("%w: the signature by %q is not spelt canonically: %w", ErrSignature, sig.Name, err)
		}
	}
	return parseCheckpoint([]byte(n.Text), origin)
}

// PeekCheckpoint reads what a checkpoint says without checking who signed it.
func PeekCheckpoint(text []byte) (origin string, t Tree, err error) {
	var c log.Checkpoint
	if _, err := c.Unmarshal(text); err != nil {
		return "", Tree{}, fmt.Errorf("reading checkpoint: %w", err)
	}
	t, err = treeOf(c)
	return c.Origin, t, err
}

func parseCheckpoint(body []byte, origin string) (Tree, error) {
	var c log.Checkpoint
	if _, err := c.Unmarshal(body); err != nil {
		return Tree{}, fmt.Errorf("reading checkpoint: %w", err)
	}
	if c.Origin != origin {
		return Tree{}, fmt.Errorf("%w: it is of the log %q, not %q", ErrSignature, c.Origin, origin)
	}
	return treeOf(c)
}

func treeOf(c log.Checkpoint) (Tree, error) {
	if len(c.Hash) != tlog.HashSize || c.Size > 1<<62 {
		return Tree{}, errors.New("reading checkpoint: its root or size is out of bounds")
	}
	return Tree{Size: int64(c.Size), Root: tlog.Hash(c.Hash)}, nil
}

// ProveLeaf proves that a leaf is in a tree, in the form of C2SP tlog-proof, which
// carries the checkpoint of the tree.
func ProveLeaf(t Tree, index int64, checkpoint []byte, tiles TileSource) ([]byte, error) {
	if index < 0 || index >= t.Size {
		return nil, fmt.Errorf("leaf %d is not in a tree of %d leaves", index, t.Size)
	}
	// To believe the tiles and check the proof costs half of checking the tiles.
	believed := believedTiles(tiles)
	hashes, err := tlog.ProveRecord(t.Size, index, believed)
	if err != nil {
		return nil, fmt.Errorf("proving leaf %d: %w", index, err)
	}
	leaf, err := believed.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
	if err == nil {
		err = tlog.CheckRecord(hashes, t.Size, t.Root, index, leaf[0])
	}
	if err != nil {
		return nil, fmt.Errorf("proving leaf %d: the tiles do not make up the tree: %w", index, err)
	}
	p := proof.TLogProof{Index: uint64(index), Checkpoint: checkpoint}
	for _, h := range hashes {
		p.Hashes = append(p.Hashes, h)
	}
	return p.Marshal(), nil
}

// ProveGrowth proves that a tree of from leaves is the beginning of t (RFC 6962,
// section 2.1.2).
func ProveGrowth(from int64, t Tree, tiles TileSource) ([]tlog.Hash, error) {
	if from < 1 || from > t.Size {
		return nil, fmt.Errorf("a tree of %d leaves is not the beginning of one of %d", from, t.Size)
	}
	p, err := tlog.ProveTree(t.Size, from, Hashes(t, tiles))
	if err != nil {
		return nil, fmt.Errorf("proving that %d leaves are the beginning of %d: %w", from, t.Size, err)
	}
	return p, nil
}
