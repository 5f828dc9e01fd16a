package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// alertBody is a body of Alertmanager with one alert.
func alertBody(name, state, severity string, startsAt time.Time) string {
	ends := "0001-01-01T00:00:00Z"
	if state == "resolved" {
		ends = startsAt.Add(time.Minute).Format(time.RFC3339)
	}
	return fmt.Sprintf(`{"version":"4","status":%[2]q,"receiver":"desk","groupKey":"{}","alerts":[{"status":%[2]q,"fingerprint":%[1]q,
		"labels":{"alertname":%[1]q,"instance":"gw-%[1]s","severity":%[3]q},"annotations":{"summary":"%[1]s is wrong"},
		"startsAt":%[4]q,"endsAt":%[5]q}]}`, name, state, severity, startsAt.Format(time.RFC3339), ends)
}

// ingested is the answer to a body of events.
type ingested struct {
	Status           string
	Events, Repeated int
	Heartbeats       int
	Incidents        []struct {
		IncidentID int64  `json:"incident_id"`
		Folding    string `json:"folding"`
	}
}

// incident is the one that a body was about.
func (i ingested) incident(t testing.TB) int64 {
	t.Helper()
	if len(i.Incidents) != 1 {
		t.Fatalf("a body of one condition was taken as %+v", i)
	}
	return i.Incidents[0].IncidentID
}

func ingestTo(t testing.TB, s *stack, source, body string) ingested {
	t.Helper()
	var out ingested
	eventually(t, "the events are recorded", func() bool {
		r := s.call(t, "alice", "POST", "/ingest/"+source, body)
		if r.Status == http.StatusServiceUnavailable {
			return false
		}
		if r.Status != http.StatusOK && r.Status != http.StatusAccepted {
			t.Fatalf("answered %d: %s", r.Status, r.Body)
		}
		if err := json.Unmarshal(r.Body, &out); err != nil {
			t.Fatal(err)
		}
		return r.Status == http.StatusOK
	})
	return out
}

func TestAnAlertOpensOneIncidentAndItsEndResolvesIt(t *testing.T) {
	name := fmt.Sprintf("life%d", unique.Add(1))
	began := time.Now().Add(-time.Hour).Truncate(time.Second)
	first := ingestTo(t, world, "alertmanager", alertBody(name, "firing", "critical", began))
	if first.Events != 1 || len(first.Incidents) != 1 || first.Incidents[0].Folding != "opened" {
		t.Fatalf("the alert was taken as %+v", first)
	}
	if again := ingestTo(t, world, "alertmanager", alertBody(name, "firing", "critical", began)); again.Events != 0 || again.Repeated != 1 {
		t.Errorf("the same alert again was taken as %+v", again)
	}
	id := first.Incidents[0].IncidentID
	path := fmt.Sprintf("/incidents/%d", id)
	opened := want(t, world.call(t, "alice", "GET", path, ""), http.StatusOK)
	for field, wanted := range map[string]string{"status": "open", "severity": "critical", "kind": "system_outage", "subject_id": "gw-" + name} {
		if got := opened.str(field); got != wanted {
			t.Errorf("%s is %q, not %q", field, got, wanted)
		}
	}
	ended := ingestTo(t, world, "alertmanager", alertBody(name, "resolved", "critical", began))
	if len(ended.Incidents) != 1 || ended.Incidents[0].Folding != "resolved" || ended.Incidents[0].IncidentID != id {
		t.Errorf("the end was taken as %+v", ended)
	}
	if got := world.call(t, "alice", "GET", path, "").str("status"); got != "resolved" {
		t.Errorf("the incident is %s", got)
	}
	events := want(t, world.call(t, "alice", "GET", "/events?system=gw-"+name, ""), http.StatusOK)
	var page struct {
		Items []struct {
			ContentSHA256 string `json:"content_sha256"`
			State         string
		}
	}
	if err := json.Unmarshal(events.Body, &page); err != nil || len(page.Items) != 2 || page.Items[0].State != "resolved" {
		t.Fatalf("events: %s (%v)", events.Body, err)
	}
	raw := want(t, world.call(t, "eve", "GET", "/payloads/"+page.Items[1].ContentSHA256, ""), http.StatusOK)
	if string(raw.Body) != alertBody(name, "firing", "critical", began) {
		t.Errorf("the payload that was kept is %s", raw.Body)
	}
}

func TestAThousandDuplicatesAreOneIncident(t *testing.T) {
	name := fmt.Sprintf("storm%d", unique.Add(1))
	began := time.Now().Add(-2 * time.Hour).Truncate(time.Second)
	const senders, each = 63, 16
	var wait sync.WaitGroup
	for n := range senders {
		wait.Go(func() {
			for i := range each {
				ingestTo(t, world, "alertmanager", alertBody(name, "firing", "critical", began.Add(time.Duration(n*each+i)*time.Second)))
			}
		})
	}
	wait.Wait()
	key := "alert:alertmanager:alertmanager:" + name
	if n := count(t, world, "SELECT count(*) FROM finobs.incident WHERE dedup_key = $1", key); n != 1 {
		t.Errorf("there are %d incidents", n)
	}
	if n := count(t, world, "SELECT occurrences FROM finobs.incident WHERE dedup_key = $1", key); n != senders*each {
		t.Errorf("the incident has %d occurrences, not %d", n, senders*each)
	}
}

func TestBadBodiesAreRefusedAndLeaveNothing(t *testing.T) {
	payloads := func() int { return count(t, world, "SELECT count(*) FROM finobs.payload WHERE source = 'grafana'") }
	before := payloads()
	for name, tc := range map[string]struct {
		source, body string
		status       int
		says         string
	}{
		"XML":            {"grafana", "<alert><state>alerting</state></alert>", 422, "XML"},
		"empty":          {"grafana", "", 422, "empty"},
		"truncated":      {"grafana", `{"ruleId": 7, "state": "alert`, 422, "ends"},
		"another kind":   {"grafana", `{"check_id":1,"current_state":"DOWN","check_name":"x"}`, 422, "pingdom"},
		"too large":      {"grafana", `{"ruleName":"` + strings.Repeat("x", 1<<20) + `"}`, 413, "limit"},
		"no such source": {"nobody", `{}`, 404, "known are"},
		"heartbeat":      {"heartbeat", `{"status":"up"}`, 422, "system"},
		"heartbeat kind": {"heartbeat", `{"system":"a","status":"fine"}`, 422, "up, degraded or down"},
		"heartbeat key":  {"heartbeat", `{"system":"a","systen":"b"}`, 422, "systen"},
	} {
		r := world.call(t, "alice", "POST", "/ingest/"+tc.source, tc.body)
		if r.Status != tc.status || !strings.Contains(r.str("detail"), tc.says) {
			t.Errorf("%s: answered %d: %s", name, r.Status, r.Body)
		}
	}
	if after := payloads(); after != before {
		t.Errorf("%d payloads were kept", after-before)
	}
	if n := count(t, world, "SELECT count(*) FROM finobs.heartbeat WHERE system = 'a'"); n != 0 {
		t.Error("a bad heartbeat was kept")
	}
	want(t, world.call(t, "", "POST", "/ingest/grafana", `{}`), http.StatusUnauthorized)
	want(t, world.call(t, "victor", "POST", "/ingest/grafana", `{}`), http.StatusForbidden)
}

func TestASilentSystemIsAnIncidentUntilItBeatsAgain(t *testing.T) {
	system := fmt.Sprintf("gw-silent-%d", unique.Add(1))
	beat := fmt.Sprintf(`{"system":%q,"interval_seconds":1}`, system)
	if got := ingestTo(t, world, "heartbeat", beat); got.Heartbeats != 1 {
		t.Fatalf("the heartbeat was taken as %+v", got)
	}
	status := func() string {
		return text(t, world, "SELECT coalesce((SELECT status FROM finobs.incident WHERE dedup_key = $1 ORDER BY incident_id DESC LIMIT 1), '')", "silent:"+system)
	}
	eventually(t, "the system is known to be silent", func() bool { return status() == "open" })
	eventually(t, "the system is known to live", func() bool {
		ingestTo(t, world, "heartbeat", beat)
		world.call(t, "alice", "POST", "/detectors/silent_systems/run", "")
		return status() == "resolved"
	})
}

func TestASystemThatSaysItIsDownIsAnIncident(t *testing.T) {
	system := fmt.Sprintf("gw-down-%d", unique.Add(1))
	say := func(status string) ingested {
		return ingestTo(t, world, "heartbeat", fmt.Sprintf(`[{"system":%q,"status":%q,"interval_seconds":3600}]`, system, status))
	}
	say("up")
	say("down")
	state := func() string {
		return text(t, world, "SELECT status FROM finobs.incident WHERE dedup_key = $1", "status:"+system)
	}
	if got := state(); got != "open" {
		t.Errorf("the incident is %s", got)
	}
	say("up")
	if got := state(); got != "resolved" {
		t.Errorf("the incident is %s", got)
	}
}
