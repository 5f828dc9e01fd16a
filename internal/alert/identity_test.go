package alert_test

import (
	"fmt"
	"strings"
	"testing"

	"finobs/internal/alert"
)

const firingGroup = `{"status":"firing","alerts":[{"status":"firing","labels":{"alertname":"A","host":"h"},"annotations":{"summary":"s"},
	"startsAt":"2026-06-12T09:30:00Z","endsAt":"0001-01-01T00:00:00Z","fingerprint":"f1"}]}`

// What is sent again has the same key; what is another notification has another.
func TestKeysTellNotificationsApart(t *testing.T) {
	base := one(t, alert.Alertmanager, firingGroup)
	for name, tc := range map[string]struct {
		old, new string
		same     bool
	}{
		"sent again by repeat_interval":     {`"status":"firing","alerts"`, `"status":"firing","groupKey":"other","alerts"`, true},
		"another text":                      {`"summary":"s"`, `"summary":"t"`, true},
		"the time in another zone":          {`09:30:00Z`, `11:30:00+02:00`, true},
		"an end that moves with repetition": {`0001-01-01T00:00:00Z`, `2026-06-12T09:34:00Z`, true},
		"it fires anew":                     {`09:30:00Z`, `10:30:00Z`, false},
		"it is over":                        {`"status":"firing","labels"`, `"status":"resolved","labels"`, false},
		"another condition":                 {`"f1"`, `"f2"`, false},
	} {
		got := one(t, alert.Alertmanager, strings.Replace(firingGroup, tc.old, tc.new, 1))
		if same := got.Key == base.Key; same != tc.same {
			t.Errorf("%s: the same key is %v", name, same)
		}
	}
	over := strings.ReplaceAll(strings.Replace(firingGroup, "0001-01-01", "2026-06-13", 1), "firing", "resolved")
	later := strings.Replace(over, "2026-06-13", "2026-06-14", 1)
	if a, b := one(t, alert.Alertmanager, over), one(t, alert.Alertmanager, later); a.Key == b.Key || a.Fingerprint != base.Fingerprint {
		t.Error("two ends are one notification, or an end is of another condition")
	}
}

// Labels are the identity where there is no fingerprint, or where it is shared.
func TestFingerprintsTellConditionsApart(t *testing.T) {
	alerts := func(elements ...string) []alert.Alert {
		return read(t, alert.Alertmanager, `{"status":"firing","alerts":[`+strings.Join(elements, ",")+`]}`)
	}
	bare := alerts(`{"labels":{"a":"1","b":"2"}}`, `{"labels":{"b":"2","a":"1"}}`, `{"labels":{"a":"1"}}`, `{"labels":{"a":"1b2"}}`, `{"labels":{"a":"1","b":"2","c":""}}`)
	if bare[0].Fingerprint != bare[1].Fingerprint {
		t.Error("the order of labels counts")
	}
	for i, a := range bare[1:] {
		for _, b := range bare[i+2:] {
			if a.Fingerprint == b.Fingerprint {
				t.Errorf("other labels are one condition: %+v, %+v", a, b)
			}
		}
	}
	shared := alerts(`{"labels":{"a":"1"},"fingerprint":"f"}`, `{"labels":{"a":"2"},"fingerprint":"f"}`, `{"labels":{"a":"1"},"fingerprint":"f"}`, `{"labels":{"a":"3"},"fingerprint":"g"}`)
	if shared[0].Fingerprint == shared[1].Fingerprint || shared[0].Fingerprint != shared[2].Fingerprint || shared[3].Fingerprint != "alertmanager:g" ||
		!strings.Contains(strings.Join(shared[1].Notes, " "), `fingerprint "f" is shared`) {
		t.Errorf("got %+v", shared)
	}
	if same := alerts(`{"labels":{"a":"1"},"fingerprint":"f"}`, `{"labels":{"a":"1"},"fingerprint":"f"}`); same[0].Fingerprint != "alertmanager:f" || same[0].Key != same[1].Key {
		t.Errorf("the same twice: %+v", same)
	}
}

// A sender that states neither an id nor a time is told apart, so that its second
// "ok" is not taken for the first.
func TestTimeless(t *testing.T) {
	for body, want := range map[string]bool{
		`{"status":"firing","alerts":[{"labels":{}}]}`:                                        true,
		`{"status":"firing","alerts":[{"labels":{},"endsAt":"2026-06-12T09:30:00Z"}]}`:        true,
		`{"status":"resolved","alerts":[{"labels":{},"endsAt":"2026-06-12T09:30:00Z"}]}`:      false,
		`{"status":"firing","alerts":[{"labels":{},"startsAt":"2026-06-12T09:30:00Z"}]}`:      false,
		`{"status":"firing","alerts":[{"labels":{},"startsAt":"0001-01-01T00:00:00+00:00"}]}`: true,
	} {
		if got := one(t, alert.Alertmanager, body); got.Timeless != want {
			t.Errorf("%s: timeless is %v", body, got.Timeless)
		}
	}
}

// Ids that do not fit, or do not show, become their digest and stay apart.
func TestLongIdsStayApart(t *testing.T) {
	id := func(text string) alert.Alert {
		return one(t, alert.PagerDuty, `{"event":{"id":"`+text+`","event_type":"incident.triggered","data":{"id":"`+text+`"}}}`)
	}
	long := strings.Repeat("a", 5000)
	a, b := id(long+"1"), id(long+"2")
	if a.Key == b.Key || a.Fingerprint == b.Fingerprint || len(a.Key) != 64 {
		t.Errorf("got %s %s", a.Key, b.Key)
	}
	if c, d := id(`x\u0000`), id(`x\u0001`); c.Key == d.Key || strings.Contains(c.Key, "x") {
		t.Errorf("got %q %q", c.Key, d.Key)
	}
}

func TestSeverities(t *testing.T) {
	for word, want := range map[string]alert.Severity{
		"critical": alert.Critical, "CRITICAL": alert.Critical, "Fatal": alert.Critical, "P1": alert.Critical, "disaster": alert.Critical, "page": alert.Critical,
		"high": alert.High, "error": alert.High, "major": alert.High, "severe": alert.High, "SEV2": alert.High,
		"warning": alert.Medium, "medium": alert.Medium, "P3": alert.Medium, "": alert.Medium, "minor": alert.Low, "low": alert.Low, "P4": alert.Low,
		"info": alert.Info, "none": alert.Info, "debug": alert.Info, "P5": alert.Info,
		"purple": alert.Medium, "1": alert.Medium,
	} {
		got := one(t, alert.Alertmanager, fmt.Sprintf(`{"status":"firing","alerts":[{"labels":{"severity":%q},"startsAt":"2026-06-12T09:30:00Z"}]}`, word))
		if got.Severity != want {
			t.Errorf("%q: got %s, want %s", word, got.Severity, want)
		}
		if known := word != "purple" && word != "1"; known != (got.Notes == nil) || got.Labels["severity"] != word {
			t.Errorf("%q: notes %q, labels %v", word, got.Notes, got.Labels)
		}
	}
}

// Texts are cut between characters, and it is said.
func TestTextsAreBounded(t *testing.T) {
	labels := []string{`"severity":"low"`, `"` + "a" + strings.Repeat("é", 70) + `":"long name"`, `"value":"` + strings.Repeat("€", 400) + `"`, `"":"no name"`}
	for i := range 70 {
		labels = append(labels, fmt.Sprintf(`"z%02d":"v"`, i))
	}
	got := one(t, alert.Alertmanager, `{"status":"firing","alerts":[{"labels":{`+strings.Join(labels, ",")+`},"annotations":{
		"summary":"`+strings.Repeat("é", 150)+`","description":"`+strings.Repeat("€", 1400)+`"},"generatorURL":"javascript:alert(1)"}]}`)
	if len(got.Title) != 200 || len(got.Description) != 3999 || got.URL != "" || len(got.Labels) != 64 || len(got.Labels["value"]) != 1023 {
		t.Errorf("title %d, description %d, url %q, %d labels, value %d", len(got.Title), len(got.Description), got.URL, len(got.Labels), len(got.Labels["value"]))
	}
	notes := strings.Join(got.Notes, "\n")
	for _, want := range []string{
		"title cut from 300 to 200 bytes", "description cut from 4200 to 3999 bytes", `url "javascript:alert(1)" is left out`,
		`label "value" cut from 1200 to 1023 bytes`, "is cut to 127 bytes", "10 labels are left out; 64 are kept",
	} {
		if !strings.Contains(notes, want) {
			t.Errorf("notes lack %q:\n%s", want, notes)
		}
	}
}

// What does not show, or shows something else, is replaced.
func TestTextsAreClean(t *testing.T) {
	got := one(t, alert.Alertmanager, `{"status":"firing","alerts":[{"labels":{"alertname":"a\u0000b\u001b[31mc\u202ed","n\u0007":"x\ny"},
		"annotations":{"description":"one\r\ntwo\tthree\u2028four\u0085five"}}]}`)
	if got.Title != "a\ufffdb\ufffd[31mc\ufffdd" || got.Description != "one\ntwo\tthree\nfour\ufffdfive" || got.Labels["n\ufffd"] != "x y" {
		t.Errorf("got %q, %q, %q", got.Title, got.Description, got.Labels)
	}
}

func TestURLs(t *testing.T) {
	for url, kept := range map[string]bool{
		"https://a.example/x?y=1#z": true, "http://10.0.0.1:9093": true, "ftp://a.example": false, "//a.example": false, "a.example": false,
		"https://": false, "https://a/\u202eb": false, "http://a b": false, "https://a/" + strings.Repeat("x", 2048): false,
	} {
		got := one(t, alert.Alertmanager, fmt.Sprintf(`{"status":"firing","alerts":[{"labels":{},"generatorURL":%q}]}`, url))
		if (got.URL == url) != kept || (got.Notes == nil) != kept {
			t.Errorf("%.40q: got %q, %q", url, got.URL, got.Notes)
		}
	}
}

// Times come in many forms; what is no time is a fault elsewhere.
func TestTimes(t *testing.T) {
	want := utc("2026-06-12T09:30:00Z")
	for _, value := range []string{
		`1781256600`, `"1781256600"`, `1781256600.0`, `1.7812566e9`, `"2026-06-12T09:30:00Z"`, `"2026-06-12T11:30:00+02:00"`, `"2026-06-12T09:30:00.000+0000"`,
		`"2026-06-12T09:30:00"`, `"2026-06-12 09:30:00"`, `"2026/06/12 09:30:00 GMT"`, `"Fri, 12 Jun 2026 09:30:00 GMT"`, `"2026-06-12 11:30:00 +0200 CEST"`,
	} {
		got := one(t, alert.Stackdriver, `{"incident":{"incident_id":"i","state":"open","started_at":`+value+`}}`)
		if !got.StartsAt.Equal(want) {
			t.Errorf("%s: got %s", value, got.StartsAt)
		}
	}
	for _, value := range []string{`null`, `0`, `""`, `"0"`, `"null"`, `0.0`, `"0001-01-01T00:00:00Z"`} {
		if got := one(t, alert.Stackdriver, `{"incident":{"incident_id":"i","state":"open","started_at":`+value+`}}`); !got.StartsAt.IsZero() {
			t.Errorf("%s: got %s", value, got.StartsAt)
		}
	}
	for _, value := range []string{`-1`, `253402300800`, `99999999999999999999`, `"NaN"`, `"Inf"`, `true`, `"10000-01-01T00:00:00Z"`} {
		if _, err := alert.Read(alert.Stackdriver, []byte(`{"incident":{"incident_id":"i","state":"open","started_at":`+value+`}}`)); err == nil {
			t.Errorf("%s is read", value)
		}
	}
}
