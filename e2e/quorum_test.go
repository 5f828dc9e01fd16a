package e2e_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"finobs/internal/approval"
)

// attempt is what one call of many was answered.
type attempt struct {
	who, verdict string
	reply
}

// storm sends a hundred decisions at once: six people, each again and again. The
// one who rejects, if anybody, always rejects.
func storm(t *testing.T, e exportCase, rejecter string) []attempt {
	t.Helper()
	people := []string{"cora", "cyril", "cleo", "ada", "abel", "bea"}
	out := make([]attempt, 100)
	var all sync.WaitGroup
	for i := range out {
		all.Add(1)
		go func() {
			defer all.Done()
			a := attempt{who: people[i%len(people)], verdict: "approve"}
			if a.who == rejecter {
				a.verdict = "reject"
			}
			var err error
			a.reply, err = e.s.try(t, a.who, "POST", "/approval/"+e.id+"/decision", `{"decision":"`+a.verdict+`","reason":"seen"}`)
			if err != nil {
				t.Error(err)
			}
			out[i] = a
		}()
	}
	all.Wait()
	return out
}

// explained wants the record to bear out the status: the decisions that count, in
// the order of recording, amount to it; nobody counts twice; and each has its
// entry. It returns who counted, and by which decision.
func (e exportCase) explained(t *testing.T) map[string]string {
	t.Helper()
	receipt := e.receipt(t)
	policy, err := approval.Thaw(receipt.Request.Policy, receipt.Request.PolicyDigest)
	if err != nil {
		t.Fatal(err)
	}
	action, err := approval.ParseAction(receipt.Request.Action)
	if err != nil {
		t.Fatal(err)
	}
	var decisions []approval.Decision
	by := map[string]string{}
	for _, d := range receipt.Decisions {
		n := count(t, e.s, `SELECT count(*) FROM ledger.entry WHERE type = 'approval.decided' AND subject_id = $1 AND actor_sub = $2 AND outcome = $3
			AND convert_from(leaf, 'UTF8')::jsonb #>> '{details,decision_id}' = $4`, e.id, d.Reviewer.Subject, string(d.Outcome), d.ID)
		if n != 1 {
			t.Errorf("decision %s of %s has %d entries as %s, want 1", d.ID, d.Reviewer.Subject, n, d.Outcome)
		}
		if d.Outcome != approval.Counted {
			continue
		}
		if by[d.Reviewer.Subject] != "" {
			t.Errorf("%s counts twice", d.Reviewer.Subject)
		}
		by[d.Reviewer.Subject] = d.ID
		decisions = append(decisions, d.Decision)
	}
	if n := e.entries(t, "approval.decided"); n != len(receipt.Decisions) {
		t.Errorf("%d entries approval.decided for %d decisions", n, len(receipt.Decisions))
	}
	out := approval.Tally(policy, action, decisions)
	if out.Status != receipt.Request.Status || len(out.Counted) != len(decisions) {
		t.Errorf("the request is %s; its %d decisions amount to %s, of which %d count", receipt.Request.Status, len(decisions), out.Status, len(out.Counted))
	}
	return by
}

// answeredAs wants each person to have heard of one decision only, the one that
// counted, and everybody else that his does not count.
func answeredAs(t *testing.T, attempts []attempt, counted map[string]string) {
	t.Helper()
	for _, a := range attempts {
		switch id := counted[a.who]; {
		case a.Status == http.StatusOK && (a.str("decision_id") != id || a.str("verdict") != a.verdict):
			t.Errorf("%s was answered with decision %q, the one that counts is %q: %s", a.who, a.str("decision_id"), id, a.Body)
		case a.Status != http.StatusOK && a.Status != http.StatusConflict:
			t.Errorf("%s was answered %d: %s", a.who, a.Status, a.Body)
		case a.Status == http.StatusConflict && id != "":
			t.Errorf("%s, whose decision counts, was answered: %s", a.who, a.Body)
		}
	}
}

func TestAQuorumIsMetOnce(t *testing.T) {
	s := engineStack(t)
	e := s.asks(t, "alice", "test.quorum")
	attempts := storm(t, e, "")
	if st := e.status(t); st != "approved" {
		t.Fatalf("the request is %s", st)
	}
	counted := e.explained(t)
	if len(counted) != 3 {
		t.Errorf("%d decisions count, want 3: %v", len(counted), counted)
	}
	answeredAs(t, attempts, counted)
}

func TestAVetoAmongApprovalsIsOneOutcome(t *testing.T) {
	s := engineStack(t)
	for range 4 {
		e := s.asks(t, "alice", "test.quorum")
		attempts := storm(t, e, "cleo")
		st := e.status(t)
		counted := e.explained(t)
		if st == "approved" && (len(counted) != 3 || counted["cleo"] != "") || st == "rejected" && counted["cleo"] == "" || st != "approved" && st != "rejected" {
			t.Errorf("the request is %s by %v", st, counted)
		}
		answeredAs(t, attempts, counted)
		want(t, e.decide(t, "carol", "approve"), http.StatusConflict)
	}
}

func TestOneAdminShortIsNotEnough(t *testing.T) {
	s := engineStack(t)
	e := s.asks(t, "alice", "test.quorum")
	want(t, e.decide(t, "cora", "approve"), http.StatusOK)
	want(t, e.decide(t, "cyril", "approve"), http.StatusOK)
	refusedAs(t, e.decide(t, "cleo", "approve"), 409, "not-your-turn", "all places that cleo could fill are taken")
	if missing := fmt.Sprint(e.detail(t, "alice")["missing"]); missing != "[1 more of admin]" {
		t.Errorf("missing is %s", missing)
	}
	want(t, e.decide(t, "bea", "approve"), http.StatusOK)
	if counted := e.explained(t); e.status(t) != "approved" || len(counted) != 3 {
		t.Errorf("the request is %s by %v", e.status(t), counted)
	}
}

func TestStagesAreInOrder(t *testing.T) {
	s := engineStack(t)
	e := s.asks(t, "alice", "test.staged")
	refusedAs(t, e.decide(t, "ada", "approve"), 409, "not-your-turn", "stage 2, sign-off is not open yet")
	if e.entries(t, "approval.decided") != 0 || e.detail(t, "ada")["stage"] != 1.0 {
		t.Errorf("an approval before its stage left %v", e.detail(t, "ada"))
	}
	first := want(t, e.decide(t, "bea", "approve"), http.StatusOK)
	// bea has both roles; her one decision fills one place.
	if again := want(t, e.decide(t, "bea", "approve"), http.StatusOK); again.str("decision_id") != first.str("decision_id") || again.str("status") != "pending" {
		t.Errorf("one person fills both stages: %s", again.Body)
	}
	if d := e.detail(t, "ada"); d["stage"] != 2.0 || d["status"] != "pending" {
		t.Errorf("after the first stage: stage %v, %v", d["stage"], d["status"])
	}
	refusedAs(t, e.decide(t, "cora", "approve"), 409, "not-your-turn", "is complete")
	want(t, e.decide(t, "ada", "approve"), http.StatusOK)
	if counted := e.explained(t); e.status(t) != "approved" || len(counted) != 2 {
		t.Errorf("the request is %s by %v", e.status(t), counted)
	}
}

func TestALaterStageMayRejectEarly(t *testing.T) {
	e := engineStack(t).asks(t, "alice", "test.staged")
	want(t, e.decide(t, "ada", "reject"), http.StatusOK)
	if counted := e.explained(t); e.status(t) != "rejected" || counted["ada"] == "" {
		t.Errorf("the request is %s by %v", e.status(t), counted)
	}
}
