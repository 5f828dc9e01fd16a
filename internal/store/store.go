// Package store is Postgres. Reader and Writer are different types over
// different roles: a Reader sees the views of schema api and may append security
// events, a Writer is the worker's and the only one that changes state.
package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	neturl "net/url"
	"sync"
	"time"

	"finobs/desks"
	"finobs/internal/deskfile"
	"finobs/internal/fault"
	"finobs/internal/telemetry"

	"github.com/XSAM/otelsql"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
)

// Pool sizes for one process; a worker needs about one connection per concurrent
// activity.
const (
	maxConns    = 40
	connMaxIdle = 5 * time.Minute
)

// db is a connection pool whose statements are prepared once per connection:
// preparing each time costs a third of the throughput of short statements.
type db struct {
	*sqlx.DB
	prepared *statements
	stats    metric.Registration
}

// open connects. The pool's name tells its figures from those of others in the same
// process.
func open(ctx context.Context, url, pool string) (*db, error) {
	about := otelsql.WithAttributes(semconv.DBSystemNamePostgreSQL, telemetry.Pool.Of(pool))
	raw, err := sql.Open("postgres", url)
	if telemetry.Watched() {
		raw, err = otelsql.Open("postgres", url, about,
			otelsql.WithSpanOptions(otelsql.SpanOptions{
				OmitConnResetSession: true, OmitConnPrepare: true, OmitRows: true, OmitConnectorConnect: true,
			}))
	}
	if err != nil {
		return nil, fmt.Errorf("opening database: %w", err)
	}
	x := sqlx.NewDb(raw, "postgres")
	x.SetMaxOpenConns(maxConns)
	x.SetMaxIdleConns(maxConns)
	x.SetConnMaxIdleTime(connMaxIdle)
	if err := x.PingContext(ctx); err != nil {
		x.Close()
		return nil, fmt.Errorf("connecting to database: %w", err)
	}
	stats, err := otelsql.RegisterDBStatsMetrics(raw, about)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("measuring the pool: %w", err), x.Close())
	}
	return &db{DB: x, prepared: newStatements(), stats: stats}, nil
}

// Close ends all connections.
func (d *db) Close() error {
	d.prepared.close()
	return errors.Join(d.stats.Unregister(), d.DB.Close())
}

// classify gives a database error the meaning that it has for the caller:
// what passes by itself is Unavailable, the rest is Internal.
func classify(err error) error {
	var pqErr *pq.Error
	var pgErr *pgconn.PgError
	var netErr net.Error
	switch {
	case err == nil || errors.Is(err, sql.ErrNoRows) || errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &pgErr): // of a stream
		return classify(&pq.Error{Code: pqerror.Code(pgErr.Code), Message: pgErr.Message})
	case errors.As(err, &pqErr):
		switch pqErr.Code.Class() {
		case "08", "53", "57", "40", "55": // connection, resources, shutdown, serialization, lock not available
			return fault.Wrap(err, fault.Unavailable, "database-unavailable", "the database cannot answer now; try again")
		}
		if pqErr.Code.Class() == "22" { // data exception: no retry mends it
			return fault.Wrap(err, fault.Invalid, "data-refused", "the database cannot keep a value that was given")
		}
		return err
	case errors.As(err, &netErr), errors.Is(err, sql.ErrConnDone), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(err, fault.Unavailable, "database-unavailable", "the database cannot be reached; try again")
	}
	return err
}

// collect gives each row its meaning. The list is empty, not nil, when there are
// none: that is what answers show.
func collect[R, D any](rows []R, domain func(R) (D, error)) ([]D, error) {
	out := make([]D, 0, len(rows))
	for _, r := range rows {
		d, err := domain(r)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

// violates reports whether err is the violation of the named constraint.
func violates(err error, constraint string) bool {
	var pqErr *pq.Error
	return errors.As(err, &pqErr) && pqErr.Constraint == constraint
}

// Writer changes state; it connects as finobs_worker.
type Writer struct {
	db     *db
	desk   *deskfile.Desk
	stream *pgconn.Config // for reads of whole datasets, each on a connection of its own

	appended    chan struct{} // entries were
	stopTelling func()
}

// OpenWriter connects to the database that url names.
func OpenWriter(ctx context.Context, url string) (*Writer, error) {
	d, err := open(ctx, url, "worker")
	if err != nil {
		return nil, err
	}
	rules, err := shippedDesk()
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	stream, err := streamConfig(url)
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	w := &Writer{db: d, desk: rules, stream: stream, appended: make(chan struct{}, 1)}
	telling, stop := context.WithCancel(context.WithoutCancel(ctx))
	var told sync.WaitGroup
	told.Go(func() { d.tell(telling, w.appended) })
	w.stopTelling = func() { stop(); told.Wait() }
	return w, nil
}

// shippedDesk is the desk file that a writer has until it is given another.
var shippedDesk = sync.OnceValues(func() (*deskfile.Desk, error) { return deskfile.Load(bytes.NewReader(desks.Default)) })

// SetDesk has incidents open, fold and escalate by a desk file. Call it before the
// writer is used.
func (w *Writer) SetDesk(d *deskfile.Desk) { w.desk = d }

// Close ends all connections.
func (w *Writer) Close() error {
	w.stopTelling()
	return w.db.Close()
}

// Ping reports whether the database answers.
func (w *Writer) Ping(ctx context.Context) error { return classify(w.db.PingContext(ctx)) }

// Reader reads; it connects as finobs_api.
type Reader struct {
	db  *db
	url string // to listen on a connection of its own
}

// OpenReader connects to the database that url names.
func OpenReader(ctx context.Context, url string) (*Reader, error) {
	d, err := open(ctx, oneTrip(url), "api")
	if err != nil {
		return nil, err
	}
	return &Reader{d, url}, nil
}

// oneTrip has the driver send a statement that is not prepared, such as a list's, with
// its values at once, in place of having it described first. Bytes are sent as they
// are then, which suits columns of bytea, not of JSON: a reader sends none.
func oneTrip(url string) string {
	if u, err := neturl.Parse(url); err == nil && u.Scheme != "" {
		q := u.Query()
		q.Set("binary_parameters", "yes")
		u.RawQuery = q.Encode()
		return u.String()
	}
	return url + " binary_parameters=yes"
}

// Close ends all connections.
func (r *Reader) Close() error { return r.db.Close() }

// Ping reports whether the database answers.
func (r *Reader) Ping(ctx context.Context) error { return classify(r.db.PingContext(ctx)) }
