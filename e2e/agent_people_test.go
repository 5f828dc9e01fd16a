package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"finobs/policies"
)

// peopleDesk is a desk without a model, with a second sandbox for simulations, and
// with a count of the requests that reach the live one.
type peopleDesk struct {
	*deskStack
	twin *deskStack // the same stack, over the sandbox of simulations
	live *atomic.Int64
}

// hasty lets requests for one kind of run expire soon.
const hasty = `policies:
  - id: hasty
    match: 'action.kind == "agent.audit_summary" && action.parameters.from == "1"'
    all_of: [{n: 1, who: '"analyst" in reviewer.roles'}]
    fallback: 'false'
    veto: 1
    expires: 5s
    single_use: true
    channel: default
`

func newPeopleDesk(t *testing.T) *peopleDesk {
	t.Helper()
	d := newDeskUnder(t, strings.Replace(string(policies.Desk), "\npolicies:\n", "\n"+hasty, 1))
	p := &peopleDesk{deskStack: d, live: &atomic.Int64{}}
	to, err := url.Parse(d.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	counted := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !r.URL.Query().Has("after") { // the worker's probe lists objects, whatever happens
			p.live.Add(1)
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(counted.Close)
	twin := *d
	twin.url = fmt.Sprintf("http://127.0.0.1:%d", freePort(t))
	twin.args = []string{"sandbox", "--mode", "simulation", "--listen", strings.TrimPrefix(twin.url, "http://"), "--token-file", d.Path("sandbox.token"),
		"--seed", d.Path("seed.json"), "--recovery", "500ms"}
	p.twin = &twin
	p.twin.startSandbox(t)
	t.Cleanup(func() { p.twin.sandbox.Kill() }) //nolint:errcheck // it may be dead already
	kinds := "order, position, settlement, ssi, trade, trader, strategy, feed, gateway, counterparty"
	file := "version: 1\nconnectors:\n"
	for mode, base := range map[string]string{"live": counted.URL, "simulation": twin.url} {
		file += fmt.Sprintf("  - {name: sandbox-%s, mode: %s, base_url: %q, kinds: [%s], token_file: sandbox.token, allow_loopback: true, timeout: 5s}\n", mode, mode, base, kinds)
	}
	if err := os.WriteFile(d.Path("connectors.yaml"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	d.work(t, "")
	return p
}

// planned asks for a run over objects as somebody, lets it begin, and waits until
// what it plans is asked for.
func (p *peopleDesk) planned(t *testing.T, who string, simulation bool, n int, targets ...string) (agentRun, []int64) {
	t.Helper()
	i := p.incident(t, "system_outage", "high", "Objects break", "all at once")
	list, err := json.Marshal(targets)
	if err != nil {
		t.Fatal(err)
	}
	body := fmt.Sprintf(`{"incident_id":%s,"targets":%s,"is_simulation":%t}`, i.id, list, simulation)
	id := p.wantsAs(t, who, "/agent/remediate", body)
	p.lets(t, id)
	run := p.runOf(t, id)
	if run.Status != "done" || run.Simulation != simulation {
		t.Fatalf("the run: %+v", run)
	}
	ids := p.plans(t, run, n)
	for _, id := range ids {
		p.pending(t, id)
	}
	return run, ids
}

// People ask, approve, stop, resume, try without effect, and overrule.
func TestPeopleStandOverAgents(t *testing.T) {
	t.Parallel()
	p := newPeopleDesk(t)
	t.Run("asking", p.asking)
	t.Run("a summary up to now", p.summaryUpToNow)
	t.Run("refused requests", p.refusedRequests)
	t.Run("expired and rejected", p.expiredAndRejected)
	t.Run("simulation", p.simulation)
	t.Run("stops", p.stops)
	t.Run("caps", p.caps)
	t.Run("leases", p.leases)
	t.Run("compensation", p.compensation)
	t.Run("tampering", p.tampering)
	t.Run("completed by hand", p.completedByHand)
	t.Run("overrides", p.overrides)
	t.Run("adversarial words", p.adversarialWords)
}

func (p *peopleDesk) asking(t *testing.T) {
	i := p.incident(t, "failed_settlement", "high", "Settlement S-30 failed", "82,000 shares of AAPL to GALE")
	bodies := map[string]string{
		"/agent/triage":        fmt.Sprintf(`{"incident_id":%s,"targets":["settlement:S-30"]}`, i.id),
		"/agent/remediate":     fmt.Sprintf(`{"incident_id":%s,"targets":["settlement:S-30"]}`, i.id),
		"/agent/compliance":    `{"start":"2026-01-01","end":"2026-12-31","origin":"demo"}`,
		"/agent/audit_summary": fmt.Sprintf(`{"from":0,"to":%d}`, p.signed(t)),
	}
	asked := map[string]string{}
	for route, body := range bodies {
		first := want(t, p.call(t, "alice", "POST", route, body), http.StatusAccepted)
		asked[route] = first.str("approval_request_id")
		if first.str("detail") == "" || first.str("status") != "pending" || asked[route] == "" {
			t.Errorf("%s answers %s", route, first.Body)
		}
	}
	alias := want(t, p.call(t, "alice", "POST", "/agent/automate_compliance", bodies["/agent/compliance"]), http.StatusAccepted)
	if alias.str("approval_request_id") != asked["/agent/compliance"] {
		t.Errorf("the same body by another name is another request: %s", alias.Body)
	}
	for route, id := range asked {
		p.wants(t, route, bodies[route]) // the same again, recorded by now
		p.lets(t, id)
		run := p.runOf(t, id)
		again := want(t, p.call(t, "alice", "POST", route, bodies[route]), http.StatusOK)
		if again.str("approval_request_id") != id || !strings.Contains(string(again.Body), `"run_id":`+fmt.Sprint(run.ID)+",") {
			t.Errorf("%s, done, answers %s", route, again.Body)
		}
		p.sevenFields(t, route, run)
		p.says(t, 0, []string{"agent", "replay", fmt.Sprint(run.ID)}, "byte for byte")
	}
}

// summaryUpToNow asks for a summary up to the newest checkpoint again and again while
// the log grows: it is one request, until it is renewed. Other callers, other first
// leaves and a named end are requests of their own.
func (p *peopleDesk) summaryUpToNow(t *testing.T) {
	p.signed(t)
	ask := func(who, body string, status int) string {
		return want(t, p.call(t, who, "POST", "/agent/audit_summary", body), status).str("approval_request_id")
	}
	grows := func() {
		before := p.signed(t)
		p.incident(t, "other", "low", "The log grows", "by this")
		eventually(t, "more of the log is signed", func() bool { return p.signed(t) > before })
	}
	id := p.wants(t, "/agent/audit_summary", `{"from":0}`)
	grows()
	if again := ask("alice", `{"from":0}`, http.StatusAccepted); again != id {
		t.Errorf("asked again while it is open, it is request %s, not %s", again, id)
	}
	to := p.call(t, "alice", "GET", "/approval/"+id, "")
	var shown struct {
		Action struct {
			Parameters map[string]string
		}
	}
	if err := json.Unmarshal(to.Body, &shown); err != nil || shown.Action.Parameters["to"] == "" || shown.Action.Parameters["until"] != "newest" {
		t.Errorf("people are not shown the range: %s, %v", to.Body, err)
	}
	seen := map[string]string{id: "the first"}
	for name, other := range map[string]string{
		"another caller":     ask("arno", `{"from":0}`, http.StatusAccepted),
		"another first leaf": ask("alice", `{"from":2}`, http.StatusAccepted),
		"a simulation":       ask("alice", `{"from":0,"is_simulation":true}`, http.StatusAccepted),
		"a named end":        ask("alice", fmt.Sprintf(`{"from":0,"to":%s}`, shown.Action.Parameters["to"]), http.StatusAccepted),
	} {
		if seen[other] != "" || other == "" {
			t.Errorf("%s is request %s, which is that of %s", name, other, seen[other])
		}
		seen[other] = name
	}
	p.lets(t, id)
	run := p.runOf(t, id)
	grows()
	if again := ask("alice", `{"from":0}`, http.StatusOK); again != id || run.Status != "done" {
		t.Errorf("asked again after it is done, it is request %s, not %s: %+v", again, id, run)
	}
	if renewed := ask("alice", `{"from":0,"renew":true}`, http.StatusAccepted); seen[renewed] != "" || renewed == "" {
		t.Errorf("renewed, it is request %s", renewed)
	}
}

func (p *peopleDesk) refusedRequests(t *testing.T) {
	for _, c := range []struct {
		who, method, path, body string
		status                  int
	}{
		{"alice", "POST", "/agent/triage", `{"incident_id":999999}`, http.StatusNotFound},
		{"alice", "POST", "/agent/remediate", `{"incident_id":999999}`, http.StatusNotFound},
		{"alice", "POST", "/agent/remediate", `{"incident_id":0}`, http.StatusUnprocessableEntity},
		{"alice", "POST", "/agent/remediate", `{}`, http.StatusUnprocessableEntity},
		{"alice", "POST", "/agent/remediate", `{"incident_id":1,"targets":["https://evil.example/x"]}`, http.StatusUnprocessableEntity},
		{"alice", "POST", "/agent/remediate", `{"incident_id":1,"targets":["settlement:../../etc"]}`, http.StatusUnprocessableEntity},
		{"alice", "POST", "/agent/remediate", `{"incident_id":1,"approved":true}`, http.StatusUnprocessableEntity},
		{"alice", "POST", "/agent/compliance", `{"start":"2026-02-31"}`, http.StatusUnprocessableEntity},
		{"alice", "POST", "/agent/compliance", `{"start":"2026-02-02","end":"2026-02-01"}`, http.StatusUnprocessableEntity},
		{"alice", "POST", "/agent/audit_summary", `{"from":0,"to":900000000}`, http.StatusUnprocessableEntity},
		{"alice", "POST", "/agent/audit_summary", `{"from":5,"to":2}`, http.StatusUnprocessableEntity},
		{"alice", "GET", "/agent/runs/999999", "", http.StatusNotFound},
		{"alice", "GET", "/agent/runs/999999/record", "", http.StatusNotFound},
		{"alice", "GET", "/agent/ops/actions/999999", "", http.StatusNotFound},
		{"alice", "POST", "/agent/runs/999999/override", `{"field":"severity","chosen":"low","reason":"r"}`, http.StatusNotFound},
		{"alice", "POST", "/agent/ops/actions/999999/resolve", `{"outcome":"done","reason":"r"}`, http.StatusNotFound},
		{"alice", "POST", "/agent/ops/stops/999999/resume", `{"reason":"r"}`, http.StatusNotFound},
		{"victor", "POST", "/agent/triage", `{"incident_id":1}`, http.StatusForbidden},
		{"victor", "POST", "/agent/ops/stops", `{"reason":"r"}`, http.StatusForbidden},
		{"", "POST", "/agent/triage", `{"incident_id":1}`, http.StatusUnauthorized},
	} {
		if r := p.call(t, c.who, c.method, c.path, c.body); r.Status != c.status {
			t.Errorf("%q %s %s %s answers %d, not %d: %s", c.who, c.method, c.path, c.body, r.Status, c.status, r.Body)
		}
	}
	// An object that no connector has is found out when the agent looks.
	i := p.incident(t, "other", "low", "Nothing", "at all")
	run := p.runs(t, "/agent/remediate", fmt.Sprintf(`{"incident_id":%s,"targets":["order:O-nowhere"]}`, i.id))
	if run.Status != "failed" || !strings.Contains(run.Failure, "order:O-nowhere") {
		t.Errorf("the run over nothing: %+v", run)
	}
}

func (p *peopleDesk) expiredAndRejected(t *testing.T) {
	short := `{"from":1,"to":3}`
	id := p.wants(t, "/agent/audit_summary", short)
	eventually(t, "the request has expired", func() bool { return p.call(t, "alice", "GET", "/approval/"+id, "").str("status") == "expired" })
	want(t, p.call(t, "alice", "POST", "/agent/audit_summary", short), http.StatusGone)

	body := `{"start":"2026-03-01","end":"2026-03-02"}`
	id = p.wants(t, "/agent/compliance", body)
	want(t, p.call(t, "bob", "POST", "/approval/"+id+"/decision", `{"decision":"reject","reason":"not now"}`), http.StatusOK)
	if r := want(t, p.call(t, "alice", "POST", "/agent/compliance", body), http.StatusForbidden); !strings.Contains(string(r.Body), "not now") {
		t.Errorf("why it was rejected is not said: %s", r.Body)
	}
	renewed := want(t, p.call(t, "alice", "POST", "/agent/compliance", `{"start":"2026-03-01","end":"2026-03-02","renew":true}`), http.StatusAccepted)
	if next := renewed.str("approval_request_id"); next == id || next == "" {
		t.Errorf("renewed: %s", renewed.Body)
	}
	if n := count(t, p.stack, "SELECT count(*) FROM finobs.agent_run WHERE approval_id = $1::bigint", id); n != 0 {
		t.Errorf("a rejected request has %d runs", n)
	}
}

func (p *peopleDesk) simulation(t *testing.T) {
	_, live := p.planned(t, "alice", false, 1, "settlement:S-31")
	before := p.live.Load()
	run, tried := p.planned(t, "alice", true, 1, "settlement:S-31")
	p.releases(t, tried[0])
	done := p.until(t, tried[0], "done", "recovered")
	if done.str("is_simulation") != "true" || p.twin.field(t, "settlement", "S-31", "ssi") != "SSI-GALE-DTC" {
		t.Errorf("the simulation did nothing: %s", done.Body)
	}
	if n := p.live.Load() - before; n != 0 || p.field(t, "settlement", "S-31", "ssi") != "SSI-GALE-EOC" {
		t.Errorf("a simulation sent %d requests to the live system", n)
	}
	if p.action(t, live[0]).str("status") != "pending" {
		t.Error("the approval of a simulation released the live action")
	}
	if n := count(t, p.stack, `SELECT count(*) FROM ledger.entry WHERE convert_from(leaf, 'UTF8')::jsonb #>> '{details,run_id}' = $1::text
		AND NOT (convert_from(leaf, 'UTF8')::jsonb @> '{"is_simulation":true}')`, fmt.Sprint(run.ID)); n != 0 {
		t.Errorf("%d entries of a simulation do not say so", n)
	}
	var figures struct {
		Actions []struct {
			Action                  string
			Simulation              bool `json:"is_simulation"`
			Planned, Approved, Done int64
		}
	}
	if err := json.Unmarshal(want(t, p.call(t, "dave", "GET", "/agent/ops/actions/metrics", ""), http.StatusOK).Body, &figures); err != nil {
		t.Fatal(err)
	}
	seen := map[bool]int64{}
	for _, f := range figures.Actions {
		if f.Action == "settlement.amend_ssi" {
			seen[f.Simulation] += f.Done
		}
	}
	if seen[true] != 1 || seen[false] != 0 {
		t.Errorf("done by simulation: %v", seen)
	}
}

func (p *peopleDesk) stop(t *testing.T, desk string) string {
	t.Helper()
	r := want(t, p.call(t, "bob", "POST", "/agent/ops/stops", fmt.Sprintf(`{"desk":%q,"reason":"the market is odd"}`, desk)), http.StatusOK)
	return r.str("stop_id")
}

// lift has alice ask for the end of a stop, and carol approve it.
func (p *peopleDesk) lift(t *testing.T, id string) {
	t.Helper()
	asked := want(t, p.call(t, "alice", "POST", "/agent/ops/stops/"+id+"/resume", `{"reason":"it is over"}`), http.StatusAccepted).str("approval_request_id")
	p.untilPending(t, asked)
	for _, who := range []string{"alice", "bob"} { // the requester, and an analyst
		if r := p.call(t, who, "POST", "/approval/"+asked+"/decision", `{"decision":"approve"}`); r.Status == http.StatusOK && r.str("status") != "pending" {
			t.Errorf("%s lifted a stop: %s", who, r.Body)
		}
	}
	if n := count(t, p.stack, "SELECT count(*) FROM finobs.agent_stop WHERE stop_id = $1::bigint AND lifted_at IS NULL", id); n != 1 {
		t.Error("the stop was lifted without approval")
	}
	want(t, p.call(t, "carol", "POST", "/approval/"+asked+"/decision", `{"decision":"approve","reason":"seen"}`), http.StatusOK)
	eventually(t, "the stop is lifted", func() bool {
		return count(t, p.stack, "SELECT count(*) FROM finobs.agent_stop WHERE stop_id = $1::bigint AND lifted_at IS NULL", id) == 0
	})
}

func (p *peopleDesk) untilPending(t *testing.T, approvalID string) {
	t.Helper()
	eventually(t, "the request is recorded", func() bool { return p.call(t, "alice", "GET", "/approval/"+approvalID, "").str("status") == "pending" })
}

func (p *peopleDesk) stops(t *testing.T) {
	_, ids := p.planned(t, "alice", false, 5, "position:P-41", "position:P-42", "position:P-43", "position:P-44", "position:P-47")
	stopped := func(id int64) {
		t.Helper()
		r := p.until(t, id, "failed", "")
		if !strings.Contains(r.str("status_reason"), "not sent: ") || !strings.Contains(r.str("status_reason"), "stopped by bob") || r.str("sent_at") != "" {
			t.Errorf("under a stop: %s", r.Body)
		}
		if n := p.sandboxEffects(t)[r.str("idempotency_key")]; n != 0 {
			t.Errorf("applied %d times under a stop", n)
		}
	}
	all := p.stop(t, "")
	p.releases(t, ids[0])
	stopped(ids[0])
	p.lift(t, all)

	other := p.stop(t, "FX") // not the desk of these
	p.releases(t, ids[1])
	p.until(t, ids[1], "done", "recovered")
	own := p.stop(t, "EQ")
	p.releases(t, ids[2])
	stopped(ids[2])
	p.lift(t, own)
	p.lift(t, other)

	// One that is begun and not sent is stopped at once.
	if err := p.sandbox.Kill(); err != nil {
		t.Fatal(err)
	}
	p.releases(t, ids[3])
	p.until(t, ids[3], "executing", "")
	late := p.stop(t, "")
	p.startSandbox(t)
	stopped(ids[3])
	p.lift(t, late)

	// One that may have been sent is not sent again, and is found out.
	p.work(t, "action.before-send")
	p.releases(t, ids[4])
	dies(t, p.worker)
	p.work(t, "", "--record-only")
	last := p.stop(t, "")
	p.work(t, "")
	r := p.until(t, ids[4], "failed", "")
	if p.sandboxEffects(t)[r.str("idempotency_key")] != 0 || p.actionEntries(t, ids[4], "effect.unknown") != 1 {
		t.Errorf("under a stop it was sent again: %s", r.Body)
	}
	p.lift(t, last)
}

func (p *peopleDesk) caps(t *testing.T) {
	_, ids := p.planned(t, "alice", false, 5, "gateway:G-1", "gateway:G-2", "gateway:G-3", "gateway:G-4", "gateway:G-5")
	for _, id := range ids {
		p.releases(t, id)
	}
	ended := map[string]int{}
	for _, id := range ids {
		patiently(t, "the action has ended", func() bool {
			s := p.action(t, id).str("status")
			return s == "done" || s == "failed"
		})
		r := p.action(t, id)
		ended[r.str("status")]++
		if r.str("status") == "failed" && !strings.Contains(r.str("status_reason"), "the cap of 4 of gateway.restart in an hour") {
			t.Errorf("failed: %s", r.Body)
		}
	}
	if ended["done"] != 4 || ended["failed"] != 1 {
		t.Errorf("of five restarts in an hour: %v", ended)
	}
}

func (p *peopleDesk) leases(t *testing.T) {
	before := len(p.sandboxEffects(t))
	_, first := p.planned(t, "alice", false, 1, "position:P-45")
	_, second := p.planned(t, "arno", false, 1, "position:P-45")
	p.fault(t, "slow", "1500ms")
	p.releases(t, first[0])
	p.releases(t, second[0])
	ended := map[string]int{}
	for _, id := range []int64{first[0], second[0]} {
		patiently(t, "the action has ended", func() bool {
			s := p.action(t, id).str("status")
			return s == "done" || s == "failed" || s == "superseded"
		})
		ended[p.action(t, id).str("status")]++
	}
	if ended["done"] != 1 || len(p.sandboxEffects(t)) != before+1 {
		t.Errorf("two actions over one target: %v", ended)
	}
}

// compensation has feeds that do not get well after a switch: their switch is taken
// back once, also when the system does not say that it did, or the worker dies then.
func (p *peopleDesk) compensation(t *testing.T) {
	_, ids := p.planned(t, "alice", false, 3, "feed:F-1", "feed:F-2", "feed:F-3")
	for n, id := range ids {
		p.fault(t, "no_recovery", "")
		switch n {
		case 1:
			p.fault(t, "hang_after", "")
		case 2:
			p.work(t, "action.after-compensate")
		}
		p.releases(t, id)
		if n == 2 {
			dies(t, p.worker)
			p.work(t, "")
		}
		r := p.until(t, id, "done", "compensated")
		key, feed := r.str("idempotency_key"), fmt.Sprintf("F-%d", n+1)
		// What the switch back begins would otherwise end as badly as the next switch is to.
		eventually(t, "the feed has been switched back", func() bool { return p.field(t, "feed", feed, "status") != "switching" })
		if effects := p.sandboxEffects(t); effects[key] != 1 || effects[key+"-undo"] != 1 || p.field(t, "feed", feed, "active") != "primary" {
			t.Errorf("effects %v of %s; active is %s", effects, key, p.field(t, "feed", feed, "active"))
		}
		for _, typ := range []string{"effect.done", "effect.not_recovered", "effect.compensated"} {
			if entries := p.actionEntries(t, id, typ); entries != 1 {
				t.Errorf("%d entries %s", entries, typ)
			}
		}
	}
}

func (p *peopleDesk) overrides(t *testing.T) {
	i := p.incident(t, "other", "low", "A question about lunch", "nothing is broken")
	run := p.runs(t, "/agent/triage", fmt.Sprintf(`{"incident_id":%s}`, i.id))
	path := fmt.Sprintf("/agent/runs/%d/override", run.ID)
	if len(run.Result.Proposals) != 0 {
		t.Fatalf("proposed: %+v", run.Result)
	}
	other := map[string]string{"low": "critical"}[run.Result.Severity]
	if other == "" {
		other = "low"
	}
	for _, c := range []struct{ field, chosen, override string }{
		{"severity", other, "ai_override"}, {"category", run.Result.Category, ""}, {"action", "gateway.restart", "manual_override"},
	} {
		r := want(t, p.call(t, "carol", "POST", path, fmt.Sprintf(`{"field":%q,"chosen":%q,"reason":"seen on the floor"}`, c.field, c.chosen)), http.StatusOK)
		if r.str("override_type") != c.override {
			t.Errorf("%s %s is %q: %s", c.field, c.chosen, c.override, r.Body)
		}
	}
	for _, bad := range []string{`{"field":"severity","chosen":"CRITICAL","reason":"r"}`, `{"field":"action","chosen":"rm -rf /","reason":"r"}`, `{"field":"mood","chosen":"low","reason":"r"}`} {
		if r := p.call(t, "carol", "POST", path, bad); r.Status != http.StatusUnprocessableEntity && r.Status != http.StatusNotFound {
			t.Errorf("%s is taken: %d %s", bad, r.Status, r.Body)
		}
	}
	if got := p.run(t, run.ID); got.Override != "manual_override" {
		t.Errorf("the run says %q", got.Override)
	}
	for typ, want := range map[string]int{"agent.overridden": 2, "agent.agreed": 1} {
		if n := i.entries(t, typ); n != want {
			t.Errorf("%d entries %s, not %d", n, typ, want)
		}
	}
	var figures struct {
		Verdicts []struct {
			Field          string
			Agreed         int64
			AIOverride     int64    `json:"ai_override"`
			ManualOverride int64    `json:"manual_override"`
			Agreement      *float64 `json:"agreement_rate"`
		}
	}
	if err := json.Unmarshal(want(t, p.call(t, "dave", "GET", "/agent/ops/actions/metrics", ""), http.StatusOK).Body, &figures); err != nil {
		t.Fatal(err)
	}
	rates := map[string]float64{}
	for _, f := range figures.Verdicts {
		if f.Agreement != nil {
			rates[f.Field] = *f.Agreement
		}
	}
	if len(rates) != 3 || rates["severity"] != 0 || rates["category"] != 1 || rates["action"] != 0 {
		t.Errorf("rates of agreement: %v of %+v", rates, figures)
	}
}
