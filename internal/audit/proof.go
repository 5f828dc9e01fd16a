package audit

import (
	"bytes"
	"errors"
	"fmt"

	"finobs/internal/ledger"

	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/tlog"
)

// Included checks a proof in the form of C2SP tlog-proof, and says at which index
// of which tree the leaf is. It fails with ErrSignature when no trusted key signed
// the proof's checkpoint, and with ErrInclusion when the leaf is not in its tree.
func (c Copy) Included(leaf, text []byte) (index int64, tree ledger.Tree, err error) {
	var p proof.TLogProof
	if err := p.Unmarshal(text); err != nil {
		return 0, ledger.Tree{}, fmt.Errorf("reading proof: %w", err)
	}
	if !bytes.Equal(p.Marshal(), text) { // the reader is lenient with line ends and base64
		return 0, ledger.Tree{}, errors.New("reading proof: it has another spelling than the format's")
	}
	if tree, err = c.Open(p.Checkpoint); err != nil {
		return 0, ledger.Tree{}, err
	}
	record := make(tlog.RecordProof, 0, len(p.Hashes))
	for _, h := range p.Hashes {
		record = append(record, h)
	}
	index = int64(p.Index)
	if err := tlog.CheckRecord(record, tree.Size, tree.Root, index, ledger.LeafHash(leaf)); err != nil {
		return 0, ledger.Tree{}, fmt.Errorf("%w: entry %d: %w", ErrInclusion, p.Index, err)
	}
	return index, tree, nil
}
