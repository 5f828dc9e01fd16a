package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"finobs/internal/store"

	"golang.org/x/sync/errgroup"
)

// grown is a stack with much stored, and what is measured on it.
type grown struct {
	*stack
	base, size        size
	request, incident int64 // real ones, of which the others are copies
	writer            *store.Writer
	reader            *store.Reader
	sequencer         *store.Sequencer
	worker            *sql.DB
	insert            *sql.Stmt // of an entry
	closers           []io.Closer
}

// newGrown starts a stack and fills it with so many times what a desk stores in 35 days.
func (b *bench) newGrown(ctx context.Context, name string, base size, times int) (g *grown, err error) {
	s, err := b.newStack(ctx, name)
	if err != nil {
		return nil, err
	}
	n := base.times(times)
	g = &grown{stack: s, base: base, size: n}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.stop())
		}
	}()
	began := time.Now()
	if err := errors.Join(g.connect(ctx), g.seed(ctx)); err != nil {
		return g, err
	}
	for _, fill := range []func(context.Context) error{g.roomForWrites, g.holdReconciler, g.fillRequests, g.fillIncidents, g.fillEntries, g.fillRunning, g.settle} {
		if err := fill(ctx); err != nil {
			return g, fmt.Errorf("filling the %s stack: %w", name, err)
		}
	}
	fmt.Printf("  the %s stack has %d entries, %d incidents, %d pending requests and %d running workflows after %s\n",
		name, n.entries, n.incidents, n.pending, n.running, time.Since(began).Round(time.Second))
	return g, nil
}

// connect opens what polls use, under the roles of production.
func (g *grown) connect(ctx context.Context) (err error) {
	settings := g.Settings()
	if g.writer, err = store.OpenWriter(ctx, settings["FINOBS_WORKER_DATABASE_URL"]); err != nil {
		return err
	}
	g.closers = append(g.closers, g.writer)
	if g.reader, err = store.OpenReader(ctx, settings["FINOBS_API_DATABASE_URL"]); err != nil {
		return err
	}
	g.closers = append(g.closers, g.reader)
	if g.sequencer, err = store.OpenSequencer(ctx, settings["FINOBS_SEQUENCER_DATABASE_URL"]); err != nil {
		return err
	}
	g.closers = append(g.closers, g.sequencer)
	if g.worker, err = sql.Open("postgres", settings["FINOBS_WORKER_DATABASE_URL"]); err != nil {
		return err
	}
	g.closers = append(g.closers, g.worker)
	g.insert, err = g.worker.PrepareContext(ctx, `INSERT INTO ledger.entry (entry_id, idem_key, content_sha256, leaf, leaf_sha256, recorded_at, type, actor_type,
		actor_iss, actor_sub, subject_kind, subject_id, action, outcome, reason, desk, request_id, trace_id, workflow_id, is_simulation)
		VALUES ($1, $2, $2, $3, sha256($3), clock_timestamp(), 'approval.decided', 'human', 'finobs-dev', 'bob', 'approval', '42', 'approve', 'counted',
			'seen', 'EQ', 'r', 't', 'w', false)`)
	return err
}

func (g *grown) stop() error {
	var errs []error
	for _, c := range g.closers {
		errs = append(errs, c.Close())
	}
	return errors.Join(append(errs, g.stack.stop())...)
}

// seed makes the request and the incident that the others are copies of.
func (g *grown) seed(ctx context.Context) (err error) {
	if g.request, err = g.asks(ctx); err != nil {
		return err
	}
	var opened struct {
		Incident struct {
			ID int64 `json:"incident_id"`
		} `json:"incident"`
	}
	body := map[string]string{
		"kind": "system_outage", "severity": "low", "title": "Order gateway answers slowly", "system": "fix-gateway-1",
		"description": strings.Repeat("The gateway took longer than a second to answer an order. ", 5),
	}
	err = g.expect(ctx, "alice", http.MethodPost, "/incidents", body, http.StatusCreated, &opened)
	g.incident = opened.Incident.ID
	return err
}

// holdReconciler gives the reconciler's turn to nobody: it would end the copies, for
// which no workflow runs.
func (g *grown) holdReconciler(ctx context.Context) error {
	_, err := g.admin.ExecContext(ctx, "UPDATE finobs.reconciler SET holder = 'bench', held_until = 'infinity'")
	return err
}

// every is how long passes between two of n things, of which there are so many in the
// time that figures are of, and a little more.
func every(n int) string { return fmt.Sprintf("%f seconds", (35*24*time.Hour).Seconds()/float64(n)) }

// fillRequests adds pending copies, and some that are over, made one after the other.
func (g *grown) fillRequests(ctx context.Context) error {
	if err := g.copyRow(ctx, copiedRequests, g.request, g.size.pending); err != nil {
		return err
	}
	return g.exec(ctx, `
		INSERT INTO finobs.approval_request (approval_id, workflow_id, first_run_id, kind, action, action_digest, policy_id, policy, policy_digest,
			requester_iss, requester_sub, desk, is_simulation, reason, command, request_id, trace_id, created_at, expires_at,
			risk_tier, summary, target_ids, escalation_level, status, closed_at)
		SELECT nextval('finobs.approval_id'), 'over-' || i, 'bulk', kind, action, 'sha256:' || encode(sha256(convert_to('over' || i, 'UTF8')), 'hex'),
			policy_id, policy, policy_digest, requester_iss, requester_sub, desk, is_simulation, reason, command, request_id, trace_id,
			created_at - i * $3::interval, expires_at - i * $3::interval, risk_tier, summary, target_ids, 0, 'rejected',
			created_at - i * $3::interval + interval '9 seconds'
		FROM finobs.approval_request, generate_series(1, $2) AS i WHERE approval_id = $1`, g.request, g.size.incidents, every(g.base.incidents))
}

// fillIncidents adds copies that are closed, a notification on each, and some that
// are open, of which there are as many whatever else is stored.
func (g *grown) fillIncidents(ctx context.Context) error {
	const columns = `kind, severity, description, desk, source, subject_kind, subject_id, details, origin, opened_by_type, opened_by_iss, opened_by_sub,
		trace_id, priority, system, owner, last_seen_at, firing_at, ladder_from`
	return errors.Join(
		g.exec(ctx, `INSERT INTO finobs.incident (`+columns+`, title, dedup_key, opened_at, updated_at, began_at, status)
			SELECT `+columns+`, title || CASE WHEN i % 4000 = 7 THEN ' for the Needle Fund' ELSE '' END, 'bulk-' || i,
				opened_at - i * $3::interval, updated_at - i * $3::interval, began_at - i * $3::interval,
				CASE WHEN i <= 200 THEN 'open' ELSE 'closed' END
			FROM finobs.incident, generate_series(1, $2) AS i WHERE incident_id = $1`, g.incident, g.size.incidents, every(g.base.incidents)),
		g.exec(ctx, `INSERT INTO finobs.incident_round (incident_id, round, began_at) SELECT incident_id, 0, began_at FROM finobs.incident ON CONFLICT DO NOTHING`),
		g.exec(ctx, `INSERT INTO finobs.notification (notification_id, incident_id, occasion, kind, channel, recipients, subject, body, while_pending, trace_id,
				created_at, updated_at, status, attempts)
			SELECT gen_random_uuid(), incident_id, 'opened', 'page', 'mail', '[]', title, description, false, '', opened_at, opened_at, 'sent', 1
			FROM finobs.incident WHERE dedup_key LIKE 'bulk-%'`),
	)
}

// fillEntries adds copies of the entries that the real things left, which the
// sequencer then gives their places.
func (g *grown) fillEntries(ctx context.Context) error {
	const (
		columns = `type, actor_type, actor_iss, actor_sub, subject_kind, action, outcome, reason, desk, request_id, trace_id, workflow_id, is_simulation`
		batch   = 100_000
	)
	err := g.exec(ctx, `CREATE SCHEMA bench; CREATE TABLE bench.real AS SELECT row_number() OVER () - 1 AS nth, count(*) OVER () AS n, *
		FROM ledger.entry WHERE type LIKE 'approval.%' OR type LIKE 'incident.%'`)
	if err != nil {
		return err
	}
	for from := 0; from < g.size.entries; from += batch {
		err := g.exec(ctx, `
			INSERT INTO ledger.entry (entry_id, idem_key, content_sha256, leaf, leaf_sha256, recorded_at, subject_id, `+columns+`)
			SELECT id, sha256(uuid_send(id)), sha256(uuid_send(id)), copy, sha256(copy), clock_timestamp() - ($2 - i) * $4::interval, (i / 4)::text, `+columns+`
			FROM (SELECT *, convert_to(replace(convert_from(leaf, 'UTF8'), entry_id::text, id::text), 'UTF8') AS copy
				FROM (SELECT i, gen_random_uuid() AS id, real.* FROM generate_series($1::bigint, $1::bigint + $3 - 1) AS i JOIN bench.real ON nth = i % n) ids) copies`,
			from, g.size.entries, min(batch, g.size.entries-from), every(g.base.entries))
		if err != nil {
			return err
		}
	}
	return nil
}

// fillRunning asks for approvals, whose workflows then wait for a decision.
func (g *grown) fillRunning(ctx context.Context) error {
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(maxCallers)
	for range g.size.running {
		all.Go(func() error {
			_, err := g.asks(ctx)
			return err
		})
	}
	return all.Wait()
}

// roomForWrites lets Postgres write on for longer before it has to put all of it in
// its place, as one that takes in so much at once is set up.
func (g *grown) roomForWrites(ctx context.Context) error {
	return errors.Join(g.exec(ctx, "ALTER SYSTEM SET max_wal_size = '8GB'"), g.exec(ctx, "SELECT pg_reload_conf()"))
}

// settle waits for the log, and for what Postgres does after so many rows.
func (g *grown) settle(ctx context.Context) error {
	if err := g.exec(ctx, "VACUUM ANALYZE"); err != nil { //nolint:misspell // it is SQL
		return err
	}
	for deadline := time.Now().Add(time.Hour); ; time.Sleep(200 * time.Millisecond) {
		text, status, err := g.call(ctx, "bob", http.MethodGet, fmt.Sprintf("/audit/%d/proof", g.size.entries-1), nil)
		if err == nil && status == http.StatusOK {
			break
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return fmt.Errorf("the log is not made: %d %s, %w", status, text, err)
		}
	}
	return g.exec(ctx, "VACUUM ANALYZE ledger.leaf, ledger.tile, ledger.checkpoint") //nolint:misspell // it is SQL
}

func (g *grown) exec(ctx context.Context, statement string, args ...any) error {
	_, err := g.admin.ExecContext(ctx, statement, args...)
	return err
}
