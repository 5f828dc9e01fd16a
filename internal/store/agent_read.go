package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"finobs/internal/agent"
	"finobs/internal/approval"
	"finobs/internal/desk"
	"finobs/internal/fault"

	"github.com/lib/pq"
	"github.com/shopspring/decimal"
)

const apiRunColumns = runColumns + `, evidence_sha256, output_sha256`

// RunFilter selects runs; zero fields select all.
type RunFilter struct {
	Kind       agent.Kind
	Status     agent.RunStatus
	IncidentID int64
	Simulation string // true or false

	desks pq.StringArray // see Sighted
}

// Runs lists runs of agents, newest first. One that cannot be read in full says so,
// see agent.Run.Broken.
func (r *Reader) Runs(ctx context.Context, f RunFilter, p Page) ([]agent.Run, error) {
	var rows []runRow
	query, args := runQuery(f, p)
	if err := r.db.Filtered(ctx, &rows, query, args...); err != nil {
		return nil, fmt.Errorf("listing runs: %w", classify(err))
	}
	out := make([]agent.Run, 0, len(rows))
	for _, row := range rows {
		out = append(out, row.shown())
	}
	return out, nil
}

// runQuery leaves conditions out by a parameter that says so: the planner knows the
// parameters, and drops what is true.
func runQuery(f RunFilter, p Page) (string, []any) {
	return `SELECT ` + apiRunColumns + ` FROM api.agent_run
		WHERE ($1 = 0 OR run_id < $1) AND ($2 = '' OR kind = $2) AND ($3 = '' OR status = $3) AND ($4 = 0 OR incident_id = $4)
			AND ($5 = '' OR is_simulation = ($5 = 'true')) AND ($7::text[] IS NULL OR seen_by = ANY ($7))
		ORDER BY run_id DESC LIMIT $6`, []any{p.Before, f.Kind, f.Status, f.IncidentID, f.Simulation, p.Limit, f.desks}
}

// Run reads one run; a fault of kind NotFound when there is none.
func (r *Reader) Run(ctx context.Context, id int64) (agent.Run, error) {
	run, found, err := r.run(ctx, `run_id = $1`, id)
	if err == nil && !found {
		err = fault.New(fault.NotFound, "no-such-run", "there is no run %d of an agent", id)
	}
	return run, err
}

// RunOf reads the run that an approval let begin, if there is one.
func (r *Reader) RunOf(ctx context.Context, approvalID int64) (agent.Run, bool, error) {
	return r.run(ctx, `approval_id = $1`, approvalID)
}

func (r *Reader) run(ctx context.Context, where string, arg any) (agent.Run, bool, error) {
	var row runRow
	err := r.db.GetContext(ctx, &row, `SELECT `+apiRunColumns+` FROM api.agent_run WHERE `+where, arg)
	if errors.Is(err, sql.ErrNoRows) {
		return agent.Run{}, false, nil
	}
	if err != nil {
		return agent.Run{}, false, fmt.Errorf("reading run: %w", classify(err))
	}
	run, err := row.domain()
	return run, true, err
}

// RunPart is a part of the record of a run, byte for byte.
type RunPart struct {
	Part    string `db:"part"` // evidence, output or exchange
	Ordinal int    `db:"ordinal"`
	SHA256  string `db:"sha256"`
	Bytes   []byte `db:"bytes"`
}

// RunParts reads parts of the record of a run, or without names all of them: its
// evidence, each exchange in order, its output, and the question.
func (r *Reader) RunParts(ctx context.Context, id int64, parts ...string) ([]RunPart, error) {
	var rows []RunPart
	err := r.db.SelectContext(ctx, &rows, `SELECT part, ordinal, sha256, bytes FROM api.agent_blob WHERE run_id = $1 AND (cardinality($2::text[]) = 0 OR part = ANY ($2)) ORDER BY part, ordinal`,
		id, pq.Array(strings0(parts)))
	if err != nil {
		return nil, fmt.Errorf("reading the record of run %d: %w", id, classify(err))
	}
	return rows, nil
}

// Verdicts reads what people thought of a run, oldest first.
func (r *Reader) Verdicts(ctx context.Context, runID int64) ([]agent.Verdict, error) {
	var rows []struct {
		ID          string         `db:"verdict_id"`
		RunID       int64          `db:"run_id"`
		Field       agent.Field    `db:"field"`
		Recommended string         `db:"recommended"`
		Chosen      string         `db:"chosen"`
		Override    sql.NullString `db:"override_type"`
		Reason      string         `db:"reason"`
		ByIss       string         `db:"by_iss"`
		BySub       string         `db:"by_sub"`
		At          time.Time      `db:"created_at"`
	}
	err := r.db.SelectContext(ctx, &rows, `SELECT verdict_id, run_id, field, recommended, chosen, override_type, reason, by_iss, by_sub, created_at
		FROM api.agent_verdict WHERE run_id = $1 ORDER BY created_at, verdict_id LIMIT 200`, runID)
	if err != nil {
		return nil, fmt.Errorf("reading verdicts on run %d: %w", runID, classify(err))
	}
	out := make([]agent.Verdict, 0, len(rows))
	for _, v := range rows {
		out = append(out, agent.Verdict{
			ID: v.ID, RunID: v.RunID, Field: v.Field, Recommended: v.Recommended, Chosen: v.Chosen, Override: v.Override.String, Reason: v.Reason,
			By: approval.Person{Issuer: v.ByIss, Subject: v.BySub}, At: v.At.UTC(),
		})
	}
	return out, nil
}

// Findings reads what the rules of compliance found in a run, the worst first.
func (r *Reader) Findings(ctx context.Context, runID int64, limit int) ([]agent.Finding, error) {
	var rows []struct {
		ID       string         `db:"finding_id"`
		Rule     string         `db:"rule"`
		Version  string         `db:"rule_version"`
		Severity desk.Severity  `db:"severity"`
		Party    string         `db:"party"`
		Records  pq.StringArray `db:"records"`
		Facts    []byte         `db:"facts"`
		Text     string         `db:"text"`
	}
	err := r.db.SelectContext(ctx, &rows, `SELECT finding_id, rule, rule_version, severity, party, records, facts, text FROM api.agent_finding
		WHERE run_id = $1 ORDER BY array_position(ARRAY['critical', 'high', 'medium', 'low'], severity), rule, finding_id LIMIT $2`, runID, limit)
	if err != nil {
		return nil, fmt.Errorf("reading findings of run %d: %w", runID, classify(err))
	}
	out := make([]agent.Finding, 0, len(rows))
	for _, f := range rows {
		one := agent.Finding{ID: f.ID, Rule: f.Rule, Version: f.Version, Severity: f.Severity, Party: f.Party, Records: f.Records, Text: f.Text}
		if err := json.Unmarshal(f.Facts, &one.Facts); err != nil {
			return nil, fmt.Errorf("reading finding %s: %w", f.ID, err)
		}
		out = append(out, one)
	}
	return out, nil
}

// Spend is what runs used of models.
type Spend struct {
	Calls  int64           `db:"calls"`
	Tokens int64           `db:"tokens"`
	USD    decimal.Decimal `db:"usd"`
	Millis int64           `db:"millis"`
}

// SpendOf sums up what a run used; reservations that were never settled count in
// full.
func (r *Reader) SpendOf(ctx context.Context, runID int64) (Spend, error) {
	var out Spend
	err := r.db.GetContext(ctx, &out, `SELECT coalesce(sum(calls), 0) AS calls, coalesce(sum(tokens), 0) AS tokens, coalesce(sum(usd), 0) AS usd,
		coalesce(sum(millis), 0) AS millis FROM api.agent_spend WHERE run_id = $1`, runID)
	if err != nil {
		return out, fmt.Errorf("reading what run %d used: %w", runID, classify(err))
	}
	return out, nil
}

// Stops lists stops, those in force first, then the newest.
func (r *Reader) Stops(ctx context.Context, limit int) ([]agent.StopOrder, error) {
	var rows []stopRow
	err := r.db.SelectContext(ctx, &rows, `SELECT `+stopColumns+` FROM api.agent_stop ORDER BY lifted_at IS NULL DESC, stop_id DESC LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("listing stops: %w", classify(err))
	}
	out := make([]agent.StopOrder, 0, len(rows))
	for _, r := range rows {
		out = append(out, r.domain())
	}
	return out, nil
}
