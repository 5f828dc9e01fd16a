// Package audittest makes signed logs of any length, for tests and benchmarks of
// what verifies them.
package audittest

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"time"

	"finobs/internal/approval"
	"finobs/internal/audit"
	"finobs/internal/ledger"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Origin is the name of the logs that are made.
const Origin = "finobs.test"

var epoch = time.Date(2026, 11, 24, 9, 30, 0, 0, time.UTC)

// Log is a log that was made, without its files.
type Log struct {
	Tree ledger.Tree
	Key  string // verifier key (C2SP signed-note) of the signer

	signer note.Signer
	tiles  map[tlog.Tile][]byte // by H, L and N
}

// Entry is the leaf of entry i and the columns that are projected from it. It
// is of about the size of an entry of a decision.
func Entry(i int64) ([]byte, audit.Columns, error) {
	e := ledger.Entry{
		Type: "approval.decided", Actor: ledger.Actor{Kind: approval.Human, Person: approval.Person{Issuer: "iss", Subject: "bob"}},
		Subject: ledger.Subject{Kind: "approval", ID: strconv.FormatInt(i, 10)}, Action: "approve", Outcome: "counted", Reason: "seen",
		Desk: "EQ", RequestID: "r", TraceID: "t", Workflow: ledger.Workflow{Namespace: "default", ID: "w", FirstRun: "f"},
	}
	id := fmt.Sprintf("018f0000-0000-7000-8000-%012d", i)
	when := epoch.Add(time.Duration(i) * time.Millisecond)
	key := sha256.Sum256([]byte(id))
	s, err := e.Seal(id, when, key)
	if err != nil {
		return nil, audit.Columns{}, err
	}
	return s.Leaf, audit.Columns{
		Index: i, EntryID: id, IdemKey: hex.EncodeToString(key[:]), ContentSHA256: hex.EncodeToString(s.ContentSHA256[:]),
		RecordedAt: when.Format(time.RFC3339Nano), Type: e.Type, Action: e.Action, Outcome: e.Outcome, Reason: e.Reason, ActorType: "human",
		ActorIss: "iss", ActorSub: "bob", SubjectKind: "approval", SubjectID: e.Subject.ID, Desk: "EQ", RequestID: "r", TraceID: "t",
		WorkflowID: "w", LeafSHA256: hex.EncodeToString(s.LeafSHA256[:]),
	}, nil
}

// bundle is what is written of up to 256 entries.
type bundle struct {
	entries, columns []byte
	hashes           []tlog.Hash
	err              error
}

// Make makes a log of n entries and hands each of its files to put, by its path.
func Make(n int64, put func(path string, text []byte) error) (*Log, error) {
	skey, vkey, err := note.GenerateKey(nil, Origin)
	if err != nil {
		return nil, err
	}
	l := &Log{Tree: ledger.Tree{Root: sha256.Sum256(nil)}, Key: vkey, tiles: map[tlog.Tile][]byte{}}
	if l.signer, err = note.NewSigner(skey); err != nil {
		return nil, err
	}
	several := int64(runtime.NumCPU())
	for first := int64(0); first < audit.Bundles(n); first += several {
		made := make([]bundle, min(several, audit.Bundles(n)-first))
		var all sync.WaitGroup
		for i := range made {
			all.Go(func() { made[i] = makeBundle(n, first+int64(i)) })
		}
		all.Wait()
		for i, b := range made {
			if err := l.add(n, first+int64(i), b, put); err != nil {
				return nil, err
			}
		}
	}
	for tile, hashes := range l.tiles {
		tile.W = len(hashes) / tlog.HashSize
		if err := put(audit.TilePath(tile), hashes); err != nil {
			return nil, err
		}
	}
	checkpoint, err := l.Sign(l.Tree)
	if err != nil {
		return nil, err
	}
	return l, put("checkpoint", checkpoint)
}

func makeBundle(size, number int64) (b bundle) {
	first := number * ledger.TileWidth
	for i := first; i < first+audit.Width(size, number); i++ {
		leaf, row, err := Entry(i)
		if err != nil {
			return bundle{err: err}
		}
		b.entries = append(binary.BigEndian.AppendUint16(b.entries, uint16(len(leaf))), leaf...)
		text, err := json.Marshal(row)
		if err != nil {
			return bundle{err: err}
		}
		b.columns = append(append(b.columns, text...), '\n')
		b.hashes = append(b.hashes, ledger.LeafHash(leaf))
	}
	return b
}

func (l *Log) add(size, number int64, b bundle, put func(string, []byte) error) error {
	if b.err != nil {
		return b.err
	}
	width := audit.Width(size, number)
	if err := put(audit.EntriesPath(number, width), b.entries); err != nil {
		return err
	}
	if err := put(audit.ProjectionPath(number, width), b.columns); err != nil {
		return err
	}
	grown, changed, err := ledger.Grow(l.Tree, b.hashes, l.Tiles)
	if err != nil {
		return err
	}
	for _, c := range changed {
		l.tiles[tlog.Tile{H: ledger.TileHeight, L: c.Level, N: c.N}] = c.Hashes
	}
	l.Tree = grown
	return nil
}

// Tiles is a ledger.TileSource over the tiles of the log, which are in memory.
func (l *Log) Tiles(want []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(want))
	for i, w := range want {
		out[i] = l.tiles[tlog.Tile{H: ledger.TileHeight, L: w.L, N: w.N}]
	}
	return out, nil
}

// Sign signs a checkpoint of any tree with the log's key.
func (l *Log) Sign(t ledger.Tree) ([]byte, error) { return ledger.SignCheckpoint(Origin, t, l.signer) }
