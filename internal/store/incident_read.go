package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"finobs/internal/incident"

	"github.com/lib/pq"
)

type occurrenceRow struct {
	ID         int64         `db:"occurrence_id"`
	IncidentID sql.NullInt64 `db:"incident_id"`
	DedupKey   string        `db:"dedup_key"`
	Key        string        `db:"occurrence_key"`
	Firing     bool          `db:"firing"`
	At         time.Time     `db:"at"`
	Summary    string        `db:"summary"`
	Source     string        `db:"source"`
	RecordedAt time.Time     `db:"recorded_at"`
}

func (r occurrenceRow) domain() (incident.Recorded, error) {
	return incident.Recorded{
		ID: r.ID, IncidentID: r.IncidentID.Int64, OccurrenceID: incident.OccurrenceID{DedupKey: r.DedupKey, Key: r.Key}, Firing: r.Firing,
		At: r.At.UTC(), Summary: r.Summary, Source: r.Source, RecordedAt: r.RecordedAt.UTC(),
	}, nil
}

// Occurrences lists the occurrences of an incident, in the reverse order of their
// recording.
func (r *Reader) Occurrences(ctx context.Context, id int64, p Page) ([]incident.Recorded, error) {
	var rows []occurrenceRow
	err := r.db.SelectContext(ctx, &rows, `SELECT occurrence_id, incident_id, dedup_key, occurrence_key, firing, at, summary, source, recorded_at
		FROM api.incident_occurrence WHERE incident_id = $1 AND ($2 = 0 OR occurrence_id < $2) ORDER BY occurrence_id DESC LIMIT $3`, id, p.Before, p.Limit)
	if err != nil {
		return nil, fmt.Errorf("reading the occurrences of incident %d: %w", id, classify(err))
	}
	return collect(rows, occurrenceRow.domain)
}

// Moment is one line of an incident's timeline.
type Moment struct {
	At       time.Time       `db:"at"`
	ID       string          `db:"id"` // unique within the timeline
	Kind     string          `db:"kind"`
	ActorIss string          `db:"actor_iss"`
	ActorSub string          `db:"actor_sub"`
	Text     string          `db:"text"`
	Data     json.RawMessage `db:"data"`
}

// spanOf is how long a span of a timeline is, into which occurrences fold.
const spanOf = "10 minutes"

// Timeline lists what happened in an incident, newest first: comments, entries of
// the ledger, notifications, and occurrences folded into spans. before and its id
// are those of the last line of the page before; the zero time begins with the
// newest.
func (r *Reader) Timeline(ctx context.Context, id int64, before time.Time, beforeID string, limit int) ([]Moment, error) {
	rows := []Moment{}
	var cursor *time.Time
	if !before.IsZero() {
		cursor = &before
	}
	const page = ` t WHERE $2::timestamptz IS NULL OR (at, id COLLATE "C") < ($2, $3) ORDER BY at DESC, id COLLATE "C" DESC LIMIT $4`
	err := r.db.SelectContext(ctx, &rows, `
		SELECT * FROM (
			(SELECT * FROM (SELECT created_at AS at, 'comment-' || comment_id AS id, 'comment' AS kind, author_iss AS actor_iss, author_sub AS actor_sub,
				text, '{}'::jsonb AS data FROM api.incident_comment WHERE incident_id = $1)`+page+`)
			UNION ALL
			(SELECT * FROM (SELECT recorded_at AS at, 'entry-' || entry_id AS id, 'entry' AS kind, actor_iss, actor_sub, reason AS text,
				jsonb_build_object('type', type, 'action', action, 'outcome', outcome, 'details', coalesce(leaf::jsonb -> 'details', '{}')) AS data
				FROM api.agent_action_audit_log WHERE subject_kind = 'incident' AND subject_id = $1::bigint::text
					AND type NOT IN ('incident.commented', 'incident.repeated'))`+page+`)
			UNION ALL
			(SELECT * FROM (SELECT created_at AS at, 'notification-' || notification_id AS id, 'notification' AS kind, '' AS actor_iss, '' AS actor_sub,
				subject AS text, jsonb_build_object('occasion', occasion, 'channel', channel, 'status', status, 'detail', detail,
					'recipients', jsonb_array_length(recipients)) AS data FROM api.notification WHERE incident_id = $1)`+page+`)
			UNION ALL
			(SELECT * FROM (SELECT max(recorded_at) AS at, 'occurrences-' || max(occurrence_id) AS id, 'occurrences' AS kind, '' AS actor_iss,
				'' AS actor_sub, (array_agg(summary ORDER BY occurrence_id DESC))[1] AS text,
				jsonb_build_object('firing', firing, 'count', count(*), 'first_at', min(at), 'last_at', max(at), 'dedup_key', dedup_key) AS data
				FROM api.incident_occurrence WHERE incident_id = $1
				GROUP BY dedup_key, firing, date_bin('`+spanOf+`', recorded_at, 'epoch'))`+page+`)
		)`+page, id, cursor, beforeID, limit)
	if err != nil {
		return nil, fmt.Errorf("reading the timeline of incident %d: %w", id, classify(err))
	}
	return rows, nil
}

// IncidentWindow selects the incidents that figures are of: those opened from From
// on and before To, and rounds that began then. Zero fields select all.
type IncidentWindow struct {
	From, To time.Time
	Origin   string
	Desk     string
	Owner    string
	Kind     string

	desks pq.StringArray // see Sighted
}

// IncidentCount counts incidents that have the same of everything that is counted
// by.
type IncidentCount struct {
	Status      string `db:"status"`
	Severity    string `db:"severity"`
	Kind        string `db:"kind"`
	Owner       string `db:"owner"`
	N           int64  `db:"n"`
	Occurrences int64  `db:"occurrences"`
	Most        int64  `db:"most"` // occurrences of one
}

// RoundTimes are figures over the rounds of incidents: how long people took, in
// seconds, and what was promised.
type RoundTimes struct {
	Rounds     int64    `db:"rounds"`
	Reopened   int64    `db:"reopened"`
	AckN       int64    `db:"ack_n"`
	AckMean    *float64 `db:"ack_mean"`
	AckP50     *float64 `db:"ack_p50"`
	AckP95     *float64 `db:"ack_p95"`
	ResolveN   int64    `db:"resolve_n"`
	Mean       *float64 `db:"resolve_mean"`
	P50        *float64 `db:"resolve_p50"`
	P95        *float64 `db:"resolve_p95"`
	AckMet     int64    `db:"ack_met"`
	AckBroken  int64    `db:"ack_broken"`
	ResMet     int64    `db:"resolve_met"`
	ResBroken  int64    `db:"resolve_broken"`
	AckPending int64    `db:"ack_pending"`
	ResPending int64    `db:"resolve_pending"`
}

const incidentWindowWhere = ` AND ($1::timestamptz IS NULL OR %[1]s >= $1) AND ($2::timestamptz IS NULL OR %[1]s < $2)
	AND ($3 = '' OR i.origin = $3) AND ($4 = '' OR i.desk = $4) AND ($5 = '' OR i.owner = $5) AND ($6 = '' OR i.kind = $6)
	AND ($7::text[] IS NULL OR i.desk = ANY ($7))`

// IncidentMetrics computes figures over incidents. Those that were merged count
// with their survivors.
func (r *Reader) IncidentMetrics(ctx context.Context, w IncidentWindow) (counts []IncidentCount, times RoundTimes, err error) {
	args := []any{moment(w.From), moment(w.To), w.Origin, w.Desk, w.Owner, w.Kind, w.desks}
	counts = []IncidentCount{}
	err = r.db.SelectContext(ctx, &counts, `SELECT status, severity, kind, owner, count(*) AS n, sum(occurrences)::bigint AS occurrences, max(occurrences) AS most
		FROM api.incident AS i WHERE merged_into IS NULL`+fmt.Sprintf(incidentWindowWhere, "i.opened_at")+`
		GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4`, args...)
	if err != nil {
		return nil, times, fmt.Errorf("computing metrics: %w", classify(err))
	}
	// A promise is kept when the thing was done in time, and broken when it was done
	// late, or is not done although its time has passed. What resolves an incident
	// keeps the promise to acknowledge it too.
	err = r.db.GetContext(ctx, &times, `
		WITH round AS (
			SELECT r.round, r.ack_due_at, r.resolve_due_at, r.resolved_at, coalesce(least(r.acknowledged_at, r.resolved_at), 'infinity') AS seen_at,
				coalesce(r.resolved_at, 'infinity') AS over_at, clock_timestamp() AS now,
				extract(epoch FROM r.acknowledged_at - r.began_at)::float8 AS ack, extract(epoch FROM r.resolved_at - r.began_at)::float8 AS res
			FROM api.incident_round AS r JOIN api.incident AS i USING (incident_id)
			WHERE i.merged_into IS NULL`+fmt.Sprintf(incidentWindowWhere, "r.began_at")+`
		)
		SELECT count(*) AS rounds, count(*) FILTER (WHERE round > 0) AS reopened,
			count(ack) AS ack_n, avg(ack) AS ack_mean,
			percentile_cont(0.5) WITHIN GROUP (ORDER BY ack) AS ack_p50, percentile_cont(0.95) WITHIN GROUP (ORDER BY ack) AS ack_p95,
			count(res) AS resolve_n, avg(res) AS resolve_mean,
			percentile_cont(0.5) WITHIN GROUP (ORDER BY res) AS resolve_p50, percentile_cont(0.95) WITHIN GROUP (ORDER BY res) AS resolve_p95,
			count(*) FILTER (WHERE seen_at <= ack_due_at) AS ack_met,
			count(*) FILTER (WHERE seen_at > ack_due_at AND now > ack_due_at) AS ack_broken,
			count(*) FILTER (WHERE seen_at > ack_due_at AND now <= ack_due_at) AS ack_pending,
			count(*) FILTER (WHERE over_at <= resolve_due_at) AS resolve_met,
			count(*) FILTER (WHERE over_at > resolve_due_at AND now > resolve_due_at) AS resolve_broken,
			count(*) FILTER (WHERE over_at > resolve_due_at AND now <= resolve_due_at) AS resolve_pending
		FROM round`, args...)
	if err != nil {
		return nil, times, fmt.Errorf("computing metrics: %w", classify(err))
	}
	return counts, times, nil
}
