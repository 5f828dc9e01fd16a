package activities

import (
	"context"
	"time"

	"finobs/internal/action"
	"finobs/internal/canonical"
	"finobs/internal/failpoint"
	"finobs/internal/fault"
	"finobs/internal/remediation"
)

// lookAgain is the pause between two looks at a target that has to get well.
const lookAgain = time.Second

// ReconcileAction asks the target's system what became of an action whose outcome
// nobody knows.
func (x *Actions) ReconcileAction(ctx context.Context, in GateRef) (ActionState, error) {
	defer beat(ctx)()
	a, err := x.look(ctx, in)
	if err != nil || a.Status != remediation.Unknown {
		return stateOf(a), temporalError(err)
	}
	system := x.Systems.For(a.Mode)
	found := system.Lookup(ctx, a.Plan.Target.Kind, a.Key)
	if found.Status == remediation.Unheard || found.Status == remediation.NotSent {
		return stateOf(a), nil // the workflow asks again, and in the end a person does
	}
	state, err := x.with(ctx, in, func(w *act) error {
		if found.Status == remediation.Absent {
			if w.tx.Now().Before(w.SentAt.Add(system.Transit(a.Plan.Target.Kind))) {
				return nil // it may be under way still
			}
			found.Why = "the system has not seen the command, and would have by now"
		}
		return w.outcome(ctx, found)
	})
	failpoint.Hit("action.after-record")
	return state, temporalError(err)
}

// VerifyAction waits until the target is well again. It looks at the target, not at
// what any system answered.
func (x *Actions) VerifyAction(ctx context.Context, in GateRef) (ActionState, error) {
	defer beat(ctx)()
	a, err := x.look(ctx, in)
	if err != nil || a.Recovery != remediation.Waiting {
		return stateOf(a), temporalError(err)
	}
	t, err := action.Find(a.Plan.Action)
	if err != nil {
		return stateOf(a), temporalError(err)
	}
	verdict, why := x.watch(ctx, t, a)
	if err := ctx.Err(); err != nil {
		return stateOf(a), err
	}
	to := remediation.NotRecovered
	if verdict == action.Recovered {
		to = remediation.Recovered
	}
	state, err := x.with(ctx, in, func(w *act) error { return w.recovered(ctx, to, why) })
	failpoint.Hit("action.after-verify")
	return state, temporalError(err)
}

// watch looks at a target until it is well, will not get well, or its time is over.
func (x *Actions) watch(ctx context.Context, t action.Type, a remediation.Action) (verdict action.Verdict, why string) {
	over := time.NewTimer(x.Recovery)
	defer over.Stop()
	system := x.Systems.For(a.Mode)
	for {
		now, _, err := system.Read(ctx, a.Plan.Target.Kind, a.Plan.Target.ID)
		if err != nil {
			verdict, why = action.NotYet, fault.MessageOf(err)
		} else {
			verdict, why = t.Verify(a.Plan.Before, now, a.Plan.Plan)
		}
		if verdict != action.NotYet {
			return verdict, why
		}
		select {
		case <-time.After(lookAgain):
		case <-over.C:
			return action.Failed, "not well after " + x.Recovery.String() + ": " + why
		case <-ctx.Done():
			return verdict, why
		}
	}
}

func (w *act) recovered(ctx context.Context, to remediation.Recovery, why string) error {
	if w.Recovery == to {
		return nil
	}
	w.Recovery, w.RecoveryReason = to, why
	if err := w.tx.SaveAction(ctx, w.Action); err != nil {
		return err
	}
	if err := w.tx.NudgeLife(ctx, w.IncidentID); err != nil {
		return err
	}
	return w.append(ctx, "effect."+string(to), "recovery", string(to), why, canonical.Object{})
}

// CompensateAction takes an action back that did not help. People approved it with
// the action, as part of its plan. Like the action, it is sent once.
func (x *Actions) CompensateAction(ctx context.Context, in GateRef) (ActionState, error) {
	defer beat(ctx)()
	a, err := x.look(ctx, in)
	if err != nil || !stateOf(a).Compensable {
		return stateOf(a), temporalError(err)
	}
	system := x.Systems.For(a.Mode)
	key := a.Key + "-undo"
	got := system.Lookup(ctx, a.Plan.Target.Kind, key)
	if got.Status == remediation.Absent {
		now, _, err := system.Read(ctx, a.Plan.Target.Kind, a.Plan.Target.ID)
		if err != nil {
			return stateOf(a), temporalError(err)
		}
		target := a.Plan.Target
		target.Version = now.Version
		got = system.Apply(ctx, a.Connector, key, target, *a.Plan.Compensation)
		failpoint.Hit("action.after-compensate")
	}
	to := remediation.CompensationFailed
	switch got.Status {
	case remediation.NotSent, remediation.Unheard, remediation.Absent:
		// The next attempt asks by the key again. The last one leaves it unknown.
		return stateOf(a), temporalError(fault.New(fault.Unavailable, "not-heard", "what became of the compensation is not known yet: %s", got.Why))
	case remediation.Applied:
		to = remediation.Compensated
	case remediation.Refused, remediation.Moved:
	}
	state, err := x.with(ctx, in, func(w *act) error { return w.recovered(ctx, to, got.Why) })
	return state, temporalError(err)
}

// EndActionInput ends an action; Step names a step that gave up, and why.
type EndActionInput struct {
	GateRef
	Step string `json:"step,omitempty"`
	Why  string `json:"why,omitempty"`
}

// EndAction gives the lease on the target back, or records what a step left
// undecided that gave up, or that somebody completed by hand in Temporal.
func (x *Actions) EndAction(ctx context.Context, in EndActionInput) (ActionState, error) {
	state, err := x.with(ctx, in.GateRef, func(w *act) error {
		if in.Step != "" {
			return w.giveUp(ctx, "given up: "+in.Why)
		}
		if w.Status == remediation.Executing || w.Recovery == remediation.Waiting {
			if err := w.giveUp(ctx, "the step that finds out was completed by somebody else"); err != nil {
				return err
			}
		}
		return w.release(ctx)
	})
	return state, temporalError(err)
}

// giveUp decides what was left undecided by what is certain: a command that never
// left has failed, one that may have left is unknown.
func (w *act) giveUp(ctx context.Context, why string) error {
	switch {
	case w.Status == remediation.Executing && w.SentAt.IsZero():
		return w.finish(ctx, remediation.Failed, why)
	case w.Status == remediation.Executing:
		return w.finish(ctx, remediation.Unknown, why)
	case w.Recovery == remediation.Waiting:
		return w.recovered(ctx, remediation.NotRecovered, why)
	case stateOf(w.Action).Compensable:
		return w.recovered(ctx, remediation.CompensationUnknown, why)
	}
	return nil
}

// release gives the lease on the target back, unless nobody knows what became of
// the command, or of the one that takes it back.
func (w *act) release(ctx context.Context) error {
	if !w.Leased || !w.Status.Terminal() || w.Recovery == remediation.CompensationUnknown {
		return nil
	}
	w.Leased = false
	return w.tx.SaveAction(ctx, w.Action)
}
