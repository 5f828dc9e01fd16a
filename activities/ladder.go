package activities

import (
	"context"
	"strconv"

	"finobs/internal/approval"
	"finobs/internal/canonical"
	"finobs/internal/failpoint"
	"finobs/internal/ledger"

	"go.temporal.io/sdk/activity"
)

// LadderTx is what firing a rung needs of a transaction.
type LadderTx interface {
	JudgeTx
	FiredRungs(ctx context.Context, approvalID int64) ([]string, error)
	FireRung(ctx context.Context, approvalID int64, rung approval.Rung, by approval.Person) (bool, error)
}

// GateRef names a request to the activities that move it on.
type GateRef struct {
	FirstRun   string `json:"first_run"`
	ApprovalID int64  `json:"approval_id"`
}

// ExpireRequest does what is due on a pending request by the database's clock:
// it lets the request expire, or supersedes it when its target has moved, or
// fires the rungs of the ladder whose time has come; and it looks again whether
// anybody is eligible. It changes nothing when nothing is due.
func (a *Approvals) ExpireRequest(ctx context.Context, in GateRef) (GateStatus, error) {
	return a.onMatter(ctx, in, func(tx ApprovalTx, m *matter) error {
		if m.Status != approval.Pending {
			return nil
		}
		if !tx.Now().Before(m.ExpiresAt) {
			return closeMatter(ctx, tx, in.FirstRun, m, approval.Expired, "nobody decided in time")
		}
		if moved, err := supersedeMoved(ctx, tx, in.FirstRun, m); moved || err != nil {
			return err
		}
		if err := a.fireDue(ctx, tx, in.FirstRun, m); err != nil {
			return err
		}
		setting, err := m.everybody(ctx, tx)
		if err != nil {
			return err
		}
		return a.firstLook(ctx, tx, in.FirstRun, m, setting)
	})
}

// CancelRequest cancels a pending request whose workflow was cancelled.
func (a *Approvals) CancelRequest(ctx context.Context, in GateRef) (GateStatus, error) {
	return a.onMatter(ctx, in, func(tx ApprovalTx, m *matter) error {
		if m.Status != approval.Pending {
			return nil
		}
		return closeMatter(ctx, tx, in.FirstRun, m, approval.Cancelled, "the workflow was cancelled")
	})
}

// onMatter does something to the request of this workflow under its lock, and
// says where the request stands then. The request of another workflow is left
// alone.
func (a *Approvals) onMatter(ctx context.Context, in GateRef, do func(ApprovalTx, *matter) error) (GateStatus, error) {
	var out GateStatus
	err := a.InTx(ctx, func(tx ApprovalTx) error {
		m, err := lockMatter(ctx, tx, in.ApprovalID)
		if err != nil {
			return err
		}
		if m.WorkflowID == activity.GetInfo(ctx).WorkflowExecution.ID {
			if err := do(tx, &m); err != nil {
				return err
			}
		}
		out, err = a.status(ctx, tx, m)
		return err
	})
	failpoint.Hit("gate.after-close")
	return out, temporalError(err)
}

// fireDue fires every rung whose time has come.
func (a *Approvals) fireDue(ctx context.Context, tx ApprovalTx, firstRun string, m *matter) error {
	for _, rung := range m.policy.Ladder {
		if m.CreatedAt.Add(rung.After).After(tx.Now()) {
			break
		}
		if err := fireRung(ctx, tx, firstRun, *m, rung, ledger.Itself("worker"), ""); err != nil {
			return err
		}
	}
	return nil
}

// fireRung fires a rung unless it has fired: an entry, a higher level for an
// escalation, and a notice to those whom the rung names.
func fireRung(ctx context.Context, tx LadderTx, firstRun string, m matter, rung approval.Rung, by ledger.Actor, reason string) error {
	first, err := tx.FireRung(ctx, m.ID, rung, by.Person)
	if err != nil || !first {
		return err
	}
	setting, err := m.everybody(ctx, tx)
	if err != nil {
		return err
	}
	to := rung.Told(m.action, setting.Roster)
	kind, typ := approval.NoticeReminder, "approval.reminded"
	if rung.Kind == approval.Escalation {
		kind, typ = approval.NoticeEscalation, "approval.escalated"
	}
	_, err = tx.Append(ctx, stepOf(ctx, firstRun, "fire-rung", strconv.FormatInt(m.ID, 10)+" "+rung.Name), ledger.Entry{
		Type: typ, Actor: by, Subject: approvalSubject(m.ID), Action: string(rung.Kind), Outcome: "fired", Reason: reason,
		Desk: m.Desk, RequestID: m.RequestID, TraceID: m.TraceID, Simulation: m.Simulation,
		Details: canonical.Object{"rung": rung.Name, "channel": rung.Channel, "to": namesOf(to), "action_digest": m.ActionDigest},
	})
	if err != nil {
		return err
	}
	return tell(ctx, tx, m, rung.Name, kind, rung.Channel, to)
}

// firstLook tells the eligible people of a request and, when nobody on the
// roster is eligible, admits the policy's fallback list and tells that list, or
// the administrators. Each happens once in the life of a request; a change of
// the roster leads here again.
func (a *Approvals) firstLook(ctx context.Context, tx ApprovalTx, firstRun string, m *matter, setting approval.Setting) error {
	earlier := setting.Stand(m.policy, m.action, m.counted())
	// An empty roster says nothing about who is eligible, unless only people on
	// the roster are.
	unknown := len(setting.Roster) == 0 && m.policy.Roster == approval.RosterOptional
	if m.policy.Channel != "" && len(m.decisions) == 0 {
		eligible := setting.Eligible(m.policy, m.action, earlier, false) // the fallback list is told of it as such
		if len(eligible) > 0 || unknown {
			if err := tell(ctx, tx, *m, approval.OccasionRequested, approval.NoticeRequested, m.policy.Channel, eligible); err != nil {
				return err
			}
		}
	}
	if m.Fallback() || unknown || setting.Satisfiable(m.policy, m.action, earlier, false) {
		return nil
	}
	return a.admitFallback(ctx, tx, firstRun, m, setting, earlier)
}

func (a *Approvals) admitFallback(ctx context.Context, tx ApprovalTx, firstRun string, m *matter, setting approval.Setting, earlier []approval.Decision) error {
	if err := tx.AdmitFallback(ctx, m.ID); err != nil {
		return err
	}
	now := tx.Now()
	m.FallbackAt = &now
	told := setting.Eligible(m.policy, m.action, earlier, true)
	if len(told) == 0 {
		told = setting.Roster.WithRole("admin")
	}
	_, err := tx.Append(ctx, stepOf(ctx, firstRun, "nobody-eligible", strconv.FormatInt(m.ID, 10)), ledger.Entry{
		Type: "approval.nobody_eligible", Actor: ledger.Itself("worker"), Subject: approvalSubject(m.ID), Action: "admit_fallback",
		Outcome: "admitted", Reason: "nobody on the roster can complete the quorum", Desk: m.Desk,
		RequestID: m.RequestID, TraceID: m.TraceID, Simulation: m.Simulation,
		Details: canonical.Object{"told": namesOf(told), "fallback": m.policy.Fallback, "policy_id": m.PolicyID},
	})
	if err != nil {
		return err
	}
	return tell(ctx, tx, *m, approval.OccasionNobodyEligible, approval.NoticeNobodyEligible, m.policy.Channel, told)
}
