package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"finobs/internal/approval"
)

type delegationRow struct {
	DelegationID  int64      `db:"delegation_id"`
	ApprovalID    *int64     `db:"approval_id"`
	FromPrincipal []byte     `db:"from_principal"`
	ToIss         string     `db:"to_iss"`
	ToSub         string     `db:"to_sub"`
	StartsAt      time.Time  `db:"starts_at"`
	EndsAt        time.Time  `db:"ends_at"`
	Reason        string     `db:"reason"`
	RevokedAt     *time.Time `db:"revoked_at"`
}

const delegationColumns = `delegation_id, approval_id, from_principal, to_iss, to_sub, starts_at, ends_at, reason, revoked_at`

func (r delegationRow) domain() (approval.Delegation, error) {
	d := approval.Delegation{
		ID: r.DelegationID, ApprovalID: orZero(r.ApprovalID), To: approval.Person{Issuer: r.ToIss, Subject: r.ToSub},
		StartsAt: r.StartsAt.UTC(), EndsAt: r.EndsAt.UTC(), Reason: r.Reason, RevokedAt: r.RevokedAt,
	}
	if err := json.Unmarshal(r.FromPrincipal, &d.From); err != nil {
		return d, fmt.Errorf("reading delegation %d: %w", r.DelegationID, err)
	}
	return d, nil
}

// Delegations reads those that are in force now and are from or to one of the
// given people, for whatever requests: one for another request does not let its
// delegate decide here, and still makes him one party with the delegator.
func (t *Tx) Delegations(ctx context.Context, people []approval.Person) ([]approval.Delegation, error) {
	var rows []delegationRow
	err := t.list(ctx, &rows, `SELECT `+delegationColumns+` FROM finobs.delegation
		WHERE ends_at > $1 AND starts_at <= $1 AND revoked_at IS NULL AND (from_key = ANY ($2) OR to_key = ANY ($2))
		ORDER BY delegation_id`, t.now, keysOf(people))
	if err != nil {
		return nil, fmt.Errorf("reading delegations: %w", err)
	}
	return collect(rows, delegationRow.domain)
}

// LockDelegation reads a delegation and keeps others from changing it.
func (t *Tx) LockDelegation(ctx context.Context, id int64) (d approval.Delegation, found bool, err error) {
	var rows []delegationRow
	if err := t.list(ctx, &rows, `SELECT `+delegationColumns+` FROM finobs.delegation WHERE delegation_id = $1 FOR UPDATE`, id); err != nil {
		return d, false, fmt.Errorf("reading delegation %d: %w", id, err)
	}
	if len(rows) == 0 {
		return d, false, nil
	}
	d, err = rows[0].domain()
	return d, true, err
}

// InsertDelegation records the delegation that an act makes and returns its id.
func (t *Tx) InsertDelegation(ctx context.Context, actID string, d approval.Delegation) (int64, error) {
	from, err := json.Marshal(d.From)
	if err != nil {
		return 0, fmt.Errorf("recording delegation: %w", err)
	}
	var id int64
	err = t.get(ctx, &id, `
		INSERT INTO finobs.delegation (act_id, approval_id, from_principal, from_key, to_iss, to_sub, to_key, starts_at, ends_at, reason, created_at)
		VALUES ($1, nullif($2::bigint, 0), $3, $4, $5, $6, $7, $8, $9, $10, $11)
		RETURNING delegation_id`,
		actID, d.ApprovalID, string(from), d.From.Key(), d.To.Issuer, d.To.Subject, d.To.Key(), d.StartsAt, d.EndsAt, d.Reason, t.now)
	if err != nil {
		return 0, fmt.Errorf("recording delegation: %w", err)
	}
	return id, nil
}

// RevokeDelegation ends a delegation now.
func (t *Tx) RevokeDelegation(ctx context.Context, id int64) error {
	_, err := t.exec(ctx, `UPDATE finobs.delegation SET revoked_at = coalesce(revoked_at, $2) WHERE delegation_id = $1`, id, t.now)
	if err != nil {
		return fmt.Errorf("revoking delegation %d: %w", id, err)
	}
	return nil
}

// DelegationsInForce reads those that hold at a moment, for whatever requests.
func (r *Reader) DelegationsInForce(ctx context.Context, now time.Time) ([]approval.Delegation, error) {
	var rows []delegationRow
	err := r.db.SelectContext(ctx, &rows, `SELECT `+delegationColumns+` FROM api.delegation
		WHERE ends_at > $1 AND starts_at <= $1 AND revoked_at IS NULL ORDER BY delegation_id`, now)
	if err != nil {
		return nil, fmt.Errorf("reading delegations: %w", classify(err))
	}
	return collect(rows, delegationRow.domain)
}

// AllDelegations lists delegations, newest first: those from or to somebody, or
// of a request, or all.
func (r *Reader) AllDelegations(ctx context.Context, of approval.Person, approvalID int64, p Page) ([]approval.Delegation, error) {
	key := ""
	if of != (approval.Person{}) {
		key = of.Key()
	}
	var rows []delegationRow
	err := r.db.SelectContext(ctx, &rows, `SELECT `+delegationColumns+` FROM api.delegation
		WHERE ($1 = '' OR from_key = $1 OR to_key = $1) AND ($2 = 0 OR approval_id = $2) AND ($3 = 0 OR delegation_id < $3)
		ORDER BY delegation_id DESC LIMIT $4`, key, approvalID, p.Before, p.Limit)
	if err != nil {
		return nil, fmt.Errorf("listing delegations: %w", classify(err))
	}
	return collect(rows, delegationRow.domain)
}
