package activities

import (
	"context"
	"strconv"

	"finobs/internal/action"
	"finobs/internal/agent"
	"finobs/internal/canonical"
	"finobs/internal/failpoint"
	"finobs/internal/fault"
	"finobs/internal/ledger"
	"finobs/internal/remediation"

	"go.temporal.io/sdk/activity"
)

// PlanTx records what was planned.
type PlanTx interface {
	NextApprovalID(ctx context.Context) (int64, error)
	InsertAction(ctx context.Context, x remediation.Action) error
	ActionsOfRun(ctx context.Context, runID int64) ([]int64, error)
}

// Planned are the actions that a run planned.
type Planned struct {
	Actions []int64 `json:"actions,omitempty"`
}

// PlanActions makes the dry run of every proposal over its target as it is now, and
// records what would be done. Nothing is sent to anybody: each plan waits for an
// approval of its own. A proposal that cannot be planned is recorded as such.
func (x *Agents) PlanActions(ctx context.Context, in RunRef) (Planned, error) {
	defer beat(ctx)()
	var out Planned
	var run agent.Run
	var bundle []agent.Evidence
	var output agent.Output
	err := x.InTx(ctx, func(tx AgentTx) error {
		var done bool
		var err error
		if run, done, err = x.running(ctx, tx, in); err != nil {
			return err
		}
		if !done {
			return fault.New(fault.Conflict, "no-output", "the agent has said nothing in run %d: the step that analyses was completed by somebody else", run.ID)
		}
		if out.Actions, err = tx.ActionsOfRun(ctx, run.ID); err != nil || len(out.Actions) > 0 {
			return err
		}
		if bundle, _, err = shown(ctx, tx, run); err != nil {
			return err
		}
		encoded, err := tx.Blob(ctx, run.Result.OutputSHA256)
		if err != nil {
			return err
		}
		output, err = agent.DecodeOutput(encoded)
		return err
	})
	if err != nil || len(out.Actions) > 0 {
		return out, temporalError(err)
	}
	planned, refused, err := x.plan(ctx, run, bundle, output)
	if err != nil {
		return out, temporalError(err)
	}
	err = x.InTx(ctx, func(tx AgentTx) error {
		if _, err := tx.LockRun(ctx, run.ID); err != nil { // whoever plans at the same time waits, and finds it planned
			return err
		}
		before, err := tx.ActionsOfRun(ctx, run.ID)
		if err != nil || len(before) > 0 {
			out.Actions = before
			return err
		}
		out.Actions, err = recordPlans(ctx, tx, in, run, planned, refused)
		return err
	})
	failpoint.Hit("agent.after-plan")
	return out, temporalError(err)
}

// unplanned is a proposal that could not be planned, and why.
type unplanned struct {
	ordinal  int
	proposal agent.Proposal
	why      error
}

// plan plans each proposal. A system that does not answer is asked again by the next
// attempts, and only the last one goes on without it.
func (x *Agents) plan(ctx context.Context, run agent.Run, bundle []agent.Evidence, output agent.Output) (planned []remediation.Action, refused []unplanned, err error) {
	system := x.Systems.For(run.Request.Mode)
	for n, p := range output.Proposals {
		a, err := planOne(ctx, system, run, bundle, p)
		if fault.KindOf(err) == fault.Unavailable && activity.GetInfo(ctx).Attempt < readAttempts {
			return nil, nil, err
		}
		if err != nil {
			refused = append(refused, unplanned{n + 1, p, err})
			continue
		}
		a.Ordinal = n + 1
		planned = append(planned, a)
	}
	return planned, refused, nil
}

func planOne(ctx context.Context, system System, run agent.Run, bundle []agent.Evidence, p agent.Proposal) (remediation.Action, error) {
	var out remediation.Action
	target, ok := evidenceNamed(bundle, p.Target)
	if !ok || target.Kind != agent.OfTarget {
		return out, fault.New(fault.Invalid, "no-such-target", "the target of the proposal is not in evidence")
	}
	t, err := action.Find(p.Action)
	if err != nil {
		return out, err
	}
	o, connector, err := system.Read(ctx, target.Facts["kind"], target.Facts["id"])
	if err != nil {
		return out, err
	}
	plan, err := remediation.PlanFor(t, o, p.Parameters, func(kind, id string) (action.Object, string, error) { return system.Read(ctx, kind, id) })
	if err != nil {
		return out, err
	}
	out = remediation.Action{
		RunID: run.ID, IncidentID: run.Request.IncidentID, Connector: connector, Plan: plan, Risk: t.Risk, Mode: run.Request.Mode,
		Requester: run.Requester, Desk: run.Desk, Reason: p.Reason,
	}
	out.PlanBytes, out.PlanDigest, err = plan.Canonical()
	return out, err
}

func evidenceNamed(bundle []agent.Evidence, id string) (agent.Evidence, bool) {
	for _, e := range bundle {
		if e.ID == id {
			return e, true
		}
	}
	return agent.Evidence{}, false
}

func recordPlans(ctx context.Context, tx AgentTx, in RunRef, run agent.Run, planned []remediation.Action, refused []unplanned) ([]int64, error) {
	var ids []int64
	for _, a := range planned {
		var err error
		if a.ID, err = tx.NextApprovalID(ctx); err != nil {
			return nil, err
		}
		if err := tx.InsertAction(ctx, a); err != nil {
			return nil, err
		}
		e := runEntry(run, "agent.planned", agentActor(run.Result.Version), "planned", canonical.Object{
			"action_id": strconv.FormatInt(a.ID, 10), "action": a.Plan.Action, "connector": a.Connector,
			"target": a.Object().Key(), "target_version": a.Plan.Target.Version, "plan_digest": a.PlanDigest,
		})
		e.Reason = a.Reason
		if _, err := tx.Append(ctx, stepOf(ctx, in.FirstRun, "plan", strconv.FormatInt(run.ID, 10)+" "+strconv.Itoa(a.Ordinal)), e); err != nil {
			return nil, err
		}
		ids = append(ids, a.ID)
	}
	for _, u := range refused {
		e := runEntry(run, "agent.not_planned", ledger.Itself("worker"), "refused", canonical.Object{
			"action": u.proposal.Action, "target": u.proposal.Target, "code": fault.CodeOf(u.why),
		})
		e.Reason = fault.MessageOf(u.why)
		if _, err := tx.Append(ctx, stepOf(ctx, in.FirstRun, "not-planned", strconv.FormatInt(run.ID, 10)+" "+strconv.Itoa(u.ordinal)), e); err != nil {
			return nil, err
		}
	}
	return ids, nil
}
