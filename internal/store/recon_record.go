package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"finobs/internal/fault"
	"finobs/internal/recon"

	"github.com/lib/pq"
)

// ReconRunOf reads what an earlier execution recorded under a run's key.
func (t *Tx) ReconRunOf(ctx context.Context, key string) (recon.Run, bool, error) {
	var row reconRunRow
	err := t.get(ctx, &row, `SELECT run_id, run_key, workflow_id, profile, profile_digest, origin, state, reason, request, report,
			coalesce(encode(breaks_sha256, 'hex'), '') AS breaks_sha256, requested_iss, requested_sub, trace_id, started_at, recorded_at
		FROM finobs.recon_run WHERE run_key = $1`, key)
	if errors.Is(err, sql.ErrNoRows) {
		return recon.Run{}, false, nil
	}
	if err != nil {
		return recon.Run{}, false, fmt.Errorf("reading run %s: %w", key, err)
	}
	run, err := row.domain()
	return run, true, err
}

// LockBreaks makes runs of one profile and origin record one after the other.
func (t *Tx) LockBreaks(ctx context.Context, profile, origin string) error {
	_, err := t.exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('finobs.recon/' || $1 || '/' || $2, 0))`, profile, origin)
	if err != nil {
		return fmt.Errorf("waiting for another run of profile %s: %w", profile, err)
	}
	return nil
}

// InsertReconRun records a run, in place of one that failed under its key, and keeps
// the text of its profile. The report may be completed in the same transaction.
func (t *Tx) InsertReconRun(ctx context.Context, r recon.Run, profileText string) (int64, error) {
	if _, err := t.putBlob(ctx, []byte(profileText)); err != nil {
		return 0, err
	}
	request, err := json.Marshal(r.Request)
	if err != nil {
		return 0, fmt.Errorf("encoding request: %w", err)
	}
	report, err := json.Marshal(r.Report)
	if err != nil {
		return 0, fmt.Errorf("encoding report: %w", err)
	}
	var id int64
	err = t.get(ctx, &id, `
		INSERT INTO finobs.recon_run (run_key, workflow_id, profile, profile_digest, origin, state, reason, request, report, breaks_sha256,
			requested_iss, requested_sub, trace_id, started_at, recorded_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, decode(nullif($10, ''), 'hex'), $11, $12, $13, $14, $15)
		ON CONFLICT (run_key) DO UPDATE SET state = excluded.state, reason = excluded.reason, request = excluded.request, report = excluded.report,
			breaks_sha256 = excluded.breaks_sha256, requested_iss = excluded.requested_iss, requested_sub = excluded.requested_sub,
			trace_id = excluded.trace_id, started_at = excluded.started_at, recorded_at = excluded.recorded_at
		WHERE recon_run.state = 'failed'
		RETURNING run_id`,
		r.Key, r.WorkflowID, r.Profile, r.ProfileDigest, r.Origin, r.State, r.Reason, string(request), string(report), r.BreaksSHA256,
		r.RequestedBy.Issuer, r.RequestedBy.Subject, r.TraceID, r.StartedAt, t.now)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, fault.New(fault.Conflict, "recon-recorded", "run %s is on record already", r.Key)
	}
	if err != nil {
		return 0, fmt.Errorf("recording run: %w", err)
	}
	return id, nil
}

// SetReconReport completes the report of a run that this transaction recorded.
func (t *Tx) SetReconReport(ctx context.Context, id int64, report recon.Report) error {
	text, err := json.Marshal(report)
	if err != nil {
		return fmt.Errorf("encoding report: %w", err)
	}
	if _, err := t.exec(ctx, `UPDATE finobs.recon_run SET report = $2 WHERE run_id = $1`, id, string(text)); err != nil {
		return fmt.Errorf("recording report: %w", err)
	}
	return nil
}

// reconStage is the temporary table of a run's breaks; it ends with the transaction.
const reconStage = `CREATE TEMPORARY TABLE recon_break (LIKE finobs.trade_break) ON COMMIT DROP`

// stagedBreak are the columns that a run states of a break.
const stagedBreak = `type, key, field, severity, owner, sla_hours, left_key, right_key, left_ids, right_ids, left_value, right_value, difference,
	currency, exposure, confidence, needs_review, symbol, side, account, trade_date, settlement_date, cutoff_at, calendar`

// StageBreaks copies the breaks of a run to where MergeBreaks takes them from.
func (t *Tx) StageBreaks(ctx context.Context, p *recon.Profile, list []recon.Break) error {
	for _, s := range []string{
		reconStage,
		`ALTER TABLE recon_break ADD was text, ADD same boolean, ALTER break_id DROP NOT NULL, ALTER profile DROP NOT NULL, ALTER origin DROP NOT NULL,
			ALTER ordinal DROP NOT NULL, ALTER status DROP NOT NULL, ALTER first_run DROP NOT NULL, ALTER last_run DROP NOT NULL,
			ALTER first_seen_at DROP NOT NULL, ALTER last_seen_at DROP NOT NULL, ALTER reopened DROP NOT NULL, ALTER version DROP NOT NULL`,
	} {
		if _, err := t.tx.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("making the temporary table of breaks: %w", classify(err))
		}
	}
	in, err := t.tx.PrepareContext(ctx, "COPY recon_break ("+stagedBreak+") FROM STDIN")
	if err != nil {
		return fmt.Errorf("beginning to copy breaks: %w", classify(err))
	}
	defer in.Close()
	for i := range list {
		b := &list[i]
		if _, err := in.ExecContext(ctx, string(b.Type), b.Key, b.Field, string(b.Severity), b.Owner, b.SLAHours, b.LeftKey, b.RightKey,
			pq.Array(b.LeftIDs), pq.Array(b.RightIDs), b.LeftValue, b.RightValue, decimalOrNull(b.Difference), b.Currency, decimalOrNull(b.Exposure),
			b.Confidence.String(), b.NeedsReview, b.Symbol, b.Side, b.Account, textOrNull(b.TradeDate), textOrNull(b.SettleOn),
			timeOrNull(b.CutoffAt), p.Calendar); err != nil {
			return fmt.Errorf("copying breaks: %w", classify(err))
		}
	}
	if _, err := in.ExecContext(ctx); err != nil {
		return fmt.Errorf("copying breaks: %w", classify(err))
	}
	// Breaks that nothing tells apart are counted, in an order that the input's does
	// not matter to.
	_, err = t.tx.ExecContext(ctx, `UPDATE recon_break s SET ordinal = o.ordinal FROM (
			SELECT ctid AS row, row_number() OVER (PARTITION BY type, key, field
				ORDER BY left_ids::text COLLATE "C", right_ids::text COLLATE "C", left_value COLLATE "C", right_value COLLATE "C") AS ordinal
			FROM recon_break
		) o WHERE s.ctid = o.row`)
	if err != nil {
		return fmt.Errorf("numbering breaks: %w", classify(err))
	}
	return nil
}

// MergeBreaks brings the staged breaks of a run on record, and resolves those of the
// covered ones that it does not show. It fills in what became of them.
func (t *Tx) MergeBreaks(ctx context.Context, run int64, profile, origin string, covered []int64, out *recon.Report) error {
	for _, step := range []struct {
		what, query string
		args        []any
		changed     *int64
	}{
		{"looking breaks up", `UPDATE recon_break s SET break_id = b.break_id, was = b.status,
				same = (b.left_value, b.right_value, b.difference, b.exposure, b.needs_review) IS NOT DISTINCT FROM
					(s.left_value, s.right_value, s.difference, s.exposure, s.needs_review)
			FROM finobs.trade_break b WHERE b.profile = $1 AND b.origin = $2 AND b.type = s.type AND b.key = s.key AND b.field = s.field AND b.ordinal = s.ordinal`,
			[]any{profile, origin}, nil},
		{"counting those that are as they were", `UPDATE recon_break SET same = same WHERE was = 'open' AND same`, nil, &out.Same},
		{"updating breaks", `UPDATE finobs.trade_break b SET (severity, owner, sla_hours, left_key, right_key, left_ids, right_ids, left_value, right_value,
				difference, currency, exposure, confidence, needs_review, symbol, side, account, trade_date, settlement_date, cutoff_at, calendar,
				status, last_run, last_seen_at, resolved_run, resolved_at, reopened, version) =
			(s.severity, s.owner, s.sla_hours, s.left_key, s.right_key, s.left_ids, s.right_ids, s.left_value, s.right_value,
				s.difference, s.currency, s.exposure, s.confidence, s.needs_review, s.symbol, s.side, s.account, s.trade_date, s.settlement_date, s.cutoff_at, s.calendar,
				'open', $1, $2, NULL, NULL, b.reopened + (s.was = 'resolved')::integer, b.version + 1)
			FROM recon_break s WHERE b.break_id = s.break_id`, []any{run, t.now}, nil},
		{"recording breaks that came back", `INSERT INTO finobs.trade_break_event (break_id, run_id, event, left_value, right_value, difference, exposure, recorded_at)
			SELECT break_id, $1, 'reopened', left_value, right_value, difference, exposure, $2 FROM recon_break WHERE was = 'resolved'`, []any{run, t.now}, &out.Reopened},
		{"recording breaks that changed", `INSERT INTO finobs.trade_break_event (break_id, run_id, event, left_value, right_value, difference, exposure, recorded_at)
			SELECT break_id, $1, 'changed', left_value, right_value, difference, exposure, $2 FROM recon_break WHERE was = 'open' AND NOT same`, []any{run, t.now}, &out.Changed},
		{"adding breaks", `WITH added AS (
				INSERT INTO finobs.trade_break (profile, origin, ordinal, status, first_run, last_run, first_seen_at, last_seen_at, ` + stagedBreak + `)
				SELECT $1, $2, ordinal, 'open', $3, $3, $4, $4, ` + stagedBreak + ` FROM recon_break WHERE break_id IS NULL
				ORDER BY type, key COLLATE "C", field, ordinal
				RETURNING break_id, left_value, right_value, difference, exposure
			)
			INSERT INTO finobs.trade_break_event (break_id, run_id, event, left_value, right_value, difference, exposure, recorded_at)
			SELECT break_id, $3, 'opened', left_value, right_value, difference, exposure, $4 FROM added`, []any{profile, origin, run, t.now}, &out.Opened},
		{"resolving breaks", `WITH gone AS (
				UPDATE finobs.trade_break SET status = 'resolved', resolved_run = $1, resolved_at = $2, version = version + 1
				WHERE break_id = ANY ($3) AND status = 'open' AND last_run <> $1 AND break_id NOT IN (SELECT break_id FROM recon_break WHERE break_id IS NOT NULL)
				RETURNING break_id
			)
			INSERT INTO finobs.trade_break_event (break_id, run_id, event, left_value, right_value, difference, exposure, recorded_at)
			SELECT break_id, $1, 'resolved', '', '', NULL, NULL, $2 FROM gone`, []any{run, t.now, pq.Array(covered)}, &out.Resolved},
	} {
		n, err := t.changed(ctx, step.query, step.args...)
		if err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
		if step.changed != nil {
			*step.changed = n
		}
	}
	return nil
}
