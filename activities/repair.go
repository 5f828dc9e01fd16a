package activities

import (
	"context"
	"strconv"
	"strings"

	"finobs/internal/agent"
	"finobs/internal/approval"
	"finobs/internal/canonical"
	"finobs/internal/export"
	"finobs/internal/ledger"
	"finobs/internal/remediation"
)

// repairKey marks a context in which the reconciler writes for an execution that
// has ended.
type repairKey struct{}

// RepairTx is what repairs need of a transaction.
type RepairTx interface {
	ActionTx
	FailRunTx
	FailExport(ctx context.Context, approvalID int64) (export.Export, bool, error)
	RunOf(ctx context.Context, approvalID int64) (agent.Run, bool, error)
}

// Repairs make rows agree with workflows that ended otherwise than by their own
// code. They are not activities: no workflow is left to run them.
type Repairs struct {
	InTx      Transaction[RepairTx]
	Namespace string
}

func (x *Repairs) writingFor(ctx context.Context, r approval.Request) context.Context {
	return context.WithValue(ctx, repairKey{}, ledger.Workflow{Namespace: x.Namespace, ID: r.WorkflowID, FirstRun: r.FirstRunID})
}

// Close ends a request that is still as it was seen: what nobody can decide on,
// or carry out, must not stay open. It reports whether it changed anything.
func (x *Repairs) Close(ctx context.Context, seen approval.Request, to approval.Status, reason string) (changed bool, err error) {
	ctx = x.writingFor(ctx, seen)
	err = x.InTx(ctx, func(tx RepairTx) error {
		m, err := lockMatter(ctx, tx, seen.ID)
		if err != nil || m.Status != seen.Status {
			return err
		}
		changed = true
		return closeBy(ctx, tx, seen.FirstRunID, &m, to, reason, ledger.Itself("reconciler"))
	})
	return changed && err == nil, err
}

// Fail records that what was begun will not be completed: its workflow has ended.
// The approval stays spent. It reports whether it changed anything.
func (x *Repairs) Fail(ctx context.Context, r approval.Request, reason string) (changed bool, err error) {
	ctx = x.writingFor(ctx, r)
	fail := abandonExport
	switch area, _, _ := strings.Cut(r.Kind, "."); area + "." {
	case agent.ActionPrefix:
		fail = abandonRun
	case remediation.KindPrefix:
		fail = abandonAction
	}
	err = x.InTx(ctx, func(tx RepairTx) error {
		changed, err = fail(ctx, tx, r, reason)
		return err
	})
	return changed && err == nil, err
}

// abandonExport fails an export that was begun.
func abandonExport(ctx context.Context, tx RepairTx, r approval.Request, reason string) (bool, error) {
	failed, found, err := tx.FailExport(ctx, r.ID)
	if err != nil || !found {
		return false, err
	}
	_, err = tx.Append(ctx, stepOf(ctx, r.FirstRunID, "effect-failed", strconv.FormatInt(r.ID, 10)), ledger.Entry{
		Type: "effect.failed", Actor: ledger.Itself("reconciler"), Subject: exportSubject(failed.ID), Action: "export." + failed.Dataset,
		Outcome: "failed", Reason: reason, Desk: r.Desk, RequestID: r.RequestID, TraceID: r.TraceID, Simulation: r.Simulation,
		Details: canonical.Object{"approval_id": strconv.FormatInt(r.ID, 10), "action_digest": r.ActionDigest},
	})
	return true, err
}

// abandonRun fails the run that an approval let begin.
func abandonRun(ctx context.Context, tx RepairTx, r approval.Request, reason string) (bool, error) {
	run, found, err := tx.RunOf(ctx, r.ID)
	if err != nil || !found {
		return false, err
	}
	return failRun(ctx, tx, r.FirstRunID, run, reason, ledger.Itself("reconciler"))
}

// abandonAction decides what is certain of an action, and gives its lease back
// unless nobody knows what became of it.
func abandonAction(ctx context.Context, tx RepairTx, r approval.Request, reason string) (bool, error) {
	m, err := lockMatter(ctx, tx, r.ID)
	if err != nil {
		return false, err
	}
	a, err := tx.LockAction(ctx, r.ID)
	if err != nil || !a.Abandonable() {
		return false, err
	}
	w := act{tx: tx, firstRun: r.FirstRunID, by: ledger.Itself("reconciler"), m: m, Action: a}
	if err := w.giveUp(ctx, reason); err != nil {
		return false, err
	}
	return true, w.release(ctx)
}

// NoteTerminated records that a workflow without a request was terminated.
func (x *Repairs) NoteTerminated(ctx context.Context, workflowID, workflowType, reason string) error {
	ctx = context.WithValue(ctx, repairKey{}, ledger.Workflow{Namespace: x.Namespace, ID: workflowID})
	return x.InTx(ctx, func(tx RepairTx) error {
		_, err := tx.Append(ctx, stepOf(ctx, "", "terminate-workflow", ""), ledger.Entry{
			Type: "workflow.terminated", Actor: ledger.Itself("reconciler"), Subject: ledger.Subject{Kind: "workflow", ID: workflowID},
			Action: "terminate", Outcome: "done", Reason: reason, Details: canonical.Object{"workflow_type": workflowType},
		})
		return err
	})
}
