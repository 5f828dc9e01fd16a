package audit_test

import (
	"errors"
	"strings"
	"testing"

	"finobs/internal/audit"
	"finobs/internal/ledger"

	"golang.org/x/mod/sumdb/note"
)

func TestAProofHoldsForItsEntryAlone(t *testing.T) {
	const n = 300
	l := makeLog(t, n)
	other := makeLog(t, 1)
	strangers := l.copy()
	strangers.Keys = func(int64) []note.Verifier { return []note.Verifier{other.verifier} }
	for _, index := range []int64{0, 1, 255, 256, n - 1} {
		text, err := ledger.ProveLeaf(l.tree, index, l.files["checkpoint"], l.made.Tiles)
		if err != nil {
			t.Fatal(err)
		}
		leaf, _ := entry(t, index)
		if at, tree, err := l.copy().Included(leaf, text); err != nil || at != index || tree != l.tree {
			t.Errorf("entry %d: index %d of %d entries, %v", index, at, tree.Size, err)
		}
		another, _ := entry(t, index+1)
		if _, _, err := l.copy().Included(another, text); !errors.Is(err, audit.ErrInclusion) {
			t.Errorf("entry %d by the proof of %d: %v", index+1, index, err)
		}
		if _, _, err := strangers.Included(leaf, text); !errors.Is(err, audit.ErrSignature) {
			t.Errorf("entry %d by a stranger's key: %v", index, err)
		}
		for _, wrong := range []string{"", "index", strings.Replace(string(text), "index ", "index 18446744073709551615", 1),
			strings.TrimSuffix(string(text), "\n"), strings.Replace(string(text), "\n", "\r\n", 1)} {
			if _, _, err := l.copy().Included(leaf, []byte(wrong)); err == nil {
				t.Errorf("a proof that reads %.40q holds", wrong)
			}
		}
	}
}
