package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"finobs/internal/action"
	"finobs/internal/approval"
	"finobs/internal/fault"
	"finobs/internal/remediation"

	"github.com/lib/pq"
)

const actionColumns = `action_id, run_id, ordinal, incident_id, connector, plan, plan_digest, risk_tier, is_simulation, requester_iss, requester_sub, desk,
	reason, planned_at, status, status_reason, recovery, recovery_reason, leased, coalesce(idem_key, '') AS idem_key, sent_at, effect_id, began_at, ended_at,
	resolved_iss, resolved_sub`

// shownActionColumns are those of the view api.agent_action, with what says what a
// plan is about when the plan itself cannot be read.
const shownActionColumns = actionColumns + `, approval_status, approval_reason, type, type_version, target_kind, target_id, target_version`

type actionRow struct {
	ActionID       int64                `db:"action_id"`
	RunID          int64                `db:"run_id"`
	Ordinal        int                  `db:"ordinal"`
	IncidentID     int64                `db:"incident_id"`
	Connector      string               `db:"connector"`
	Plan           []byte               `db:"plan"`
	PlanDigest     string               `db:"plan_digest"`
	Risk           approval.RiskTier    `db:"risk_tier"`
	Simulation     bool                 `db:"is_simulation"`
	RequesterIss   string               `db:"requester_iss"`
	RequesterSub   string               `db:"requester_sub"`
	Desk           string               `db:"desk"`
	Reason         string               `db:"reason"`
	PlannedAt      time.Time            `db:"planned_at"`
	Status         remediation.Status   `db:"status"`
	StatusReason   string               `db:"status_reason"`
	Recovery       remediation.Recovery `db:"recovery"`
	RecoveryReason string               `db:"recovery_reason"`
	Leased         bool                 `db:"leased"`
	Key            string               `db:"idem_key"`
	SentAt         sql.NullTime         `db:"sent_at"`
	EffectID       string               `db:"effect_id"`
	BeganAt        sql.NullTime         `db:"began_at"`
	EndedAt        sql.NullTime         `db:"ended_at"`
	ResolvedIss    string               `db:"resolved_iss"`
	ResolvedSub    string               `db:"resolved_sub"`
	Approval       sql.NullString       `db:"approval_status"`
	ApprovalReason sql.NullString       `db:"approval_reason"`
	Type           string               `db:"type"`
	TypeVersion    int                  `db:"type_version"`
	TargetKind     string               `db:"target_kind"`
	TargetID       string               `db:"target_id"`
	TargetVersion  string               `db:"target_version"`
}

func (r actionRow) domain() (remediation.Action, error) {
	plan, err := remediation.ParsePlan(r.Plan, r.PlanDigest)
	if err != nil {
		return remediation.Action{}, fmt.Errorf("reading action %d: %w", r.ActionID, err)
	}
	return r.with(plan), nil
}

// shown is domain for those who only look: a plan that is not the one that was made
// hides neither its row nor any other. What it is about is then what the columns
// say, which prove nothing.
func (r actionRow) shown() remediation.Action {
	plan, err := remediation.ParsePlan(r.Plan, r.PlanDigest)
	if err == nil {
		return r.with(plan)
	}
	x := r.with(remediation.Plan{Plan: action.Plan{
		Action: r.Type, Version: r.TypeVersion, Target: approval.Target{Kind: r.TargetKind, ID: r.TargetID, Version: r.TargetVersion},
	}})
	x.Broken = fault.MessageOf(err)
	return x
}

func (r actionRow) with(plan remediation.Plan) remediation.Action {
	mode := approval.Live
	if r.Simulation {
		mode = approval.Simulation
	}
	return remediation.Action{
		ID: r.ActionID, RunID: r.RunID, Ordinal: r.Ordinal, IncidentID: r.IncidentID, Connector: r.Connector, Plan: plan, PlanBytes: r.Plan,
		PlanDigest: r.PlanDigest, Risk: r.Risk, Mode: mode, Requester: approval.Person{Issuer: r.RequesterIss, Subject: r.RequesterSub}, Desk: r.Desk,
		Reason: r.Reason, PlannedAt: r.PlannedAt.UTC(), Status: r.Status, StatusReason: r.StatusReason, Recovery: r.Recovery,
		RecoveryReason: r.RecoveryReason, Leased: r.Leased, Key: r.Key, SentAt: momentOf(r.SentAt), EffectID: r.EffectID, BeganAt: momentOf(r.BeganAt),
		EndedAt: momentOf(r.EndedAt), ResolvedBy: approval.Person{Issuer: r.ResolvedIss, Subject: r.ResolvedSub},
		Approval: approval.Status(r.Approval.String), ApprovalReason: r.ApprovalReason.String,
	}
}

// NextApprovalID takes an approval id that nobody else gets.
func (t *Tx) NextApprovalID(ctx context.Context) (int64, error) {
	var id int64
	if err := t.get(ctx, &id, "SELECT api.next_approval_id()"); err != nil {
		return 0, fmt.Errorf("taking an approval id: %w", err)
	}
	return id, nil
}

// InsertAction records an action that was planned, once for each ordinal of a run.
func (t *Tx) InsertAction(ctx context.Context, x remediation.Action) error {
	_, err := t.exec(ctx, `
		INSERT INTO finobs.agent_action (action_id, run_id, ordinal, incident_id, type, type_version, connector, target_kind, target_id, target_version,
			plan, plan_digest, risk_tier, is_simulation, requester_iss, requester_sub, desk, reason, planned_at, seen_by)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
			coalesce((SELECT i.desk FROM finobs.incident AS i WHERE i.incident_id = $4), $17))`,
		x.ID, x.RunID, x.Ordinal, x.IncidentID, x.Plan.Action, x.Plan.Version, x.Connector, x.Plan.Target.Kind, x.Plan.Target.ID, x.Plan.Target.Version,
		x.PlanBytes, x.PlanDigest, x.Risk, x.Mode == approval.Simulation, x.Requester.Issuer, x.Requester.Subject, x.Desk, x.Reason, t.now)
	if err != nil {
		return fmt.Errorf("recording a planned action of run %d: %w", x.RunID, err)
	}
	return nil
}

// ActionsOfRun lists the ids of the actions that a run planned, in their order.
func (t *Tx) ActionsOfRun(ctx context.Context, runID int64) ([]int64, error) {
	var ids []int64
	err := t.list(ctx, &ids, `SELECT action_id FROM finobs.agent_action WHERE run_id = $1 ORDER BY ordinal`, runID)
	return ids, err
}

// LockAction reads an action and keeps others from changing it; a fault of kind
// NotFound when there is none. What its approval became is not read.
func (t *Tx) LockAction(ctx context.Context, id int64) (remediation.Action, error) {
	var row actionRow
	err := t.get(ctx, &row, `SELECT `+actionColumns+` FROM finobs.agent_action WHERE action_id = $1 FOR UPDATE`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return remediation.Action{}, fault.New(fault.NotFound, "no-such-action", "there is no action %d", id)
	}
	if err != nil {
		return remediation.Action{}, fmt.Errorf("reading action %d: %w", id, err)
	}
	return row.domain()
}

// SaveAction writes what may change of an action. A lease that another action has
// on the target is a fault of kind Conflict.
func (t *Tx) SaveAction(ctx context.Context, x remediation.Action) error {
	_, err := t.exec(ctx, `
		UPDATE finobs.agent_action SET status = $2, status_reason = $3, recovery = $4, recovery_reason = $5, leased = $6, idem_key = nullif($7, ''),
			sent_at = $8, effect_id = $9, began_at = $10, ended_at = $11, resolved_iss = $12, resolved_sub = $13
		WHERE action_id = $1`,
		x.ID, x.Status, x.StatusReason, x.Recovery, x.RecoveryReason, x.Leased, x.Key, moment(x.SentAt), x.EffectID, moment(x.BeganAt), moment(x.EndedAt),
		x.ResolvedBy.Issuer, x.ResolvedBy.Subject)
	if violates(err, "agent_action_one_per_target") {
		return fault.Wrap(err, fault.Conflict, "target-leased", "another action is at work on the target of action %d", x.ID)
	}
	if err != nil {
		return fmt.Errorf("saving action %d: %w", x.ID, err)
	}
	return nil
}

// LeaseHolder is the action that holds a target, or 0. Until the transaction ends
// nobody else takes or gives back a lease on it.
func (t *Tx) LeaseHolder(ctx context.Context, connector, kind, id string) (int64, error) {
	if _, err := t.exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('finobs.agent_lease'), hashtext($1))`, connector+"/"+kind+"/"+id); err != nil {
		return 0, err
	}
	var holder int64
	err := t.get(ctx, &holder, `SELECT coalesce(max(action_id), 0) FROM finobs.agent_action
		WHERE leased AND connector = $1 AND target_kind = $2 AND target_id = $3`, connector, kind, id)
	return holder, err
}

// BegunSince counts the actions of a type that were begun for a desk since a
// moment.
func (t *Tx) BegunSince(ctx context.Context, actionType, desk string, simulation bool, since time.Time) (int, error) {
	// One at a time for each desk and type, so that two do not both see room.
	if _, err := t.exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('finobs.agent_cap'), hashtext($1))`, actionType+"/"+desk); err != nil {
		return 0, err
	}
	var n int
	err := t.get(ctx, &n, `SELECT count(*) FROM finobs.agent_action WHERE type = $1 AND desk = $2 AND is_simulation = $3 AND began_at >= $4`,
		actionType, desk, simulation, since)
	return n, err
}

// ActionFilter selects actions; zero fields select all.
type ActionFilter struct {
	Standing   string // see remediation.Action.Standing
	Type       string
	IncidentID int64
	RunID      int64
	Desk       string
	Simulation string // true or false

	desks pq.StringArray // see Sighted
}

// Actions lists actions, newest first. One whose plan is broken says so, see
// remediation.Action.Broken.
func (r *Reader) Actions(ctx context.Context, f ActionFilter, p Page) ([]remediation.Action, error) {
	var rows []actionRow
	query, args := actionQuery(f, p)
	if err := r.db.Filtered(ctx, &rows, query, args...); err != nil {
		return nil, fmt.Errorf("listing actions: %w", classify(err))
	}
	out := make([]remediation.Action, 0, len(rows))
	for _, row := range rows {
		out = append(out, row.shown())
	}
	return out, nil
}

// actionQuery leaves conditions out by a parameter that says so: the planner knows
// the parameters, and drops what is true.
func actionQuery(f ActionFilter, p Page) (string, []any) {
	standing := `status = $2`
	switch s := remediation.Status(f.Standing); {
	case s == "":
		standing = `$2 = ''`
	case s == remediation.Planned:
		standing = `status = $2 AND NOT asked AND approval_status IS NULL`
	case s == remediation.Executing || s == remediation.Superseded:
		// The statuses are named besides, for the index.
		standing = `status IN ('planned', $2) AND $2 = CASE WHEN status <> 'planned' THEN status WHEN approval_status = 'consumed' THEN 'executing' ELSE approval_status END`
	case !slices.Contains(remediation.Statuses(), s): // of what is planned, the approval says where it stands
		standing = `status = 'planned' AND approval_status = $2 AND $2 <> 'consumed'`
	}
	return `SELECT ` + shownActionColumns + ` FROM api.agent_action
		WHERE ($1 = 0 OR action_id < $1) AND ` + standing + ` AND ($3 = '' OR type = $3) AND ($4 = 0 OR incident_id = $4) AND ($5 = 0 OR run_id = $5)
			AND ($6 = '' OR desk = $6) AND ($7 = '' OR is_simulation = ($7 = 'true')) AND ($9::text[] IS NULL OR seen_by = ANY ($9))
		ORDER BY action_id DESC LIMIT $8`,
		[]any{p.Before, f.Standing, f.Type, f.IncidentID, f.RunID, f.Desk, f.Simulation, p.Limit, f.desks}
}

// Action reads one action, as Actions does; a fault of kind NotFound when there is
// none.
func (r *Reader) Action(ctx context.Context, id int64) (remediation.Action, error) {
	var row actionRow
	err := r.db.GetContext(ctx, &row, `SELECT `+shownActionColumns+` FROM api.agent_action WHERE action_id = $1`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return remediation.Action{}, fault.New(fault.NotFound, "no-such-action", "there is no action %d", id)
	}
	if err != nil {
		return remediation.Action{}, fmt.Errorf("reading action %d: %w", id, classify(err))
	}
	return row.shown(), nil
}

// toAskQuery reads the planned actions after an id for which nobody asked for
// approval yet.
const toAskQuery = `SELECT ` + actionColumns + `, approval_status, approval_reason FROM api.agent_action
	WHERE status = 'planned' AND NOT asked AND approval_status IS NULL AND action_id > $1 ORDER BY action_id LIMIT $2`

// ActionsToAsk lists the planned actions for which nobody asked for approval yet,
// by id from after on, and returns the last id that it looked at, or 0 when there is
// none beyond. Those whose plan is broken are in the error, beside all others.
func (r *Reader) ActionsToAsk(ctx context.Context, after int64, limit int) (list []remediation.Action, last int64, err error) {
	var rows []actionRow
	if err := r.db.SelectContext(ctx, &rows, toAskQuery, after, limit); err != nil {
		return nil, after, fmt.Errorf("listing actions to ask for: %w", classify(err))
	}
	var broken error
	for _, row := range rows {
		x, err := row.domain()
		if err != nil {
			broken = errors.Join(broken, fmt.Errorf("action %d: %w", row.ActionID, err))
			continue
		}
		list = append(list, x)
	}
	if len(rows) == limit {
		last = rows[limit-1].ActionID
	}
	return list, last, broken
}

// ActionCount counts actions that are alike.
type ActionCount struct {
	Type    string `db:"type"`
	Version string `db:"agent_version"`
	Planned int64  `db:"planned"`
	Agreed  int64  `db:"agreed"`  // approved
	Refused int64  `db:"refused"` // rejected
	Done    int64  `db:"done"`
	Failed  int64  `db:"failed"`
	Unknown int64  `db:"unknown"`
	Healed  int64  `db:"recovered"`
}

// ActionCounts counts live actions, or simulated ones, that were planned since a
// moment, by type and by the version of the agent that proposed them.
func (r *Reader) ActionCounts(ctx context.Context, simulation bool, since time.Time) ([]ActionCount, error) {
	var rows []ActionCount
	err := r.db.SelectContext(ctx, &rows, `
		SELECT a.type, coalesce(r.agent_version, '') AS agent_version, count(*) AS planned,
			count(*) FILTER (WHERE a.approval_status IN ('approved', 'consumed')) AS agreed, count(*) FILTER (WHERE a.approval_status = 'rejected') AS refused,
			count(*) FILTER (WHERE a.status = 'done') AS done, count(*) FILTER (WHERE a.status = 'failed') AS failed,
			count(*) FILTER (WHERE a.status = 'unknown') AS unknown, count(*) FILTER (WHERE a.recovery = 'recovered') AS recovered
		FROM api.agent_action a JOIN api.agent_run r USING (run_id) WHERE a.is_simulation = $1 AND a.planned_at >= $2 GROUP BY 1, 2 ORDER BY 1, 2`, simulation, since)
	if err != nil {
		return nil, fmt.Errorf("counting actions: %w", classify(err))
	}
	return rows, nil
}

// VerdictCount counts what people thought of a field of outputs.
type VerdictCount struct {
	Field      string `db:"field"`
	Version    string `db:"agent_version"`
	Agreed     int64  `db:"agreed"`
	AIOverride int64  `db:"ai_override"`
	Manual     int64  `db:"manual_override"`
}

// VerdictCounts counts verdicts that were given since a moment, by field and
// version of the agent.
func (r *Reader) VerdictCounts(ctx context.Context, simulation bool, since time.Time) ([]VerdictCount, error) {
	var rows []VerdictCount
	err := r.db.SelectContext(ctx, &rows, `
		SELECT v.field, coalesce(r.agent_version, '') AS agent_version, count(*) FILTER (WHERE v.override_type IS NULL) AS agreed,
			count(*) FILTER (WHERE v.override_type = 'ai_override') AS ai_override, count(*) FILTER (WHERE v.override_type = 'manual_override') AS manual_override
		FROM api.agent_verdict v JOIN api.agent_run r USING (run_id) WHERE r.is_simulation = $1 AND v.created_at >= $2 GROUP BY 1, 2 ORDER BY 1, 2`, simulation, since)
	if err != nil {
		return nil, fmt.Errorf("counting verdicts: %w", classify(err))
	}
	return rows, nil
}
