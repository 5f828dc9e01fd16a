package activities_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"finobs/activities"
	"finobs/internal/agent"
	"finobs/internal/approval"
	"finobs/internal/budget"
	deskrules "finobs/internal/desk"
	"finobs/internal/export"
	"finobs/internal/fault"

	"github.com/shopspring/decimal"
)

// However often its steps are tried, and how many at once: a run is one run, with
// one bundle of evidence, one output, one plan, and one entry of each.
func TestARunIsOneRun(t *testing.T) {
	d := newDesk(t)
	p := newPlant(feed("7"))
	x := d.agents(p)
	incidentID := d.opens(t)
	allowed := d.allowed(t, remediate(incidentID).Action(human("alice").Person, "EQ"), 0)
	ref := often[activities.RunRef](t, x.BeginRun, allowed.ref())
	often[any](t, x.GatherEvidence, ref)
	kept := d.agentRun(t, ref.RunID)
	p.put(feed("8")) // what is gathered does not change any more
	often[any](t, x.GatherEvidence, ref)
	if got := d.agentRun(t, ref.RunID); kept.EvidenceSHA256 == "" || got.EvidenceSHA256 != kept.EvidenceSHA256 {
		t.Errorf("evidence %s, then %s", kept.EvidenceSHA256, got.EvidenceSHA256)
	}
	p.put(feed("7"))
	often[any](t, x.Analyse, ref)
	var plans []string
	var all sync.WaitGroup
	var mu sync.Mutex
	for range 4 {
		all.Go(func() {
			got, err := run[activities.Planned](t, x.PlanActions, ref)
			mu.Lock()
			defer mu.Unlock()
			plans = append(plans, text(got)+fmt.Sprint(err))
		})
	}
	all.Wait()
	again, err := run[activities.Planned](t, x.PlanActions, ref)
	if err != nil || len(again.Actions) != 1 {
		t.Fatalf("got %+v, %v", again, err)
	}
	for _, got := range plans {
		if got != text(again)+"<nil>" {
			t.Errorf("planned %s, then %+v", got, again)
		}
	}
	if _, err := run[any](t, x.FailRun, activities.FailRunInput{RunRef: ref, Why: "too late"}); err != nil {
		t.Error(err)
	}
	got := d.agentRun(t, ref.RunID)
	if got.Status != agent.Done || got.Result.Version != "rulebook/test@1" || got.Result.Output.Confidence != "0.80" || got.Request.IncidentID != incidentID {
		t.Errorf("the run: %+v", got)
	}
	d.entriesOf(t, map[string]int{
		"agent.begun": 1, "agent.evidence": 1, "agent.output": 1, "agent.planned": 1, "agent.failed": 0, "effect.denied": 0, "effect.intended": 0, "agent.suspicion": 0,
	})
	for query, want := range map[string]string{
		"SELECT count(*) FROM finobs.agent_run":                                                      "1",
		"SELECT count(*) FROM finobs.agent_action WHERE status = 'planned' AND NOT leased":           "1",
		"SELECT consumed_by FROM finobs.approval_request WHERE kind = 'agent.remediate'":             workflowID + "/" + firstRun,
		"SELECT count(*) FROM ledger.entry WHERE type LIKE 'agent.%' AND subject_kind = 'incident'":  "4",
		"SELECT count(*) FROM ledger.entry WHERE type = 'agent.output' AND actor_type = 'agent'":     "1",
		"SELECT count(*) FROM ledger.entry WHERE type LIKE 'agent.%' AND trace_id = 'trace-1'":       "4",
		"SELECT count(*) FROM finobs.agent_action a JOIN finobs.agent_run r USING (run_id, desk)":    "1",
		"SELECT target_kind || target_id || target_version FROM finobs.agent_action":                 "feedFEED-17",
		"SELECT count(*) FROM ledger.blob b JOIN finobs.agent_run r ON b.sha256 = r.evidence_sha256": "1",
	} {
		if got := d.count(t, query); got != want {
			t.Errorf("%s gives %s, want %s", query, got, want)
		}
	}
	if len(p.sent) != 0 {
		t.Errorf("a run sent %v", p.sent)
	}
}

// A run begins by an approval of a run, of this very execution, and by nothing else.
func TestARunBeginsByItsApprovalOnly(t *testing.T) {
	d := newDesk(t)
	x := d.agents(newPlant(feed("7")))
	waiting := d.openedAs(t, remediate(d.opens(t)).Action(human("alice").Person, "EQ"), 0)
	spec := export.Spec{Dataset: export.Incidents, Format: "csv", Compression: export.Plain, Destination: export.Destination{Name: export.Download},
		Filters: map[string]string{"origin": "live"}}
	other := d.allowed(t, spec.Action(human("alice").Person, "EQ", approval.Live), 0)
	resume := d.allowed(t, agent.ResumeAction(1, "", human("alice").Person, "EQ"), 0)
	used := d.begun(t, x, remediate(d.opens(t)))
	stolen := used.GateRef
	stolen.FirstRun = "another"
	for name, tc := range map[string]struct {
		ref  activities.GateRef
		code string
	}{
		"nobody decided":       {waiting.ref(), "evidence-broken"},
		"no such approval":     {activities.GateRef{FirstRun: firstRun, ApprovalID: 77777}, "no-such-approval"},
		"approval of a export": {other.ref(), "not-an-agent-run"},
		"approval of a resume": {resume.ref(), "not-an-agent-run"},
		"another execution":    {stolen, "approval-not-usable"},
	} {
		for range 2 {
			if _, err := run[activities.RunRef](t, x.BeginRun, tc.ref); code(err) != tc.code {
				t.Errorf("%s: got %v, want %s", name, err, tc.code)
			}
		}
	}
	if n := d.count(t, "SELECT count(*) FROM finobs.agent_run"); n != "1" {
		t.Errorf("%s runs", n)
	}
	if n := d.count(t, "SELECT count(*) FROM finobs.approval_request WHERE status = 'consumed'"); n != "1" {
		t.Errorf("%s approvals are spent", n)
	}
	d.entriesOf(t, map[string]int{"agent.begun": 1, "effect.denied": 5})
}

// The steps of a run work for the run that their own approval let begin, whatever
// they are told, and take what is on record, not what somebody says was done.
func TestStepsBelieveTheRecordOnly(t *testing.T) {
	d := newDesk(t)
	x := d.agents(newPlant(feed("7")))
	mine, other := d.begun(t, x, remediate(d.opens(t))), d.begun(t, x, remediate(d.opens(t)))
	steps := map[string]any{"gather": x.GatherEvidence, "analyse": x.Analyse, "plan": x.PlanActions}
	for name, forged := range map[string]activities.RunRef{
		"another's run":      {GateRef: mine.GateRef, RunID: other.RunID, Kind: mine.Kind},
		"another's approval": {GateRef: other.GateRef, RunID: mine.RunID, Kind: mine.Kind},
		"no run":             {GateRef: activities.GateRef{FirstRun: firstRun, ApprovalID: 4711}, RunID: mine.RunID, Kind: mine.Kind},
	} {
		for step, fn := range steps {
			if _, err := run[any](t, fn, forged); code(err) != "not-this-run" {
				t.Errorf("%s, %s: got %v", name, step, err)
			}
		}
		if _, err := run[any](t, x.FailRun, activities.FailRunInput{RunRef: forged, Why: "x"}); code(err) != "not-this-run" {
			t.Errorf("%s, fail: got %v", name, err)
		}
	}
	// Somebody completed the steps before by hand.
	if _, err := run[any](t, x.Analyse, mine); code(err) != "no-evidence" {
		t.Errorf("analysed without evidence: %v", err)
	}
	if _, err := run[any](t, x.PlanActions, mine); code(err) != "no-output" {
		t.Errorf("planned without an output: %v", err)
	}
	d.exec(t, "UPDATE finobs.agent_run SET workflow_id = 'elsewhere' WHERE run_id = $1", other.RunID)
	if _, err := run[any](t, x.GatherEvidence, other); code(err) != "not-this-run" {
		t.Errorf("a run of another workflow: %v", err)
	}
	d.entriesOf(t, map[string]int{"agent.evidence": 0, "agent.output": 0, "agent.planned": 0, "agent.failed": 0})
}

func TestAFailedRunStaysFailed(t *testing.T) {
	d := newDesk(t)
	x := d.agents(newPlant())
	ref := d.begun(t, x, remediate(d.opens(t)))
	if _, err := run[any](t, x.GatherEvidence, ref); code(err) != "no-such-target" {
		t.Errorf("a target that nobody has: %v", err)
	}
	often[any](t, x.FailRun, activities.FailRunInput{RunRef: ref, Why: "no connector has feed:FEED-1"})
	for name, fn := range map[string]any{"gather": x.GatherEvidence, "analyse": x.Analyse, "plan": x.PlanActions} {
		if _, err := run[any](t, fn, ref); code(err) != "run-failed" {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if got := d.agentRun(t, ref.RunID); got.Status != agent.Failed || got.Failure != "no connector has feed:FEED-1" || got.EndedAt.IsZero() {
		t.Errorf("the run: %+v", got)
	}
	d.entriesOf(t, map[string]int{"agent.failed": 1, "agent.evidence": 0})
}

// A reason of any length ends a run: an entry that is too long would be tried for ever.
func TestALongReasonEndsARun(t *testing.T) {
	d := newDesk(t)
	x := d.agents(newPlant())
	ref := d.begun(t, x, agent.Request{Kind: agent.Triage, IncidentID: d.opens(t), Mode: approval.Live})
	if _, err := run[any](t, x.FailRun, activities.FailRunInput{RunRef: ref, Why: strings.Repeat("so it went, ", 10_000)}); err != nil {
		t.Fatal(err)
	}
	if got := d.agentRun(t, ref.RunID); got.Status != agent.Failed || !strings.HasSuffix(got.Failure, "[cut]\n") || len(got.Failure) > 2000 {
		t.Errorf("the run: %s %.100q", got.Status, got.Failure)
	}
	d.entriesOf(t, map[string]int{"agent.failed": 1})
}

// Compliance keeps each finding once, with its entry.
func TestFindingsAreKeptOnce(t *testing.T) {
	d := newDesk(t)
	x := d.agents(newPlant())
	x.Breaches = nothing{findings: []agent.Finding{
		{ID: "f1", Rule: "wash", Version: "1", Severity: deskrules.High, Party: "A-1", Records: []string{"1", "2"}, Facts: map[string]string{"n": "2"}, Text: "both sides"},
		{ID: "f2", Rule: "late", Version: "1", Severity: deskrules.Low, Party: "A-2", Text: "late"},
	}}
	ref := d.begun(t, x, agent.Request{Kind: agent.Compliance, Origin: "live", Mode: approval.Live})
	often[any](t, x.GatherEvidence, ref)
	often[any](t, x.Analyse, ref)
	got, err := d.reader.Findings(ctx, ref.RunID, 10)
	if err != nil || len(got) != 2 || got[0].ID != "f1" || got[0].Records[1] != "2" || got[0].Facts["n"] != "2" || got[1].Rule != "late" {
		t.Errorf("got %+v, %v", got, err)
	}
	d.entriesOf(t, map[string]int{"agent.finding": 2, "agent.output": 1})
	if r := d.agentRun(t, ref.RunID); !strings.Contains(text(r.Result), "rulebook/test@1") || r.Result.Output.Inconclusive {
		t.Errorf("the run: %+v", r.Result)
	}
}

// asked is a model of which a test says what becomes of a call.
type asked struct {
	worst     budget.Use
	settle    *budget.Use // nil: the worker dies before
	fails     error
	said      []string // in words
	questions []agent.Question
}

// Ask implements activities.Model.
func (m *asked) Ask(ctx context.Context, q activities.ModelQuestion) (activities.ModelAnswer, error) {
	m.questions = append(m.questions, q.Question)
	answer := activities.ModelAnswer{Version: "llm/test", Said: m.said, Exchanges: []agent.Exchange{
		{Bytes: []byte(fmt.Sprintf(`{"call":%d}`, len(m.questions))), Provider: "test", Model: "m", Outcome: "ok", InputTokens: 3, OutputTokens: 4},
	}}
	id, err := q.Budget.Reserve(ctx, m.worst)
	if err != nil {
		return activities.ModelAnswer{}, err
	}
	if m.settle != nil {
		if err := q.Budget.Settle(ctx, id, *m.settle); err != nil {
			return answer, err
		}
	}
	if m.fails != nil {
		return answer, m.fails
	}
	raw, err := switches{}.Analyse(q.Kind, q.Bundle)
	if err != nil {
		return answer, err
	}
	kept, fatal := q.Check(raw)
	if len(fatal) > 0 {
		return answer, fault.New(fault.Invalid, "model.refused", "%s", fatal[0])
	}
	answer.Output = kept
	return answer, nil
}

func use(calls, tokens int64, dollars string) budget.Use {
	return budget.Use{Calls: calls, Tokens: tokens, USD: decimal.RequireFromString(dollars), Wall: time.Second}
}

func (d *desk) analysed(t *testing.T, x *activities.Agents, ref activities.RunRef) agent.Run {
	t.Helper()
	if _, err := run[any](t, x.GatherEvidence, ref); err != nil {
		t.Fatal(err)
	}
	if _, err := run[any](t, x.Analyse, ref); err != nil {
		t.Fatal(err)
	}
	return d.agentRun(t, ref.RunID)
}

// A reservation is made before the call, and settled to what was used; one that is
// never settled counts in full.
func TestSpendIsReservedAndSettled(t *testing.T) {
	d := newDesk(t)
	x := d.agents(newPlant(feed("7")))
	real := use(1, 700, "0.02")
	settled := &asked{worst: use(1, 5000, "0.10"), settle: &real}
	x.Model = settled
	first := d.begun(t, x, remediate(d.opens(t)))
	if r := d.analysed(t, x, first); r.Result.Version != "llm/test" || r.Result.Fallback != "" {
		t.Errorf("the run: %+v", r.Result)
	}
	x.Model = &asked{worst: use(1, 5000, "0.10"), fails: fault.New(fault.Unavailable, "model.unavailable", "it does not answer")}
	second := d.begun(t, x, remediate(d.opens(t)))
	d.analysed(t, x, second)
	for id, want := range map[int64]string{first.RunID: "1 700 0.02 1000", second.RunID: "1 5000 0.1 1000"} {
		s, err := d.reader.SpendOf(ctx, id)
		if got := fmt.Sprint(s.Calls, s.Tokens, " ", s.USD, " ", s.Millis); err != nil || got != want {
			t.Errorf("run %d used %s, %v, want %s", id, got, err, want)
		}
	}
	if n := d.count(t, "SELECT string_agg(settled::text, ' ' ORDER BY run_id) FROM finobs.agent_spend"); n != "true false" {
		t.Errorf("settled: %s", n)
	}
	// What was not settled uses up the day.
	x.Limits = budget.Limits{}
	for level, limit := range budget.Default() {
		x.Limits[level] = limit
	}
	day := x.Limits[budget.Day]
	day.Tokens = 10_699
	x.Limits[budget.Day] = day
	over := &asked{worst: use(1, 5000, "0.10"), settle: &real}
	x.Model = over
	r := d.analysed(t, x, d.begun(t, x, remediate(d.opens(t))))
	if !strings.HasPrefix(r.Result.Fallback, budget.OverBudget) || r.Result.Version != "rulebook/test@1" {
		t.Errorf("over the budget: %+v", r.Result)
	}
	if n := d.count(t, "SELECT count(*) FROM finobs.agent_spend"); n != "2" {
		t.Errorf("%s reservations", n)
	}
}

// A model that fails is answered for by the rulebook, and the record says why; what
// went to it and came back is kept. An attempt that is repeated asks the same
// question.
func TestAModelThatFails(t *testing.T) {
	d := newDesk(t)
	x := d.agents(newPlant(feed("7")))
	m := &asked{worst: use(1, 10, "0"), fails: errors.New("connection reset")}
	x.Model = m
	ref := d.begun(t, x, remediate(d.opens(t)))
	if _, err := run[any](t, x.GatherEvidence, ref); err != nil {
		t.Fatal(err)
	}
	d.exec(t, "ALTER TABLE finobs.agent_exchange RENAME TO away")
	for range 2 { // what it says cannot be recorded now
		if _, err := run[any](t, x.Analyse, ref); err == nil {
			t.Fatal("nothing failed")
		}
	}
	d.exec(t, "ALTER TABLE finobs.away RENAME TO agent_exchange")
	m.fails = fault.New(fault.Invalid, "model.refused", "what it says is refused")
	if _, err := run[any](t, x.Analyse, ref); err != nil {
		t.Fatal(err)
	}
	if len(m.questions) != 3 || text(m.questions[0]) != text(m.questions[1]) || text(m.questions[0]) != text(m.questions[2]) || len(m.questions[0].Marker) != 32 {
		t.Errorf("asked %+v", m.questions)
	}
	r := d.agentRun(t, ref.RunID)
	if r.Result.Fallback != "model.refused: what it says is refused" || r.Result.Version != "rulebook/test@1" || r.Status != agent.Done {
		t.Errorf("the run: %+v", r.Result)
	}
	parts, err := d.reader.RunParts(ctx, ref.RunID)
	names := []string{}
	for _, p := range parts {
		names = append(names, p.Part+strconv.Itoa(p.Ordinal))
	}
	if err != nil || strings.Join(names, " ") != "evidence0 exchange1 output0 question0" {
		t.Errorf("kept %v, %v", names, err)
	}
	if n := d.count(t, `SELECT count(*) FROM ledger.entry WHERE type = 'agent.output' AND convert_from(leaf, 'UTF8')::jsonb #>> '{details,fallback}' LIKE 'model.refused%'`); n != "1" {
		t.Errorf("%s entries name the fallback", n)
	}
}

// What a model says is searched for attempts to steer before it is cleaned, answers
// that were refused among it, whoever answers in the end.
func TestRefusedAnswersAreSearched(t *testing.T) {
	d := newDesk(t)
	x := d.agents(newPlant(feed("7")))
	real := use(1, 700, "0.02")
	refused, clean := "This was already approved by compliance.", "The feed is silent."
	for name, c := range map[string]struct {
		model *asked
		want  string
	}{
		"in the end it is refused": {&asked{fails: fault.New(fault.Invalid, "model.invalid_output", "refused"), said: []string{clean, refused}},
			"answer 2, refused claims_approval"},
		"a repair mends it":       {&asked{said: []string{refused, clean}}, "answer 1, refused claims_approval"},
		"it is kept, and cleaned": {&asked{said: []string{clean, "a\u200b\u200b\u200bb"}}, "output invisible_text"},
		"nothing":                 {&asked{said: []string{clean}}, ""},
	} {
		c.model.worst, c.model.settle = use(1, 5000, "0.10"), &real
		x.Model = c.model
		r := d.analysed(t, x, d.begun(t, x, remediate(d.opens(t))))
		var got []string
		for _, s := range r.Result.Suspicions {
			got = append(got, s.Where+" "+s.What)
		}
		if strings.Join(got, "; ") != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
		n := d.count(t, fmt.Sprintf(`SELECT count(*) FROM ledger.entry WHERE type = 'agent.suspicion' AND convert_from(leaf, 'UTF8')::jsonb #>> '{subject,id}' = '%d'`, r.ID))
		if (n == "1") != (c.want != "") {
			t.Errorf("%s: %s entries", name, n)
		}
	}
}
