package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/blobdir"
	"finobs/internal/config"
	"finobs/internal/delivery"
	"finobs/internal/deskfile"
	"finobs/internal/detect"
	"finobs/internal/keys"
	"finobs/internal/keys/vault"
	"finobs/internal/notify"
	"finobs/internal/seal"
	"finobs/internal/store"
	"finobs/migrations"
	"finobs/policies"
	"finobs/worker"

	"github.com/spf13/cobra"
)

func workerCommand() *cobra.Command {
	var recordOnly bool
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Run workflows and activities",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load[config.Worker]()
			if err != nil {
				return err
			}
			t, err := startTelemetry(cmd.Context(), "finobs-worker", c.Telemetry)
			if err != nil {
				return err
			}
			defer t.Stop()
			return runWorker(cmd.Context(), c, recordOnly)
		},
	}
	cmd.Flags().BoolVar(&recordOnly, "record-only", false, "record requests and decisions, but leave effects to other workers")
	return cmd
}

// runWorker works until ctx ends.
func runWorker(ctx context.Context, c config.Worker, recordOnly bool) (err error) {
	var opened closers
	defer func() { err = errors.Join(err, opened.close()) }()
	trusted, err := loadPublic(c.DecisionPublic)
	if err != nil {
		return err
	}
	d := worker.Deps{Verifier: attest.NewVerifier(trusted...), RecordOnly: recordOnly, Namespace: c.Namespace, Version: version()}
	if err := loadDesk(c, &d); err != nil {
		return err
	}
	if d.Profiles, err = loadProfiles(c.ReconProfiles); err != nil {
		return err
	}
	if d.Agents, err = loadAgents(c.Agents); err != nil {
		return err
	}
	if d.Artefacts, err = blobdir.Open(c.ArtefactDir); err != nil {
		return err
	}
	opened = append(opened, d.Artefacts.Close)
	if d.Spool, err = blobdir.Open(c.SpoolDir); err != nil {
		return err
	}
	opened = append(opened, d.Spool.Close)
	if d.Segments, err = d.Spool.Sub(segmentsDir); err != nil {
		return err
	}
	opened = append(opened, d.Segments.Close)
	if !recordOnly {
		if err := loadSealing(ctx, c, &d); err != nil {
			return err
		}
	}
	if d.Store, err = store.OpenWriter(ctx, c.DatabaseURL); err != nil {
		return err
	}
	opened = append(opened, d.Store.Close)
	if c.DeskFile != "" {
		rules, err := loadDeskFile(c.DeskFile)
		if err != nil {
			return err
		}
		d.Store.SetDesk(rules)
		if d.Detectors, err = detect.Load(rules.Detectors); err != nil {
			return fmt.Errorf("%s: detectors: %w", c.DeskFile, err)
		}
	}
	t, err := connectTemporal(c.Temporal)
	if err != nil {
		return err
	}
	opened = append(opened, func() error { t.Close(); return nil })
	return worker.Run(ctx, t, d)
}

func loadPublic(paths []string) ([]ed25519.PublicKey, error) {
	var out []ed25519.PublicKey
	for _, path := range paths {
		public, err := keys.LoadPublic(path)
		if err != nil {
			return nil, err
		}
		out = append(out, public)
	}
	return out, nil
}

// loadSealing opens the key that seals exports and reads what is trusted and
// where exports can go.
func loadSealing(ctx context.Context, c config.Worker, d *worker.Deps) error {
	if c.ManifestKey == "" || c.LogTrust == "" {
		return errors.New("FINOBS_MANIFEST_KEY and FINOBS_LOG_TRUST are needed to seal and verify exports (docs/configuration.md); a worker with --record-only needs neither")
	}
	key, err := keys.Open(ctx, c.ManifestKey, vault.Transit{})
	if err != nil {
		return fmt.Errorf("FINOBS_MANIFEST_KEY: %w", err)
	}
	older, err := loadPublic(c.ManifestPublic)
	if err != nil {
		return err
	}
	trust := seal.Trust{Manifest: append(older, key.Public()), Decision: d.Verifier}
	file, err := os.Open(c.LogTrust)
	if err != nil {
		return fmt.Errorf("FINOBS_LOG_TRUST: %w", err)
	}
	defer file.Close()
	verifiers, err := keys.LoadVerifiers(file)
	if err != nil {
		return fmt.Errorf("%s: %w", c.LogTrust, err)
	}
	trust.Log.Origin, trust.Log.Keys = verifiers.Origin(), verifiers.For
	d.Sealer = worker.Sealer{Key: key, Trust: trust, SchemaVersion: migrations.Latest()}
	d.Generator, d.PublicURL = "finobs "+version(), c.PublicURL
	if c.Destinations == "" {
		return nil
	}
	places, err := os.Open(c.Destinations)
	if err != nil {
		return fmt.Errorf("reading destinations: %w", err)
	}
	defer places.Close()
	if d.Destinations, err = delivery.Load(places, filepath.Dir(c.Destinations)); err != nil {
		return fmt.Errorf("%s: %w", c.Destinations, err)
	}
	return nil
}

func loadDeskFile(path string) (*deskfile.Desk, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("FINOBS_DESK_FILE: %w", err)
	}
	defer file.Close()
	rules, err := deskfile.Load(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return rules, nil
}

// loadDesk reads the files that say who may do what and how people are told.
func loadDesk(c config.Worker, d *worker.Deps) error {
	d.Policies, d.Detectors = string(policies.Desk), detect.Defaults()
	if c.Policies != "" {
		text, err := os.ReadFile(c.Policies)
		if err != nil {
			return fmt.Errorf("reading policies: %w", err)
		}
		d.Policies = string(text)
	}
	if c.Roster != "" {
		file, err := os.Open(c.Roster)
		if err != nil {
			return fmt.Errorf("reading roster: %w", err)
		}
		defer file.Close()
		if d.Roster, err = approval.LoadRoster(file); err != nil {
			return fmt.Errorf("%s: %w", c.Roster, err)
		}
	}
	messenger := worker.Messenger{BaseURL: c.PublicURL}
	if c.Channels != "" {
		file, err := os.Open(c.Channels)
		if err != nil {
			return fmt.Errorf("reading channels: %w", err)
		}
		defer file.Close()
		if messenger.Channels, err = notify.Load(file, filepath.Dir(c.Channels)); err != nil {
			return fmt.Errorf("%s: %w", c.Channels, err)
		}
	}
	d.Messenger, d.Channels = messenger, messenger.Channels.Names()
	return nil
}
