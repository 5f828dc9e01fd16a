package activities_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"finobs/activities"
	"finobs/internal/action"
	"finobs/internal/agent"
	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/budget"
	deskrules "finobs/internal/desk"
	"finobs/internal/fault"
	"finobs/internal/remediation"
	"finobs/internal/store"
	"finobs/policies"
)

// plant is a desk's systems in memory. Like real ones it applies a key once,
// whoever sends it how often, and refuses a command for a version that has moved.
type plant struct {
	mu      sync.Mutex
	objects map[agent.Target]action.Object
	applied map[string]int // changes by key
	sent    []string       // keys of the commands that arrived, in order
	heals   string         // status of a feed after it has switched
	transit time.Duration

	spoil   []remediation.Outcome // answers to the next commands, which do not arrive
	lose    []remediation.Outcome // answers to the next commands, which arrive
	lookups []remediation.Outcome // answers to the next look-ups
	reads   []error               // of the next reads
}

const connectorName = "desk"

func feed(version string) action.Object {
	return action.Object{Kind: "feed", ID: "FEED-1", Version: version, Fields: map[string]string{
		"status": "silent", "active": "primary", "primary_status": "live", "backup_status": "live",
	}}
}

func newPlant(objects ...action.Object) *plant {
	p := &plant{objects: map[agent.Target]action.Object{}, applied: map[string]int{}, heals: "live"}
	for _, o := range objects {
		p.put(o)
	}
	return p
}

func (p *plant) put(o action.Object) { p.objects[agent.Target{Kind: o.Kind, ID: o.ID}] = o }

// For implements activities.Systems: simulations reach an empty plant.
func (p *plant) For(mode approval.Mode) activities.System {
	if mode == approval.Live {
		return p
	}
	return newPlant()
}

func pop[T any](list *[]T) (out T, ok bool) {
	if len(*list) == 0 {
		return out, false
	}
	out, *list = (*list)[0], (*list)[1:]
	return out, true
}

// Read implements activities.System.
func (p *plant) Read(_ context.Context, kind, id string) (action.Object, string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err, ok := pop(&p.reads); ok && err != nil {
		return action.Object{}, "", err
	}
	o, found := p.objects[agent.Target{Kind: kind, ID: id}]
	if !found {
		return o, "", fault.New(fault.NotFound, "no-such-object", "there is no %s %s", kind, id)
	}
	return o, connectorName, nil
}

// Apply implements activities.System.
func (p *plant) Apply(_ context.Context, _, key string, target approval.Target, c action.Command) remediation.Outcome {
	p.mu.Lock()
	defer p.mu.Unlock()
	if answer, ok := pop(&p.spoil); ok {
		return answer
	}
	p.sent = append(p.sent, key)
	got := p.carryOut(key, target, c)
	if answer, ok := pop(&p.lose); ok {
		return answer
	}
	return got
}

func (p *plant) carryOut(key string, target approval.Target, c action.Command) remediation.Outcome {
	done := remediation.Outcome{Status: remediation.Applied, EffectID: "effect-" + key}
	if p.applied[key] > 0 {
		return done
	}
	o := p.objects[agent.Target{Kind: target.Kind, ID: target.ID}]
	if o.Version != target.Version {
		return remediation.Outcome{Status: remediation.Moved, Why: "it has moved"}
	}
	t, err := action.Find(c.Action)
	if err != nil {
		return remediation.Outcome{Status: remediation.Refused, Why: err.Error()}
	}
	plan, err := t.Plan(o, c.Parameters)
	if err != nil {
		return remediation.Outcome{Status: remediation.Refused, Why: err.Error()}
	}
	fields := map[string]string{}
	for name, value := range o.Fields {
		fields[name] = value
	}
	for _, change := range plan.Changes {
		fields[change.Field] = change.After
	}
	if fields["status"] == "switching" {
		fields["status"] = p.heals
	}
	version, err := strconv.Atoi(o.Version)
	if err != nil {
		return remediation.Outcome{Status: remediation.Refused, Why: err.Error()}
	}
	o.Version, o.Fields = strconv.Itoa(version+1), fields
	p.put(o)
	p.applied[key]++
	return done
}

// Lookup implements activities.System.
func (p *plant) Lookup(_ context.Context, _, key string) remediation.Outcome {
	p.mu.Lock()
	defer p.mu.Unlock()
	if answer, ok := pop(&p.lookups); ok {
		return answer
	}
	if p.applied[key] > 0 {
		return remediation.Outcome{Status: remediation.Applied, EffectID: "effect-" + key}
	}
	return remediation.Outcome{Status: remediation.Absent}
}

// Transit implements activities.System.
func (p *plant) Transit(string) time.Duration { return p.transit }

// switches is a rulebook that proposes to switch the feed to its backup.
type switches struct{}

// Analyse implements activities.Rulebook.
func (switches) Analyse(kind agent.Kind, bundle []agent.Evidence) (agent.Output, error) {
	if kind == agent.AuditSummary || kind == agent.Compliance {
		return agent.SumUp(kind, bundle)
	}
	out := agent.Output{
		Category: agent.CategoryMarketData, Severity: deskrules.High, Summary: "A feed is silent.", ProbableCause: "Its primary is gone.", Confidence: "0.80",
		Claims: []agent.Claim{}, Proposals: []agent.Proposal{}, Rules: []string{"feed-silent"},
	}
	for _, e := range bundle {
		if cite, found := agent.FactSpan(e, "kind"); found && e.Kind == agent.OfIncident {
			out.Claims = append(out.Claims, agent.Claim{Text: "an incident is open", Cites: []agent.Cite{cite}})
		}
		if e.Kind == agent.OfTarget && kind == agent.Remediate {
			out.Proposals = append(out.Proposals, agent.Proposal{
				Action: "feed.switch", Target: e.ID, Parameters: map[string]string{"to": "backup"}, Reason: "the backup is live",
			})
		}
	}
	return out, nil
}

// Version implements activities.Rulebook.
func (switches) Version(agent.Kind) string { return "rulebook/test@1" }

// nothing finds no breach of any rule.
type nothing struct{ findings []agent.Finding }

// Look implements activities.Breaches.
func (n nothing) Look(context.Context, agent.Request) ([]agent.Found, []agent.Finding, error) {
	return []agent.Found{{Kind: agent.OfCounts, Source: "compliance", Facts: map[string]string{"records": "7", "findings": strconv.Itoa(len(n.findings))}}}, n.findings, nil
}

func (d *desk) agents(p *plant) *activities.Agents {
	return &activities.Agents{
		InTx: store.InTx[activities.AgentTx](d.writer), Verifier: attest.NewVerifier(d.signer.Key.Public()), Systems: p, Rulebook: switches{},
		Limits: budget.Default(), Breaches: nothing{},
	}
}

func (d *desk) actions(p *plant) *activities.Actions {
	return &activities.Actions{
		InTx: store.InTx[activities.ActionTx](d.writer), Verifier: attest.NewVerifier(d.signer.Key.Public()), Systems: p, Recovery: 300 * time.Millisecond,
	}
}

// openedAs asks for an action in alice's name, under an id that is taken already
// when it is not 0.
func (d *desk) openedAs(t *testing.T, a approval.Action, id int64) request {
	t.Helper()
	r := d.prepareAction(t, a, policies.Desk)
	if id != 0 {
		r.in.ApprovalID = id
		r.in.Command = d.command(t, human("alice", "analyst"), r.payload(t))
	}
	if _, err := run[activities.GateStatus](t, d.approvals.OpenRequest, r.in); err != nil {
		t.Fatal(err)
	}
	return r
}

// allowed is openedAs, and bob approves.
func (d *desk) allowed(t *testing.T, a approval.Action, id int64) request {
	t.Helper()
	r := d.openedAs(t, a, id)
	if got := d.decide(t, r, d.token(t, r, human("bob", "admin"), approval.Approve, nil)); got.Status != approval.Approved {
		t.Fatalf("got %+v", got)
	}
	return r
}

func remediate(incidentID int64) agent.Request {
	return agent.Request{Kind: agent.Remediate, IncidentID: incidentID, Mode: approval.Live, Targets: []agent.Target{{Kind: "feed", ID: "FEED-1"}}}
}

// begun lets a run begin.
func (d *desk) begun(t *testing.T, x *activities.Agents, r agent.Request) activities.RunRef {
	t.Helper()
	allowed := d.allowed(t, r.Action(human("alice").Person, "EQ"), 0)
	ref, err := run[activities.RunRef](t, x.BeginRun, allowed.ref())
	if err != nil || ref.RunID == 0 || ref.Kind != r.Kind {
		t.Fatalf("got %+v, %v", ref, err)
	}
	return ref
}

// planned brings a run about a new incident to its plan of one action.
func (d *desk) planned(t *testing.T, p *plant) (activities.RunRef, remediation.Action) {
	t.Helper()
	x := d.agents(p)
	ref := d.begun(t, x, remediate(d.opens(t)))
	for _, step := range []any{x.GatherEvidence, x.Analyse} {
		if _, err := run[any](t, step, ref); err != nil {
			t.Fatal(err)
		}
	}
	out, err := run[activities.Planned](t, x.PlanActions, ref)
	if err != nil || len(out.Actions) != 1 {
		t.Fatalf("got %+v, %v", out, err)
	}
	return ref, d.action(t, out.Actions[0])
}

func (d *desk) action(t *testing.T, id int64) remediation.Action {
	t.Helper()
	a, err := d.reader.Action(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (d *desk) agentRun(t *testing.T, id int64) agent.Run {
	t.Helper()
	r, err := d.reader.Run(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// going is an approved action whose steps a test goes through.
type going struct {
	*desk
	p   *plant
	x   *activities.Actions
	ref activities.GateRef
	id  int64
}

// ready plans an action and has it approved.
func (d *desk) ready(t *testing.T, p *plant) going {
	t.Helper()
	_, a := d.planned(t, p)
	r := d.allowed(t, a.Approvable(), a.ID)
	return going{desk: d, p: p, x: d.actions(p), ref: r.ref(), id: a.ID}
}

// step runs a step of the action.
func (g going) step(t *testing.T, fn any) (activities.ActionState, error) {
	t.Helper()
	return run[activities.ActionState](t, fn, g.ref)
}

// takes runs a step and wants the status and recovery after it.
func (g going) takes(t *testing.T, fn any, status remediation.Status, recovery remediation.Recovery) {
	t.Helper()
	state, err := g.step(t, fn)
	if err != nil || state.Status != string(status) || state.Recovery != string(recovery) {
		t.Fatalf("got %+v, %v, want %s %q", state, err, status, recovery)
	}
}

func (g going) ends(t *testing.T, step, why string) remediation.Action {
	t.Helper()
	in := activities.EndActionInput{GateRef: g.ref, Step: step, Why: why}
	if _, err := run[activities.ActionState](t, g.x.EndAction, in); err != nil {
		t.Fatal(err)
	}
	return g.action(t, g.id)
}

// fresh forgets the actions and stops of the test before, which are quicker to
// forget than a database is to make.
func (d *desk) fresh(t *testing.T) {
	t.Helper()
	d.exec(t, "TRUNCATE finobs.agent_action, finobs.agent_stop CASCADE")
}

// aboutAction selects the entries about an action.
const aboutAction = "convert_from(leaf, 'UTF8')::jsonb #>> '{details,action_id}' = $1::bigint::text"

// entriesOf counts the entries of types about the action.
func (g going) entriesOf(t *testing.T, want map[string]int) {
	t.Helper()
	for typ, n := range want {
		if got := g.count(t, "SELECT count(*) FROM ledger.entry WHERE "+aboutAction+" AND type = $2", g.id, typ); got != strconv.Itoa(n) {
			t.Errorf("%s entries of type %s, want %d", got, typ, n)
		}
	}
}

// entriesOf counts the entries of types about an action's or a run's life.
func (d *desk) entriesOf(t *testing.T, want map[string]int) {
	t.Helper()
	for typ, n := range want {
		if got := d.count(t, "SELECT count(*) FROM ledger.entry WHERE type = $1", typ); got != strconv.Itoa(n) {
			t.Errorf("%s entries of type %s, want %d", got, typ, n)
		}
	}
}

// often runs a step several times, some of them at once, as retries and zombies of
// a worker do, and wants them to agree.
func often[T comparable](t *testing.T, fn, in any) T {
	t.Helper()
	const attempts = 4
	results, errs := make([]T, attempts), make([]error, attempts)
	var all sync.WaitGroup
	for i := range attempts {
		all.Go(func() { results[i], errs[i] = run[T](t, fn, in) })
	}
	all.Wait()
	last, err := run[T](t, fn, in)
	if err := errors.Join(append(errs, err)...); err != nil {
		t.Fatal(err)
	}
	for _, got := range results {
		if got != last {
			t.Fatalf("attempts disagree: %v and %v", got, last)
		}
	}
	return last
}

// text makes comparable what holds lists.
func text(v any) string { return fmt.Sprintf("%+v", v) }
