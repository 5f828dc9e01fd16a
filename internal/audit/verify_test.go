package audit_test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"testing/fstest"
	"time"

	"finobs/internal/approval"
	"finobs/internal/audit"
	"finobs/internal/ledger"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const origin = "finobs.test"

// logOf is a made log: its files, and the key that signed it.
type logOf struct {
	files    map[string][]byte
	tree     ledger.Tree
	verifier note.Verifier
	sign     func(ledger.Tree) []byte
}

var at = time.Date(2026, 11, 24, 9, 30, 0, 0, time.UTC)

// entry is a leaf and the columns that are projected from it.
func entry(t testing.TB, i int64) ([]byte, audit.Columns) {
	e := ledger.Entry{
		Type: "approval.decided", Actor: ledger.Actor{Kind: approval.Human, Person: approval.Person{Issuer: "iss", Subject: "bob"}},
		Subject: ledger.Subject{Kind: "approval", ID: strconv.FormatInt(i, 10)}, Action: "approve", Outcome: "counted", Reason: "seen",
		Desk: "EQ", RequestID: "r", TraceID: "t", Workflow: ledger.Workflow{Namespace: "default", ID: "w", FirstRun: "f"},
	}
	id := fmt.Sprintf("018f0000-0000-7000-8000-%012d", i)
	when := at.Add(time.Duration(i) * time.Millisecond)
	key := sha256.Sum256([]byte(id))
	s, err := e.Seal(id, when, key)
	if err != nil {
		t.Fatal(err)
	}
	return s.Leaf, audit.Columns{
		Index: i, EntryID: id, IdemKey: hex.EncodeToString(key[:]), ContentSHA256: hex.EncodeToString(s.ContentSHA256[:]),
		RecordedAt: when.Format(time.RFC3339Nano), Type: e.Type, Action: e.Action, Outcome: e.Outcome, Reason: e.Reason, ActorType: "human",
		ActorIss: "iss", ActorSub: "bob", SubjectKind: "approval", SubjectID: e.Subject.ID, Desk: "EQ", RequestID: "r", TraceID: "t",
		WorkflowID: "w", LeafSHA256: hex.EncodeToString(s.LeafSHA256[:]),
	}
}

// makeLog writes a log of n entries.
func makeLog(t testing.TB, n int64) *logOf {
	t.Helper()
	skey, vkey, err := note.GenerateKey(nil, origin)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	l := &logOf{files: map[string][]byte{}, tree: ledger.Tree{Root: sha256.Sum256(nil)}}
	if l.verifier, err = note.NewVerifier(vkey); err != nil {
		t.Fatal(err)
	}
	l.sign = func(tree ledger.Tree) []byte {
		text, err := ledger.SignCheckpoint(origin, tree, signer)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	tiles := map[tlog.Tile][]byte{}
	read := func(want []tlog.Tile) ([][]byte, error) {
		out := make([][]byte, len(want))
		for i, w := range want {
			out[i] = tiles[tlog.Tile{H: 8, L: w.L, N: w.N}]
		}
		return out, nil
	}
	for b := range audit.Bundles(n) {
		width := audit.Width(n, b)
		var bundle, columns []byte
		var hashes []tlog.Hash
		for i := b * ledger.TileWidth; i < b*ledger.TileWidth+width; i++ {
			leaf, row := entry(t, i)
			bundle = append(binary.BigEndian.AppendUint16(bundle, uint16(len(leaf))), leaf...)
			text, err := json.Marshal(row)
			if err != nil {
				t.Fatal(err)
			}
			columns = append(append(columns, text...), '\n')
			hashes = append(hashes, ledger.LeafHash(leaf))
		}
		grown, changed, err := ledger.Grow(l.tree, hashes, read)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changed {
			tiles[tlog.Tile{H: 8, L: c.Level, N: c.N}] = c.Hashes
		}
		l.tree = grown
		l.files[audit.EntriesPath(b, width)], l.files[audit.ProjectionPath(b, width)] = bundle, columns
	}
	for tile, hashes := range tiles {
		tile.W = len(hashes) / tlog.HashSize
		l.files[audit.TilePath(tile)] = hashes
	}
	l.files["checkpoint"] = l.sign(l.tree)
	return l
}

func (l *logOf) copy() audit.Copy {
	files := fstest.MapFS{}
	for path, text := range l.files {
		files[path] = &fstest.MapFile{Data: text}
	}
	return audit.Copy{Files: files, Origin: origin, Keys: func(int64) []note.Verifier { return []note.Verifier{l.verifier} }}
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
		"signed by somebody else":      {func(l *logOf) { l.files["checkpoint"] = other.sign(l.tree) }, ledger.Tree{}, audit.ErrSignature},
		"another root is signed":       {func(l *logOf) { l.files["checkpoint"] = l.sign(ledger.Tree{Size: 600}) }, ledger.Tree{}, audit.ErrInclusion},
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

func TestAMillionEntriesAreVerifiedWithinAMinute(t *testing.T) {
	if os.Getenv("FINOBS_BENCH") == "" {
		t.Skip("takes minutes; make bench-log sets FINOBS_BENCH")
	}
	const n = 1_000_000
	l := makeLog(t, n)
	dir := t.TempDir()
	for path, text := range l.files {
		full := filepath.Join(dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, text, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	c := l.copy()
	c.Files = os.DirFS(dir)
	began := time.Now()
	report, err := c.Verify(ledger.Tree{}, nil)
	took := time.Since(began)
	if err != nil || report.Projections != n {
		t.Fatalf("%+v, %v", report, err)
	}
	t.Logf("%d entries with columns verified in %s", n, took.Round(time.Millisecond))
	if took > time.Minute {
		t.Errorf("it took %s", took)
	}
	tiles := func(want []tlog.Tile) ([][]byte, error) {
		out := make([][]byte, len(want))
		for i, w := range want {
			out[i] = l.files[audit.TilePath(w)]
		}
		return out, nil
	}
	const count = 2000
	index := func(i int64) int64 { return i * (n / count) }
	proofs, leaves := make([][]byte, count), make([][]byte, count)
	for i := range int64(count) {
		leaves[i], _ = entry(t, index(i))
	}
	began = time.Now()
	for i := range int64(count) {
		if proofs[i], err = ledger.ProveLeaf(l.tree, index(i), l.files["checkpoint"], tiles); err != nil {
			t.Fatal(err)
		}
	}
	made := time.Since(began)
	began = time.Now()
	for i := range int64(count) {
		if at, _, err := c.Included(leaves[i], proofs[i]); err != nil || at != index(i) {
			t.Fatalf("entry %d: index %d, %v", index(i), at, err)
		}
	}
	t.Logf("at %d entries %.0f proofs a second are made, from tiles in memory, and %.0f verified with their signature",
		n, count/made.Seconds(), count/time.Since(began).Seconds())
}
