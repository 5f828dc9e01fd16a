package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"

	"finobs/internal/config"
	"finobs/internal/devstack"
	"finobs/internal/store"
	"finobs/internal/telemetry"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/opentelemetry"
)

func startTelemetry(ctx context.Context, service string, c config.Telemetry) (*telemetry.Telemetry, error) {
	return telemetry.Start(ctx, telemetry.Options{Service: service, Version: version(), Listen: c.MetricsListen, Profiles: c.PprofAddress})
}

// devMetricsPort is where finobs dev is scraped when the port is free: that of
// OpenTelemetry's Prometheus exporters.
const devMetricsPort = 9464

// startDevTelemetry is for all processes of a development stack, which are one.
func startDevTelemetry(ctx context.Context) (*telemetry.Telemetry, error) {
	c := config.Telemetry{MetricsListen: os.Getenv("FINOBS_METRICS_LISTEN"), PprofAddress: os.Getenv("FINOBS_PPROF_ADDRESS")}
	if c.MetricsListen == "" {
		port, err := devstack.FreePort(devMetricsPort)
		if err != nil {
			return nil, err
		}
		c.MetricsListen = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	}
	return startTelemetry(ctx, "finobs-dev", c)
}

// temporalMetrics measures what Temporal's SDK does.
func temporalMetrics() client.MetricsHandler {
	return opentelemetry.NewMetricsHandler(opentelemetry.MetricsHandlerOptions{
		UseMonotonicCounters: true,
		OnError:              func(err error) { slog.Debug("telemetry", "error", err) },
	})
}

// mostBehind bounds what is counted of the entries that wait for their place.
const mostBehind = 10_000

// showLag shows how far the log is behind the ledger.
func showLag(db *store.Sequencer) (stop func(), err error) {
	stop, err = telemetry.Show(func(ctx context.Context) ([]telemetry.Reading, error) {
		n, oldest, err := db.Behind(ctx, mostBehind)
		if err != nil {
			return nil, err
		}
		return []telemetry.Reading{telemetry.Unsequenced.Is(float64(n)), telemetry.UnsequencedAge.Is(oldest.Seconds())}, nil
	}, telemetry.Unsequenced, telemetry.UnsequencedAge)
	if err != nil {
		return nil, fmt.Errorf("showing the lag of the log: %w", err)
	}
	return stop, nil
}
