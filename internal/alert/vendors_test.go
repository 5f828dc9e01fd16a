package alert_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"finobs/internal/alert"
)

func utc(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return t.UTC()
}

// equal compares two alerts but for the keys, which have tests of their own.
func equal(t *testing.T, name string, got, want alert.Alert) {
	t.Helper()
	got.Key = ""
	if want.Labels == nil {
		want.Labels = got.Labels
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got\n%+v\nwant\n%+v", name, got, want)
	}
}

func TestAlertmanagerIsReadWhole(t *testing.T) {
	equal(t, "version 4", one(t, alert.Alertmanager, sample(t, "alertmanager/prom2teams_all_ok.json")), alert.Alert{
		Fingerprint: "alertmanager:dd19ae3d4e06ac55", State: alert.Resolved, Severity: alert.High,
		Title: "DiskSpace: Disk usage alert on CS30.evilcorp", Description: "disk usage 93% on rootfs device", System: "cs30.evilcorp",
		Labels: map[string]string{
			"alertname": "DiskSpace", "device": "rootfs", "fstype": "rootfs", "instance": "cs30.evilcorp", "mountpoint": "/", "severity": "severe",
		},
		StartsAt: utc("2017-05-09T07:01:37.803Z"), EndsAt: utc("2017-05-09T07:08:37.818278Z"),
		Notes: []string{`url "my.prometheusserver.url" is left out: it is not http or https, or over 2048 bytes`},
	})
	equal(t, "version 3", one(t, alert.Alertmanager, sample(t, "alerta/prometheus_v3_alert.json")), alert.Alert{
		Fingerprint: "alertmanager:fda607bebbcee82f7e54e2bf9b7d9daba1339193fb6de5c56258bf6746a2bddc",
		State:       alert.Firing, Severity: alert.Critical, Title: "failedConnect: Connect fail", Description: "Connect to host2 fails", System: "host2",
		StartsAt: utc("2016-08-01T10:27:08.008Z"), URL: "http://prometheus.host:9090/...",
	})
	if got := read(t, alert.Alertmanager, sample(t, "alertmanager/webhook_adapter_alert.json")); len(got) != 4 || got[0].State != alert.Firing || got[1].State != alert.Resolved {
		t.Errorf("a group in two states: %+v", got)
	}
}

// Version 3 states the group's status alone; Prometheus' own lists and single
// alerts state none.
func TestAlertmanagerStates(t *testing.T) {
	for name, tc := range map[string]struct {
		body string
		want alert.State
	}{
		"of the group":        {`{"version":"3","groupKey":1,"status":"resolved","alerts":[{"labels":{"a":"b"}}]}`, alert.Resolved},
		"its own goes first":  {`{"status":"firing","alerts":[{"status":"resolved","labels":{"a":"b"}}]}`, alert.Resolved},
		"none, without end":   {`{"alerts":[{"labels":{"a":"b"},"endsAt":"0001-01-01T00:00:00Z"}]}`, alert.Firing},
		"a list, as API v2":   {`[{"labels":{"a":"b"},"annotations":{},"generatorURL":"http://p"}]`, alert.Firing},
		"a single alert":      {`{"labels":{"a":"b"},"summary":"s"}`, alert.Firing},
		"a group key of text": {`{"groupKey":"{}:{a=\"b\"}","status":"firing","alerts":[{"labels":{"a":"b"},"annotations":null}]}`, alert.Firing},
	} {
		if got := one(t, alert.Alertmanager, tc.body); got.State != tc.want {
			t.Errorf("%s: got %s, want %s", name, got.State, tc.want)
		}
	}
}

func TestAlertmanagerTitles(t *testing.T) {
	for body, want := range map[string]string{
		`{"labels":{"alertname":"Disk"},"annotations":{"summary":"Disk is full"}}`: "Disk is full",
		`{"labels":{"alertname":"Disk"},"annotations":{"summary":"full"}}`:         "Disk: full",
		`{"labels":{"alertname":"Disk"},"annotations":{}}`:                         "Disk",
		`{"labels":{},"annotations":{"description":"full\n\tof\u0000 logs"}}`:      "full  of\ufffd logs",
		`{"labels":{},"annotations":{}}`:                                           "alert of alertmanager without a title",
	} {
		if got := one(t, alert.Alertmanager, body).Title; got != want {
			t.Errorf("%s: got %q, want %q", body, got, want)
		}
	}
}

func TestTruncatedGroupsSaySo(t *testing.T) {
	got := read(t, alert.Alertmanager, `{"status":"firing","truncatedAlerts":7,"alerts":[{"labels":{"a":"1"}},{"labels":{"a":"2"}}]}`)
	if len(got) != 2 || len(got[0].Notes) != 1 || !strings.Contains(got[0].Notes[0], `left out "7" more alerts`) || got[1].Notes != nil {
		t.Errorf("got %+v", got)
	}
}

func TestLegacyGrafana(t *testing.T) {
	firing, fine := one(t, alert.Grafana, sample(t, "alerta/grafana_alert_alerting.json")), one(t, alert.Grafana, sample(t, "alerta/grafana_alert_ok.json"))
	equal(t, "alerting", firing, alert.Alert{
		Timeless: true, Fingerprint: fine.Fingerprint, State: alert.Firing, Severity: alert.Medium, Title: "Zeta CPU alert",
		Description: "boom!\nuser = 97.007606", System: "zeta.domain", URL: "https://grafana.domain.tld/dashboard/db/alarms?fullscreen&edit&tab=alert&panelId=1&orgId=1",
	})
	if fine.State != alert.Resolved || firing.Labels["chart"] != "cpu.cpu0" || !strings.HasPrefix(fine.Fingerprint, "grafana:") {
		t.Errorf("ok: %+v", fine)
	}
	for state, want := range map[string]alert.State{
		"alerting": alert.Firing, "no_data": alert.Firing, "pending": alert.Firing, "unknown": alert.Firing, "paused": alert.Acknowledged, "OK": alert.Resolved,
	} {
		got := one(t, alert.Grafana, `{"ruleId":7,"ruleName":"r","state":"`+state+`","evalMatches":null,"tags":{}}`)
		if got.State != want || got.Fingerprint != firing.Fingerprint {
			t.Errorf("%s: got %s %s", state, got.State, got.Fingerprint)
		}
	}
}

// What several matches share is of the alert; the rest is of them.
func TestLegacyGrafanaMatches(t *testing.T) {
	got := one(t, alert.Grafana, `{"ruleId":7,"ruleName":"r","state":"alerting","tags":{"severity":"P1","team":"fx"},"evalMatches":[
		{"metric":"a","value":1,"tags":{"host":"h1","zone":"z"}},{"metric":"b","value":null,"tags":{"host":"h2","zone":"z"}}]}`)
	want := map[string]string{"severity": "P1", "team": "fx", "zone": "z"}
	if got.Severity != alert.Critical || got.System != "" || !reflect.DeepEqual(got.Labels, want) || got.Description != "a = 1\nb =" {
		t.Errorf("got %+v", got)
	}
	tags := func(s string) string {
		return one(t, alert.Grafana, `{"ruleId":7,"state":"ok","tags":`+s+`}`).Fingerprint
	}
	if tags(`{"team":"fx"}`) == tags(`{"team":"eq"}`) || tags(`[]`) != tags(`null`) {
		t.Error("rules with other tags are one condition, or the same are two")
	}
}

const unified = `{"receiver":"r","status":"firing","orgId":1,"title":"[FIRING:1] x","state":"alerting","message":"m","version":"1","groupKey":"g","truncatedAlerts":0,
	"alerts":[{"status":"firing","labels":{"alertname":"High CPU","grafana_folder":"f","instance":"db1","severity":"high"},
	"annotations":{"summary":"CPU over 90%","description":"it is hot"},"startsAt":"2026-06-12T09:30:00Z","endsAt":"0001-01-01T00:00:00Z",
	"generatorURL":"https://g/a","fingerprint":"c6eadffa33fcdf37","silenceURL":"https://g/s","dashboardURL":"https://g/d","panelURL":"https://g/p",
	"values":{"B":93.1},"valueString":"[ var='B' labels={} value=93.1 ]"}]}`

func TestUnifiedGrafana(t *testing.T) {
	equal(t, "firing", one(t, alert.Grafana, unified), alert.Alert{
		Fingerprint: "grafana:c6eadffa33fcdf37", State: alert.Firing, Severity: alert.High, Title: "High CPU: CPU over 90%",
		Description: "it is hot\n[ var='B' labels={} value=93.1 ]", System: "db1", StartsAt: utc("2026-06-12T09:30:00Z"), URL: "https://g/p",
	})
}

func TestPingdom(t *testing.T) {
	equal(t, "down", one(t, alert.Pingdom, sample(t, "alerta/pingdom_down.json")), alert.Alert{
		Fingerprint: "pingdom:803318", State: alert.Firing, Severity: alert.High, Title: "Alerta API on OpenShift",
		Description: "HTTP Server Error 503 Service Unavailable", System: "api.alerta.io", URL: "http://api.alerta.io/",
		Labels:   map[string]string{"check_id": "803318", "check_type": "HTTP", "state": "DOWN"},
		StartsAt: utc("2017-06-30T22:25:43Z"), At: utc("2017-06-30T22:25:43Z"),
	})
	for state, want := range map[string]alert.State{
		"UP": alert.Resolved, "SUCCESS": alert.Resolved, "DOWN": alert.Firing, "UNKNOWN": alert.Firing, "UNCONFIRMED_DOWN": alert.Firing,
		"FAILING": alert.Firing, "PAUSED": alert.Acknowledged,
	} {
		got := one(t, alert.Pingdom, `{"check_id":803318,"current_state":"`+state+`","importance_level":"LOW","state_changed_utc_time":"2017-06-30T22:26:43","tags":["fx"]}`)
		if got.State != want || got.Severity != alert.Low || got.Fingerprint != "pingdom:803318" || got.At != utc("2017-06-30T22:26:43Z") || got.EndsAt.IsZero() != (want != alert.Resolved) {
			t.Errorf("%s: %+v", state, got)
		}
		if _, is := got.Labels["tag:fx"]; !is {
			t.Errorf("%s: labels %v", state, got.Labels)
		}
	}
}

func TestStackdriver(t *testing.T) {
	firing := one(t, alert.Stackdriver, sample(t, "alerta/stackdriver_open.json"))
	if firing.State != alert.Firing || firing.Title != "Webserver Health: CPU usage" || firing.System != "webserver-85" || firing.Severity != alert.Medium ||
		!firing.StartsAt.Equal(utc("2017-07-06T19:10:14Z")) || firing.URL != "https://app.stackdriver.com/incidents/f2e08c333dc64cb09f75eaab355393bz" {
		t.Errorf("open: %+v", firing)
	}
	closed := one(t, alert.Stackdriver, `{"version":"1.2","incident":{"incident_id":"f2e08c333dc64cb09f75eaab355393bz","scoping_project_id":"p","state":"closed",
		"started_at":"1499368214","ended_at":1499368300,"severity":"Error","policy_name":"P","condition_name":"","policy_user_labels":{"team":"fx"},
		"resource":{"type":"gce_instance","labels":{"instance_id":"i-1","project_id":"p"}},"resource_name":"","metric":{"type":"m","displayName":"M","labels":{}},
		"metadata":{"system_labels":{"a":["b"]},"user_labels":{}},"documentation":{"content":"call","mime_type":"text/markdown","subject":"Disk full"}}}`)
	equal(t, "closed", closed, alert.Alert{
		Fingerprint: firing.Fingerprint, State: alert.Resolved, Severity: alert.High, Title: "Disk full", Description: "call", System: "i-1",
		Labels: map[string]string{
			"instance_id": "i-1", "metric_type": "m", "policy": "P", "project": "p", "project_id": "p", "resource_type": "gce_instance", "team": "fx",
		},
		StartsAt: utc("2017-07-06T19:10:14Z"), EndsAt: utc("2017-07-06T19:11:40Z"),
	})
}
