package e2e_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"finobs/internal/devstack"
	"finobs/internal/telemetry"

	metrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	traces "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc"
)

// collectorOf is a collector that keeps what it is sent: spans by their ids, and the
// names of metrics.
type collectorOf struct {
	traces.UnimplementedTraceServiceServer
	url   string
	mu    sync.Mutex
	spans map[string]*tracepb.Span
	names map[string]bool
}

// metricsOf is its other service, whose method has the same name.
type metricsOf struct {
	metrics.UnimplementedMetricsServiceServer
	*collectorOf
}

func startCollector(t *testing.T) *collectorOf {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &collectorOf{url: "http://" + l.Addr().String(), spans: map[string]*tracepb.Span{}, names: map[string]bool{}}
	server := grpc.NewServer()
	traces.RegisterTraceServiceServer(server, c)
	metrics.RegisterMetricsServiceServer(server, metricsOf{collectorOf: c})
	go server.Serve(l) //nolint:errcheck // Stop ends it
	t.Cleanup(server.Stop)
	return c
}

func (c *collectorOf) Export(_ context.Context, in *traces.ExportTraceServiceRequest) (*traces.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range in.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				c.spans[hex.EncodeToString(span.GetSpanId())] = span
			}
		}
	}
	return &traces.ExportTraceServiceResponse{}, nil
}

func (m metricsOf) Export(_ context.Context, in *metrics.ExportMetricsServiceRequest) (*metrics.ExportMetricsServiceResponse, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, resource := range in.GetResourceMetrics() {
		for _, scope := range resource.GetScopeMetrics() {
			for _, metric := range scope.GetMetrics() {
				m.names[metric.GetName()] = true
			}
		}
	}
	return &metrics.ExportMetricsServiceResponse{}, nil
}

// path is the names of the spans from the root to the given one.
func (c *collectorOf) path(s *tracepb.Span) []string {
	var out []string
	for ; s != nil; s = c.spans[hex.EncodeToString(s.GetParentSpanId())] {
		out = append([]string{s.GetName()}, out...)
		if len(s.GetParentSpanId()) == 0 {
			return out
		}
	}
	return nil // a parent is missing
}

// has reports whether a span of a trace lies under spans with the given beginnings of
// their names, the first of which is the root.
func (c *collectorOf) has(trace string, under ...string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if hex.EncodeToString(s.GetTraceId()) != trace {
			continue
		}
		path, i := c.path(s), 0
		if len(path) == 0 || !strings.HasPrefix(path[0], under[0]) {
			continue
		}
		for _, name := range path {
			if i < len(under) && strings.HasPrefix(name, under[i]) {
				i++
			}
		}
		if i == len(under) {
			return true
		}
	}
	return false
}

// entry finds the span in which an entry of the ledger was written.
func (c *collectorOf) entry(id string) (span *tracepb.Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		for _, e := range s.GetEvents() {
			if attr(e.GetAttributes(), telemetry.SpanEntryID) == id {
				return s
			}
		}
	}
	return nil
}

func attr(list []*common.KeyValue, key string) string {
	for _, a := range list {
		if a.GetKey() == key {
			return a.GetValue().GetStringValue()
		}
	}
	return ""
}

// pushing has processes send to the collector, often.
func (c *collectorOf) pushing() []string { return pushingTo(c.url) }

func pushingTo(url string) []string {
	return []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + url, "OTEL_BSP_SCHEDULE_DELAY=100", "OTEL_METRIC_EXPORT_INTERVAL=300"}
}

// oneTrace follows a gated export, and what an agent asked of a model, from HTTP down
// to SQL and to the model; and the ledger's entries to their spans and back.
func (m *modelDesk) oneTrace(t *testing.T, c *collectorOf, approval, run string) {
	t.Helper()
	for id, chains := range map[string][][]string{
		approval: {
			{"POST /incidents/export", "StartWorkflow:Export", "RunWorkflow:Export", "RunActivity:OpenRequest", "sql."},
			{"POST /incidents/export", "RunWorkflow:Export", "RunActivity:GenerateExport", "sql."},
		},
		run: {{"POST /agent/triage", "RunWorkflow:", "RunActivity:Analyse", "model POST /v1/chat/completions"}},
	} {
		trace := text(t, m.stack, "SELECT trace_id FROM finobs.approval_request WHERE approval_id = $1::bigint", id)
		for _, chain := range chains {
			eventually(t, fmt.Sprintf("trace %s has %v", trace, chain), func() bool { return c.has(trace, chain...) })
		}
	}
	rows, err := m.superuser.Query("SELECT entry_id, trace_id, type FROM ledger.entry WHERE subject_kind = 'approval' AND subject_id = $1", approval)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	entries := 0
	for rows.Next() {
		var id, trace, typ string
		if err := rows.Scan(&id, &trace, &typ); err != nil {
			t.Fatal(err)
		}
		entries++
		eventually(t, "entry "+typ+" is on a span", func() bool { return c.entry(id) != nil })
		if on := c.entry(id); attr(on.GetAttributes(), telemetry.SpanApprovalID) != approval {
			t.Errorf("the span %s of entry %s names the approval %q", on.GetName(), typ, attr(on.GetAttributes(), telemetry.SpanApprovalID))
		}
		if !c.has(trace, "") {
			t.Errorf("entry %s names trace %s, of which no span arrived", typ, trace)
		}
	}
	if entries < 2 || rows.Err() != nil {
		t.Errorf("%d entries about approval %s: %v", entries, approval, rows.Err())
	}
}

// blackHoles are collectors that never answer.
var blackHoles = map[string]func(*testing.T) string{
	"accepts and is silent":  silentCollector,
	"does not even connect":  unreachableCollector,
	"is not there":           func(*testing.T) string { return "http://127.0.0.1:1" },
	"hangs up on everything": rudeCollector,
}

func silentCollector(t *testing.T) string {
	return accepting(t, func(c net.Conn) { t.Cleanup(func() { c.Close() }) })
}

func rudeCollector(t *testing.T) string { return accepting(t, func(c net.Conn) { c.Close() }) }

func accepting(t *testing.T, each func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			each(c)
		}
	}()
	return "http://" + l.Addr().String()
}

// unreachableCollector has a full backlog: the kernel drops whoever wants to connect,
// as a firewall does.
func unreachableCollector(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for range 10 {
		c, err := net.DialTimeout("tcp", address, 200*time.Millisecond)
		if err != nil {
			return "http://" + address
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("the backlog does not fill up")
	return ""
}

// A collector that is silent, out of reach, away or rude changes nothing: requests
// take as long as without one, the log says it once, the state says so, and the
// process stops in time.
func TestACollectorThatDoesNotAnswerChangesNothing(t *testing.T) {
	t.Parallel()
	s := ownStack(t)
	for name, start := range blackHoles {
		t.Run(name, func(t *testing.T) { s.withoutAnswer(t, start(t)) })
	}
}

func (s *stack) withoutAnswer(t *testing.T, url string) {
	name := fmt.Sprintf("api-%d", unique.Add(1))
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	env := append(pushingTo(url), "FINOBS_LISTEN="+address, "FINOBS_ANSWER_WAIT=5s", "OTEL_EXPORTER_OTLP_TIMEOUT=400")
	other, err := s.Launch(name, env, filepath.Join(bin, "finobs"), "api")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Kill() }) //nolint:errcheck // it may be dead already
	token := s.token(t, "alice", "analyst")
	eventually(t, "the other API answers", func() bool {
		r, err := send(t, token, "GET", "http://"+address+"/incidents", "")
		return err == nil && r.Status == http.StatusOK
	})
	const requests = 400
	var with, without []time.Duration
	for i := range requests { // in turn, so that whatever else this machine does hits both
		for base, list := range map[string]*[]time.Duration{address: &with, s.APIAddress: &without} {
			began := time.Now()
			method, path, body, status := "GET", "/incidents", "", http.StatusOK
			if i%20 == 0 {
				method, body, status = "POST", fmt.Sprintf(`{"kind":"other","severity":"low","title":"no answer %d"}`, unique.Add(1)), http.StatusCreated
			}
			// A worker that is slow to record it is no matter of telemetry: 202 then.
			if r := callURL(t, token, method, "http://"+base+path, body); r.Status != http.StatusAccepted || method == "GET" {
				want(t, r, status)
			}
			if i >= requests/10 { // the other API has prepared its statements by then
				*list = append(*list, time.Since(began))
			}
		}
	}
	t.Logf("median %v with, %v without; p95 %v with, %v without", quantile(with, .5), quantile(without, .5), quantile(with, .95), quantile(without, .95))
	// A millisecond is what this machine's other work makes of it; who waits for a
	// collector waits for hundreds.
	if with, without := quantile(with, .5), quantile(without, .5); with > without*13/10+time.Millisecond {
		t.Errorf("half of the requests take %v, and %v without a collector", with, without)
	}
	eventually(t, "the state says that the collector takes nothing", func() bool {
		r := callURL(t, "", "GET", "http://"+address+"/readyz?verbose", "")
		var answer struct{ Exporters []telemetry.ExporterState }
		if r.Status != http.StatusOK || json.Unmarshal(r.Body, &answer) != nil || len(answer.Exporters) != 2 {
			t.Fatalf("%d %s", r.Status, r.Body)
		}
		traces, metrics := answer.Exporters[0], answer.Exporters[1]
		return traces.State == telemetry.Down && metrics.State == telemetry.Down && traces.Dropped > 0 && traces.LastSuccess == nil &&
			traces.LastError != "" && !strings.Contains(string(r.Body), strings.TrimPrefix(url, "http://"))
	})
	began := time.Now()
	if err := other.Stop(); err != nil {
		t.Errorf("stopping: %v", err)
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("stopping took %v", took)
	}
	log, err := os.ReadFile(s.Path("logs", name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(log), "collector does not take"); n != 2 || strings.Count(string(log), "\n") > 12 {
		t.Errorf("%d lines about the collector, 2 wanted, one for each signal:\n%s", n, log)
	}
}

func quantile(list []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[int(q*float64(len(sorted)-1))]
}

// A setting that is wrong is refused by name; without a collector the state says off.
func TestSettingsOfTelemetry(t *testing.T) {
	for env, wanted := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=collector:4317": "OTEL_EXPORTER_OTLP_ENDPOINT: a URL such as http://collector:4317 is needed",
		"FINOBS_METRICS_LISTEN=" + world.APIAddress:  "FINOBS_METRICS_LISTEN: listen tcp",
	} {
		p, err := world.Launch("refused", []string{env}, filepath.Join(bin, "finobs"), "sequencer")
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-p.Done():
		case <-time.After(20 * time.Second):
			p.Kill() //nolint:errcheck // it may be dead already
			t.Errorf("%s is taken", env)
		}
		if log, err := os.ReadFile(world.Path("logs", "refused.log")); err != nil || !strings.Contains(string(log), wanted) {
			t.Errorf("%s: the log does not say %q: %v\n%s", env, wanted, err, log)
		}
	}
	if r := want(t, world.call(t, "", "GET", "/readyz?verbose", ""), http.StatusOK); !strings.Contains(string(r.Body), `"signal":"traces","state":"off"`) {
		t.Errorf("without a collector: %s", r.Body)
	}
	if r := want(t, world.call(t, "", "GET", "/readyz", ""), http.StatusOK); strings.Contains(string(r.Body), "exporters") {
		t.Errorf("without verbose: %s", r.Body)
	}
	for _, path := range []string{"/metrics", "/api/metrics"} {
		want(t, world.call(t, "dave", "GET", path, ""), http.StatusNotFound) // nothing of it is on the public address
	}
}

func TestCommandsOfTheTelemetry(t *testing.T) {
	restartAPI(t, "FINOBS_METRICS_LISTEN=127.0.0.1:0")
	t.Cleanup(func() { restartAPI(t) })
	t.Setenv("METRICS", scrapeAddress(t, world, "api"))
	runCommandsOf(t, "../docs/telemetry.md", "finobs_approval_pending ", "# TYPE finobs_", `"signal":"traces"`)
}

// The collector's file is YAML in which every part that a pipeline names is there, and
// what processes send to is what it listens at.
func TestTheSampleCollector(t *testing.T) {
	text, err := os.ReadFile("../deploy/otel/collector.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Receivers, Processors, Exporters, Extensions map[string]any
		Service                                      struct {
			Extensions []string
			Pipelines  map[string]struct{ Receivers, Processors, Exporters []string }
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	named := func(where string, names []string, in map[string]any) {
		if len(names) == 0 {
			t.Errorf("%s: none", where)
		}
		for _, name := range names {
			if _, there := in[name]; !there {
				t.Errorf("%s: %s is not there", where, name)
			}
		}
	}
	named("extensions", file.Service.Extensions, file.Extensions)
	for _, signal := range []string{telemetry.Traces, telemetry.Metrics} {
		p := file.Service.Pipelines[signal]
		named(signal+" receivers", p.Receivers, file.Receivers)
		named(signal+" processors", p.Processors, file.Processors)
		named(signal+" exporters", p.Exporters, file.Exporters)
	}
	for _, endpoint := range []string{"grpc: {endpoint: 0.0.0.0:4317}", "http: {endpoint: 0.0.0.0:4318}"} {
		if !strings.Contains(string(text), endpoint) {
			t.Errorf("it does not listen at %s", endpoint)
		}
	}
}

var servedAt = regexp.MustCompile(`metrics served.*address=(\S+)`)

// scrapeAddress is where a process that was told to listen on any port is scraped.
func scrapeAddress(t *testing.T, s *stack, name string) (address string) {
	t.Helper()
	eventually(t, name+" serves metrics", func() bool {
		log, err := os.ReadFile(s.Path("logs", name+".log"))
		found := servedAt.FindAllStringSubmatch(string(log), -1)
		if err != nil || len(found) == 0 {
			return false
		}
		address = strings.Trim(found[len(found)-1][1], `"`)
		return true
	})
	return address
}

// measured restarts the processes of a desk so that they are scraped, and push.
func (m *modelDesk) measured(t *testing.T, c *collectorOf, env ...string) {
	t.Helper()
	env = append(append(c.pushing(), "FINOBS_METRICS_LISTEN=127.0.0.1:0"), env...)
	for _, p := range []*devstack.Process{m.api, m.worker, m.sequencer} {
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if m.sequencer, err = m.Launch("sequencer", env, filepath.Join(bin, "finobs"), "sequencer"); err != nil {
		t.Fatal(err)
	}
	if err := m.startAPI(env...); err != nil {
		t.Fatal(err)
	}
	m.env = append(m.env, env...)
	m.work(t, "")
}
