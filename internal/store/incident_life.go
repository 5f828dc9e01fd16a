package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"finobs/internal/fault"
	"finobs/internal/incident"

	"github.com/lib/pq"
)

// InsertIncident inserts an incident as it stands and its first round, unless an
// active one has its dedup key; then it reports false.
func (t *Tx) InsertIncident(ctx context.Context, i incident.Incident) (id int64, inserted bool, err error) {
	details, err := json.Marshal(i.Details)
	if err != nil {
		return 0, false, fmt.Errorf("encoding details: %w", err)
	}
	err = t.get(ctx, &id, `
		WITH opened AS (
			INSERT INTO finobs.incident (kind, severity, title, description, desk, source, dedup_key, subject_kind, subject_id,
				exposure_usd, details, origin, opened_by_type, opened_by_iss, opened_by_sub, trace_id, opened_at, updated_at,
				status, priority, system, owner, transaction_id, version, occurrences, last_seen_at, firing_at, ended_at, began_at,
				resolved_at, resolved_iss, resolved_sub, resolution, ack_due_at, resolve_due_at, ladder_run, ladder_from, suppressed_until, nudge_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
				$19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, clock_timestamp())
			ON CONFLICT (dedup_key) WHERE status IN ('open', 'acknowledged') DO NOTHING
			RETURNING incident_id, began_at, ack_due_at, resolve_due_at, resolved_at
		), round AS (
			INSERT INTO finobs.incident_round (incident_id, round, began_at, ack_due_at, resolve_due_at, resolved_at)
			SELECT incident_id, 0, began_at, ack_due_at, resolve_due_at, resolved_at FROM opened
		)
		SELECT incident_id FROM opened`,
		i.Kind, i.Severity, i.Title, i.Description, i.Desk, i.Source, i.DedupKey, i.SubjectKind, i.SubjectID,
		i.ExposureUSD, string(details), i.Origin, i.OpenedBy.Kind, i.OpenedBy.Issuer, i.OpenedBy.Subject, i.TraceID, i.OpenedAt, i.UpdatedAt,
		i.Status, i.Priority, i.System, i.Owner, reference(i.TransactionID), i.Version, i.Occurrences, i.LastSeenAt, i.FiringAt, moment(i.EndedAt), i.BeganAt,
		moment(i.ResolvedAt), i.ResolvedBy.Issuer, i.ResolvedBy.Subject, i.Resolution, moment(i.AckDueAt), moment(i.ResolveDueAt),
		i.LadderRun, i.LadderFrom, moment(i.SuppressedUntil))
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("opening incident %s: %w", i.DedupKey, err)
	}
	return id, true, nil
}

// SaveIncident writes everything about an incident that may change, and its
// round. The caller holds its lock.
func (t *Tx) SaveIncident(ctx context.Context, i incident.Incident) error {
	details, err := json.Marshal(i.Details)
	if err != nil {
		return fmt.Errorf("encoding details: %w", err)
	}
	_, err = t.exec(ctx, `
		WITH saved AS (
			UPDATE finobs.incident SET severity = $2, status = $3, title = $4, description = $5, exposure_usd = $6, details = $7, version = $8,
				updated_at = $9, priority = $10, severity_set = $11, priority_set = $12, assignee_iss = $13, assignee_sub = $14, parent_id = $15,
				merged_into = $16, transaction_id = $17, occurrences = $18, last_seen_at = $19, firing_at = $20, ended_at = $21, reopened = $22,
				began_at = $23, acknowledged_at = $24, acknowledged_iss = $25, acknowledged_sub = $26, resolved_at = $27, resolved_iss = $28,
				resolved_sub = $29, resolution = $30, closed_at = $31, ack_due_at = $32, resolve_due_at = $33, escalation_level = $34,
				ladder_run = $35, ladder_from = $36, suppressed_until = $37, nudge_at = CASE WHEN $38 THEN clock_timestamp() ELSE nudge_at END
			WHERE incident_id = $1
			RETURNING incident_id, reopened, began_at, ack_due_at, resolve_due_at, acknowledged_at, resolved_at
		)
		INSERT INTO finobs.incident_round AS r (incident_id, round, began_at, ack_due_at, resolve_due_at, acknowledged_at, resolved_at)
		SELECT * FROM saved
		ON CONFLICT (incident_id, round) DO UPDATE SET began_at = excluded.began_at, ack_due_at = excluded.ack_due_at,
			resolve_due_at = excluded.resolve_due_at, acknowledged_at = coalesce(r.acknowledged_at, excluded.acknowledged_at),
			resolved_at = excluded.resolved_at`,
		i.ID, i.Severity, i.Status, i.Title, i.Description, i.ExposureUSD, string(details), i.Version,
		i.UpdatedAt, i.Priority, i.SeveritySet, i.PrioritySet, i.Assignee.Issuer, i.Assignee.Subject, reference(i.ParentID),
		reference(i.MergedInto), reference(i.TransactionID), i.Occurrences, i.LastSeenAt, i.FiringAt, moment(i.EndedAt), i.Reopened,
		i.BeganAt, moment(i.AcknowledgedAt), i.AcknowledgedBy.Issuer, i.AcknowledgedBy.Subject, moment(i.ResolvedAt), i.ResolvedBy.Issuer,
		i.ResolvedBy.Subject, i.Resolution, moment(i.ClosedAt), moment(i.AckDueAt), moment(i.ResolveDueAt), i.EscalationLevel,
		i.LadderRun, i.LadderFrom, moment(i.SuppressedUntil), i.Nudge)
	if violates(err, "incident_one_open_per_key") {
		return fault.Wrap(err, fault.Conflict, "key-is-taken", "another incident with the dedup key %q is open", i.DedupKey)
	}
	if err != nil {
		return fmt.Errorf("saving incident %d: %w", i.ID, err)
	}
	return nil
}

// LockIncident reads an incident and keeps others from changing it. One that is
// not there is a fault of kind NotFound.
func (t *Tx) LockIncident(ctx context.Context, id int64) (incident.Incident, error) {
	list, err := t.LockIncidents(ctx, []int64{id})
	if err != nil {
		return incident.Incident{}, err
	}
	if i, found := list[id]; found {
		return *i, nil
	}
	return incident.Incident{}, fault.New(fault.NotFound, "no-such-incident", "there is no incident %d", id)
}

// LockIncidents reads incidents and keeps others from changing them, by id. They
// are locked in the order of their ids, so that nobody waits for each other; those
// that are not there are left out.
func (t *Tx) LockIncidents(ctx context.Context, ids []int64) (map[int64]*incident.Incident, error) {
	var rows []incidentRow
	err := t.list(ctx, &rows, `SELECT `+incidentColumns+` FROM finobs.incident WHERE incident_id = ANY ($1) ORDER BY incident_id FOR UPDATE`, pq.Array(ids))
	if err != nil {
		return nil, fmt.Errorf("locking incidents: %w", err)
	}
	list, err := collect(rows, incidentRow.domain)
	if err != nil {
		return nil, err
	}
	out := make(map[int64]*incident.Incident, len(list))
	for n := range list {
		out[list[n].ID] = &list[n]
	}
	return out, nil
}

// LockKeys makes dedup keys known and keeps the occurrences of others under them
// waiting. It returns the latest end that was reported of each; zero for none. The
// keys must be sorted.
func (t *Tx) LockKeys(ctx context.Context, keys []string) (map[string]time.Time, error) {
	_, err := t.exec(ctx, `INSERT INTO finobs.incident_key (dedup_key) SELECT key FROM unnest($1::text[]) WITH ORDINALITY AS k (key, n) ORDER BY n
		ON CONFLICT DO NOTHING`, pq.Array(keys))
	if err != nil {
		return nil, fmt.Errorf("making dedup keys known: %w", err)
	}
	var rows []struct {
		Key     string       `db:"dedup_key"`
		EndedAt sql.NullTime `db:"ended_at"`
	}
	// Everybody sorts in the same way, whatever the database's collation is.
	err = t.list(ctx, &rows, `SELECT dedup_key, ended_at FROM finobs.incident_key WHERE dedup_key = ANY ($1) ORDER BY dedup_key COLLATE "C" FOR UPDATE`, pq.Array(keys))
	if err != nil {
		return nil, fmt.Errorf("locking dedup keys: %w", err)
	}
	out := make(map[string]time.Time, len(rows))
	for _, r := range rows {
		out[r.Key] = momentOf(r.EndedAt)
	}
	return out, nil
}

// EndKey remembers the latest end that was reported under a dedup key.
func (t *Tx) EndKey(ctx context.Context, key string, at time.Time) error {
	if _, err := t.exec(ctx, `UPDATE finobs.incident_key SET ended_at = $2 WHERE dedup_key = $1`, key, at); err != nil {
		return fmt.Errorf("remembering the end of %s: %w", key, err)
	}
	return nil
}

// Heads finds what dedup keys stand for: the active incident, or else the newest,
// or the survivor that it was merged into. Keys without one are left out. Nothing
// is locked.
func (t *Tx) Heads(ctx context.Context, keys []string) (map[string]incident.Head, error) {
	var rows []struct {
		Key    string        `db:"key"`
		ID     int64         `db:"incident_id"`
		Merged sql.NullInt64 `db:"merged_into"`
	}
	err := t.list(ctx, &rows, `
		SELECT k.key, h.incident_id, h.merged_into FROM unnest($1::text[]) AS k (key) CROSS JOIN LATERAL (
			SELECT incident_id, merged_into FROM finobs.incident WHERE dedup_key = k.key
			ORDER BY (status IN ('open', 'acknowledged')) DESC, incident_id DESC LIMIT 1) AS h`, pq.Array(keys))
	if err != nil {
		return nil, fmt.Errorf("finding incidents by dedup key: %w", err)
	}
	out := make(map[string]incident.Head, len(rows))
	for _, r := range rows {
		head := incident.Head{IncidentID: r.ID}
		if r.Merged.Valid {
			head = incident.Head{IncidentID: r.Merged.Int64, Merged: true}
		}
		out[r.Key] = head
	}
	return out, nil
}

// SeenOccurrences finds which of the occurrences are on record, and the incidents
// that they are of; 0 for none.
func (t *Tx) SeenOccurrences(ctx context.Context, list []incident.Occurrence) (map[incident.OccurrenceID]int64, error) {
	dedup, keys := make([]string, len(list)), make([]string, len(list))
	for n, o := range list {
		dedup[n], keys[n] = o.Incident.DedupKey, o.Key
	}
	var rows []struct {
		Dedup string        `db:"dedup_key"`
		Key   string        `db:"occurrence_key"`
		ID    sql.NullInt64 `db:"incident_id"`
	}
	err := t.list(ctx, &rows, `SELECT o.dedup_key, o.occurrence_key, o.incident_id FROM finobs.incident_occurrence AS o
		WHERE (o.dedup_key, o.occurrence_key) IN (SELECT d, k FROM unnest($1::text[], $2::text[]) AS w (d, k))`, pq.Array(dedup), pq.Array(keys))
	if err != nil {
		return nil, fmt.Errorf("looking for occurrences: %w", err)
	}
	out := make(map[incident.OccurrenceID]int64, len(rows))
	for _, r := range rows {
		out[incident.OccurrenceID{DedupKey: r.Dedup, Key: r.Key}] = r.ID.Int64
	}
	return out, nil
}

// InsertOccurrences records occurrences, in their order.
func (t *Tx) InsertOccurrences(ctx context.Context, list []incident.Recorded) error {
	n := len(list)
	ids, dedup, keys, firing := make([]int64, n), make([]string, n), make([]string, n), make([]bool, n)
	at, summaries, sources := make([]time.Time, n), make([]string, n), make([]string, n)
	for k, o := range list {
		ids[k], dedup[k], keys[k], firing[k] = o.IncidentID, o.DedupKey, o.Key, o.Firing
		at[k], summaries[k], sources[k] = o.At, o.Summary, o.Source
	}
	_, err := t.exec(ctx, `
		INSERT INTO finobs.incident_occurrence (incident_id, dedup_key, occurrence_key, firing, at, summary, source, recorded_at)
		SELECT nullif(id, 0), dedup, key, firing, at, summary, source, $8
		FROM unnest($1::bigint[], $2::text[], $3::text[], $4::boolean[], $5::timestamptz[], $6::text[], $7::text[])
			WITH ORDINALITY AS o (id, dedup, key, firing, at, summary, source, n) ORDER BY n`,
		pq.Array(ids), pq.Array(dedup), pq.Array(keys), pq.Array(firing), pq.Array(at), pq.Array(summaries), pq.Array(sources), t.now)
	if err != nil {
		return fmt.Errorf("recording %d occurrences: %w", n, err)
	}
	return nil
}
