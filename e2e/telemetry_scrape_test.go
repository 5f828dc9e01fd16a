package e2e_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"finobs/internal/detect"
	"finobs/internal/llmtest"
	"finobs/internal/telemetry"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

// scraped is what processes export: the labels of each name.
type scraped map[string]map[string]bool

// add scrapes a process.
func (s scraped) add(t *testing.T, address string) {
	t.Helper()
	res, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text := expfmt.NewTextParser(model.UTF8Validation)
	families, err := text.TextToMetricFamilies(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%d: %v", res.StatusCode, err)
	}
	for name, family := range families {
		if s[name] == nil {
			s[name] = map[string]bool{}
		}
		for _, m := range family.GetMetric() {
			for _, l := range m.GetLabel() {
				s[name][l.GetName()] = true
			}
		}
	}
}

// family is the name that a series belongs to.
func (s scraped) family(series string) (string, bool) {
	for _, name := range []string{series, strings.TrimSuffix(series, "_bucket"), strings.TrimSuffix(series, "_sum"), strings.TrimSuffix(series, "_count")} {
		if _, there := s[name]; there {
			return name, true
		}
	}
	return "", false
}

// After a short story each name of the catalogue is exported, with its attributes and
// no others, and nothing else is but what has a documented prefix. A trace goes from
// HTTP to SQL and to the model. Dashboard and alerts ask for what is exported.
func TestWhatIsMeasured(t *testing.T) {
	t.Parallel()
	c := startCollector(t)
	sink, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sink.Close() })
	m := newModelDesk(t)
	for name, text := range map[string]string{
		"sinks.yaml":  fmt.Sprintf("version: 1\nsinks:\n  - name: soc\n    syslog: {address: %q, transport: tcp}\n", sink.Addr()),
		"places.yaml": "version: 1\ndestinations:\n  - name: archive\n    file: {dir: " + m.Path("measured") + "}\n",
	} {
		keep(t, m.Path(name), []byte(text))
	}
	if err := os.Mkdir(m.Path("measured"), 0o755); err != nil {
		t.Fatal(err)
	}
	m.measured(t, c, "FINOBS_SINKS="+m.Path("sinks.yaml"), "FINOBS_DESTINATIONS="+m.Path("places.yaml"))
	approval, run := m.story(t)
	got := scraped{}
	t.Run("every name is exported, and no other", func(t *testing.T) { m.exported(t, got) })
	t.Run("a collector gets the same names", func(t *testing.T) {
		for _, i := range telemetry.Catalogue() {
			eventually(t, i.Name+" is at the collector", func() bool {
				c.mu.Lock()
				defer c.mu.Unlock()
				return c.names[i.Name]
			})
		}
	})
	t.Run("one trace from HTTP to SQL and to the model", func(t *testing.T) { m.oneTrace(t, c, approval, run) })
	t.Run("dashboard and alerts ask for what is exported", got.asked)
}

// story has everything happen once that is measured when it happens.
func (m *modelDesk) story(t *testing.T) (approval, run string) {
	t.Helper()
	eventually(t, "the worker knows the destination", func() bool {
		return count(t, m.stack, "SELECT count(*) FROM finobs.destination WHERE name = 'archive'") == 1
	})
	want(t, m.call(t, "", "GET", "/incidents", ""), http.StatusUnauthorized)
	ingestTo(t, m.stack, "alertmanager", alertBody("measured", "firing", "critical", time.Now().Add(-time.Minute)))
	m.detects(t, detect.TradeBreaks)
	path := fmt.Sprintf("/incidents/export?format=ndjson&destination=archive&desk=T%d", unique.Add(1))
	asked := exportCase{m.stack, path, want(t, m.call(t, "alice", "POST", path, ""), http.StatusAccepted).str("approval_request_id")}
	asked.untilStatus(t, "pending")
	want(t, asked.decide(t, "bob", "approve"), http.StatusOK)
	eventually(t, "the export is delivered", func() bool {
		return count(t, m.stack, "SELECT count(*) FROM finobs.export WHERE approval_id = $1::bigint AND delivery_status = 'delivered'", asked.id) == 1
	})
	i := m.incident(t, "failed_settlement", "high", "Settlement S-1 failed", "82,000 shares of AAPL to GALE")
	m.mu.Lock()
	m.script[i.id] = []llmtest.Reply{m.about(t, i.id, llmtest.Good)}
	m.mu.Unlock()
	request := m.wants(t, "/agent/triage", fmt.Sprintf(`{"incident_id":%s,"targets":["settlement:S-1"]}`, i.id))
	m.lets(t, request)
	judged := m.runOf(t, request)
	if !judged.Model {
		t.Fatalf("the model did not answer: %s", judged.Fallback)
	}
	want(t, m.call(t, "carol", "POST", fmt.Sprintf("/agent/runs/%d/override", judged.ID),
		fmt.Sprintf(`{"field":"category","chosen":%q,"reason":"seen on the floor"}`, judged.Result.Category)), http.StatusOK)
	waiting := m.ask(t) // stays pending
	m.enqueue(t, waiting.id)
	return asked.id, request
}

// enqueue puts a notification into the outbox over a channel that nobody has, where it
// stays.
func (m *modelDesk) enqueue(t *testing.T, approval string) {
	t.Helper()
	if err := exec1(m.stack, `INSERT INTO finobs.notification (notification_id, approval_id, occasion, kind, channel, recipients, subject, body,
			while_pending, status, trace_id, created_at, updated_at)
		VALUES (gen_random_uuid(), `+approval+`, 'test', 'test', 'nobody', '[]', 's', 'b', false, 'sending', '', now(), now())`); err != nil {
		t.Fatal(err)
	}
}

func (m *modelDesk) exported(t *testing.T, got scraped) {
	processes := []string{"api", "worker", "sequencer"}
	for _, i := range telemetry.Catalogue() {
		name := i.Prometheus()
		eventually(t, name+" is exported", func() bool {
			for _, p := range processes {
				got.add(t, scrapeAddress(t, m.stack, p))
			}
			return got[name] != nil
		})
		labels := i.Labels()
		for label := range got[name] {
			if !slices.Contains(labels, label) {
				t.Errorf("%s has the label %s, which the catalogue does not list", name, label)
			}
		}
		for _, label := range labels {
			if !got[name][label] {
				t.Errorf("%s lacks the label %s", name, label)
			}
		}
	}
	var listed []string
	for _, i := range telemetry.Catalogue() {
		listed = append(listed, i.Prometheus())
	}
	temporal := 0
	for name := range got {
		prefixed := slices.ContainsFunc(telemetry.RuntimePrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
		if strings.HasPrefix(name, telemetry.TemporalPrefix) {
			temporal, prefixed = temporal+1, true
		}
		if !prefixed && !slices.Contains(listed, name) {
			t.Errorf("%s is exported and stands nowhere", name)
		}
	}
	if temporal < 20 {
		t.Errorf("only %d names are of Temporal's SDK", temporal)
	}
}

// variables stand in queries for what Grafana puts there.
var variables = regexp.MustCompile(`\$__rate_interval|\$__interval|\$__range`)

// asked parses each query of the dashboard and of the rules, and looks for what it
// asks in what is exported.
func (s scraped) asked(t *testing.T) {
	s["up"] = map[string]bool{} // Prometheus' own
	queries := dashboardQueries(t)
	if len(queries) < 40 {
		t.Errorf("the dashboard has only %d queries", len(queries))
	}
	maps.Copy(queries, alertQueries(t))
	for where, query := range queries {
		expr, err := parser.NewParser(parser.Options{}).ParseExpr(variables.ReplaceAllString(query, "5m"))
		if err != nil {
			t.Errorf("%s: %v: %s", where, err, query)
			continue
		}
		s.askedBy(t, where, expr)
	}
}

func (s scraped) askedBy(t *testing.T, where string, expr parser.Expr) {
	known := map[string]bool{"le": true, "instance": true, "job": true}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		selector, is := node.(*parser.VectorSelector)
		if !is {
			return nil
		}
		name, there := s.family(selector.Name)
		if !there {
			t.Errorf("%s: nobody exports %s", where, selector.Name)
			return nil
		}
		maps.Copy(known, s[name])
		for _, m := range selector.LabelMatchers {
			if m.Name != model.MetricNameLabel && !known[m.Name] {
				t.Errorf("%s: %s has no label %s", where, selector.Name, m.Name)
			}
		}
		return nil
	})
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if a, is := node.(*parser.AggregateExpr); is {
			for _, label := range a.Grouping {
				if !known[label] {
					t.Errorf("%s: groups by %s, which nothing in it has", where, label)
				}
			}
		}
		return nil
	})
}

// dashboardQueries are the queries of the dashboard, by the titles of their panels.
func dashboardQueries(t *testing.T) map[string]string {
	t.Helper()
	type panel struct {
		Title   string
		Type    string
		Targets []struct{ Expr, RefID string }
		Panels  []panel
	}
	text, err := os.ReadFile("../deploy/grafana/finobs.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct{ Panels []panel }
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	var walk func([]panel)
	walk = func(panels []panel) {
		for _, p := range panels {
			if p.Type != "row" && len(p.Targets) == 0 {
				t.Errorf("panel %q asks for nothing", p.Title)
			}
			for _, q := range p.Targets {
				out["panel "+p.Title+" "+q.RefID] = q.Expr
			}
			walk(p.Panels)
		}
	}
	walk(board.Panels)
	return out
}

// alertQueries are the expressions of the rules of Prometheus, by their names.
func alertQueries(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../deploy/prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr         string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if r.Alert == "" || r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["runbook"] == "" {
				t.Errorf("rule %q lacks a name, a severity, a summary or a runbook", r.Alert)
			}
			out["alert "+r.Alert] = r.Expr
		}
	}
	if len(out) < 8 {
		t.Errorf("only %d alerts", len(out))
	}
	return out
}
