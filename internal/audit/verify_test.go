package audit_test

import (
	"errors"
	"testing"
	"testing/fstest"

	"finobs/internal/audit"
	"finobs/internal/audit/audittest"
	"finobs/internal/ledger"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// logOf is a made log: its files, and the key that signed it.
type logOf struct {
	files    map[string][]byte
	tree     ledger.Tree
	verifier note.Verifier
	made     *audittest.Log
}

// entry is a leaf and the columns that are projected from it.
func entry(t testing.TB, i int64) ([]byte, audit.Columns) {
	leaf, row, err := audittest.Entry(i)
	if err != nil {
		t.Fatal(err)
	}
	return leaf, row
}

// makeLog makes a log of n entries.
func makeLog(t testing.TB, n int64) *logOf {
	t.Helper()
	l := &logOf{files: map[string][]byte{}}
	made, err := audittest.Make(n, func(path string, text []byte) error { l.files[path] = text; return nil })
	if err != nil {
		t.Fatal(err)
	}
	l.made, l.tree = made, made.Tree
	if l.verifier, err = note.NewVerifier(made.Key); err != nil {
		t.Fatal(err)
	}
	return l
}

// sign signs any tree with the log's key.
func (l *logOf) sign(t testing.TB, tree ledger.Tree) []byte {
	text, err := l.made.Sign(tree)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (l *logOf) copy() audit.Copy {
	files := fstest.MapFS{}
	for path, text := range l.files {
		files[path] = &fstest.MapFile{Data: text}
	}
	return audit.Copy{Files: files, Origin: audittest.Origin, Keys: func(int64) []note.Verifier { return []note.Verifier{l.verifier} }}
}

func TestAGoodLogHolds(t *testing.T) {
	for _, n := range []int64{1, 2, 255, 256, 257, 1000} {
		l := makeLog(t, n)
		report, err := l.copy().Verify(ledger.Tree{}, nil)
		if err != nil || report.Size != n || report.Projections != n {
			t.Errorf("%d entries: %+v, %v", n, report, err)
		}
		if _, err := l.copy().Verify(l.tree, nil); err != nil {
			t.Errorf("%d entries against their own checkpoint: %v", n, err)
		}
	}
}

func TestEveryChangedByteOfALogIsFound(t *testing.T) {
	l := makeLog(t, 300)
	for _, path := range []string{audit.EntriesPath(0, 256), audit.EntriesPath(1, 44), audit.ProjectionPath(1, 44), "checkpoint"} {
		good := l.files[path]
		step := max(1, len(good)/40)
		if path == "checkpoint" {
			step = 1 // base64 has bits that say nothing
		}
		for i := 0; i < len(good); i += step {
			bad := append([]byte(nil), good...)
			bad[i]++
			l.files[path] = bad
			if _, err := l.copy().Verify(ledger.Tree{}, nil); err == nil {
				t.Errorf("%s with byte %d (%q) changed holds", path, i, good[i])
			}
		}
		l.files[path] = good
	}
}

func TestWhatIsWrongIsNamed(t *testing.T) {
	l, other := makeLog(t, 600), makeLog(t, 600)
	older := makeLog(t, 300)
	for name, tc := range map[string]struct {
		change func(*logOf)
		older  ledger.Tree
		want   error
	}{
		"a bundle is gone":             {func(l *logOf) { delete(l.files, audit.EntriesPath(1, 256)) }, ledger.Tree{}, audit.ErrGap},
		"signed by somebody else":      {func(l *logOf) { l.files["checkpoint"] = other.sign(t, l.tree) }, ledger.Tree{}, audit.ErrSignature},
		"another root is signed":       {func(l *logOf) { l.files["checkpoint"] = l.sign(t, ledger.Tree{Size: 600}) }, ledger.Tree{}, audit.ErrInclusion},
		"shorter than it was":          {func(*logOf) {}, ledger.Tree{Size: 601}, audit.ErrFork},
		"another beginning":            {func(*logOf) {}, ledger.Tree{Size: 300, Root: tlog.Hash{1}}, audit.ErrFork},
		"columns of another log":       {func(l *logOf) { l.files[audit.ProjectionPath(0, 256)] = l.files[audit.ProjectionPath(1, 256)] }, ledger.Tree{}, audit.ErrProjection},
		"columns are cut":              {func(l *logOf) { p := audit.ProjectionPath(0, 256); l.files[p] = l.files[p][:len(l.files[p])/2] }, ledger.Tree{}, audit.ErrProjection},
		"a continuation of the older":  {func(*logOf) {}, older.tree, nil},
		"a bundle of too many entries": {func(l *logOf) { p := audit.EntriesPath(2, 88); l.files[p] = append(l.files[p], 0, 1, 'x') }, ledger.Tree{}, audit.ErrGap},
	} {
		files := map[string][]byte{}
		for path, text := range l.files {
			files[path] = text
		}
		changed := *l
		changed.files = files
		tc.change(&changed)
		if _, err := changed.copy().Verify(tc.older, nil); !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", name, err, tc.want)
		}
	}
}
