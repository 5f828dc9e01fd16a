package activities

import (
	"context"
	"strconv"
	"strings"

	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/canonical"
	"finobs/internal/evidence"
	"finobs/internal/fault"
	"finobs/internal/ledger"

	"go.temporal.io/sdk/activity"
)

// EffectTx is what spending an approval needs of a transaction.
type EffectTx interface {
	JudgeTx
	LockMembers(ctx context.Context, people []approval.Person) (approval.Roster, error)
	ConsumeRequest(ctx context.Context, id int64, by string) (bool, error)
}

// spending is what became of an attempt to spend an approval.
type spending int

const (
	spent      spending = iota // by this call
	spentOnce                  // by this very execution, before
	superseded                 // the target has moved: the request is closed instead
)

// spend is the one door to every effect. It trusts nothing but the record: it
// verifies the command and every decision again, tallies those that still stand
// by today's roster, looks whether the targets are where they were, and consumes
// the approval. The caller records the effect in the same transaction.
func spend(ctx context.Context, tx EffectTx, v *attest.Verifier, in GateRef) (matter, spending, error) {
	m, err := lockMatter(ctx, tx, in.ApprovalID)
	if err != nil {
		return m, spent, err
	}
	by := consumer(ctx, in)
	again := m.Status == approval.Consumed && m.ConsumedBy == by
	setting, err := m.setting(ctx, tx)
	if err != nil {
		return m, spent, err
	}
	if setting.Roster, err = tx.LockMembers(ctx, m.people()); err != nil {
		return m, spent, err
	}
	stand := setting.Stand
	if again { // people may have left since; what was begun is brought to its end
		stand = nil
	}
	if _, err := evidence.Approved(v, m.Request, m.decisions, stand); err != nil {
		return m, spent, err
	}
	if again {
		return m, spentOnce, nil
	}
	if moved, err := supersedeMoved(ctx, tx, in.FirstRun, &m); moved || err != nil {
		return m, superseded, err
	}
	ok, err := tx.ConsumeRequest(ctx, m.ID, by)
	if err != nil {
		return m, spent, err
	}
	if !ok {
		return m, spent, fault.New(fault.Forbidden, "approval-not-usable", "approval %d is %s and cannot be used", m.ID, usability(tx, m.Request))
	}
	return m, spent, nil
}

func usability(tx EffectTx, r approval.Request) string {
	if r.Status == approval.Approved && r.UseBy != nil && tx.Now().After(*r.UseBy) {
		return "past its last moment of use"
	}
	return string(r.Status)
}

// consumer names the execution that spends an approval; retries, continued and
// reset runs are the same one.
func consumer(ctx context.Context, in GateRef) string {
	return activity.GetInfo(ctx).WorkflowExecution.ID + "/" + in.FirstRun
}

// deny records that an effect was refused, and returns why.
func deny[T Recorder](ctx context.Context, inTx Transaction[T], in GateRef, action string, why error) error {
	if fault.KindOf(why).Retryable() {
		return why
	}
	ordinal := strings.Join([]string{strconv.FormatInt(in.ApprovalID, 10), fault.CodeOf(why), fault.MessageOf(why)}, " ")
	err := inTx(ctx, func(tx T) error {
		_, err := tx.Append(ctx, stepOf(ctx, in.FirstRun, "effect-denied", ordinal), ledger.Entry{
			Type: "effect.denied", Actor: ledger.Itself("worker"), Subject: approvalSubject(in.ApprovalID),
			Action: action, Outcome: "denied", Reason: fault.MessageOf(why), TraceID: traceID(ctx),
			Details: canonical.Object{"code": fault.CodeOf(why), "workflow_type": activity.GetInfo(ctx).WorkflowType.Name},
		})
		return err
	})
	if err != nil {
		return err
	}
	return why
}

// targetMoved is why an effect does not happen after all.
func targetMoved(m matter) error {
	return fault.New(fault.Conflict, "target-moved", "approval %d is superseded: %s", m.ID, m.StatusReason)
}
