package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"finobs/internal/devstack"
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

// newDesk brings a stack up with a sandbox of a mode, and a connector to it.
func newDesk(t *testing.T, env ...string) *deskStack {
	t.Helper()
	s, err := newStack(stateDir(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	d := &deskStack{stack: s, url: fmt.Sprintf("http://127.0.0.1:%d", freePort(t))}
	kinds := "order, position, settlement, ssi, trade, trader, strategy, feed, gateway, counterparty"
	connectors := fmt.Sprintf(`version: 1
connectors:
  - {name: sandbox, mode: live, base_url: %q, kinds: [%s], token_file: sandbox.token, allow_loopback: true, timeout: 2s}
`, d.url, kinds)
	for name, text := range map[string]string{"connectors.yaml": connectors, "sandbox.token": sandboxToken} {
		if err := os.WriteFile(s.Path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.args = []string{"sandbox", "--mode", "live", "--listen", strings.TrimPrefix(d.url, "http://"), "--token-file", s.Path("sandbox.token"),
		"--state", s.Path("sandbox.jsonl"), "--recovery", "500ms"}
	d.env = append([]string{"FINOBS_CONNECTORS=" + s.Path("connectors.yaml"), "FINOBS_ACTION_RECOVERY=8s"}, env...)
	d.startSandbox(t)
	if err := s.startAPI(); err != nil {
		t.Fatal(err)
	}
	d.work(t, "")
	return d
}

func (d *deskStack) startSandbox(t *testing.T) {
	t.Helper()
	var err error
	if d.sandbox, err = d.Launch("sandbox", nil, filepath.Join(bin, "finobs"), d.args...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.sandbox.Kill() }) //nolint:errcheck // it may be dead already
	eventually(t, "the sandbox answers", func() bool {
		r, err := d.sandboxCall("GET", "/v1/objects/gateway/GW-NYSE-1", "")
		return err == nil && r.Status == http.StatusOK
	})
}

// work replaces the worker by one that reaches the sandbox, and that dies at a
// failpoint when one is named.
func (d *deskStack) work(t *testing.T, failpoint string) {
	t.Helper()
	if d.worker != nil {
		d.worker.Kill() //nolint:errcheck // it may be dead already
	}
	var err error
	d.worker, err = d.Launch("worker", append([]string{"FINOBS_FAILPOINT=" + failpoint}, d.env...), filepath.Join(bin, "finobs"), "worker")
	if err != nil {
		t.Fatal(err)
	}
}

func (d *deskStack) sandboxCall(method, path, body string) (reply, error) {
	req, err := http.NewRequest(method, d.url+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	req.Header.Set("Authorization", "Bearer "+sandboxToken)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, res.Header, text}, err
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
		Category     string   `json:"category"`
		Severity     string   `json:"severity"`
		Confidence   string   `json:"confidence"`
		Inconclusive bool     `json:"inconclusive"`
		Rules        []string `json:"rules"`
		Proposals    []struct {
			Action string `json:"action"`
			Target string `json:"target"`
		} `json:"proposals"`
		Claims []struct {
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
	asked := want(t, s.call(t, "alice", "POST", route, body), http.StatusAccepted)
	id := asked.str("approval_request_id")
	if asked.str("status") == "pending" {
		eventually(t, "the request for the run is decided", func() bool {
			r := s.call(t, "bob", "POST", "/approval/"+id+"/decision", `{"decision":"approve","reason":"let it look"}`)
			return r.Status == http.StatusOK
		})
	}
	return s.runOf(t, id)
}

// runOf waits until the run that an approval let begin has ended.
func (s *stack) runOf(t *testing.T, approvalID string) agentRun {
	t.Helper()
	var run agentRun
	eventually(t, "the run has ended", func() bool {
		var page struct {
			Items []struct {
				ID       int64       `json:"run_id"`
				Approval json.Number `json:"approval_request_id"`
				Status   string      `json:"status"`
			} `json:"items"`
		}
		r := want(t, s.call(t, "alice", "GET", "/agent/runs?limit=100", ""), http.StatusOK)
		if err := json.Unmarshal(r.Body, &page); err != nil {
			t.Fatal(err)
		}
		for _, item := range page.Items {
			if item.Approval.String() == approvalID && item.Status != "running" {
				run = s.run(t, item.ID)
				return true
			}
		}
		return false
	})
	return run
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

// until waits for an action's status and recovery; an empty recovery is any.
func (s *stack) until(t *testing.T, id int64, status, recovery string) reply {
	t.Helper()
	var r reply
	eventually(t, fmt.Sprintf("action %d is %s %s", id, status, recovery), func() bool {
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
