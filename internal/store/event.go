package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"finobs/internal/event"
	"finobs/internal/fault"
	"finobs/internal/incident"

	"github.com/lib/pq"
)

type eventRow struct {
	EventID       int64     `db:"event_id"`
	Source        string    `db:"source"`
	EventKey      string    `db:"event_key"`
	Kind          string    `db:"kind"`
	State         string    `db:"state"`
	Severity      string    `db:"severity"`
	Fingerprint   string    `db:"fingerprint"`
	System        string    `db:"system"`
	Title         string    `db:"title"`
	Detail        string    `db:"detail"`
	Ref           string    `db:"ref"`
	Labels        []byte    `db:"labels"`
	URL           string    `db:"url"`
	OccurredAt    time.Time `db:"occurred_at"`
	ReceivedAt    time.Time `db:"received_at"`
	ContentSHA256 string    `db:"content_sha256"`
	Line          int       `db:"line"`
	Origin        string    `db:"origin"`
	TraceID       string    `db:"trace_id"`
}

const eventColumns = `event_id, source, event_key, kind, state, severity, fingerprint, system, title, detail, ref, labels, url,
	occurred_at, received_at, content_sha256, line, origin, trace_id`

func (r eventRow) domain() (event.Event, error) {
	e := event.Event{
		ID: r.EventID, Source: r.Source, Key: r.EventKey, Kind: event.Kind(r.Kind), State: event.State(r.State),
		Severity: event.Severity(r.Severity), Fingerprint: r.Fingerprint, System: r.System, Title: r.Title, Detail: r.Detail,
		Ref: r.Ref, URL: r.URL, OccurredAt: r.OccurredAt.UTC(), ReceivedAt: r.ReceivedAt.UTC(), ContentSHA256: r.ContentSHA256,
		Line: r.Line, Origin: incident.Origin(r.Origin), TraceID: r.TraceID,
	}
	if err := json.Unmarshal(r.Labels, &e.Labels); err != nil {
		return e, fmt.Errorf("reading labels of event %d: %w", r.EventID, err)
	}
	return e, nil
}

// PutPayloads keeps bodies under their digests. One that is there already stays as
// it is.
func (t *Tx) PutPayloads(ctx context.Context, list []event.Delivery) error {
	var bodies pq.ByteaArray
	sources := make([]string, 0, len(list))
	for _, d := range list {
		bodies, sources = append(bodies, d.Payload), append(sources, d.Source)
	}
	_, err := t.exec(ctx, `
		INSERT INTO finobs.payload (sha256, bytes, source, received_at)
		SELECT DISTINCT ON (sha256(b)) sha256(b), b, s, $3 FROM unnest($1::bytea[], $2::text[]) AS x(b, s) ORDER BY sha256(b)
		ON CONFLICT (sha256) DO NOTHING`, bodies, pq.Array(sources), t.now)
	if err != nil {
		return fmt.Errorf("keeping payloads: %w", err)
	}
	return nil
}

// LatestStates reads the newest event of each condition, given by source and
// fingerprint, and how many the condition has. Conditions without one are not in it.
func (t *Tx) LatestStates(ctx context.Context, conditions [][2]string) (map[[2]string]event.Latest, error) {
	sources, prints := make([]string, len(conditions)), make([]string, len(conditions))
	for i, c := range conditions {
		sources[i], prints[i] = c[0], c[1]
	}
	// Two deliveries at once would both say that they are the first.
	if _, err := t.exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('finobs.event/' || c, 0))
		FROM (SELECT DISTINCT s || '/' || f AS c FROM unnest($1::text[], $2::text[]) AS x(s, f) ORDER BY 1) AS ordered`, pq.Array(sources), pq.Array(prints)); err != nil {
		return nil, fmt.Errorf("waiting for other events of the same conditions: %w", err)
	}
	var rows []struct {
		Source      string `db:"source"`
		Fingerprint string `db:"fingerprint"`
		State       string `db:"state"`
		Key         string `db:"event_key"`
		Count       int64  `db:"events"`
	}
	err := t.list(ctx, &rows, `
		SELECT e.source, e.fingerprint, e.state, e.event_key, n.events
		FROM (SELECT DISTINCT s, f FROM unnest($1::text[], $2::text[]) AS x(s, f)) AS c
		CROSS JOIN LATERAL (SELECT * FROM finobs.event WHERE source = s AND fingerprint = f AND fingerprint <> '' ORDER BY event_id DESC LIMIT 1) AS e
		CROSS JOIN LATERAL (SELECT count(*) AS events FROM finobs.event WHERE source = s AND fingerprint = f AND fingerprint <> '') AS n`,
		pq.Array(sources), pq.Array(prints))
	if err != nil {
		return nil, fmt.Errorf("reading the latest events of conditions: %w", err)
	}
	out := map[[2]string]event.Latest{}
	for _, r := range rows {
		out[[2]string{r.Source, r.Fingerprint}] = event.Latest{State: event.State(r.State), Key: r.Key, Count: r.Count}
	}
	return out, nil
}

// PutEvents records events and returns which of them, by their place in the list,
// were not on record. Of two with one source and key the first counts.
func (t *Tx) PutEvents(ctx context.Context, list []event.Event) ([]int, error) {
	if len(list) == 0 {
		return nil, nil
	}
	n := len(list)
	texts := make([][]string, 14)
	for i := range texts {
		texts[i] = make([]string, n)
	}
	occurred, lines := make([]time.Time, n), make([]int64, n)
	for i, e := range list {
		labels := e.Labels
		if labels == nil {
			labels = map[string]string{}
		}
		encoded, err := json.Marshal(labels)
		if err != nil {
			return nil, fmt.Errorf("encoding labels of event %s: %w", e.Key, err)
		}
		for c, v := range []string{
			e.Source, e.Key, string(e.Kind), string(e.State), string(e.Severity), e.Fingerprint, e.System, e.Title, e.Detail, e.Ref,
			string(encoded), e.URL, e.ContentSHA256, string(e.Origin),
		} {
			texts[c][i] = v
		}
		occurred[i], lines[i] = e.OccurredAt, int64(e.Line)
	}
	args := make([]any, 0, len(texts)+4)
	for _, column := range texts {
		args = append(args, pq.Array(column))
	}
	args = append(args, pq.Array(occurred), pq.Array(lines), t.now, list[0].TraceID)
	var fresh []struct {
		Source string `db:"source"`
		Key    string `db:"event_key"`
	}
	if err := t.lockEvents(ctx); err != nil {
		return nil, err
	}
	// Sorted: two that record the same events wait for each other in one order.
	err := t.list(ctx, &fresh, `
		INSERT INTO finobs.event (source, event_key, kind, state, severity, fingerprint, system, title, detail, ref, labels, url,
			content_sha256, origin, occurred_at, line, received_at, trace_id)
		SELECT source, key, kind, state, severity, fingerprint, system, title, detail, ref, labels::jsonb, url,
			decode(content, 'hex'), origin, occurred, line, $17, $18
		FROM (SELECT DISTINCT ON (source, key) * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
				$8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::timestamptz[], $16::bigint[])
			WITH ORDINALITY AS x(source, key, kind, state, severity, fingerprint, system, title, detail, ref, labels, url, content, origin, occurred, line, place)
			ORDER BY source, key, place) AS first
		ORDER BY source, key
		ON CONFLICT (source, event_key) DO NOTHING RETURNING source, event_key`, args...)
	if err != nil {
		return nil, fmt.Errorf("recording events: %w", err)
	}
	added := map[[2]string]bool{}
	for _, f := range fresh {
		added[[2]string{f.Source, f.Key}] = true
	}
	var places []int
	for i, e := range list {
		if id := [2]string{e.Source, e.Key}; added[id] {
			delete(added, id)
			places = append(places, i)
		}
	}
	t.observeEvents(list, places)
	return places, nil
}

// Heard records that sources sent something.
func (t *Tx) Heard(ctx context.Context, sources []string) error {
	_, err := t.exec(ctx, `
		INSERT INTO finobs.feed (source, received_at, payloads)
		SELECT s, $2, count(*) FROM unnest($1::text[]) AS s GROUP BY s ORDER BY s
		ON CONFLICT (source) DO UPDATE SET received_at = greatest(finobs.feed.received_at, excluded.received_at),
			payloads = finobs.feed.payloads + excluded.payloads`, pq.Array(sources), t.now)
	if err != nil {
		return fmt.Errorf("recording when sources were heard of: %w", err)
	}
	return nil
}

// Beat records heartbeats and returns the status that each system of which it took
// one had before; "" of a system that is new. A heartbeat that is not newer than the
// one on record changes nothing: an old one that is sent again keeps nobody alive,
// and says nothing about how a system is.
func (t *Tx) Beat(ctx context.Context, list []event.Beat) (map[string]event.HeartbeatStatus, error) {
	newest, counts := event.Newest(list)
	n := len(newest)
	systems, sources, statuses, details, origins := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	every, beats, sent := make([]int64, n), make([]int64, n), make([]time.Time, n)
	for i, b := range newest {
		systems[i], sources[i], statuses[i], details[i], origins[i] = b.System, b.Source, string(b.Status), b.Detail, string(b.Origin)
		every[i], beats[i], sent[i] = int64(b.Every/time.Second), counts[b.System], b.At
	}
	var before []struct {
		System string `db:"system"`
		Status string `db:"status"`
	}
	if err := t.list(ctx, &before, `SELECT system, status FROM finobs.heartbeat WHERE system = ANY($1) ORDER BY system FOR UPDATE`, pq.Array(systems)); err != nil {
		return nil, fmt.Errorf("reading heartbeats: %w", err)
	}
	var taken []string
	err := t.list(ctx, &taken, `
		INSERT INTO finobs.heartbeat (system, source, status, detail, origin, every_seconds, beats, sent_at, received_at)
		SELECT system, source, status, detail, origin, every, beats, least(sent, $9), $9
		FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::timestamptz[])
			AS x(system, source, status, detail, origin, every, beats, sent)
		ORDER BY system
		ON CONFLICT (system) DO UPDATE SET source = excluded.source, status = excluded.status, detail = excluded.detail, origin = excluded.origin,
			every_seconds = excluded.every_seconds, beats = finobs.heartbeat.beats + excluded.beats, sent_at = excluded.sent_at,
			received_at = excluded.received_at
		WHERE excluded.sent_at > finobs.heartbeat.sent_at
		RETURNING system`,
		pq.Array(systems), pq.Array(sources), pq.Array(statuses), pq.Array(details), pq.Array(origins), pq.Array(every), pq.Array(beats), pq.Array(sent), t.now)
	if err != nil {
		return nil, fmt.Errorf("recording heartbeats: %w", err)
	}
	was := map[string]event.HeartbeatStatus{}
	for _, b := range before {
		was[b.System] = event.HeartbeatStatus(b.Status)
	}
	out := map[string]event.HeartbeatStatus{}
	for _, system := range taken {
		out[system] = was[system]
	}
	return out, nil
}

// EventFilter selects events; zero fields select all.
type EventFilter struct {
	Kind, Source, System, State, Origin string
}

// Events lists events, newest first by their ids.
func (r *Reader) Events(ctx context.Context, f EventFilter, p Page) ([]event.Event, error) {
	var c conditions
	for column, value := range map[string]string{"kind": f.Kind, "source": f.Source, "system": f.System, "state": f.State, "origin": f.Origin} {
		if value != "" {
			c.add(column+" = ?", value)
		}
	}
	if p.Before != 0 {
		c.add("event_id < ?", p.Before)
	}
	var rows []eventRow
	query := `SELECT ` + eventColumns + ` FROM api.event WHERE true` + c.text + ` ORDER BY event_id DESC LIMIT ` + strconv.Itoa(p.Limit)
	if err := r.db.Filtered(ctx, &rows, query, c.args...); err != nil {
		return nil, fmt.Errorf("listing events: %w", classify(err))
	}
	return collect(rows, eventRow.domain)
}

// Event reads one event; a fault of kind NotFound when there is none.
func (r *Reader) Event(ctx context.Context, id int64) (event.Event, error) {
	var row eventRow
	err := r.db.GetContext(ctx, &row, `SELECT `+eventColumns+` FROM api.event WHERE event_id = $1`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return event.Event{}, fault.New(fault.NotFound, "no-such-event", "there is no event %d", id)
	}
	if err != nil {
		return event.Event{}, fmt.Errorf("reading event %d: %w", id, classify(err))
	}
	return row.domain()
}

// Payload reads what a source sent, byte for byte; a fault of kind NotFound when
// nothing of that digest was kept.
func (r *Reader) Payload(ctx context.Context, sha256 string) ([]byte, error) {
	var body []byte
	err := r.db.GetContext(ctx, &body, `SELECT bytes FROM api.payload WHERE sha256 = decode($1, 'hex')`, sha256)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.New(fault.NotFound, "no-such-payload", "no payload with SHA-256 %s was kept; files are read with GET /imports/%s", sha256, sha256)
	}
	if err != nil {
		return nil, fmt.Errorf("reading payload: %w", classify(err))
	}
	return body, nil
}
