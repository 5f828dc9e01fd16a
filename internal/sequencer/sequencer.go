// Package sequencer gives every ledger entry its place in the log, and signs what
// the log has become.
//
// Order matters more than speed here. The tree is committed first, then compared
// with the last statement that this host has signed, then the new statement is
// put on this host's disk, and only then is it signed and published. So a crash
// anywhere leaves at most a statement that was not published; and a database
// that was put back, or rewritten, is not signed again.
package sequencer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"finobs/internal/failpoint"
	"finobs/internal/ledger"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	ratelimit "golang.org/x/time/rate"
)

const (
	// MaxBatch is how many entries are sequenced in one transaction.
	MaxBatch = 4096
	// rate is how many batches there are in a second while entries come in few, and
	// burst how many at once: an entry that comes alone gets its place at once, and
	// many share a batch, which costs the database as much as some 250 entries.
	rate, burst = 25, 5
	// busy is how many entries a batch has when there is so much to do that still
	// fewer batches are better: those who append wait for them.
	busy = 64
	// busyInterval is how long after a batch the next one comes then.
	busyInterval = 160 * time.Millisecond
	// interval is how soon a round comes that nothing asks for.
	interval = 50 * time.Millisecond
	// lookInterval is how soon after a nudge is looked again, when the entry has to wait
	// for a transaction that began before its own. It doubles.
	lookInterval = 2 * time.Millisecond
	// signInterval is how often a checkpoint is signed at most.
	signInterval = 200 * time.Millisecond
	// lease is after how long without a sign of life another sequencer takes over.
	lease = 3 * time.Second
	// beatInterval is how often the writer gives a sign of life.
	beatInterval = time.Second
	// refusalInterval is how often a sequencer that refuses looks whether the
	// reason is gone.
	refusalInterval = 5 * time.Second
)

// Store is what the sequencer needs of the database.
type Store interface {
	// Lead reports whether this holder is the writer until the lease ends.
	Lead(ctx context.Context, holder string, lease time.Duration) (bool, error)
	// Sequence gives places to at most limit entries in one transaction, and
	// returns the tree and how many there were.
	Sequence(ctx context.Context, limit int) (ledger.Tree, int, error)
	// Waiting reports whether there are entries that could get a place now.
	Waiting(ctx context.Context) (bool, error)
	// Tree is the tree as it is committed.
	Tree(ctx context.Context) (ledger.Tree, error)
	// Tiles reads tiles of the committed tree.
	Tiles(ctx context.Context) ledger.TileSource
	// LatestCheckpoint is the newest checkpoint; empty when there is none.
	LatestCheckpoint(ctx context.Context) ([]byte, error)
	// PutCheckpoint publishes a checkpoint; one of the same size stands.
	PutCheckpoint(ctx context.Context, size int64, checkpoint []byte) error
	// Report makes known what the writer signs with, and why it refuses; empty
	// while it does not. It returns the keys that were known before.
	Report(ctx context.Context, holder, refused, keys string) (before string, err error)
	// AppendRotation records that the log is signed with other keys now.
	AppendRotation(ctx context.Context, before, now string, size int64) error
}

// Sequencer is one of possibly several; one of them writes at a time.
type Sequencer struct {
	Store     Store
	Origin    string        // of the log, such as finobs.example/desk
	Signers   []note.Signer // each checkpoint is signed by all of them
	Verifiers []string      // their verifier keys, in the same order
	State     StateFile     // the last statement that this host signed
	Holder    string        // names this process among the sequencers

	// Nudges tell that there may be entries without a place; nil, or one that is lost,
	// costs an entry a moment.
	Nudges <-chan struct{}

	// WhileLeading runs while this is the writer; its context ends with that. It
	// may be nil.
	WhileLeading func(ctx context.Context)

	// Fault lets tests fail between two steps; nil in earnest.
	Fault func(step string) error

	led      bool
	endLead  context.CancelFunc
	beatAt   time.Time
	signedAt time.Time
	refused  string
}

// ErrRefused is wrapped when the database does not continue what was signed.
var ErrRefused = errors.New("the sequencer refuses to sign")

// Run sequences until ctx ends. Errors are logged and tried again: the ledger
// takes entries all the same.
func (s *Sequencer) Run(ctx context.Context) {
	few := ratelimit.NewLimiter(rate, burst)
	for ctx.Err() == nil {
		n, err := s.Once(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, ErrRefused):
			pause(ctx, refusalInterval)
		case err != nil:
			slog.WarnContext(ctx, "sequencing failed and will be tried again", "error", err)
			pause(ctx, time.Second)
		case n == MaxBatch:
		case !s.led:
			pause(ctx, lease/4)
		case n >= busy:
			pause(ctx, busyInterval)
		case n > 0:
			_ = few.Wait(ctx) // only ctx ends it early
			s.await(ctx)
		default:
			s.await(ctx)
		}
	}
}

// await waits for an entry, an interval at most. Nothing is looked for until a nudge
// comes.
func (s *Sequencer) await(ctx context.Context) {
	end := time.After(interval)
	var again <-chan time.Time
	for wait := lookInterval; ; wait *= 2 {
		select {
		case <-ctx.Done():
			return
		case <-end:
			return
		case <-s.Nudges:
		case <-again:
		}
		// What is wrong the next round says.
		if waiting, err := s.Store.Waiting(ctx); waiting || err != nil {
			return
		}
		again = time.After(wait)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// Once does one round: a batch, when this is the writer, and a checkpoint over
// what is committed. It returns how many entries got their places.
func (s *Sequencer) Once(ctx context.Context) (int, error) {
	if err := s.lead(ctx); err != nil || !s.led {
		return 0, err
	}
	if err := s.check(ctx); err != nil {
		return 0, s.refuse(ctx, err)
	}
	tree, n, err := s.Store.Sequence(ctx, MaxBatch)
	if err != nil {
		return 0, err
	}
	if err := s.at("sequencer.after-commit"); err != nil {
		return n, err
	}
	if time.Since(s.signedAt) < signInterval {
		return n, nil // soon; this round comes again
	}
	if err := s.publish(ctx, tree); err != nil {
		return n, s.refuse(ctx, err)
	}
	return n, nil
}

// lead renews the lease now and then.
func (s *Sequencer) lead(ctx context.Context) error {
	if s.led && time.Since(s.beatAt) < beatInterval {
		return nil
	}
	was := s.led
	led, err := s.Store.Lead(ctx, s.Holder, lease)
	s.led, s.beatAt = led && err == nil, time.Now()
	if was && !s.led {
		s.endLead()
	}
	if err != nil || !led || was {
		return err
	}
	slog.InfoContext(ctx, "this sequencer writes now", "holder", s.Holder)
	leading, end := context.WithCancel(ctx)
	s.endLead = end
	if s.WhileLeading != nil {
		go s.WhileLeading(leading)
	}
	return s.report(ctx)
}

// report makes the keys known, and records when they are others than before.
func (s *Sequencer) report(ctx context.Context) error {
	keys := strings.Join(s.Verifiers, "\n")
	before, err := s.Store.Report(ctx, s.Holder, s.refused, keys)
	if err != nil || before == keys || before == "" {
		return err
	}
	tree, err := s.Store.Tree(ctx)
	if err != nil {
		return err
	}
	return s.Store.AppendRotation(ctx, before, keys, tree.Size)
}

// check compares what is committed with what was signed, before anything is
// added to it.
func (s *Sequencer) check(ctx context.Context) error {
	if s.refused == "" && s.State.Known() {
		return nil // publish compares each time
	}
	tree, err := s.Store.Tree(ctx)
	if err != nil {
		return err
	}
	return s.continues(ctx, tree)
}

// continues checks that a tree continues everything that was signed, as far as
// this host and the database know.
func (s *Sequencer) continues(ctx context.Context, tree ledger.Tree) error {
	last, err := s.State.Load(s.Origin)
	if err != nil {
		return err
	}
	if published, err := s.published(ctx); err != nil {
		return err
	} else if published.Size > last.Size {
		last = published
	}
	return Continues(last, tree, s.Store.Tiles(ctx))
}

// published is the newest checkpoint in the database, when this log signed it.
func (s *Sequencer) published(ctx context.Context) (ledger.Tree, error) {
	text, err := s.Store.LatestCheckpoint(ctx)
	if err != nil || len(text) == 0 {
		return ledger.Tree{}, err
	}
	_, tree, err := ledger.PeekCheckpoint(text)
	return tree, err
}

// Continues reports, wrapped in ErrRefused, how a tree fails to continue an
// earlier one.
func Continues(last, tree ledger.Tree, tiles ledger.TileSource) error {
	switch {
	case tree.Size < last.Size:
		return fmt.Errorf("%w: the database holds %d leaves, but a tree of %d was signed; it was put back to an older state, which would fork the log",
			ErrRefused, tree.Size, last.Size)
	case last.Size == 0:
		return nil
	case tree.Size == last.Size:
		if tree.Root != last.Root {
			return fmt.Errorf("%w: the database holds another tree of %d leaves than was signed", ErrRefused, tree.Size)
		}
		return nil
	}
	root, err := tlog.TreeHash(last.Size, ledger.Hashes(tree, tiles))
	if err != nil {
		return fmt.Errorf("%w: the tiles do not make up the tree: %w", ErrRefused, err)
	}
	if root != last.Root {
		return fmt.Errorf("%w: the first %d leaves are not those that were signed", ErrRefused, last.Size)
	}
	return nil
}

// publish signs a tree that is larger than what was signed last.
func (s *Sequencer) publish(ctx context.Context, tree ledger.Tree) error {
	published, err := s.published(ctx)
	if err != nil {
		return err
	}
	if tree.Size == published.Size && tree.Root == published.Root && s.State.Known() {
		return nil
	}
	if err := s.continues(ctx, tree); err != nil {
		return err
	}
	if tree.Size == 0 {
		return s.State.Store(s.Origin, tree)
	}
	if err := s.State.Store(s.Origin, tree); err != nil {
		return err
	}
	if err := s.at("sequencer.after-state"); err != nil {
		return err
	}
	signed, err := ledger.SignCheckpoint(s.Origin, tree, s.Signers...)
	if err != nil {
		return err
	}
	if err := s.at("sequencer.after-sign"); err != nil {
		return err
	}
	if err := s.Store.PutCheckpoint(ctx, tree.Size, signed); err != nil {
		return err
	}
	s.signedAt = time.Now()
	if s.refused != "" {
		s.refused = ""
		return s.report(ctx)
	}
	return s.at("sequencer.after-publish")
}

// refuse makes known why nothing is signed.
func (s *Sequencer) refuse(ctx context.Context, why error) error {
	if !errors.Is(why, ErrRefused) {
		return why
	}
	if s.refused != why.Error() {
		s.refused = why.Error()
		slog.ErrorContext(ctx, "THE LOG IS NOT SIGNED", "error", why)
	}
	if err := s.report(ctx); err != nil {
		return errors.Join(why, err)
	}
	return why
}

func (s *Sequencer) at(step string) error {
	failpoint.Hit(step)
	if s.Fault != nil {
		return s.Fault(step)
	}
	return nil
}
