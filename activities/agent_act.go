package activities

import (
	"context"
	"slices"
	"strconv"

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

// AgentActTx is what acts about agents need of a transaction.
type AgentActTx interface {
	JudgeTx
	BeginAct(ctx context.Context, actID string) (first bool, delegationID int64, err error)
	LockRun(ctx context.Context, id int64) (agent.Run, error)
	Blob(ctx context.Context, sha256 string) ([]byte, error)
	InsertVerdict(ctx context.Context, v agent.Verdict) error
	LockStops(ctx context.Context) error
	InsertStop(ctx context.Context, s agent.StopOrder) (id int64, first bool, err error)
	LockAction(ctx context.Context, id int64) (remediation.Action, error)
	SaveAction(ctx context.Context, x remediation.Action) error
	NudgeLife(ctx context.Context, id int64) error
}

// AgentActs are the activities for what people do about agents and their actions.
type AgentActs struct {
	InTx     Transaction[AgentActTx]
	Verifier *attest.Verifier
}

// AgentActInput is an act with the API's word for who does it.
type AgentActInput struct {
	FirstRun string    `json:"first_run"`
	Command  string    `json:"command"`
	Act      agent.Act `json:"act"`
}

// AgentActDone is what an act led to.
type AgentActDone struct {
	Override string `json:"override_type,omitempty"`
	StopID   int64  `json:"stop_id,omitempty"`
	Status   string `json:"status,omitempty"`
}

// RecordAgentAct does an act once, with its entry.
func (x *AgentActs) RecordAgentAct(ctx context.Context, in AgentActInput) (AgentActDone, error) {
	digest, err := in.Act.Digest()
	if err != nil {
		return AgentActDone{}, temporalError(fault.Wrap(err, fault.Invalid, "invalid-act", "the act is not valid text"))
	}
	c, err := command(ctx, x.Verifier, in.Command, digest)
	if err == nil {
		err = in.Act.Validate()
	}
	if err == nil && c.Principal.Kind != approval.Human {
		err = fault.New(fault.Forbidden, "people-only", "only a person may do this")
	}
	if err != nil {
		return AgentActDone{}, temporalError(refuseStart(ctx, x.InTx, in.FirstRun, in.Command, err))
	}
	var out AgentActDone
	err = x.InTx(ctx, func(tx AgentActTx) error {
		first, _, err := tx.BeginAct(ctx, in.Act.ID)
		if err != nil {
			return err
		}
		w := agentAct{tx: tx, in: in, c: c, first: first}
		switch in.Act.Verb {
		case agent.Override:
			out, err = w.override(ctx)
		case agent.Stop:
			out, err = w.stop(ctx)
		case agent.Resolve:
			out, err = w.resolve(ctx)
		default:
			out, err = w.withdraw(ctx)
		}
		return err
	})
	if err != nil {
		err = refuseStart(ctx, x.InTx, in.FirstRun, in.Command, err)
	}
	failpoint.Hit("agent-act.after-record")
	return out, temporalError(err)
}

// agentAct is one act in a transaction. A retry, which is not the first, changes
// nothing and answers the same.
type agentAct struct {
	tx    AgentActTx
	in    AgentActInput
	c     attest.Command
	first bool
}

// override records which value of a field is right, by a person's word. When it is
// the agent's own, that is agreement, and no override.
func (w agentAct) override(ctx context.Context) (AgentActDone, error) {
	a := w.in.Act
	run, err := w.tx.LockRun(ctx, a.RunID)
	if err != nil {
		return AgentActDone{}, err
	}
	if run.Status != agent.Done {
		return AgentActDone{}, fault.New(fault.Conflict, "run-not-done", "run %d is %s; there is nothing to judge", run.ID, run.Status)
	}
	recommended, err := w.recommended(ctx, run)
	if err != nil {
		return AgentActDone{}, err
	}
	override := agent.OverrideType(recommended, a.Chosen)
	if !w.first {
		return AgentActDone{Override: override}, nil
	}
	err = w.tx.InsertVerdict(ctx, agent.Verdict{
		ID: a.ID, RunID: run.ID, Field: a.Field, Recommended: recommended, Chosen: a.Chosen, Override: override, Reason: a.Reason, By: w.c.Principal.Person,
	})
	if err != nil {
		return AgentActDone{}, err
	}
	typ, outcome := "agent.overridden", "overridden"
	if override == "" {
		typ, outcome = "agent.agreed", "agreed"
	}
	e := runEntry(run, typ, ledger.By(w.c.Principal), outcome, canonical.Object{
		"field": string(a.Field), "recommended": recommended, "chosen": a.Chosen, "agent_version": run.Result.Version,
	})
	e.OverrideType, e.Reason = override, a.Reason
	e.RequestID, e.TraceID = w.c.RequestID, w.c.TraceID
	_, err = w.tx.Append(ctx, stepOf(ctx, w.in.FirstRun, "agent-override", a.ID), e)
	return AgentActDone{Override: override}, err
}

// noAction is what a person chooses who thinks that nothing should be done.
const noAction = "none"

// recommended is what the agent said of the field that a person judges.
func (w agentAct) recommended(ctx context.Context, run agent.Run) (string, error) {
	a := w.in.Act
	switch a.Field {
	case agent.FieldSeverity:
		return string(run.Result.Output.Severity), nil
	case agent.FieldCategory:
		return string(run.Result.Output.Category), nil
	case agent.FieldAction: // its proposals say
	}
	if a.Chosen != noAction {
		if _, err := action.Find(a.Chosen); err != nil {
			return "", err
		}
	}
	encoded, err := w.tx.Blob(ctx, run.Result.OutputSHA256)
	if err != nil {
		return "", err
	}
	o, err := agent.DecodeOutput(encoded)
	if err != nil {
		return "", err
	}
	if len(o.Proposals) == 0 {
		if a.Chosen == noAction { // that is what it said
			return noAction, nil
		}
		return "", nil
	}
	if slices.ContainsFunc(o.Proposals, func(p agent.Proposal) bool { return p.Action == a.Chosen }) {
		return a.Chosen, nil
	}
	return o.Proposals[0].Action, nil
}

// stop lets no action begin from now on. One that was sent is not called back.
func (w agentAct) stop(ctx context.Context) (AgentActDone, error) {
	a := w.in.Act
	if err := w.tx.LockStops(ctx); err != nil {
		return AgentActDone{}, err
	}
	id, begun, err := w.tx.InsertStop(ctx, agent.StopOrder{Desk: a.Desk, Reason: a.Reason, By: w.c.Principal.Person})
	if err != nil || !w.first || !begun {
		return AgentActDone{StopID: id}, err
	}
	_, err = w.tx.Append(ctx, stepOf(ctx, w.in.FirstRun, "agent-stop", a.ID), ledger.Entry{
		Type: "agent.stopped", Actor: ledger.By(w.c.Principal), Subject: stopSubject(id), Action: "stop", Outcome: "done", Reason: a.Reason,
		Desk: a.Desk, RequestID: w.c.RequestID, TraceID: w.c.TraceID, Details: canonical.Object{"desk": a.Desk},
	})
	return AgentActDone{StopID: id}, err
}

func stopSubject(id int64) ledger.Subject {
	return ledger.Subject{Kind: agent.StopTarget, ID: strconv.FormatInt(id, 10)}
}

// resolve records what a person found out about an action whose outcome nobody
// knew. Whoever asked for the action does not judge it.
func (w agentAct) resolve(ctx context.Context) (AgentActDone, error) {
	x, err := w.tx.LockAction(ctx, w.in.Act.ActionID)
	if err != nil {
		return AgentActDone{}, err
	}
	if !w.first {
		return AgentActDone{Status: string(x.Status)}, nil
	}
	unknown := x.Status == remediation.Unknown
	undoing := x.Recovery == remediation.CompensationUnknown
	switch {
	case !unknown && !undoing:
		return AgentActDone{}, fault.New(fault.Conflict, "outcome-known", "action %d is %s: its outcome is known", x.ID, x.Status)
	case x.Requester.Same(w.c.Principal.Person):
		return AgentActDone{}, fault.New(fault.Forbidden, "own-action", "whoever asked for an action does not say what became of it")
	}
	done := w.in.Act.Found == agent.FoundDone
	if unknown {
		x.Status = remediation.Failed
		if done {
			x.Status, x.Recovery = remediation.Done, remediation.NotRecovered
			x.RecoveryReason = "not looked at: a person found out that it was applied"
		}
		x.StatusReason, x.EndedAt = w.in.Act.Reason, w.tx.Now()
	} else {
		x.Recovery, x.RecoveryReason = remediation.CompensationFailed, w.in.Act.Reason
		if done {
			x.Recovery = remediation.Compensated
		}
	}
	x.Leased, x.ResolvedBy = false, w.c.Principal.Person
	return AgentActDone{Status: string(x.Status)}, w.save(ctx, x, "effect.resolved", w.in.Act.Found)
}

// withdraw takes back a planned action that is not carried out yet. Its request for
// approval, if there is one, is cancelled by its own route.
func (w agentAct) withdraw(ctx context.Context) (AgentActDone, error) {
	x, err := w.tx.LockAction(ctx, w.in.Act.ActionID)
	if err != nil || !w.first {
		return AgentActDone{Status: string(x.Status)}, err
	}
	if x.Status != remediation.Planned {
		return AgentActDone{}, fault.New(fault.Conflict, "action-begun", "action %d is %s and cannot be withdrawn", x.ID, x.Status)
	}
	x.Status, x.StatusReason, x.EndedAt = remediation.Withdrawn, w.in.Act.Reason, w.tx.Now()
	return AgentActDone{Status: string(x.Status)}, w.save(ctx, x, "agent.withdrawn", string(x.Status))
}

func (w agentAct) save(ctx context.Context, x remediation.Action, typ, outcome string) error {
	if err := w.tx.SaveAction(ctx, x); err != nil {
		return err
	}
	if err := w.tx.NudgeLife(ctx, x.IncidentID); err != nil {
		return err
	}
	_, err := w.tx.Append(ctx, stepOf(ctx, w.in.FirstRun, "agent-act", w.in.Act.ID), ledger.Entry{
		Type: typ, Actor: ledger.By(w.c.Principal), Subject: ledger.Subject{Kind: "incident", ID: strconv.FormatInt(x.IncidentID, 10)},
		Action: string(w.in.Act.Verb), Outcome: outcome, Reason: w.in.Act.Reason, Desk: x.Desk, RequestID: w.c.RequestID, TraceID: w.c.TraceID,
		Simulation: x.Mode == approval.Simulation, Details: canonical.Object{"action_id": strconv.FormatInt(x.ID, 10), "action": x.Plan.Action, "target": x.Object().Key()},
	})
	return err
}
