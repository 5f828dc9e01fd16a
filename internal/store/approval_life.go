package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"finobs/internal/approval"
	"finobs/internal/export"

	"github.com/lib/pq"
)

// BeginAct reports whether an act is done for the first time. For one that was
// done before it returns the delegation that it made, or 0.
func (t *Tx) BeginAct(ctx context.Context, actID string) (first bool, delegationID int64, err error) {
	res, err := t.exec(ctx, `INSERT INTO finobs.act (act_id, recorded_at) VALUES ($1, $2) ON CONFLICT DO NOTHING`, actID, t.now)
	if err != nil {
		return false, 0, fmt.Errorf("beginning act %s: %w", actID, err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return n == 1, 0, err
	}
	err = t.get(ctx, &delegationID, `SELECT coalesce(delegation_id, 0) FROM finobs.act WHERE act_id = $1`, actID)
	if err != nil {
		return false, 0, fmt.Errorf("reading act %s: %w", actID, err)
	}
	return false, delegationID, nil
}

// EndAct records which delegation an act made.
func (t *Tx) EndAct(ctx context.Context, actID string, delegationID int64) error {
	_, err := t.exec(ctx, `UPDATE finobs.act SET delegation_id = nullif($2::bigint, 0) WHERE act_id = $1`, actID, delegationID)
	if err != nil {
		return fmt.Errorf("ending act %s: %w", actID, err)
	}
	return nil
}

// SetAssignee says who is to look at a request.
func (t *Tx) SetAssignee(ctx context.Context, id int64, to approval.Person) error {
	_, err := t.exec(ctx, `UPDATE finobs.approval_request SET assignee_iss = $2, assignee_sub = $3 WHERE approval_id = $1`,
		id, to.Issuer, to.Subject)
	if err != nil {
		return fmt.Errorf("assigning approval %d: %w", id, err)
	}
	return nil
}

// AdmitFallback records that the fallback list of a request's policy is admitted
// from now on.
func (t *Tx) AdmitFallback(ctx context.Context, id int64) error {
	_, err := t.exec(ctx, `UPDATE finobs.approval_request SET fallback_at = coalesce(fallback_at, $2) WHERE approval_id = $1`, id, t.now)
	if err != nil {
		return fmt.Errorf("admitting the fallback list of approval %d: %w", id, err)
	}
	return nil
}

// InsertComment records what somebody says about a request, once per id.
func (t *Tx) InsertComment(ctx context.Context, commentID string, approvalID int64, by approval.Person, text string) error {
	_, err := t.exec(ctx, `
		INSERT INTO finobs.approval_comment (comment_id, approval_id, author_iss, author_sub, text, created_at)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (comment_id) DO NOTHING`,
		commentID, approvalID, by.Issuer, by.Subject, text, t.now)
	if err != nil {
		return fmt.Errorf("recording a comment on approval %d: %w", approvalID, err)
	}
	return nil
}

// FiredRungs lists the names of the rungs of a request that have fired.
func (t *Tx) FiredRungs(ctx context.Context, approvalID int64) ([]string, error) {
	var names []string
	if err := t.list(ctx, &names, `SELECT name FROM finobs.approval_rung WHERE approval_id = $1`, approvalID); err != nil {
		return nil, fmt.Errorf("reading the ladder of approval %d: %w", approvalID, err)
	}
	return names, nil
}

// FireRung records that a rung has fired and, for an escalation, raises the
// request's level. It reports false when the rung had fired before.
func (t *Tx) FireRung(ctx context.Context, approvalID int64, rung approval.Rung, by approval.Person) (bool, error) {
	res, err := t.exec(ctx, `
		INSERT INTO finobs.approval_rung (approval_id, name, fired_at, fired_iss, fired_sub) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT DO NOTHING`, approvalID, rung.Name, t.now, by.Issuer, by.Subject)
	if err != nil {
		return false, fmt.Errorf("firing rung %s of approval %d: %w", rung.Name, approvalID, err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return false, err
	}
	if rung.Kind != approval.Escalation {
		return true, nil
	}
	_, err = t.exec(ctx, `UPDATE finobs.approval_request SET escalation_level = escalation_level + 1 WHERE approval_id = $1`, approvalID)
	if err != nil {
		return false, fmt.Errorf("escalating approval %d: %w", approvalID, err)
	}
	return true, nil
}

// SupersededRequests locks and lists the pending requests that a new action of
// the same requester takes the place of: of the same kind over the same targets.
// An export leaves its target as it is, so one takes no other's place.
func (t *Tx) SupersededRequests(ctx context.Context, newer approval.Request, a approval.Action) ([]approval.Request, error) {
	if len(a.Targets) == 0 || strings.HasPrefix(a.Kind, "export.") {
		return nil, nil
	}
	var rows []requestRow
	err := t.list(ctx, &rows, `SELECT `+requestColumns+` FROM finobs.approval_request
		WHERE status = 'pending' AND target_ids = $1 AND kind = $2 AND requester_iss = $3 AND requester_sub = $4
			AND is_simulation = $5 AND action_digest <> $6 AND approval_id <> $7
		FOR UPDATE`, pq.Array(a.TargetIDs()), newer.Kind, newer.Requester.Issuer, newer.Requester.Subject,
		newer.Simulation, newer.ActionDigest, newer.ID)
	if err != nil {
		return nil, fmt.Errorf("looking for superseded approvals: %w", err)
	}
	return collect(rows, requestRow.domain)
}

// TargetVersions reads the versions that targets have now, for the kinds of
// targets that finobs keeps itself: the version is "" for one that is gone, and a
// target of any other kind is left out.
func (t *Tx) TargetVersions(ctx context.Context, targets []approval.Target) (map[approval.Target]string, error) {
	now := map[approval.Target]string{}
	for _, target := range targets {
		query, id, known := versionQuery(target)
		if !known {
			continue
		}
		var version string
		if err := t.get(ctx, &version, query, id); err != nil {
			return nil, fmt.Errorf("reading the version of %s %s: %w", target.Kind, target.ID, err)
		}
		now[target] = version
	}
	return now, nil
}

// versionQuery asks for a target's version, in the state tables.
func versionQuery(target approval.Target) (query string, id any, known bool) {
	switch target.Kind {
	case "incident":
		n, err := strconv.ParseInt(target.ID, 10, 64)
		if err != nil {
			n = 0 // no incident has it
		}
		return `SELECT coalesce(max(version)::text, '') FROM finobs.incident WHERE incident_id = $1`, n, true
	case approval.UserTarget:
		return `SELECT coalesce(max(version)::text, '0') FROM finobs.person WHERE person_key = $1`, approval.PersonOfTarget(target).Key(), true
	case export.DestinationTarget:
		return `SELECT coalesce(max(digest), '') FROM finobs.destination WHERE name = $1 AND NOT gone`, target.ID, true
	case export.ScheduleTarget:
		id, err := strconv.ParseInt(target.ID, 10, 64)
		if err != nil { // a new one, by its name
			return `SELECT coalesce(max(version)::text, '0') FROM finobs.export_schedule WHERE name = $1 AND state <> 'deleted'`, target.ID, true
		}
		return `SELECT coalesce(max(version)::text, '') FROM finobs.export_schedule WHERE schedule_id = $1 AND state <> 'deleted'`, id, true
	default:
		return "", nil, false
	}
}

// Comment is what somebody said about a request.
type Comment struct {
	ID         string    `db:"comment_id"`
	ApprovalID int64     `db:"approval_id"`
	AuthorIss  string    `db:"author_iss"`
	AuthorSub  string    `db:"author_sub"`
	Text       string    `db:"text"`
	CreatedAt  time.Time `db:"created_at"`
}

// Comments lists what was said about a request, oldest first.
func (r *Reader) Comments(ctx context.Context, approvalID int64) ([]Comment, error) {
	rows := []Comment{}
	err := r.db.SelectContext(ctx, &rows, `SELECT comment_id, approval_id, author_iss, author_sub, text, created_at
		FROM api.approval_comment WHERE approval_id = $1 ORDER BY created_at, comment_id LIMIT $2`, approvalID, maxHistory)
	if err != nil {
		return nil, fmt.Errorf("reading comments on approval %d: %w", approvalID, classify(err))
	}
	return rows, nil
}

// FiredRungs lists the names of the rungs of a request that have fired.
func (r *Reader) FiredRungs(ctx context.Context, approvalID int64) ([]string, error) {
	names := []string{}
	if err := r.db.SelectContext(ctx, &names, `SELECT name FROM api.approval_rung WHERE approval_id = $1`, approvalID); err != nil {
		return nil, fmt.Errorf("reading the ladder of approval %d: %w", approvalID, classify(err))
	}
	return names, nil
}
