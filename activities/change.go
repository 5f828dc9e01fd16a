package activities

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"finobs/internal/agent"
	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/canonical"
	"finobs/internal/export"
	"finobs/internal/failpoint"
	"finobs/internal/fault"
	"finobs/internal/ledger"
)

// ChangeTx is what changes of finobs' own settings need of a transaction.
type ChangeTx interface {
	EffectTx
	PutMember(ctx context.Context, m approval.Member) (bool, error)
	InsertPolicySet(ctx context.Context, content string, approvalID int64, by approval.Person) (bool, error)
	PolicySetInForce(ctx context.Context) (string, error)
	ScheduleTx
	LiftStop(ctx context.Context, id, approvalID int64) (agent.StopOrder, bool, error)
}

// Changes are the activities that change the roster, the policies and the
// schedules, and lift stops of agents. The effect is in the same database as the approval, so both happen in one transaction.
type Changes struct {
	InTx     Transaction[ChangeTx]
	Verifier *attest.Verifier
}

// ChangeDone says that a change is in force.
type ChangeDone struct {
	Applied bool `json:"applied"`
}

// ApplyChange carries out an approved change once.
func (x *Changes) ApplyChange(ctx context.Context, in GateRef) (ChangeDone, error) {
	var refused error
	err := x.InTx(ctx, func(tx ChangeTx) error {
		m, how, err := spend(ctx, tx, x.Verifier, in)
		switch {
		case err != nil:
			return err
		case how == superseded:
			refused = targetMoved(m)
			return nil
		case how == spentOnce:
			return nil
		}
		return x.apply(ctx, tx, in, m)
	})
	if err = errors.Join(err, refused); err != nil {
		return ChangeDone{}, temporalError(deny(ctx, x.InTx, in, "change", err))
	}
	failpoint.Hit("change.after-apply")
	return ChangeDone{Applied: true}, nil
}

func (x *Changes) apply(ctx context.Context, tx ChangeTx, in GateRef, m matter) error {
	switch m.Kind {
	case approval.KindUserAdd, approval.KindUserChange:
		return applyMember(ctx, tx, in, m)
	case approval.KindPolicyActivate:
		return applyPolicies(ctx, tx, in, m)
	case export.KindScheduleCreate, export.KindScheduleChange:
		return applySchedule(ctx, tx, in, m)
	case agent.KindResume:
		return liftStop(ctx, tx, in, m)
	}
	return fault.New(fault.Forbidden, "not-a-change", "actions of kind %s change nothing of finobs' own", m.Kind)
}

func applyMember(ctx context.Context, tx ChangeTx, in GateRef, m matter) error {
	member, err := approval.MemberOf(m.action)
	if err != nil {
		return err
	}
	before, err := tx.Members(ctx, []approval.Person{member.Person})
	if err != nil {
		return err
	}
	ok, err := tx.PutMember(ctx, member)
	if err != nil {
		return err
	}
	if !ok { // spend saw the version; somebody changed it in this very moment
		return fault.New(fault.Unavailable, "roster-moved", "the roster changed at the same moment; trying again")
	}
	member.Version++ // as it is on the roster now
	details := canonical.Object{"after": memberObject(member)}
	typ := "user.added"
	if len(before) == 1 {
		typ, details["before"] = "user.changed", memberObject(before[0])
	}
	return appendChange(ctx, tx, in, m, typ, ledger.Subject{Kind: "user", ID: member.Issuer + "|" + member.Subject}, details)
}

// liftStop lets actions begin again.
func liftStop(ctx context.Context, tx ChangeTx, in GateRef, m matter) error {
	id, err := agent.StopOf(m.action)
	if err != nil {
		return err
	}
	stop, lifted, err := tx.LiftStop(ctx, id, m.ID)
	if err != nil {
		return err
	}
	if !lifted {
		return fault.New(fault.Conflict, "stop-lifted", "stop %d is not in force any more", id)
	}
	return appendChange(ctx, tx, in, m, "agent.resumed", stopSubject(id), canonical.Object{"desk": stop.Desk})
}

func memberObject(m approval.Member) canonical.Object {
	return canonical.Object{
		"iss": m.Issuer, "sub": m.Subject, "kind": string(m.Kind), "roles": strings.Join(m.Roles, " "), "desk": m.Desk,
		"active": m.Active, "version": strconv.FormatInt(m.Version, 10),
	}
}

func applyPolicies(ctx context.Context, tx ChangeTx, in GateRef, m matter) error {
	if err := approval.CheckActivation(m.action, m.Attachment); err != nil {
		return err
	}
	inForce, err := tx.PolicySetInForce(ctx)
	if err != nil {
		return err
	}
	if replaced := m.action.Parameters["replaces_sha256"]; replaced != inForce {
		return fault.New(fault.Conflict, "target-moved", "other policies came into force since this was asked for; ask again")
	}
	if _, err := tx.InsertPolicySet(ctx, m.Attachment, m.ID, m.Requester); err != nil {
		return err
	}
	return appendChange(ctx, tx, in, m, "policy.activated", ledger.Subject{Kind: "policy", ID: m.action.Parameters["sha256"]}, canonical.Object{
		"sha256": m.action.Parameters["sha256"], "replaces_sha256": inForce,
	})
}

func appendChange(ctx context.Context, tx ChangeTx, in GateRef, m matter, typ string, subject ledger.Subject, details canonical.Object) error {
	details["approval_id"], details["action_digest"] = strconv.FormatInt(m.ID, 10), m.ActionDigest
	_, err := tx.Append(ctx, stepOf(ctx, in.FirstRun, "apply-change", strconv.FormatInt(m.ID, 10)), ledger.Entry{
		Type: typ, Actor: ledger.Actor{Kind: approval.Human, Person: m.Requester}, Subject: subject, Action: m.Kind, Outcome: "done",
		Reason: m.Reason, Desk: m.Desk, RequestID: m.RequestID, TraceID: m.TraceID, Simulation: m.Simulation, Details: details,
	})
	return err
}

// FirstStart puts a policy file and a roster in force on a database that has
// none: the only change that nobody approves, made before anybody could.
func (x *Changes) FirstStart(ctx context.Context, policies string, roster approval.Roster) error {
	if _, err := approval.LoadPolicies(strings.NewReader(policies)); err != nil {
		return err
	}
	step := func(what string) ledger.Step {
		return ledger.Step{Workflow: ledger.Workflow{ID: "first-start"}, Step: "first-start", Ordinal: what}
	}
	return x.InTx(ctx, func(tx ChangeTx) error {
		inForce, err := tx.PolicySetInForce(ctx)
		if err != nil || inForce != "" {
			return err
		}
		first, err := tx.InsertPolicySet(ctx, policies, 0, ledger.Itself("worker").Person)
		if err != nil || !first {
			return err
		}
		if inForce, err = tx.PolicySetInForce(ctx); err != nil {
			return err
		}
		_, err = tx.Append(ctx, step("policies"), ledger.Entry{
			Type: "policy.activated", Actor: ledger.Itself("worker"), Subject: ledger.Subject{Kind: "policy", ID: inForce}, Action: "first_start",
			Outcome: "done", Reason: "first start on this database", Details: canonical.Object{"sha256": inForce},
		})
		if err != nil {
			return err
		}
		for _, member := range roster {
			if _, err := tx.PutMember(ctx, member); err != nil {
				return err
			}
			member.Version++
			_, err := tx.Append(ctx, step(member.Key()), ledger.Entry{
				Type: "user.added", Actor: ledger.Itself("worker"), Subject: ledger.Subject{Kind: "user", ID: member.Issuer + "|" + member.Subject},
				Action: "first_start", Outcome: "done", Reason: "first start on this database", Details: canonical.Object{"after": memberObject(member)},
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}
