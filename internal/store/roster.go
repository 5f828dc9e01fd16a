package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"finobs/internal/approval"
	"finobs/internal/fault"

	"github.com/lib/pq"
)

type personRow struct {
	Iss       string         `db:"iss"`
	Sub       string         `db:"sub"`
	Kind      string         `db:"kind"`
	Roles     pq.StringArray `db:"roles"`
	Desk      string         `db:"desk"`
	Email     string         `db:"email"`
	Active    bool           `db:"active"`
	Version   int64          `db:"version"`
	CreatedAt time.Time      `db:"created_at"`
	UpdatedAt time.Time      `db:"updated_at"`
}

const personColumns = `iss, sub, kind, roles, desk, email, active, version, created_at, updated_at`

func (r personRow) domain() (approval.Member, error) {
	return approval.Member{
		Person: approval.Person{Issuer: r.Iss, Subject: r.Sub}, Kind: approval.ActorKind(r.Kind), Roles: r.Roles,
		Desk: r.Desk, Email: r.Email, Active: r.Active, Version: r.Version,
	}, nil
}

// keysOf is the form in which the database knows people.
func keysOf(people []approval.Person) pq.StringArray {
	keys := make(pq.StringArray, 0, len(people))
	for _, p := range people {
		keys = append(keys, p.Key())
	}
	return keys
}

// Roster reads everybody on the roster.
func (t *Tx) Roster(ctx context.Context) (approval.Roster, error) {
	var rows []personRow
	if err := t.list(ctx, &rows, `SELECT `+personColumns+` FROM finobs.person ORDER BY person_key`); err != nil {
		return nil, fmt.Errorf("reading roster: %w", err)
	}
	return collect(rows, personRow.domain)
}

// Members reads those of the given people who are on the roster.
func (t *Tx) Members(ctx context.Context, people []approval.Person) (approval.Roster, error) {
	return t.members(ctx, people, "")
}

// LockMembers is Members, and keeps others from changing them until the
// transaction ends: nobody loses a role in the moment of an effect.
func (t *Tx) LockMembers(ctx context.Context, people []approval.Person) (approval.Roster, error) {
	return t.members(ctx, people, " ORDER BY person_key FOR SHARE")
}

func (t *Tx) members(ctx context.Context, people []approval.Person, how string) (approval.Roster, error) {
	var rows []personRow
	err := t.list(ctx, &rows, `SELECT `+personColumns+` FROM finobs.person WHERE person_key = ANY ($1)`+how, keysOf(people))
	if err != nil {
		return nil, fmt.Errorf("reading roster: %w", err)
	}
	return collect(rows, personRow.domain)
}

// PutMember adds a member to the roster (version 0 becomes 1) or replaces the
// given version of one. It reports false when the roster has another version.
func (t *Tx) PutMember(ctx context.Context, m approval.Member) (bool, error) {
	var version int64
	err := t.get(ctx, &version, `
		INSERT INTO finobs.person AS p (person_key, iss, sub, kind, roles, desk, email, active, version, created_at, updated_at)
		SELECT $1, $2, $3, $4, $5, $6, $7, $8, 1, $10, $10
			WHERE $9 = 0 OR EXISTS (SELECT FROM finobs.person WHERE person_key = $1)
		ON CONFLICT (person_key) DO UPDATE
			SET kind = $4, roles = $5, desk = $6, email = $7, active = $8, version = p.version + 1, updated_at = $10
			WHERE p.version = $9
		RETURNING version`,
		m.Key(), m.Issuer, m.Subject, m.Kind, pq.Array(append([]string{}, m.Roles...)), m.Desk, m.Email, m.Active, m.Version, t.now)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("writing %s into the roster: %w", m.Subject, err)
	}
	return version == m.Version+1, nil
}

// PolicySet is a policy file as it was activated.
type PolicySet struct {
	ID            int64     `db:"policy_set_id"`
	Content       string    `db:"content"`
	ContentSHA256 string    `db:"content_sha256"`
	ApprovalID    *int64    `db:"approval_id"`
	ActivatedIss  string    `db:"activated_iss"`
	ActivatedSub  string    `db:"activated_sub"`
	ActivatedAt   time.Time `db:"activated_at"`
}

// InsertPolicySet puts a policy file in force. approvalID is 0 for the set that a
// new database starts with; it reports false when there is one.
func (t *Tx) InsertPolicySet(ctx context.Context, content string, approvalID int64, by approval.Person) (bool, error) {
	res, err := t.exec(ctx, `
		INSERT INTO finobs.policy_set (content, content_sha256, approval_id, activated_iss, activated_sub, activated_at)
		VALUES ($1, sha256(convert_to($1, 'UTF8')), nullif($2::bigint, 0), $3, $4, $5)
		ON CONFLICT DO NOTHING`, content, approvalID, by.Issuer, by.Subject, t.now)
	if err != nil {
		return false, fmt.Errorf("activating policies: %w", err)
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

// PolicySetInForce reads the digest of the newest policy set; "" when there is
// none.
func (t *Tx) PolicySetInForce(ctx context.Context) (string, error) {
	var digest string
	err := t.get(ctx, &digest, `SELECT encode(content_sha256, 'hex') FROM finobs.policy_set ORDER BY policy_set_id DESC LIMIT 1`)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return digest, err
}

// PolicySetInForce reads the newest policy set; a fault of kind Unavailable when
// no worker has started on this database yet.
func (r *Reader) PolicySetInForce(ctx context.Context) (PolicySet, error) {
	var p PolicySet
	err := r.db.GetContext(ctx, &p, `
		SELECT policy_set_id, content, content_sha256, approval_id, activated_iss, activated_sub, activated_at
		FROM api.policy_set ORDER BY policy_set_id DESC LIMIT 1`)
	if errors.Is(err, sql.ErrNoRows) {
		return p, fault.New(fault.Unavailable, "no-policies-yet", "no approval policies are in force yet; the first worker that starts puts its file in force")
	}
	if err != nil {
		return p, fmt.Errorf("reading policies: %w", classify(err))
	}
	return p, nil
}

// PersonFilter selects people; zero fields select all.
type PersonFilter struct {
	Role, Desk string
	Active     *bool
}

// People lists the roster by key, from the key after (exclusive) on.
func (r *Reader) People(ctx context.Context, f PersonFilter, after string, limit int) ([]approval.Member, error) {
	var rows []personRow
	err := r.db.SelectContext(ctx, &rows, `SELECT `+personColumns+` FROM api.person
		WHERE ($1 = '' OR $1 = ANY (roles)) AND ($2 = '' OR desk = $2) AND ($3::boolean IS NULL OR active = $3) AND person_key > $4
		ORDER BY person_key LIMIT $5`, f.Role, f.Desk, f.Active, after, limit)
	if err != nil {
		return nil, fmt.Errorf("listing people: %w", classify(err))
	}
	return collect(rows, personRow.domain)
}

// Roster reads everybody on the roster.
func (r *Reader) Roster(ctx context.Context) (approval.Roster, error) {
	var rows []personRow
	if err := r.db.SelectContext(ctx, &rows, `SELECT `+personColumns+` FROM api.person ORDER BY person_key`); err != nil {
		return nil, fmt.Errorf("reading roster: %w", classify(err))
	}
	return collect(rows, personRow.domain)
}

// Member reads one person of the roster, if he is on it.
func (r *Reader) Member(ctx context.Context, p approval.Person) (approval.Member, bool, error) {
	var row personRow
	err := r.db.GetContext(ctx, &row, `SELECT `+personColumns+` FROM api.person WHERE person_key = $1`, p.Key())
	if errors.Is(err, sql.ErrNoRows) {
		return approval.Member{}, false, nil
	}
	if err != nil {
		return approval.Member{}, false, fmt.Errorf("reading roster: %w", classify(err))
	}
	m, err := row.domain()
	return m, true, err
}
