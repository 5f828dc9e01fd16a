package alert_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"finobs/internal/alert"
)

// mockUp is how the samples of the folder keep describe bodies: a payload, values
// that members of it take, and values that placeholders in its texts take.
type mockUp struct {
	Payload    map[string]any   `json:"payload"`
	Parameters map[string][]any `json:"parameters"`
	Renders    map[string][]any `json:"renders"`
}

// bodies renders the payload as it is, and with each value of each parameter.
func (m mockUp) bodies(t *testing.T) [][]byte {
	t.Helper()
	render := func(path string, value any) []byte {
		var payload map[string]any
		raw, err := json.Marshal(m.Payload)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, &payload); err != nil {
			t.Fatal(err)
		}
		if path != "" {
			set(payload, strings.Split(path, "."), value)
		}
		if raw, err = json.Marshal(payload); err != nil {
			t.Fatal(err)
		}
		text := string(raw)
		for name, values := range m.Renders {
			text = strings.ReplaceAll(text, "{{"+name+"}}", values[0].(string))
		}
		return []byte(text)
	}
	out := [][]byte{render("", nil)}
	for _, path := range slices.Sorted(maps.Keys(m.Parameters)) {
		for _, value := range m.Parameters[path] {
			out = append(out, render(path, value))
		}
	}
	return out
}

func set(into map[string]any, path []string, value any) {
	for ; len(path) > 1; path = path[1:] {
		child, is := into[path[0]].(map[string]any)
		if !is {
			child = map[string]any{}
			into[path[0]] = child
		}
		into = child
	}
	into[path[0]] = value
}

func mockUps(t *testing.T, path string) map[string]mockUp {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]mockUp
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return out
}

// Every rendering of a mock-up is read, and is firing: none states that it is over.
func TestMockUps(t *testing.T) {
	for _, folder := range sampleFolders() {
		for name, kind := range map[string]alert.Kind{"cloudwatch": alert.CloudWatch, "datadog": alert.Datadog, "prometheus": alert.Alertmanager} {
			path := filepath.Join(folder, "keep", name+".json")
			if _, err := os.Stat(path); err != nil && folder != "testdata" {
				continue
			}
			rendered := 0
			for title, m := range mockUps(t, path) {
				for _, body := range m.bodies(t) {
					alerts, err := alert.Read(kind, body)
					if err != nil || len(alerts) != 1 || alerts[0].State != alert.Firing {
						t.Errorf("%s, %s: %+v, %v\n%s", path, title, alerts, err, body)
						continue
					}
					checkBounds(t, alerts)
					checkStable(t, func(b []byte) ([]alert.Alert, error) { return alert.Read(kind, b) }, body, alerts)
					rendered++
				}
			}
			if rendered < 20 && folder == "testdata" {
				t.Errorf("%s: %d bodies", path, rendered)
			}
		}
	}
}

func TestMockUpsSayWhatTheyMean(t *testing.T) {
	bodies := mockUps(t, "testdata/keep/datadog.json")["high_cpu_usage"].bodies(t)
	got := one(t, alert.Datadog, string(bodies[0]))
	if got.Title != "High CPU Usage" || got.Severity != alert.Medium || got.Labels["team"] != "backend" || got.Labels["monitor"] != "1234567890" ||
		got.Description != "CPU usage is over 90% on srv1-us1-prod." || len(got.Notes) != 1 {
		t.Errorf("datadog: %+v", got)
	}
	cloud := one(t, alert.CloudWatch, string(mockUps(t, "testdata/keep/cloudwatch.json")["high_error_rate"].bodies(t)[0]))
	if cloud.Title != "APIErrorRate" || cloud.Severity != alert.Critical || cloud.Labels["metric"] != "5XXError" || !strings.Contains(cloud.Notes[0], "counts as firing") {
		t.Errorf("cloudwatch: %+v", cloud)
	}
	prometheus := one(t, alert.Alertmanager, string(mockUps(t, "testdata/keep/prometheus.json")["HighCPUUsage"].bodies(t)[0]))
	if prometheus.Title != "CPU usage is over 90%" || prometheus.Severity != alert.Critical || prometheus.System != "example1" {
		t.Errorf("prometheus: %+v", prometheus)
	}
}
