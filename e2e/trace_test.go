package e2e_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
)

// spans is an OpenTelemetry collector that keeps the names of spans by trace.
type spans struct {
	collector.UnimplementedTraceServiceServer
	mu      sync.Mutex
	byTrace map[string][]string
}

func (s *spans) Export(_ context.Context, in *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, resource := range in.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				id := hex.EncodeToString(span.GetTraceId())
				s.byTrace[id] = append(s.byTrace[id], span.GetName())
			}
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

func (s *spans) of(trace string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.byTrace[trace], "\n")
}

// The trace of a request goes on through workflow and activity down to SQL.
func TestSpansReachTheCollector(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	received := &spans{byTrace: map[string][]string{}}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, received)
	go server.Serve(l) //nolint:errcheck // Stop ends it
	defer server.Stop()
	env := []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + l.Addr().String(), "OTEL_BSP_SCHEDULE_DELAY=200"}
	withTelemetry(t, env...)
	r := want(t, world.call(t, "alice", "POST", "/incidents", `{"kind":"other","severity":"low","title":"spans"}`), http.StatusCreated)
	trace := r.Header.Get("X-Trace-Id")
	wanted := []string{"/incidents", "StartWorkflow:OpenIncident", "RunWorkflow:OpenIncident", "RunActivity:RecordIncident", "sql."}
	eventually(t, "every span of trace "+trace+" is at the collector", func() bool {
		for _, name := range wanted {
			if !strings.Contains(received.of(trace), name) {
				return false
			}
		}
		return true
	})
}

func TestAnAbsentCollectorChangesNothing(t *testing.T) {
	withTelemetry(t, "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_BSP_SCHEDULE_DELAY=100")
	for i := range 5 {
		want(t, world.call(t, "alice", "POST", "/incidents", fmt.Sprintf(`{"kind":"other","severity":"low","title":"no collector %d"}`, i)), http.StatusCreated)
	}
	if err := world.api.Stop(); err != nil {
		t.Errorf("stopping: %v", err)
	}
}

// withTelemetry runs API and worker with other settings for one test.
func withTelemetry(t *testing.T, env ...string) {
	t.Helper()
	restartAPI(t, env...)
	if err := world.worker.Kill(); err != nil {
		t.Fatal(err)
	}
	var err error
	if world.worker, err = world.Launch("worker", env, bin+"/finobs", "worker"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		restartAPI(t)
		world.restartWorker(t, "")
	})
}
