package store_test

import (
	"fmt"
	"testing"
	"time"

	"finobs/internal/approval"
	"finobs/internal/detect"
	"finobs/internal/incident"
	"finobs/internal/pgtest"
	"finobs/internal/store"

	"github.com/google/uuid"
)

// Incidents are found by whatever stands in their words, in any case of letters, and
// by nothing that only looks like a pattern; also after their words have changed.
func TestIncidentsAreFoundByTheirWords(t *testing.T) {
	w, r, db := open(t)
	var id int64
	err := inTx(t, w, func(tx *store.Tx) error {
		for i, title := range []string{`Fees of 100% on ABC_DEF`, `Fees of 1000 on ABCXDEF`, `C:\desk is full`, `Ärger am Gateway`} {
			i, _, err := tx.OpenIncident(ctx, incident.Incident{
				Kind: incident.Other, Severity: "low", Title: title, Origin: incident.Live, System: "OMS-1", DedupKey: fmt.Sprint(i),
				OpenedBy: approval.Principal{Kind: approval.System},
			})
			if err != nil {
				return err
			}
			id = i
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	found := func(text string) int {
		list, err := r.Incidents(ctx, store.IncidentFilter{Text: text}, store.Page{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	for text, want := range map[string]int{
		"fees": 2, "100%": 1, "ABC_def": 1, "%": 1, "_": 1, `\`: 1, `\desk`: 1, "oms-1": 4, "gateway": 1, "f f": 0, "fees%on": 0, "o": 4,
	} {
		if got := found(text); got != want {
			t.Errorf("%q finds %d incidents, want %d", text, got, want)
		}
	}
	err = pgtest.Exec(t, db.Worker, "UPDATE finobs.incident SET system = 'router-9' WHERE incident_id = $1", id)
	if err != nil || found("router-9") != 1 || found("oms-1") != 3 {
		t.Errorf("after a change: %d and %d, %v", found("router-9"), found("oms-1"), err)
	}
}

// Runs of detectors are forgotten after a week, the newest of each never.
func TestOldRunsOfDetectorsAreForgotten(t *testing.T) {
	w, _, db := open(t)
	run := func() {
		err := inTx(t, w, func(tx *store.Tx) error {
			return tx.InsertDetectorRun(ctx, detect.Run{ID: uuid.NewString(), Detector: detect.TradeBreaks})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		run()
	}
	if err := pgtest.Exec(t, db.Admin, "UPDATE finobs.detector_run SET started_at = started_at - interval '8 days'"); err != nil {
		t.Fatal(err)
	}
	if n := pgtest.Value(t, db.Admin, "SELECT count(*) FROM finobs.detector_run"); n != "3" {
		t.Fatalf("%s runs are there before the next", n)
	}
	run()
	if n := pgtest.Value(t, db.Admin, "SELECT count(*) FROM finobs.detector_run WHERE started_at > $1", time.Now().Add(-time.Hour)); n != "1" {
		t.Errorf("%s new runs", n)
	}
	if n := pgtest.Value(t, db.Admin, "SELECT count(*) FROM finobs.detector_run"); n != "1" {
		t.Errorf("%s runs are kept, want the new one", n)
	}
}
