package alert_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"finobs/internal/alert"
)

func page(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/alerts.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The mappings of docs/alerts.md read what the page says they read.
func TestMappingsOfTheDocs(t *testing.T) {
	fences := regexp.MustCompile("(?s)<!-- read by internal/alert/docs_test.go, with ([^ ]+)[^\n]*-->\n```yaml\n(.*?)```\n").FindAllStringSubmatch(page(t), -1)
	bodyBelow := regexp.MustCompile("(?s)```json\n(.*?)```").FindStringSubmatch(page(t))
	if len(fences) != 4 || bodyBelow == nil {
		t.Fatalf("the page has %d mappings", len(fences))
	}
	read := map[string][]alert.Alert{}
	for _, fence := range fences {
		mapping, err := alert.LoadMapping(strings.NewReader(fence[2]))
		if err != nil {
			t.Fatalf("%s: %v", fence[1], err)
		}
		body := bodyBelow[1]
		if strings.HasPrefix(fence[1], "keep/") {
			body = sample(t, fence[1])
		}
		alerts, err := mapping.Read([]byte(body))
		if err != nil {
			t.Fatalf("%s: %v", fence[1], err)
		}
		checkBounds(t, alerts)
		checkStable(t, mapping.Read, []byte(body), alerts)
		read[fence[1]] = alerts
	}
	own := read["the"]
	if len(own) != 2 || own[1].State != alert.Resolved || own[1].Severity != alert.Low || own[1].Title != "disk on db-1" {
		t.Fatalf("got %+v", own)
	}
	equal(t, "the example", own[0], alert.Alert{
		Fingerprint: "generic:fix-gw-1/session", State: alert.Firing, Severity: alert.High, Title: "session on fix-gw-1", Description: "logged out",
		System: "fix-gw-1", URL: "https://monitor.example/hosts/fix-gw-1", At: utc("2026-06-12T09:30:00Z"), Labels: map[string]string{"check": "session", "rack": "r7"},
	})
	if own[0].Key != "b-17/1" || len(own[1].Labels) != 1 {
		t.Errorf("got %+v", own)
	}
	equal(t, "LibreNMS", read["keep/libre_nms.json"][0], alert.Alert{
		Fingerprint: "generic:device 2 rule 13", State: alert.Resolved, Severity: alert.Info, Title: "Device 10.10.1.147 recovered from Devices up/down",
		Description: read["keep/libre_nms.json"][0].Description, System: "10.10.1.147", At: utc("2025-03-04T11:01:41Z"),
		Labels: map[string]string{"rule": "Devices up/down", "os": "linux", "location": "Sitting on the Dock of the Bay"},
	})
	equal(t, "Coralogix", read["keep/coralogix.json"][0], alert.Alert{
		Fingerprint: "generic:49a4afb5-9231-418d-94ea-3a7546779658", State: alert.Firing, Severity: alert.High, Title: "Keep", Description: "This is a test alert",
		System: "*insert desired subsystem name*", At: utc("2024-08-14T21:28:56.254Z"), Labels: map[string]string{"team": "ezhil"},
		URL: "https://ezhil.app.coralogix.in/#/insights?id=a6a74b7a-0d04-4806-9cf9-2d2c65ce444b",
	})
	if got := read["keep/checkly.json"][0]; got.State != alert.Resolved || got.Key != "4583208e-0bca-48c6-8dc8-d14faf6102b3" || got.System != "API Check #1" || !got.At.Equal(utc("2025-01-26T11:19:40.544Z")) {
		t.Errorf("Checkly: %+v", got)
	}
}

// The page names every kind, and every word of the table of severities means what
// it says.
func TestTablesOfTheDocs(t *testing.T) {
	for _, kind := range alert.Kinds() {
		if !strings.Contains(page(t), "| `"+string(kind)+"` |") {
			t.Errorf("the page lacks %s", kind)
		}
	}
	_, table, _ := strings.Cut(page(t), "| Severity | Words, in any letter case |")
	table, _, _ = strings.Cut(table, "\n\n")
	rows := regexp.MustCompile("(?m)^\\| `([a-z]+)` \\| ([^|;]+)").FindAllStringSubmatch(table, -1)
	if len(rows) != 5 {
		t.Fatalf("the table has %d rows", len(rows))
	}
	for _, row := range rows {
		for word := range strings.SplitSeq(row[2], ",") {
			word = strings.TrimSpace(word)
			got := one(t, alert.Alertmanager, `{"status":"firing","alerts":[{"labels":{"severity":"`+word+`"}}]}`)
			if string(got.Severity) != row[1] || got.Notes != nil {
				t.Errorf("%q is %s, the page says %s", word, got.Severity, row[1])
			}
		}
	}
}
