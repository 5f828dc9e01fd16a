package source_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"finobs/internal/event"
	"finobs/internal/fault"
	"finobs/internal/incident"
	"finobs/internal/source"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func secret(path string) ([]byte, error) {
	if path != "there" {
		return nil, errors.New("no such file " + path)
	}
	return []byte(secretText), nil
}

const secretText = "0123456789abcdef0123456789abcdef"

// goodFile has a source that signs, one of FIX and one with a mapping.
const goodFile = `version: 1
sources:
  - {name: prod, kind: alertmanager, desk: EQ, signature: {scheme: token, secret_files: [there], window: 1m}}
  - {name: venue, kind: fix, currency: USD}
  - {name: ours, kind: generic, mapping: {title: item.name, state: item.state}}
`

func TestDefaultSourcesAreOneOfEachKind(t *testing.T) {
	s := source.Default()
	for _, name := range []string{"fix", "dropcopy", "heartbeat", "alertmanager", "grafana", "cloudwatch", "datadog", "pagerduty", "newrelic", "pingdom", "stackdriver"} {
		if got, err := s.Get(name); err != nil || got.Verifier != nil {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
	if slices.Contains(s.Names(), "generic") {
		t.Error("a generic source without a mapping is there")
	}
	if _, err := s.Get("nobody"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("got %v", err)
	}
}

func TestLoad(t *testing.T) {
	const head = "version: 1\nsources:\n  - "
	s, err := source.Load(strings.NewReader(goodFile), secret)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get("prod"); err != nil || got.Desk != "EQ" || got.Verifier == nil {
		t.Errorf("got %+v %v", got, err)
	}
	ours, err := s.Get("ours")
	if err != nil {
		t.Fatal(err)
	}
	events, _, err := ours.Alerts([]byte(`{"name":"disk","state":"firing"}`), "00", incident.Live, noon, "")
	if err != nil || len(events) != 1 || events[0].Title != "disk" || events[0].State != event.Firing || !events[0].OccurredAt.Equal(noon) {
		t.Errorf("got %+v %v", events, err)
	}
	for text, says := range map[string]string{
		"{name: A, kind: fix}":     "name",
		"{name: fails, kind: fix}": "route of its own",
		"{name: a, kind: smoke}":   "kind",
		"{name: a, kind: generic}": "mapping",
		"{name: a, kind: fix, mapping: {title: item.a, state: item.b}}":                               "mapping",
		"{name: a, kind: generic, mapping: {title: item., state: item.b}}":                            "title",
		"{name: a, kind: fix, signature: {scheme: token, secret_files: [there]}}":                     "takes no signature",
		"{name: a, kind: grafana, currency: USD}":                                                     "currency",
		"{name: a, kind: fix, desk: 'a b'}":                                                           "desk",
		"{name: a, kind: fix, colour: red}":                                                           "colour",
		"{name: a, kind: grafana, signature: {scheme: wax, secret_files: [there]}}":                   "wax",
		"{name: a, kind: grafana, signature: {scheme: grafana, secret_files: [gone]}}":                "gone",
		"{name: a, kind: grafana, signature: {scheme: grafana}}":                                      "secret",
		"{name: a, kind: grafana, signature: {scheme: grafana, secret_files: [there], window: soon}}": "window",
		"{name: a, kind: fix}\n  - {name: a, kind: fix}":                                              "two sources",
	} {
		if _, err := source.Load(strings.NewReader(head+text+"\n"), secret); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: got %v", text, err)
		}
	}
	if _, err := source.Load(strings.NewReader("version: 2\n"), secret); err == nil || !strings.Contains(err.Error(), "version") {
		t.Errorf("got %v", err)
	}
}

func TestTimesOfAlerts(t *testing.T) {
	s, err := source.Default().Get("alertmanager")
	if err != nil {
		t.Fatal(err)
	}
	body := func(status, starts, ends string) []byte {
		return []byte(`{"version":"4","status":"` + status + `","alerts":[{"status":"` + status + `","labels":{"alertname":"a"},"startsAt":"` + starts + `","endsAt":"` + ends + `"}]}`)
	}
	const never = "0001-01-01T00:00:00Z"
	for name, tc := range map[string]struct {
		body []byte
		want time.Time
	}{
		"firing":               {body("firing", "2026-03-02T11:00:00Z", never), noon.Add(-time.Hour)},
		"resolved":             {body("resolved", "2026-03-02T11:00:00Z", "2026-03-02T11:30:00Z"), noon.Add(-30 * time.Minute)},
		"a clock ahead":        {body("firing", "2026-03-02T13:00:00Z", never), noon},
		"an end in the future": {body("resolved", "2026-03-02T11:00:00Z", "2026-03-02T12:30:00Z"), noon},
	} {
		events, _, err := s.Alerts(tc.body, "00", incident.Demo, noon, "trace")
		if err != nil || len(events) != 1 {
			t.Fatalf("%s: %v %v", name, events, err)
		}
		if e := events[0]; !e.OccurredAt.Equal(tc.want) || e.Origin != incident.Demo || e.TraceID != "trace" || e.Source != "alertmanager" {
			t.Errorf("%s: %+v", name, e)
		}
	}
}
