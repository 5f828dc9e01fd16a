package activities

import (
	"context"
	"fmt"
	"time"

	"finobs/internal/action"
	"finobs/internal/agent"
	"finobs/internal/canonical"
	"finobs/internal/failpoint"
	"finobs/internal/fault"
	"finobs/internal/remediation"

	"go.temporal.io/sdk/activity"
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
	w.Recovery, w.RecoveryReason = to, agent.Shorten(why, mostWhy)
	if err := w.tx.SaveAction(ctx, w.Action); err != nil {
		return err
	}
	if err := w.tx.NudgeLife(ctx, w.IncidentID); err != nil {
		return err
	}
	return w.append(ctx, "effect."+string(to), "recovery", string(to), w.RecoveryReason, canonical.Object{})
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
		now, state, ended, err := x.mayUndo(ctx, in, system, a, key)
		if ended || err != nil {
			return state, temporalError(err)
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

// mayUndo looks at the target before an action is taken back: one that got well after
// all is left as it is, and so is one that is no longer as the action left it, since
// what somebody else did since is not taken back. It reports whether that ends the
// matter, and else how the target is now.
func (x *Actions) mayUndo(ctx context.Context, in GateRef, system System, a remediation.Action, key string) (now action.Object, state ActionState, ended bool, err error) {
	state = stateOf(a)
	to, why := remediation.CompensationFailed, a.Object().Key()+" is gone"
	now, _, err = system.Read(ctx, a.Plan.Target.Kind, a.Plan.Target.ID)
	if err == nil {
		to, why, err = undoable(ctx, system, a, now)
	}
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return now, state, false, err
	}
	sent := activity.GetInfo(ctx).Attempt > 1 // perhaps, by an attempt before
	if why != "" && to == remediation.CompensationFailed && sent {
		// If it has arrived meanwhile, that is what is seen.
		if found := system.Lookup(ctx, a.Plan.Target.Kind, key); found.Status != remediation.Absent {
			return now, state, false, fault.New(fault.Unavailable, "not-heard", "an attempt before has taken it back, or may have: it is asked about again")
		}
	}
	state, err = x.with(ctx, in, func(w *act) error {
		reason := why
		if reason == "" {
			stop, stopped, err := w.tx.StopInForce(ctx, w.Desk)
			if ended = stopped; err != nil || !stopped {
				return err
			}
			reason = stopWords(stop)
		}
		ended = true
		switch {
		case to == remediation.Recovered:
			return w.recovered(ctx, to, reason)
		case sent:
			return w.recovered(ctx, remediation.CompensationUnknown, "not sent again: "+reason)
		}
		return w.recovered(ctx, remediation.CompensationFailed, "not taken back: "+reason)
	})
	return now, state, ended, err
}

// undoable says why an action is not to be taken back; why is empty when nothing
// speaks against it.
func undoable(ctx context.Context, system System, a remediation.Action, now action.Object) (to remediation.Recovery, why string, err error) {
	t, err := action.Find(a.Plan.Action)
	if err != nil {
		return "", "", err
	}
	if verdict, why := t.Verify(a.Plan.Before, now, a.Plan.Plan); verdict == action.Recovered {
		return remediation.Recovered, "by a last look: " + why, nil
	}
	for _, field := range t.Restores {
		if left, changed := a.Plan.Left(field); changed && now.Fields[field] != left {
			return remediation.CompensationFailed, fmt.Sprintf("%s is %q now, and the action left it at %q; somebody has changed it since", field, now.Fields[field], left), nil
		}
	}
	why, err = movedAmong(ctx, system, a.Plan.Needs)
	return remediation.CompensationFailed, why, err
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
