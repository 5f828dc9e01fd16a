package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"finobs/internal/desk"
	"finobs/internal/detect"
	"finobs/internal/event"
	"finobs/internal/incident"

	"github.com/lib/pq"
	"github.com/shopspring/decimal"
)

// SilentSystems reads the systems of which nothing was heard for missed of their
// periods.
func (t *Tx) SilentSystems(ctx context.Context, missed int) ([]detect.Silence, error) {
	var rows []struct {
		System string    `db:"system"`
		Source string    `db:"source"`
		Every  int64     `db:"every_seconds"`
		Since  time.Time `db:"received_at"`
		Origin string    `db:"origin"`
	}
	err := t.list(ctx, &rows, `SELECT system, source, every_seconds, received_at, origin FROM finobs.heartbeat
		WHERE received_at < $1::timestamptz - $2 * every_seconds * interval '1 second' ORDER BY system`, t.now, missed)
	if err != nil {
		return nil, fmt.Errorf("looking for silent systems: %w", err)
	}
	out := make([]detect.Silence, 0, len(rows))
	for _, r := range rows {
		out = append(out, detect.Silence{
			System: r.System, Source: r.Source, Every: time.Duration(r.Every) * time.Second, Since: r.Since.UTC(), Origin: incident.Origin(r.Origin),
		})
	}
	return out, nil
}

// LastHeard reads when each source was heard of last.
func (t *Tx) LastHeard(ctx context.Context) (detect.Heard, error) {
	var rows []Feed
	if err := t.list(ctx, &rows, `SELECT source, received_at, payloads FROM finobs.feed`); err != nil {
		return nil, fmt.Errorf("reading when sources were heard of: %w", err)
	}
	out := detect.Heard{}
	for _, r := range rows {
		out[r.Source] = r.ReceivedAt.UTC()
	}
	return out, nil
}

// DetectorDeclared reads when a worker made known last how a detector works: when it
// began.
func (t *Tx) DetectorDeclared(ctx context.Context, name detect.Name) (time.Time, error) {
	var at time.Time
	if err := t.get(ctx, &at, `SELECT updated_at FROM finobs.detector WHERE name = $1`, name); err != nil {
		return time.Time{}, fmt.Errorf("reading when detector %s was declared: %w", name, err)
	}
	return at.UTC(), nil
}

// Bursts reads, for each system that refused something since the event after, the
// window with the most refusals of those that a new one is in, and the last event
// that it looked at.
func (t *Tx) Bursts(ctx context.Context, after int64, window time.Duration) ([]detect.Burst, int64, error) {
	last := after
	err := t.get(ctx, &last, `SELECT coalesce(max(event_id), $1) FROM finobs.event WHERE event_id > $1`, after)
	if err != nil || last == after {
		return nil, after, err
	}
	next, err := t.settledEvents(ctx, last)
	if err != nil {
		return nil, after, err
	}
	var rows []struct {
		Source  string    `db:"source"`
		System  string    `db:"system"`
		Count   int       `db:"refusals"`
		First   time.Time `db:"first_at"`
		Last    time.Time `db:"last_at"`
		Reasons string    `db:"reasons"`
		Origin  string    `db:"origin"`
	}
	// A late event may complete a window that ends after it, so windows up to one
	// span after the new ones are looked at as well.
	err = t.list(ctx, &rows, `
		WITH fresh AS (
			SELECT source, system, min(occurred_at) - $3 * interval '1 second' AS since, max(occurred_at) + $3 * interval '1 second' AS until
			FROM finobs.event WHERE event_id > $1 AND event_id <= $2 AND kind = ANY($4) GROUP BY source, system
		), counted AS (
			SELECT e.source, e.system, e.occurred_at, e.origin,
				count(*) OVER w AS refusals, min(e.occurred_at) OVER w AS first_at, max(e.event_id) OVER w AS newest
			FROM finobs.event e JOIN fresh f ON e.source = f.source AND e.system = f.system AND e.occurred_at BETWEEN f.since AND f.until
			WHERE e.kind = ANY($4) AND e.event_id <= $2
			WINDOW w AS (PARTITION BY e.source, e.system ORDER BY e.occurred_at RANGE BETWEEN $5::interval PRECEDING AND CURRENT ROW)
		), fullest AS (
			SELECT DISTINCT ON (source, system) source, system, refusals, first_at, occurred_at AS last_at, origin
			FROM counted WHERE newest > $1 ORDER BY source, system, refusals DESC, occurred_at
		)
		SELECT f.source, f.system, f.refusals, f.first_at, f.last_at, f.origin, coalesce((
			SELECT string_agg(left(title, 120) || ' (' || times || ')', '; ' ORDER BY times DESC, title)
			FROM (SELECT title, count(*) AS times FROM finobs.event e WHERE e.source = f.source AND e.system = f.system AND e.kind = ANY($4)
				AND e.occurred_at BETWEEN f.first_at AND f.last_at GROUP BY title ORDER BY times DESC, title LIMIT 5) AS most), '') AS reasons
		FROM fullest f ORDER BY f.source, f.system`,
		after, last, window.Seconds(), pq.Array(event.Rejects()), fmt.Sprintf("%d microseconds", window.Microseconds()))
	if err != nil {
		return nil, after, fmt.Errorf("looking for bursts of rejects: %w", err)
	}
	out := make([]detect.Burst, 0, len(rows))
	for _, r := range rows {
		out = append(out, detect.Burst{
			Source: r.Source, System: r.System, Count: r.Count, First: r.First.UTC(), Last: r.Last.UTC(), Reasons: r.Reasons, Origin: incident.Origin(r.Origin),
		})
	}
	return out, max(after, next), nil
}

// settledEvents is the last event up to one that was read before, up to which no
// more will appear: ids are given before they are committed, and a long log may
// commit after a later heartbeat of another source.
func (t *Tx) settledEvents(ctx context.Context, last int64) (int64, error) {
	err := t.get(ctx, &last, `SELECT least($1, min(objid::bigint)) FROM pg_locks
		WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
			AND classid = $2 AND objsubid = 2`, last, eventLock)
	if err != nil {
		return 0, fmt.Errorf("looking for events that are being recorded: %w", err)
	}
	return last, nil
}

// eventLock is the class of the advisory locks that say from which id on a
// transaction may record events.
const eventLock = 0x65766e74

// lockEvents says that events are about to be recorded.
func (t *Tx) lockEvents(ctx context.Context) error {
	if t.recordsEvents {
		return nil
	}
	_, err := t.exec(ctx, `SELECT pg_advisory_xact_lock_shared($1, (coalesce(max(event_id), 0) & 2147483647)::integer) FROM finobs.event`, eventLock)
	if err != nil {
		return fmt.Errorf("saying that events are being recorded: %w", err)
	}
	t.recordsEvents = true
	return nil
}

// mostFailed bounds how many failed trades are looked at in one run.
const mostFailed = 1000

// FailedTrades reads the newest trades whose source says that settlement failed,
// and reports whether that is all of them.
func (t *Tx) FailedTrades(ctx context.Context) ([]detect.FailedTrade, bool, error) {
	var rows []struct {
		ID        int64     `db:"transaction_id"`
		Source    string    `db:"source"`
		TradeID   string    `db:"trade_id"`
		Symbol    string    `db:"symbol"`
		Words     string    `db:"words"`
		UpdatedAt time.Time `db:"updated_at"`
		Desk      string    `db:"desk"`
		Origin    string    `db:"origin"`
	}
	err := t.list(ctx, &rows, `SELECT transaction_id, source, trade_id, symbol, updated_at, desk, origin,
			side || ' ' || quantity || ' at ' || price || ' ' || currency AS words
		FROM finobs.transaction WHERE status = 'failed' ORDER BY transaction_id DESC LIMIT $1`, mostFailed)
	if err != nil {
		return nil, false, fmt.Errorf("looking for failed trades: %w", err)
	}
	out := make([]detect.FailedTrade, 0, len(rows))
	for _, r := range rows {
		out = append(out, detect.FailedTrade{
			TransactionID: r.ID, Source: r.Source, TradeID: r.TradeID, Symbol: r.Symbol, Words: r.Words, UpdatedAt: r.UpdatedAt.UTC(),
			Desk: r.Desk, Origin: incident.Origin(r.Origin),
		})
	}
	return out, len(rows) < mostFailed, nil
}

// mostOutcomes bounds how many unknown outcomes are looked at in one run.
const mostOutcomes = 1000

// outcomesQuery reads what UnknownOutcomes lists.
var outcomesQuery = `
	SELECT 'notification' AS what, notification_id::text AS id, status, detail, updated_at AS since FROM finobs.notification
	WHERE status IN ('dead', 'unknown') AND updated_at < $1::timestamptz - $2 * interval '1 second'
	UNION ALL
	SELECT 'delivery', export_id || ' to ' || destination, status, detail, ended_at FROM finobs.export_delivery AS d
	WHERE status IN ('failed', 'unknown') AND ` + noLaterAttempt("finobs") + ` AND ended_at < $1::timestamptz - $2 * interval '1 second'
	UNION ALL
	SELECT 'action', action_id::text, CASE status WHEN 'unknown' THEN status ELSE recovery END, type || ' on ' || target_kind || ' ' || target_id,
		coalesce(sent_at, began_at) FROM finobs.agent_action
	WHERE (status = 'unknown' OR recovery = 'compensation_unknown') AND NOT is_simulation
		AND coalesce(sent_at, began_at) < $1::timestamptz - $2 * interval '1 second'
	ORDER BY 1, 2 LIMIT $3`

// UnknownOutcomes reads sendings, and actions on desks' systems, of which nobody knows what became, or that failed
// for good, and at which nothing has happened for a while. It reports whether that
// is all of them.
func (t *Tx) UnknownOutcomes(ctx context.Context, after time.Duration) ([]detect.Outcome, bool, error) {
	var rows []struct {
		What   string    `db:"what"`
		ID     string    `db:"id"`
		Status string    `db:"status"`
		Detail string    `db:"detail"`
		Since  time.Time `db:"since"`
	}
	err := t.list(ctx, &rows, outcomesQuery, t.now, after.Seconds(), mostOutcomes)
	if err != nil {
		return nil, false, fmt.Errorf("looking for unknown outcomes: %w", err)
	}
	out := make([]detect.Outcome, 0, len(rows))
	for _, r := range rows {
		out = append(out, detect.Outcome{What: r.What, ID: r.ID, Status: r.Status, Detail: r.Detail, Since: r.Since.UTC()})
	}
	return out, len(rows) < mostOutcomes, nil
}

// OpenKeys reads the dedup keys of the active incidents that a source opened.
func (t *Tx) OpenKeys(ctx context.Context, source string) ([]string, error) {
	var keys []string
	err := t.list(ctx, &keys, `SELECT dedup_key FROM finobs.incident WHERE source = $1 AND status IN ('open', 'acknowledged') ORDER BY dedup_key`, source)
	if err != nil {
		return nil, fmt.Errorf("reading the open incidents of %s: %w", source, err)
	}
	return keys, nil
}

// LockDetector keeps other runs of a detector waiting and reads where this one
// begins.
func (t *Tx) LockDetector(ctx context.Context, name detect.Name) (int64, error) {
	var cursor int64
	err := t.get(ctx, &cursor, `SELECT cursor FROM finobs.detector WHERE name = $1 FOR UPDATE`, name)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("detector %s is not on record yet", name)
	}
	if err != nil {
		return 0, fmt.Errorf("locking detector %s: %w", name, err)
	}
	return cursor, nil
}

// MoveDetector says where the next run of a detector begins.
func (t *Tx) MoveDetector(ctx context.Context, name detect.Name, cursor int64) error {
	if _, err := t.exec(ctx, `UPDATE finobs.detector SET cursor = $2 WHERE name = $1`, name, cursor); err != nil {
		return fmt.Errorf("moving detector %s on: %w", name, err)
	}
	return nil
}

// InsertDetectorRun records what a run found. The run of an attempt whose reply was
// lost is there already.
func (t *Tx) InsertDetectorRun(ctx context.Context, r detect.Run) error {
	res, err := t.exec(ctx, `
		INSERT INTO finobs.detector_run (run_id, detector, workflow_id, started_at, examined, found, opened, resolved, asked_iss, asked_sub)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (run_id) DO NOTHING`,
		r.ID, r.Detector, r.WorkflowID, t.now, r.Examined, r.Found, r.Opened, r.Resolved, r.AskedBy.Issuer, r.AskedBy.Subject)
	if err != nil {
		return fmt.Errorf("recording a run of detector %s: %w", r.Detector, err)
	}
	if n, err := res.RowsAffected(); err == nil && n == 1 {
		t.observeDetector(string(r.Detector), r.Found, r.Opened, r.Resolved)
	}
	return t.forgetRuns(ctx, r.Detector)
}

// Runs of detectors are kept for people for a week; what they opened is in the
// ledger. A run forgets some, which is more than it adds.
const (
	runsKept   = 7 * 24 * time.Hour
	mostForgot = 100
)

func (t *Tx) forgetRuns(ctx context.Context, name detect.Name) error {
	_, err := t.exec(ctx, `DELETE FROM finobs.detector_run WHERE run_id = ANY (ARRAY(SELECT run_id FROM finobs.detector_run
		WHERE detector = $1 AND started_at < $2 ORDER BY started_at LIMIT $3))`, name, t.now.Add(-runsKept), mostForgot)
	if err != nil {
		return fmt.Errorf("forgetting old runs of detector %s: %w", name, err)
	}
	return nil
}

// SetDetectors makes known how the detectors of a desk work.
func (w *Writer) SetDetectors(ctx context.Context, specs []detect.Spec) error {
	for _, s := range specs {
		_, err := w.db.ExecContext(ctx, `
			INSERT INTO finobs.detector (name, description, every_seconds, owner, severity, enabled, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, clock_timestamp())
			ON CONFLICT (name) DO UPDATE SET description = excluded.description, every_seconds = excluded.every_seconds, owner = excluded.owner,
				severity = excluded.severity, enabled = excluded.enabled, updated_at = excluded.updated_at`,
			s.Name, s.Name.Describe(), int64(s.Every/time.Second), s.Owner, s.Severity, s.Enabled)
		if err != nil {
			return fmt.Errorf("making detector %s known: %w", s.Name, classify(err))
		}
	}
	return nil
}

// mostBreaks bounds how many open breaks are looked at in one run.
const mostBreaks = 100_000

// OpenBreaks reads the open breaks, oldest first, and reports whether that is all of
// them.
func (t *Tx) OpenBreaks(ctx context.Context) ([]detect.Break, bool, error) {
	var rows []struct {
		ID          int64               `db:"break_id"`
		Profile     string              `db:"profile"`
		Type        string              `db:"type"`
		Key         string              `db:"key"`
		Severity    string              `db:"severity"`
		Owner       string              `db:"owner"`
		Left        string              `db:"left_value"`
		Right       string              `db:"right_value"`
		Exposure    decimal.NullDecimal `db:"exposure"`
		Currency    string              `db:"currency"`
		NeedsReview bool                `db:"needs_review"`
		Since       time.Time           `db:"since"`
		Origin      string              `db:"origin"`
	}
	err := t.list(ctx, &rows, `
		SELECT b.break_id, b.profile, b.type, coalesce(nullif(b.left_key, ''), nullif(b.right_key, ''), b.key) AS key, b.severity, b.owner, b.left_value, b.right_value, b.exposure, b.currency, b.needs_review,
			b.origin, coalesce((SELECT max(e.recorded_at) FROM finobs.trade_break_event e
				WHERE e.break_id = b.break_id AND e.event IN ('opened', 'reopened')), b.first_seen_at) AS since
		FROM finobs.trade_break b WHERE b.status = 'open' ORDER BY b.break_id LIMIT $1`, mostBreaks)
	if err != nil {
		return nil, false, fmt.Errorf("reading open breaks: %w", err)
	}
	out := make([]detect.Break, 0, len(rows))
	for _, r := range rows {
		out = append(out, detect.Break{
			ID: r.ID, Profile: r.Profile, Type: r.Type, Key: r.Key, Severity: desk.Severity(r.Severity), Owner: r.Owner, Left: r.Left, Right: r.Right,
			Exposure: r.Exposure, Currency: r.Currency, NeedsReview: r.NeedsReview, FirstSeen: r.Since.UTC(), Origin: incident.Origin(r.Origin),
		})
	}
	return out, len(rows) < mostBreaks, nil
}
