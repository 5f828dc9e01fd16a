package alert_test

import (
	"regexp"
	"strings"
	"testing"

	"finobs/internal/alert"
)

// stateBodies make a body of a kind, in whose state member a word stands; the keys
// are the first column of the table of states in docs/alerts.md.
var stateBodies = map[string]struct {
	kind alert.Kind
	body string
}{
	"`alertmanager`, `grafana` (unified)":           {alert.Alertmanager, `{"alerts":[{"labels":{"a":"b"},"status":"WORD"}]}`},
	"`grafana` (legacy)":                            {alert.Grafana, `{"ruleId":1,"state":"WORD"}`},
	"`cloudwatch`":                                  {alert.CloudWatch, `{"AlarmName":"a","NewStateValue":"WORD"}`},
	"`datadog`: `alert_transition`":                 {alert.Datadog, `{"title":"t","alert_transition":"WORD","alert_type":"error"}`},
	"`datadog`: `alert_type`, without a transition": {alert.Datadog, `{"title":"t","alert_type":"WORD"}`},
	"`newrelic` (legacy)":                           {alert.NewRelic, `{"incident_id":1,"current_state":"WORD"}`},
	"`newrelic` (workflow)":                         {alert.NewRelic, `{"issueId":"i","state":"WORD"}`},
	"`pingdom`":                                     {alert.Pingdom, `{"check_id":1,"current_state":"WORD"}`},
	"`stackdriver`":                                 {alert.Stackdriver, `{"incident":{"incident_id":"i","state":"WORD"}}`},
}

// Every word of the table of states means what the page says, in any letter case,
// and every word that is not there is refused.
func TestStatesOfTheDocs(t *testing.T) {
	_, table, found := strings.Cut(page(t), "| Kind | firing | acknowledged | resolved |\n|---|---|---|---|\n")
	if !found {
		t.Fatal("the page has no table of states")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	word := regexp.MustCompile("`([^`]+)`")
	seen := 0
	for row := range strings.SplitSeq(table, "\n") {
		cells := strings.Split(strings.Trim(row, "|"), "|")
		if len(cells) != 4 {
			t.Fatalf("row %q", row)
		}
		of, known := stateBodies[strings.TrimSpace(cells[0])]
		if !known {
			continue // PagerDuty's events and Datadog's titles have tests of their own
		}
		for i, state := range []alert.State{alert.Firing, alert.Acknowledged, alert.Resolved} {
			for _, match := range word.FindAllStringSubmatch(cells[i+1], -1) {
				for _, spelling := range []string{match[1], strings.ToUpper(match[1]), strings.ToLower(match[1])} {
					if got := one(t, of.kind, strings.Replace(of.body, "WORD", spelling, 1)); got.State != state {
						t.Errorf("%s: %s is %s, the page says %s", of.kind, spelling, got.State, state)
					}
				}
				seen++
			}
		}
		for _, wrong := range []string{"burning", "42", "firing resolved", "ＯＫ"} {
			if alerts, err := alert.Read(of.kind, []byte(strings.Replace(of.body, "WORD", wrong, 1))); err == nil {
				t.Errorf("%s: %q is read as %s", of.kind, wrong, alerts[0].State)
			}
		}
	}
	if seen < 40 {
		t.Errorf("the table has %d words", seen)
	}
}

// A condition that fires, is taken on and ends is one condition, with three
// notifications, whoever tells it.
func TestOneConditionAllTheWay(t *testing.T) {
	for name, tc := range map[string]struct {
		kind         alert.Kind
		body         string
		words, times []string
	}{
		"Alertmanager": {alert.Alertmanager, `{"alerts":[{"labels":{"a":"b"},"status":"WORD","startsAt":"2026-06-12T09:30:00Z","endsAt":"TIME"}]}`,
			[]string{"firing", "resolved"}, []string{"0001-01-01T00:00:00Z", "2026-06-12T09:32:00Z"}},
		"Grafana": {alert.Grafana, `{"orgId":1,"alerts":[{"labels":{"a":"b"},"fingerprint":"f","status":"WORD","startsAt":"2026-06-12T09:30:00Z","endsAt":"TIME"}]}`,
			[]string{"firing", "resolved"}, []string{"0001-01-01T00:00:00Z", "2026-06-12T09:32:00Z"}},
		"CloudWatch": {alert.CloudWatch, `{"AlarmName":"a","AWSAccountId":"1","Region":"r","NewStateValue":"WORD","StateChangeTime":"TIME"}`,
			[]string{"ALARM", "OK", "ALARM"}, []string{"2026-06-12T09:30:00Z", "2026-06-12T09:31:00Z", "2026-06-12T09:32:00Z"}},
		"Datadog": {alert.Datadog, `{"title":"t","aggreg_key":"k","alert_transition":"WORD","date":"TIME"}`,
			[]string{"Triggered", "Warn", "Recovered"}, []string{"1781256600000", "1781256660000", "1781256720000"}},
		"PagerDuty": {alert.PagerDuty, `{"event":{"event_type":"incident.WORD","occurred_at":"TIME","data":{"id":"P1"}}}`,
			[]string{"triggered", "acknowledged", "resolved"}, []string{"2026-06-12T09:30:00Z", "2026-06-12T09:31:00Z", "2026-06-12T09:32:00Z"}},
		"New Relic": {alert.NewRelic, `{"account_id":1,"incident_id":2,"current_state":"WORD","timestamp":"TIME"}`,
			[]string{"open", "acknowledged", "closed"}, []string{"1781256600000", "1781256660000", "1781256720000"}},
		"a workflow": {alert.NewRelic, `{"issueId":"i","state":"WORD","updatedAt":TIME}`,
			[]string{"CREATED", "ACTIVATED", "CLOSED"}, []string{"1781256600000", "1781256660000", "1781256720000"}},
		"Pingdom": {alert.Pingdom, `{"check_id":1,"current_state":"WORD","state_changed_timestamp":TIME}`,
			[]string{"DOWN", "UP", "DOWN"}, []string{"1781256600", "1781256660", "1781256720"}},
		"Stackdriver": {alert.Stackdriver, `{"incident":{"incident_id":"i","state":"WORD","started_at":1781256600,"ended_at":TIME}}`,
			[]string{"open", "acknowledged", "closed"}, []string{"null", "null", "1781256720"}},
	} {
		fingerprints, keys := map[string]bool{}, map[string]bool{}
		for i, w := range tc.words {
			body := strings.Replace(strings.Replace(tc.body, "WORD", w, 1), "TIME", tc.times[i], 1)
			first, again := one(t, tc.kind, body), one(t, tc.kind, body)
			if first.Key != again.Key {
				t.Errorf("%s, %s: sent again it has another key", name, w)
			}
			fingerprints[first.Fingerprint], keys[first.Key] = true, true
		}
		if len(fingerprints) != 1 || len(keys) != len(tc.words) {
			t.Errorf("%s: %d conditions, %d notifications", name, len(fingerprints), len(keys))
		}
	}
}
