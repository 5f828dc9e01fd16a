package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// outcomeItem is one item of the answer to a batch.
type outcomeItem struct {
	ID       int64 `json:"approval_request_id"`
	Status   int   `json:"http_status"`
	Decision *struct {
		DecisionID string `json:"decision_id"`
	} `json:"decision"`
	Problem *struct {
		Type, Detail string
	} `json:"problem"`
}

func outcomes(t *testing.T, r reply) []outcomeItem {
	t.Helper()
	want(t, r, http.StatusOK)
	var v struct{ Items []outcomeItem }
	if err := json.Unmarshal(r.Body, &v); err != nil || len(v.Items) == 0 {
		t.Fatalf("%v: %s", err, r.Body)
	}
	return v.Items
}

func (e exportCase) item(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf(`{"approval_request_id":%s,"action_digest":%q}`, e.id, e.digest(t))
}

func batchOf(verdict string, items ...string) string {
	return fmt.Sprintf(`{"decision":%q,"reason":"all seen","items":[%s]}`, verdict, strings.Join(items, ","))
}

func TestABatchOfMixedRiskIsRefusedWhole(t *testing.T) {
	s := engineStack(t)
	low, high := s.asks(t, "alice", "test.plain"), s.asks(t, "alice", "test.risky")
	r := s.call(t, "bob", "POST", "/approval/batch_decision", batchOf("approve", low.item(t), high.item(t)))
	refusedAs(t, r, 422, "batch-mixes-risk", "medium and high")
	for _, e := range []exportCase{low, high} {
		if st := e.status(t); st != "pending" || e.entries(t, "approval.decided") != 0 {
			t.Errorf("approval %s is %s", e.id, st)
		}
	}
}

func TestABadItemHarmsNoOther(t *testing.T) {
	s := engineStack(t)
	good, changed, own, quorum := s.asks(t, "alice", "test.plain"), s.asks(t, "alice", "test.plain"), s.asks(t, "bob", "test.plain"), s.asks(t, "alice", "test.quorum")
	other := strings.Replace(changed.item(t), changed.digest(t), good.digest(t), 1)
	missing := `{"approval_request_id":987654321,"action_digest":"sha256:00"}`
	body := batchOf("approve", good.item(t), other, own.item(t), missing, quorum.item(t))
	got := outcomes(t, s.call(t, "bob", "POST", "/approval/batch_decision", body))
	for i, wanted := range []struct {
		status int
		code   string
	}{{200, ""}, {409, "digest-differs"}, {403, "not-eligible"}, {404, "no-such-approval"}, {403, "not-eligible"}} {
		if got[i].Status != wanted.status || wanted.code != "" && (got[i].Problem == nil || !strings.HasSuffix(got[i].Problem.Type, ":"+wanted.code)) {
			t.Errorf("item %d: %+v, want %+v", i, got[i], wanted)
		}
	}
	if got[0].Decision == nil || good.status(t) != "approved" {
		t.Fatalf("the good item is %s: %+v", good.status(t), got[0])
	}
	good.entryBy(t, "approval.decided", "bob", "all seen")
	for _, e := range []exportCase{changed, own, quorum} {
		if e.status(t) != "pending" || e.entries(t, "approval.decided") != 0 {
			t.Errorf("approval %s is %s", e.id, e.status(t))
		}
	}
	again := outcomes(t, s.call(t, "bob", "POST", "/approval/batch_decision", batchOf("approve", good.item(t))))
	if again[0].Status != 200 || again[0].Decision == nil || again[0].Decision.DecisionID != got[0].Decision.DecisionID {
		t.Errorf("the repeated batch decided anew: %+v", again[0])
	}
	otherwise := outcomes(t, s.call(t, "bob", "POST", "/approval/batch_decision", batchOf("reject", good.item(t))))
	if otherwise[0].Status != 409 || !strings.HasSuffix(otherwise[0].Problem.Type, ":decided-otherwise") {
		t.Errorf("a changed mind: %+v", otherwise[0])
	}
	twice := s.call(t, "bob", "POST", "/approval/batch_decision", batchOf("approve", changed.item(t), changed.item(t)))
	refusedAs(t, twice, 422, "batch-repeats", "approval "+changed.id+" is in the batch twice")
}

func TestABatchHasUpToAHundredItems(t *testing.T) {
	s := engineStack(t)
	var items []string
	var cases []exportCase
	for range 100 {
		e := s.asks(t, "alice", "test.plain")
		cases = append(cases, e)
		items = append(items, e.item(t))
	}
	r := s.call(t, "carol", "POST", "/approval/batch_decision", batchOf("reject", append(items, `{"approval_request_id":1,"action_digest":"x"}`)...))
	refusedAs(t, r, 422, "invalid-request", "items")
	r = want(t, s.call(t, "carol", "POST", "/approval/batch_decision", batchOf("reject", items...)), http.StatusOK)
	if r.str("decided") != "100" || r.str("refused") != "0" {
		t.Fatalf("got %s", r.Body)
	}
	for i, o := range outcomes(t, r) {
		if fmt.Sprint(o.ID) != cases[i].id || o.Status/100 != 2 {
			t.Errorf("item %d is of approval %d with status %d, want %s", i, o.ID, o.Status, cases[i].id)
		}
	}
	for _, e := range cases {
		e.untilStatus(t, "rejected")
		if n := e.entries(t, "approval.decided"); n != 1 {
			t.Errorf("approval %s has %d entries approval.decided", e.id, n)
		}
	}
}
