package activities

import (
	"context"
	"strconv"

	"finobs/internal/agent"
	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/budget"
	"finobs/internal/canonical"
	"finobs/internal/failpoint"
	"finobs/internal/fault"
	"finobs/internal/ledger"

	"go.temporal.io/sdk/activity"
)

// AgentTx is what runs of agents need of a transaction.
type AgentTx interface {
	EffectTx
	EvidenceTx
	SpendTx
	PlanTx
	FailRunTx
	InsertRun(ctx context.Context, r agent.Run, parameters map[string]string) (int64, error)
	RunOf(ctx context.Context, approvalID int64) (agent.Run, bool, error)
	LockRun(ctx context.Context, id int64) (agent.Run, error)
	KeepEvidence(ctx context.Context, runID int64, bundle []byte) (sha256 string, err error)
	Blob(ctx context.Context, sha256 string) ([]byte, error)
	EndRun(ctx context.Context, r agent.Run, output []byte) error
	InsertFindings(ctx context.Context, runID int64, findings []agent.Finding) error
}

// Agents are the activities of a run of an agent.
type Agents struct {
	InTx     Transaction[AgentTx]
	Verifier *attest.Verifier
	Systems  Systems  // of desks, to read the targets of actions
	Rulebook Rulebook // always there
	Model    Model    // nil: none is configured
	Limits   budget.Limits
	Breaches Breaches // the rules of compliance over the books
}

// RunRef names a run in the steps that carry it on.
type RunRef struct {
	GateRef
	RunID int64      `json:"run_id"`
	Kind  agent.Kind `json:"kind"`
}

// BeginRun spends the approval of a run and records that it begins, in one
// transaction. A retry finds it begun.
func (x *Agents) BeginRun(ctx context.Context, in GateRef) (RunRef, error) {
	out := RunRef{GateRef: in}
	var refused error
	err := x.InTx(ctx, func(tx AgentTx) error {
		m, how, err := spend(ctx, tx, x.Verifier, in)
		switch {
		case err != nil:
			return err
		case how == superseded:
			refused = targetMoved(m)
			return nil
		}
		if how == spentOnce {
			run, found, err := tx.RunOf(ctx, in.ApprovalID)
			if err == nil && !found {
				err = fault.New(fault.Internal, "run-lost", "approval %d is spent and has no run", in.ApprovalID)
			}
			out.RunID, out.Kind = run.ID, run.Request.Kind
			return err
		}
		out.RunID, out.Kind, err = beginRun(ctx, tx, in, m)
		return err
	})
	if err == nil {
		err = refused
	}
	if err != nil {
		return out, temporalError(deny(ctx, x.InTx, in, "agent", err))
	}
	failpoint.Hit("agent.after-begin")
	return out, nil
}

func beginRun(ctx context.Context, tx AgentTx, in GateRef, m matter) (int64, agent.Kind, error) {
	request, err := agent.RequestOf(m.action)
	if err != nil {
		return 0, "", err
	}
	run := agent.Run{
		ApprovalID: m.ID, Request: request, Requester: m.Requester, Desk: m.Desk, WorkflowID: m.WorkflowID, RequestID: m.RequestID, TraceID: m.TraceID,
	}
	if run.ID, err = tx.InsertRun(ctx, run, parametersOf(m)); err != nil {
		return 0, "", err
	}
	_, err = tx.Append(ctx, stepOf(ctx, in.FirstRun, "begin-run", strconv.FormatInt(m.ID, 10)), ledger.Entry{
		Type: "agent.begun", Actor: ledger.Itself("worker"), Subject: runSubject(run), Action: m.Kind, Outcome: "begun",
		Reason: m.Reason, Desk: m.Desk, RequestID: m.RequestID, TraceID: m.TraceID, Simulation: m.Simulation,
		Details: runDetails(run, canonical.Object{"action_digest": m.ActionDigest}),
	})
	return run.ID, request.Kind, err
}

// parametersOf are the parameters of an approved run, with the targets that a
// person named, as the record keeps them.
func parametersOf(m matter) map[string]string {
	out := map[string]string{}
	for name, value := range m.action.Parameters {
		out[name] = value
	}
	return out
}

// runSubject is what entries about a run are about: the incident, where there is
// one, so that they stand in its history.
func runSubject(r agent.Run) ledger.Subject {
	if r.Request.IncidentID > 0 {
		return ledger.Subject{Kind: "incident", ID: strconv.FormatInt(r.Request.IncidentID, 10)}
	}
	return ledger.Subject{Kind: "agent_run", ID: strconv.FormatInt(r.ID, 10)}
}

func runDetails(r agent.Run, more canonical.Object) canonical.Object {
	out := canonical.Object{"run_id": strconv.FormatInt(r.ID, 10), "approval_id": strconv.FormatInt(r.ApprovalID, 10), "kind": string(r.Request.Kind)}
	for name, value := range more {
		out[name] = value
	}
	return out
}

// entry is the frame of an entry about a run.
func runEntry(r agent.Run, typ string, actor ledger.Actor, outcome string, details canonical.Object) ledger.Entry {
	return ledger.Entry{
		Type: typ, Actor: actor, Subject: runSubject(r), Action: agent.ActionPrefix + string(r.Request.Kind), Outcome: outcome, Desk: r.Desk,
		RequestID: r.RequestID, TraceID: r.TraceID, Simulation: r.Request.Simulated(), Details: runDetails(r, details),
	}
}

// FailRunInput names a run that cannot go on.
type FailRunInput struct {
	RunRef
	Why string `json:"why"`
}

// FailRun records that a run came to nothing. A run that is done stays done.
func (x *Agents) FailRun(ctx context.Context, in FailRunInput) error {
	err := x.InTx(ctx, func(tx AgentTx) error {
		r, err := x.runOf(ctx, tx, in.RunRef)
		if err != nil {
			return err
		}
		_, err = failRun(ctx, tx, in.FirstRun, r, in.Why, ledger.Itself("worker"))
		return err
	})
	return temporalError(err)
}

// FailRunTx is what failing a run needs of a transaction.
type FailRunTx interface {
	Recorder
	FailRun(ctx context.Context, id int64, why string) error
}

// mostWhy bounds a reason that comes from elsewhere, in bytes: an entry of the log has
// a limit, and a reason that is over it would never be recorded.
const mostWhy = 2000

// failRun fails a run that goes on, and reports whether it did.
func failRun(ctx context.Context, tx FailRunTx, firstRun string, r agent.Run, why string, by ledger.Actor) (bool, error) {
	if r.Status != agent.Running {
		return false, nil
	}
	why = agent.Shorten(why, mostWhy)
	if err := tx.FailRun(ctx, r.ID, why); err != nil {
		return false, err
	}
	e := runEntry(r, "agent.failed", by, "failed", nil)
	e.Reason = why
	_, err := tx.Append(ctx, stepOf(ctx, firstRun, "fail-run", strconv.FormatInt(r.ID, 10)), e)
	return err == nil, err
}

// runOf reads the run that the workflow's own approval let begin. Whatever a step
// is told, it works for no other.
func (x *Agents) runOf(ctx context.Context, tx AgentTx, in RunRef) (agent.Run, error) {
	r, found, err := tx.RunOf(ctx, in.ApprovalID)
	if err != nil {
		return r, err
	}
	if !found || r.ID != in.RunID || r.WorkflowID != activity.GetInfo(ctx).WorkflowExecution.ID {
		return r, fault.New(fault.Forbidden, "not-this-run", "run %d is not one that approval %d let begin in this workflow", in.RunID, in.ApprovalID)
	}
	return r, nil
}

// running is runOf for the steps that do something; done reports that there is
// nothing left to do.
func (x *Agents) running(ctx context.Context, tx AgentTx, in RunRef) (r agent.Run, done bool, err error) {
	if r, err = x.runOf(ctx, tx, in); err != nil {
		return r, false, err
	}
	if r.Status == agent.Failed {
		return r, false, fault.New(fault.Conflict, "run-failed", "run %d failed: %s", r.ID, r.Failure)
	}
	return r, r.Status == agent.Done, nil
}

// agentActor is the analyst that spoke, by its version.
func agentActor(version string) ledger.Actor {
	return ledger.Actor{Kind: approval.Agent, Person: approval.Person{Issuer: "finobs", Subject: version}}
}
