package store

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"finobs/internal/detect"
	"finobs/internal/health"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// forgetWorkers is after how long nothing is kept of a worker that is gone.
const forgetWorkers = 24 * time.Hour

// Beat says that a worker lives, and what its desk file expects of feeds. It also
// removes what is left of workers that are long gone.
func (w *Writer) Beat(ctx context.Context, p health.Process, feeds []detect.Feed) error {
	rules, err := json.Marshal(feeds)
	if err != nil {
		return fmt.Errorf("encoding the rules of feeds: %w", err)
	}
	_, err = w.db.ExecContext(ctx, `INSERT INTO finobs.worker (instance, host, identity, version, record_only, feeds, started_at, beat_at)
		VALUES ($1, $2, $3, $4, $5, $6, clock_timestamp(), clock_timestamp())
		ON CONFLICT (instance) DO UPDATE SET beat_at = clock_timestamp()`,
		p.Instance, p.Host, p.Identity, p.Version, p.RecordOnly, string(rules))
	if err == nil {
		_, err = w.db.ExecContext(ctx, `DELETE FROM finobs.worker WHERE beat_at < clock_timestamp() - make_interval(secs => $1)`, forgetWorkers.Seconds())
	}
	if err != nil {
		return fmt.Errorf("giving a sign of life: %w", classify(err))
	}
	return nil
}

// EndBeat says that a worker stopped in order.
func (w *Writer) EndBeat(ctx context.Context, instance string) error {
	if _, err := w.db.ExecContext(ctx, `UPDATE finobs.worker SET ended_at = clock_timestamp() WHERE instance = $1`, instance); err != nil {
		return fmt.Errorf("saying that this worker stops: %w", classify(err))
	}
	return nil
}

// Found records what a worker found of one system; it may do so after a beat.
func (w *Writer) Found(ctx context.Context, f health.Finding) error {
	var evidence *time.Time
	if !f.EvidenceAt.IsZero() {
		evidence = &f.EvidenceAt
	}
	_, err := w.db.ExecContext(ctx, `INSERT INTO finobs.probe AS p (instance, kind, name, state, detail, latency_us, since, evidence_at, looked_at)
		VALUES ($1, $2, $3, $4, $5, $6, clock_timestamp(), coalesce($7, CASE WHEN $8 THEN clock_timestamp() END), clock_timestamp())
		ON CONFLICT (instance, kind, name) DO UPDATE SET state = $4, detail = $5, latency_us = $6, evidence_at = excluded.evidence_at,
			looked_at = excluded.looked_at, since = CASE WHEN p.state = $4 THEN p.since ELSE excluded.since END`,
		f.Instance, f.Kind, f.Name, f.State, f.Detail, f.Latency.Microseconds(), evidence, f.State != health.Unknown)
	if err != nil {
		return fmt.Errorf("recording how %s is: %w", health.ID(f.Kind, f.Name), classify(err))
	}
	return nil
}

// Exchange is the last exchange with a language model that is on record.
type Exchange struct {
	Outcome string    `db:"outcome"`
	At      time.Time `db:"recorded_at"`
}

// LastExchange reads the newest exchange with a model; zero when there is none.
func (w *Writer) LastExchange(ctx context.Context, provider, model string) (Exchange, error) {
	var list []Exchange
	err := w.db.SelectContext(ctx, &list, `SELECT outcome, recorded_at FROM finobs.agent_exchange WHERE provider = $1 AND model = $2
		ORDER BY run_id DESC, ordinal DESC LIMIT 1`, provider, model)
	if err != nil {
		return Exchange{}, fmt.Errorf("reading the last exchange with a model: %w", classify(err))
	}
	if len(list) == 0 {
		return Exchange{}, nil
	}
	list[0].At = list[0].At.UTC()
	return list[0], nil
}

// Alive reports whether a worker of a host gave a sign of life lately.
func (w *Writer) Alive(ctx context.Context, host string, within time.Duration) (bool, error) {
	var alive bool
	err := w.db.GetContext(ctx, &alive, `SELECT EXISTS (SELECT FROM finobs.worker WHERE host = $1 AND ended_at IS NULL
		AND beat_at > clock_timestamp() - make_interval(secs => $2))`, host, within.Seconds())
	if err != nil {
		return false, fmt.Errorf("looking for a sign of life: %w", classify(err))
	}
	return alive, nil
}

// Alive reports whether any sequencer gave a sign of life lately, and why it does
// not sign; empty while it does.
func (s *Sequencer) Alive(ctx context.Context, within time.Duration) (alive bool, refused string, err error) {
	err = s.db.QueryRowxContext(ctx, `SELECT coalesce(beat_at > clock_timestamp() - make_interval(secs => $1), false), refused
		FROM ledger.sequencer`, within.Seconds()).Scan(&alive, &refused)
	if err != nil {
		return false, "", fmt.Errorf("looking for a sign of life of a sequencer: %w", classify(err))
	}
	return alive, refused, nil
}

// Systems is what is on record of the systems of finobs, at one moment.
type Systems struct {
	Now       time.Time // of the database, which all other times are of as well
	Workers   []health.Process
	FeedRules []detect.Feed // as the youngest worker that lives has them
	Findings  []health.Finding
	Log       health.Log
	Sinks     []health.SinkReport
	Feeds     map[string]time.Time // when each source was heard of last
	Beats     []health.Beat
	APIs      map[string]time.Time // last sign of life of each process that is connected, by name
}

// Systems reads what is on record of the systems of finobs.
func (r *Reader) Systems(ctx context.Context) (out Systems, err error) {
	if out.Now, err = r.Now(ctx); err != nil {
		return out, err
	}
	for _, read := range []func(context.Context, *Systems) error{r.workers, r.findings, r.logLag, r.sinkReports, r.beats, r.apis} {
		if err := read(ctx, &out); err != nil {
			return out, err
		}
	}
	heard, err := r.Feeds(ctx)
	out.Feeds = map[string]time.Time{}
	for name, f := range heard {
		out.Feeds[name] = f.ReceivedAt
	}
	return out, err
}

func (r *Reader) workers(ctx context.Context, out *Systems) error {
	var rows []struct {
		Instance   string     `db:"instance"`
		Host       string     `db:"host"`
		Identity   string     `db:"identity"`
		Version    string     `db:"version"`
		RecordOnly bool       `db:"record_only"`
		Feeds      []byte     `db:"feeds"`
		StartedAt  time.Time  `db:"started_at"`
		BeatAt     time.Time  `db:"beat_at"`
		EndedAt    *time.Time `db:"ended_at"`
	}
	err := r.db.SelectContext(ctx, &rows, `SELECT instance, host, identity, version, record_only, feeds, started_at, beat_at, ended_at
		FROM api.worker ORDER BY started_at`)
	if err != nil {
		return fmt.Errorf("reading the workers: %w", classify(err))
	}
	for _, x := range rows {
		p := health.Process{
			Instance: x.Instance, Host: x.Host, Identity: x.Identity, Version: x.Version, RecordOnly: x.RecordOnly,
			StartedAt: x.StartedAt.UTC(), BeatAt: x.BeatAt.UTC(), EndedAt: orZero(x.EndedAt),
		}
		out.Workers = append(out.Workers, p)
		if !p.Alive(out.Now) && out.FeedRules != nil {
			continue
		}
		out.FeedRules = []detect.Feed{}
		if err := json.Unmarshal(x.Feeds, &out.FeedRules); err != nil {
			return fmt.Errorf("reading the rules of feeds of worker %s: %w", x.Instance, err)
		}
	}
	return nil
}

func (r *Reader) findings(ctx context.Context, out *Systems) error {
	var rows []struct {
		Instance   string     `db:"instance"`
		Kind       string     `db:"kind"`
		Name       string     `db:"name"`
		State      string     `db:"state"`
		Detail     string     `db:"detail"`
		LatencyUS  int64      `db:"latency_us"`
		Since      time.Time  `db:"since"`
		EvidenceAt *time.Time `db:"evidence_at"`
		LookedAt   time.Time  `db:"looked_at"`
	}
	err := r.db.SelectContext(ctx, &rows, `SELECT instance, kind, name, state, detail, latency_us, since, evidence_at, looked_at
		FROM api.probe ORDER BY kind, name, instance`)
	if err != nil {
		return fmt.Errorf("reading what workers found: %w", classify(err))
	}
	for _, x := range rows {
		out.Findings = append(out.Findings, health.Finding{
			Instance: x.Instance, Kind: health.Kind(x.Kind), Name: x.Name, State: health.State(x.State), Detail: x.Detail,
			Latency: time.Duration(x.LatencyUS) * time.Microsecond, Since: x.Since.UTC(), EvidenceAt: orZero(x.EvidenceAt), LookedAt: x.LookedAt.UTC(),
		})
	}
	return nil
}

func (r *Reader) logLag(ctx context.Context, out *Systems) error {
	s, err := r.Sequencer(ctx)
	if err != nil {
		return err
	}
	out.Log = health.Log{Holder: s.Holder, BeatAt: orZero(s.BeatAt), Refused: s.Refused, Size: s.Size}
	var oldest *time.Time
	err = r.db.QueryRowxContext(ctx, `SELECT waiting, oldest_at FROM api.log_lag`).Scan(&out.Log.Waiting, &oldest)
	if err != nil {
		return fmt.Errorf("reading how far the log is behind: %w", classify(err))
	}
	out.Log.OldestAt = orZero(oldest)
	return nil
}

func (r *Reader) sinkReports(ctx context.Context, out *Systems) error {
	list, err := r.Sinks(ctx)
	if err != nil {
		return err
	}
	for _, s := range list {
		var said struct {
			Connected   bool      `json:"connected"`
			Lossy       bool      `json:"lossy"`
			Behind      int64     `json:"behind"`
			LastError   string    `json:"last_error"`
			LastSuccess time.Time `json:"last_success"`
		}
		if err := json.Unmarshal(s.Status, &said); err != nil {
			return fmt.Errorf("reading the state of sink %s: %w", s.Name, err)
		}
		out.Sinks = append(out.Sinks, health.SinkReport{
			Name: s.Name, At: s.UpdatedAt.UTC(), Connected: said.Connected, Lossy: said.Lossy, Behind: said.Behind,
			LastError: said.LastError, LastSuccess: said.LastSuccess,
		})
	}
	return nil
}

func (r *Reader) beats(ctx context.Context, out *Systems) error {
	var rows []struct {
		System string    `db:"system"`
		Source string    `db:"source"`
		Status string    `db:"status"`
		Detail string    `db:"detail"`
		Every  int64     `db:"every_seconds"`
		At     time.Time `db:"received_at"`
	}
	err := r.db.SelectContext(ctx, &rows, `SELECT system, source, status, detail, every_seconds, received_at FROM api.heartbeat ORDER BY system`)
	if err != nil {
		return fmt.Errorf("reading heartbeats: %w", classify(err))
	}
	for _, x := range rows {
		out.Beats = append(out.Beats, health.Beat{
			System: x.System, Source: x.Source, Status: x.Status, Detail: x.Detail, Every: time.Duration(x.Every) * time.Second, At: x.At.UTC(),
		})
	}
	return nil
}

// announcement begins the application_name of the connection by which an API
// process shows that it lives. The role may write no row; but it may see its own
// role's connections, and when each was used last.
const announcement = "finobs-api "

func (r *Reader) apis(ctx context.Context, out *Systems) error {
	var rows []struct {
		Name string    `db:"name"`
		At   time.Time `db:"at"`
	}
	err := r.db.SelectContext(ctx, &rows, `SELECT substr(application_name, length($1) + 1) AS name, max(state_change) AS at
		FROM pg_catalog.pg_stat_activity
		WHERE datname = current_database() AND usename = current_user AND starts_with(application_name, $1) AND state_change IS NOT NULL
		GROUP BY 1 ORDER BY 1`, announcement)
	if err != nil {
		return fmt.Errorf("looking for other API processes: %w", classify(err))
	}
	out.APIs = map[string]time.Time{}
	for _, x := range rows {
		out.APIs[x.Name] = x.At.UTC()
	}
	return nil
}

// Announce keeps one connection that shows, by being used every so often, that an
// API process lives, until ctx ends or the connection breaks. A name has at most 52
// bytes; Postgres cuts what is longer.
func (r *Reader) Announce(ctx context.Context, name string, every time.Duration) error {
	conn, err := r.db.Connx(ctx)
	if err != nil {
		return fmt.Errorf("giving a sign of life: %w", classify(err))
	}
	// The connection has a name that others must not have, so it does not go back.
	defer conn.Raw(func(any) error { return errDone }) //nolint:errcheck // the error is ours: it has the connection closed
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := announce(ctx, conn, name); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// errDone is returned to database/sql, which closes a connection that is bad.
var errDone = fmt.Errorf("this connection is done with: %w", driver.ErrBadConn)

func announce(ctx context.Context, conn *sqlx.Conn, name string) error {
	_, err := conn.ExecContext(ctx, "SELECT pg_catalog.set_config('application_name', "+pq.QuoteLiteral(announcement+name)+", false)")
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("giving a sign of life: %w", classify(err))
	}
	return nil
}
