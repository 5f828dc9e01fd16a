package store

import (
	"context"
	"fmt"
	"time"
)

// Standing is how things stand at one moment, for those who watch. Pointers are nil
// where there is nothing that has the age. Simulations are left out.
type Standing struct {
	Pending    int64    `db:"pending"`
	PendingAge *float64 `db:"pending_age"` // seconds, of the oldest
	DeadlineIn *float64 `db:"deadline_in"` // seconds, until the next request expires

	Queued    int64    `db:"queued"`     // notifications that are not sent yet
	QueuedAge *float64 `db:"queued_age"` // seconds, of the oldest
	Dead      int64    `db:"dead"`       // notifications that were given up

	UnknownNotices    int64 `db:"unknown_notices"` // what may or may not have happened
	UnknownDeliveries int64 `db:"unknown_deliveries"`
	UnknownActions    int64 `db:"unknown_actions"`

	ExportsOpen int64 `db:"exports_open"` // begun, neither sealed nor failed

	LogSize   int64    `db:"log_size"`   // entries with a place
	LogSigned int64    `db:"log_signed"` // entries under the newest checkpoint
	BeatAge   *float64 `db:"beat_age"`   // seconds, since the writing sequencer's sign of life

	Incidents []SeverityCount
	Feeds     []FeedAge
	Sinks     []SinkLag
}

// SeverityCount counts open incidents.
type SeverityCount struct {
	Severity string `db:"severity"`
	N        int64  `db:"n"`
}

// FeedAge is how long ago a source was heard of, in seconds.
type FeedAge struct {
	Source string  `db:"source"`
	Age    float64 `db:"age"`
}

// SinkLag is how far a SIEM sink is behind, in entries.
type SinkLag struct {
	Name      string `db:"name"`
	Behind    int64  `db:"behind"`
	Connected bool   `db:"connected"`
}

// mostWatched bounds the rows of each list of a Standing.
const mostWatched = 50

// Standing reads how things stand.
func (r *Reader) Standing(ctx context.Context) (Standing, error) {
	var s Standing
	err := r.db.GetContext(ctx, &s, `
		SELECT p.n AS pending, extract(epoch FROM now() - p.oldest)::float8 AS pending_age, extract(epoch FROM p.next - now())::float8 AS deadline_in,
			q.n AS queued, extract(epoch FROM now() - q.oldest)::float8 AS queued_age,
			(SELECT count(*) FROM api.notification WHERE status = 'dead') AS dead,
			(SELECT count(*) FROM api.notification WHERE status = 'unknown') AS unknown_notices,
			(SELECT count(*) FROM api.export WHERE delivery_status = 'unknown') AS unknown_deliveries,
			(SELECT count(*) FROM api.agent_action WHERE (status = 'unknown' OR recovery = 'compensation_unknown') AND NOT is_simulation) AS unknown_actions,
			(SELECT count(*) FROM api.export WHERE status = 'intended') AS exports_open,
			l.size AS log_size, coalesce(l.signed_size, 0) AS log_signed, extract(epoch FROM clock_timestamp() - l.beat_at)::float8 AS beat_age
		FROM (SELECT count(*) AS n, min(created_at) AS oldest, min(expires_at) AS next FROM api.approval_request
				WHERE status = 'pending' AND NOT is_simulation) p,
			(SELECT count(*) AS n, min(created_at) AS oldest FROM api.notification WHERE status IN ('queued', 'sending')) q,
			api.sequencer l`)
	if err != nil {
		return s, fmt.Errorf("reading how things stand: %w", classify(err))
	}
	for _, q := range []struct {
		dest  any
		query string
	}{
		{&s.Incidents, `SELECT severity, count(*) AS n FROM api.incident WHERE status IN ('open', 'acknowledged') GROUP BY 1 ORDER BY 1 LIMIT $1`},
		{&s.Feeds, `SELECT source, extract(epoch FROM now() - received_at)::float8 AS age FROM api.feed ORDER BY source LIMIT $1`},
		{&s.Sinks, `SELECT name, greatest((SELECT size FROM api.tree) - acked, 0) AS behind, coalesce((status ->> 'connected')::boolean, false) AS connected
			FROM api.sink ORDER BY name LIMIT $1`},
	} {
		if err := r.db.SelectContext(ctx, q.dest, q.query, mostWatched); err != nil {
			return s, fmt.Errorf("reading how things stand: %w", classify(err))
		}
	}
	return s, nil
}

// Behind counts the entries that wait for their place in the log, up to most, and
// says how old the oldest of them is.
func (s *Sequencer) Behind(ctx context.Context, most int) (n int64, oldest time.Duration, err error) {
	var row struct {
		N      int64   `db:"n"`
		Oldest float64 `db:"oldest"`
	}
	// The bounds of xid say nothing more, but have the planner expect few rows.
	err = s.db.GetContext(ctx, &row, `
		SELECT count(*) AS n, coalesce(extract(epoch FROM clock_timestamp() - min(recorded_at)), 0)::float8 AS oldest
		FROM (SELECT e.recorded_at FROM ledger.entry e
			WHERE (e.xid, e.entry_id) > ((SELECT last_xid FROM ledger.tree), (SELECT last_entry FROM ledger.tree))
				AND e.xid BETWEEN (SELECT last_xid FROM ledger.tree) AND '18446744073709551615'
			ORDER BY e.xid, e.entry_id LIMIT $1) AS waiting`, most)
	if err != nil {
		return 0, 0, fmt.Errorf("counting what waits for its place: %w", classify(err))
	}
	return row.N, time.Duration(row.Oldest * float64(time.Second)), nil
}
