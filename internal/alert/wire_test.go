package alert_test

import (
	"strings"
	"testing"

	"finobs/internal/alert"
)

// Bodies as the vendors' pages show them, whole, with all the members that are let
// be.
const (
	datadogDefault = `{
		"body": "%%%\nCPU is high\n\n[Monitor Status](https://app.datadoghq.com/monitors#1)\n%%%", "last_updated": "1781256601000", "event_type": "query_alert_monitor",
		"title": "[P2] [Warn on {host:web1}] CPU", "date": "1781256600000", "org": {"id": "12", "name": "Desk"}, "id": "5512345678901234567"}`
	pagerDutyNote = `{"event": {"id": "01BZ", "event_type": "incident.annotated", "resource_type": "incident", "occurred_at": "2026-06-12T09:30:00.000Z",
		"agent": {"html_url": "https://acme.pagerduty.com/users/PLH1HKV", "id": "PLH1HKV", "self": "https://api.pagerduty.com/users/PLH1HKV", "summary": "A", "type": "user_reference"},
		"client": null, "data": {"incident": {"id": "PGR0VU2", "type": "incident_reference"}, "id": "PX", "content": "looking", "trimmed": false, "type": "incident_note"}}}`
	pagerDutyWorkflow = `{"event": {"id": "01C0", "event_type": "incident.workflow.started", "resource_type": "incident", "occurred_at": "2026-06-12T09:30:00.000Z",
		"data": {"incident": {"id": "PGR0VU2"}, "type": "incident_workflow_instance"}}}`
	pagerDutyService = `{"event": {"id": "01C1", "event_type": "service.updated", "resource_type": "service", "occurred_at": "2026-06-12T09:30:00.000Z",
		"data": {"id": "PF9KMXH", "type": "service", "status": "warning"}}}`
	composite = `{"AlarmName":"desk down","AlarmDescription":null,"AWSAccountId":"1","NewStateValue":"ALARM","NewStateReason":"arn:a transitioned to ALARM",
		"StateChangeTime":"2026-06-12T09:30:00.000+0000","Region":"EU (Ireland)","AlarmArn":"arn:aws:cloudwatch:eu-west-1:1:alarm:desk down","OKActions":[],
		"AlarmActions":["arn:aws:sns:eu-west-1:1:t"],"InsufficientDataActions":[],"OldStateValue":"OK","AlarmRule":"ALARM(a) OR ALARM(b)","TriggeringChildren":[{"Arn":"arn:a",
		"State":{"Value":"ALARM","Timestamp":"2026-06-12T09:30:00.000+0000"}}]}`
	metricMath = `{"AlarmName":"rate","AWSAccountId":"1","NewStateValue":"OK","StateChangeTime":"2026-06-12T09:30:00.000+0000","Region":"EU (Ireland)","AlarmArn":"arn:rate",
		"Trigger":{"Period":60,"EvaluationPeriods":1,"Threshold":1.0,"Metrics":[{"Expression":"m1/m2","Id":"e1","ReturnData":true}]}}`
	transaction = `{"check_id":7,"check_name":"login","check_type":"TRANSACTION","check_params":{"region":"eu","steps":["a"]},"tags":["fx","gold"],
		"previous_state":"SUCCESS","current_state":"FAILING","state_changed_timestamp":1781256600,"state_changed_utc_time":"2026-06-12T09:30:00","long_description":"",
		"description":"timeout","custom_message":"","first_probe":null,"second_probe":null,"version":1}`
	prometheusAPI = `[{"labels":{"alertname":"Up","instance":"gw1"},"annotations":{"message":"gone"},"startsAt":"2026-06-12T09:30:00Z","generatorURL":"http://p:9090/graph"},
		{"labels":{"alertname":"Up","instance":"gw2"},"annotations":{},"startsAt":"2026-06-12T09:30:00Z"}]`
)

func TestWholeBodies(t *testing.T) {
	equal(t, "Datadog's default template", one(t, alert.Datadog, datadogDefault), alert.Alert{
		Fingerprint: one(t, alert.Datadog, strings.Replace(datadogDefault, "Warn on", "Recovered on", 1)).Fingerprint,
		State:       alert.Firing, Severity: alert.High, Title: "[P2] [Warn on {host:web1}] CPU", At: utc("2026-06-12T09:30:00Z"),
		Description: "%%%\nCPU is high\n\n[Monitor Status](https://app.datadoghq.com/monitors#1)\n%%%", Labels: map[string]string{},
	})
	if over := one(t, alert.Datadog, strings.Replace(datadogDefault, "Warn on", "Recovered on", 1)); over.State != alert.Resolved {
		t.Errorf("Datadog's default template, recovered: %+v", over)
	}
	for name, body := range map[string]string{"note": pagerDutyNote, "workflow": pagerDutyWorkflow, "service": pagerDutyService} {
		if got := read(t, alert.PagerDuty, body); len(got) != 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	equal(t, "a composite alarm", one(t, alert.CloudWatch, composite), alert.Alert{
		Fingerprint: "cloudwatch:arn:aws:cloudwatch:eu-west-1:1:alarm:desk down", State: alert.Firing, Severity: alert.Medium, Title: "desk down",
		Description: "arn:a transitioned to ALARM", StartsAt: utc("2026-06-12T09:30:00Z"), At: utc("2026-06-12T09:30:00Z"),
		Labels: map[string]string{"account": "1", "region": "EU (Ireland)", "state": "ALARM"},
	})
	equal(t, "an alarm of metric maths", one(t, alert.CloudWatch, metricMath), alert.Alert{
		Fingerprint: "cloudwatch:arn:rate", State: alert.Resolved, Severity: alert.Medium, Title: "rate", EndsAt: utc("2026-06-12T09:30:00Z"), At: utc("2026-06-12T09:30:00Z"),
		Labels: map[string]string{"account": "1", "region": "EU (Ireland)", "state": "OK"},
	})
	equal(t, "a transaction check", one(t, alert.Pingdom, transaction), alert.Alert{
		Fingerprint: "pingdom:7", State: alert.Firing, Severity: alert.Medium, Title: "login", Description: "timeout",
		Labels:   map[string]string{"check_id": "7", "check_type": "TRANSACTION", "state": "FAILING", "tag:fx": "", "tag:gold": ""},
		StartsAt: utc("2026-06-12T09:30:00Z"), At: utc("2026-06-12T09:30:00Z"),
	})
	list := read(t, alert.Alertmanager, prometheusAPI)
	if len(list) != 2 || list[0].System != "gw1" || list[0].Description != "gone" || list[0].Fingerprint == list[1].Fingerprint || list[1].State != alert.Firing {
		t.Errorf("Prometheus' own list: %+v", list)
	}
}

// What an alert is about is taken from the first of these that is there.
func TestSystems(t *testing.T) {
	for name, tc := range map[string]struct {
		kind       alert.Kind
		body, want string
	}{
		"instance goes first":   {alert.Alertmanager, `{"status":"firing","alerts":[{"labels":{"job":"j","instance":"i","host":"h"}}]}`, "i"},
		"job goes last":         {alert.Alertmanager, `{"status":"firing","alerts":[{"labels":{"job":"j"}}]}`, "j"},
		"nothing":               {alert.Alertmanager, `{"status":"firing","alerts":[{"labels":{"a":"j"}}]}`, ""},
		"the only dimension":    {alert.CloudWatch, `{"AlarmName":"a","Trigger":{"Dimensions":[{"Name":"Broker","Value":"b-1"}]}}`, "b-1"},
		"of two dimensions":     {alert.CloudWatch, `{"AlarmName":"a","Trigger":{"Dimensions":[{"name":"StorageType","value":"x"},{"name":"BucketName","value":"b"}]}}`, "b"},
		"of two, none is known": {alert.CloudWatch, `{"AlarmName":"a","Trigger":{"Dimensions":[{"name":"A","value":"x"},{"name":"B","value":"b"}]}}`, ""},
		"Datadog's host":        {alert.Datadog, `{"title":"a","monitor_id":1,"hostname":"h","scopes":["host:x"]}`, "h"},
		"Datadog's tag":         {alert.Datadog, `{"title":"a","monitor_id":1,"tags":"service:s,host:x"}`, "x"},
		"Datadog's scope":       {alert.Datadog, `{"title":"a","monitor_id":1,"scopes":["host:x"]}`, "x"},
		"Datadog's service":     {alert.Datadog, `{"title":"a","monitor_id":1,"tags":["service:s"]}`, "s"},
		"Pingdom's URL":         {alert.Pingdom, `{"check_id":1,"current_state":"UP","check_params":{"url":"https://a"}}`, "https://a"},
		"a resource's name":     {alert.Stackdriver, `{"incident":{"incident_id":"i","state":"open","resource_name":"r","resource_id":"x"}}`, "r"},
		"a resource's id":       {alert.Stackdriver, `{"incident":{"incident_id":"i","state":"open","resource_id":"x"}}`, "x"},
	} {
		if got := one(t, tc.kind, tc.body).System; got != tc.want {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}

// Members of another type that tell nothing do no harm; those that tell do.
func TestToleranceAndStrictness(t *testing.T) {
	for name, tc := range map[string]struct {
		kind alert.Kind
		body string
		good bool
	}{
		"labels of numbers and truth values":  {alert.Alertmanager, `{"status":"firing","alerts":[{"labels":{"a":1,"b":true,"c":null}}]}`, true},
		"labels of objects":                   {alert.Alertmanager, `{"status":"firing","alerts":[{"labels":{"a":{}}}]}`, false},
		"annotations as null":                 {alert.Alertmanager, `{"status":"firing","alerts":[{"labels":{},"annotations":null}]}`, true},
		"annotations as a list":               {alert.Alertmanager, `{"status":"firing","alerts":[{"labels":{},"annotations":[]}]}`, false},
		"groupLabels as a list":               {alert.Alertmanager, `{"groupLabels":[],"status":"firing","alerts":[{"labels":{}}]}`, true},
		"labels that are missing":             {alert.Alertmanager, `{"status":"firing","alerts":[{}]}`, true},
		"tags as an empty list":               {alert.Grafana, `{"ruleId":1,"state":"ok","tags":[]}`, true},
		"tags as a list":                      {alert.Grafana, `{"ruleId":1,"state":"ok","tags":["a"]}`, false},
		"a user that is the text null":        {alert.PagerDuty, `{"messages":[{"id":"m","type":"incident.resolve","data":{"incident":{"id":"P","service":"null"}}}]}`, true},
		"a service that is a number":          {alert.PagerDuty, `{"messages":[{"id":"m","type":"incident.resolve","data":{"incident":{"id":"P","service":5}}}]}`, false},
		"a trigger that is missing":           {alert.CloudWatch, `{"AlarmName":"a","NewStateValue":"OK","Trigger":null}`, true},
		"a trigger that is a text":            {alert.CloudWatch, `{"AlarmName":"a","NewStateValue":"OK","Trigger":"x"}`, false},
		"a name that is a number":             {alert.CloudWatch, `{"AlarmName":5,"NewStateValue":"OK"}`, false},
		"an end that is null":                 {alert.Stackdriver, `{"incident":{"incident_id":"i","state":"open","ended_at":null}}`, true},
		"an id that is a list":                {alert.Stackdriver, `{"incident":{"incident_id":["i"],"state":"open"}}`, false},
		"scopes that are an empty list":       {alert.Datadog, `{"title":"a","monitor_id":1,"scopes":[]}`, true},
		"scopes that are an object":           {alert.Datadog, `{"title":"a","monitor_id":1,"scopes":{}}`, false},
		"targets that are null":               {alert.NewRelic, `{"current_state":"open","incident_id":1,"targets":null}`, true},
		"targets that are texts":              {alert.NewRelic, `{"current_state":"open","incident_id":1,"targets":["a"]}`, false},
		"a title in a list, which is no text": {alert.NewRelic, `{"state":"CLOSED","issueId":"i","title":[5]}`, false},
		"a tag that is no text":               {alert.Pingdom, `{"check_id":1,"current_state":"UP","tags":[5]}`, false},
	} {
		alerts, err := alert.Read(tc.kind, []byte(tc.body))
		if (err == nil) != tc.good || tc.good && len(alerts) != 1 {
			t.Errorf("%s: got %+v, %v", name, alerts, err)
		}
	}
}
