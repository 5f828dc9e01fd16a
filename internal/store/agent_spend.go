package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"finobs/internal/agent"
	"finobs/internal/budget"

	"github.com/shopspring/decimal"
)

// LockSpend keeps others from reserving until the transaction ends.
func (t *Tx) LockSpend(ctx context.Context) error {
	_, err := t.exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('finobs.agent_spend'))`)
	return err
}

type spendRow struct {
	Calls  int64           `db:"calls"`
	Tokens int64           `db:"tokens"`
	USD    decimal.Decimal `db:"usd"`
	Millis int64           `db:"millis"`
}

func (r spendRow) use() budget.Use {
	return budget.Use{Calls: r.Calls, Tokens: r.Tokens, USD: r.USD, Wall: time.Duration(r.Millis) * time.Millisecond}
}

const spendSums = `SELECT coalesce(sum(calls), 0)::bigint AS calls, coalesce(sum(tokens), 0)::bigint AS tokens, coalesce(sum(usd), 0) AS usd,
	coalesce(sum(millis), 0)::bigint AS millis FROM finobs.agent_spend WHERE `

// SpendSoFar sums up what was used and reserved at each level that concerns a run.
func (t *Tx) SpendSoFar(ctx context.Context, r agent.Run) (budget.Totals, error) {
	out := budget.Totals{}
	day := t.now.Format(time.DateOnly)
	for level, query := range map[budget.Level]struct {
		where string
		args  []any
	}{
		budget.Run:      {`run_id = $1`, []any{r.ID}},
		budget.Incident: {`incident_id = $1`, []any{r.Request.IncidentID}},
		budget.Desk:     {`day = $1 AND desk = $2`, []any{day, r.Desk}},
		budget.Day:      {`day = $1`, []any{day}},
	} {
		if level == budget.Incident && r.Request.IncidentID == 0 {
			continue
		}
		var row spendRow
		if err := t.get(ctx, &row, spendSums+query.where, query.args...); err != nil {
			return nil, fmt.Errorf("summing up what the %s used: %w", level, err)
		}
		out[level] = row.use()
	}
	return out, nil
}

// InsertSpend records a reservation.
func (t *Tx) InsertSpend(ctx context.Context, id string, r agent.Run, u budget.Use) error {
	_, err := t.exec(ctx, `
		INSERT INTO finobs.agent_spend (spend_id, run_id, incident_id, desk, day, calls, tokens, usd, millis, reserved_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		id, r.ID, reference(r.Request.IncidentID), r.Desk, t.now.Format(time.DateOnly), u.Calls, u.Tokens, u.USD, u.Wall.Milliseconds(), t.now)
	if err != nil {
		return fmt.Errorf("reserving for run %d: %w", r.ID, err)
	}
	return nil
}

// Spend reads a reservation, or what it was settled to.
func (t *Tx) Spend(ctx context.Context, id string) (budget.Use, error) {
	var row spendRow
	if err := t.get(ctx, &row, `SELECT calls, tokens, usd, millis FROM finobs.agent_spend WHERE spend_id = $1 FOR UPDATE`, id); err != nil {
		return budget.Use{}, fmt.Errorf("reading reservation %s: %w", id, err)
	}
	return row.use(), nil
}

// SettleSpend replaces a reservation, once.
func (t *Tx) SettleSpend(ctx context.Context, id string, u budget.Use) error {
	var desk string
	err := t.get(ctx, &desk, `UPDATE finobs.agent_spend SET calls = $2, tokens = $3, usd = $4, millis = $5, settled = true
		WHERE spend_id = $1 AND NOT settled RETURNING desk`,
		id, u.Calls, u.Tokens, u.USD, u.Wall.Milliseconds())
	if errors.Is(err, sql.ErrNoRows) { // it was settled before
		return nil
	}
	if err != nil {
		return fmt.Errorf("settling reservation %s: %w", id, err)
	}
	t.observeSpend(desk, u.USD.InexactFloat64())
	return nil
}

// KeepQuestion keeps what a model is asked in a run, once, and returns what is
// kept.
func (t *Tx) KeepQuestion(ctx context.Context, runID int64, q agent.Question) (agent.Question, error) {
	encoded, err := json.Marshal(q)
	if err != nil {
		return q, fmt.Errorf("encoding question: %w", err)
	}
	var kept []byte
	err = t.get(ctx, &kept, `UPDATE finobs.agent_run SET question = coalesce(question, $2) WHERE run_id = $1 RETURNING question`, runID, string(encoded))
	if err != nil {
		return q, fmt.Errorf("keeping the question of run %d: %w", runID, err)
	}
	var out agent.Question
	if err := json.Unmarshal(kept, &out); err != nil {
		return q, fmt.Errorf("reading the question of run %d: %w", runID, err)
	}
	return out, nil
}

// InsertExchanges keeps what went to a model and came back in the attempt that ends a
// run, in the transaction that does. What attempts that died were told is not known;
// that they may have asked is, by their reservations.
func (t *Tx) InsertExchanges(ctx context.Context, runID int64, list []agent.Exchange) error {
	for n, x := range list {
		sum, err := t.putBlob(ctx, x.Bytes)
		if err != nil {
			return err
		}
		var desk string
		err = t.get(ctx, &desk, `
			INSERT INTO finobs.agent_exchange (run_id, ordinal, exchange_sha256, provider, model, outcome, input_tokens, output_tokens, recorded_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
			RETURNING (SELECT desk FROM finobs.agent_run WHERE run_id = $1)`,
			runID, n+1, sum, x.Provider, x.Model, x.Outcome, x.InputTokens, x.OutputTokens, t.now)
		if err != nil {
			return fmt.Errorf("keeping exchange %d of run %d: %w", n+1, runID, err)
		}
		t.observeExchange(desk, x)
	}
	return nil
}
