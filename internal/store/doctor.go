package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"finobs/internal/approval"
	"finobs/internal/doctor"
	"finobs/internal/export"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// snapshot is one consistent view of the record, for the doctor. It cannot write.
type snapshot struct {
	tx  *sqlx.Tx
	now time.Time
}

// Snapshot runs fn on a view of the record as it is at one moment.
func (r *Reader) Snapshot(ctx context.Context, fn func(doctor.Record) error) error {
	tx, err := r.db.BeginTxx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return fmt.Errorf("opening a view of the record: %w", classify(err))
	}
	defer tx.Rollback() // it has written nothing
	s := &snapshot{tx: tx}
	if err := tx.GetContext(ctx, &s.now, "SELECT clock_timestamp()"); err != nil {
		return fmt.Errorf("reading the database's clock: %w", classify(err))
	}
	return fn(s)
}

// Now is the database's time when the view was opened.
func (s *snapshot) Now() time.Time { return s.now.UTC() }

// read lists rows and gives each its meaning.
func read[R, D any](ctx context.Context, s *snapshot, what string, domain func(R) (D, error), query string, args ...any) ([]D, error) {
	var rows []R
	if err := s.tx.SelectContext(ctx, &rows, query, args...); err != nil {
		return nil, fmt.Errorf("reading %s: %w", what, classify(err))
	}
	return collect(rows, domain)
}

func (s *snapshot) requests(ctx context.Context, rest string, args ...any) ([]approval.Request, error) {
	return read(ctx, s, "approvals", requestRow.domain, `SELECT `+requestColumns+` FROM api.approval_request `+rest, args...)
}

// RequestsAfter lists requests by id.
func (s *snapshot) RequestsAfter(ctx context.Context, id int64, limit int) ([]approval.Request, error) {
	return s.requests(ctx, `WHERE approval_id > $1 ORDER BY approval_id LIMIT $2`, id, limit)
}

// PendingAfter lists pending requests by id.
func (s *snapshot) PendingAfter(ctx context.Context, id int64, limit int) ([]approval.Request, error) {
	return s.requests(ctx, `WHERE status = 'pending' AND approval_id > $1 ORDER BY approval_id LIMIT $2`, id, limit)
}

// RequestsByID lists those of the given requests that there are.
func (s *snapshot) RequestsByID(ctx context.Context, ids []int64) ([]approval.Request, error) {
	return s.requests(ctx, `WHERE approval_id = ANY ($1)`, pq.Array(ids))
}

func (s *snapshot) decisions(ctx context.Context, rest string, args ...any) ([]approval.Recorded, error) {
	return read(ctx, s, "decisions", decisionRow.domain, `SELECT `+decisionColumns+` FROM api.approval_decision `+rest, args...)
}

// DecisionsOn lists what was decided on the given requests, in the order of
// recording.
func (s *snapshot) DecisionsOn(ctx context.Context, approvalIDs []int64) ([]approval.Recorded, error) {
	return s.decisions(ctx, `WHERE approval_id = ANY ($1) ORDER BY seq`, pq.Array(approvalIDs))
}

// DecisionsByID lists those of the given decisions that there are. What is no id
// is the id of none.
func (s *snapshot) DecisionsByID(ctx context.Context, ids []string) ([]approval.Recorded, error) {
	var valid []string
	for _, id := range ids {
		if _, err := uuid.Parse(id); err == nil {
			valid = append(valid, id)
		}
	}
	return s.decisions(ctx, `WHERE decision_id = ANY ($1::uuid[])`, pq.Array(valid))
}

func (s *snapshot) exports(ctx context.Context, rest string, args ...any) ([]export.Export, error) {
	return read(ctx, s, "exports", exportRow.domain, `SELECT `+exportViewColumns+` FROM api.export `+rest, args...)
}

// ExportsAfter lists exports by id.
func (s *snapshot) ExportsAfter(ctx context.Context, id int64, limit int) ([]export.Export, error) {
	return s.exports(ctx, `WHERE export_id > $1 ORDER BY export_id LIMIT $2`, id, limit)
}

// ExportsOf lists the exports that the given approvals were spent on.
func (s *snapshot) ExportsOf(ctx context.Context, approvalIDs []int64) ([]export.Export, error) {
	return s.exports(ctx, `WHERE approval_id = ANY ($1) ORDER BY export_id`, pq.Array(approvalIDs))
}

// ExportsByID lists those of the given exports that there are.
func (s *snapshot) ExportsByID(ctx context.Context, ids []int64) ([]export.Export, error) {
	return s.exports(ctx, `WHERE export_id = ANY ($1)`, pq.Array(ids))
}

func (s *snapshot) people(ctx context.Context, rest string, args ...any) ([]approval.Member, error) {
	return read(ctx, s, "roster", personRow.domain, `SELECT `+personColumns+` FROM api.person `+rest, args...)
}

// PeopleAfter lists the roster by key.
func (s *snapshot) PeopleAfter(ctx context.Context, key string, limit int) ([]approval.Member, error) {
	return s.people(ctx, `WHERE person_key > $1 ORDER BY person_key LIMIT $2`, key, limit)
}

// PeopleByKey lists those of the given people who are on the roster.
func (s *snapshot) PeopleByKey(ctx context.Context, keys []string) ([]approval.Member, error) {
	return s.people(ctx, `WHERE person_key = ANY ($1)`, pq.Array(keys))
}

func (s *snapshot) policySets(ctx context.Context, rest string, args ...any) ([]doctor.PolicySet, error) {
	return read(ctx, s, "policy sets", func(p PolicySet) (doctor.PolicySet, error) {
		return doctor.PolicySet{ID: p.ID, SHA256: p.ContentSHA256, ApprovalID: orZero(p.ApprovalID)}, nil
	}, `SELECT policy_set_id, content_sha256, approval_id FROM api.policy_set `+rest, args...)
}

// PolicySetsAfter lists policy sets by id.
func (s *snapshot) PolicySetsAfter(ctx context.Context, id int64, limit int) ([]doctor.PolicySet, error) {
	return s.policySets(ctx, `WHERE policy_set_id > $1 ORDER BY policy_set_id LIMIT $2`, id, limit)
}

// PolicySetsOf lists the policy sets with the given digests.
func (s *snapshot) PolicySetsOf(ctx context.Context, sha256s []string) ([]doctor.PolicySet, error) {
	return s.policySets(ctx, `WHERE content_sha256 = ANY ($1)`, pq.Array(sha256s))
}

func (s *snapshot) entries(ctx context.Context, rest string, args ...any) ([]doctor.Entry, error) {
	return read(ctx, s, "entries", func(e LoggedEntry) (doctor.Entry, error) {
		return doctor.Entry{
			ID: e.EntryID, RecordedAt: e.RecordedAt, Type: e.Type, SubjectKind: e.SubjectKind, SubjectID: e.SubjectID,
			Outcome: e.Outcome, WorkflowID: e.WorkflowID, Leaf: e.Leaf,
		}, nil
	}, `SELECT entry_id, recorded_at, type, outcome, subject_kind, subject_id, workflow_id, leaf FROM api.agent_action_audit_log `+rest, args...)
}

// EntriesAbout lists entries of some types about some subjects, oldest first.
func (s *snapshot) EntriesAbout(ctx context.Context, subjectKind string, subjectIDs, types []string) ([]doctor.Entry, error) {
	return s.entries(ctx, `WHERE subject_kind = $1 AND subject_id = ANY ($2) AND type = ANY ($3) ORDER BY recorded_at, entry_id`,
		subjectKind, pq.Array(subjectIDs), pq.Array(types))
}

// EntriesAfter lists entries of some types by time and id.
func (s *snapshot) EntriesAfter(ctx context.Context, last doctor.Entry, types []string, limit int) ([]doctor.Entry, error) {
	const order = ` ORDER BY recorded_at, entry_id LIMIT $2`
	if last.ID == "" {
		return s.entries(ctx, `WHERE type = ANY ($1)`+order, pq.Array(types), limit)
	}
	return s.entries(ctx, `WHERE type = ANY ($1) AND (recorded_at, entry_id) > ($3, $4::uuid)`+order,
		pq.Array(types), limit, last.RecordedAt, last.ID)
}
