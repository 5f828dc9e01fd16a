package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"iter"
	"time"

	"finobs/internal/agent"
	"finobs/internal/fault"
	"finobs/internal/transaction"
)

// How much is read of each kind of evidence.
const (
	mostMoments = 40
	mostRelated = 8
	mostEntries = 20
	mostSides   = 4
)

// foundRow is something that was read: what typed columns say, as strings, and
// the words of others.
type foundRow struct {
	Source string `db:"source"`
	Facts  []byte `db:"facts"`
	Text   string `db:"text"`
}

func (t *Tx) found(ctx context.Context, kind agent.EvidenceKind, query string, args ...any) ([]agent.Found, error) {
	var rows []foundRow
	if err := t.list(ctx, &rows, query, args...); err != nil {
		return nil, fmt.Errorf("reading evidence of kind %s: %w", kind, err)
	}
	out := make([]agent.Found, 0, len(rows))
	for _, r := range rows {
		f := agent.Found{Kind: kind, Source: r.Source, Text: r.Text}
		if err := json.Unmarshal(r.Facts, &f.Facts); err != nil {
			return nil, fmt.Errorf("reading evidence %s: %w", r.Source, err)
		}
		out = append(out, f)
	}
	return out, nil
}

// incidentFacts are the typed columns of an incident i.
const incidentFacts = `jsonb_build_object('incident_id', i.incident_id::text, 'kind', i.kind, 'severity', i.severity, 'priority', i.priority,
	'status', i.status, 'system', i.system, 'source', i.source, 'owner', i.owner, 'desk', i.desk, 'exposure_usd', coalesce(trim_scale(i.exposure_usd)::text, ''),
	'occurrences', i.occurrences::text, 'subject_kind', i.subject_kind, 'subject_id', i.subject_id, 'origin', i.origin,
	'reopened', i.reopened::text, 'age_minutes', floor(extract(epoch FROM $2::timestamptz - i.began_at) / 60)::bigint::text,
	'ack_overdue', (i.status = 'open' AND i.ack_due_at < $2)::text,
	'resolve_overdue', (i.status IN ('open', 'acknowledged') AND i.resolve_due_at < $2)::text)`

// FindIncident reads the incident itself; its details are facts of the form
// details.NAME.
func (t *Tx) FindIncident(ctx context.Context, id int64) ([]agent.Found, error) {
	return t.found(ctx, agent.OfIncident, `
		SELECT 'incident:' || i.incident_id AS source, i.title || E'\n' || i.description AS text, `+incidentFacts+`
			|| coalesce((SELECT jsonb_object_agg('details.' || key, value) FROM jsonb_each_text(i.details)), '{}') AS facts
		FROM finobs.incident i WHERE i.incident_id = $1`, id, t.now)
}

// FindTimeline reads what people said and what was reported, oldest first.
func (t *Tx) FindTimeline(ctx context.Context, id int64) ([]agent.Found, error) {
	return t.found(ctx, agent.OfTimeline, `
		WITH moment AS (
			(SELECT created_at AS at, 'comment by ' || author_sub AS what, text FROM finobs.incident_comment WHERE incident_id = $1
				ORDER BY created_at DESC LIMIT `+fmt.Sprint(mostMoments)+`)
			UNION ALL
			(SELECT recorded_at, CASE WHEN firing THEN 'reported by ' ELSE 'end reported by ' END || source, summary FROM finobs.incident_occurrence
				WHERE incident_id = $1 ORDER BY occurrence_id DESC LIMIT `+fmt.Sprint(mostMoments)+`)
		), last AS (SELECT * FROM moment ORDER BY at DESC LIMIT `+fmt.Sprint(mostMoments)+`)
		SELECT 'timeline:' || $1::bigint AS source, jsonb_build_object('moments', count(*)::text) AS facts,
			string_agg(to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') || ' ' || what || ': ' || left(text, 400), E'\n' ORDER BY at) AS text
		FROM last HAVING count(*) > 0`, id)
}

// FindRelated reads other incidents of the same system, subject or trade, newest
// first.
func (t *Tx) FindRelated(ctx context.Context, id int64) ([]agent.Found, error) {
	return t.found(ctx, agent.OfRelated, `
		SELECT 'incident:' || i.incident_id AS source, i.title AS text, `+incidentFacts+` AS facts
		FROM finobs.incident me, LATERAL (`+relatedBy("x.system <> '' AND x.system = me.system")+`
			UNION `+relatedBy("x.subject_id <> '' AND x.subject_kind = me.subject_kind AND x.subject_id = me.subject_id")+`
			UNION `+relatedBy("x.transaction_id = me.transaction_id")+`
			UNION `+relatedBy("x.parent_id = me.incident_id")+`
			UNION `+relatedBy("x.incident_id = me.parent_id")+`) related JOIN finobs.incident i USING (incident_id)
		WHERE me.incident_id = $1 ORDER BY i.incident_id DESC LIMIT `+fmt.Sprint(mostRelated), id, t.now)
}

// relatedBy reads the newest incidents x that one way relates to the incident me,
// each way by its own index.
func relatedBy(way string) string {
	return `(SELECT x.incident_id FROM finobs.incident x WHERE ` + way + ` AND x.origin = me.origin AND x.incident_id <> me.incident_id
				ORDER BY x.incident_id DESC LIMIT ` + fmt.Sprint(mostRelated) + `)`
}

// tradeFacts are the typed columns of a transaction x.
const tradeFacts = `jsonb_build_object('transaction_id', x.transaction_id::text, 'trade_id', x.trade_id, 'execution_id', x.execution_id, 'side', x.side,
	'quantity', trim_scale(x.quantity)::text, 'price', trim_scale(x.price)::text, 'currency', x.currency, 'symbol', x.symbol, 'cusip', x.cusip,
	'isin', x.isin, 'account', x.account, 'counterparty', x.counterparty, 'trade_date', x.trade_date::text,
	'settlement_date', coalesce(x.settlement_date::text, ''), 'status', x.status, 'source', x.source)`

// FindTrade reads the trade that an incident is linked to.
func (t *Tx) FindTrade(ctx context.Context, id int64) ([]agent.Found, error) {
	return t.found(ctx, agent.OfTrade, `
		SELECT 'transaction:' || x.transaction_id AS source, '' AS text, `+tradeFacts+` AS facts
		FROM finobs.incident i JOIN finobs.transaction x USING (transaction_id) WHERE i.incident_id = $1`, id)
}

// FindOtherSides reads the same trade as other sources state it, and the breaks
// that reconciliation found on it.
func (t *Tx) FindOtherSides(ctx context.Context, id int64) ([]agent.Found, error) {
	sides, err := t.found(ctx, agent.OfOtherSide, `
		SELECT 'transaction:' || x.transaction_id AS source, '' AS text, `+tradeFacts+` AS facts
		FROM finobs.incident i JOIN finobs.transaction me ON me.transaction_id = i.transaction_id
		JOIN finobs.transaction x ON x.trade_id = me.trade_id AND x.source <> me.source AND x.origin = me.origin
		WHERE i.incident_id = $1 ORDER BY x.transaction_id DESC LIMIT `+fmt.Sprint(mostSides), id)
	if err != nil {
		return nil, err
	}
	breaks, err := t.found(ctx, agent.OfOtherSide, `
		SELECT 'break:' || b.break_id AS source, '' AS text, jsonb_build_object('break_type', b.type, 'break_key', b.key, 'field', b.field,
			'status', b.status, 'left_value', b.left_value, 'right_value', b.right_value, 'difference', coalesce(trim_scale(b.difference)::text, ''),
			'currency', b.currency, 'exposure', coalesce(trim_scale(b.exposure)::text, ''), 'confidence', trim_scale(b.confidence)::text,
			'needs_review', b.needs_review::text, 'symbol', b.symbol, 'side', b.side, 'account', b.account, 'profile', b.profile,
			'settlement_date', coalesce(b.settlement_date::text, '')) AS facts
		FROM finobs.incident i, LATERAL (
				SELECT * FROM finobs.trade_break WHERE key = i.subject_id
				UNION SELECT * FROM finobs.trade_break WHERE break_id = CASE WHEN i.subject_id ~ '^[1-9][0-9]{0,17}$' THEN i.subject_id::bigint END) b
		WHERE i.incident_id = $1 AND i.subject_kind IN ('trade', 'break', 'trade_break') AND b.origin = i.origin ORDER BY b.break_id DESC LIMIT `+fmt.Sprint(mostSides), id)
	return append(sides, breaks...), err
}

// FindSettlement reads the fails of the security that an incident is about.
func (t *Tx) FindSettlement(ctx context.Context, id int64) ([]agent.Found, error) {
	return t.found(ctx, agent.OfSettlement, `
		WITH security AS (
			SELECT DISTINCT coalesce(nullif(x.cusip, ''), CASE WHEN i.subject_kind = 'security' THEN i.subject_id END) AS cusip
			FROM finobs.incident i LEFT JOIN finobs.transaction x USING (transaction_id) WHERE i.incident_id = $1
		), fail AS (
			SELECT f.* FROM finobs.settlement_fail f JOIN security USING (cusip) ORDER BY settlement_date DESC LIMIT 30
		), last AS (SELECT * FROM fail ORDER BY settlement_date DESC LIMIT 1)
		SELECT 'fails:' || l.cusip AS source, '' AS text, jsonb_build_object('cusip', l.cusip, 'symbol', l.symbol, 'fails_quantity', l.quantity::text,
			'fails_days', (SELECT count(*) FROM fail)::text, 'price_usd', coalesce(trim_scale(l.price_usd)::text, ''),
			'fails_value_usd', coalesce(trim_scale(round(l.quantity * l.price_usd, 2))::text, ''), 'settlement_date', l.settlement_date::text,
			'status', 'failed') AS facts
		FROM last l`, id)
}

// FindSystem reads how the system of an incident is doing, by its heartbeats.
func (t *Tx) FindSystem(ctx context.Context, id int64) ([]agent.Found, error) {
	return t.found(ctx, agent.OfSystem, `
		SELECT 'system:' || h.system AS source, h.detail AS text, jsonb_build_object('system', h.system, 'status', h.status,
			'heartbeat_age_seconds', floor(extract(epoch FROM $2::timestamptz - h.received_at))::bigint::text, 'every_seconds', h.every_seconds::text,
			'silent', (h.received_at < $2::timestamptz - 3 * h.every_seconds * interval '1 second')::text) AS facts
		FROM finobs.incident i JOIN finobs.heartbeat h ON h.system = i.system WHERE i.incident_id = $1`, id, t.now)
}

// FindEntries reads what the log says of an incident, oldest first.
func (t *Tx) FindEntries(ctx context.Context, id int64) ([]agent.Found, error) {
	return t.found(ctx, agent.OfLedger, `
		WITH last AS (
			SELECT * FROM api.log_entry WHERE subject_kind = 'incident' AND subject_id = $1::bigint::text AND type <> 'incident.repeated'
			ORDER BY leaf_index DESC LIMIT `+fmt.Sprint(mostEntries)+`)
		SELECT 'log:' || min(leaf_index) || '-' || max(leaf_index) AS source, jsonb_build_object('entries', count(*)::text) AS facts,
			string_agg('leaf ' || leaf_index || ': ' || type || ' ' || outcome || ' by ' || actor_type, E'\n' ORDER BY leaf_index) AS text
		FROM last HAVING count(*) > 0`, id)
}

// FindCounts counts the entries of a range of the log by type, by kind of actor and
// by outcome, and names the first checkpoint that covers the range. It returns a
// fault of kind Conflict while none does.
func (t *Tx) FindCounts(ctx context.Context, from, to int64) ([]agent.Found, error) {
	var checkpoint int64
	if err := t.get(ctx, &checkpoint, `SELECT coalesce(min(size), 0) FROM api.checkpoint WHERE size >= $1`, to); err != nil {
		return nil, fmt.Errorf("reading checkpoint: %w", err)
	}
	if checkpoint == 0 {
		return nil, fault.New(fault.Conflict, "range-not-signed", "leaves up to %d are not covered by a checkpoint", to)
	}
	return t.found(ctx, agent.OfCounts, `
		WITH entry AS (SELECT * FROM api.log_entry WHERE leaf_index >= $1 AND leaf_index < $2),
		counted AS (
			SELECT 'type.' || type AS name, count(*) AS n FROM entry GROUP BY 1
			UNION ALL SELECT 'actor.' || actor_type, count(*) FROM entry GROUP BY 1
			UNION ALL SELECT 'outcome.' || outcome, count(*) FROM entry WHERE outcome <> '' GROUP BY 1
			UNION ALL SELECT 'override.' || override_type, count(*) FROM entry WHERE override_type IS NOT NULL GROUP BY 1
			UNION ALL SELECT 'people.deciding', count(DISTINCT (actor_iss, actor_sub)) FROM entry WHERE type = 'approval.decided' AND actor_type = 'human'
			UNION ALL SELECT 'simulation.entries', count(*) FROM entry WHERE is_simulation
		)
		SELECT 'log:' || $1::bigint || '-' || $2::bigint AS source, '' AS text,
			jsonb_build_object('from', $1::bigint::text, 'to', $2::bigint::text, 'checkpoint', $3::bigint::text,
				'entries', (SELECT count(*) FROM entry)::text,
				'first_at', coalesce((SELECT to_char(min(recorded_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') FROM entry), ''),
				'last_at', coalesce((SELECT to_char(max(recorded_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') FROM entry), ''))
			|| coalesce((SELECT jsonb_object_agg(name, n::text) FROM counted), '{}') AS facts`, from, to, checkpoint)
}

// Transactions reads the transactions that a compliance run looks over, in the order
// of their trade dates, from one snapshot. Memory does not grow with their number.
func (w *Writer) Transactions(ctx context.Context, r agent.Request) iter.Seq2[transaction.Transaction, error] {
	return func(yield func(transaction.Transaction, error) bool) {
		tx, err := w.db.BeginTxx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
		if err != nil {
			yield(transaction.Transaction{}, fmt.Errorf("beginning snapshot: %w", classify(err)))
			return
		}
		defer tx.Rollback() // nothing was written
		rows, err := tx.QueryxContext(ctx, `SELECT `+transactionColumns+` FROM finobs.transaction
			WHERE origin = $1 AND ($2 = '' OR trade_date >= nullif($2, '')::date) AND ($3 = '' OR trade_date <= nullif($3, '')::date) AND ($4 = '' OR source = $4) AND ($5 = '' OR account = $5)
			ORDER BY trade_date, transaction_id`, r.Origin, r.Start, r.End, r.Source, r.Account)
		if err != nil {
			yield(transaction.Transaction{}, fmt.Errorf("reading transactions: %w", classify(err)))
			return
		}
		defer rows.Close()
		for rows.Next() {
			var row transactionRow
			err := rows.StructScan(&row)
			var one transaction.Transaction
			if err == nil {
				one, err = row.domain()
			}
			if !yield(one, err) || err != nil {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(transaction.Transaction{}, fmt.Errorf("reading transactions: %w", classify(err)))
		}
	}
}

// Today is the day that it is by the database's clock, in UTC.
func (w *Writer) Today(ctx context.Context) (time.Time, error) {
	var now time.Time
	if err := w.db.GetContext(ctx, &now, `SELECT clock_timestamp()`); err != nil {
		return now, fmt.Errorf("reading the database's clock: %w", classify(err))
	}
	return now.UTC().Truncate(24 * time.Hour), nil
}
