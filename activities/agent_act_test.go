package activities_test

import (
	"strings"
	"testing"

	"finobs/activities"
	"finobs/internal/agent"
	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/remediation"
	"finobs/internal/store"

	"github.com/google/uuid"
)

// agentActInput is an act about agents by somebody, with the API's word for it.
func (d *desk) agentActInput(t *testing.T, who approval.Principal, a agent.Act) activities.AgentActInput {
	t.Helper()
	if a.ID == "" {
		a.ID = uuid.Must(uuid.NewV7()).String()
	}
	if a.Reason == "" {
		a.Reason = "as seen"
	}
	digest, err := a.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return activities.AgentActInput{FirstRun: firstRun, Command: d.command(t, who, digest), Act: a}
}

// acts has somebody do an act, several times and at once, and returns what it led
// to, or the code of the refusal.
func (d *desk) agentActs(t *testing.T, who approval.Principal, a agent.Act) (activities.AgentActDone, string) {
	t.Helper()
	x := &activities.AgentActs{InTx: store.InTx[activities.AgentActTx](d.writer), Verifier: attest.NewVerifier(d.signer.Key.Public())}
	in := d.agentActInput(t, who, a)
	if _, err := run[activities.AgentActDone](t, x.RecordAgentAct, in); err != nil {
		if _, again := run[activities.AgentActDone](t, x.RecordAgentAct, in); code(again) != code(err) {
			t.Errorf("refused as %v, then %v", err, again)
		}
		return activities.AgentActDone{}, code(err)
	}
	return often[activities.AgentActDone](t, x.RecordAgentAct, in), ""
}

// A person's word is an override when it is another than the agent's, and agreement
// when it is the same.
func TestOverrides(t *testing.T) {
	d := newDesk(t)
	ref, _ := d.planned(t, newPlant(feed("7")))
	bob := human("bob", "analyst")
	for name, tc := range map[string]struct {
		field                  agent.Field
		chosen, override, code string
	}{
		"another severity": {agent.FieldSeverity, "low", "ai_override", ""},
		"the same":         {agent.FieldSeverity, "high", "", ""},
		"another category": {agent.FieldCategory, "access", "ai_override", ""},
		"the same action":  {agent.FieldAction, "feed.switch", "", ""},
		"another action":   {agent.FieldAction, "gateway.restart", "ai_override", ""},
		"no action":        {agent.FieldAction, "none", "ai_override", ""},
		"no such action":   {agent.FieldAction, "desk.burn", "", "action.unknown"},
		"no such severity": {agent.FieldSeverity, "huge", "", "invalid-override"},
		"no such field":    {"confidence", "1.00", "", "invalid-override"},
	} {
		got, refused := d.agentActs(t, bob, agent.Act{Verb: agent.Override, RunID: ref.RunID, Field: tc.field, Chosen: tc.chosen})
		if refused != tc.code || got.Override != tc.override {
			t.Errorf("%s: got %+v, %s", name, got, refused)
		}
	}
	if _, refused := d.agentActs(t, bob, agent.Act{Verb: agent.Override, RunID: 4711, Field: agent.FieldSeverity, Chosen: "low"}); refused != "no-such-run" {
		t.Errorf("no run: %s", refused)
	}
	d.entriesOf(t, map[string]int{"agent.overridden": 4, "agent.agreed": 2})
	verdicts, err := d.reader.Verdicts(ctx, ref.RunID)
	if err != nil || len(verdicts) != 6 {
		t.Errorf("%d verdicts, %v", len(verdicts), err)
	}
	if n := d.count(t, "SELECT count(*) FROM ledger.entry WHERE type = 'agent.overridden' AND override_type = 'ai_override' AND actor_sub = 'bob'"); n != "4" {
		t.Errorf("%s entries of overrides", n)
	}
	running := d.begun(t, d.agents(newPlant()), remediate(d.opens(t)))
	if _, refused := d.agentActs(t, bob, agent.Act{Verb: agent.Override, RunID: running.RunID, Field: agent.FieldSeverity, Chosen: "low"}); refused != "run-not-done" {
		t.Errorf("a run that goes on: %s", refused)
	}
}

// Where the agent proposed nothing, a person's action is a manual override.
func TestManualOverride(t *testing.T) {
	d := newDesk(t)
	x := d.agents(newPlant())
	ref := d.begun(t, x, agent.Request{Kind: agent.Triage, IncidentID: d.opens(t), Mode: approval.Live})
	d.analysed(t, x, ref)
	got, refused := d.agentActs(t, human("bob"), agent.Act{Verb: agent.Override, RunID: ref.RunID, Field: agent.FieldAction, Chosen: "feed.switch"})
	if refused != "" || got.Override != "manual_override" {
		t.Errorf("got %+v, %s", got, refused)
	}
}

// An agent that proposed nothing, and a person who wants nothing done, agree.
func TestNothingToDoIsAgreement(t *testing.T) {
	d := newDesk(t)
	x := d.agents(newPlant())
	ref := d.begun(t, x, agent.Request{Kind: agent.Triage, IncidentID: d.opens(t), Mode: approval.Live})
	d.analysed(t, x, ref)
	got, refused := d.agentActs(t, human("bob"), agent.Act{Verb: agent.Override, RunID: ref.RunID, Field: agent.FieldAction, Chosen: "none"})
	if refused != "" || got.Override != "" {
		t.Errorf("got %+v, %s", got, refused)
	}
	d.entriesOf(t, map[string]int{"agent.agreed": 1, "agent.overridden": 0})
}

// Nobody acts without the API's word, and only people act.
func TestAgentActsAreSignedByPeople(t *testing.T) {
	d := newDesk(t)
	x := &activities.AgentActs{InTx: store.InTx[activities.AgentActTx](d.writer), Verifier: attest.NewVerifier(d.signer.Key.Public())}
	stop := agent.Act{Verb: agent.Stop, Desk: "EQ"}
	good := d.agentActInput(t, human("bob"), stop)
	for name, change := range map[string]func(*activities.AgentActInput){
		"another desk":   func(in *activities.AgentActInput) { in.Act.Desk = "" },
		"another verb":   func(in *activities.AgentActInput) { in.Act.Verb = agent.Withdraw },
		"another id":     func(in *activities.AgentActInput) { in.Act.ID = uuid.NewString() },
		"another reason": func(in *activities.AgentActInput) { in.Act.Reason = "other" },
		"no command":     func(in *activities.AgentActInput) { in.Command = "made up" },
	} {
		in := good
		change(&in)
		if _, err := run[activities.AgentActDone](t, x.RecordAgentAct, in); code(err) != "start-not-signed" {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for kind, want := range map[approval.ActorKind]string{approval.Agent: "agent-start", approval.System: "people-only"} {
		robot := approval.Principal{Person: approval.Person{Issuer: "test", Subject: "gpt"}, Kind: kind, Roles: []string{"admin"}}
		if _, refused := d.agentActs(t, robot, stop); refused != want {
			t.Errorf("%s: %s, want %s", kind, refused, want)
		}
	}
	if n := d.count(t, "SELECT count(*) FROM finobs.agent_stop"); n != "0" {
		t.Errorf("%s stops", n)
	}
}

// A stop holds until it is lifted; another one of the same desk finds it.
func TestStops(t *testing.T) {
	d := newDesk(t)
	first, refused := d.agentActs(t, human("bob"), agent.Act{Verb: agent.Stop, Desk: "EQ"})
	second, again := d.agentActs(t, human("carol"), agent.Act{Verb: agent.Stop, Desk: "EQ"})
	all, whole := d.agentActs(t, human("carol"), agent.Act{Verb: agent.Stop})
	if refused+again+whole != "" || first.StopID == 0 || second.StopID != first.StopID || all.StopID == first.StopID {
		t.Fatalf("got %+v, %+v, %+v, %s%s%s", first, second, all, refused, again, whole)
	}
	stops, err := d.reader.Stops(ctx, 10)
	if err != nil || len(stops) != 2 || stops[0].Desk != "" || stops[1].By.Subject != "bob" {
		t.Errorf("got %+v, %v", stops, err)
	}
	d.entriesOf(t, map[string]int{"agent.stopped": 2})
}

// What became of an action that nobody knows is for a person to say, and not for
// the one who asked for it. What he finds applied is not taken back.
func TestResolve(t *testing.T) {
	for found, want := range map[string]remediation.Status{agent.FoundDone: done, agent.FoundFailed: failed} {
		d := newDesk(t)
		g := d.ready(t, newPlant(feed("7")))
		resolve := agent.Act{Verb: agent.Resolve, ActionID: g.id, Found: found}
		if _, refused := d.agentActs(t, human("bob"), resolve); refused != "outcome-known" {
			t.Errorf("planned: %s", refused)
		}
		g.takes(t, g.x.BeginAction, executing, "")
		lost(t, g)
		if _, refused := d.agentActs(t, human("alice"), resolve); refused != "own-action" {
			t.Errorf("by its requester: %s", refused)
		}
		got, refused := d.agentActs(t, human("bob"), resolve)
		a := d.action(t, g.id)
		if refused != "" || got.Status != string(want) || a.Status != want || a.Leased || a.ResolvedBy.Subject != "bob" || a.EndedAt.IsZero() {
			t.Errorf("got %+v, %s: %+v", got, refused, a)
		}
		state, err := g.step(t, g.x.ReconcileAction)
		if err != nil || state.Status != string(want) || state.Compensable || state.Recovering() {
			t.Errorf("its workflow goes on with %+v, %v", state, err)
		}
		if _, refused := d.agentActs(t, human("carol"), resolve); refused != "outcome-known" {
			t.Errorf("resolved: %s", refused)
		}
		d.entriesOf(t, map[string]int{"effect.resolved": 1})
	}
}

// A compensation that nobody knows of is resolved like an action, and holds the
// target until then.
func TestResolveCompensation(t *testing.T) {
	for found, want := range map[string]remediation.Recovery{agent.FoundDone: remediation.Compensated, agent.FoundFailed: remediation.CompensationFailed} {
		d := newDesk(t)
		g := d.ready(t, newPlant(feed("7")))
		g.takes(t, g.x.BeginAction, executing, "")
		notHelped(t, g)
		g.p.lookups = []remediation.Outcome{{Status: remediation.Unheard}}
		if _, err := g.step(t, g.x.CompensateAction); err == nil {
			t.Error("what was not heard of is not asked about again")
		}
		if a := g.ends(t, "CompensateAction", "it gave up"); !a.Leased || a.Recovery != remediation.CompensationUnknown {
			t.Error("the target is free")
		}
		_, refused := d.agentActs(t, human("bob"), agent.Act{Verb: agent.Resolve, ActionID: g.id, Found: found})
		if a := d.action(t, g.id); refused != "" || a.Status != done || a.Recovery != want || a.Leased {
			t.Errorf("%s: %+v", refused, a)
		}
	}
}

func TestWithdraw(t *testing.T) {
	d := newDesk(t)
	g := d.ready(t, newPlant(feed("7")))
	got, refused := d.agentActs(t, human("bob"), agent.Act{Verb: agent.Withdraw, ActionID: g.id})
	if a := d.action(t, g.id); refused != "" || got.Status != "withdrawn" || a.Standing() != "withdrawn" || !strings.Contains(a.StatusReason, "as seen") {
		t.Errorf("got %+v, %s: %+v", got, refused, a)
	}
	if _, err := g.step(t, g.x.BeginAction); code(err) != "action-not-planned" {
		t.Errorf("it was begun: %v", err)
	}
	for id, want := range map[int64]string{g.id: "action-begun", 4711: "no-such-action"} {
		if _, refused := d.agentActs(t, human("carol"), agent.Act{Verb: agent.Withdraw, ActionID: id}); refused != want {
			t.Errorf("action %d: %s, want %s", id, refused, want)
		}
	}
	d.entriesOf(t, map[string]int{"agent.withdrawn": 1})
}
