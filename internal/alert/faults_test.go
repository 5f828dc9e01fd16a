package alert_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"

	"finobs/internal/alert"
	"finobs/internal/fault"
)

const goodGroup = `{"status":"firing","alerts":[{"labels":{"alertname":"A"},"startsAt":"2026-06-12T09:30:00Z"}]}`

func nested(open, end string, depth int) string {
	return `{"alerts":` + strings.Repeat(open, depth) + "1" + strings.Repeat(end, depth) + `}`
}

// A body that is not JSON is refused by a fault that says what it is instead, or
// where its JSON breaks off.
func TestWhatIsNoJSON(t *testing.T) {
	units := utf16.Encode([]rune(goodGroup))
	little, big := []byte{0xff, 0xfe}, []byte{}
	for _, u := range units {
		little, big = append(little, byte(u), byte(u>>8)), append(big, byte(u>>8), byte(u))
	}
	for name, tc := range map[string]struct{ body, want string }{
		"empty":                {"", "the body is empty; expected is JSON"},
		"blank":                {" \r\n\t", "the body is empty"},
		"byte order mark only": {"\ufeff", "the body is empty"},
		"XML":                  {`<?xml version="1.0"?><alert/>`, "the body is XML"},
		"HTML":                 {"\n<!DOCTYPE html><p>502", "the body is a page of HTML"},
		"HTML without doctype": {"<HTML>", "the body is a page of HTML"},
		"form":                 {"payload=%7B%22a%22%3A1%7D&token=x", "the body is a form"},
		"UTF-16 with a mark":   {string(little), "encoded as UTF-16"},
		"UTF-16 without one":   {string(big), "encoded as UTF-16"},
		"gzip":                 {"\x1f\x8b\x08\x00", "compressed with gzip"},
		"truncated":            {goodGroup[:60], "the body is truncated: its JSON ends too early, at byte 60 (line 1, column 61), in /alerts/0"},
		"truncated, lines":     {"{\n \"alerts\": [\n  {\"é\": 1,", "line 3, column "},
		"duplicate name":       {`{"alerts":[{"labels":{"a":"1","a":"2"}}]}`, "has a name twice in one object, at byte 30 (line 1, column 31), in /alerts/0/labels/a"},
		"not JSON":             {"ALARM: disk", "the body is not JSON, at byte 0 (line 1, column 1)"},
		"trailing comma":       {`{"alerts":[1,]}`, "is not JSON, at byte 12 (line 1, column 13), in /alerts"},
		"two values":           {goodGroup + "\n" + goodGroup, "something after its JSON value at byte "},
		"not UTF-8":            {`{"alerts":["` + "\xff" + `"]}`, "not valid UTF-8, at byte 12"},
		"half a surrogate":     {`{"alerts":["\ud800"]}`, "at byte 1"},
		"deep objects":         {nested(`{"a":`, `}`, 64), "over the limit of 64, at byte "},
		"deep lists":           {nested(`[`, `]`, 100_000), "over the limit of 64"},
		"NaN":                  {`{"alerts":NaN}`, "is not JSON, at byte 10"},
	} {
		for _, kind := range []alert.Kind{alert.Alertmanager, alert.Datadog} {
			_, err := alert.Read(kind, []byte(tc.body))
			if fault.KindOf(err) != fault.Invalid || fault.CodeOf(err) != "not-an-alert" || !strings.Contains(fault.MessageOf(err), tc.want) {
				t.Errorf("%s: got %v\nwant %s", name, err, tc.want)
			}
		}
	}
}

func TestWhatIsJustGoodJSON(t *testing.T) {
	for name, body := range map[string]string{
		"byte order mark": "\ufeff" + goodGroup, "blanks around": "\n " + goodGroup + "\r\n",
		"as deep as can be": strings.Replace(goodGroup, `"status"`, `"x":`+strings.Repeat("[", 63)+strings.Repeat("]", 63)+`,"status"`, 1),
		"unknown members":   strings.Replace(goodGroup, `{"labels"`, `{"colour":{"a":[1,null]},"labels"`, 1),
	} {
		if a := one(t, alert.Alertmanager, body); a.Title != "A" {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

func TestLimits(t *testing.T) {
	_, err := alert.Read(alert.Alertmanager, []byte(`{"alerts":"`+strings.Repeat("a", alert.MaxBody)+`"}`))
	if fault.KindOf(err) != fault.TooLarge || fault.CodeOf(err) != "invalid-alert" || !strings.Contains(fault.MessageOf(err), "the body has 1048589 bytes, over the limit of 1048576") {
		t.Errorf("got %v", err)
	}
	group := func(n int) []byte {
		element := `{"labels":{"a":"b"},"startsAt":"2026-06-12T09:30:00Z"},`
		return []byte(`{"status":"firing","alerts":[` + strings.TrimSuffix(strings.Repeat(element, n), ",") + `]}`)
	}
	if alerts, err := alert.Read(alert.Alertmanager, group(alert.MaxAlerts)); err != nil || len(alerts) != alert.MaxAlerts {
		t.Errorf("10,000 alerts: got %d, %v", len(alerts), err)
	}
	_, err = alert.Read(alert.Alertmanager, group(alert.MaxAlerts+1))
	if fault.CodeOf(err) != "invalid-alert" || !strings.Contains(fault.MessageOf(err), "10001 alerts, over the limit of 10000") {
		t.Errorf("10,001 alerts: %v", err)
	}
}

// An element of a wrong type is named, with what was found and what was expected.
func TestFaultsNameTheElement(t *testing.T) {
	for name, tc := range map[string]struct {
		kind       alert.Kind
		body, want string
	}{
		"labels":         {alert.Alertmanager, `{"status":"firing","alerts":[{"labels":["a"]}]}`, "/alerts/0/labels is a list of 1; expected is an object"},
		"label":          {alert.Alertmanager, `{"status":"firing","alerts":[{"labels":{"a/b~c":{}}}]}`, "/alerts/0/labels/a~1b~0c is an empty object; expected is a text"},
		"alert":          {alert.Alertmanager, `{"status":"firing","alerts":[{"labels":{"a":"b"}},"x"]}`, `/alerts/1 is the text "x"; expected is an object`},
		"no alerts":      {alert.Alertmanager, `{"status":"firing","alerts":[]}`, "/alerts is an empty list; expected is at least one alert"},
		"status":         {alert.Alertmanager, `{"status":"firing","alerts":[{"labels":{},"status":"ok"}]}`, `/alerts/0/status is "ok"; expected is one of firing, resolved`},
		"group's status": {alert.Alertmanager, `{"status":"x","alerts":[{"labels":{}}]}`, `/status is "x"; expected`},
		"no status":      {alert.Alertmanager, `{"alerts":[{"labels":{},"endsAt":"2026-06-12T09:30:00Z"}]}`, "/alerts/0/status is missing"},
		"time":           {alert.Alertmanager, `{"status":"firing","alerts":[{"labels":{},"startsAt":"yesterday"}]}`, `/alerts/0/startsAt is "yesterday"; expected is a time`},
		"time's type":    {alert.Alertmanager, `{"status":"firing","alerts":[{"labels":{},"startsAt":5}]}`, "/alerts/0/startsAt is the number 5; expected is a text"},
		"year":           {alert.Alertmanager, `{"status":"firing","alerts":[{"labels":{},"startsAt":"1066-06-12T09:30:00Z"}]}`, "/alerts/0/startsAt"},
		"fingerprint":    {alert.Alertmanager, `{"status":"firing","alerts":[{"labels":{},"fingerprint":true}]}`, "/alerts/0/fingerprint is true; expected is a text"},
		"grafana state":  {alert.Grafana, `{"ruleId":1,"state":"burning"}`, `/state is "burning"; expected is one of alerting, no_data, ok`},
		"no state":       {alert.Grafana, `{"ruleId":1}`, "/state is missing"},
		"no rule":        {alert.Grafana, `{"evalMatches":[],"state":"ok"}`, "/ruleId is missing"},
		"matches":        {alert.Grafana, `{"ruleId":1,"state":"ok","evalMatches":[1]}`, "/evalMatches/0 is the number 1"},
		"message":        {alert.CloudWatch, `{"Type":"Notification","Message":"hello"}`, `/Message is the text "hello"; expected is the JSON of an alarm`},
		"cut message":    {alert.CloudWatch, `{"Type":"Notification","Message":"{\"AlarmName\":"}`, "/Message is truncated"},
		"other message":  {alert.CloudWatch, `{"Type":"Notification","Message":"{\"a\":1}"}`, `/Message is an object with "a"; expected is an alarm`},
		"alarm state":    {alert.CloudWatch, `{"AlarmName":"a","NewStateValue":"BAD"}`, `/NewStateValue is "BAD"; expected is one of alarm, insufficient_data, ok`},
		"event":          {alert.CloudWatch, `{"detail-type":"EC2 Instance State-change","detail":{"alarmName":"a","state":{"value":"OK"}}}`, "/detail-type is"},
		"event's state":  {alert.CloudWatch, `{"detail-type":"CloudWatch Alarm State Change","detail":{"alarmName":"a"}}`, "/detail/state/value is missing"},
		"event's name":   {alert.CloudWatch, `{"detail-type":"CloudWatch Alarm State Change","detail":{"state":{"value":"OK"}}}`, "/detail/alarmName is missing"},
		"transition":     {alert.Datadog, `{"title":"a","alert_transition":"$ALERT_TRANSITION"}`, `/alert_transition is "$ALERT_TRANSITION"; expected`},
		"tags":           {alert.Datadog, `{"title":"a","monitor_id":1,"tags":[1]}`, "/tags/0 is the number 1"},
		"date":           {alert.Datadog, `{"title":"a","monitor_id":1,"date":"soon"}`, `/date is "soon"; expected is a time: a number, in milliseconds`},
		"date's size":    {alert.Datadog, `{"title":"a","monitor_id":1,"date":1e300}`, `/date is "1e300"`},
		"incident":       {alert.PagerDuty, `{"messages":[{"type":"incident.trigger","data":{"incident":{}}}]}`, "/messages/0/data/incident/id is missing"},
		"event type":     {alert.PagerDuty, `{"event":{"event_type":"incident.assigned","data":{"id":"a","status":"odd"}}}`, `/event/data/status is "odd"`},
		"current state":  {alert.NewRelic, `{"current_state":"odd","incident_id":1}`, `/current_state is "odd"; expected is one of acknowledged, closed, open`},
		"issue":          {alert.NewRelic, `{"state":"ACTIVATED","issueUrl":"https://a"}`, "/issueId is missing"},
		"check":          {alert.Pingdom, `{"check_id":1,"current_state":"odd"}`, `/current_state is "odd"`},
		"project":        {alert.Stackdriver, `{"incident":{"policy_name":"p","state":"open"}}`, "/incident/incident_id is missing"},
		"incident state": {alert.Stackdriver, `{"incident":{"incident_id":"p","state":"on"}}`, `/incident/state is "on"; expected is one of acknowledged, closed, open`},
		"started":        {alert.Stackdriver, `{"incident":{"incident_id":"p","state":"open","started_at":[]}}`, "/incident/started_at is a list of 0"},
		"control":        {alert.Pingdom, "{\"check_id\":1,\"current_state\":\"\\u001b[31m" + strings.Repeat("é", 100) + "\"}", `/current_state is "\x1b[31m` + strings.Repeat("é", 37) + `"…;`},
	} {
		alerts, err := alert.Read(tc.kind, []byte(tc.body))
		if fault.KindOf(err) != fault.Invalid || fault.CodeOf(err) != "invalid-alert" && !strings.HasPrefix(name, "cut") || !strings.Contains(fault.MessageOf(err), tc.want) {
			t.Errorf("%s: got %v, %v\nwant %s", name, alerts, err, tc.want)
		}
	}
}

// A fault is bounded and printable, whatever it is about.
func TestFaultsAreBounded(t *testing.T) {
	long := strings.Repeat(`\u0000é%s`, 20_000)
	for _, body := range []string{
		`{"alerts":[{"labels":{"` + long + `":{}}}]}`, `{"alerts":[{"labels":{},"status":"` + long + `"}]}`,
		`{"` + long + `":1}`, `{"alerts":[{"labels":{"` + long + `":}}]}`, `{"alerts":[{"labels":{},"startsAt":1` + strings.Repeat("0", 90_000) + `}]}`,
	} {
		_, err := alert.Read(alert.Alertmanager, []byte(body))
		message := fault.MessageOf(err)
		if err == nil || len(message) > 1500 || strings.ContainsFunc(message, func(r rune) bool { return r < ' ' }) || strings.Contains(message, "!(") {
			t.Errorf("%d bytes: %.300s", len(message), message)
		}
	}
}

// What comes to the wrong source is told by what it is.
func TestFaultsSayWhatItLooksLike(t *testing.T) {
	for body, want := range map[string]string{
		`{"zen":"a","hook_id":1}`:                     "a webhook of GitHub",
		`{"repository":{},"sender":{}}`:               "a webhook of GitHub",
		`{"type":"url_verification","challenge":"x"}`: "a webhook of Slack",
		`{"a":1,"b":2}`:                               `found is an object with "a", "b"`,
		`[]`:                                          "found is a list of 0",
		`null`:                                        "found is null",
		`"text"`:                                      `found is the text "text"`,
		`17`:                                          "found is the number 17",
		`{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1}`: `"h" and 1 more`,
	} {
		_, err := alert.Read(alert.Pingdom, []byte(body))
		if fault.CodeOf(err) != "not-an-alert" || !strings.Contains(fault.MessageOf(err), want) {
			t.Errorf("%s: got %v\nwant %s", body, err, want)
		}
	}
	good := map[alert.Kind]string{
		alert.Alertmanager: goodGroup, alert.Grafana: `{"ruleId":1,"state":"ok"}`, alert.CloudWatch: `{"AlarmName":"a"}`,
		alert.PagerDuty: `{"event":{"event_type":"incident.triggered","data":{"id":"a"}}}`, alert.NewRelic: `{"current_state":"open","incident_id":1}`,
		alert.Pingdom: `{"check_id":1,"current_state":"UP"}`, alert.Stackdriver: `{"incident":{"incident_id":"a","state":"open"}}`,
		alert.Datadog: `{"title":"a","alert_transition":"Triggered"}`,
	}
	for own, body := range good {
		one(t, own, body)
		for kind := range good {
			_, err := alert.Read(kind, []byte(body))
			want := fmt.Sprintf("it looks like one of kind %s; send it to a source of that kind", own)
			if kind != own && (fault.CodeOf(err) != "not-an-alert" || !strings.Contains(fault.MessageOf(err), want)) {
				t.Errorf("%s as %s: %v", own, kind, err)
			}
		}
	}
}
