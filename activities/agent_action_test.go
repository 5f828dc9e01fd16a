package activities_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"finobs/activities"
	"finobs/internal/action"
	"finobs/internal/approval"
	"finobs/internal/fault"
	"finobs/internal/remediation"
	"finobs/internal/store"
)

const (
	planned    = remediation.Planned
	executing  = remediation.Executing
	done       = remediation.Done
	failed     = remediation.Failed
	unknown    = remediation.Unknown
	superseded = remediation.Superseded
)

// However often each step is tried, and how many at once: the command has one
// effect, and the record one entry of each kind.
func TestAnActionIsCarriedOutOnce(t *testing.T) {
	d := newDesk(t)
	g := d.ready(t, newPlant(feed("7")))
	often[activities.ActionState](t, g.x.BeginAction, g.ref)
	if a := d.action(t, g.id); a.Status != executing || !a.Leased || a.Key == "" || !a.SentAt.IsZero() || len(g.p.sent) != 0 {
		t.Errorf("begun: %+v, sent %v", a, g.p.sent)
	}
	often[activities.ActionState](t, g.x.ApplyAction, g.ref)
	if a := d.action(t, g.id); a.Status != done || a.Recovery != remediation.Waiting || !a.Leased || a.SentAt.IsZero() || a.EffectID != "effect-"+a.Key {
		t.Errorf("applied: %+v", a)
	}
	often[activities.ActionState](t, g.x.ReconcileAction, g.ref)
	state := often[activities.ActionState](t, g.x.VerifyAction, g.ref)
	if state.Recovery != string(remediation.Recovered) || state.Compensable {
		t.Errorf("verified: %+v", state)
	}
	often[activities.ActionState](t, g.x.CompensateAction, g.ref)
	often[activities.ActionState](t, g.x.EndAction, activities.EndActionInput{GateRef: g.ref})
	a := d.action(t, g.id)
	if a.Leased || a.Standing() != "done" || a.EndedAt.IsZero() || a.Key != remediation.KeyOf(d.count(t, "SELECT action_digest FROM finobs.approval_request WHERE approval_id = $1", g.id), false) {
		t.Errorf("at the end: %+v", a)
	}
	if len(g.p.applied) != 1 || g.p.applied[a.Key] != 1 {
		t.Errorf("applied %v", g.p.applied)
	}
	d.entriesOf(t, map[string]int{
		"effect.intended": 1, "effect.done": 1, "effect.recovered": 1, "effect.not_recovered": 0, "effect.compensated": 0, "effect.failed": 0, "effect.denied": 0,
	})
}

// overtaken is a plant where, between an attempt's first look at the record and its
// first look at the target, another attempt sends the command, and does not get to
// hear of it before the first one is through.
type overtaken struct {
	*plant
	looked    atomic.Bool
	overtakes func()        // lets the other attempt begin
	applied   chan struct{} // closed once its command has had its effect
	heard     chan struct{} // closed when it may hear of it
}

// For implements activities.Systems.
func (o *overtaken) For(approval.Mode) activities.System { return o }

// Read implements activities.System.
func (o *overtaken) Read(ctx context.Context, kind, id string) (action.Object, string, error) {
	if !o.looked.Swap(true) {
		go o.overtakes()
		<-o.applied
	}
	return o.plant.Read(ctx, kind, id)
}

// Apply implements activities.System.
func (o *overtaken) Apply(ctx context.Context, connector, key string, target approval.Target, c action.Command) remediation.Outcome {
	out := o.plant.Apply(ctx, connector, key, target, c)
	close(o.applied)
	<-o.heard
	return out
}

// An attempt that finds the target moved by the command of another attempt, of which
// there is no outcome on record yet, does not take the action for superseded.
func TestAnAttemptThatIsOvertaken(t *testing.T) {
	d := newDesk(t)
	g := d.ready(t, newPlant(feed("7")))
	g.takes(t, g.x.BeginAction, executing, "")
	o := &overtaken{plant: g.p, applied: make(chan struct{}), heard: make(chan struct{})}
	g.x.Systems = o
	ended := make(chan error, 1)
	o.overtakes = func() {
		state, err := run[activities.ActionState](t, g.x.ApplyAction, g.ref)
		if err == nil && state.Status != string(done) {
			err = fmt.Errorf("the other attempt came to %+v", state)
		}
		ended <- err
	}
	g.takes(t, g.x.ApplyAction, done, remediation.Waiting)
	close(o.heard)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if len(g.p.sent) != 1 {
		t.Errorf("sent %v", g.p.sent)
	}
	g.entriesOf(t, map[string]int{"effect.intended": 1, "effect.done": 1, "effect.superseded": 0})
}

// What is known of a command decides what is on record of it, and whether the
// target stays held.
func TestOutcomes(t *testing.T) {
	d := newDesk(t)
	answer := func(s remediation.OutcomeStatus) []remediation.Outcome {
		return []remediation.Outcome{{Status: s, Why: "it says so"}}
	}
	for name, tc := range map[string]struct {
		set      func(p *plant)
		status   remediation.Status
		recovery remediation.Recovery
		leased   bool
		sent     int
	}{
		"applied":               {func(*plant) {}, done, remediation.Waiting, true, 1},
		"refused":               {func(p *plant) { p.lose, p.applied = nil, map[string]int{}; p.spoil = answer(remediation.Refused) }, failed, "", false, 0},
		"refused as moved":      {func(p *plant) { p.spoil = answer(remediation.Moved) }, superseded, "", false, 0},
		"no answer, applied":    {func(p *plant) { p.lose = answer(remediation.Unheard) }, unknown, "", true, 1},
		"no answer, not there":  {func(p *plant) { p.spoil = answer(remediation.Unheard) }, unknown, "", true, 0},
		"moved since":           {func(p *plant) { p.put(feed("8")) }, superseded, "", false, 0},
		"gone since":            {func(p *plant) { clear(p.objects) }, superseded, "", false, 0},
		"an answer of no sense": {func(p *plant) { p.lose = answer("odd") }, unknown, "", true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			d.fresh(t)
			g := d.ready(t, newPlant(feed("7")))
			g.takes(t, g.x.BeginAction, executing, "")
			tc.set(g.p)
			for range 3 {
				g.takes(t, g.x.ApplyAction, tc.status, tc.recovery)
			}
			a := d.action(t, g.id)
			if a.Leased != tc.leased || len(g.p.sent) != tc.sent || a.Status.Terminal() != !a.EndedAt.IsZero() {
				t.Errorf("leased %t, sent %v: %+v", a.Leased, g.p.sent, a)
			}
			g.entriesOf(t, map[string]int{"effect.intended": 1, "effect." + string(tc.status): 1})
		})
	}
}

// A command that certainly did not leave is tried again; what is given up then has
// failed, and has no effect.
func TestACommandThatDidNotLeave(t *testing.T) {
	d := newDesk(t)
	g := d.ready(t, newPlant(feed("7")))
	g.takes(t, g.x.BeginAction, executing, "")
	for range 2 {
		g.p.spoil = []remediation.Outcome{{Status: remediation.NotSent, Why: "connection refused"}}
		if _, err := g.step(t, g.x.ApplyAction); err == nil || !strings.Contains(err.Error(), "nothing was sent") {
			t.Errorf("got %v", err)
		}
		if a := d.action(t, g.id); a.Status != executing || !a.SentAt.IsZero() {
			t.Errorf("the record: %+v", a)
		}
	}
	g.p.reads = []error{fault.New(fault.Unavailable, "down", "the desk's system is down")}
	if _, err := g.step(t, g.x.ApplyAction); err == nil || !strings.Contains(err.Error(), "down") {
		t.Errorf("got %v", err)
	}
	a := g.ends(t, "ApplyAction", "it is down")
	if a.Status != failed || a.StatusReason != "given up: it is down" || a.Leased || len(g.p.sent) != 0 {
		t.Errorf("given up: %+v, sent %v", a, g.p.sent)
	}
	g.takes(t, g.x.ApplyAction, failed, "")
	if len(g.p.sent) != 0 {
		t.Errorf("sent %v after it was given up", g.p.sent)
	}
}

// An attempt that finds that an earlier one may have sent the command asks first,
// and never sends a second time what may be under way.
func TestACommandThatMayHaveLeft(t *testing.T) {
	d := newDesk(t)
	for name, tc := range map[string]struct {
		lookup remediation.OutcomeStatus
		status remediation.Status
		sent   int
	}{
		"it was applied":      {remediation.Applied, done, 0},
		"nobody has seen it":  {remediation.Absent, done, 1},
		"it was refused":      {remediation.Refused, failed, 0},
		"the system is mute":  {remediation.Unheard, unknown, 0},
		"the system is away":  {remediation.NotSent, unknown, 0},
		"refused as it moved": {remediation.Moved, superseded, 0},
	} {
		t.Run(name, func(t *testing.T) {
			d.fresh(t)
			g := d.ready(t, newPlant(feed("7")))
			g.takes(t, g.x.BeginAction, executing, "")
			d.exec(t, "UPDATE finobs.agent_action SET sent_at = now() WHERE action_id = $1", g.id)
			g.p.lookups = []remediation.Outcome{{Status: tc.lookup}}
			recovery := remediation.NoRecovery
			if tc.status == done {
				recovery = remediation.Waiting
			}
			g.takes(t, g.x.ApplyAction, tc.status, recovery)
			if len(g.p.sent) != tc.sent {
				t.Errorf("sent %v", g.p.sent)
			}
		})
	}
}

// An unknown outcome is found out by its key; a command that the system has not
// seen has failed only once it can no longer be under way.
func TestUnknownOutcomesAreFoundOut(t *testing.T) {
	d := newDesk(t)
	g := d.ready(t, newPlant(feed("7")))
	g.p.transit = time.Hour
	g.takes(t, g.x.BeginAction, executing, "")
	g.p.spoil = []remediation.Outcome{{Status: remediation.Unheard}}
	g.takes(t, g.x.ApplyAction, unknown, "")
	for _, mute := range []remediation.OutcomeStatus{remediation.Unheard, remediation.NotSent, remediation.Absent} {
		g.p.lookups = []remediation.Outcome{{Status: mute}}
		g.takes(t, g.x.ReconcileAction, unknown, "")
	}
	if a := g.ends(t, "", ""); !a.Leased {
		t.Error("the lease was given back though nobody knows")
	}
	g.p.transit = 0
	for range 2 {
		g.takes(t, g.x.ReconcileAction, failed, "")
	}
	if a := d.action(t, g.id); a.Leased || !strings.Contains(a.StatusReason, "has not seen the command") {
		t.Errorf("found out: %+v", a)
	}
	d.entriesOf(t, map[string]int{"effect.unknown": 1, "effect.failed": 1})

	applied := d.ready(t, newPlant(feed("7")))
	applied.takes(t, applied.x.BeginAction, executing, "")
	applied.p.lose = []remediation.Outcome{{Status: remediation.Unheard}}
	applied.takes(t, applied.x.ApplyAction, unknown, "")
	for range 2 {
		applied.takes(t, applied.x.ReconcileAction, done, remediation.Waiting)
	}
	applied.takes(t, applied.x.VerifyAction, done, remediation.Recovered)
	if len(applied.p.sent) != 1 {
		t.Errorf("sent %v", applied.p.sent)
	}
}

// An action that does not help is taken back, once, by what was approved with it.
func TestCompensation(t *testing.T) {
	d := newDesk(t)
	answer := func(s remediation.OutcomeStatus) []remediation.Outcome {
		return []remediation.Outcome{{Status: s, Why: "it says so"}}
	}
	for name, tc := range map[string]struct {
		set      func(p *plant)
		recovery remediation.Recovery
		applied  int
		unheard  int // attempts that hear nothing and are tried again
		leased   bool
	}{
		"taken back":         {func(*plant) {}, remediation.Compensated, 2, 0, false},
		"refused":            {func(p *plant) { p.spoil = answer(remediation.Refused) }, remediation.CompensationFailed, 1, 0, false},
		"no answer":          {func(p *plant) { p.lose = answer(remediation.Unheard) }, remediation.Compensated, 2, 1, false},
		"sent by an attempt": {func(p *plant) { p.lookups = answer(remediation.Applied) }, remediation.Compensated, 1, 0, false},
		"the system is mute": {func(p *plant) { p.lookups = slices.Repeat(answer(remediation.Unheard), 3) }, remediation.CompensationUnknown, 1, 3, true},
	} {
		t.Run(name, func(t *testing.T) {
			d.fresh(t)
			g := d.ready(t, newPlant(feed("7")))
			g.p.heals = "silent"
			g.takes(t, g.x.BeginAction, executing, "")
			g.takes(t, g.x.ApplyAction, done, remediation.Waiting)
			g.takes(t, g.x.VerifyAction, done, remediation.NotRecovered)
			g.p.spoil = []remediation.Outcome{{Status: remediation.NotSent}}
			if _, err := g.step(t, g.x.CompensateAction); err == nil {
				t.Error("what was not sent is not tried again")
			}
			tc.set(g.p)
			for range tc.unheard {
				if _, err := g.step(t, g.x.CompensateAction); err == nil {
					t.Error("what was not heard of is not asked about again")
				}
			}
			if tc.recovery == remediation.CompensationUnknown {
				g.ends(t, "CompensateAction", "it gave up")
			}
			for range 2 {
				g.takes(t, g.x.CompensateAction, done, tc.recovery)
			}
			a := g.ends(t, "", "")
			if a.Leased != tc.leased || len(g.p.applied) != tc.applied || g.p.applied[a.Key] != 1 {
				t.Errorf("applied %v: %+v", g.p.applied, a)
			}
			if tc.applied == 2 && g.p.applied[a.Key+"-undo"] != 1 {
				t.Errorf("applied %v", g.p.applied)
			}
			g.entriesOf(t, map[string]int{"effect.not_recovered": 1, "effect." + string(tc.recovery): 1})
		})
	}
}

// A step that gives up leaves what is certain.
func TestAStepThatGivesUp(t *testing.T) {
	d := newDesk(t)
	g := d.ready(t, newPlant(feed("7")))
	g.takes(t, g.x.BeginAction, executing, "")
	g.takes(t, g.x.ApplyAction, done, remediation.Waiting)
	if a := g.ends(t, "VerifyAction", "timeout"); a.Recovery != remediation.NotRecovered || !a.Leased {
		t.Errorf("not watched to the end: %+v", a)
	}
	if a := g.ends(t, "CompensateAction", "timeout"); a.Recovery != remediation.CompensationUnknown || !a.Leased {
		t.Errorf("not taken back for certain: %+v", a)
	}

	sent := d.ready(t, newPlant(feed("7")))
	sent.takes(t, sent.x.BeginAction, failed, "") // the target of the first is held
	if a := d.action(t, sent.id); !strings.Contains(a.StatusReason, fmt.Sprintf("action %d is at work on the same target", g.id)) || a.Leased {
		t.Errorf("%+v", a)
	}
	other := newDesk(t).ready(t, newPlant(feed("7")))
	other.takes(t, other.x.BeginAction, executing, "")
	other.exec(t, "UPDATE finobs.agent_action SET sent_at = now()")
	if a := other.ends(t, "ApplyAction", "timeout"); a.Status != unknown || !a.Leased || a.StatusReason != "given up: timeout" {
		t.Errorf("may have left: %+v", a)
	}
}

// What speaks against an action is looked at when it begins, and a stop once more
// before it is sent.
func TestHindrances(t *testing.T) {
	d := newDesk(t)
	stop := func(desk string) string {
		return "INSERT INTO finobs.agent_stop (desk, reason, set_iss, set_sub, set_at) VALUES ('" + desk + "', 'fire', 'test', 'carol', now())"
	}
	for name, tc := range map[string]struct{ statement, why string }{
		"all are stopped":      {stop(""), "all actions are stopped by carol"},
		"the desk is stopped":  {stop("EQ"), "actions of desk EQ are stopped by carol"},
		"another desk's stop":  {stop("FX"), ""},
		"a stop that is over":  {"INSERT INTO finobs.agent_stop (desk, reason, set_iss, set_sub, set_at, lifted_at) VALUES ('', 'fire', 'test', 'carol', now(), now())", ""},
		"the cap is reached":   {begunBefore(12, "now()"), "the cap of 12 of feed.switch in an hour is reached on this desk"},
		"the cap is not":       {begunBefore(11, "now()"), ""},
		"the cap of yesterday": {begunBefore(12, "now() - interval '2 hours'"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			d.fresh(t)
			g := d.ready(t, newPlant(feed("7")))
			d.exec(t, tc.statement)
			if tc.why == "" {
				g.takes(t, g.x.BeginAction, executing, "")
				return
			}
			for range 2 {
				g.takes(t, g.x.BeginAction, failed, "")
			}
			if a := d.action(t, g.id); a.StatusReason != "not sent: "+tc.why || a.Leased || a.Approval != approval.Consumed {
				t.Errorf("%+v", a)
			}
			g.entriesOf(t, map[string]int{"effect.intended": 0, "effect.failed": 1})
		})
	}
	t.Run("stopped between begin and send", func(t *testing.T) {
		d.fresh(t)
		g := d.ready(t, newPlant(feed("7")))
		g.takes(t, g.x.BeginAction, executing, "")
		d.exec(t, stop("EQ"))
		g.takes(t, g.x.ApplyAction, failed, "")
		if a := d.action(t, g.id); len(g.p.sent) != 0 || a.Leased {
			t.Errorf("sent %v: %+v", g.p.sent, a)
		}
	})
}

// begunBefore is a statement that makes copies of the planned action that were
// begun at a moment.
func begunBefore(n int, at string) string {
	return fmt.Sprintf(`INSERT INTO finobs.agent_action (action_id, run_id, ordinal, incident_id, type, type_version, connector, target_kind, target_id, target_version,
			plan, plan_digest, risk_tier, is_simulation, requester_iss, requester_sub, desk, reason, planned_at, status, began_at)
		SELECT 1000 + n, run_id, 1 + n, incident_id, type, type_version, connector, target_kind, target_id || n, target_version,
			plan, plan_digest, risk_tier, is_simulation, requester_iss, requester_sub, desk, reason, planned_at, 'done', %s
		FROM finobs.agent_action, generate_series(1, %d) n`, at, n)
}

// What is carried out is what people approved: whoever changes the plan on record,
// even as the database's administrator, gets nothing sent.
func TestAPlanThatWasTamperedWith(t *testing.T) {
	d := newDesk(t)
	for name, tc := range map[string]struct{ set, code string }{
		"plan":       {"plan = convert_to(replace(convert_from(plan, 'UTF8'), 'backup', 'primary'), 'UTF8')", "plan-broken"},
		"digest":     {"plan_digest = 'sha256:" + strings.Repeat("0", 64) + "'", "plan-broken"},
		"connector":  {"connector = 'other'", "action-tampered"},
		"incident":   {"incident_id = (SELECT max(incident_id) FROM finobs.incident)", "action-tampered"},
		"run":        {"run_id = (SELECT max(run_id) FROM finobs.agent_run)", "action-tampered"},
		"desk":       {"desk = 'FX'", "action-tampered"},
		"requester":  {"requester_sub = 'mallory'", "action-tampered"},
		"simulation": {"is_simulation = true", "action-tampered"},
	} {
		t.Run(name, func(t *testing.T) {
			d.fresh(t)
			g := d.ready(t, newPlant(feed("7")))
			d.begun(t, d.agents(g.p), remediate(d.opens(t)))
			for _, fn := range []any{g.x.BeginAction, g.x.ApplyAction} {
				d.exec(t, "UPDATE finobs.agent_action SET "+tc.set)
				if _, err := g.step(t, fn); code(err) != tc.code && code(err) != "action-not-begun" {
					t.Errorf("got %v, want %s", err, tc.code)
				}
			}
			if got := d.count(t, "SELECT status FROM finobs.agent_action"); got != string(planned) || len(g.p.sent) != 0 {
				t.Errorf("it is %s, sent %v", got, g.p.sent)
			}
			if got := d.count(t, "SELECT status FROM finobs.approval_request WHERE approval_id = $1", g.id); got != "approved" {
				t.Errorf("its approval is %s", got)
			}
			if n := d.count(t, "SELECT count(*) FROM ledger.entry WHERE type = 'effect.denied' AND subject_id = $1", g.id); n != "2" {
				t.Errorf("%s entries", n)
			}
		})
	}
}

// No step goes on where the one before was completed by hand, and a withdrawn
// action is not begun.
func TestActionsBeginByTheRecordOnly(t *testing.T) {
	d := newDesk(t)
	g := d.ready(t, newPlant(feed("7")))
	for name, fn := range map[string]any{"apply": g.x.ApplyAction, "reconcile": g.x.ReconcileAction, "verify": g.x.VerifyAction, "compensate": g.x.CompensateAction} {
		if _, err := g.step(t, fn); code(err) != "action-not-begun" {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := run[any](t, g.x.EndAction, activities.EndActionInput{GateRef: g.ref, Step: "ApplyAction"}); code(err) != "action-not-begun" {
		t.Errorf("end: got %v", err)
	}
	export := d.approved(t)
	if _, err := run[any](t, g.x.BeginAction, export.ref()); code(err) != "no-such-action" {
		t.Errorf("an approval of something else: %v", err)
	}
	d.exec(t, "UPDATE finobs.agent_action SET status = 'withdrawn'")
	for range 2 {
		if _, err := g.step(t, g.x.BeginAction); code(err) != "action-not-planned" {
			t.Errorf("withdrawn: got %v", err)
		}
	}
	if got := d.count(t, "SELECT string_agg(DISTINCT status, ' ') FROM finobs.approval_request WHERE approval_id IN ($1::bigint, $2::bigint)", g.id, export.in.ApprovalID); got != "approved" {
		t.Errorf("the approvals are %s", got)
	}
	if len(g.p.sent) != 0 {
		t.Errorf("sent %v", g.p.sent)
	}
}

func (d *desk) repairs() *activities.Repairs {
	return &activities.Repairs{InTx: store.InTx[activities.RepairTx](d.writer), Namespace: "default-test-namespace"}
}

// open lists the requests that need their workflow still.
func (d *desk) needing(t *testing.T) map[int64]approval.Request {
	t.Helper()
	rows, err := d.writer.OpenRequests(ctx, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	out := map[int64]approval.Request{}
	for _, r := range rows {
		out[r.ID] = r
	}
	return out
}

// What nobody carries on any more is brought to what is certain, once, with the
// entry of the reconciler, however many of them look.
func TestAbandonedActions(t *testing.T) {
	d := newDesk(t)
	type state struct {
		status   remediation.Status
		recovery remediation.Recovery
		leased   bool
	}
	for name, tc := range map[string]struct {
		bring func(t *testing.T, g going)
		want  state
		entry string // "": it is left alone
	}{
		"begun":        {func(*testing.T, going) {}, state{failed, "", false}, "effect.failed"},
		"may be sent":  {func(t *testing.T, g going) { g.exec(t, "UPDATE finobs.agent_action SET sent_at = now()") }, state{unknown, "", true}, "effect.unknown"},
		"applied":      {func(t *testing.T, g going) { g.takes(t, g.x.ApplyAction, done, remediation.Waiting) }, state{done, remediation.NotRecovered, false}, "effect.not_recovered"},
		"did not help": {notHelped, state{done, remediation.CompensationUnknown, true}, "effect.compensation_unknown"},
		"unknown":      {lost, state{unknown, "", true}, ""},
		"at its end": {func(t *testing.T, g going) {
			g.takes(t, g.x.ApplyAction, done, remediation.Waiting)
			g.takes(t, g.x.VerifyAction, done, remediation.Recovered)
		}, state{done, remediation.Recovered, false}, ""},
		"wholly at end": {func(t *testing.T, g going) { g.ends(t, "ApplyAction", "x"); g.ends(t, "", "") }, state{failed, "", false}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d.fresh(t)
			g := d.ready(t, newPlant(feed("7")))
			g.takes(t, g.x.BeginAction, executing, "")
			tc.bring(t, g)
			row, needs := d.needing(t)[g.id]
			if needs != d.action(t, g.id).Abandonable() {
				t.Errorf("it is listed: %t", needs)
			}
			if !needs {
				row = approval.Request{ID: g.id, Kind: "remediation.feed.switch", WorkflowID: workflowID, FirstRunID: firstRun}
			}
			for n := range 3 {
				changed, err := d.repairs().Fail(ctx, row, "its workflow is gone")
				if err != nil || changed != (needs && n == 0) {
					t.Errorf("repair %d: %t, %v", n, changed, err)
				}
			}
			if a := d.action(t, g.id); (state{a.Status, a.Recovery, a.Leased}) != tc.want {
				t.Errorf("got %+v", a)
			}
			if _, still := d.needing(t)[g.id]; still {
				t.Error("it is listed still")
			}
			if n := d.count(t, "SELECT coalesce(string_agg(type, ' '), '') FROM ledger.entry WHERE actor_sub = 'reconciler' AND "+aboutAction, g.id); n != tc.entry {
				t.Errorf("entries %s", n)
			}
			sent := slices.Clone(g.p.sent)
			for _, fn := range []any{g.x.ApplyAction, g.x.CompensateAction} { // an attempt that was under way comes to it late
				if _, err := g.step(t, fn); err != nil {
					t.Error(err)
				}
			}
			if !slices.Equal(sent, g.p.sent) {
				t.Errorf("sent %v, then %v", sent, g.p.sent)
			}
		})
	}
}

func notHelped(t *testing.T, g going) {
	g.p.heals = "silent"
	g.takes(t, g.x.ApplyAction, done, remediation.Waiting)
	g.takes(t, g.x.VerifyAction, done, remediation.NotRecovered)
}

func lost(t *testing.T, g going) {
	g.p.lose = []remediation.Outcome{{Status: remediation.Unheard}}
	g.takes(t, g.x.ApplyAction, unknown, "")
}

func TestAbandonedRuns(t *testing.T) {
	d := newDesk(t)
	p := newPlant(feed("7"))
	ref := d.begun(t, d.agents(p), remediate(d.opens(t)))
	row, needs := d.needing(t)[ref.ApprovalID]
	if !needs {
		t.Fatal("it is not listed")
	}
	for n := range 2 {
		if changed, err := d.repairs().Fail(ctx, row, "its workflow is gone"); err != nil || changed != (n == 0) {
			t.Errorf("repair %d: %t, %v", n, changed, err)
		}
	}
	if r := d.agentRun(t, ref.RunID); r.Failure != "its workflow is gone" || r.EndedAt.IsZero() {
		t.Errorf("the run: %+v", r)
	}
	if _, still := d.needing(t)[ref.ApprovalID]; still {
		t.Error("it is listed still")
	}
	d.planned(t, newPlant(feed("7")))
	if len(d.needing(t)) != 0 {
		t.Errorf("listed: %+v", d.needing(t))
	}
	if n := d.count(t, "SELECT count(*) FROM ledger.entry WHERE type = 'agent.failed' AND actor_sub = 'reconciler'"); n != "1" {
		t.Errorf("%s entries", n)
	}
	if _, err := d.repairs().Fail(ctx, approval.Request{ID: 4711, Kind: "agent.resume"}, "x"); err != nil {
		t.Error(err)
	}
}
