package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"finobs/internal/action"
	"finobs/internal/agent"
	"finobs/internal/approval"
	"finobs/internal/budget"
	"finobs/internal/desk"
	"finobs/internal/fault"
	"finobs/internal/incident"
	"finobs/internal/remediation"
	"finobs/internal/store"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
)

// run records a run of an approval that is made for it.
func (b books) run(kind agent.Kind, incidentID int64, desk string) agent.Run {
	b.t.Helper()
	var id int64
	b.in(func(tx *store.Tx) (err error) {
		id, err = tx.NextApprovalID(ctx)
		return err
	})
	b.exec(`INSERT INTO finobs.approval_request (approval_id, workflow_id, first_run_id, kind, action, action_digest, policy, policy_id, policy_digest, requester_iss,
			requester_sub, desk, is_simulation, reason, command, request_id, trace_id, created_at, expires_at, status)
		SELECT $1::bigint, 'w' || $1::text, 'r', 'agent.' || $2, '', 'sha256:' || lpad($1::text, 64, '0'), '', 'p', 'sha256:' || repeat('0', 64), 'test', 'alice', $3, false, '', '', '', '', now(),
			now() + interval '1 day', 'pending'`, id, string(kind), desk)
	r := agent.Run{
		ApprovalID: id, Request: agent.Request{Kind: kind, IncidentID: incidentID, Mode: approval.Live}, Requester: person("alice"), Desk: desk, WorkflowID: "w",
	}
	if kind == agent.Compliance {
		r.Request.Origin = "live"
	}
	b.in(func(tx *store.Tx) (err error) {
		r.ID, err = tx.InsertRun(ctx, r, r.Request.Action(r.Requester, desk).Parameters)
		return err
	})
	return r
}

func used(calls, tokens int64, usd string) budget.Use {
	return budget.Use{Calls: calls, Tokens: tokens, USD: decimal.RequireFromString(usd), Wall: time.Duration(calls) * time.Second}
}

// What was used counts for the run, its incident, its desk and the day, and not for
// others; a reservation counts in full until it is settled, which it is once.
func TestSpendSoFar(t *testing.T) {
	b := openBooks(t)
	one, two := b.incident(func(*incident.Incident) {}), b.incident(func(*incident.Incident) {})
	first, second, third := b.run(agent.Triage, one, "EQ"), b.run(agent.Triage, one, "FX"), b.run(agent.Remediate, two, "EQ")
	free := b.run(agent.Compliance, 0, "EQ")
	old := uuid.NewString()
	settled := uuid.NewString()
	b.in(func(tx *store.Tx) error {
		for id, x := range map[string]struct {
			run agent.Run
			use budget.Use
		}{
			uuid.NewString(): {first, used(1, 100, "0.1")}, settled: {first, used(2, 1000, "1.0")}, uuid.NewString(): {second, used(4, 400, "0.4")},
			uuid.NewString(): {third, used(8, 800, "0.8")}, old: {first, used(16, 1600, "1.6")},
		} {
			if err := tx.InsertSpend(ctx, id, x.run, x.use); err != nil {
				return err
			}
		}
		return nil
	})
	b.exec("UPDATE finobs.agent_spend SET day = day - 1 WHERE spend_id = $1", old)
	for _, use := range []budget.Use{used(1, 50, "0.05"), used(2, 1000, "1.0")} { // the second finds it settled
		b.in(func(tx *store.Tx) error { return tx.SettleSpend(ctx, settled, use) })
	}
	for run, want := range map[*agent.Run]map[budget.Level]string{
		&first: {budget.Run: "18 1750 1.75", budget.Incident: "22 2150 2.15", budget.Desk: "10 950 0.95", budget.Day: "14 1350 1.35"},
		&third: {budget.Run: "8 800 0.8", budget.Incident: "8 800 0.8", budget.Desk: "10 950 0.95", budget.Day: "14 1350 1.35"},
		&free:  {budget.Run: "0 0 0", budget.Desk: "10 950 0.95", budget.Day: "14 1350 1.35"},
	} {
		var got budget.Totals
		b.in(func(tx *store.Tx) (err error) {
			got, err = tx.SpendSoFar(ctx, *run)
			return err
		})
		if len(got) != len(want) {
			t.Errorf("run %d: %v", run.ID, got)
		}
		for level, text := range want {
			u := got[level]
			if s := fmt.Sprintf("%d %d %s", u.Calls, u.Tokens, u.USD); s != text || u.Wall != time.Duration(u.Calls)*time.Second {
				t.Errorf("run %d, %s: %s after %s, want %s", run.ID, level, s, u.Wall, text)
			}
		}
	}
}

// What a run says is read back; what it asked a model, what it was shown and what
// it said are kept once.
func TestRunsAreReadBack(t *testing.T) {
	b := openBooks(t)
	incidentID := b.incident(func(*incident.Incident) {})
	r := b.run(agent.Triage, incidentID, "EQ")
	var questions []agent.Question
	for _, marker := range []string{"first", "second"} {
		b.in(func(tx *store.Tx) error {
			q, err := tx.KeepQuestion(ctx, r.ID, agent.Question{Marker: marker, At: time.Date(2026, 6, 12, 0, 0, 0, 0, time.UTC)})
			questions = append(questions, q)
			return err
		})
		b.in(func(tx *store.Tx) error { _, err := tx.KeepEvidence(ctx, r.ID, []byte("evidence "+marker)); return err })
	}
	if questions[1].Marker != "first" {
		t.Errorf("asked %+v", questions)
	}
	r.Result = &agent.Result{
		Version: "rulebook/triage@1", Fallback: "model.down: it is", Problems: []string{"claims[0]: odd"}, Suspicions: []agent.Suspicion{{Where: "E1", What: "tool_call", Quote: "x"}},
		Output: agent.Output{Category: agent.CategoryAccess, Severity: desk.Critical, Confidence: "0.70", Inconclusive: true},
	}
	exchanges := []agent.Exchange{{Bytes: []byte("one"), Provider: "p", Model: "m", Outcome: "ok", InputTokens: 1, OutputTokens: 2}, {Bytes: []byte("one"), Provider: "p", Model: "m", Outcome: "ok"}}
	b.in(func(tx *store.Tx) error {
		if err := tx.InsertExchanges(ctx, r.ID, exchanges); err != nil {
			return err
		}
		return tx.EndRun(ctx, r, []byte("output"))
	})
	b.in(func(tx *store.Tx) error { return tx.FailRun(ctx, r.ID, "too late") })
	got, err := b.r.Run(ctx, r.ID)
	if err != nil || got.Status != agent.Done || got.Failure != "" || got.Request.IncidentID != incidentID || got.EndedAt.IsZero() {
		t.Fatalf("got %+v, %v", got, err)
	}
	want, have := *r.Result, *got.Result
	have.OutputSHA256 = ""
	if fmt.Sprintf("%+v", want) != fmt.Sprintf("%+v", have) {
		t.Errorf("got %+v, want %+v", have, want)
	}
	parts, err := b.r.RunParts(ctx, r.ID)
	texts := []string{}
	for _, p := range parts {
		texts = append(texts, fmt.Sprint(p.Part, p.Ordinal, ":", string(p.Bytes[:min(len(p.Bytes), 14)])))
	}
	if err != nil || strings.Join(texts, ", ") != `evidence0:evidence first, exchange1:one, exchange2:one, output0:output, question0:{"at": "2026-0` {
		t.Errorf("kept %v, %v", texts, err)
	}
	var latest agent.Run
	found := false
	b.in(func(tx *store.Tx) (err error) {
		latest, found, err = tx.LatestRun(ctx, agent.Triage, incidentID)
		return err
	})
	if !found || latest.ID != r.ID {
		t.Errorf("the latest run is %+v", latest)
	}
	for _, read := range []func(int64) error{
		func(id int64) error { _, err := b.r.Run(ctx, id); return err }, func(id int64) error { _, err := b.r.Action(ctx, id); return err },
	} {
		if err := read(4711); fault.KindOf(err) != fault.NotFound {
			t.Errorf("got %v", err)
		}
	}
}

// plan makes an action of a run on a target of its own.
func (b books) plan(r agent.Run, ordinal int) remediation.Action {
	b.t.Helper()
	found, err := action.Find("gateway.restart")
	if err != nil {
		b.t.Fatal(err)
	}
	o := action.Object{Kind: "gateway", ID: fmt.Sprintf("GW-%d-%d", r.ID, ordinal), Version: "1", Fields: map[string]string{"status": "down", "restarts": "0"}}
	plan, err := remediation.PlanFor(found, o, nil, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	x := remediation.Action{
		RunID: r.ID, Ordinal: ordinal, IncidentID: r.Request.IncidentID, Connector: "desk", Plan: plan, Risk: found.Risk, Mode: approval.Live, Requester: r.Requester, Desk: r.Desk,
	}
	if x.PlanBytes, x.PlanDigest, err = plan.Canonical(); err != nil {
		b.t.Fatal(err)
	}
	b.in(func(tx *store.Tx) (err error) {
		if x.ID, err = tx.NextApprovalID(ctx); err != nil {
			return err
		}
		return tx.InsertAction(ctx, x)
	})
	return x
}

// Actions are listed by where they stand, their approval included: by the same words
// as Standing has.
func TestActionsByStanding(t *testing.T) {
	b := openBooks(t)
	r := b.run(agent.Remediate, b.incident(func(*incident.Incident) {}), "EQ")
	template := `INSERT INTO finobs.approval_request (approval_id, workflow_id, first_run_id, kind, action, action_digest, policy, policy_id, policy_digest, requester_iss,
			requester_sub, desk, is_simulation, reason, command, request_id, trace_id, created_at, expires_at, status, closed_at, use_by, consumed_at, consumed_by)
		SELECT $1::bigint, 'w', 'r', kind, action, 'sha256:' || lpad($1::bigint::text, 64, '0'), policy, policy_id, policy_digest, requester_iss, requester_sub, desk, is_simulation,
			reason, command, request_id, trace_id, created_at, expires_at, $3::text, CASE WHEN $3 <> 'pending' THEN now() END,
			CASE WHEN $3 IN ('approved', 'consumed') THEN now() END, CASE WHEN $3 = 'consumed' THEN now() END, CASE WHEN $3 = 'consumed' THEN 'w' END
		FROM finobs.approval_request WHERE approval_id = $2`
	total := 0
	want := map[string]int{}
	statuses := []approval.Status{"", approval.Pending, approval.Approved, approval.Rejected, approval.Expired, approval.Cancelled, approval.Superseded, approval.Consumed}
	for _, s := range remediation.Statuses() {
		for _, a := range statuses {
			total++
			x := b.plan(r, total)
			b.exec("SET session_replication_role = replica; UPDATE finobs.agent_action SET status = '" + string(s) + "' WHERE action_id = " + fmt.Sprint(x.ID))
			if a != "" {
				b.exec(template, x.ID, r.ApprovalID, string(a))
			}
			want[remediation.Action{Status: s, Approval: a}.Standing()]++
		}
	}
	seen := 0
	for standing, n := range want {
		list, err := b.r.Actions(ctx, store.ActionFilter{Standing: standing}, store.Page{Limit: 100})
		if err != nil || len(list) != n {
			t.Errorf("%d actions are %s, %v, want %d", len(list), standing, err, n)
		}
		for _, x := range list {
			if x.Standing() != standing {
				t.Errorf("action %d is %s, listed as %s", x.ID, x.Standing(), standing)
			}
		}
		seen += len(list)
	}
	all, err := b.r.Actions(ctx, store.ActionFilter{RunID: r.ID, Type: "gateway.restart", Desk: "EQ", Simulation: "false", IncidentID: r.Request.IncidentID}, store.Page{Limit: 100})
	if err != nil || len(all) != total || seen != total || all[0].ID < all[1].ID {
		t.Errorf("%d of %d actions, %v", len(all), total, err)
	}
	rest, err := b.r.Actions(ctx, store.ActionFilter{}, store.Page{Limit: 100, Before: all[9].ID})
	if err != nil || len(rest) != total-10 {
		t.Errorf("the next page has %d, %v", len(rest), err)
	}
	toAsk, last, err := b.r.ActionsToAsk(ctx, 0, 100)
	if err != nil || len(toAsk) != 1 || toAsk[0].Standing() != "planned" || last != 0 {
		t.Errorf("to ask: %+v, %d, %v", toAsk, last, err)
	}
	for _, f := range []store.ActionFilter{{Simulation: "true"}, {Desk: "FX"}, {Type: "feed.switch"}, {RunID: 4711}, {IncidentID: 4711}, {Standing: "nonsense"}} {
		if none, err := b.r.Actions(ctx, f, store.Page{Limit: 100}); err != nil || len(none) != 0 {
			t.Errorf("%+v: %d, %v", f, len(none), err)
		}
	}
}

// Plans are asked for page by page: those that cannot be read, of which there may be
// more than a page, keep no other from its turn; one that is asked for does not come
// again.
func TestActionsToAskGoOn(t *testing.T) {
	b := openBooks(t)
	r := b.run(agent.Remediate, b.incident(func(*incident.Incident) {}), "EQ")
	var ids []int64
	for n := range 7 {
		ids = append(ids, b.plan(r, n+1).ID)
	}
	b.exec("UPDATE finobs.agent_action SET plan = 'x' WHERE action_id <= $1", ids[4])
	b.exec("UPDATE finobs.agent_action SET asked = true WHERE action_id = $1", ids[5])
	var found []int64
	after, broken, looks := int64(0), 0, 0
	for looks == 0 || after != 0 {
		looks++
		list, last, err := b.r.ActionsToAsk(ctx, after, 2)
		if err != nil {
			broken += strings.Count(err.Error(), "plan-broken")
		}
		for _, x := range list {
			found = append(found, x.ID)
		}
		after = last
	}
	if looks != 4 || broken != 5 || fmt.Sprint(found) != fmt.Sprint(ids[6:]) {
		t.Errorf("after %d looks, with %d broken ones: %v of %v", looks, broken, found, ids)
	}
}

// A row that somebody changed says so, and hides no other.
func TestBrokenRowsAreShownAsSuch(t *testing.T) {
	b := openBooks(t)
	r := b.run(agent.Remediate, b.incident(func(*incident.Incident) {}), "EQ")
	other := b.run(agent.Remediate, r.Request.IncidentID, "EQ")
	good, bad := b.plan(r, 1), b.plan(r, 2)
	b.exec("UPDATE finobs.agent_action SET plan = convert_to(replace(convert_from(plan, 'UTF8'), 'down', 'up'), 'UTF8') WHERE action_id = $1", bad.ID)
	b.exec(`UPDATE finobs.agent_run SET parameters = '{"targets": "no target"}' WHERE run_id = $1`, r.ID)
	list, err := b.r.Actions(ctx, store.ActionFilter{}, store.Page{Limit: 10})
	if err != nil || len(list) != 2 || list[0].ID != bad.ID || list[0].Broken == "" || list[0].Object() != bad.Object() || list[0].Plan.Action != "gateway.restart" ||
		len(list[0].Plan.Changes) != 0 || list[1].Broken != "" || list[1].ID != good.ID {
		t.Errorf("got %+v, %v", list, err)
	}
	if one, err := b.r.Action(ctx, bad.ID); err != nil || one.Broken != list[0].Broken {
		t.Errorf("got %+v, %v", one, err)
	}
	runs, err := b.r.Runs(ctx, store.RunFilter{}, store.Page{Limit: 10})
	if err != nil || len(runs) != 2 || runs[0].ID != other.ID || runs[0].Broken != "" || runs[1].ID != r.ID || runs[1].Broken == "" || runs[1].Request.IncidentID != r.Request.IncidentID {
		t.Errorf("got %+v, %v", runs, err)
	}
	err = inTx(t, b.w, func(tx *store.Tx) error { _, err := tx.LockAction(ctx, bad.ID); return err })
	if fault.CodeOf(err) != "plan-broken" {
		t.Errorf("who acts is given it: %v", err)
	}
	err = inTx(t, b.w, func(tx *store.Tx) error { _, err := tx.LockRun(ctx, r.ID); return err })
	if fault.CodeOf(err) != "run-broken" || fault.KindOf(err).Retryable() {
		t.Errorf("who acts is given it: %v", err)
	}
}

// A lease is one action's; a second one is a conflict, whoever writes.
func TestOneActionHoldsATarget(t *testing.T) {
	b := openBooks(t)
	r := b.run(agent.Remediate, b.incident(func(*incident.Incident) {}), "EQ")
	one, two := b.plan(r, 1), b.plan(r, 2)
	b.exec("UPDATE finobs.agent_action SET target_id = 'GW'")
	one.Status, one.Leased = remediation.Executing, true
	two.Status, two.Leased = remediation.Executing, true
	b.in(func(tx *store.Tx) error { return tx.SaveAction(ctx, one) })
	err := inTx(t, b.w, func(tx *store.Tx) error { return tx.SaveAction(ctx, two) })
	if fault.CodeOf(err) != "target-leased" || fault.KindOf(err) != fault.Conflict {
		t.Errorf("got %v", err)
	}
	b.in(func(tx *store.Tx) error {
		holder, err := tx.LeaseHolder(ctx, "desk", "gateway", "GW")
		if holder != one.ID {
			t.Errorf("action %d holds it", holder)
		}
		return err
	})
}
