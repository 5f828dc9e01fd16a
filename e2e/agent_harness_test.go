package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"finobs/internal/devstack"
	"finobs/internal/sandbox"
	"finobs/policies"
)

// sandboxToken is what requests to the sandbox of a test bring.
const sandboxToken = "a-token-of-the-tests-that-is-long-enough-0123456789"

// desk is a stack whose agents can reach a sandbox that plays the desk's systems.
type deskStack struct {
	*stack
	sandbox *devstack.Process
	url     string // of the sandbox
	args    []string
	env     []string // of the worker
}

// newDesk brings a stack up with a live sandbox, and a connector to it.
func newDesk(t *testing.T, env ...string) *deskStack {
	t.Helper()
	return newDeskUnder(t, string(policies.Desk), env...)
}

// newDeskUnder is newDesk with a policy file.
func newDeskUnder(t *testing.T, policyFile string, env ...string) *deskStack {
	t.Helper()
	s := bareStack(t)
	s.Settings()["FINOBS_POLICIES"] = s.Path("policies.yaml")
	d := &deskStack{stack: s, url: fmt.Sprintf("http://127.0.0.1:%d", freePort(t))}
	kinds := "order, position, settlement, ssi, trade, trader, strategy, feed, gateway, counterparty"
	connectors := fmt.Sprintf(`version: 1
connectors:
  - {name: sandbox, mode: live, base_url: %q, kinds: [%s], token_file: sandbox.token, allow_loopback: true, timeout: 5s}
`, d.url, kinds)
	for name, text := range map[string]string{"connectors.yaml": connectors, "sandbox.token": sandboxToken, "seed.json": deskSeed(t), "policies.yaml": policyFile} {
		if err := os.WriteFile(s.Path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.args = []string{"sandbox", "--mode", "live", "--listen", strings.TrimPrefix(d.url, "http://"), "--token-file", s.Path("sandbox.token"),
		"--state", s.Path("sandbox.jsonl"), "--seed", s.Path("seed.json"), "--recovery", "500ms"}
	d.env = append([]string{"FINOBS_CONNECTORS=" + s.Path("connectors.yaml"), "FINOBS_ACTION_RECOVERY=8s"}, env...)
	d.startSandbox(t)
	t.Cleanup(func() { d.sandbox.Kill() }) //nolint:errcheck // it may be dead already
	if err := s.startAPI(); err != nil {
		t.Fatal(err)
	}
	d.work(t, "")
	return d
}

// deskSeed is the shipped desk with many of some objects: positions P-1 to P-60 that
// break and would match, settlements S-1 to S-40 of 82,000 shares that failed on the
// wrong standing instruction, R-1 to R-9 of as many that can be instructed again,
// feeds F-1 to F-6 that are silent with a live backup, gateways G-1 to G-6 that are
// down.
func deskSeed(t *testing.T) string {
	t.Helper()
	shipped, err := sandbox.DefaultSeed()
	if err != nil {
		t.Fatal(err)
	}
	objects := shipped
	for _, o := range shipped {
		name, n, more := "", 0, map[string]string{}
		switch o.Kind + ":" + o.ID {
		case "position:P-MAIN-AAPL":
			name, n = "P", 60
		case "settlement:S-1001":
			name, n = "S", 40
			for i := range 9 {
				objects = append(objects, likeness(o, fmt.Sprintf("R-%d", i+1), map[string]string{"fail_reason": "late_matching", "ssi": "SSI-GALE-DTC"}))
			}
		case "feed:FEED-US-EQ":
			name, n, more["primary_status"] = "F", 6, "live"
		case "gateway:GW-NASDAQ-1":
			name, n = "G", 6
		}
		for i := range n {
			objects = append(objects, likeness(o, fmt.Sprintf("%s-%d", name, i+1), more))
		}
	}
	type seed struct {
		Kind   string            `json:"kind"`
		ID     string            `json:"id"`
		Fields map[string]string `json:"fields"`
	}
	file := map[string][]seed{}
	for _, o := range objects {
		file["objects"] = append(file["objects"], seed{o.Kind, o.ID, o.Fields})
	}
	text, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// likeness is a copy of an object with another id and some other fields.
func likeness(o sandbox.Object, id string, more map[string]string) sandbox.Object {
	out := sandbox.Object{Kind: o.Kind, ID: id, Fields: maps.Clone(o.Fields)}
	maps.Copy(out.Fields, more)
	return out
}

func (d *deskStack) startSandbox(t *testing.T) {
	t.Helper()
	var err error
	if d.sandbox, err = d.Launch("sandbox", nil, filepath.Join(bin, "finobs"), d.args...); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the sandbox answers", func() bool {
		r, err := d.sandboxCall("GET", "/v1/objects/gateway/GW-NYSE-1", "")
		return err == nil && r.Status == http.StatusOK
	})
}

// work replaces the worker by one that reaches the sandbox, and that dies at a
// failpoint when one is named.
func (d *deskStack) work(t *testing.T, failpoint string, args ...string) {
	t.Helper()
	if d.worker != nil {
		d.worker.Kill() //nolint:errcheck // it may be dead already
	}
	d.worker = d.anotherWorker(t, "worker", failpoint, args...)
}

func (d *deskStack) anotherWorker(t *testing.T, name, failpoint string, args ...string) *devstack.Process {
	t.Helper()
	w, err := d.Launch(name, append([]string{"FINOBS_FAILPOINT=" + failpoint}, d.env...), filepath.Join(bin, "finobs"), append([]string{"worker"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (d *deskStack) sandboxCall(method, path, body string, headers ...string) (reply, error) {
	req, err := http.NewRequest(method, d.url+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	req.Header.Set("Authorization", "Bearer "+sandboxToken)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, res.Header, text}, err
}

// sends has somebody else send a command to the sandbox, past finobs.
func (d *deskStack) sends(t *testing.T, action, kind, id, version string) {
	t.Helper()
	body := fmt.Sprintf(`{"action":%q,"target":{"kind":%q,"id":%q,"version":%q},"parameters":{}}`, action, kind, id, version)
	r, err := d.sandboxCall("POST", "/v1/commands", body, "Idempotency-Key", fmt.Sprintf("somebody-%d", unique.Add(1)))
	if err != nil || r.Status != http.StatusOK {
		t.Fatalf("the sandbox does not take it: %d %s %v", r.Status, r.Body, err)
	}
}

// fault has the next command of the sandbox go wrong.
func (d *deskStack) fault(t *testing.T, fault, delay string) {
	t.Helper()
	r, err := d.sandboxCall("POST", "/v1/faults", fmt.Sprintf(`{"fault":%q,"delay":%q}`, fault, delay))
	if err != nil || r.Status >= 300 {
		t.Fatalf("the sandbox takes no fault: %d %s %v", r.Status, r.Body, err)
	}
}

// sandboxEffects lists how often each key was applied.
func (d *deskStack) sandboxEffects(t *testing.T) map[string]int {
	t.Helper()
	r, err := d.sandboxCall("GET", "/v1/effects", "")
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Effects []struct {
			Key   string `json:"key"`
			Count int    `json:"applications"`
		} `json:"effects"`
	}
	if err := json.Unmarshal(r.Body, &got); err != nil {
		t.Fatalf("%v: %s", err, r.Body)
	}
	out := map[string]int{}
	for _, e := range got.Effects {
		out[e.Key] = e.Count
	}
	return out
}

// field reads a field of an object of the sandbox.
func (d *deskStack) field(t *testing.T, kind, id, name string) string {
	t.Helper()
	r, err := d.sandboxCall("GET", "/v1/objects/"+kind+"/"+id, "")
	if err != nil {
		t.Fatal(err)
	}
	var o struct {
		Fields map[string]string `json:"fields"`
	}
	if err := json.Unmarshal(r.Body, &o); err != nil {
		t.Fatalf("%v: %s", err, r.Body)
	}
	return o.Fields[name]
}

// proposalShown is a proposal as the API shows it.
type proposalShown struct {
	Action string `json:"action"`
	Target string `json:"target"`
	Reason string `json:"reason"`
}

// agentRun is a run as the API shows it.
type agentRun struct {
	ID         int64  `json:"run_id"`
	Status     string `json:"status"`
	Failure    string `json:"failure"`
	Version    string `json:"agent_version"`
	Fallback   string `json:"fallback"`
	Input      string `json:"agent_input"`
	Output     string `json:"agent_output"`
	Actor      string `json:"actor_type"`
	Override   string `json:"override_type"`
	Simulation bool   `json:"is_simulation"`
	Words      string `json:"ai_explanation"`
	Model      bool   `json:"is_model_text"`
	Result     struct {
		Category     string          `json:"category"`
		Severity     string          `json:"severity"`
		Confidence   string          `json:"confidence"`
		Inconclusive bool            `json:"inconclusive"`
		Rules        []string        `json:"rules"`
		Proposals    []proposalShown `json:"proposals"`
		Claims       []struct {
			Struck bool `json:"struck"`
		} `json:"claims"`
	} `json:"result"`
	Problems   []string `json:"problems"`
	Suspicions []struct {
		Where string `json:"where"`
		What  string `json:"what"`
	} `json:"suspicions"`
	Evidence []struct {
		ID     string            `json:"id"`
		Kind   string            `json:"kind"`
		Source string            `json:"source"`
		Facts  map[string]string `json:"facts"`
		Text   string            `json:"text"`
	} `json:"evidence"`
	Findings []struct {
		Rule string `json:"rule"`
	} `json:"findings"`
	Actions []int64 `json:"actions"`
	Spend   struct {
		Calls  int64  `json:"calls"`
		Tokens int64  `json:"tokens"`
		USD    string `json:"usd"`
	} `json:"spend"`
}

// runs asks for a run as alice, approves it as bob, and waits for its end.
func (s *stack) runs(t *testing.T, route, body string) agentRun {
	t.Helper()
	id := s.wants(t, route, body)
	s.lets(t, id)
	return s.runOf(t, id)
}

// wants asks for a run as alice, and returns the approval that it needs.
func (s *stack) wants(t *testing.T, route, body string) string {
	t.Helper()
	return s.wantsAs(t, "alice", route, body)
}

func (s *stack) wantsAs(t *testing.T, who, route, body string) string {
	t.Helper()
	asked := want(t, s.call(t, who, "POST", route, body), http.StatusAccepted)
	id := asked.str("approval_request_id")
	eventually(t, "the request for the run is recorded", func() bool {
		return s.call(t, "alice", "GET", "/approval/"+id, "").str("status") == "pending"
	})
	return id
}

// lets approves as bob. Whether a worker is there to record that is another matter.
func (s *stack) lets(t *testing.T, approvalID string) {
	t.Helper()
	r := s.call(t, "bob", "POST", "/approval/"+approvalID+"/decision", `{"decision":"approve","reason":"let it look"}`)
	if r.Status/100 != 2 {
		t.Fatalf("answered %d: %s", r.Status, r.Body)
	}
}

// runOf waits until the run that an approval let begin has ended.
func (s *stack) runOf(t *testing.T, approvalID string) agentRun {
	t.Helper()
	var id int64
	patiently(t, "the run of approval "+approvalID+" has ended", func() bool {
		scan(t, s, &id, "SELECT coalesce(max(run_id), 0) FROM finobs.agent_run WHERE approval_id = $1::bigint AND status <> 'running'", approvalID)
		return id != 0
	})
	return s.run(t, id)
}

// patiently is eventually for what waits until a dead worker is noticed, several
// times over.
func patiently(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(4 * time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("waited in vain until %s", what)
}

// dies waits, on a slow machine too, until a worker has reached the place where it
// is to die.
func dies(t *testing.T, p *devstack.Process) {
	t.Helper()
	select {
	case <-p.Done():
	case <-time.After(2 * time.Minute):
		t.Fatal("the worker did not reach the place where it is to die")
	}
}

func (s *stack) run(t *testing.T, id int64) (run agentRun) {
	t.Helper()
	r := want(t, s.call(t, "alice", "GET", fmt.Sprintf("/agent/runs/%d", id), ""), http.StatusOK)
	if err := json.Unmarshal(r.Body, &run); err != nil {
		t.Fatalf("%v: %s", err, r.Body)
	}
	return run
}

// plans waits until a run has planned as many actions, and returns their ids.
func (s *stack) plans(t *testing.T, run agentRun, n int) []int64 {
	t.Helper()
	eventually(t, "the actions are planned", func() bool {
		run = s.run(t, run.ID)
		return len(run.Actions) == n
	})
	return run.Actions
}

func (s *stack) action(t *testing.T, id int64) reply {
	t.Helper()
	return want(t, s.call(t, "alice", "GET", fmt.Sprintf("/agent/ops/actions/%d", id), ""), http.StatusOK)
}

// approves waits until an action is asked for, and approves it as carol.
func (s *stack) approves(t *testing.T, id int64) {
	t.Helper()
	eventually(t, "the action is asked for and approved", func() bool {
		return s.call(t, "carol", "POST", fmt.Sprintf("/agent/ops/actions/%d/approve", id), `{"reason":"exactly this"}`).Status == http.StatusOK
	})
}

// pending waits until approval of an action is asked for.
func (s *stack) pending(t *testing.T, id int64) { s.until(t, id, "pending", "") }

// releases approves an action that is asked for, as carol. Whether a worker is there
// to record that is another matter.
func (s *stack) releases(t *testing.T, id int64) {
	t.Helper()
	r := s.call(t, "carol", "POST", fmt.Sprintf("/agent/ops/actions/%d/approve", id), `{"reason":"exactly this"}`)
	if r.Status/100 != 2 {
		t.Fatalf("answered %d: %s", r.Status, r.Body)
	}
}

// actionEntries counts the entries of a type about an action.
func (s *stack) actionEntries(t *testing.T, id int64, typ string) int {
	t.Helper()
	return count(t, s, "SELECT count(*) FROM ledger.entry WHERE type = $1 AND convert_from(leaf, 'UTF8')::jsonb #>> '{details,action_id}' = $2::text", typ, fmt.Sprint(id))
}

// until waits for an action's status and recovery; an empty recovery is any.
func (s *stack) until(t *testing.T, id int64, status, recovery string) reply {
	t.Helper()
	var r reply
	defer func() {
		if t.Failed() {
			t.Logf("the action is now %s", r.Body)
		}
	}()
	patiently(t, fmt.Sprintf("action %d is %s %s", id, status, recovery), func() bool {
		r = s.action(t, id)
		return r.str("status") == status && (recovery == "" || r.str("recovery") == recovery)
	})
	return r
}

// incident has alice open an incident of a kind, and returns it.
func (s *stack) incident(t *testing.T, kind, severity, title, description string) incidentCase {
	t.Helper()
	body, err := json.Marshal(map[string]string{"kind": kind, "severity": severity, "title": title, "description": description})
	if err != nil {
		t.Fatal(err)
	}
	var opened struct {
		Incident struct {
			ID json.Number `json:"incident_id"`
		}
	}
	key := fmt.Sprintf("incident-%d", unique.Add(1))
	var r reply
	eventually(t, "a worker has opened it", func() bool {
		r = s.call(t, "alice", "POST", "/incidents", string(body), "Idempotency-Key", key)
		if r.Status >= 400 {
			t.Fatalf("%d %s", r.Status, r.Body)
		}
		return r.Status == http.StatusCreated
	})
	if err := json.Unmarshal(r.Body, &opened); err != nil {
		t.Fatal(err)
	}
	return incidentCase{s, opened.Incident.ID.String()}
}

// signed is how much of the log is signed, once some is.
func (s *stack) signed(t *testing.T) (size int) {
	t.Helper()
	eventually(t, "the log is signed", func() bool {
		scan(t, s, &size, "SELECT coalesce(max(size), 0) FROM ledger.checkpoint")
		return size > 0
	})
	return size
}

// sevenFields looks for the fields of the brief on a run and in the ledger.
func (s *stack) sevenFields(t *testing.T, route string, run agentRun) {
	t.Helper()
	if run.Status != "done" || run.Words == "" || run.Input == "" || run.Output == "" || run.Version == "" || run.Actor != "agent" || run.Override != "" || run.Simulation {
		t.Errorf("%s: the run is %+v", route, run)
	}
	var page struct {
		Items []struct {
			ActorType    string  `json:"actor_type"`
			Words        *string `json:"ai_explanation"`
			Input        *string `json:"agent_input"`
			Output       *string `json:"agent_output"`
			Version      *string `json:"agent_version"`
			Override     *string `json:"override_type"`
			IsSimulation *bool   `json:"is_simulation"`
		} `json:"items"`
	}
	workflow := text(t, s, "SELECT workflow_id FROM finobs.agent_run WHERE run_id = $1", run.ID)
	eventually(t, "the output is in the log", func() bool {
		r := want(t, s.call(t, "eve", "GET", "/compliance/logs?type=agent.output&workflow_id="+url.QueryEscape(workflow), ""), http.StatusOK)
		if err := json.Unmarshal(r.Body, &page); err != nil {
			t.Fatal(err)
		}
		return len(page.Items) == 1
	})
	e := page.Items[0]
	if e.ActorType != "agent" || e.Words == nil || *e.Words != run.Words || e.Version == nil || *e.Version != run.Version || e.Input == nil || e.Output == nil ||
		e.Override != nil || e.IsSimulation == nil || *e.IsSimulation {
		t.Errorf("%s: the entry is %+v", route, e)
	}
}
