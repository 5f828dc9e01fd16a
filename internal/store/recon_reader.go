package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"finobs/internal/approval"
	"finobs/internal/desk"
	"finobs/internal/fault"
	"finobs/internal/recon"

	"github.com/lib/pq"
	"github.com/shopspring/decimal"
)

type reconRunRow struct {
	RunID         int64     `db:"run_id"`
	RunKey        string    `db:"run_key"`
	WorkflowID    string    `db:"workflow_id"`
	Profile       string    `db:"profile"`
	ProfileDigest string    `db:"profile_digest"`
	Origin        string    `db:"origin"`
	State         string    `db:"state"`
	Reason        string    `db:"reason"`
	Request       []byte    `db:"request"`
	Report        []byte    `db:"report"`
	BreaksSHA256  string    `db:"breaks_sha256"`
	RequestedIss  string    `db:"requested_iss"`
	RequestedSub  string    `db:"requested_sub"`
	TraceID       string    `db:"trace_id"`
	StartedAt     time.Time `db:"started_at"`
	RecordedAt    time.Time `db:"recorded_at"`
}

const reconRunColumns = `run_id, run_key, workflow_id, profile, profile_digest, origin, state, reason, request, report,
	coalesce(breaks_sha256, '') AS breaks_sha256, requested_iss, requested_sub, trace_id, started_at, recorded_at`

func (r reconRunRow) domain() (recon.Run, error) {
	run := recon.Run{
		ID: r.RunID, Key: r.RunKey, WorkflowID: r.WorkflowID, Profile: r.Profile, ProfileDigest: r.ProfileDigest, Origin: r.Origin,
		State: recon.State(r.State), Reason: r.Reason, BreaksSHA256: r.BreaksSHA256,
		RequestedBy: approval.Person{Issuer: r.RequestedIss, Subject: r.RequestedSub}, TraceID: r.TraceID,
		StartedAt: r.StartedAt.UTC(), RecordedAt: r.RecordedAt.UTC(),
	}
	if err := errors.Join(json.Unmarshal(r.Request, &run.Request), json.Unmarshal(r.Report, &run.Report)); err != nil {
		return run, fmt.Errorf("reading run %s: %w", r.RunKey, err)
	}
	return run, nil
}

// ReconRuns lists runs, newest first; an empty profile means all of them.
func (r *Reader) ReconRuns(ctx context.Context, profile string, p Page) ([]recon.Run, error) {
	var c conditions
	if profile != "" {
		c.add("profile = ?", profile)
	}
	if p.Before > 0 {
		c.add("run_id < ?", p.Before)
	}
	var rows []reconRunRow
	err := r.db.Filtered(ctx, &rows, `SELECT `+reconRunColumns+` FROM api.recon_run WHERE true`+c.text+
		` ORDER BY run_id DESC LIMIT `+strconv.Itoa(p.Limit), c.args...)
	if err != nil {
		return nil, fmt.Errorf("listing runs: %w", classify(err))
	}
	return collect(rows, reconRunRow.domain)
}

// ReconRun reads one run by its key; a fault of kind NotFound when there is none.
func (r *Reader) ReconRun(ctx context.Context, key string) (recon.Run, error) {
	var row reconRunRow
	err := r.db.GetContext(ctx, &row, `SELECT `+reconRunColumns+` FROM api.recon_run WHERE run_key = $1`, key)
	if errors.Is(err, sql.ErrNoRows) {
		return recon.Run{}, fault.New(fault.NotFound, "no-such-recon-run", "there is no run %s on record", key)
	}
	if err != nil {
		return recon.Run{}, fmt.Errorf("reading run: %w", classify(err))
	}
	return row.domain()
}

type breakRow struct {
	BreakID        int64               `db:"break_id"`
	Profile        string              `db:"profile"`
	Origin         string              `db:"origin"`
	Type           string              `db:"type"`
	Key            string              `db:"key"`
	Field          string              `db:"field"`
	Ordinal        int                 `db:"ordinal"`
	Status         string              `db:"status"`
	Severity       string              `db:"severity"`
	Owner          string              `db:"owner"`
	SLAHours       int                 `db:"sla_hours"`
	LeftIDs        pq.StringArray      `db:"left_ids"`
	RightIDs       pq.StringArray      `db:"right_ids"`
	LeftValue      string              `db:"left_value"`
	RightValue     string              `db:"right_value"`
	Difference     decimal.NullDecimal `db:"difference"`
	Currency       string              `db:"currency"`
	Exposure       decimal.NullDecimal `db:"exposure"`
	Confidence     decimal.Decimal     `db:"confidence"`
	NeedsReview    bool                `db:"needs_review"`
	Symbol         string              `db:"symbol"`
	Side           string              `db:"side"`
	Account        string              `db:"account"`
	TradeDate      sql.NullTime        `db:"trade_date"`
	SettlementDate sql.NullTime        `db:"settlement_date"`
	CutoffAt       sql.NullTime        `db:"cutoff_at"`
	Calendar       string              `db:"calendar"`
	FirstRunKey    string              `db:"first_run_key"`
	LastRunKey     string              `db:"last_run_key"`
	FirstSeenAt    time.Time           `db:"first_seen_at"`
	LastSeenAt     time.Time           `db:"last_seen_at"`
	ResolvedAt     sql.NullTime        `db:"resolved_at"`
	Reopened       int                 `db:"reopened"`
	Version        int64               `db:"version"`
}

const breakColumns = `break_id, profile, origin, type, key, field, ordinal, status, severity, owner, sla_hours, left_ids, right_ids, left_value,
	right_value, difference, currency, exposure, confidence, needs_review, symbol, side, account, trade_date, settlement_date, cutoff_at,
	calendar, first_run_key, last_run_key, first_seen_at, last_seen_at, resolved_at, reopened, version`

func (r breakRow) domain() (recon.Recorded, error) {
	b := recon.Recorded{
		ID: r.BreakID, Profile: r.Profile, Origin: r.Origin, Type: recon.Type(r.Type), Key: r.Key, Field: r.Field, Ordinal: r.Ordinal,
		Status: r.Status, Severity: desk.Severity(r.Severity), Owner: r.Owner, SLAHours: r.SLAHours, LeftIDs: r.LeftIDs, RightIDs: r.RightIDs,
		LeftValue: r.LeftValue, RightValue: r.RightValue, Difference: r.Difference, Currency: r.Currency, Exposure: r.Exposure,
		Confidence: r.Confidence, NeedsReview: r.NeedsReview, Symbol: r.Symbol, Side: r.Side, Account: r.Account, Calendar: r.Calendar,
		FirstRun: r.FirstRunKey, LastRun: r.LastRunKey, FirstSeen: r.FirstSeenAt.UTC(), LastSeen: r.LastSeenAt.UTC(), Reopened: r.Reopened, Version: r.Version,
	}
	for at, into := range map[*sql.NullTime]*time.Time{
		&r.TradeDate: &b.TradeDate, &r.SettlementDate: &b.SettlementDate, &r.CutoffAt: &b.CutoffAt, &r.ResolvedAt: &b.ResolvedAt,
	} {
		if at.Valid {
			*into = at.Time.UTC()
		}
	}
	if !b.Type.Valid() {
		return b, fmt.Errorf("reading break %d: type %q is not known", b.ID, r.Type)
	}
	return b, nil
}

// BreakFilter selects breaks; zero fields select all.
type BreakFilter struct {
	Status, Type, Owner, Profile, Key, Origin, Run string
}

// Breaks lists breaks that match every set filter, newest first. Run is the key of
// the run that showed them last.
func (r *Reader) Breaks(ctx context.Context, f BreakFilter, p Page) ([]recon.Recorded, error) {
	var c conditions
	for _, s := range []struct{ condition, value string }{
		{"status = ?", f.Status}, {"type = ?", f.Type}, {"owner = ?", f.Owner}, {"profile = ?", f.Profile}, {"key = ?", f.Key}, {"origin = ?", f.Origin},
		{"last_run = (SELECT run_id FROM api.recon_run WHERE run_key = ?)", f.Run},
	} {
		if s.value != "" {
			c.add(s.condition, s.value)
		}
	}
	if p.Before > 0 {
		c.add("break_id < ?", p.Before)
	}
	var rows []breakRow
	err := r.db.Filtered(ctx, &rows, `SELECT `+breakColumns+` FROM api.trade_break WHERE true`+c.text+
		` ORDER BY break_id DESC LIMIT `+strconv.Itoa(p.Limit), c.args...)
	if err != nil {
		return nil, fmt.Errorf("listing breaks: %w", classify(err))
	}
	return collect(rows, breakRow.domain)
}

// Break reads one break; a fault of kind NotFound when there is none.
func (r *Reader) Break(ctx context.Context, id int64) (recon.Recorded, error) {
	var row breakRow
	err := r.db.GetContext(ctx, &row, `SELECT `+breakColumns+` FROM api.trade_break WHERE break_id = $1`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return recon.Recorded{}, fault.New(fault.NotFound, "no-such-break", "there is no break %d", id)
	}
	if err != nil {
		return recon.Recorded{}, fmt.Errorf("reading break %d: %w", id, classify(err))
	}
	return row.domain()
}

// BreakEvents lists what runs did to a break, oldest first.
func (r *Reader) BreakEvents(ctx context.Context, id int64) ([]recon.Event, error) {
	var rows []struct {
		RunKey     string              `db:"run_key"`
		WorkflowID string              `db:"workflow_id"`
		Event      string              `db:"event"`
		LeftValue  string              `db:"left_value"`
		RightValue string              `db:"right_value"`
		Difference decimal.NullDecimal `db:"difference"`
		Exposure   decimal.NullDecimal `db:"exposure"`
		RecordedAt time.Time           `db:"recorded_at"`
	}
	err := r.db.SelectContext(ctx, &rows, `SELECT run_key, workflow_id, event, left_value, right_value, difference, exposure, recorded_at
		FROM api.trade_break_event WHERE break_id = $1 ORDER BY run_id LIMIT $2`, id, maxHistory)
	if err != nil {
		return nil, fmt.Errorf("reading events of break %d: %w", id, classify(err))
	}
	out := make([]recon.Event, 0, len(rows))
	for _, e := range rows {
		out = append(out, recon.Event{
			Run: e.RunKey, WorkflowID: e.WorkflowID, Event: e.Event, LeftValue: e.LeftValue, RightValue: e.RightValue,
			Difference: e.Difference, Exposure: e.Exposure, At: e.RecordedAt.UTC(),
		})
	}
	return out, nil
}

// BreakEntries lists the ledger entries of the runs that did something to a break,
// oldest first.
func (r *Reader) BreakEntries(ctx context.Context, id int64) ([]LoggedEntry, error) {
	rows := []LoggedEntry{}
	err := r.db.SelectContext(ctx, &rows, `
		SELECT e.entry_id, e.recorded_at, e.type, e.action, e.outcome, e.reason, e.actor_type, e.actor_iss, e.actor_sub, e.subject_kind, e.subject_id,
			e.desk, e.request_id, e.trace_id, e.workflow_id, e.ai_explanation, e.agent_input, e.agent_output, e.agent_version, e.override_type,
			e.is_simulation, e.leaf_sha256, e.leaf
		FROM api.agent_action_audit_log e
		WHERE e.subject_kind = 'recon' AND e.type = 'recon.done' AND e.subject_id IN (SELECT run_key FROM api.trade_break_event WHERE break_id = $1)
		ORDER BY e.recorded_at, e.entry_id LIMIT $2`, id, maxHistory)
	if err != nil {
		return nil, fmt.Errorf("reading the entries of break %d: %w", id, classify(err))
	}
	return rows, nil
}
