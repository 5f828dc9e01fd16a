package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	prom "go.opentelemetry.io/otel/exporters/prometheus"
	sdk "go.opentelemetry.io/otel/sdk/metric"
)

// Limits of the server that is scraped.
const (
	scrapeTimeout  = 10 * time.Second
	scrapesAtOnce  = 3
	scrapeIdle     = time.Minute
	scrapeMaxBytes = 8 << 10 // of a request's header
)

// scraped serves GET /metrics at o.Listen, and returns the reader that feeds it.
func (t *Telemetry) scraped(ctx context.Context, o Options) (sdk.Reader, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	reader, err := prom.New(prom.WithRegisterer(registry), prom.WithoutScopeInfo())
	if err != nil {
		return nil, fmt.Errorf("setting up /metrics: %w", err)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("FINOBS_METRICS_LISTEN: %w", err)
	}
	t.address = l.Addr().String()
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: scrapesAtOnce, Timeout: scrapeTimeout, ErrorHandling: promhttp.ContinueOnError,
	}))
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: scrapeTimeout, ReadTimeout: scrapeTimeout, WriteTimeout: 2 * scrapeTimeout,
		IdleTimeout: scrapeIdle, MaxHeaderBytes: scrapeMaxBytes, ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			o.Log.Error("metrics are not served any more", "error", err)
		}
	}()
	t.stops = append(t.stops, func(context.Context) error { return server.Close() })
	o.Log.Info("metrics served", "address", t.address)
	return reader, nil
}
