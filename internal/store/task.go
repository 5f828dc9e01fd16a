package store

import (
	"context"
	"fmt"
	"time"

	"finobs/internal/approval"

	"github.com/lib/pq"
)

// IncidentTask is an incident that waits for somebody.
type IncidentTask struct {
	ID       int64      `db:"incident_id"`
	Kind     string     `db:"kind"`
	Title    string     `db:"title"`
	Severity string     `db:"severity"`
	Priority string     `db:"priority"`
	Status   string     `db:"status"`
	Owner    string     `db:"owner"`
	Desk     string     `db:"desk"`
	Origin   string     `db:"origin"`
	Mine     bool       `db:"mine"` // assigned to the one who asks
	Since    time.Time  `db:"began_at"`
	DueAt    *time.Time `db:"due_at"` // nil: nothing is promised
}

// IncidentTasks reads the incidents that wait for somebody of a desk: those that
// are assigned to him, and those that nobody has, until somebody acknowledges them;
// of a desk, or of all when desk is "". Those within a window of maintenance wait
// for nobody, and neither do children, whose parent does. Most urgent first.
func (r *Reader) IncidentTasks(ctx context.Context, who approval.Person, desk, origin string, limit int) ([]IncidentTask, error) {
	return r.incidentTasks(ctx, who, desk, origin, nil, limit)
}

// incidentTasks limits them to desks besides; nil limits nothing.
func (r *Reader) incidentTasks(ctx context.Context, who approval.Person, desk, origin string, desks pq.StringArray, limit int) ([]IncidentTask, error) {
	rows := []IncidentTask{}
	err := r.db.SelectContext(ctx, &rows, `
		SELECT incident_id, kind, title, severity, priority, status, owner, desk, origin, began_at, mine, due_at
		FROM (SELECT i.*, assignee_iss = $1 AND assignee_sub = $2 AS mine, CASE status WHEN 'open' THEN ack_due_at ELSE resolve_due_at END AS due_at
			FROM api.incident i
			WHERE status IN ('open', 'acknowledged') AND source <> 'detector:unknown_outcomes' AND ($4 = '' OR origin = $4) AND ($6::text[] IS NULL OR desk = ANY ($6))
				AND (suppressed_until IS NULL OR suppressed_until <= clock_timestamp())) AS waiting
		WHERE mine OR status = 'open' AND assignee_sub = '' AND parent_id IS NULL AND ($3 = '' OR desk = '' OR desk = $3)
		ORDER BY due_at IS NULL, due_at, priority, incident_id LIMIT $5`, who.Issuer, who.Subject, desk, origin, limit, desks)
	if err != nil {
		return nil, fmt.Errorf("listing incidents that wait: %w", classify(err))
	}
	return rows, nil
}

// OutcomeTask is a sending, or an action on a desk's system, of which nobody knows
// what became, or a sending that failed for good.
type OutcomeTask struct {
	What   string    `db:"what"` // notification, delivery or action
	ID     string    `db:"id"`
	Title  string    `db:"title"`
	Status string    `db:"status"`
	Since  time.Time `db:"since"`
}

// noLaterAttempt holds for a delivery d that nothing was done about since.
func noLaterAttempt(schema string) string {
	return `NOT EXISTS (SELECT FROM ` + schema + `.export_delivery AS l
			WHERE l.export_id = d.export_id AND l.destination = d.destination AND l.attempt > d.attempt)`
}

// outcomeTasksQuery reads what OutcomeTasks lists.
var outcomeTasksQuery = `
	SELECT * FROM (
		SELECT 'notification' AS what, notification_id::text AS id, subject AS title, status, updated_at AS since FROM api.notification
		WHERE $1 AND status IN ('dead', 'unknown')
		UNION ALL
		SELECT 'delivery', export_id::text, 'Delivery of export ' || export_id || ' to ' || destination, status, ended_at FROM api.export_delivery AS d
		WHERE $2 AND status IN ('failed', 'unknown') AND ` + noLaterAttempt("api") + `
		UNION ALL
		SELECT 'action', action_id::text, type || ' on ' || target_kind || ' ' || target_id, CASE status WHEN 'unknown' THEN status ELSE recovery END,
			coalesce(sent_at, began_at) FROM api.agent_action
		WHERE $3 AND (status = 'unknown' OR recovery = 'compensation_unknown') AND NOT (requester_iss = $4 AND requester_sub = $5)) AS outcomes
	ORDER BY since, what, id LIMIT $6`

// OutcomeTasks reads sendings and actions that somebody has to look after, oldest
// first. Whoever asked for an action does not look after it.
func (r *Reader) OutcomeTasks(ctx context.Context, notices, deliveries, actions bool, who approval.Person, limit int) ([]OutcomeTask, error) {
	rows := []OutcomeTask{}
	err := r.db.SelectContext(ctx, &rows, outcomeTasksQuery, notices, deliveries, actions, who.Issuer, who.Subject, limit)
	if err != nil {
		return nil, fmt.Errorf("listing outcomes that are not known: %w", classify(err))
	}
	return rows, nil
}
