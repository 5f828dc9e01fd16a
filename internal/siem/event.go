package siem

import (
	"context"
	"time"
)

// Event is a leaf that has its place in the log.
type Event struct {
	Index    int64    // dense, from 0
	Leaf     []byte   // the exact bytes that are hashed
	SHA256   [32]byte // of Leaf
	TreeSize int64    // leaves in the log when the event was read; over Index
}

// Source reads leaves of the log.
type Source interface {
	// Leaves returns at most limit leaves from an index on, ascending and without
	// gaps; none when there are none yet.
	Leaves(ctx context.Context, from int64, limit int) ([]Event, error)
}

// Cursors keeps how far each sink has come.
type Cursors interface {
	// Cursor returns the first index that a sink has not acknowledged; 0 for a
	// sink that is new.
	Cursor(ctx context.Context, sink string) (acked int64, err error)
	// Advance moves the cursor of a sink, never backwards.
	Advance(ctx context.Context, sink string, acked int64) error
}

// Lag says that a sink is behind or failing.
type Lag struct {
	Sink   string
	Behind int64     // leaves that the sink has not acknowledged
	Since  time.Time // when it began
	Err    string    // what fails, on one line; empty when the sink is only slow
}

// SinkStatus is how a sink is doing.
type SinkStatus struct {
	Name        string
	Acked       int64     // first index that is not acknowledged
	Sent        int64     // first index that was not sent
	Behind      int64     // leaves that are not acknowledged
	Connected   bool      // over HTTPS: the last batch was taken
	Lossy       bool      // nobody can tell whether what was sent arrived
	LastError   string    // on one line; empty while all is well
	LastSuccess time.Time // zero when there was none since the start
}
