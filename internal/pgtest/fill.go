package pgtest

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
)

// steady are the tables that do not grow with what a desk does, and why. Every
// other table is taken to grow: Fill fills it, and no list may read it whole.
var steady = map[string]string{
	"finobs.channel":         "as many as are configured",
	"finobs.deployment":      "one row",
	"finobs.destination":     "as many as are configured",
	"finobs.detector":        "as many as there are kinds",
	"finobs.export_schedule": "people make each, and its name is taken once",
	"finobs.feed":            "one for each source that is configured",
	"finobs.heartbeat":       "one for each system",
	"finobs.migration":       "one for each version of the schema",
	"finobs.person":          "as many as work here",
	"finobs.policy_set":      "people make each, and the newest counts",
	"finobs.probe":           "of the workers that live",
	"finobs.reconciler":      "one row",
	"finobs.worker":          "those that live; a worker removes the others",
	"ledger.sequencer":       "one row",
	"ledger.sink":            "as many as are configured",
	"ledger.tree":            "one row",
}

// A word in braces in what follows stands for the value of the column of that name.
const (
	usual   = "convert_to('{\"details\":{},\"n\":\"' || i || '\"}', 'UTF8')"
	content = "convert_to(i::text, 'UTF8')"
	digest  = "'sha256:' || encode(sha256(" + content + "), 'hex')"
	later   = "interval '8 days'"
	sight   = "CASE WHEN i % 2000 = 1 THEN 'rare' ELSE 'desk-' || abs(hashint4(i)) % 4 END"
	title   = "'Break in trade T' || i || CASE WHEN i % 5000 = 77 THEN ' of the Needle fund' ELSE ' of QQQ' END"
)

// values are the columns that say more than their type and constraints do, as SQL
// over the row's number i.
var values = map[string]string{
	"ledger.blob.bytes":                        content,
	"ledger.entry.leaf":                        usual,
	"ledger.entry.leaf_sha256":                 "sha256({leaf})",
	"ledger.entry.type":                        "(ARRAY['approval.decided', 'incident.opened', 'detector.run', 'export.sealed'])[1 + i % 4]",
	"ledger.entry.subject_kind":                "(ARRAY['approval', 'incident', 'detector', 'export'])[1 + i % 4]",
	"ledger.entry.subject_id":                  "(i / 4)::text",
	"ledger.entry.override_type":               "CASE WHEN i % 400 = 0 THEN 'ai_override' END",
	"ledger.entry.actor_type":                  "'human'",
	"ledger.entry.xid":                         "i::text::xid8",
	"ledger.leaf.leaf_index":                   "i - 1",
	"ledger.tile.level":                        "0",
	"finobs.payload.bytes":                     content,
	"finobs.approval_request.status":           "CASE WHEN i % 10 = 0 AND i > 9000 THEN 'pending' WHEN i % 500 = 1 THEN 'approved' WHEN i % 500 = 2 THEN 'expired' ELSE 'rejected' END",
	"finobs.approval_request.closed_at":        "CASE WHEN {status} <> 'pending' THEN {created_at} + interval '5 minutes' END",
	"finobs.approval_request.use_by":           "CASE WHEN {status} = 'approved' THEN {expires_at} END",
	"finobs.approval_request.expires_at":       "{created_at} + " + later + " + i % 999 * interval '1 second'",
	"finobs.approval_request.assignee_sub":     "CASE WHEN i % 2000 = 1 THEN 'rare' ELSE '' END",
	"finobs.approval_request.policy_id":        "'other'",
	"finobs.approval_request.action":           `convert_to('{"kind":"desk.override","mode":"live","parameters":{"n":"' || i || '"},"policy_digest":"' || {policy_digest} || '","requester":{"desk":"EQ","iss":"finobs-dev","kind":"human","roles":["analyst"],"sub":"' || {requester_sub} || '"},"targets":[]}', 'UTF8')`,
	"finobs.approval_request.policy":           `convert_to('{}', 'UTF8')`,
	"finobs.approval_request.escalation_level": "(i % 300 = 0)::int",
	"finobs.approval_request.consumed_at":      "NULL",
	"finobs.approval_decision.counted_as":      "CASE WHEN {outcome} = 'repeated' THEN md5('0')::uuid END",
	"finobs.incident.status":                   "CASE WHEN i % 200 = 0 THEN 'open' WHEN i % 500 = 1 THEN 'acknowledged' WHEN i % 500 = 2 THEN 'resolved' ELSE 'closed' END",
	"finobs.incident.title":                    title,
	"finobs.incident_words.words":              "lower(" + title + ")",
	"finobs.agent_run.seen_by":                 sight,
	"finobs.agent_action.seen_by":              sight,
	"finobs.incident.ack_due_at":               "{opened_at} + interval '15 minutes'",
	"finobs.incident.resolve_due_at":           "{opened_at} + interval '4 hours'",
	"finobs.incident.assignee_sub":             "CASE WHEN i % 2000 = 1 THEN 'rare' ELSE '' END",
	"finobs.incident.parent_id":                "CASE WHEN i % 100 = 7 THEN 1 + i / 1000 END",
	"finobs.incident.details":                  "'{}'",
	"finobs.incident_round.resolved_at":        "{began_at} + interval '1 hour'",
	"finobs.incident_occurrence.incident_id":   "1 + i / 4",
	"finobs.incident_occurrence.source":        "'a'",
	"finobs.notification.status":               "CASE WHEN i % 500 < 6 THEN (ARRAY['queued', 'sending', 'skipped', 'dead', 'unknown', 'sent'])[1 + i % 500] ELSE 'sent' END",
	"finobs.notification.recipients":           "'[]'",
	"finobs.notification.incident_id":          "CASE WHEN i % 2 = 0 THEN i END",
	"finobs.notification.approval_id":          "CASE WHEN i % 2 = 1 THEN i END",
	"finobs.notification.attempts":             "1",
	"finobs.delegation.ends_at":                "{starts_at} + interval '2 days'",
	"finobs.delegation.to_key":                 "'to-' || i % 300",
	"finobs.delegation.from_principal":         `'{"sub":"a","iss":"b"}'`,
	"finobs.detector_run.detector":             "'trade_breaks'",
	"finobs.event.event_key":                   "'k' || i",
	"finobs.event.source":                      "CASE WHEN i % 2000 = 1 THEN 'rare' ELSE 'oms' END",
	"finobs.event.labels":                      "'{}'",
	"finobs.export.status":                     "CASE WHEN i % 500 = 0 THEN 'intended' WHEN i % 500 = 1 THEN 'failed' ELSE 'sealed' END",
	"finobs.export.delivery_status":            "CASE WHEN i % 500 < 4 THEN (ARRAY['pending', 'failed', 'unknown', 'delivered'])[1 + i % 500] ELSE 'delivered' END",
	"finobs.export.snapshot":                   "'1:1:'", "finobs.export.snapshot_at": "{created_at}", "finobs.export.file_name": "'f'",
	"finobs.export.row_count": "1", "finobs.export.content_bytes": "1", "finobs.export.sealed_at": "{created_at}",
	"finobs.export.content_sha256":        "CASE WHEN {status} = 'sealed' THEN sha256(" + content + ") END",
	"finobs.export.bundled_at":            "{created_at}",
	"finobs.export.entry_id":              "md5(i::text)::uuid",
	"finobs.export.manifest":              "i::text",
	"finobs.export.manifest_sha256":       "sha256(" + content + ")",
	"finobs.export.seal_number":           "i",
	"finobs.export.prev_manifest_sha256":  "sha256(convert_to((i - 1)::text, 'UTF8'))",
	"finobs.export.generator":             "'g'",
	"finobs.export.key_id":                "'k'",
	"finobs.export.from_leaf":             "0",
	"finobs.export.to_leaf":               "i",
	"finobs.export.checkpoint":            "'c'",
	"finobs.export.reproducible":          "true",
	"finobs.export.file_sha256":           "sha256(" + content + ")",
	"finobs.export.file_bytes":            "1",
	"finobs.export.approval_id":           "i",
	"finobs.export.schedule_id":           "CASE WHEN i % 10 = 0 THEN 1 + i % 7 END",
	"finobs.export.slot":                  "CASE WHEN i % 10 = 0 THEN {created_at} END",
	"finobs.export_delivery.status":       "CASE WHEN i % 500 < 4 THEN (ARRAY['attempting', 'failed', 'unknown', 'delivered'])[1 + i % 500] ELSE 'delivered' END",
	"finobs.export_delivery.ended_at":     "CASE WHEN {status} <> 'attempting' THEN {started_at} END",
	"finobs.export_delivery.destination":  "'d' || i % 3",
	"finobs.export_slot.schedule_id":      "1 + i % 7",
	"finobs.export_slot.status":           "CASE WHEN i % 500 < 4 THEN (ARRAY['waiting', 'running', 'failed', 'skipped'])[1 + i % 500] ELSE 'done' END",
	"finobs.export_slot.reason":           "'said'",
	"finobs.export_slot.export_id":        "CASE WHEN {status} NOT IN ('waiting', 'skipped') THEN i END",
	"finobs.export_slot.ended_at":         "CASE WHEN {status} NOT IN ('waiting', 'running') THEN {started_at} END",
	"finobs.export_slot.started_at":       "{slot}",
	"finobs.import.kind":                  "'transactions'",
	"finobs.maintenance_window.ends_at":   "{starts_at} + interval '1 hour'",
	"finobs.maintenance_window.desk":      "CASE WHEN i % 2 = 0 THEN '*' ELSE 'EQ' END",
	"finobs.agent_action.status":          "CASE WHEN i % 500 < 6 THEN (ARRAY['planned', 'executing', 'failed', 'unknown', 'superseded', 'withdrawn'])[1 + i % 500] ELSE 'done' END",
	"finobs.agent_action.recovery":        "CASE WHEN i % 500 = 9 THEN 'compensation_unknown' ELSE 'recovered' END",
	"finobs.agent_action.leased":          "i % 1000 = 1",
	"finobs.agent_action.began_at":        "{planned_at}",
	"finobs.agent_action.plan":            `convert_to('{"action":"reconnect_session","version":"1"}', 'UTF8')`,
	"finobs.agent_run.status":             "CASE WHEN i % 500 < 2 THEN (ARRAY['running', 'failed'])[1 + i % 500] ELSE 'done' END",
	"finobs.agent_run.ended_at":           "CASE WHEN {status} <> 'running' THEN {started_at} + interval '1 minute' END",
	"finobs.agent_run.output_sha256":      "sha256(" + content + ")",
	"finobs.agent_run.agent_version":      "'1'",
	"finobs.agent_run.incident_id":        "i",
	"finobs.agent_run.problems":           "'[]'",
	"finobs.agent_run.suspicions":         "'[]'",
	"finobs.agent_verdict.recommended":    "'a'",
	"finobs.agent_verdict.chosen":         "CASE WHEN i % 50 = 0 THEN 'b' ELSE 'a' END",
	"finobs.agent_verdict.override_type":  "CASE WHEN i % 50 = 0 THEN 'ai_override' END",
	"finobs.agent_spend.incident_id":      "i",
	"finobs.recon_run.state":              "'done'",
	"finobs.recon_run.breaks_sha256":      "sha256(" + content + ")",
	"finobs.recon_run.report":             "'{}'",
	"finobs.trade_break.status":           "CASE WHEN i % 200 = 0 THEN 'open' ELSE 'resolved' END",
	"finobs.trade_break.resolved_run":     "CASE WHEN {status} = 'resolved' THEN i END",
	"finobs.trade_break.resolved_at":      "CASE WHEN {status} = 'resolved' THEN {last_seen_at} END",
	"finobs.trade_break.profile":          "'p' || i % 2",
	"finobs.trade_break.confidence":       "1",
	"finobs.transaction.currency":         "CASE WHEN i % 500 = 0 THEN 'CHF' ELSE 'USD' END",
	"finobs.transaction.status":           "CASE WHEN i % 500 < 4 THEN (ARRAY['new', 'confirmed', 'failed', 'cancelled'])[1 + i % 500] ELSE 'settled' END",
	"finobs.transaction.isin":             "''",
	"finobs.transaction.cusip":            "''",
	"finobs.transaction.source":           "'oms'",
	"finobs.transaction_version.currency": "'USD'",
	"finobs.settlement_fail.cusip":        "lpad(i::text, 9, '0')",
}

// Fill gives every table that grows n rows, of which those with a state that
// passes are few, as after months of work. Whatever is not named is derived from
// the type and the constraints of its column, so that a new table is filled as
// well. It returns the tables' names, without those that are steady.
func Fill(t testing.TB, d Database, n int) []string {
	t.Helper()
	ctx := t.Context()
	columns, err := growing(ctx, d.Admin)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for table, of := range columns {
		group.Go(func() error {
			return session(within, d.Admin, func(c *sql.Conn) error {
				// References are not looked up, so that the order does not matter.
				_, err := c.ExecContext(within, "SET session_replication_role = replica; "+insert(table, of, n))
				if err != nil {
					return fmt.Errorf("filling %s: %w; a column may need a line in values, or the table one in steady", table, err)
				}
				_, err = c.ExecContext(within, "VACUUM ANALYZE "+table) //nolint:misspell // it is SQL
				return err
			})
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	err = Exec(t, d.Admin, `UPDATE ledger.tree SET size = $1, last_xid = (SELECT max(xid) FROM ledger.entry), last_entry = 'ffffffff-ffff-ffff-ffff-ffffffffffff'`, n)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	return slices.Sorted(maps.Keys(columns))
}

// column is what a value is derived from.
type column struct {
	name, typ string
	null      bool
	unique    bool     // alone or with others
	oneOf     []string // what a constraint lists
}

// list finds the words that a constraint allows for a column.
var list = regexp.MustCompile(`^CHECK \(\((\w+) = ANY \(ARRAY\[(.*)\]\)\)\)$`)

// growing reads the columns of all tables that grow.
func growing(ctx context.Context, url string) (map[string][]column, error) {
	out := map[string][]column{}
	err := session(ctx, url, func(c *sql.Conn) error {
		allowed, err := allowed(ctx, c)
		if err != nil {
			return err
		}
		rows, err := c.QueryContext(ctx, `
			SELECT format('%s.%s', n.nspname, c.relname), a.attname, format_type(a.atttypid, NULL), NOT a.attnotnull,
				EXISTS (SELECT FROM pg_index x WHERE x.indrelid = c.oid AND x.indisunique AND a.attnum = ANY (x.indkey))
			FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
			WHERE n.nspname IN ('finobs', 'ledger') AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
			ORDER BY 1, a.attnum`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var table string
			var x column
			if err := rows.Scan(&table, &x.name, &x.typ, &x.null, &x.unique); err != nil {
				return err
			}
			x.oneOf = allowed[table+"."+x.name]
			if _, known := steady[table]; !known {
				out[table] = append(out[table], x)
			}
		}
		return rows.Err()
	})
	return out, err
}

func allowed(ctx context.Context, c *sql.Conn) (map[string][]string, error) {
	rows, err := c.QueryContext(ctx, `SELECT format('%s.%s', n.nspname, c.relname), pg_get_constraintdef(k.oid)
		FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE k.contype = 'c'`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[string][]string{}
	for rows.Next() {
		var table, check string
		if err := rows.Scan(&table, &check); err != nil {
			return nil, err
		}
		if m := list.FindStringSubmatch(check); m != nil {
			out[table+"."+m[1]] = strings.Split(m[2], ", ")
		}
	}
	return out, rows.Err()
}

// insert is the statement that fills a table.
func insert(table string, columns []column, n int) string {
	var names, exprs []string
	of := map[string]string{}
	for _, c := range columns {
		of[c.name] = c.value(table, n)
	}
	for _, c := range columns {
		names, exprs = append(names, c.name), append(exprs, resolve(of[c.name], of))
	}
	return "INSERT INTO " + table + " (" + strings.Join(names, ", ") + ") OVERRIDING SYSTEM VALUE SELECT " + strings.Join(exprs, ", ") +
		fmt.Sprintf(" FROM generate_series(1, %d) AS i", n)
}

var reference = regexp.MustCompile(`\{([a-z_]+)\}`)

func resolve(expr string, of map[string]string) string {
	for reference.MatchString(expr) {
		expr = reference.ReplaceAllStringFunc(expr, func(ref string) string { return "(" + of[strings.Trim(ref, "{}")] + ")" })
	}
	return expr
}

// value is SQL over i for a column of a table with n rows.
func (c column) value(table string, n int) string {
	if v, known := values[table+"."+c.name]; known {
		return v
	}
	switch {
	case c.name == "origin" && strings.Contains(strings.Join(c.oneOf, ""), "demo"):
		return "CASE WHEN i % 2000 = 1 THEN 'demo' ELSE 'live' END"
	case c.oneOf != nil: // the last is common, the others are rare
		k := len(c.oneOf)
		return fmt.Sprintf("CASE WHEN i %% 500 < %d THEN (ARRAY[%s])[1 + i %% 500] ELSE %s END", k-1, strings.Join(c.oneOf, ", "), c.oneOf[k-1])
	case c.null:
		return "NULL"
	}
	switch c.typ {
	case "text":
		if strings.HasSuffix(c.name, "digest") {
			return digest
		}
		if c.unique {
			return "'k' || i"
		}
		return "CASE WHEN i % 2000 = 1 THEN 'rare' ELSE '" + c.name + "-' || abs(hashint4((i * 31 + " + strconv.Itoa(len(c.name)*7+int(c.name[0])) + ")::int)) % 4 END"
	case "bytea":
		return "sha256(" + content + ")"
	case "uuid":
		return "md5(i::text)::uuid"
	case "boolean":
		return "i % 500 = 0"
	case "jsonb":
		return "'{}'"
	case "text[]":
		return "'{}'"
	case "date":
		return fmt.Sprintf("current_date - (%d - i)", n)
	case "timestamp with time zone":
		return fmt.Sprintf("now() - (%d - i) * interval '1 day'", n)
	}
	return "i" // a number
}
