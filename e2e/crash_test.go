package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"finobs/internal/devstack"
)

// boundaries are the places around every write of the export's workflow at which
// a process may die.
var boundaries = []string{
	"gate.after-open-request", "gate.after-record-decision", "export.after-consume", "export.mid-write",
	"export.after-publish", "export.after-seal", "export.after-confirm",
}

func TestWorkerDiesAtEveryBoundary(t *testing.T) {
	t.Parallel()
	s := ownStack(t)
	for _, boundary := range boundaries {
		t.Run(boundary, func(t *testing.T) {
			s.restartWorker(t, boundary)
			dying := s.worker
			e := exportCase{s: s, path: fmt.Sprintf("/incidents/export?format=csv&desk=T%d", unique.Add(1))}
			e.id = want(t, s.call(t, "alice", "POST", e.path, ""), http.StatusAccepted).str("approval_request_id")
			if boundary == "gate.after-open-request" {
				died(t, dying)
				s.restartWorker(t, "")
			}
			e.untilStatus(t, "pending")
			answer := e.decide(t, "bob", "approve")
			if answer.Status/100 != 2 {
				t.Fatalf("answered %d: %s", answer.Status, answer.Body)
			}
			if boundary != "gate.after-open-request" {
				died(t, dying)
				s.restartWorker(t, "")
			}
			e.sealedOnce(t)
			n := count(t, s, "SELECT count(*) FROM finobs.approval_decision WHERE decision_id = $1::uuid AND outcome = 'counted'", answer.str("decision_id"))
			if n != 1 {
				t.Errorf("the decision that was answered with %d is recorded %d times", answer.Status, n)
			}
		})
	}
}

func died(t *testing.T, p *devstack.Process) {
	t.Helper()
	select {
	case <-p.Done():
	case <-time.After(time.Minute):
		t.Fatal("the worker did not reach the place where it is to die")
	}
}

func TestAPIDiesAroundTheSignal(t *testing.T) {
	for place, recorded := range map[string]bool{"api.before-signal": false, "api.after-signal": true} {
		t.Run(place, func(t *testing.T) {
			e := world.ask(t)
			restartAPI(t, "FINOBS_FAILPOINT="+place)
			if r, err := world.try(t, "bob", "POST", "/approval/"+e.id+"/decision", `{"decision":"approve"}`); err == nil {
				t.Fatalf("answered %d: %s", r.Status, r.Body)
			}
			<-world.api.Done()
			restartAPI(t)
			if !recorded {
				if e.status(t) != "pending" {
					t.Errorf("the approval is %s", e.status(t))
				}
				want(t, e.decide(t, "bob", "approve"), http.StatusOK)
			}
			e.sealedOnce(t)
			if n := count(t, world, "SELECT count(*) FROM finobs.approval_decision WHERE approval_id = $1::bigint", e.id); n != 1 {
				t.Errorf("%d decisions, want 1", n)
			}
		})
	}
}

func restartAPI(t *testing.T, env ...string) {
	t.Helper()
	if err := world.api.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := world.startAPI(env...); err != nil {
		t.Fatal(err)
	}
}

func TestImportAndDetectionSurviveTheWorker(t *testing.T) {
	t.Parallel()
	s := ownStack(t)
	for i, place := range []string{"import.after-load", "detect.after-batch"} {
		s.restartWorker(t, place)
		dying := s.worker
		r := ingest(t, s, "analyst", failsFile(40+i, 6, fmt.Sprintf("Z%d", unique.Add(1))), "")
		died(t, dying)
		s.restartWorker(t, "")
		sha := r.str("content_sha256")
		eventually(t, "the import is done", func() bool {
			r = s.call(t, "alice", "GET", "/imports/"+sha, "")
			return r.Status == http.StatusOK
		})
		if n := count(t, s, "SELECT count(*) FROM ledger.entry WHERE type = 'import.done' AND subject_id = $1", sha); n != 1 {
			t.Errorf("%s: %d entries import.done, want 1", place, n)
		}
		eventually(t, "every security has its incident", func() bool {
			return count(t, s, "SELECT count(DISTINCT subject_id) FROM finobs.incident WHERE source = 'sec_fails'") ==
				count(t, s, `SELECT count(*) FROM (SELECT cusip FROM finobs.settlement_fail WHERE quantity >= 10000 GROUP BY cusip HAVING count(*) >= 5) s`)
		})
	}
	if n := count(t, s, `SELECT count(*) FROM (SELECT dedup_key FROM finobs.incident GROUP BY 1 HAVING count(*) > 1) d`); n != 0 {
		t.Errorf("%d securities have more than one incident", n)
	}
	if _, err := os.Stat(s.Path("spool")); err != nil {
		t.Error(err)
	}
}

// sealedOnce waits for the artefact and proves that there is exactly one, by
// everything that is on record.
func (e exportCase) sealedOnce(t *testing.T) {
	t.Helper()
	var got reply
	eventually(t, "export of approval "+e.id+" is sealed", func() bool {
		got = e.s.call(t, "alice", "GET", e.path, "")
		return got.Status == http.StatusOK
	})
	exportID := got.Header.Get("X-Export-Id")
	for query, wanted := range map[string]int{
		"SELECT count(*) FROM finobs.export WHERE approval_id = $1::bigint":                                                                             1,
		"SELECT count(*) FROM finobs.approval_request WHERE approval_id = $1::bigint AND status = 'consumed'":                                           1,
		"SELECT count(*) FROM ledger.entry WHERE type = 'effect.intended' AND convert_from(leaf, 'UTF8')::jsonb #>> '{details,approval_id}' = $1::text": 1,
		"SELECT count(*) FROM ledger.entry WHERE type = 'effect.done' AND convert_from(leaf, 'UTF8')::jsonb #>> '{details,approval_id}' = $1::text":     1,
	} {
		if n := count(t, e.s, query, e.id); n != wanted {
			t.Errorf("%s gives %d, want %d", query, n, wanted)
		}
	}
	files, err := filepath.Glob(e.s.Path("artefacts", "export-"+exportID, "*incidents-"+exportID+"-*"))
	if err != nil || len(files) != 1 {
		t.Errorf("export %s has files %v, %v", exportID, files, err)
	}
	e.audit(t, exportID)
}
