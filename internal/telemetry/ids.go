package telemetry

import (
	"context"
	"crypto/rand"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"
)

// idProvider is the tracer of a process whose spans nobody collects. It gives each its
// ids, which are part of the record and go along to other processes, and keeps nothing:
// noting down what is thrown away was a tenth of a short request.
type idProvider struct{ embedded.TracerProvider }

// Tracer implements trace.TracerProvider.
func (idProvider) Tracer(string, ...trace.TracerOption) trace.Tracer { return idTracer{} }

type idTracer struct{ embedded.Tracer }

// Start implements trace.Tracer. A span continues the trace of its parent and is sampled
// when that is; without a parent it begins a trace that is sampled, as the SDK's default
// sampler has it, so that processes whose spans are collected take part.
func (idTracer) Start(ctx context.Context, _ string, options ...trace.SpanStartOption) (context.Context, trace.Span) {
	parent := trace.SpanContextFromContext(ctx)
	of := trace.SpanContextConfig{TraceID: parent.TraceID(), TraceFlags: parent.TraceFlags(), TraceState: parent.TraceState()}
	if !parent.IsValid() || isRoot(options) {
		of = trace.SpanContextConfig{TraceFlags: trace.FlagsSampled}
		rand.Read(of.TraceID[:]) // never fails; see crypto/rand
	}
	rand.Read(of.SpanID[:])
	ctx = trace.ContextWithSpanContext(ctx, trace.NewSpanContext(of))
	return ctx, trace.SpanFromContext(ctx)
}

func isRoot(options []trace.SpanStartOption) bool {
	c := trace.NewSpanStartConfig(options...)
	return c.NewRoot()
}
