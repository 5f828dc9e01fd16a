package store

import (
	"context"
	"fmt"
	"time"

	"finobs/internal/approval"
)

// ApprovalMetrics are figures over the requests made since a moment, split by
// whether they are simulations.
type ApprovalMetrics struct {
	Counts    []StatusCount
	Latencies []Latency
	Approvers []ApproverCount
	Overrides []OverrideCount
	Oldest    *time.Time // of the live requests that are pending
}

// StatusCount counts requests.
type StatusCount struct {
	Simulation bool            `db:"is_simulation"`
	Kind       string          `db:"kind"`
	Status     approval.Status `db:"status"`
	N          int64           `db:"n"`
}

// Latency is how long people took from request to decision, in seconds, over the
// requests that were decided.
type Latency struct {
	Simulation bool    `db:"is_simulation"`
	N          int64   `db:"n"`
	P50        float64 `db:"p50"`
	P90        float64 `db:"p90"`
	P99        float64 `db:"p99"`
	Max        float64 `db:"max"`
}

// ApproverCount counts one person's decisions.
type ApproverCount struct {
	Simulation bool   `db:"is_simulation"`
	Iss        string `db:"approver_iss"`
	Sub        string `db:"approver_sub"`
	Approved   int64  `db:"approved"`
	Rejected   int64  `db:"rejected"`
	Refused    int64  `db:"refused"` // decisions that did not count
	Delegated  int64  `db:"delegated"`
}

// OverrideCount counts human overrides of agents, by type.
type OverrideCount struct {
	Simulation bool   `db:"is_simulation"`
	Type       string `db:"override_type"`
	N          int64  `db:"n"`
}

// Metrics computes figures over the requests made since a moment.
func (r *Reader) Metrics(ctx context.Context, since time.Time) (ApprovalMetrics, error) {
	var m ApprovalMetrics
	for _, q := range []struct {
		dest  any
		query string
	}{
		{&m.Counts, `SELECT is_simulation, kind, status, count(*) AS n FROM api.approval_request
			WHERE created_at >= $1 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`},
		{&m.Latencies, `SELECT is_simulation, count(*) AS n, max(s) AS max,
				percentile_cont(0.5) WITHIN GROUP (ORDER BY s) AS p50, percentile_cont(0.9) WITHIN GROUP (ORDER BY s) AS p90,
				percentile_cont(0.99) WITHIN GROUP (ORDER BY s) AS p99
			FROM (SELECT is_simulation, extract(epoch FROM closed_at - created_at)::float8 AS s FROM api.approval_request r
				WHERE created_at >= $1 AND closed_at IS NOT NULL
					AND EXISTS (SELECT FROM api.approval_decision d WHERE d.approval_id = r.approval_id AND d.outcome = 'counted')) t
			GROUP BY 1 ORDER BY 1`},
		{&m.Approvers, `SELECT is_simulation, approver_iss, approver_sub,
				count(*) FILTER (WHERE outcome = 'counted' AND verdict = 'approve') AS approved,
				count(*) FILTER (WHERE outcome = 'counted' AND verdict = 'reject') AS rejected,
				count(*) FILTER (WHERE outcome <> 'counted') AS refused,
				count(*) FILTER (WHERE outcome = 'counted' AND on_behalf_of IS NOT NULL) AS delegated
			FROM api.approval_decision JOIN api.approval_request USING (approval_id)
			WHERE created_at >= $1 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LIMIT 1000`},
		{&m.Overrides, `SELECT is_simulation, override_type, count(*) AS n FROM api.agent_action_audit_log
			WHERE override_type IS NOT NULL AND recorded_at >= $1 GROUP BY 1, 2 ORDER BY 1, 2`},
	} {
		if err := r.db.SelectContext(ctx, q.dest, q.query, since); err != nil {
			return m, fmt.Errorf("computing metrics: %w", classify(err))
		}
	}
	err := r.db.GetContext(ctx, &m.Oldest, `SELECT min(created_at) FROM api.approval_request WHERE status = 'pending' AND NOT is_simulation`)
	if err != nil {
		return m, fmt.Errorf("computing metrics: %w", classify(err))
	}
	return m, nil
}
