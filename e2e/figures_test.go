package e2e_test

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"

	"finobs/policies"
)

// A policy may approve by itself; the record says that it did, and nobody else.
func TestAPolicyApprovesByItself(t *testing.T) {
	t.Parallel()
	alone := "\npolicies:\n  - {id: alone, match: 'action.kind == \"export.users\"', auto: true, expires: 1h, single_use: true}\n"
	s := ownStack(t, func(s *stack) {
		path := s.Path("policies.yaml")
		if err := os.WriteFile(path, []byte(strings.Replace(string(policies.Desk), "\npolicies:\n", alone, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		s.Settings()["FINOBS_POLICIES"] = path
	})
	e := exportCase{s: s, path: "/users/export?format=ndjson"}
	e.id = want(t, s.call(t, "alice", "POST", e.path, ""), http.StatusAccepted).str("approval_request_id")
	e.untilStatus(t, "consumed")
	if m := e.delivered(t); m.Hash == "" {
		t.Errorf("the export has no hash: %+v", m)
	}
	if body := string(s.call(t, "alice", "GET", "/approval/"+e.id, "").Body); !strings.Contains(body, `"decisions":[]`) {
		t.Errorf("somebody decided: %s", body)
	}
	if n := count(t, s, "SELECT count(*) FROM ledger.entry WHERE type = 'approval.decided' AND actor_type = 'system' AND subject_id = $1", e.id); n != 1 {
		t.Errorf("%d entries say that the system approved: %s", n, s.call(t, "eve", "GET", "/approval/"+e.id+"/history", "").Body)
	}
	other := exportCase{s: s, path: "/incidents/export?format=ndjson"}
	other.id = want(t, s.call(t, "alice", "POST", other.path, ""), http.StatusAccepted).str("approval_request_id")
	other.untilStatus(t, "pending")
}

// The figures count what happened, simulations apart.
func TestFiguresOfApprovals(t *testing.T) {
	figures := func() (f struct {
		ByApprover []struct {
			Approver struct{ Sub string }
			Rejected int
		} `json:"by_approver"`
		Live struct {
			Requests int
			ByKind   map[string]map[string]int `json:"by_kind"`
			Latency  struct{ P50 *float64 }    `json:"decision_latency_seconds"`
		}
		Simulation struct{ Requests int }
	}) {
		if err := json.Unmarshal(want(t, world.call(t, "bob", "GET", "/approval/metrics", ""), http.StatusOK).Body, &f); err != nil {
			t.Fatal(err)
		}
		return f
	}
	before := figures()
	e := world.ask(t)
	want(t, e.decide(t, "axel", "reject"), http.StatusOK)
	e.untilStatus(t, "rejected")
	after := figures()
	if after.Live.Requests <= before.Live.Requests || after.Live.ByKind["export.incidents"]["rejected"] <= before.Live.ByKind["export.incidents"]["rejected"] {
		t.Errorf("from %+v to %+v", before, after)
	}
	if after.Live.Latency.P50 == nil || *after.Live.Latency.P50 <= 0 {
		t.Errorf("no latency: %+v", after)
	}
	found := false
	for _, a := range after.ByApprover {
		found = found || a.Approver.Sub == "axel" && a.Rejected > 0
	}
	if !found {
		t.Errorf("axel's decision is not counted: %+v", after.ByApprover)
	}
	refused := want(t, world.call(t, "bob", "GET", "/approval/metrics?since=yesterday", ""), http.StatusUnprocessableEntity)
	if !strings.Contains(string(refused.Body), "since") {
		t.Errorf("got %s", refused.Body)
	}
}
