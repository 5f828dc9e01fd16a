package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"finobs/internal/approval"
	"finobs/internal/fault"
	"finobs/internal/remediation"

	"github.com/lib/pq"
)

// requestRow is a row of finobs.approval_request or api.approval_request.
type requestRow struct {
	ApprovalID   int64      `db:"approval_id"`
	WorkflowID   string     `db:"workflow_id"`
	FirstRunID   string     `db:"first_run_id"`
	Kind         string     `db:"kind"`
	Action       []byte     `db:"action"`
	ActionDigest string     `db:"action_digest"`
	PolicyID     string     `db:"policy_id"`
	Policy       []byte     `db:"policy"`
	PolicyDigest string     `db:"policy_digest"`
	RequesterIss string     `db:"requester_iss"`
	RequesterSub string     `db:"requester_sub"`
	Desk         string     `db:"desk"`
	IsSimulation bool       `db:"is_simulation"`
	Reason       string     `db:"reason"`
	Command      string     `db:"command"`
	RequestID    string     `db:"request_id"`
	TraceID      string     `db:"trace_id"`
	CreatedAt    time.Time  `db:"created_at"`
	ExpiresAt    time.Time  `db:"expires_at"`
	Status       string     `db:"status"`
	StatusReason string     `db:"status_reason"`
	ClosedAt     *time.Time `db:"closed_at"`
	UseBy        *time.Time `db:"use_by"`
	ConsumedAt   *time.Time `db:"consumed_at"`
	ConsumedBy   *string    `db:"consumed_by"`

	RiskTier        string         `db:"risk_tier"`
	Summary         string         `db:"summary"`
	Attachment      string         `db:"attachment"`
	Reopens         *int64         `db:"reopens"`
	Supersedes      *int64         `db:"supersedes"`
	AssigneeIss     string         `db:"assignee_iss"`
	AssigneeSub     string         `db:"assignee_sub"`
	EscalationLevel int            `db:"escalation_level"`
	FallbackAt      *time.Time     `db:"fallback_at"`
	TargetIDs       pq.StringArray `db:"target_ids"`
}

// orZero reads a column that may be null.
func orZero[T any](v *T) (zero T) {
	if v == nil {
		return zero
	}
	return *v
}

func (r requestRow) domain() (approval.Request, error) {
	return approval.Request{
		ID: r.ApprovalID, WorkflowID: r.WorkflowID, FirstRunID: r.FirstRunID, Kind: r.Kind,
		Action: r.Action, ActionDigest: r.ActionDigest, PolicyID: r.PolicyID, Policy: r.Policy, PolicyDigest: r.PolicyDigest,
		Requester: approval.Person{Issuer: r.RequesterIss, Subject: r.RequesterSub},
		Desk:      r.Desk, Simulation: r.IsSimulation, Reason: r.Reason, Command: r.Command,
		RequestID: r.RequestID, TraceID: r.TraceID, CreatedAt: r.CreatedAt.UTC(), ExpiresAt: r.ExpiresAt.UTC(),
		Status: approval.Status(r.Status), StatusReason: r.StatusReason,
		ClosedAt: r.ClosedAt, UseBy: r.UseBy, ConsumedAt: r.ConsumedAt, ConsumedBy: orZero(r.ConsumedBy),
		Summary: r.Summary, Attachment: r.Attachment, Reopens: orZero(r.Reopens), Supersedes: orZero(r.Supersedes),
		Assignee:        approval.Person{Issuer: r.AssigneeIss, Subject: r.AssigneeSub},
		EscalationLevel: r.EscalationLevel, FallbackAt: r.FallbackAt,
	}, nil
}

// decisionRow is a row of finobs.approval_decision or api.approval_decision.
type decisionRow struct {
	DecisionID    string         `db:"decision_id"`
	ApprovalID    int64          `db:"approval_id"`
	Verdict       string         `db:"verdict"`
	ApproverIss   string         `db:"approver_iss"`
	ApproverSub   string         `db:"approver_sub"`
	ApproverRoles pq.StringArray `db:"approver_roles"`
	Reason        string         `db:"reason"`
	Token         string         `db:"token"`
	Outcome       string         `db:"outcome"`
	OutcomeReason string         `db:"outcome_reason"`
	CountedAs     *string        `db:"counted_as"`
	DecidedAt     time.Time      `db:"decided_at"`
	RecordedAt    time.Time      `db:"recorded_at"`
	ApproverKind  string         `db:"approver_kind"`
	ApproverDesk  string         `db:"approver_desk"`
	OnBehalfOf    []byte         `db:"on_behalf_of"`
	Fallback      bool           `db:"fallback"`
	SummarySHA256 string         `db:"summary_sha256"`
}

func (r decisionRow) domain() (approval.Recorded, error) {
	d := approval.Recorded{
		Decision: approval.Decision{
			ID: r.DecisionID, Verdict: approval.Verdict(r.Verdict), Fallback: r.Fallback,
			Reviewer: approval.Principal{
				Person: approval.Person{Issuer: r.ApproverIss, Subject: r.ApproverSub},
				Kind:   approval.ActorKind(r.ApproverKind), Roles: r.ApproverRoles, Desk: r.ApproverDesk,
			},
		},
		ApprovalID: r.ApprovalID, Reason: r.Reason, Token: r.Token, SummarySHA256: r.SummarySHA256,
		Outcome: approval.DecisionOutcome(r.Outcome), OutcomeReason: r.OutcomeReason, CountedAs: orZero(r.CountedAs),
		DecidedAt: r.DecidedAt.UTC(), RecordedAt: r.RecordedAt.UTC(),
	}
	if r.OnBehalfOf != nil {
		if err := json.Unmarshal(r.OnBehalfOf, &d.OnBehalfOf); err != nil {
			return d, fmt.Errorf("reading for whom decision %s was made: %w", r.DecisionID, err)
		}
	}
	return d, nil
}

const (
	requestColumns = `approval_id, workflow_id, kind, action, action_digest, policy_id, policy, policy_digest,
		requester_iss, requester_sub, desk, is_simulation, reason, command, request_id, trace_id,
		created_at, expires_at, status, status_reason, closed_at, use_by, consumed_at, consumed_by,
		risk_tier, summary, attachment, reopens, supersedes, assignee_iss, assignee_sub, escalation_level, fallback_at, target_ids,
		first_run_id`
	decisionColumns = `decision_id, approval_id, verdict, approver_iss, approver_sub, approver_roles, reason,
		token, outcome, outcome_reason, counted_as, decided_at, recorded_at,
		approver_kind, approver_desk, on_behalf_of, fallback, summary_sha256`
)

// InsertRequest records a new request, and of one for a planned action that it is
// asked for. A Conflict of code approval-open means
// that the same action is open under another approval.
func (t *Tx) InsertRequest(ctx context.Context, r approval.Request, a approval.Action) error {
	_, err := t.exec(ctx, `
		INSERT INTO finobs.approval_request (approval_id, workflow_id, first_run_id, kind, action, action_digest,
			policy_id, policy, policy_digest, requester_iss, requester_sub, desk, is_simulation, reason, command,
			request_id, trace_id, created_at, expires_at, risk_tier, summary, attachment, reopens, supersedes, target_ids)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
			$20, $21, $22, nullif($23::bigint, 0), nullif($24::bigint, 0), $25)`,
		r.ID, r.WorkflowID, r.FirstRunID, r.Kind, r.Action, r.ActionDigest,
		r.PolicyID, r.Policy, r.PolicyDigest, r.Requester.Issuer, r.Requester.Subject, r.Desk, r.Simulation, r.Reason, r.Command,
		r.RequestID, r.TraceID, r.CreatedAt, r.ExpiresAt, a.RiskTier, r.Summary, r.Attachment, r.Reopens, r.Supersedes, pq.Array(a.TargetIDs()))
	if violates(err, "approval_request_one_open") {
		return fault.Wrap(err, fault.Conflict, "approval-open", "the same action is open under another approval")
	}
	if err != nil {
		return fmt.Errorf("recording approval %d: %w", r.ID, err)
	}
	t.observeRequest(r)
	if !strings.HasPrefix(r.Kind, remediation.KindPrefix) {
		return nil
	}
	if _, err := t.exec(ctx, `UPDATE finobs.agent_action SET asked = true WHERE action_id = $1`, r.ID); err != nil {
		return fmt.Errorf("marking action %d as asked for: %w", r.ID, err)
	}
	return nil
}

// LockRequest reads a request and keeps others from changing it until the
// transaction ends. A request that is not there is a fault of kind NotFound.
func (t *Tx) LockRequest(ctx context.Context, id int64) (approval.Request, error) {
	var row requestRow
	err := t.get(ctx, &row, `SELECT `+requestColumns+`
		FROM finobs.approval_request WHERE approval_id = $1 FOR UPDATE`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return approval.Request{}, fault.New(fault.NotFound, "no-such-approval", "there is no approval %d", id)
	}
	if err != nil {
		return approval.Request{}, fmt.Errorf("reading approval %d: %w", id, err)
	}
	return row.domain()
}

// LapsedRequests locks and lists the requests over an action that nobody can use
// any more though their status does not say so yet: pending past the deadline,
// approved past the last moment of use, or made by an earlier execution of the
// given workflow. Temporal runs one execution of a workflow id at a time, so that
// one has ended, by termination perhaps.
func (t *Tx) LapsedRequests(ctx context.Context, actionDigest, workflowID, firstRun string) ([]approval.Request, error) {
	var rows []requestRow
	err := t.list(ctx, &rows, `SELECT `+requestColumns+`
		FROM finobs.approval_request
		WHERE action_digest = $1 AND status IN ('pending', 'approved')
			AND (status = 'pending' AND expires_at <= $2 OR use_by < $2 OR workflow_id = $3 AND first_run_id <> $4)
		FOR UPDATE`, actionDigest, t.now, workflowID, firstRun)
	if err != nil {
		return nil, fmt.Errorf("looking for lapsed approvals: %w", err)
	}
	return collect(rows, requestRow.domain)
}

// Decisions lists what was decided on a request, in the order of recording.
func (t *Tx) Decisions(ctx context.Context, approvalID int64) ([]approval.Recorded, error) {
	var rows []decisionRow
	err := t.list(ctx, &rows, `SELECT `+decisionColumns+`
		FROM finobs.approval_decision WHERE approval_id = $1 ORDER BY seq`, approvalID)
	if err != nil {
		return nil, fmt.Errorf("reading decisions on approval %d: %w", approvalID, err)
	}
	return collect(rows, decisionRow.domain)
}

// InsertDecision records a decision with its outcome.
func (t *Tx) InsertDecision(ctx context.Context, d approval.Recorded) error {
	roles := append([]string{}, d.Reviewer.Roles...) // never null
	var onBehalfOf *string
	if d.OnBehalfOf != nil {
		text, err := json.Marshal(d.OnBehalfOf)
		if err != nil {
			return fmt.Errorf("recording decision %s: %w", d.ID, err)
		}
		s := string(text)
		onBehalfOf = &s
	}
	var kind string
	err := t.get(ctx, &kind, `
		INSERT INTO finobs.approval_decision (decision_id, approval_id, verdict, approver_iss, approver_sub, approver_key,
			approver_roles, reason, token, outcome, outcome_reason, counted_as, trace_id, decided_at, recorded_at,
			approver_kind, approver_desk, on_behalf_of, fallback, summary_sha256)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, nullif($12, '')::uuid, $13, $14, $15, $16, $17, $18, $19, $20)
		RETURNING (SELECT kind FROM finobs.approval_request WHERE approval_id = $2)`,
		d.ID, d.ApprovalID, d.Verdict, d.Reviewer.Issuer, d.Reviewer.Subject, d.Reviewer.Key(),
		pq.Array(roles), d.Reason, d.Token, d.Outcome, d.OutcomeReason, d.CountedAs, d.TraceID, d.DecidedAt, d.RecordedAt,
		d.Reviewer.Kind, d.Reviewer.Desk, onBehalfOf, d.Fallback, d.SummarySHA256)
	if err != nil {
		return fmt.Errorf("recording decision %s: %w", d.ID, err)
	}
	t.observeDecision(kind, d)
	return nil
}

// CloseRequest moves a request on from pending, or from approved to a status in
// which it can no longer be used. useBy is set for Approved only.
func (t *Tx) CloseRequest(ctx context.Context, id int64, to approval.Status, reason string, useBy *time.Time) error {
	var closed closedRow
	err := t.get(ctx, &closed, `
		UPDATE finobs.approval_request
		SET status = $2, status_reason = $3, closed_at = coalesce(closed_at, $4), use_by = coalesce($5, use_by)
		WHERE approval_id = $1 RETURNING kind, created_at, closed_at`, id, to, reason, t.now, useBy)
	if err != nil {
		return fmt.Errorf("moving approval %d to %s: %w", id, to, err)
	}
	t.observeClosed(closed, to)
	return nil
}

// ConsumeRequest spends an approval. It reports false when somebody else has
// spent it, or it is not approved, or its last moment of use has passed.
func (t *Tx) ConsumeRequest(ctx context.Context, id int64, by string) (bool, error) {
	var consumed closedRow
	err := t.get(ctx, &consumed, `
		UPDATE finobs.approval_request SET status = 'consumed', consumed_at = $2, consumed_by = $3
		WHERE approval_id = $1 AND status = 'approved' AND consumed_at IS NULL AND use_by >= $2
		RETURNING kind, created_at, closed_at`, id, t.now, by)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("consuming approval %d: %w", id, err)
	}
	t.observeSpent(consumed)
	return true, nil
}
