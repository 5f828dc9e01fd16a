package telemetry

import (
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Without a collector spans have the ids and flags that the SDK gives them.
func TestIdsAreThoseOfTheSDK(t *testing.T) {
	t.Parallel()
	remote := func(flags trace.TraceFlags) trace.SpanContext {
		state, err := trace.ParseTraceState("vendor=1")
		if err != nil {
			t.Fatal(err)
		}
		return trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: flags, TraceState: state, Remote: true})
	}
	for name, c := range map[string]struct {
		parent  trace.SpanContext
		options []trace.SpanStartOption
	}{
		"no parent":         {},
		"a sampled parent":  {parent: remote(trace.FlagsSampled)},
		"another parent":    {parent: remote(0)},
		"a root of its own": {parent: remote(0), options: []trace.SpanStartOption{trace.WithNewRoot()}},
	} {
		ctx := trace.ContextWithSpanContext(t.Context(), c.parent)
		var got [2]trace.SpanContext
		for i, p := range []trace.TracerProvider{idProvider{}, sdktrace.NewTracerProvider()} {
			inner, span := p.Tracer("test").Start(ctx, "span", c.options...)
			if got[i] = span.SpanContext(); !trace.SpanContextFromContext(inner).Equal(got[i]) {
				t.Errorf("%s: the context has another span", name)
			}
			_, child := p.Tracer("test").Start(inner, "child")
			if s := child.SpanContext(); s.TraceID() != got[i].TraceID() || s.SpanID() == got[i].SpanID() || s.TraceFlags() != got[i].TraceFlags() {
				t.Errorf("%s: the child is %v of %v", name, s, got[i])
			}
		}
		ours, sdk := got[0], got[1]
		continues := c.parent.IsValid() && c.options == nil
		if !ours.IsValid() || ours.SpanID() == c.parent.SpanID() || ours.IsRemote() || ours.TraceFlags() != sdk.TraceFlags() ||
			ours.TraceState().String() != sdk.TraceState().String() || (ours.TraceID() == c.parent.TraceID()) != continues || (sdk.TraceID() == c.parent.TraceID()) != continues {
			t.Errorf("%s: got %+v, the SDK gives %+v", name, ours, sdk)
		}
	}
	_, a := idProvider{}.Tracer("").Start(t.Context(), "a")
	_, b := idProvider{}.Tracer("").Start(t.Context(), "b")
	if a.SpanContext().TraceID() == b.SpanContext().TraceID() || a.IsRecording() {
		t.Errorf("%v and %v", a.SpanContext(), b.SpanContext())
	}
}
