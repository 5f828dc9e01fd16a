package activities

import (
	"context"
	"fmt"
	"time"

	"finobs/internal/approval"
	"finobs/internal/fault"
	"finobs/internal/ledger"
)

// JudgeTx is what judging a request needs of a transaction.
type JudgeTx interface {
	Recorder
	Now() time.Time
	LockRequest(ctx context.Context, id int64) (approval.Request, error)
	Decisions(ctx context.Context, approvalID int64) ([]approval.Recorded, error)
	CloseRequest(ctx context.Context, id int64, to approval.Status, reason string, useBy *time.Time) error
	Roster(ctx context.Context) (approval.Roster, error)
	Members(ctx context.Context, people []approval.Person) (approval.Roster, error)
	Delegations(ctx context.Context, people []approval.Person) ([]approval.Delegation, error)
	TargetVersions(ctx context.Context, targets []approval.Target) (map[approval.Target]string, error)
	InsertNotice(ctx context.Context, n approval.Notice) error
}

// matter is a request with all that it is judged by.
type matter struct {
	approval.Request
	policy    *approval.Policy
	action    approval.Action
	decisions []approval.Recorded
	asker     ledger.Actor // of a new request: who asks, or edited it
}

// lockMatter reads a request and what was decided on it, and keeps others from
// changing it until the transaction ends.
func lockMatter(ctx context.Context, tx JudgeTx, id int64) (matter, error) {
	r, err := tx.LockRequest(ctx, id)
	if err != nil {
		return matter{}, err
	}
	m, err := matterOf(r)
	if err != nil {
		return m, err
	}
	m.decisions, err = tx.Decisions(ctx, id)
	return m, err
}

func matterOf(r approval.Request) (matter, error) {
	m := matter{Request: r}
	var err error
	if m.policy, err = approval.Thaw(r.Policy, r.PolicyDigest); err != nil {
		return m, fault.Wrap(err, fault.Forbidden, "evidence-broken", "the frozen policy of approval %d is not the one that was recorded", r.ID)
	}
	if m.action, err = approval.ParseAction(r.Action); err != nil {
		return m, fault.Wrap(err, fault.Forbidden, "evidence-broken", "the recorded action of approval %d cannot be read", r.ID)
	}
	return m, nil
}

// counted are the decisions that counted when they were made.
func (m matter) counted() []approval.Decision {
	var out []approval.Decision
	for _, d := range m.decisions {
		if d.Outcome == approval.Counted {
			out = append(out, d.Decision)
		}
	}
	return out
}

// people are the requester and everybody who decided or was decided for.
func (m matter) people() []approval.Person {
	people := []approval.Person{m.Requester}
	for _, d := range m.decisions {
		people = append(people, peopleOf(d.Decision)...)
	}
	return people
}

// setting is what is known now of the people who decided, of the requester, and
// of the others given.
func (m matter) setting(ctx context.Context, tx JudgeTx, others ...approval.Person) (approval.Setting, error) {
	people := append(m.people(), others...)
	s := approval.Setting{ApprovalID: m.ID, Now: tx.Now()}
	var err error
	if s.Roster, err = tx.Members(ctx, people); err != nil {
		return s, err
	}
	s.Delegations, err = tx.Delegations(ctx, people)
	return s, err
}

// everybody is the setting with the whole roster.
func (m matter) everybody(ctx context.Context, tx JudgeTx) (approval.Setting, error) {
	s := approval.Setting{ApprovalID: m.ID, Now: tx.Now()}
	var err error
	if s.Roster, err = tx.Roster(ctx); err != nil {
		return s, err
	}
	people := make([]approval.Person, 0, len(s.Roster))
	for _, member := range s.Roster {
		people = append(people, member.Person)
	}
	s.Delegations, err = tx.Delegations(ctx, append(people, m.Requester))
	return s, err
}

// moved says which target is no longer at the version that the action was asked
// for, or returns "".
func (m matter) moved(ctx context.Context, tx JudgeTx) (string, error) {
	now, err := tx.TargetVersions(ctx, m.action.Targets)
	if err != nil {
		return "", err
	}
	for _, t := range m.action.Targets {
		if version, known := now[t]; known && t.Version != "" && version != t.Version {
			if version == "" {
				return fmt.Sprintf("%s %s is gone", t.Kind, t.ID), nil
			}
			return fmt.Sprintf("%s %s is at version %s now, not %s", t.Kind, t.ID, version, t.Version), nil
		}
	}
	return "", nil
}

// supersede closes an open request whose target has moved, and reports whether
// it did.
func supersedeMoved(ctx context.Context, tx JudgeTx, firstRun string, m *matter) (bool, error) {
	if !m.Open() {
		return false, nil
	}
	why, err := m.moved(ctx, tx)
	if err != nil || why == "" {
		return false, err
	}
	return true, closeMatter(ctx, tx, firstRun, m, approval.Superseded, why)
}

// closeMatter ends a request for a reason that is nobody's decision, with its
// entry and, for the requester, a notice.
func closeMatter(ctx context.Context, tx JudgeTx, firstRun string, m *matter, to approval.Status, reason string) error {
	return closeBy(ctx, tx, firstRun, m, to, reason, ledger.Itself("worker"))
}

func closeBy(ctx context.Context, tx JudgeTx, firstRun string, m *matter, to approval.Status, reason string, by ledger.Actor) error {
	if !m.Status.CanBecome(to) {
		return fault.New(fault.Conflict, "approval-not-open", "approval %d is %s already", m.ID, m.Status)
	}
	if err := tx.CloseRequest(ctx, m.ID, to, reason, nil); err != nil {
		return err
	}
	m.Status, m.StatusReason = to, reason
	if err := appendClosed(ctx, tx, firstRun, m.Request, reason, by); err != nil {
		return err
	}
	return tellOutcome(ctx, tx, *m)
}
