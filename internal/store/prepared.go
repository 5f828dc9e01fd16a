package store

import (
	"context"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
)

const (
	// mostPrepared bounds the statements that a pool remembers. Lists make theirs of
	// the filters that are set, so a caller who tries them all makes many.
	mostPrepared = 500
	// retireAfter is how long forgotten statements are kept, for those who have them in
	// their hands: longer than any request or activity takes to begin its query.
	retireAfter = time.Minute
)

// statements are the prepared forms of queries, each prepared once per connection.
type statements struct {
	mu      sync.RWMutex
	by      map[string]*sqlx.Stmt
	retired sync.WaitGroup
	ended   context.Context
	end     context.CancelFunc
}

func newStatements() *statements {
	s := &statements{by: map[string]*sqlx.Stmt{}}
	s.ended, s.end = context.WithCancel(context.Background())
	return s
}

// of returns the prepared form of a query; the error is that of the database, as it is.
func (s *statements) of(ctx context.Context, on *sqlx.DB, query string) (*sqlx.Stmt, error) {
	s.mu.RLock()
	known := s.by[query]
	s.mu.RUnlock()
	if known != nil {
		return known, nil
	}
	made, err := on.PreparexContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if first := s.by[query]; first != nil {
		return first, made.Close() //nolint:sqlclosecheck // another call prepared it first
	}
	if len(s.by) >= mostPrepared {
		s.retire()
	}
	s.by[query] = made
	return made, nil
}

// retire forgets all statements and closes them after a while. The caller holds the
// lock.
func (s *statements) retire() {
	old := s.by
	s.by = map[string]*sqlx.Stmt{}
	s.retired.Go(func() {
		select {
		case <-time.After(retireAfter):
		case <-s.ended.Done():
		}
		for _, stmt := range old {
			stmt.Close() // what it holds on a broken connection is gone with it
		}
	})
}

// close ends those that wait for their end; the others end with the pool.
func (s *statements) close() {
	s.end()
	s.retired.Wait()
}

// statement returns the prepared form of a query.
func (d *db) statement(ctx context.Context, query string) (*sqlx.Stmt, error) {
	s, err := d.prepared.of(ctx, d.DB, query)
	return s, classify(err)
}

// GetContext reads one row by a prepared statement. That takes one round trip, and
// Postgres neither parses nor, mostly, plans again; without, the driver takes two.
func (d *db) GetContext(ctx context.Context, dest any, query string, args ...any) error {
	s, err := d.prepared.of(ctx, d.DB, query) //nolint:sqlclosecheck // it is kept for others
	if err != nil {
		return err
	}
	return s.GetContext(ctx, dest, args...)
}

// SelectContext reads rows by a prepared statement; see GetContext.
func (d *db) SelectContext(ctx context.Context, dest any, query string, args ...any) error {
	s, err := d.prepared.of(ctx, d.DB, query) //nolint:sqlclosecheck // it is kept for others
	if err != nil {
		return err
	}
	return s.SelectContext(ctx, dest, args...)
}

// Filtered reads rows that somebody chose by filters. It prepares nothing: Postgres
// plans for the values that are given, since what is rare is found by another index
// than what is common. A plan that is kept is one for any value, and reads a table
// whole to find that nothing is there.
func (d *db) Filtered(ctx context.Context, dest any, query string, args ...any) error {
	return d.DB.SelectContext(ctx, dest, query, args...)
}
