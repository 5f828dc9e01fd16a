package e2e_test

import (
	"context"
	"database/sql"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"
)

const scaleRuns = 15 // of each call, of which the median counts

// A desk with 10,000 requests waiting is served about as fast as one with 100.
//
// All but the requests that are decided are copies of a real row, so nobody
// waits for them in Temporal. While the calls are measured the test holds the
// reconciler's lock, or it would cancel them; then it lets go, and measures how
// long 10,000 repairs take while requests are still decided.
func TestTenThousandPendingAreServedLikeAHundred(t *testing.T) {
	if os.Getenv("FINOBS_SCALE") == "" {
		t.Skip("takes minutes; make scale sets FINOBS_SCALE")
	}
	l := newLife(t, told, desk)
	l.startWorkers(t, 2)
	l.startAPIs(t, 1)
	db, err := sql.Open("postgres", l.AdminURL)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	letGo := holdReconciler(t, db)
	small := l.measure(t, db, 100)
	large := l.measure(t, db, 10_000)
	for _, name := range []string{"list", "detail", "metrics", "decide"} {
		t.Logf("%-8s %10s with 100, %10s with 10,000: ratio %.2f", name, small[name].Round(10*time.Microsecond),
			large[name].Round(10*time.Microsecond), float64(large[name])/float64(small[name]))
	}
	for _, name := range []string{"list", "detail", "decide"} {
		if large[name] > 3*small[name]+20*time.Millisecond {
			t.Errorf("%s takes %s with 10,000 requests and %s with 100", name, large[name], small[name])
		}
	}

	waiting := count(t, l.stack, "SELECT count(*) FROM finobs.approval_request WHERE status = 'pending'")
	began := time.Now()
	letGo()
	slowest := time.Duration(0)
	for range 5 {
		e := l.wants(t, "alice", "other.meanwhile")
		at := time.Now()
		want(t, e.decide(t, "bob", "approve"), http.StatusOK)
		slowest = max(slowest, time.Since(at))
	}
	copies := func() int {
		return count(t, l.stack, "SELECT count(*) FROM finobs.approval_request WHERE status = 'pending' AND workflow_id LIKE 'bulk-%'")
	}
	for deadline := began.Add(5 * time.Minute); copies() > 0; time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d rows without a workflow are still pending after 5 minutes", copies(), waiting)
		}
	}
	t.Logf("%d rows without a workflow were repaired in %s; meanwhile a decision took %s at most", waiting, time.Since(began).Round(time.Second), slowest.Round(time.Millisecond))
	if n := count(t, l.stack, `SELECT count(*) FROM (SELECT subject_id FROM ledger.entry WHERE type = 'approval.cancelled' GROUP BY 1 HAVING count(*) > 1) d`); n != 0 {
		t.Errorf("%d repairs are on record twice", n)
	}
}

// holdReconciler takes the lock without which no worker repairs.
func holdReconciler(t *testing.T, db *sql.DB) (letGo func()) {
	t.Helper()
	tx, err := db.BeginTx(context.Background(), nil)
	if err == nil {
		_, err = tx.Exec("SELECT FROM finobs.reconciler FOR UPDATE")
	}
	if err != nil {
		t.Fatal(err)
	}
	letGo = func() { tx.Rollback() } // the second time it says so
	t.Cleanup(letGo)
	return letGo
}

// measure brings the number of pending requests to total and returns the median
// time of each call.
func (l *life) measure(t *testing.T, db *sql.DB, total int) map[string]time.Duration {
	t.Helper()
	var real []exportCase
	for range scaleRuns {
		real = append(real, l.wants(t, "alice", "other.scale"))
	}
	there := count(t, l.stack, "SELECT count(*) FROM finobs.approval_request WHERE status = 'pending'")
	_, err := db.Exec(`
		INSERT INTO finobs.approval_request (approval_id, workflow_id, first_run_id, kind, action, action_digest, policy_id, policy, policy_digest,
			requester_iss, requester_sub, desk, is_simulation, reason, command, request_id, trace_id, created_at, expires_at,
			risk_tier, summary, target_ids, escalation_level)
		SELECT id, 'bulk-' || id, 'bulk', kind, action, 'sha256:' || encode(sha256(convert_to('bulk' || id, 'UTF8')), 'hex'), policy_id, policy, policy_digest,
			requester_iss, requester_sub, CASE id % 10 WHEN 0 THEN 'FI' ELSE desk END, is_simulation, reason, command, request_id, trace_id,
			created_at, expires_at + id % 600 * interval '1 second', risk_tier, summary, target_ids, (id % 7 = 0)::int
		FROM (SELECT nextval('finobs.approval_id') AS id, r.* FROM finobs.approval_request r, generate_series(1, $2) WHERE approval_id = $1::bigint) copies`,
		real[0].id, total-there)
	if err == nil {
		_, err = db.Exec("ANALYZE finobs.approval_request") //nolint:misspell // it is SQL
	}
	if err != nil {
		t.Fatal(err)
	}
	if n := count(t, l.stack, "SELECT count(*) FROM finobs.approval_request WHERE status = 'pending'"); n != total {
		t.Fatalf("%d requests are pending, want %d", n, total)
	}
	token := l.token(t, "bob", "analyst")
	timed := func(method, path, body string) time.Duration {
		began := time.Now()
		want(t, callURL(t, token, method, "http://"+l.APIAddress+path, body), http.StatusOK)
		return time.Since(began)
	}
	times := map[string][]time.Duration{}
	for i := range 2 * scaleRuns { // the first half warms up
		if i == scaleRuns {
			clear(times)
		}
		for name, path := range map[string]string{
			"list": "/approval/?status=pending&sort=deadline&limit=100", "detail": "/approval/" + real[i%scaleRuns].id, "metrics": "/approval/metrics",
		} {
			times[name] = append(times[name], timed("GET", path, ""))
		}
	}
	for i := range scaleRuns {
		times["decide"] = append(times["decide"], timed("POST", "/approval/"+real[i].id+"/decision", `{"decision":"approve","reason":"seen"}`))
	}
	out := map[string]time.Duration{}
	for name, list := range times {
		slices.Sort(list)
		out[name] = list[len(list)/2]
	}
	return out
}
