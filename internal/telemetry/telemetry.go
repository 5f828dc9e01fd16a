// Package telemetry gives every request a trace, and measures what processes do.
//
// Trace ids are part of the record, so every request has one. Spans, and what is
// measured, are sent to a collector only when one is configured; one that is absent,
// slow or silent changes nothing. What is measured can be scraped as well.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"finobs/internal/profiling"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"golang.org/x/sync/errgroup"
)

const (
	// stopTimeout bounds how long a stop waits, for a collector among others.
	stopTimeout = 2 * time.Second
	// exportTimeout bounds one export.
	exportTimeout = 10 * time.Second
	// maxPending bounds the spans that wait for the collector: some megabytes.
	maxPending = 4096
	// mostStreams bounds the combinations of attributes of one instrument, should
	// all else fail to; what is beyond it becomes one of its own.
	mostStreams = 1000
)

// Options say what Start sets up, beside what OpenTelemetry's own variables do.
type Options struct {
	Service string // name of the process
	Version string // of the program
	Listen  string // address to be scraped at, host:port; empty: none
	Log     *slog.Logger

	Profiles string // address of profiles, host:port on loopback; empty: none
}

// Telemetry is the telemetry of a process.
type Telemetry struct {
	exporters []*exporter
	address   string
	stops     []func(context.Context) error
}

var watched atomic.Bool

// Watched reports whether anybody is told of spans or measurements of this process: one
// that nobody looks at need not stand between it and what it works with.
func Watched() bool { return watched.Load() }

// Start sets up the tracer and the meter of the process. Where they send to, and how,
// is said by OTEL_EXPORTER_OTLP_ENDPOINT and the other variables of OpenTelemetry's
// exporters. It is for the start of a process: what is measured before is lost. Errors
// name the setting that is wrong. Stop ends it.
func Start(ctx context.Context, o Options) (*Telemetry, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	t := &Telemetry{}
	if err := t.start(ctx, o); err != nil {
		t.Stop()
		return nil, err
	}
	return t, nil
}

func (t *Telemetry) start(ctx context.Context, o Options) error {
	otel.SetErrorHandler(otel.ErrorHandlerFunc(quietly))
	otel.SetTextMapPropagator(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}))
	res, err := resource.Merge(resource.Default(), resource.NewSchemaless(
		attribute.String("service.name", o.Service), attribute.String("service.version", o.Version),
		attribute.String("service.instance.id", uuid.NewString()),
	))
	if err != nil {
		return fmt.Errorf("describing the service: %w", err)
	}
	if err := t.trace(ctx, res, o.Log); err != nil {
		return err
	}
	if err := t.measure(ctx, res, o); err != nil {
		return err
	}
	unprofile, err := profiling.Serve(ctx, o.Profiles)
	if err != nil {
		return err
	}
	t.stops = append(t.stops, func(context.Context) error { unprofile(); return nil })
	hide, err := t.show()
	if err != nil {
		return err
	}
	t.stops = append(t.stops, func(context.Context) error { hide(); return nil })
	return nil
}

// trace sets the tracer up.
func (t *Telemetry) trace(ctx context.Context, res *resource.Resource, log *slog.Logger) error {
	state, to, err := t.exporter(Traces, log)
	if err != nil {
		return err
	}
	if to == nil {
		otel.SetTracerProvider(idProvider{})
		return nil
	}
	watched.Store(true)
	out, err := to.spans(ctx)
	if err != nil {
		return fmt.Errorf("setting up the exporter of traces: %w", err)
	}
	pending := &atomic.Int64{}
	queue := sdktrace.NewBatchSpanProcessor(spanExporter{out, state, pending},
		sdktrace.WithMaxQueueSize(maxPending), sdktrace.WithExportTimeout(exportTimeout))
	provider := sdktrace.NewTracerProvider(sdktrace.WithResource(res), sdktrace.WithSpanProcessor(boundedSpans{queue, state, pending}))
	otel.SetTracerProvider(provider)
	t.stops = append(t.stops, provider.Shutdown)
	return nil
}

// measure sets the meter up.
func (t *Telemetry) measure(ctx context.Context, res *resource.Resource, o Options) error {
	options := []sdk.Option{sdk.WithResource(res), sdk.WithView(view), sdk.WithCardinalityLimit(mostStreams)}
	state, to, err := t.exporter(Metrics, o.Log)
	if err != nil {
		return err
	}
	if to != nil {
		out, err := to.metrics(ctx)
		if err != nil {
			return fmt.Errorf("setting up the exporter of metrics: %w", err)
		}
		options = append(options, sdk.WithReader(sdk.NewPeriodicReader(metricExporter{out, state}, sdk.WithTimeout(exportTimeout))))
	}
	if o.Listen != "" {
		reader, err := t.scraped(ctx, o)
		if err != nil {
			return err
		}
		options = append(options, sdk.WithReader(reader))
	}
	if to == nil && o.Listen == "" {
		return nil // nobody asks, and until somebody is set OpenTelemetry's meter does nothing
	}
	watched.Store(true)
	provider := sdk.NewMeterProvider(options...)
	otel.SetMeterProvider(provider)
	t.stops = append(t.stops, provider.Shutdown)
	if err := bind(provider.Meter(scope)); err != nil {
		return fmt.Errorf("making instruments: %w", err)
	}
	return nil
}

// Address is where the process is scraped, host:port; empty when it is not.
func (t *Telemetry) Address() string { return t.address }

// Stop sends what is left, as far as that can be done within two seconds, and ends
// all of it.
func (t *Telemetry) Stop() {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	var all errgroup.Group
	for _, stop := range t.stops {
		all.Go(func() error { quietly(stop(ctx)); return nil })
	}
	all.Wait() //nolint:errcheck // each says its own
}

// quietly is for errors that the exporters' states tell of already, once each.
func quietly(err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		slog.Debug("telemetry", "error", err)
	}
}
