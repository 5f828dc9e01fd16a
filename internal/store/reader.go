package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"finobs/internal/approval"
	"finobs/internal/fault"

	"github.com/lib/pq"
)

// Now is the database's time.
func (r *Reader) Now(ctx context.Context) (time.Time, error) {
	var now time.Time
	if err := r.db.GetContext(ctx, &now, "SELECT clock_timestamp()"); err != nil {
		return now, fmt.Errorf("reading the database's clock: %w", classify(err))
	}
	return now.UTC(), nil
}

// Environment tells what kind of deployment the database serves: dev or
// production.
func (r *Reader) Environment(ctx context.Context) (string, error) {
	var env string
	if err := r.db.GetContext(ctx, &env, "SELECT environment FROM api.deployment"); err != nil {
		return "", fmt.Errorf("reading the database's environment: %w", classify(err))
	}
	return env, nil
}

// NextApprovalID takes an approval id that nobody else gets.
func (r *Reader) NextApprovalID(ctx context.Context) (int64, error) {
	var id int64
	if err := r.db.GetContext(ctx, &id, "SELECT api.next_approval_id()"); err != nil {
		return 0, fmt.Errorf("taking an approval id: %w", classify(err))
	}
	return id, nil
}

// Approval reads one request; a fault of kind NotFound when there is none.
func (r *Reader) Approval(ctx context.Context, id int64) (approval.Request, error) {
	q, found, err := r.approval(ctx, `approval_id = $1`, id)
	if err == nil && !found {
		err = fault.New(fault.NotFound, "no-such-approval", "there is no approval %d", id)
	}
	return q, err
}

// RequestsByID reads those of the requests that are recorded.
func (r *Reader) RequestsByID(ctx context.Context, ids []int64) (map[int64]approval.Request, error) {
	var rows []requestRow
	err := r.db.SelectContext(ctx, &rows, `SELECT `+requestColumns+` FROM api.approval_request WHERE approval_id = ANY ($1)`, pq.Array(ids))
	if err != nil {
		return nil, fmt.Errorf("reading %d approvals: %w", len(ids), classify(err))
	}
	found := make(map[int64]approval.Request, len(rows))
	for _, row := range rows {
		q, err := row.domain()
		if err != nil {
			return nil, err
		}
		found[q.ID] = q
	}
	return found, nil
}

// LatestApproval reads the newest request over exactly the action with the given
// digest, if there is one.
func (r *Reader) LatestApproval(ctx context.Context, actionDigest string) (approval.Request, bool, error) {
	return r.approval(ctx, `action_digest = $1`, actionDigest)
}

func (r *Reader) approval(ctx context.Context, where string, arg any) (approval.Request, bool, error) {
	var row requestRow
	err := r.db.GetContext(ctx, &row, `SELECT `+requestColumns+` FROM api.approval_request
		WHERE `+where+` ORDER BY approval_id DESC LIMIT 1`, arg)
	if errors.Is(err, sql.ErrNoRows) {
		return approval.Request{}, false, nil
	}
	if err != nil {
		return approval.Request{}, false, fmt.Errorf("reading approval: %w", classify(err))
	}
	out, err := row.domain()
	return out, true, err
}

// ApprovalFilter selects requests; zero fields select all.
type ApprovalFilter struct {
	Status    approval.Status
	Kind      string
	Desk      string
	Requester string // sub
	Assignee  string // sub
	RiskTier  string
	Escalated string // true, false or empty
	Simulated string // dito

	desks pq.StringArray // see Sighted

	ByDeadline    bool      // the one that expires first comes first
	AfterDeadline time.Time // with ByDeadline: the deadline of the last row of the page before; its id is Page.Before
}

// where writes the conditions of the set filters only, so that the planner sees
// which index serves them.
func (f ApprovalFilter) where() (string, []any) {
	query, args := " WHERE true", []any(nil)
	add := func(condition string, values ...any) {
		for _, v := range values {
			args = append(args, v)
			condition = strings.Replace(condition, "?", "$"+strconv.Itoa(len(args)), 1)
		}
		query += " AND " + condition
	}
	for _, c := range []struct{ column, value string }{
		{"status", string(f.Status)}, {"kind", f.Kind}, {"desk", f.Desk}, {"requester_sub", f.Requester},
		{"assignee_sub", f.Assignee}, {"risk_tier", f.RiskTier},
	} {
		if c.value != "" {
			add(c.column+" = ?", c.value)
		}
	}
	if f.Escalated != "" {
		add("(escalation_level > 0) = ?", f.Escalated == "true")
	}
	if f.Simulated != "" {
		add("is_simulation = ?", f.Simulated == "true")
	}
	if f.desks != nil {
		add("desk = ANY (?)", f.desks)
	}
	return query, args
}

// Approvals lists requests, newest first unless the filter says otherwise.
func (r *Reader) Approvals(ctx context.Context, f ApprovalFilter, p Page) ([]approval.Request, error) {
	query, args := f.where()
	bind := func(v any) string {
		args = append(args, v)
		return "$" + strconv.Itoa(len(args))
	}
	switch {
	case f.ByDeadline && p.Before != 0:
		query += " AND (expires_at, approval_id) > (" + bind(f.AfterDeadline) + ", " + bind(p.Before) + ")"
	case !f.ByDeadline && p.Before != 0:
		query += " AND approval_id < " + bind(p.Before)
	}
	order := "approval_id DESC"
	if f.ByDeadline {
		order = "expires_at, approval_id"
	}
	var rows []requestRow
	err := r.db.Filtered(ctx, &rows, `SELECT `+requestColumns+` FROM api.approval_request`+query+
		" ORDER BY "+order+" LIMIT "+strconv.Itoa(p.Limit), args...)
	if err != nil {
		return nil, fmt.Errorf("listing approvals: %w", classify(err))
	}
	return collect(rows, requestRow.domain)
}

// Decisions lists what was decided on the given requests, in the order of
// recording.
func (r *Reader) Decisions(ctx context.Context, approvalIDs ...int64) ([]approval.Recorded, error) {
	var rows []decisionRow
	err := r.db.SelectContext(ctx, &rows, `SELECT `+decisionColumns+`
		FROM api.approval_decision WHERE approval_id = ANY ($1) ORDER BY seq`, pq.Array(approvalIDs))
	if err != nil {
		return nil, fmt.Errorf("reading decisions: %w", classify(err))
	}
	return collect(rows, decisionRow.domain)
}

// Decision reads one decision by its id, if it is recorded.
func (r *Reader) Decision(ctx context.Context, id string) (approval.Recorded, bool, error) {
	var row decisionRow
	err := r.db.GetContext(ctx, &row, `SELECT `+decisionColumns+` FROM api.approval_decision WHERE decision_id = $1`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return approval.Recorded{}, false, nil
	}
	if err != nil {
		return approval.Recorded{}, false, fmt.Errorf("reading decision %s: %w", id, classify(err))
	}
	out, err := row.domain()
	return out, true, err
}

// Decided is a recorded decision, and where its request stands.
type Decided struct {
	approval.Recorded
	Request approval.Status
}

// DecisionsByID reads those of the decisions that are recorded.
func (r *Reader) DecisionsByID(ctx context.Context, ids []string) (map[string]Decided, error) {
	var rows []struct {
		decisionRow
		Status approval.Status `db:"status"`
	}
	err := r.db.SelectContext(ctx, &rows, `SELECT `+decisionColumns+`, (SELECT status FROM api.approval_request r WHERE r.approval_id = d.approval_id) AS status
		FROM api.approval_decision d WHERE decision_id = ANY ($1)`, pq.Array(ids))
	if err != nil {
		return nil, fmt.Errorf("reading %d decisions: %w", len(ids), classify(err))
	}
	found := make(map[string]Decided, len(rows))
	for _, row := range rows {
		d, err := row.domain()
		if err != nil {
			return nil, err
		}
		found[d.ID] = Decided{d, row.Status}
	}
	return found, nil
}

// LoggedEntry is a row of the view agent_action_audit_log.
type LoggedEntry struct {
	EntryID       string    `db:"entry_id"`
	RecordedAt    time.Time `db:"recorded_at"`
	Type          string    `db:"type"`
	Action        string    `db:"action"`
	Outcome       string    `db:"outcome"`
	Reason        string    `db:"reason"`
	ActorType     string    `db:"actor_type"`
	ActorIss      string    `db:"actor_iss"`
	ActorSub      string    `db:"actor_sub"`
	SubjectKind   string    `db:"subject_kind"`
	SubjectID     string    `db:"subject_id"`
	Desk          string    `db:"desk"`
	RequestID     string    `db:"request_id"`
	TraceID       string    `db:"trace_id"`
	WorkflowID    string    `db:"workflow_id"`
	AIExplanation *string   `db:"ai_explanation"`
	AgentInput    *string   `db:"agent_input"`
	AgentOutput   *string   `db:"agent_output"`
	AgentVersion  *string   `db:"agent_version"`
	OverrideType  *string   `db:"override_type"`
	IsSimulation  bool      `db:"is_simulation"`
	LeafSHA256    string    `db:"leaf_sha256"`
	Leaf          string    `db:"leaf"`
}

// maxHistory bounds a history; no request comes near it in honest use.
const maxHistory = 1000

// History lists the entries about one subject, oldest first.
func (r *Reader) History(ctx context.Context, subjectKind, subjectID string) ([]LoggedEntry, error) {
	rows := []LoggedEntry{}
	err := r.db.SelectContext(ctx, &rows, `
		SELECT entry_id, recorded_at, type, action, outcome, reason, actor_type, actor_iss, actor_sub, subject_kind, subject_id,
			desk, request_id, trace_id, workflow_id, ai_explanation, agent_input, agent_output, agent_version, override_type,
			is_simulation, leaf_sha256, leaf
		FROM api.agent_action_audit_log WHERE subject_kind = $1 AND subject_id = $2
		ORDER BY recorded_at, entry_id LIMIT $3`, subjectKind, subjectID, maxHistory)
	if err != nil {
		return nil, fmt.Errorf("reading history of %s %s: %w", subjectKind, subjectID, classify(err))
	}
	return rows, nil
}

// SecurityEvent is a refusal that the API appends to the ledger.
type SecurityEvent struct {
	EntryID   string // UUID
	Idem      string // the same event is appended once
	Action    string // authenticate, authorize, dev_insecure, read_artefact, read_audit; sign_in for one that was refused, signed_in, signed_out
	Reason    string
	Actor     approval.Principal // zero when nobody was authenticated
	Route     string
	RequestID string
	TraceID   string
	Count     int // how many refusals of one kind are folded into this entry
	FirstAt   time.Time
}

// AppendSecurityEvent writes the API's only kind of entry.
func (r *Reader) AppendSecurityEvent(ctx context.Context, e SecurityEvent) error {
	kind := e.Actor.Kind
	if kind == "" {
		kind = approval.System
	}
	_, err := r.db.ExecContext(ctx, `SELECT ledger.append_security_event($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		e.EntryID, e.Idem, e.Action, e.Reason, string(kind), e.Actor.Issuer, e.Actor.Subject,
		e.Route, e.RequestID, e.TraceID, e.Count, e.FirstAt)
	if err != nil {
		return fmt.Errorf("appending security event: %w", classify(err))
	}
	return nil
}
