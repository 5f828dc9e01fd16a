package store

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"finobs/internal/export"
)

// ComplianceEntry is a row of the compliance log.
type ComplianceEntry struct {
	Index         int64     `db:"leaf_index" json:"leaf_index"`
	EntryID       string    `db:"entry_id" json:"entry_id"`
	RecordedAt    time.Time `db:"recorded_at" json:"recorded_at"`
	Type          string    `db:"type" json:"type"`
	Action        string    `db:"action" json:"action"`
	Outcome       string    `db:"outcome" json:"outcome"`
	Reason        string    `db:"reason" json:"reason"`
	ActorType     string    `db:"actor_type" json:"actor_type" enum:"human,agent,system"`
	ActorIss      string    `db:"actor_iss" json:"actor_iss"`
	ActorSub      string    `db:"actor_sub" json:"actor_sub"`
	SubjectKind   string    `db:"subject_kind" json:"subject_kind"`
	SubjectID     string    `db:"subject_id" json:"subject_id"`
	Desk          string    `db:"desk" json:"desk"`
	RequestID     string    `db:"request_id" json:"request_id"`
	TraceID       string    `db:"trace_id" json:"trace_id"`
	WorkflowID    string    `db:"workflow_id" json:"workflow_id"`
	AIExplanation *string   `db:"ai_explanation" json:"ai_explanation"`
	AgentInput    *string   `db:"agent_input" json:"agent_input"`
	AgentOutput   *string   `db:"agent_output" json:"agent_output"`
	AgentVersion  *string   `db:"agent_version" json:"agent_version"`
	OverrideType  *string   `db:"override_type" json:"override_type"`
	IsSimulation  bool      `db:"is_simulation" json:"is_simulation"`
	LeafSHA256    string    `db:"leaf_sha256" json:"leaf_sha256"`
}

// ComplianceLogs lists entries of the compliance log, newest first. Filters are
// named as in export.ComplianceLogs.
func (r *Reader) ComplianceLogs(ctx context.Context, filters map[string]string, limit int) ([]ComplianceEntry, error) {
	c := filtered(export.ComplianceLogs, filters)
	rows := []ComplianceEntry{}
	err := r.db.Filtered(ctx, &rows, `SELECT leaf_index, entry_id, recorded_at, type, action, outcome, reason, actor_type, actor_iss, actor_sub,
			subject_kind, subject_id, desk, request_id, trace_id, workflow_id, ai_explanation, agent_input, agent_output, agent_version,
			override_type, is_simulation, leaf_sha256
		FROM api.compliance_log WHERE true`+c.text+` ORDER BY leaf_index DESC LIMIT `+strconv.Itoa(limit), c.args...)
	if err != nil {
		return nil, fmt.Errorf("reading the compliance log: %w", classify(err))
	}
	return rows, nil
}
