package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestAnActionIsCarriedOutOnce: from an incident to an effect on the desk's system
// and its recovery, with two gates and one application.
func TestAnActionIsCarriedOutOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	i := d.incident(t, "failed_settlement", "high", "Settlement S-1001 failed", "82,000 shares of AAPL to GALE")
	run := d.runs(t, "/agent/remediate", fmt.Sprintf(`{"incident_id":%s,"targets":["settlement:S-1001"],"reason":"it failed again"}`, i.id))
	if run.Status != "done" || !strings.HasPrefix(run.Version, "rulebook/triage@") || run.Actor != "agent" || run.Input == "" || run.Output == "" || run.Model {
		t.Fatalf("the run: %+v", run)
	}
	ids := d.plans(t, run, 1)
	planned := d.action(t, ids[0])
	if planned.str("action") != "settlement.amend_ssi" || planned.str("target") != "settlement:S-1001" || planned.str("compensation") == "" {
		t.Fatalf("planned: %s", planned.Body)
	}
	if own := d.call(t, "alice", "POST", fmt.Sprintf("/agent/ops/actions/%d/approve", ids[0]), `{}`); own.Status == http.StatusOK {
		t.Errorf("the requester approved: %s", own.Body)
	}
	if d.field(t, "settlement", "S-1001", "ssi") != "SSI-GALE-EOC" || len(d.sandboxEffects(t)) != 0 {
		t.Error("something was sent before anybody approved")
	}
	d.approves(t, ids[0])
	done := d.until(t, ids[0], "done", "recovered")
	if d.field(t, "settlement", "S-1001", "ssi") != "SSI-GALE-DTC" {
		t.Error("the settlement has not changed")
	}
	if effects := d.sandboxEffects(t); len(effects) != 1 || effects[done.str("idempotency_key")] != 1 {
		t.Errorf("effects %v, of action %s", effects, done.Body)
	}
	for _, typ := range []string{"agent.begun", "agent.evidence", "agent.output", "agent.planned", "effect.intended", "effect.done", "effect.recovered"} {
		if n := i.entries(t, typ); n != 1 {
			t.Errorf("%d entries of type %s", n, typ)
		}
	}
}
