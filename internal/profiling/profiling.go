// Package profiling serves the profiles of a process to somebody on the same
// machine, in the form of net/http/pprof.
package profiling

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"finobs/internal/config"
)

// headerTimeout bounds how long a caller takes to ask. How long a profile takes, he
// says himself.
const headerTimeout = 5 * time.Second

// Serve serves /debug/pprof/ at address until stop is called. Profiles tell what a
// process has in memory, and whoever asks is not authenticated: an address that
// others than this machine reach is refused. An empty address serves nothing.
func Serve(ctx context.Context, address string) (stop func(), err error) {
	if address == "" {
		return func() {}, nil
	}
	if !config.Loopback(address) {
		return nil, fmt.Errorf("FINOBS_PPROF_ADDRESS: profiles are refused on %s, as they show what is in memory to anybody; give 127.0.0.1:PORT", address)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("FINOBS_PPROF_ADDRESS: %w", err)
	}
	server := &http.Server{Handler: handler(), ReadHeaderTimeout: headerTimeout}
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			slog.Error("profiles are not served any more", "error", err)
		}
	}()
	slog.InfoContext(ctx, "profiles served", "address", l.Addr().String())
	return func() { server.Close() }, nil
}

func handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	return mux
}
