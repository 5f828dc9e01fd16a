package alert_test

import (
	"strings"
	"testing"

	"finobs/internal/alert"
	"finobs/internal/fault"
)

const alarmARN = "arn:aws:cloudwatch:eu-west-1:1234567890:alarm:cpu"

// An alarm is the same condition however it comes.
func TestCloudWatchEnvelopes(t *testing.T) {
	alarm := `{"AlarmName":"cpu","AlarmDescription":"d","AWSAccountId":"1234567890","NewStateValue":"STATE","NewStateReason":"r",
		"StateChangeTime":"2026-06-12T09:30:00.093+0000","Region":"EU (Ireland)","AlarmArn":"` + alarmARN + `","OldStateValue":"OK",
		"Trigger":{"MetricName":"CPUUtilization","Namespace":"AWS/EC2","Dimensions":[{"name":"InstanceId","value":"i-1"}]}}`
	event := `{"version":"0","id":"c4c1c1c9-6542","detail-type":"CloudWatch Alarm State Change","source":"aws.cloudwatch","account":"1234567890",
		"time":"2026-06-12T09:30:01Z","region":"eu-west-1","resources":["` + alarmARN + `"],"detail":{"alarmName":"cpu",
		"configuration":{"description":"d","metrics":[{"id":"m","metricStat":{"metric":{"namespace":"AWS/EC2","name":"CPUUtilization","dimensions":{"InstanceId":"i-1"}}}}]},
		"previousState":{"value":"OK"},"state":{"value":"STATE","reason":"r","timestamp":"2026-06-12T09:30:00.093+0000"}}}`
	quoted := `"` + strings.NewReplacer(`"`, `\"`, "\n", " ", "\t", " ").Replace(alarm) + `"`
	envelope := func(message string) string {
		return `{"Type":"Notification","MessageId":"e288882d","TopicArn":"t","Message":` + message + `,"Timestamp":"2026-06-12T09:30:02Z"}`
	}
	for name, tc := range map[string]struct{ body, key string }{
		"SNS, text": {envelope(quoted), "e288882d"}, "SNS, object": {envelope(alarm), "e288882d"}, "SNS, raw": {alarm, ""},
		"EventBridge": {event, "c4c1c1c9-6542"}, "EventBridge through SNS": {envelope(event), "e288882d"},
	} {
		for word, state := range map[string]alert.State{"ALARM": alert.Firing, "INSUFFICIENT_DATA": alert.Firing, "OK": alert.Resolved} {
			got := one(t, alert.CloudWatch, strings.ReplaceAll(tc.body, "STATE", word))
			if got.State != state || got.Fingerprint != "cloudwatch:"+alarmARN || tc.key != "" && got.Key != tc.key || got.System != "i-1" || got.Title != "cpu" ||
				got.Description != "d\nr" || !got.At.Equal(utc("2026-06-12T09:30:00.093Z")) || got.Severity != alert.Medium || got.Labels["metric"] != "CPUUtilization" ||
				got.Labels["state"] != word || got.EndsAt.IsZero() != (state != alert.Resolved) {
				t.Errorf("%s, %s: got %+v", name, word, got)
			}
		}
	}
}

// Confirming a subscription is for people: the fault says where.
func TestCloudWatchConfirmations(t *testing.T) {
	for name, tc := range map[string]struct{ body, want string }{
		"genuine": {
			`{"Type":"SubscriptionConfirmation","MessageId":"m","Token":"t","TopicArn":"arn:aws:sns:eu-west-1:1:top","Message":"You have chosen to subscribe",
			"SubscribeURL":"https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=t"}`,
			`"arn:aws:sns:eu-west-1:1:top"; it must be confirmed by hand: open https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=t once`,
		},
		"China":         {`{"Type":"SubscriptionConfirmation","MessageId":"m","SubscribeURL":"https://sns.cn-north-1.amazonaws.com.cn/x"}`, "open https://sns.cn-north-1.amazonaws.com.cn/x once"},
		"somebody else": {`{"Type":"SubscriptionConfirmation","MessageId":"m","SubscribeURL":"https://sns.evil.example/amazonaws.com"}`, "do not open it"},
		"a bucket":      {`{"Type":"SubscriptionConfirmation","MessageId":"m","SubscribeURL":"https://anybody.s3.eu-west-1.amazonaws.com/"}`, "do not open it"},
		"plain http":    {`{"Type":"SubscriptionConfirmation","MessageId":"m","SubscribeURL":"http://sns.eu-west-1.amazonaws.com/"}`, "do not open it"},
		"a suffix":      {`{"Type":"SubscriptionConfirmation","MessageId":"m","SubscribeURL":"https://sns.notamazonaws.com/"}`, "do not open it"},
		"no URL":        {`{"Type":"SubscriptionConfirmation","MessageId":"m"}`, "do not open it"},
		"the end":       {`{"Type":"UnsubscribeConfirmation","MessageId":"m","TopicArn":"top"}`, `subscription to topic "top" ends`},
	} {
		_, err := alert.Read(alert.CloudWatch, []byte(tc.body))
		if fault.CodeOf(err) != "not-an-alert" || !strings.Contains(fault.MessageOf(err), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDatadogStatesAndSeverities(t *testing.T) {
	for body, want := range map[string]struct {
		state    alert.State
		severity alert.Severity
	}{
		`"alert_transition":"Triggered","priority":"P1"`:                                {alert.Firing, alert.Critical},
		`"alert_transition":"Re-Triggered","priority":2`:                                {alert.Firing, alert.High},
		`"alert_transition":"Recovered","alert_type":"success","alert_priority":"P4"`:   {alert.Resolved, alert.Low},
		`"alert_transition":"No Data","alert_type":"error","priority":"normal"`:         {alert.Firing, alert.High},
		`"alert_transition":"Warn","alert_type":"warning"`:                              {alert.Firing, alert.Medium},
		`"alert_transition":"null","alert_type":"success","tags":"severity:low"`:        {alert.Resolved, alert.Low},
		`"alert_transition":"","alert_type":"info"`:                                     {alert.Firing, alert.Info},
		`"alert_type":"error","priority":"low"`:                                         {alert.Firing, alert.Low},
		`"monitor_id":"1","priority":"5"`:                                               {alert.Firing, alert.Info},
		`"monitor_id":1,"priority":"urgent"`:                                            {alert.Firing, alert.Medium},
		`"monitor_id":1,"event_title":"[Recovered on {host:a}] t","monitor_priority":3`: {alert.Resolved, alert.Medium},
	} {
		got := one(t, alert.Datadog, `{"title":"t",`+body+`}`)
		if got.State != want.state || got.Severity != want.severity {
			t.Errorf("%s: got %s, %s", body, got.State, got.Severity)
		}
	}
	if got := one(t, alert.Datadog, `{"title":"t","monitor_id":1,"priority":"urgent"}`); got.Labels["severity"] != "urgent" {
		t.Errorf("the sender's word is lost: %v", got.Labels)
	}
}

func TestDatadogIsReadWhole(t *testing.T) {
	body := func(transition, id string) string {
		return `{"id":"` + id + `","title":"[` + transition + ` on {host:web1}] CPU","body":"%%%\nhot\n%%%","alert_transition":"` + transition + `","alert_id":"42",
			"alert_scope":"host:web1","aggreg_key":"9bd4","date":"1781256600000","tags":"env:prod, team:fx,team:eq,monitor,url:a:b","link":"https://app.datadoghq.com/event/1"}`
	}
	got, over := one(t, alert.Datadog, body("Triggered", "7001")), one(t, alert.Datadog, body("Recovered", "7002"))
	if got.Key != "7001/firing/2026-06-12T09:30:00Z" || over.Key != "7002/resolved/2026-06-12T09:30:00Z" || got.Fingerprint != over.Fingerprint || over.State != alert.Resolved {
		t.Errorf("got %s %s and %s %s", got.Key, got.Fingerprint, over.Key, over.Fingerprint)
	}
	equal(t, "triggered", got, alert.Alert{
		Fingerprint: over.Fingerprint, State: alert.Firing, Severity: alert.Medium, Title: "[Triggered on {host:web1}] CPU", Description: "%%%\nhot\n%%%",
		System: "web1", At: utc("2026-06-12T09:30:00Z"), URL: "https://app.datadoghq.com/event/1",
		Labels: map[string]string{"env": "prod", "team": "fx,eq", "monitor": "", "url": "a:b", "scope": "host:web1"},
	})
	other := strings.Replace(body("Triggered", "7003"), `"host:web1",`, `"host:web2",`, 1)
	if one(t, alert.Datadog, other).Fingerprint == got.Fingerprint {
		t.Error("two hosts of a monitor are one condition")
	}
	// The id of the monitor in place of the event's does not make its end a repetition.
	if m, n := one(t, alert.Datadog, body("Triggered", "42")), one(t, alert.Datadog, body("Recovered", "42")); m.Key == n.Key {
		t.Errorf("both have key %s", m.Key)
	}
	a, b := one(t, alert.Datadog, `{"title":"[P1] [Triggered] CPU","alert_transition":"Triggered"}`), one(t, alert.Datadog, `{"title":"[P1] [Recovered] CPU","alert_transition":"Recovered"}`)
	if a.Fingerprint != b.Fingerprint || !a.Timeless {
		t.Errorf("without ids: %+v\n%+v", a, b)
	}
}

func TestPagerDutyVersions(t *testing.T) {
	first := read(t, alert.PagerDuty, sample(t, "alerta/pagerduty_alert.json"))
	if len(first) != 2 || first[0].Key != "bb8b8fe0-e8d5-11e2-9c1e-22000afd16cf" || first[0].State != alert.Acknowledged || first[1].State != alert.Resolved ||
		first[0].Fingerprint != "pagerduty:PIJ90N7" || first[1].Fingerprint != "pagerduty:PIJ90N7" || first[0].Title != "45645" || first[0].System != "service" ||
		!first[1].EndsAt.Equal(utc("2013-07-09T20:25:45Z")) {
		t.Errorf("version 1: %+v", first)
	}
	second := one(t, alert.PagerDuty, `{"messages":[{"id":"m1","event":"incident.trigger","created_on":"2026-06-12T09:30:00Z","log_entries":[],"webhook":{},
		"incident":{"id":"P1","status":"triggered","title":"t","description":"d","urgency":"low","incident_number":33,"created_at":"2026-06-12T09:29:00Z",
		"html_url":"https://a.pagerduty.com/incidents/P1","service":{"name":"fx"},"priority":null}}]}`)
	equal(t, "version 2", second, alert.Alert{
		Fingerprint: "pagerduty:P1", State: alert.Firing, Severity: alert.Low, Title: "t", Description: "d", System: "fx", URL: "https://a.pagerduty.com/incidents/P1",
		Labels:   map[string]string{"event": "incident.trigger", "incident_number": "33", "service": "fx", "urgency": "low"},
		StartsAt: utc("2026-06-12T09:29:00Z"), At: utc("2026-06-12T09:30:00Z"),
	})
	for event, want := range map[string]alert.State{
		"incident.triggered": alert.Firing, "incident.acknowledged": alert.Acknowledged, "incident.unacknowledged": alert.Firing,
		"incident.reopened": alert.Firing, "incident.resolved": alert.Resolved, "incident.escalated": alert.Acknowledged, "incident.priority_updated": alert.Acknowledged,
	} {
		got := one(t, alert.PagerDuty, `{"event":{"id":"e1","event_type":"`+event+`","resource_type":"incident","occurred_at":"2026-06-12T09:30:00Z",
			"agent":{"html_url":"https://a"},"client":null,"data":{"id":"P1","type":"incident","number":2,"status":"acknowledged","incident_key":"k","title":"t",
			"created_at":"2026-06-12T09:29:00Z","urgency":"high","priority":{"summary":"P2"},"service":{"summary":"fx"}}}}`)
		if got.State != want || got.Key != "e1" || got.Severity != alert.High || got.Fingerprint != "pagerduty:P1" || got.System != "fx" || got.Labels["incident_key"] != "k" {
			t.Errorf("%s: %+v", event, got)
		}
	}
}

// What is not about the state of an incident is no alert, and no fault: a fault
// would make the sender try again, and give the webhook up.
func TestNothingToTell(t *testing.T) {
	for kind, body := range map[alert.Kind]string{
		alert.PagerDuty: `{"event":{"id":"e","event_type":"pagey.ping","data":{"message":"Hello","type":"ping"}}}`,
		alert.NewRelic:  `{"current_state":"test","incident_id":1}`,
	} {
		if got := read(t, kind, body); got == nil || len(got) != 0 {
			t.Errorf("%s: %+v", kind, got)
		}
	}
	if got := read(t, alert.PagerDuty, `{"event":{"event_type":"incident.annotated","data":{"type":"incident_note","incident":{"id":"P1"},"content":"x"}}}`); len(got) != 0 {
		t.Errorf("a note: %+v", got)
	}
}

func TestNewRelic(t *testing.T) {
	equal(t, "legacy", one(t, alert.NewRelic, sample(t, "alerta/new_relic_notification.json")), alert.Alert{
		Fingerprint: "newrelic:6298196e8d00b5af8a4869417122f6462214b682d843111225bbcc741262c850", State: alert.Firing, Severity: alert.Info,
		Title: "New Relic Alert - Test Condition", Description: "I am a test Violation", At: utc("2020-09-25T11:23:27.849Z"),
		URL: "https://alerts.newrelic.com/accounts/11111/incidents/0",
	})
	legacy := func(body string) alert.Alert { return one(t, alert.NewRelic, `{"account_id":1,`+body+`}`) }
	open := legacy(`"current_state":"open","condition_id":5,"condition_name":"c","targets":[{"id":"9","name":"web1","labels":{"k":"v"}}],"timestamp":1781256600000`)
	over := legacy(`"current_state":"closed","condition_id":5,"condition_name":"c","targets":[{"id":"9","name":"web1"}],"timestamp":1781256660000`)
	if open.Fingerprint != over.Fingerprint || open.System != "web1" || open.Labels["k"] != "v" || over.State != alert.Resolved || !over.EndsAt.Equal(utc("2026-06-12T09:31:00Z")) {
		t.Errorf("without incident: %+v\n%+v", open, over)
	}
	if got := legacy(`"current_state":"acknowledged","incident_id":7`); got.State != alert.Acknowledged {
		t.Errorf("got %+v", got)
	}
	for state, want := range map[string]alert.State{"CREATED": alert.Firing, "ACTIVATED": alert.Firing, "CLOSED": alert.Resolved} {
		got := one(t, alert.NewRelic, `{"id":"d1b1","issueUrl":"https://radar-api.service.newrelic.com/i","title":["Memory > 90"],"priority":"CRITICAL",
			"impactedEntities":["checkout"],"totalIncidents":1,"state":"`+state+`","trigger":"STATE_CHANGE","isCorrelated":false,"createdAt":1781256600000,
			"updatedAt":1781256660000,"alertPolicyNames":["p"],"alertConditionNames":[],"workflowName":"w"}`)
		if got.State != want || got.Severity != alert.Critical || got.Fingerprint != "newrelic:d1b1" || got.Title != "Memory > 90" || got.System != "checkout" ||
			!got.StartsAt.Equal(utc("2026-06-12T09:30:00Z")) || !got.At.Equal(utc("2026-06-12T09:31:00Z")) || got.Labels["policy"] != "p" {
			t.Errorf("%s: %+v", state, got)
		}
	}
	if got := one(t, alert.NewRelic, `{"issueId":"d1b1","state":"ACTIVATED","trigger":"ACKNOWLEDGED"}`); got.State != alert.Acknowledged {
		t.Errorf("taken on: %+v", got)
	}
	if got := one(t, alert.NewRelic, `{"issueId":"d1b1","state":"CLOSED","trigger":"ACKNOWLEDGED"}`); got.State != alert.Resolved {
		t.Errorf("taken on and over: %+v", got)
	}
}
