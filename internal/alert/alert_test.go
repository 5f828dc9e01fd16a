package alert_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"finobs/internal/alert"
	"finobs/internal/fault"
)

func read(t *testing.T, kind alert.Kind, body string) []alert.Alert {
	t.Helper()
	alerts, err := alert.Read(kind, []byte(body))
	if err != nil {
		t.Fatalf("%s: %v", kind, err)
	}
	checkBounds(t, alerts)
	return alerts
}

// one reads a body that holds one alert.
func one(t *testing.T, kind alert.Kind, body string) alert.Alert {
	t.Helper()
	alerts := read(t, kind, body)
	if len(alerts) != 1 {
		t.Fatalf("%s: got %d alerts, want 1", kind, len(alerts))
	}
	return alerts[0]
}

func sample(t *testing.T, path string) string {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// checkBounds is what holds of every alert, whatever was sent.
func checkBounds(t *testing.T, alerts []alert.Alert) {
	t.Helper()
	if len(alerts) > alert.MaxAlerts {
		t.Errorf("%d alerts", len(alerts))
	}
	for _, a := range alerts {
		if !a.State.Valid() || !a.Severity.Valid() {
			t.Errorf("state %q, severity %q", a.State, a.Severity)
		}
		if a.Key == "" || len(a.Key) > alert.MaxKey || a.Fingerprint == "" || len(a.Fingerprint) > alert.MaxKey {
			t.Errorf("key %q, fingerprint %q", a.Key, a.Fingerprint)
		}
		if strings.TrimSpace(a.Title) == "" || len(a.Title) > alert.MaxTitle || strings.ContainsAny(a.Title, "\n\r\t") {
			t.Errorf("title %q", a.Title)
		}
		if len(a.Description) > alert.MaxDescription || len(a.System) > alert.MaxSystem || len(a.URL) > alert.MaxURL {
			t.Errorf("description, system or url of %d, %d, %d bytes", len(a.Description), len(a.System), len(a.URL))
		}
		if a.URL != "" && !strings.HasPrefix(strings.ToLower(a.URL), "http") {
			t.Errorf("url %q", a.URL)
		}
		if a.State != alert.Resolved && !a.EndsAt.IsZero() {
			t.Errorf("%s and ends at %s", a.State, a.EndsAt)
		}
		texts := append([]string{a.Key, a.Fingerprint, a.Title, a.Description, a.System, a.URL}, a.Notes...)
		if len(a.Labels) > alert.MaxLabels || len(a.Notes) > 2*alert.MaxLabels+10 {
			t.Errorf("%d labels, %d notes", len(a.Labels), len(a.Notes))
		}
		for name, value := range a.Labels {
			if name == "" || len(name) > alert.MaxLabelName || len(value) > alert.MaxLabelValue {
				t.Errorf("label %q of %d bytes", name, len(value))
			}
			texts = append(texts, name, value)
		}
		for _, text := range texts {
			if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r == '\u202e' }) {
				t.Errorf("text %q", text)
			}
		}
		for _, at := range []time.Time{a.StartsAt, a.EndsAt, a.At} {
			if !at.IsZero() && (at.Year() < 1970 || at.Year() > 9999 || at.Location() != time.UTC) {
				t.Errorf("time %s", at)
			}
		}
		if a.Timeless && (!a.StartsAt.IsZero() || !a.EndsAt.IsZero() || !a.At.IsZero()) {
			t.Errorf("timeless, and times %s %s %s", a.StartsAt, a.EndsAt, a.At)
		}
	}
}

// remarshal writes a body as another JSON encoder would: members by name, without
// blanks, letters escaped otherwise.
func remarshal(t *testing.T, body []byte) []byte {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(body, []byte("\ufeff"))))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("what was read is no JSON to encoding/json: %v", err)
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func keys(alerts []alert.Alert) []string {
	var out []string
	for _, a := range alerts {
		out = append(out, a.Key+" "+a.Fingerprint)
	}
	return out
}

// checkStable: the same body gives the same alerts, and so does one that says the
// same in other bytes.
func checkStable(t *testing.T, readBody func([]byte) ([]alert.Alert, error), body []byte, alerts []alert.Alert) {
	t.Helper()
	again, err := readBody(body)
	if err != nil || !reflect.DeepEqual(again, alerts) {
		t.Errorf("read again: got %+v, %v\nwant %+v", again, err, alerts)
	}
	other, err := readBody(remarshal(t, body))
	if err != nil || !slices.Equal(keys(other), keys(alerts)) {
		t.Errorf("marshalled again: got %v, %v\nwant %v", keys(other), err, keys(alerts))
	}
}

// kindOf is the kind of a sample by its path, "" for what is no body of a kind.
func kindOf(path string) alert.Kind {
	folder, name := filepath.Base(filepath.Dir(path)), filepath.Base(path)
	if folder == "alertmanager" || strings.HasPrefix(name, "alertmanager_") || strings.HasPrefix(name, "prometheus") {
		return alert.Alertmanager
	}
	if folder == "grafana" {
		return alert.Grafana
	}
	if folder != "alerta" {
		return ""
	}
	for prefix, kind := range map[string]alert.Kind{
		"cloudwatch": alert.CloudWatch, "grafana": alert.Grafana, "new_relic": alert.NewRelic, "newrelic": alert.NewRelic,
		"pagerduty": alert.PagerDuty, "pingdom": alert.Pingdom, "stackdriver": alert.Stackdriver, "datadog": alert.Datadog,
	} {
		if strings.HasPrefix(name, prefix) {
			return kind
		}
	}
	return ""
}

// sampleFolders are the committed samples and, where it is named, the big folder.
func sampleFolders() []string {
	folders := []string{"testdata"}
	if big := os.Getenv("FINOBS_SAMPLE_DATA"); big != "" {
		folders = append(folders, filepath.Join(big, "alerts"))
	}
	return folders
}

// Every sample is read, or refused by a fault that names an element; no sample is
// read as a kind that it is not.
func TestSamples(t *testing.T) {
	for _, folder := range sampleFolders() {
		files, err := filepath.Glob(filepath.Join(folder, "*", "*.json"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", folder, len(files), err)
		}
		for _, path := range files {
			own := kindOf(path)
			if filepath.Base(filepath.Dir(path)) == "keep" {
				continue // see TestMockUps
			}
			body, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, kind := range alert.Kinds() {
				alerts, err := alert.Read(kind, body)
				switch message := fault.MessageOf(err); {
				case err != nil && fault.KindOf(err) != fault.Invalid:
					t.Errorf("%s as %s: %v", path, kind, err)
				case kind == own && err != nil && !strings.HasPrefix(message, "/") && !strings.Contains(message, "by hand"):
					t.Errorf("%s: %s", path, message)
				case kind != own && err == nil && own == "" && filepath.Base(filepath.Dir(path)) != "servicenow":
					checkBounds(t, alerts) // of a vendor that is not known here
				case kind != own && err == nil:
					t.Errorf("%s is read as %s: %+v", path, kind, alerts)
				case kind != own && kind != alert.Generic && own != "" && !strings.Contains(message, "looks like one of kind "+string(own)):
					t.Errorf("%s as %s: %s", path, kind, message)
				case kind == own && err == nil:
					checkBounds(t, alerts)
					checkStable(t, func(b []byte) ([]alert.Alert, error) { return alert.Read(kind, b) }, body, alerts)
				}
			}
		}
	}
}

func TestAnswersOfServiceNowAreNoAlerts(t *testing.T) {
	for _, name := range []string{"incident_response.json", "get_incidents_response.json"} {
		for _, kind := range alert.Kinds() {
			_, err := alert.Read(kind, []byte(sample(t, "servicenow/"+name)))
			if kind == alert.Generic {
				continue
			}
			if fault.CodeOf(err) != "not-an-alert" || !strings.Contains(fault.MessageOf(err), "an answer of ServiceNow's API") {
				t.Errorf("%s as %s: %v", name, kind, err)
			}
		}
	}
}

func TestSetsAreClosed(t *testing.T) {
	for _, k := range alert.Kinds() {
		if !k.Valid() {
			t.Errorf("kind %s", k)
		}
	}
	for _, s := range []alert.Severity{alert.Info, alert.Low, alert.Medium, alert.High, alert.Critical} {
		if !s.Valid() {
			t.Errorf("severity %s", s)
		}
	}
	if alert.Kind("nagios").Valid() || alert.State("open").Valid() || alert.Severity("p1").Valid() {
		t.Error("a word outside the set is valid")
	}
	for _, kind := range []alert.Kind{"nagios", alert.Generic} {
		if _, err := alert.Read(kind, []byte("{}")); fault.KindOf(err) != fault.Invalid || fault.CodeOf(err) != "invalid-alert" {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
