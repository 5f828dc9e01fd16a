package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"

	"finobs/api"
	"finobs/internal/attest"
	"finobs/internal/blobdir"
	"finobs/internal/config"
	"finobs/internal/keys"
	"finobs/internal/keys/vault"
	"finobs/internal/outbound"
	"finobs/internal/source"
	"finobs/internal/store"
	"finobs/internal/telemetry"

	"github.com/spf13/cobra"
)

func apiCommand() *cobra.Command {
	var insecure bool
	cmd := &cobra.Command{
		Use:   "api",
		Short: "Serve the HTTP API",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load[config.API]()
			if err != nil {
				return err
			}
			c.DevInsecure = c.DevInsecure || insecure
			t, err := startTelemetry(cmd.Context(), "finobs-api", c.Telemetry)
			if err != nil {
				return err
			}
			defer t.Stop()
			tuneCollector()
			return runAPI(cmd.Context(), c, t)
		},
	}
	cmd.Flags().BoolVar(&insecure, "dev-insecure", false, "authenticate nobody; loopback and a database of finobs dev only")
	return cmd
}

// garbagePercent lets the heap of the API grow to five times of what lives. That is
// some tens of megabytes, mostly caches within bounds; nearly all else is an answer and
// garbage once it is sent. At the runtime's default of 100 collecting it was a sixth of
// the API's work.
const garbagePercent = 400

// tuneCollector leaves the collector to GOGC where that is set.
func tuneCollector() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
}

// runAPI serves until ctx ends.
func runAPI(ctx context.Context, c config.API, t *telemetry.Telemetry) (err error) {
	d, opened, err := apiDeps(ctx, c)
	d.Exporters = t.Exporters
	defer func() { err = errors.Join(err, opened.close()) }()
	if err != nil {
		return err
	}
	if c.DevInsecure {
		if err := api.AllowInsecure(ctx, d.Reader, c.Listen); err != nil {
			return err
		}
	}
	server, err := api.New(d)
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	return server.Run(ctx, l)
}

func apiDeps(ctx context.Context, c config.API) (d api.Deps, opened closers, err error) {
	d.AnswerWait, d.DevInsecure, d.Streams = c.AnswerWait, c.DevInsecure, c.Streams
	d.TemporalUI, d.Namespace = c.TemporalUI, c.Namespace
	key, err := keys.Open(ctx, c.DecisionKey, vault.Transit{})
	if err != nil {
		return d, opened, err
	}
	d.Signer = attest.Signer{Key: key}
	if err := signInDeps(c, &d); err != nil {
		return d, opened, err
	}
	if d.ManifestKeys, err = loadPublic(c.ManifestPublic); err != nil {
		return d, opened, err
	}
	if d.Profiles, err = loadProfiles(c.ReconProfiles); err != nil {
		return d, opened, err
	}
	if d.Artefacts, err = blobdir.Open(c.ArtefactDir); err != nil {
		return d, opened, err
	}
	opened = append(opened, d.Artefacts.Close)
	if d.Spool, err = blobdir.Open(c.SpoolDir); err != nil {
		return d, opened, err
	}
	opened = append(opened, d.Spool.Close)
	if d.Segments, err = d.Spool.Sub(segmentsDir); err != nil {
		return d, opened, err
	}
	opened = append(opened, d.Segments.Close)
	if d.Sources, err = loadSources(c.Sources); err != nil {
		return d, opened, err
	}
	if d.Reader, err = store.OpenReader(ctx, c.DatabaseURL); err != nil {
		return d, opened, err
	}
	opened = append(opened, d.Reader.Close)
	if d.Temporal, err = connectTemporal(c.Temporal); err != nil {
		return d, opened, err
	}
	opened = append(opened, func() error { d.Temporal.Close(); return nil })
	return d, opened, nil
}

// segmentsDir is the folder of received events, within the spool.
const segmentsDir = "segments"

// loadSources reads the source file; without one there are the default sources.
func loadSources(path string) (*source.Sources, error) {
	if path == "" {
		return source.Default(), nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading sources: %w", err)
	}
	defer file.Close()
	sources, err := source.Load(file, func(secret string) ([]byte, error) {
		return outbound.ReadSecret(outbound.Within(filepath.Dir(path), secret))
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return sources, nil
}
