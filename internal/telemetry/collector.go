package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// Protocols of OTLP, as OTEL_EXPORTER_OTLP_PROTOCOL names them.
const (
	overGRPC = "grpc"
	overHTTP = "http/protobuf"
)

// Ports of collectors.
const (
	portHTTP    = "4318"
	portRetired = "55681" // OTLP over HTTP until 2021; see docs/telemetry.md
)

// collector is where a signal is sent and how. The exporters read the endpoint, the
// headers, the certificates and so on from OpenTelemetry's variables themselves.
type collector struct{ protocol, address string }

// variable reads OpenTelemetry's variable of a signal, and else the one for all.
func variable(signal, name string) (value, from string) {
	for _, from := range []string{"OTEL_EXPORTER_OTLP_" + strings.ToUpper(signal) + "_" + name, "OTEL_EXPORTER_OTLP_" + name} {
		if value := strings.TrimSpace(os.Getenv(from)); value != "" {
			return value, from
		}
	}
	return "", ""
}

// exporter is the state of a signal's exporter, and where it sends; nil for nowhere.
func (t *Telemetry) exporter(signal string, log *slog.Logger) (*exporter, *collector, error) {
	state := &exporter{log: log, state: ExporterState{Signal: signal, State: Off}}
	t.exporters = append(t.exporters, state)
	to, err := configured(signal)
	if err != nil || to == nil {
		return state, nil, err
	}
	state.state.State, state.state.Protocol, state.target = Waiting, to.protocol, to.address
	if strings.HasSuffix(to.address, ":"+portRetired) {
		log.Warn("port "+portRetired+" of collectors is retired; newer ones take OTLP at 4317 (grpc) and 4318 (http/protobuf)",
			"collector", to.address, "signal", signal)
	}
	return state, to, nil
}

// configured reads where a signal is sent; nil for nowhere.
func configured(signal string) (*collector, error) {
	if os.Getenv("OTEL_"+strings.ToUpper(signal)+"_EXPORTER") == "none" {
		return nil, nil
	}
	endpoint, from := variable(signal, "ENDPOINT")
	if endpoint == "" {
		return nil, nil
	}
	at, err := url.Parse(endpoint)
	if err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https" {
		return nil, fmt.Errorf("%s: a URL such as http://collector:4317 is needed", from)
	}
	c := &collector{address: at.Host}
	protocol, from := variable(signal, "PROTOCOL")
	switch protocol {
	case overGRPC, overHTTP:
		c.protocol = protocol
	case "":
		c.protocol = overGRPC
		if port := at.Port(); port == portHTTP || port == portRetired {
			c.protocol = overHTTP
		}
	default:
		return nil, fmt.Errorf("%s: %q is not spoken here; use %s or %s", from, protocol, overGRPC, overHTTP)
	}
	return c, nil
}

func (c collector) spans(ctx context.Context) (sdktrace.SpanExporter, error) {
	if c.protocol == overHTTP {
		return otlptracehttp.New(ctx)
	}
	return otlptracegrpc.New(ctx)
}

func (c collector) metrics(ctx context.Context) (sdk.Exporter, error) {
	if c.protocol == overHTTP {
		return otlpmetrichttp.New(ctx)
	}
	return otlpmetricgrpc.New(ctx)
}
