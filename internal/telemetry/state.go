package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Signals.
const (
	Traces  = "traces"
	Metrics = "metrics"
)

// States of an exporter.
const (
	Off     = "off"     // no collector is configured
	Waiting = "waiting" // nothing was sent yet
	Up      = "up"      // the collector took what it was sent last
	Down    = "down"    // it did not
)

// ExporterState is how an exporter is doing. It says nothing of where the collector
// is: everybody may ask for it.
type ExporterState struct {
	Signal      string     `json:"signal"`
	State       string     `json:"state"`
	Protocol    string     `json:"protocol,omitempty"`
	LastSuccess *time.Time `json:"last_success"`
	LastError   string     `json:"last_error,omitempty"` // what kind of error; the log has all of it
	LastErrorAt *time.Time `json:"last_error_at"`
	Dropped     int64      `json:"dropped"` // spans that no collector has; metrics are totals, of which none is lost
}

// exporter keeps the state of one signal.
type exporter struct {
	mu      sync.Mutex
	state   ExporterState
	dropped atomic.Int64
	log     *slog.Logger
	target  string // where the collector is, for the log
}

// State is a snapshot.
func (e *exporter) State() ExporterState {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := e.state
	out.Dropped = e.dropped.Load()
	return out
}

// drop counts spans that no collector will have.
func (e *exporter) drop(n int) {
	e.dropped.Add(int64(n))
	SpansDropped.Add(context.Background(), float64(n))
}

// ended takes what became of one export. A change between up and down is one line of
// the log, however many exports fail after it.
func (e *exporter) ended(err error) {
	if errors.Is(err, context.Canceled) {
		return // the process stops, which says nothing of the collector
	}
	now := time.Now().UTC()
	e.mu.Lock()
	defer e.mu.Unlock()
	was := e.state.State
	if err == nil {
		e.state.State, e.state.LastSuccess = Up, &now
		if was != Up {
			e.log.Info("collector takes "+e.state.Signal, "collector", e.target)
		}
		return
	}
	e.state.State, e.state.LastError, e.state.LastErrorAt = Down, classOf(err), &now
	if was != Down {
		e.log.Warn("collector does not take "+e.state.Signal+"; nothing else changes, and it is tried again",
			"collector", e.target, "error", err)
	}
}

// classOf says what kind of error it is without saying where the collector is.
func classOf(err error) string {
	var network *net.OpError
	var timeout interface{ Timeout() bool }
	s, remote := status.FromError(err)
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout(), remote && s.Code() == codes.DeadlineExceeded:
		return "no answer in time"
	case remote && s.Code() == codes.Unavailable, errors.As(err, &network):
		return "not reachable"
	case remote:
		return "refused: " + s.Code().String()
	default:
		return "refused"
	}
}

// spanExporter keeps the state of an exporter of spans.
type spanExporter struct {
	sdktrace.SpanExporter
	*exporter
	pending *atomic.Int64
}

// ExportSpans implements sdktrace.SpanExporter.
func (s spanExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := s.SpanExporter.ExportSpans(ctx, spans)
	s.pending.Add(-int64(len(spans)))
	if err != nil {
		s.drop(len(spans))
	}
	s.ended(err)
	return err
}

// boundedSpans is a processor that keeps at most maxPending spans for the collector
// and counts those that it does not keep: the SDK's own queue does not say.
type boundedSpans struct {
	sdktrace.SpanProcessor
	*exporter
	pending *atomic.Int64
}

// OnEnd implements sdktrace.SpanProcessor. It never waits.
func (b boundedSpans) OnEnd(s sdktrace.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	if b.pending.Add(1) > maxPending {
		b.pending.Add(-1)
		b.drop(1)
		return
	}
	b.SpanProcessor.OnEnd(s)
}

// metricExporter keeps the state of an exporter of metrics.
type metricExporter struct {
	sdk.Exporter
	*exporter
}

// Export implements sdk.Exporter.
func (m metricExporter) Export(ctx context.Context, metrics *metricdata.ResourceMetrics) error {
	err := m.Exporter.Export(ctx, metrics)
	m.ended(err)
	return err
}

// Exporters is how the exporters are doing, by signal.
func (t *Telemetry) Exporters() []ExporterState {
	var out []ExporterState
	for _, e := range t.exporters {
		out = append(out, e.State())
	}
	return out
}

// show has the gauge of the exporters show how they are doing.
func (t *Telemetry) show() (stop func(), err error) {
	SpansDropped.Add(context.Background(), 0) // so that it is there from the start
	return Show(func(context.Context) ([]Reading, error) {
		var out []Reading
		for _, s := range t.Exporters() {
			switch s.State {
			case Up:
				out = append(out, ExporterUp.Is(1, Signal.Of(s.Signal)))
			case Down:
				out = append(out, ExporterUp.Is(0, Signal.Of(s.Signal)))
			}
		}
		return out, nil
	}, ExporterUp)
}
