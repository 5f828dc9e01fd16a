package activities

import (
	"context"
	"errors"
	"strconv"
	"time"

	"finobs/internal/action"
	"finobs/internal/agent"
	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/canonical"
	"finobs/internal/failpoint"
	"finobs/internal/fault"
	"finobs/internal/ledger"
	"finobs/internal/remediation"
)

// ActionTx is what carrying out actions needs of a transaction.
type ActionTx interface {
	EffectTx
	LockAction(ctx context.Context, id int64) (remediation.Action, error)
	SaveAction(ctx context.Context, x remediation.Action) error
	LeaseHolder(ctx context.Context, connector, kind, id string) (int64, error)
	BegunSince(ctx context.Context, actionType, desk string, simulation bool, since time.Time) (int, error)
	StopInForce(ctx context.Context, desk string) (agent.StopOrder, bool, error)
	NudgeLife(ctx context.Context, id int64) error
}

// Actions are the activities that carry out approved actions on desks' systems.
type Actions struct {
	InTx     Transaction[ActionTx]
	Verifier *attest.Verifier
	Systems  Systems
	Recovery time.Duration // how long a target has to get well
}

// ActionState is where an action stands, by the record.
type ActionState struct {
	ActionID    int64  `json:"action_id"`
	Status      string `json:"status"`
	Recovery    string `json:"recovery"`
	Compensable bool   `json:"compensable"` // it did not help, and can be taken back
}

// Acting reports whether the action has still to be sent.
func (s ActionState) Acting() bool { return s.Status == string(remediation.Executing) }

// Unknown reports whether nobody knows what became of it.
func (s ActionState) Unknown() bool { return s.Status == string(remediation.Unknown) }

// Recovering reports whether it was applied, and the target has to get well.
func (s ActionState) Recovering() bool {
	return s.Status == string(remediation.Done) && s.Recovery == string(remediation.Waiting)
}

// stateOf reads where an action stands. What a person resolved is not taken back:
// nobody has looked whether it helped.
func stateOf(x remediation.Action) ActionState {
	return ActionState{
		ActionID: x.ID, Status: string(x.Status), Recovery: string(x.Recovery),
		// What a person found out has given its lease back, and is not taken back.
		Compensable: x.Leased && x.Recovery == remediation.NotRecovered && x.Plan.Compensation != nil,
	}
}

// act is an action in a transaction, with what authorises it.
type act struct {
	tx       ActionTx
	firstRun string
	by       ledger.Actor // whose entries are written
	m        matter
	remediation.Action
}

// BeginAction spends the approval of an action, takes the lease on its target and
// records the intent, in one transaction. It compares what was approved with what
// was planned, and looks at stops, caps and leases; nothing is sent yet.
func (x *Actions) BeginAction(ctx context.Context, in GateRef) (ActionState, error) {
	var out ActionState
	var refused error
	err := x.InTx(ctx, func(tx ActionTx) error {
		m, how, err := spend(ctx, tx, x.Verifier, in)
		switch {
		case err != nil:
			return err
		case how == superseded:
			refused = targetMoved(m)
			return nil
		}
		a, err := tx.LockAction(ctx, m.ID)
		if err != nil {
			return err
		}
		if err := errors.Join(a.Matches(m.action), remediation.NeedsPeople(m.policy), asRisky(a, m.action)); err != nil {
			return err
		}
		w := act{tx: tx, firstRun: in.FirstRun, by: ledger.Itself("worker"), m: m, Action: a}
		if how == spent {
			if err := w.begin(ctx); err != nil {
				return err
			}
		}
		out = stateOf(w.Action)
		return nil
	})
	if err = errors.Join(err, refused); err != nil {
		return out, temporalError(deny(ctx, x.InTx, in, "remediation", err))
	}
	failpoint.Hit("action.after-begin")
	return out, nil
}

// asRisky refuses an approval that was given as if the action were less risky than the
// catalogue says: the tier chose the policy, and the row that was planned proves none.
func asRisky(a remediation.Action, approved approval.Action) error {
	if t, err := action.Find(a.Plan.Action); err == nil && !approved.RiskTier.AtLeast(t.Risk) {
		return fault.New(fault.Forbidden, "risk-understated", "approval %d was given for %s risk, and %s has %s risk at least; plan it again",
			a.ID, approved.RiskTier, t.Name, t.Risk)
	}
	return nil // what the catalogue does not have any more is not begun, see hindrance
}

// begin takes the lease and records the intent, or records why not: the approval is
// spent either way, since what it was given for can no longer be had as it was. One
// that was withdrawn meanwhile is not begun, and its approval not spent.
func (w *act) begin(ctx context.Context) error {
	if w.Status != remediation.Planned {
		return fault.New(fault.Conflict, "action-not-planned", "action %d is %s already: %s", w.ID, w.Status, w.StatusReason)
	}
	if why, err := w.hindrance(ctx); err != nil || why != "" {
		if err == nil {
			err = w.finish(ctx, remediation.Failed, "not sent: "+why)
		}
		return err
	}
	w.Status, w.Leased, w.BeganAt, w.Key = remediation.Executing, true, w.tx.Now(), remediation.KeyOf(w.m.ActionDigest, false)
	if err := w.tx.SaveAction(ctx, w.Action); err != nil {
		return err
	}
	details := canonical.Object{"idempotency_key": w.Key}
	if c := w.Plan.Compensation; c != nil {
		details["compensation"] = c.Action // registered before the act
	}
	return w.append(ctx, "effect.intended", "intend", "intended", "", details)
}

// hindrance says why an action must not be sent now; "" when nothing speaks against
// it.
func (w *act) hindrance(ctx context.Context) (string, error) {
	t, err := action.Find(w.Plan.Action)
	switch {
	case fault.KindOf(err) == fault.Invalid:
		return "the catalogue does not have " + w.Plan.Action + " any more", nil
	case err != nil:
		return "", err
	case t.Version != w.Plan.Version:
		return "the catalogue has another version of " + w.Plan.Action + " now; ask again", nil
	}
	if err := w.Plan.Complete(t); err != nil {
		return "", err
	}
	stop, stopped, err := w.tx.StopInForce(ctx, w.Desk)
	if err != nil {
		return "", err
	}
	if stopped {
		return stopWords(stop), nil
	}
	holder, err := w.tx.LeaseHolder(ctx, w.Connector, w.Plan.Target.Kind, w.Plan.Target.ID)
	if err != nil {
		return "", err
	}
	if holder != 0 && holder != w.ID {
		return "action " + strconv.FormatInt(holder, 10) + " is at work on the same target", nil
	}
	begun, err := w.tx.BegunSince(ctx, w.Plan.Action, w.Desk, w.m.Simulation, w.tx.Now().Add(-time.Hour))
	if err != nil {
		return "", err
	}
	if begun >= t.Caps.PerHour {
		return "the cap of " + strconv.Itoa(t.Caps.PerHour) + " of " + w.Plan.Action + " in an hour is reached on this desk", nil
	}
	return "", nil
}

func stopWords(s agent.StopOrder) string {
	if s.Desk == "" {
		return "all actions are stopped by " + s.By.Subject
	}
	return "actions of desk " + s.Desk + " are stopped by " + s.By.Subject
}

// with runs fn over the action of an approval that this very execution spent.
func (x *Actions) with(ctx context.Context, in GateRef, fn func(w *act) error) (ActionState, error) {
	var out ActionState
	err := x.InTx(ctx, func(tx ActionTx) error {
		m, how, err := spend(ctx, tx, x.Verifier, in)
		if err != nil {
			return err
		}
		if how != spentOnce {
			return fault.New(fault.Forbidden, "action-not-begun", "action %d was not begun: the step that begins it was completed by somebody else", in.ApprovalID)
		}
		a, err := tx.LockAction(ctx, m.ID)
		if err != nil {
			return err
		}
		if err := a.Matches(m.action); err != nil {
			return err
		}
		w := act{tx: tx, firstRun: in.FirstRun, by: ledger.Itself("worker"), m: m, Action: a}
		if err := fn(&w); err != nil {
			return err
		}
		out = stateOf(w.Action)
		return nil
	})
	if err != nil {
		return out, deny(ctx, x.InTx, in, "remediation", err)
	}
	return out, nil
}

// look is with for a step that only reads.
func (x *Actions) look(ctx context.Context, in GateRef) (a remediation.Action, err error) {
	_, err = x.with(ctx, in, func(w *act) error { a = w.Action; return nil })
	return a, err
}

// ApplyAction sends the command of an action, once. When an earlier attempt may
// have sent it, the target's system is asked first, by the idempotency key; what
// cannot be found out stays unknown, and is not sent again.
func (x *Actions) ApplyAction(ctx context.Context, in GateRef) (ActionState, error) {
	defer beat(ctx)()
	a, err := x.look(ctx, in)
	if err != nil || a.Status != remediation.Executing {
		return stateOf(a), temporalError(err)
	}
	system := x.Systems.For(a.Mode)
	sent := !a.SentAt.IsZero()
	if !sent {
		state, moved, err := x.drifted(ctx, in, system, a)
		if err != nil || moved && !state.Acting() {
			return state, temporalError(err)
		}
		sent = moved // by another attempt, which has sent the command meanwhile
	}
	if sent {
		found := system.Lookup(ctx, a.Plan.Target.Kind, a.Key)
		if found.Status != remediation.Absent {
			return x.record(ctx, in, found)
		}
	}
	state, err := x.with(ctx, in, func(w *act) error { return w.sending(ctx) })
	if err != nil || !state.Acting() {
		return state, temporalError(err)
	}
	failpoint.Hit("action.before-send")
	got := system.Apply(ctx, a.Connector, a.Key, a.Plan.Target, a.Plan.Command)
	failpoint.Hit("action.after-send")
	if got.Status == remediation.NotSent {
		return x.notSent(ctx, in, a.SentAt, got)
	}
	return x.record(ctx, in, got)
}

// drifted looks whether the target, and all on which the plan depends, is where it was
// when the action was planned. What has moved was not what people judged: nothing is
// sent. Only where another attempt has sent it already does the action go on.
func (x *Actions) drifted(ctx context.Context, in GateRef, system System, a remediation.Action) (ActionState, bool, error) {
	target := remediation.Needed{Connector: a.Connector, Kind: a.Plan.Target.Kind, ID: a.Plan.Target.ID, Version: a.Plan.Target.Version}
	why, err := movedAmong(ctx, system, append([]remediation.Needed{target}, a.Plan.Needs...))
	if err != nil || why == "" {
		return stateOf(a), false, err
	}
	state, err := x.with(ctx, in, func(w *act) error {
		if w.Status != remediation.Executing || !w.SentAt.IsZero() {
			return nil
		}
		return w.supersede(ctx, why)
	})
	return state, true, err
}

// movedAmong says which of some objects is not where it was, or returns "".
func movedAmong(ctx context.Context, system System, objects []remediation.Needed) (string, error) {
	for _, o := range objects {
		now, connector, err := system.Read(ctx, o.Kind, o.ID)
		switch {
		case fault.KindOf(err) == fault.NotFound:
			return o.Key() + " is gone", nil
		case err != nil:
			return "", err
		case connector != o.Connector:
			return o.Key() + " is served by connector " + connector + " now", nil
		case now.Version != o.Version:
			return o.Key() + " is at version " + now.Version + " now, not " + o.Version, nil
		}
	}
	return "", nil
}

// sending records that the command leaves now. A stop that came meanwhile wins; what
// an earlier attempt may have sent is then found out, and not sent again.
func (w *act) sending(ctx context.Context) error {
	if w.Status != remediation.Executing {
		return nil
	}
	stop, stopped, err := w.tx.StopInForce(ctx, w.Desk)
	switch {
	case err != nil:
		return err
	case stopped && w.SentAt.IsZero():
		return w.finish(ctx, remediation.Failed, "not sent: "+stopWords(stop))
	case stopped:
		return w.finish(ctx, remediation.Unknown, "not sent again: "+stopWords(stop))
	}
	w.SentAt = w.tx.Now() // the last moment: only after its transit is absence final
	return w.tx.SaveAction(ctx, w.Action)
}

// notSent takes back that the command left in this attempt, since it certainly did
// not, and has the attempt repeated. What an earlier one sent at a moment before
// stays sent.
func (x *Actions) notSent(ctx context.Context, in GateRef, before time.Time, got remediation.Outcome) (ActionState, error) {
	state, err := x.with(ctx, in, func(w *act) error {
		if w.Status != remediation.Executing {
			return nil
		}
		w.SentAt = before
		return w.tx.SaveAction(ctx, w.Action)
	})
	if err == nil {
		err = fault.New(fault.Unavailable, "not-sent", "the system could not be reached, and nothing was sent: %s", got.Why)
	}
	return state, temporalError(err)
}

// record records what is known of a command that was sent.
func (x *Actions) record(ctx context.Context, in GateRef, got remediation.Outcome) (ActionState, error) {
	state, err := x.with(ctx, in, func(w *act) error { return w.outcome(ctx, got) })
	failpoint.Hit("action.after-record")
	return state, temporalError(err)
}

func (w *act) outcome(ctx context.Context, got remediation.Outcome) error {
	if w.Status != remediation.Executing && w.Status != remediation.Unknown {
		return nil
	}
	switch got.Status {
	case remediation.Applied:
		w.EffectID = got.EffectID
		w.Recovery = remediation.Waiting
		return w.finish(ctx, remediation.Done, got.Why)
	case remediation.Refused, remediation.Absent:
		return w.finish(ctx, remediation.Failed, got.Why)
	case remediation.Moved:
		if w.Status == remediation.Executing {
			return w.supersede(ctx, got.Why)
		}
		return w.finish(ctx, remediation.Failed, got.Why)
	case remediation.NotSent, remediation.Unheard: // nobody knows
	}
	if w.Status == remediation.Unknown {
		return nil
	}
	return w.finish(ctx, remediation.Unknown, got.Why)
}

// finish writes a status with its entry. The lease stays until the target is well
// again, and as long as nobody knows what became of the command.
func (w *act) finish(ctx context.Context, to remediation.Status, why string) error {
	w.Status, w.StatusReason = to, agent.Shorten(why, mostWhy)
	if to.Terminal() {
		w.EndedAt = w.tx.Now()
		w.Leased = to == remediation.Done
	}
	if err := w.tx.SaveAction(ctx, w.Action); err != nil {
		return err
	}
	details := canonical.Object{}
	if w.Key != "" {
		details["idempotency_key"] = w.Key
	}
	if w.EffectID != "" {
		details["effect_id"] = w.EffectID
	}
	return w.append(ctx, "effect."+string(to), "outcome", string(to), w.StatusReason, details)
}

func (w *act) supersede(ctx context.Context, why string) error {
	return w.finish(ctx, remediation.Superseded, why)
}

// append writes an entry about the action. It stands in the history of the
// incident.
func (w *act) append(ctx context.Context, typ, step, outcome, reason string, details canonical.Object) error {
	for name, value := range map[string]string{
		"action_id": strconv.FormatInt(w.ID, 10), "run_id": strconv.FormatInt(w.RunID, 10), "action": w.Plan.Action, "connector": w.Connector,
		"target": w.Object().Key(), "plan_digest": w.PlanDigest, "action_digest": w.m.ActionDigest,
	} {
		details[name] = value
	}
	_, err := w.tx.Append(ctx, stepOf(ctx, w.firstRun, "action-"+step, strconv.FormatInt(w.ID, 10)+" "+typ), ledger.Entry{
		Type: typ, Actor: w.by, Subject: ledger.Subject{Kind: "incident", ID: strconv.FormatInt(w.IncidentID, 10)},
		Action: w.m.Kind, Outcome: outcome, Reason: reason, Desk: w.Desk, RequestID: w.m.RequestID, TraceID: w.m.TraceID,
		Simulation: w.m.Simulation, Details: details,
	})
	return err
}
