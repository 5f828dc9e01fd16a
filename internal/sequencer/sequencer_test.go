package sequencer_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"finobs/internal/approval"
	"finobs/internal/ledger"
	"finobs/internal/pgtest"
	"finobs/internal/sequencer"
	"finobs/internal/store"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var ctx = context.Background()

const origin = "finobs.test"

// appender is all that a test needs of a transaction.
type appender interface {
	Append(ctx context.Context, step ledger.Step, e ledger.Entry) (ledger.Receipt, error)
}

// bench is a database with writers, and the log's key.
type bench struct {
	db       pgtest.Database
	writer   *store.Writer
	signer   note.Signer
	verifier note.Verifier
	vkey     string
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{db: pgtest.New(t)}
	var err error
	if b.writer, err = store.OpenWriter(ctx, b.db.Worker); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.writer.Close() })
	skey, vkey, err := note.GenerateKey(nil, origin)
	if err != nil {
		t.Fatal(err)
	}
	b.vkey = vkey
	if b.signer, err = note.NewSigner(skey); err != nil {
		t.Fatal(err)
	}
	if b.verifier, err = note.NewVerifier(vkey); err != nil {
		t.Fatal(err)
	}
	return b
}

// sequencer is one of the sequencers of a host, whose state lies in dir.
func (b *bench) sequencer(t testing.TB, dir, name string) (*sequencer.Sequencer, *store.Sequencer) {
	t.Helper()
	db, err := store.OpenSequencer(ctx, b.db.Sequencer)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return &sequencer.Sequencer{
		Store: db, Origin: origin, Signers: []note.Signer{b.signer}, Verifiers: []string{b.vkey},
		State: sequencer.StateFile{Path: filepath.Join(dir, "state.json")}, Holder: name,
	}, db
}

func (b *bench) append(t testing.TB, n int, who string) {
	t.Helper()
	for i := range n {
		err := store.InTx[appender](b.writer)(ctx, func(tx appender) error { return entry(tx, who, i) })
		if err != nil {
			t.Error(err)
		}
	}
}

func entry(tx appender, who string, i int) error {
	_, err := tx.Append(ctx, ledger.Step{Workflow: ledger.Workflow{ID: who}, Step: "test", Ordinal: strconv.Itoa(i)}, ledger.Entry{
		Type: "test.appended", Actor: ledger.Actor{Kind: approval.System, Person: approval.Person{Issuer: "t", Subject: who}},
		Subject: ledger.Subject{Kind: "test", ID: strconv.Itoa(i)}, Action: "append", Outcome: "done",
	})
	return err
}

// settle lets a sequencer work until nothing is left.
func settle(t testing.TB, s *sequencer.Sequencer, db *store.Sequencer, want int64) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if _, err := s.Once(ctx); err != nil {
			t.Fatal(err)
		}
		tree, err := db.Tree(ctx)
		if err != nil {
			t.Fatal(err)
		}
		text, err := db.LatestCheckpoint(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, signed, err := ledger.PeekCheckpoint(text); err == nil && signed.Size == want && tree.Size == want {
			return
		}
	}
	t.Fatalf("%d entries were not sequenced and signed", want)
}

// whole proves that the log is dense, complete, and hashes to its root.
func (b *bench) whole(t testing.TB, want int64) ledger.Tree {
	t.Helper()
	reader, err := store.OpenReader(ctx, b.db.API)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	rows, err := reader.Log(ctx, store.LogFilter{}, 1<<20)
	if err != nil || int64(len(rows)) != want {
		t.Fatalf("the log has %d entries, not %d: %v", len(rows), want, err)
	}
	hashes := map[int64]tlog.Hash{}
	for i, row := range rows {
		if row.Index != int64(i) {
			t.Fatalf("place %d has index %d", i, row.Index)
		}
		stored, err := tlog.StoredHashesForRecordHash(row.Index, ledger.LeafHash(row.Leaf), tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
			out := make([]tlog.Hash, len(at))
			for j, index := range at {
				out[j] = hashes[index]
			}
			return out, nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		for j, h := range stored {
			hashes[tlog.StoredHashCount(row.Index)+int64(j)] = h
		}
	}
	tree, err := reader.Tree(ctx)
	if err != nil {
		t.Fatal(err)
	}
	root, err := tlog.TreeHash(want, tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(at))
		for j, index := range at {
			out[j] = hashes[index]
		}
		return out, nil
	}))
	if err != nil || root != tree.Root {
		t.Fatalf("the tree has root %v, its entries have %v: %v", tree.Root, root, err)
	}
	if n := pgtest.Value(t, b.db.Admin, "SELECT count(*) FROM ledger.entry WHERE entry_id NOT IN (SELECT entry_id FROM ledger.leaf)"); n != "0" {
		t.Errorf("%s entries were skipped", n)
	}
	return tree
}

func TestEntriesGetDensePlacesWhateverCommitsWhen(t *testing.T) {
	b := newBench(t)
	s, db := b.sequencer(t, t.TempDir(), "one")
	running, stop := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() { s.Run(running) })
	const writers, each = 8, 60
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(w)))
			for i := range each {
				// Transactions that begin early may commit late: their entries
				// are older, and come after others have got their places.
				pause := time.Duration(r.IntN(15)) * time.Millisecond
				err := store.InTx[appender](b.writer)(ctx, func(tx appender) error {
					if err := entry(tx, fmt.Sprint("w", w), i); err != nil {
						return err
					}
					time.Sleep(pause)
					if i%20 == 7 {
						return errors.New("rolled back")
					}
					return nil
				})
				if err != nil && err.Error() != "rolled back" {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	stop()
	work.Wait()
	want := int64(writers * each * 19 / 20)
	settle(t, s, db, want)
	b.whole(t, want)
}

func TestThreeSequencersAreOne(t *testing.T) {
	b := newBench(t)
	running, stop := context.WithCancel(ctx)
	var work sync.WaitGroup
	var last *sequencer.Sequencer
	var lastDB *store.Sequencer
	stops := make([]context.CancelFunc, 3)
	for i := range 3 { // each on a host of its own
		s, db := b.sequencer(t, t.TempDir(), fmt.Sprint("host-", i))
		one, cancel := context.WithCancel(running)
		stops[i], last, lastDB = cancel, s, db
		work.Go(func() { s.Run(one) })
	}
	go func() { // the writer dies now and then; others take over
		time.Sleep(time.Second)
		stops[0]()
		time.Sleep(4 * time.Second)
		stops[1]()
	}()
	for i := range 40 {
		b.append(t, 10, fmt.Sprint("batch-", i))
		time.Sleep(150 * time.Millisecond)
	}
	deadline := time.Now().Add(15 * time.Second)
	for {
		tree, err := lastDB.Tree(ctx)
		if err == nil && tree.Size == 400 || time.Now().After(deadline) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	stop()
	work.Wait()
	settle(t, last, lastDB, 400)
	b.whole(t, 400)
}

// seeds is how many crashes TestNoCrashForks plays; make chaos plays 1,000.
func seeds() int {
	if n, err := strconv.Atoi(os.Getenv("FINOBS_SEEDS")); err == nil {
		return n
	}
	return 60
}

func TestNoCrashForks(t *testing.T) {
	b := newBench(t)
	dir := t.TempDir()
	crash := errors.New("crash")
	appended := 0
	for seed := range seeds() {
		r := rand.New(rand.NewPCG(7, uint64(seed)))
		n := 1 + r.IntN(30)
		b.append(t, n, fmt.Sprint("seed-", seed))
		appended += n
		s, db := b.sequencer(t, dir, "the host")
		at := []string{"sequencer.after-commit", "sequencer.after-state", "sequencer.after-sign", "sequencer.after-publish", "never"}[r.IntN(5)]
		s.Fault = func(step string) error {
			if step == at {
				return crash
			}
			return nil
		}
		for range 2 {
			if _, err := s.Once(ctx); err != nil && !errors.Is(err, crash) {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		db.Close() // the process is gone, and its connections
	}
	s, db := b.sequencer(t, dir, "the host")
	settle(t, s, db, int64(appended))
	b.whole(t, int64(appended))
	b.oneRootASize(t)
}

// oneRootASize checks every checkpoint that was published against the entries.
func (b *bench) oneRootASize(t *testing.T) {
	t.Helper()
	conn, err := sql.Open("postgres", b.db.Admin)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	rows, err := conn.Query("SELECT size, note FROM ledger.checkpoint ORDER BY size")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	reader, err := store.OpenReader(ctx, b.db.API)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	tree, err := reader.Tree(ctx)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; rows.Next(); n++ {
		var size int64
		var text string
		if err := rows.Scan(&size, &text); err != nil {
			t.Fatal(err)
		}
		signed, err := ledger.OpenCheckpoint([]byte(text), origin, b.verifier)
		if err != nil || signed.Size != size {
			t.Fatalf("the checkpoint of size %d says %d: %v", size, signed.Size, err)
		}
		if err := sequencer.Continues(signed, tree, reader.Tiles(ctx)); err != nil {
			t.Errorf("the checkpoint of size %d: %v", size, err)
		}
	}
	if n == 0 || rows.Err() != nil {
		t.Errorf("%d checkpoints, %v", n, rows.Err())
	}
}

func TestADatabaseThatWasPutBackIsNotSigned(t *testing.T) {
	b := newBench(t)
	dir := t.TempDir()
	s, db := b.sequencer(t, dir, "one")
	b.append(t, 30, "first")
	settle(t, s, db, 30)
	before, err := db.Tree(ctx)
	if err != nil {
		t.Fatal(err)
	}
	b.append(t, 20, "second")
	settle(t, s, db, 50)

	// As superuser: yesterday's state, with all triggers off.
	rewind(t, b, before)
	again, _ := b.sequencer(t, dir, "one")
	if _, err := again.Once(ctx); !errors.Is(err, sequencer.ErrRefused) {
		t.Fatalf("a tree that was put back: %v", err)
	}
	b.append(t, 25, "another history")
	for range 3 {
		if _, err := again.Once(ctx); !errors.Is(err, sequencer.ErrRefused) {
			t.Fatalf("another history of the same length: %v", err)
		}
	}
	if got := pgtest.Value(t, b.db.Admin, "SELECT refused FROM ledger.sequencer"); !strings.Contains(got, "put back") {
		t.Errorf("the reason that is shown is %q", got)
	}
	if got := pgtest.Value(t, b.db.Admin, "SELECT coalesce(max(size), 0) FROM ledger.checkpoint"); got != "30" {
		t.Errorf("a checkpoint of size %s was published", got)
	}
}

func rewind(t *testing.T, b *bench, to ledger.Tree) {
	t.Helper()
	for _, statement := range []string{
		"ALTER TABLE ledger.leaf DISABLE TRIGGER ALL", "ALTER TABLE ledger.checkpoint DISABLE TRIGGER ALL", "ALTER TABLE ledger.entry DISABLE TRIGGER ALL",
		"DELETE FROM ledger.entry WHERE entry_id IN (SELECT entry_id FROM ledger.leaf WHERE leaf_index >= 30)",
		"DELETE FROM ledger.leaf WHERE leaf_index >= 30", "DELETE FROM ledger.checkpoint WHERE size > 30",
		"UPDATE ledger.tile SET hashes = substring(hashes FOR 30*32)",
	} {
		if err := pgtest.Exec(t, b.db.Admin, statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := pgtest.Exec(t, b.db.Admin, "UPDATE ledger.tree SET size = $1, root = $2", to.Size, to.Root[:]); err != nil {
		t.Fatal(err)
	}
}

func TestNobodyChoosesTheTransactionOfAnEntry(t *testing.T) {
	b := newBench(t)
	leaf := []byte("{}")
	sum := sha256.Sum256(leaf)
	err := pgtest.Exec(t, b.db.Worker, `INSERT INTO ledger.entry (entry_id, idem_key, content_sha256, leaf, leaf_sha256, recorded_at, type,
		actor_type, actor_iss, actor_sub, subject_kind, subject_id, action, outcome, reason, desk, request_id, trace_id, workflow_id, is_simulation, xid)
		VALUES (gen_random_uuid(), $1, $1, $2, $1, now(), 't', 'system', '', '', '', '', '', '', '', '', '', '', '', false, '3')`, sum[:], leaf)
	if err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("the worker chose a transaction: %v", err)
	}
}

// An old and a new key sign side by side for a while; the change of keys is an
// entry, and every checkpoint opens with the keys of its time.
func TestKeysRotateUnderLoad(t *testing.T) {
	b := newBench(t)
	fresh := newBench(t) // for its key
	dir := t.TempDir()
	stop := make(chan struct{})
	var load sync.WaitGroup
	appended := 0
	load.Go(func() {
		for ; ; appended++ {
			select {
			case <-stop:
				return
			default:
				b.append(t, 1, fmt.Sprint("load-", appended))
			}
		}
	})
	phases := []struct {
		signers   []note.Signer
		verifiers []string
		opens     []note.Verifier
	}{
		{[]note.Signer{b.signer}, []string{b.vkey}, []note.Verifier{b.verifier}},
		{[]note.Signer{b.signer, fresh.signer}, []string{b.vkey, fresh.vkey}, []note.Verifier{b.verifier, fresh.verifier}},
		{[]note.Signer{fresh.signer}, []string{fresh.vkey}, []note.Verifier{fresh.verifier}},
	}
	for i, phase := range phases {
		s, db := b.sequencer(t, dir, "host")
		s.Signers, s.Verifiers = phase.signers, phase.verifiers
		running, end := context.WithCancel(ctx)
		var work sync.WaitGroup
		work.Go(func() { s.Run(running) })
		all := []note.Verifier{b.verifier, fresh.verifier}
		opened := func(text []byte) bool { // with just the keys of the phase
			return !slices.ContainsFunc(all, func(v note.Verifier) bool {
				_, err := ledger.OpenCheckpoint(text, origin, v)
				return (err == nil) != slices.Contains(phase.opens, v)
			})
		}
		var text []byte
		var err error
		for until := time.Now().Add(30 * time.Second); time.Now().Before(until) && (err != nil || !opened(text)); time.Sleep(50 * time.Millisecond) {
			text, err = db.LatestCheckpoint(ctx)
		}
		end()
		work.Wait()
		if err != nil {
			t.Fatal(err)
		}
		for _, verifier := range phase.opens {
			if _, err := ledger.OpenCheckpoint(text, origin, verifier); err != nil {
				t.Errorf("phase %d: %v", i, err)
			}
		}
		if len(phase.opens) == 1 && i == 2 {
			if _, err := ledger.OpenCheckpoint(text, origin, b.verifier); err == nil {
				t.Error("the old key still signs")
			}
		}
	}
	close(stop)
	load.Wait()
	if n := pgtest.Value(t, b.db.Admin, "SELECT count(*) FROM ledger.entry WHERE type = 'key.rotated'"); n != "2" {
		t.Errorf("%s entries say that keys were rotated, want 2", n)
	}
}

// An entry waits from its commit until it has its place.
func TestWaiting(t *testing.T) {
	b := newBench(t)
	s, db := b.sequencer(t, t.TempDir(), "one")
	says := func(want bool) {
		t.Helper()
		if got, err := db.Waiting(ctx); err != nil || got != want {
			t.Errorf("an entry waits: %v, %v; want %v", got, err, want)
		}
	}
	says(false)
	b.append(t, 2, "w")
	says(true)
	settle(t, s, db, 2)
	says(false)
	b.append(t, 1, "x")
	says(true)
}

// paced is a store that tells when it is asked for batches.
type paced struct {
	sequencer.Store
	batches chan time.Time
}

func (p paced) Sequence(ctx context.Context, limit int) (ledger.Tree, int, error) {
	at := time.Now()
	tree, n, err := p.Store.Sequence(ctx, limit)
	if n > 0 {
		p.batches <- at
	}
	return tree, n, err
}

// pacedRun runs a sequencer that is nudged by the writer of b.
func (b *bench) pacedRun(t *testing.T) <-chan time.Time {
	s, db := b.sequencer(t, t.TempDir(), "one")
	running, stop := context.WithCancel(ctx)
	batches := make(chan time.Time, 1000)
	s.Store, s.Nudges = paced{db, batches}, db.EntryNudges(running)
	var work sync.WaitGroup
	work.Go(func() { s.Run(running) })
	t.Cleanup(func() { stop(); work.Wait() })
	return batches
}

// An entry that comes alone does not wait for a round that comes by itself: of those
// that do, four fifths wait for more than 10 ms. A machine that is busy may need more
// than one attempt.
func TestAnEntryThatComesAloneIsSequencedAtOnce(t *testing.T) {
	b := newBench(t)
	batches := b.pacedRun(t)
	b.append(t, 1, "first")
	<-batches
	const attempts, n = 5, 20
	for attempt := range attempts {
		soon := 0
		for i := range n {
			time.Sleep(60*time.Millisecond + time.Duration(i)*7*time.Millisecond)
			b.append(t, 1, fmt.Sprint(attempt, i))
			committed := time.Now()
			if (<-batches).Sub(committed) < 10*time.Millisecond {
				soon++
			}
		}
		if soon > n/2 {
			return
		}
		t.Logf("%d of %d entries were taken up within 10 ms", soon, n)
	}
	t.Error("entries wait for a round that comes by itself")
}

// Entries that come one after the other share batches.
func TestManyEntriesShareBatches(t *testing.T) {
	b := newBench(t)
	batches := b.pacedRun(t)
	began, n := time.Now(), 0
	for ; time.Since(began) < 2*time.Second; n++ {
		b.append(t, 1, strconv.Itoa(n))
	}
	most := int(30*time.Since(began).Seconds()) + 10
	if got := len(batches); got > most {
		t.Errorf("%d entries in %s took %d batches", n, time.Since(began), got)
	}
}
