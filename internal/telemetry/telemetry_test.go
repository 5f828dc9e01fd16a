package telemetry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"finobs/internal/telemetry"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"pgregory.net/rapid"
)

// lines is a log that may be written to by several.
type lines struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(p)
}

func (l *lines) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.String(), part)
}

// start starts telemetry with OpenTelemetry's variables, which are the process's: the
// tests of this package run one after another.
func start(t *testing.T, listen string, env map[string]string) (*telemetry.Telemetry, *lines, error) {
	t.Helper()
	for _, e := range os.Environ() {
		if name, _, _ := strings.Cut(e, "="); strings.HasPrefix(name, "OTEL_") {
			t.Setenv(name, "")
		}
	}
	for name, value := range env {
		t.Setenv(name, value)
	}
	log := &lines{}
	out, err := telemetry.Start(t.Context(), telemetry.Options{Service: "test", Version: "1", Listen: listen, Log: slog.New(slog.NewTextHandler(log, nil))})
	if err == nil {
		t.Cleanup(out.Stop)
	}
	return out, log, err
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("waited in vain until %s", what)
}

func TestSettings(t *testing.T) {
	for _, c := range []struct {
		env      map[string]string
		protocol string // of traces; empty: off
		err      string
		retired  bool
	}{
		{env: nil},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317"}, protocol: "grpc"},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, protocol: "http/protobuf"},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:55681"}, protocol: "http/protobuf", retired: true},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "https://c.example:443", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, protocol: "http/protobuf"},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, protocol: "grpc"},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:4317"}},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317", "OTEL_TRACES_EXPORTER": "none"}},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "127.0.0.1:4317"}, err: "OTEL_EXPORTER_OTLP_ENDPOINT: a URL"},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "ftp://x"}, err: "OTEL_EXPORTER_OTLP_ENDPOINT: a URL"},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "://"}, err: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: a URL"},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
			err: `OTEL_EXPORTER_OTLP_PROTOCOL: "http/json" is not spoken here; use grpc or http/protobuf`},
	} {
		t.Run(fmt.Sprint(c.env), func(t *testing.T) {
			got, log, err := start(t, "", c.env)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			states := got.Exporters()
			if len(states) != 2 || states[0].Signal != telemetry.Traces || states[0].Protocol != c.protocol || (states[0].State == telemetry.Off) != (c.protocol == "") {
				t.Errorf("got %+v", states)
			}
			if (log.count("port 55681 of collectors is retired") > 0) != c.retired {
				t.Errorf("the log says %s", log)
			}
		})
	}
}

// A collector over HTTP that fails, takes, and fails: the log has a line for each
// change, the state tells which it is, and what was not taken is counted.
func TestStateOfExporters(t *testing.T) {
	var fails atomic.Bool
	var took atomic.Int64
	fails.Store(true)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || len(body) == 0 {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		if fails.Load() {
			http.Error(w, "secret of the collector", http.StatusBadRequest)
			return
		}
		if r.URL.Path == "/v1/traces" {
			took.Add(1)
		}
	}))
	defer server.Close()
	got, log, err := start(t, "", map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": server.URL, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_BSP_SCHEDULE_DELAY": "20", "OTEL_METRIC_EXPORT_INTERVAL": "20",
	})
	if err != nil {
		t.Fatal(err)
	}
	if s := got.Exporters()[0]; s.State != telemetry.Waiting || s.LastSuccess != nil || s.LastErrorAt != nil {
		t.Errorf("at first %+v", s)
	}
	span := func() {
		_, s := otel.Tracer("test").Start(t.Context(), "x")
		s.End()
	}
	both := func(state string) func() bool {
		return func() bool {
			span()
			s := got.Exporters()
			return s[0].State == state && s[1].State == state
		}
	}
	eventually(t, "it is down", both(telemetry.Down))
	if s := got.Exporters()[0]; s.Dropped == 0 || s.LastError != "refused" || s.LastErrorAt == nil || s.LastSuccess != nil {
		t.Errorf("down: %+v", s)
	}
	for range 10 {
		span()
		time.Sleep(25 * time.Millisecond)
	}
	fails.Store(false)
	eventually(t, "it is up", both(telemetry.Up))
	if s := got.Exporters()[0]; s.LastSuccess == nil || s.LastErrorAt == nil || took.Load() == 0 {
		t.Errorf("up: %+v", s)
	}
	fails.Store(true)
	eventually(t, "it is down again", both(telemetry.Down))
	if down, up := log.count("does not take traces"), log.count("takes traces"); down != 2 || up != 1 {
		t.Errorf("%d lines down, %d up:\n%s", down, up, log)
	}
}

// With a collector that never answers, spans beyond the bound are counted as dropped,
// none waits, and the end is bounded.
func TestNothingWaitsForACollector(t *testing.T) {
	released := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) //nolint:errcheck // the client gives up
		select {
		case <-released:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(released)
	got, _, err := start(t, "", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": server.URL, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"})
	if err != nil {
		t.Fatal(err)
	}
	const spans, kept = 20_000, 4096
	began := time.Now()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range spans / 4 {
				_, s := otel.Tracer("test").Start(context.Background(), "x")
				s.End()
			}
		})
	}
	all.Wait()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("%d spans took %v", spans, took)
	}
	if s := got.Exporters()[0]; s.Dropped != spans-kept {
		t.Errorf("%d spans were dropped, %d wanted", s.Dropped, spans-kept)
	}
	began = time.Now()
	got.Stop()
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("stopping took %v", took)
	}
}

func scrape(t *testing.T, address string) string {
	t.Helper()
	res, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%d %v", res.StatusCode, err)
	}
	return string(text)
}

// Whatever is recorded under whatever name with whatever attributes, only what the
// catalogue lists is exported, with few values.
func TestOnlyTheCatalogueIsExported(t *testing.T) {
	got, _, err := start(t, "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	meter := otel.Meter("somebody")
	stranger, err1 := meter.Int64Counter("finobs.made.up")
	sdk, err2 := meter.Float64Histogram("temporal_made_up", metric.WithUnit("s"))
	request, err3 := meter.Float64Histogram("http.server.request.duration", metric.WithUnit("s"))
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	stranger.Add(t.Context(), 1)
	sdk.Record(t.Context(), .2, metric.WithAttributes(attribute.String("activity_type", "X")))
	request.Record(t.Context(), .2, metric.WithAttributes(attribute.String("http.route", "/approval/:id"), attribute.String("url.path", "/approval/42")))
	for i := range 500 {
		telemetry.Decisions.Add(t.Context(), 1, telemetry.Family.Of(fmt.Sprintf("kind%d", i)), telemetry.Verdict.Of("approve"), attribute.String("approval_id", "42"))
		telemetry.AgentCost.Add(t.Context(), 1, telemetry.Desk.Of(fmt.Sprintf("D%d", i)))
	}
	telemetry.RequestLatency.Record(t.Context(), -3, telemetry.Family.Of("export"))
	text := scrape(t, got.Address())
	for part, there := range map[string]bool{
		"made_up_total": false, `temporal_made_up_seconds_bucket{activity_type="X",le="0.25"} 1`: true, "approval_id": false, "/approval/42": false,
		`http_server_request_duration_seconds_count{http_route="/approval/:id"} 1`: true,
		`finobs_approval_decisions_total{kind="other",verdict="approve"} 500`:      true,
		`finobs_agent_cost_usd_total{desk="other"} 450`:                            true,
		`finobs_approval_request_latency_seconds_sum{kind="export"} 0`:             true,
		"go_goroutines": true, "process_resident_memory_bytes": true, `service_name="test"`: true,
	} {
		if strings.Contains(text, part) != there {
			t.Errorf("%q is there: %v\n%s", part, !there, text)
		}
	}
	if n := strings.Count(text, "finobs_agent_cost_usd_total{"); n != 51 {
		t.Errorf("%d desks", n)
	}
	if res, err := http.Get("http://" + got.Address() + "/"); err != nil || res.StatusCode != http.StatusNotFound {
		t.Errorf("there is something besides /metrics: %v", err)
	}
}

// What cannot be read is not shown.
func TestGaugesThatCannotBeReadShowNothing(t *testing.T) {
	got, _, err := start(t, "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	var broken atomic.Bool
	hide, err := telemetry.Show(func(ctx context.Context) ([]telemetry.Reading, error) {
		if _, bounded := ctx.Deadline(); !bounded {
			t.Error("a look at gauges has no bound")
		}
		if broken.Load() {
			return nil, errors.New("the database is away")
		}
		return []telemetry.Reading{telemetry.Pending.Is(7)}, nil
	}, telemetry.Pending)
	if err != nil {
		t.Fatal(err)
	}
	const shown = "finobs_approval_pending 7"
	if text := scrape(t, got.Address()); !strings.Contains(text, shown) {
		t.Errorf("it is not shown:\n%s", text)
	}
	broken.Store(true)
	if text := scrape(t, got.Address()); strings.Contains(text, shown) || !strings.Contains(text, "go_goroutines") {
		t.Errorf("what cannot be read is shown:\n%s", text)
	}
	broken.Store(false)
	hide()
	if text := scrape(t, got.Address()); strings.Contains(text, shown) {
		t.Errorf("what is hidden is shown:\n%s", text)
	}
}

func TestAttributesAreBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := map[string]bool{}
		for _, v := range rapid.SliceOfN(rapid.String(), 0, 300).Draw(t, "values") {
			values[telemetry.Verdict.Of(v).Value.AsString()] = true
		}
		for v := range values {
			if v != "approve" && v != "reject" && v != "other" && v != "none" {
				t.Fatalf("%q is a value", v)
			}
		}
	})
}

func TestNamesAreSound(t *testing.T) {
	seen := map[string]bool{}
	for _, i := range telemetry.Catalogue() {
		if seen[i.Prometheus()] || i.Description == "" || len(i.Attributes) > 4 || (i.Kind == telemetry.Histogram) != (len(i.Buckets) > 0) {
			t.Errorf("%+v", *i)
		}
		seen[i.Prometheus()] = true
		if !i.Library && !strings.HasPrefix(i.Name, "finobs.") {
			t.Errorf("%s does not begin with finobs.", i.Name)
		}
	}
}

// docs/telemetry.md has every instrument, as it is.
func TestTheDocsListEveryName(t *testing.T) {
	docs, err := os.ReadFile("../../docs/telemetry.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, i := range telemetry.Catalogue() {
		row := fmt.Sprintf("| `%s` | %s | %s | %s |\n", i.Prometheus(), i.Kind, strings.Join(i.Labels(), ", "), i.Description)
		if !strings.Contains(string(docs), row) {
			t.Errorf("docs/telemetry.md lacks\n%s", row)
		}
		rows++
	}
	if n := strings.Count(string(docs), "\n| `"); n < rows {
		t.Errorf("%d rows for %d instruments", n, rows)
	}
}
