package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestIntakeRate measures how many events a second are recorded: one a body, many
// a body, and as lines of a FIX log.
func TestIntakeRate(t *testing.T) {
	if os.Getenv("FINOBS_BENCH") == "" {
		t.Skip("make bench-intake measures")
	}
	const senders, lasts = 32, 20 * time.Second
	token := world.token(t, "alice", "analyst")
	recorded := func(name string) int {
		return count(t, world, "SELECT count(*) FROM finobs.event WHERE fingerprint LIKE 'alertmanager:"+name+"%'")
	}
	for _, each := range []int{1, 100} {
		name := fmt.Sprintf("rate%d", unique.Add(1))
		var sent, refused atomic.Int64
		began := time.Now()
		var wait sync.WaitGroup
		for n := range senders {
			wait.Go(func() {
				for i := 0; time.Since(began) < lasts; i++ {
					var alerts []string
					for k := range each {
						print := fmt.Sprintf("%s-%d-%d-%d", name, n, i, k)
						alerts = append(alerts, fmt.Sprintf(`{"status":"firing","fingerprint":%q,"labels":{"alertname":"a","instance":"host-%d","severity":"info"},"startsAt":%q}`,
							print, n, began.UTC().Format(time.RFC3339)))
					}
					r, err := send(t, token, "POST", "http://"+world.APIAddress+"/ingest/alertmanager", `{"version":"4","status":"firing","alerts":[`+strings.Join(alerts, ",")+`]}`)
					if err != nil || r.Status != http.StatusOK && r.Status != http.StatusAccepted {
						refused.Add(1)
						continue
					}
					sent.Add(int64(each))
				}
			})
		}
		wait.Wait()
		eventually(t, "all are recorded", func() bool { return int64(recorded(name)) >= sent.Load() })
		took := time.Since(began)
		if refused.Load() > 0 {
			t.Errorf("%d bodies were refused", refused.Load())
		}
		t.Logf("%d events a body: %d events in %.1f s, %.0f a second", each, sent.Load(), took.Seconds(), float64(sent.Load())/took.Seconds())
	}
	var alerts []string
	for i := range 5000 {
		alerts = append(alerts, fmt.Sprintf(`{"status":"firing","fingerprint":"new-%d","labels":{"alertname":"a","severity":"critical"},"startsAt":"2026-03-02T12:00:00Z"}`, i))
	}
	conditions := time.Now()
	ingestTo(t, world, "alertmanager", `{"version":"4","status":"firing","alerts":[`+strings.Join(alerts, ",")+`]}`)
	eventually(t, "each is an incident", func() bool {
		return count(t, world, "SELECT count(*) FROM finobs.incident WHERE dedup_key LIKE 'alert:alertmanager:alertmanager:new-%'") == len(alerts)
	})
	t.Logf("new conditions, each an incident: %d in %.1f s", len(alerts), time.Since(conditions).Seconds())
	var log strings.Builder
	const fills = 50_000
	at := time.Date(2026, 3, 5, 14, 0, 0, 0, time.UTC)
	for i := range fills {
		log.WriteString(fixMessage("RATE", "US", "j", i+1, at.Add(time.Duration(i)*time.Millisecond), fmt.Sprintf("45=%d", i), "372=D", fmt.Sprintf("379=C%d", i), "380=8") + "\n")
	}
	began := time.Now()
	r := ingestFIX(t, world, log.String(), "")
	t.Logf("a FIX log: %d events in %.1f s, %.0f a second", r.Report.EventsAdded, time.Since(began).Seconds(), float64(r.Report.EventsAdded)/time.Since(began).Seconds())
}
