package activities_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"finobs/activities"
	"finobs/internal/action"
	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/remediation"
	"finobs/internal/store"
	"finobs/policies"

	"go.temporal.io/sdk/temporal"
)

// system is a desk's system that answers as told.
type system struct {
	version       string
	lookup, apply remediation.OutcomeStatus
	transit       time.Duration
	sent          int
	ssi           string // that the settlement is on
	instruction   string // version of the standing instructions
}

func (s *system) For(approval.Mode) activities.System { return s }

func (s *system) Read(_ context.Context, kind, id string) (action.Object, string, error) {
	if kind == action.SSI {
		return action.Object{Kind: kind, ID: id, Version: s.instruction}, "sandbox", nil
	}
	o := failedSettlement()
	o.Version, o.Fields["ssi"] = s.version, s.ssi
	return o, "sandbox", nil
}

func (s *system) Apply(context.Context, string, string, approval.Target, action.Command) remediation.Outcome {
	s.sent++
	return remediation.Outcome{Status: s.apply, Why: "told so"}
}

func (s *system) Lookup(context.Context, string, string) remediation.Outcome {
	return remediation.Outcome{Status: s.lookup, Why: "told so"}
}

func (s *system) Transit(string) time.Duration { return s.transit }

func failedSettlement() action.Object {
	return action.Object{Kind: action.Settlement, ID: "S-1", Version: "1", Fields: map[string]string{
		"status": "failed", "ssi": "SSI-A", "eligible_ssis": "SSI-A,SSI-B", "remaining_quantity": "82000", "remaining_amount": "100", "currency": "USD",
	}}
}

// begun is an action that is approved and begun, over a system that answers as told.
type begun struct {
	*desk
	request
	*system
	actions *activities.Actions
}

func begin(t *testing.T) begun {
	t.Helper()
	d := newDesk(t)
	typ, err := action.Find("settlement.amend_ssi")
	if err != nil {
		t.Fatal(err)
	}
	desk := &system{version: "1", transit: 30 * time.Minute, ssi: "SSI-A", instruction: "5"}
	plan, err := remediation.PlanFor(typ, failedSettlement(), map[string]string{"ssi": "SSI-B"}, func(kind, id string) (action.Object, string, error) {
		return desk.Read(ctx, kind, id)
	})
	if err != nil {
		t.Fatal(err)
	}
	alice := human("alice").Person
	a := remediation.Action{RunID: 1, IncidentID: 1, Connector: "sandbox", Plan: plan, Risk: typ.Risk, Mode: approval.Live, Requester: alice, Desk: "EQ"}
	if a.PlanBytes, a.PlanDigest, err = plan.Canonical(); err != nil {
		t.Fatal(err)
	}
	r := d.prepareAction(t, a.Approvable(), policies.Desk)
	if _, err := run[activities.GateStatus](t, d.approvals.OpenRequest, r.in); err != nil {
		t.Fatal(err)
	}
	// Its run and its incident do not matter here.
	d.exec(t, fmt.Sprintf(`SET session_replication_role = replica; INSERT INTO finobs.agent_action (action_id, run_id, ordinal, incident_id, type,
		type_version, connector, target_kind, target_id, target_version, plan, plan_digest, risk_tier, is_simulation, requester_iss, requester_sub, desk, reason, planned_at)
		VALUES (%d, 1, 1, 1, 'settlement.amend_ssi', %d, 'sandbox', 'settlement', 'S-1', '1', decode('%s', 'hex'), '%s', 'high', false, '%s', '%s', 'EQ', '', now())`,
		r.in.ApprovalID, typ.Version, hex.EncodeToString(a.PlanBytes), a.PlanDigest, alice.Issuer, alice.Subject))
	d.decide(t, r, d.token(t, r, human("bob", "analyst"), approval.Approve, nil))
	b := begun{desk: d, request: r, system: desk}
	b.actions = &activities.Actions{
		InTx: store.InTx[activities.ActionTx](d.writer), Verifier: attest.NewVerifier(d.signer.Key.Public()), Systems: b.system, Recovery: time.Second,
	}
	if state, err := run[activities.ActionState](t, b.actions.BeginAction, r.ref()); err != nil || !state.Acting() {
		t.Fatalf("%+v, %v", state, err)
	}
	return b
}

// diedSending leaves the action as a worker does that died an hour ago with a command
// that may have left.
func (b begun) diedSending(t *testing.T) {
	t.Helper()
	b.exec(t, "UPDATE finobs.agent_action SET sent_at = now() - interval '1 hour'")
}

// unwell leaves the action applied, and its target no better.
func (b begun) unwell(t *testing.T) {
	t.Helper()
	b.exec(t, "UPDATE finobs.agent_action SET status = 'done', recovery = 'not_recovered', sent_at = now()")
	b.ssi = "SSI-B"
}

func (b begun) status(t *testing.T) string {
	t.Helper()
	return b.count(t, "SELECT status || ' ' || recovery FROM finobs.agent_action")
}

func (b begun) step(t *testing.T, fn any) error {
	t.Helper()
	_, err := run[activities.ActionState](t, fn, b.ref())
	return err
}

// again reports whether an error has the step tried again, for a reason.
func again(err error, why string) bool {
	var application *temporal.ApplicationError
	return errors.As(err, &application) && !application.NonRetryable() && strings.Contains(application.Message(), why)
}

func (b begun) gaveUp(t *testing.T, step string) {
	t.Helper()
	in := activities.EndActionInput{GateRef: b.ref(), Step: step, Why: "too many attempts"}
	if _, err := run[activities.ActionState](t, b.actions.EndAction, in); err != nil {
		t.Fatal(err)
	}
}

// A command that was sent again may be under way for as long as if it were the first:
// that the system has not seen it is final only then.
func TestAbsenceIsFinalAfterTheLastSending(t *testing.T) {
	b := begin(t)
	b.diedSending(t)
	b.lookup, b.apply = remediation.Absent, remediation.Unheard
	if err := b.step(t, b.actions.ApplyAction); err != nil || b.sent != 1 || b.status(t) != "unknown " {
		t.Fatalf("%s after %d sendings, %v", b.status(t), b.sent, err)
	}
	if err := b.step(t, b.actions.ReconcileAction); err != nil || b.status(t) != "unknown " {
		t.Errorf("it is %q while the command is under way, %v", b.status(t), err)
	}
	b.diedSending(t)
	if err := b.step(t, b.actions.ReconcileAction); err != nil || b.status(t) != "failed " {
		t.Errorf("it is %q when the command cannot be under way any more, %v", b.status(t), err)
	}
}

// That one attempt found no connection says nothing of the one before.
func TestWhatMayHaveLeftStaysSent(t *testing.T) {
	b := begin(t)
	b.diedSending(t)
	b.lookup, b.apply = remediation.Absent, remediation.NotSent
	if err := b.step(t, b.actions.ApplyAction); !again(err, "not-sent") {
		t.Fatalf("got %v", err)
	}
	b.version = "2" // the first command came after all
	b.lookup = remediation.Applied
	if err := b.step(t, b.actions.ApplyAction); err != nil || b.status(t) != "done waiting" {
		t.Errorf("it is %q, %v", b.status(t), err)
	}
}

// When nobody could find out, the record does not say that nothing was sent.
func TestGivingUpSaysWhatIsCertain(t *testing.T) {
	for name, c := range map[string]struct {
		died   bool
		status string
	}{"never left": {false, "failed "}, "may have left": {true, "unknown "}} {
		t.Run(name, func(t *testing.T) {
			b := begin(t)
			if c.died {
				b.diedSending(t)
			}
			b.lookup, b.apply = remediation.Absent, remediation.NotSent
			if err := b.step(t, b.actions.ApplyAction); !again(err, "not-sent") {
				t.Fatalf("got %v", err)
			}
			b.gaveUp(t, "ApplyAction")
			if got := b.status(t); got != c.status {
				t.Errorf("it is %q, not %q", got, c.status)
			}
		})
	}
}

// A compensation of which nothing is heard is asked about again, and is unknown only
// when nobody asks any more.
func TestACompensationIsAskedAbout(t *testing.T) {
	for name, c := range map[string]struct {
		then   remediation.OutcomeStatus
		status string
	}{"found": {remediation.Applied, "done compensated"}, "refused": {remediation.Refused, "done compensation_failed"}} {
		t.Run(name, func(t *testing.T) {
			b := begin(t)
			b.unwell(t)
			b.lookup, b.apply = remediation.Absent, remediation.Unheard
			if err := b.step(t, b.actions.CompensateAction); !again(err, "not-heard") || b.sent != 1 {
				t.Fatalf("got %v after %d sendings", err, b.sent)
			}
			b.lookup = c.then
			if err := b.step(t, b.actions.CompensateAction); err != nil || b.status(t) != c.status || b.sent != 1 {
				t.Errorf("it is %q after %d sendings, %v", b.status(t), b.sent, err)
			}
		})
	}
	b := begin(t)
	b.unwell(t)
	b.lookup = remediation.Unheard
	if err := b.step(t, b.actions.CompensateAction); !again(err, "not-heard") || b.sent != 0 {
		t.Fatalf("got %v after %d sendings", err, b.sent)
	}
	b.gaveUp(t, "CompensateAction")
	if got := b.status(t); got != "done compensation_unknown" {
		t.Errorf("it is %q", got)
	}
}

// Money goes where a standing instruction says: one that has moved since people
// approved is not what they approved, and nothing is sent.
func TestAMovedInstructionSupersedes(t *testing.T) {
	b := begin(t)
	b.instruction = "6"
	if err := b.step(t, b.actions.ApplyAction); err != nil || b.status(t) != "superseded " || b.sent != 0 {
		t.Errorf("it is %q after %d sendings, %v", b.status(t), b.sent, err)
	}
	if why := b.count(t, "SELECT status_reason FROM finobs.agent_action"); why != "ssi:SSI-B is at version 6 now, not 5" {
		t.Errorf("because %s", why)
	}
}

// An action is not taken back when its target got well after all, when somebody else
// has changed it since, when what it would go back to has moved, and under a stop.
func TestWhatIsNotTakenBack(t *testing.T) {
	for name, c := range map[string]struct {
		set         func(begun)
		status, why string
	}{
		"got well after all": {func(b begun) { b.version = "2" }, "done recovered", "by a last look: it is on SSI-B"},
		"changed since": {func(b begun) { b.version, b.ssi = "3", "SSI-C" }, "done compensation_failed",
			`not taken back: ssi is "SSI-C" now, and the action left it at "SSI-B"; somebody has changed it since`},
		"moved": {func(b begun) { b.instruction = "9" }, "done compensation_failed", "not taken back: ssi:SSI-B is at version 9 now, not 5"},
		"stopped": {func(b begun) {
			b.exec(t, "INSERT INTO finobs.agent_stop (desk, reason, set_iss, set_sub, set_at) VALUES ('', 'fire', 'test', 'carol', now())")
		}, "done compensation_failed", "not taken back: all actions are stopped by carol"},
	} {
		t.Run(name, func(t *testing.T) {
			b := begin(t)
			b.unwell(t)
			b.lookup = remediation.Absent
			c.set(b)
			if err := b.step(t, b.actions.CompensateAction); err != nil || b.status(t) != c.status || b.sent != 0 {
				t.Errorf("it is %q after %d sendings, %v", b.status(t), b.sent, err)
			}
			if why := b.count(t, "SELECT recovery_reason FROM finobs.agent_action"); why != c.why {
				t.Errorf("because %s", why)
			}
			b.gaveUp(t, "")
			if leased := b.count(t, "SELECT leased FROM finobs.agent_action"); leased != "false" {
				t.Error("the target is held still")
			}
		})
	}
}
