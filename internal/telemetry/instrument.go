package telemetry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdk "go.opentelemetry.io/otel/sdk/metric"
)

// scope names finobs among those that make instruments in its processes.
const scope = "finobs"

// Kind is how an instrument counts.
type Kind string

// The kinds of instruments.
const (
	Counter   Kind = "counter"   // only grows while its process lives
	Histogram Kind = "histogram" // spreads what was measured over buckets
	Gauge     Kind = "gauge"     // what is so at the moment of asking
)

// Instrument is one metric. Those of finobs record by their own methods; those of
// libraries are listed so that their views are ours.
type Instrument struct {
	Name        string // by the semantic conventions of OpenTelemetry, or beginning with finobs.
	Unit        string // UCUM; s are seconds, By bytes
	Description string
	Kind        Kind
	Attributes  []string // names of those that are kept; all others are dropped
	Buckets     []float64
	Library     bool // made by a library, not by this package

	bound *atomic.Pointer[handles]
}

// handles are an instrument of a meter; which of them counts, its kind says.
type handles struct {
	counter   metric.Float64Counter
	histogram metric.Float64Histogram
	gauge     metric.Float64ObservableGauge
}

var catalogue []*Instrument

// Catalogue is every instrument there is, in the order of names.go.
func Catalogue() []*Instrument { return slices.Clone(catalogue) }

func list(i Instrument, attributes []*Attribute) *Instrument {
	for _, a := range attributes {
		i.Attributes = append(i.Attributes, a.Key)
	}
	i.bound = &atomic.Pointer[handles]{}
	i.bound.Store(&handles{noop.Float64Counter{}, noop.Float64Histogram{}, noop.Float64ObservableGauge{}})
	catalogue = append(catalogue, &i)
	return &i
}

func counter(name, unit, description string, attributes ...*Attribute) *Instrument {
	return list(Instrument{Name: name, Unit: unit, Description: description, Kind: Counter}, attributes)
}

// histogram makes one of durations, in seconds.
func histogram(name, description string, buckets []float64, attributes ...*Attribute) *Instrument {
	return list(Instrument{Name: name, Unit: "s", Description: description, Kind: Histogram, Buckets: buckets}, attributes)
}

func gauge(name, unit, description string, attributes ...*Attribute) *Instrument {
	return list(Instrument{Name: name, Unit: unit, Description: description, Kind: Gauge}, attributes)
}

// library lists an instrument that a library makes.
func library(kind Kind, name, unit, description string, buckets []float64, attributes ...string) *Instrument {
	i := list(Instrument{Name: name, Unit: unit, Description: description, Kind: kind, Buckets: buckets, Library: true}, nil)
	i.Attributes = attributes
	return i
}

// meter is the process's, once Start has set it; until then nothing is measured.
var meter metric.Meter = noop.Meter{}

// bind makes the instruments of the catalogue those of a meter.
func bind(m metric.Meter) error {
	var errs []error
	for _, i := range catalogue {
		var err error
		made := *i.bound.Load()
		switch {
		case i.Library:
		case i.Kind == Counter:
			made.counter, err = m.Float64Counter(i.Name, metric.WithUnit(i.Unit), metric.WithDescription(i.Description))
		case i.Kind == Histogram:
			made.histogram, err = m.Float64Histogram(i.Name, metric.WithUnit(i.Unit), metric.WithDescription(i.Description))
		default:
			made.gauge, err = m.Float64ObservableGauge(i.Name, metric.WithUnit(i.Unit), metric.WithDescription(i.Description))
		}
		if err == nil {
			i.bound.Store(&made) // whoever measures meanwhile has the old one or the new one
		}
		errs = append(errs, err)
	}
	meter = m
	return errors.Join(errs...)
}

// must is for names that stand in the code: a bad one is found by the first test.
func must[T any](made T, err error) T {
	if err != nil {
		panic("telemetry: " + err.Error())
	}
	return made
}

// Add counts n more. It is for counters.
func (i *Instrument) Add(ctx context.Context, n float64, attributes ...attribute.KeyValue) {
	i.bound.Load().counter.Add(ctx, n, metric.WithAttributes(attributes...))
}

// Record takes one measurement, in the instrument's unit. It is for histograms. What
// is below nothing, as two clocks may say, is nothing.
func (i *Instrument) Record(ctx context.Context, value float64, attributes ...attribute.KeyValue) {
	i.bound.Load().histogram.Record(ctx, max(value, 0), metric.WithAttributes(attributes...))
}

// Reading is what a gauge shows.
type Reading struct {
	Gauge      *Instrument
	Value      float64 // in the instrument's unit
	Attributes []attribute.KeyValue
}

// Is is a reading of a gauge.
func (i *Instrument) Is(value float64, attributes ...attribute.KeyValue) Reading {
	return Reading{i, value, attributes}
}

// readTimeout bounds what is read for one look at gauges.
const readTimeout = 2 * time.Second

// Show has the given gauges show what read returns, each time that somebody asks,
// until stop is called. When read fails they show nothing: what is not measured has
// no value.
func Show(read func(context.Context) ([]Reading, error), gauges ...*Instrument) (stop func(), err error) {
	observables := make([]metric.Observable, 0, len(gauges))
	for _, g := range gauges {
		observables = append(observables, g.bound.Load().gauge)
	}
	registration, err := meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		ctx, cancel := context.WithTimeout(ctx, readTimeout)
		defer cancel()
		readings, err := read(ctx)
		if err != nil {
			return err
		}
		for _, r := range readings {
			o.ObserveFloat64(r.Gauge.bound.Load().gauge, r.Value, metric.WithAttributes(r.Attributes...))
		}
		return nil
	}, observables...)
	if err != nil {
		return nil, fmt.Errorf("showing gauges: %w", err)
	}
	return func() { quietly(registration.Unregister()) }, nil
}

// Prometheus is the name by which GET /metrics shows the instrument. Histograms add
// _bucket, _sum and _count to it.
func (i *Instrument) Prometheus() string {
	kinds := map[Kind]otlptranslator.MetricType{
		Counter: otlptranslator.MetricTypeMonotonicCounter, Histogram: otlptranslator.MetricTypeHistogram, Gauge: otlptranslator.MetricTypeGauge,
	}
	namer := otlptranslator.MetricNamer{WithMetricSuffixes: true}
	return must(namer.Build(otlptranslator.Metric{Name: i.Name, Unit: i.Unit, Type: kinds[i.Kind]}))
}

// Labels are the names by which GET /metrics shows the instrument's attributes.
func (i *Instrument) Labels() []string {
	out := make([]string, 0, len(i.Attributes))
	for _, a := range i.Attributes {
		out = append(out, must((&otlptranslator.LabelNamer{}).Build(a)))
	}
	return out
}

// view decides what becomes of an instrument, whoever made it: what the catalogue
// does not list is dropped, and so is every attribute that it does not list. Those
// of Temporal's SDK are kept as they are.
func view(i sdk.Instrument) (sdk.Stream, bool) {
	stream := sdk.Stream{Name: i.Name, Description: i.Description, Unit: i.Unit}
	if strings.HasPrefix(i.Name, TemporalPrefix) {
		if i.Kind == sdk.InstrumentKindHistogram {
			stream.Aggregation = sdk.AggregationExplicitBucketHistogram{Boundaries: waits}
		}
		return stream, true
	}
	at := slices.IndexFunc(catalogue, func(c *Instrument) bool { return c.Name == i.Name })
	if at < 0 {
		stream.Aggregation = sdk.AggregationDrop{}
		return stream, true
	}
	listed := catalogue[at]
	stream.Description = listed.Description
	stream.AttributeFilter = func(a attribute.KeyValue) bool { return slices.Contains(listed.Attributes, string(a.Key)) }
	if listed.Kind == Histogram {
		stream.Aggregation = sdk.AggregationExplicitBucketHistogram{Boundaries: listed.Buckets}
	}
	return stream, true
}

// Attribute is a dimension of instruments, whose values are few: no id, and nothing
// that a caller makes up, becomes one.
type Attribute struct {
	Key string

	known []string // the only values; nil: whatever comes first
	most  int      // of those
	mu    sync.Mutex
	seen  map[string]bool
}

const (
	// other stands in the place of values beyond the bound.
	other = "other"
	// none stands in the place of no value.
	none = "none"
	// mostValues bounds the values of an attribute without a closed set.
	mostValues = 50
)

// oneOf is an attribute with a closed set of values.
func oneOf(key string, values ...string) *Attribute { return &Attribute{Key: key, known: values} }

// few is an attribute whose values an operator's files or the code name. The first
// mostValues are kept, should there be more.
func few(key string) *Attribute { return upTo(mostValues, key) }

// upTo is few with another bound.
func upTo(most int, key string) *Attribute {
	return &Attribute{Key: key, most: most, seen: map[string]bool{}}
}

// Of is the attribute with a value, or with one that says that it is another or none.
func (a *Attribute) Of(value string) attribute.KeyValue {
	switch {
	case value == "":
		value = none
	case a.known != nil && !slices.Contains(a.known, value), a.known == nil && !a.admit(value):
		value = other
	}
	return attribute.String(a.Key, value)
}

func (a *Attribute) admit(value string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.seen[value] && len(a.seen) < a.most {
		a.seen[value] = true
	}
	return a.seen[value]
}
