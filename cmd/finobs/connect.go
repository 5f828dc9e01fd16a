package main

import (
	"errors"
	"fmt"
	"log/slog"

	"finobs/internal/config"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/opentelemetry"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"
)

// connectTemporal returns a client that connects when it is first used, so that
// a process starts, and says that it is not ready, while Temporal is down. Traces
// go along with every call.
func connectTemporal(c config.Temporal) (client.Client, error) {
	tracing, err := opentelemetry.NewTracingInterceptor(opentelemetry.TracerOptions{})
	if err != nil {
		return nil, fmt.Errorf("setting up tracing: %w", err)
	}
	t, err := client.NewLazyClient(client.Options{
		HostPort: c.Address, Namespace: c.Namespace, Logger: log.NewStructuredLogger(slog.Default()),
		Interceptors:   []interceptor.ClientInterceptor{tracing},
		MetricsHandler: temporalMetrics(),
	})
	if err != nil {
		return nil, fmt.Errorf("setting up the Temporal client: %w", err)
	}
	return t, nil
}

// closers end in the reverse order of their opening.
type closers []func() error

func (c closers) close() error {
	var errs []error
	for i := len(c) - 1; i >= 0; i-- {
		errs = append(errs, c[i]())
	}
	return errors.Join(errs...)
}
