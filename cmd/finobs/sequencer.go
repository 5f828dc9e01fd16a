package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"finobs/internal/config"
	"finobs/internal/keys"
	"finobs/internal/keys/vault"
	"finobs/internal/sequencer"
	"finobs/internal/store"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
)

func sequencerCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "sequencer",
		Short: "Give ledger entries their places in the log, sign checkpoints, feed SIEM sinks",
		Long: `Give ledger entries their places in the log, sign checkpoints, and feed SIEM sinks.
Several may run: one writes, and another takes over within seconds. Each host keeps what
it signed last in FINOBS_LOG_STATE and refuses to sign a log that does not continue it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load[config.Sequencer]()
			if err != nil {
				return err
			}
			t, err := startTelemetry(cmd.Context(), "finobs-sequencer", c.Telemetry)
			if err != nil {
				return err
			}
			defer t.Stop()
			return runSequencer(cmd.Context(), c)
		},
	}
}

// runSequencer works until ctx ends.
func runSequencer(ctx context.Context, c config.Sequencer) (err error) {
	db, err := store.OpenSequencer(ctx, c.DatabaseURL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("naming this sequencer: %w", err)
	}
	s := &sequencer.Sequencer{
		Store: db, Origin: c.LogOrigin, State: sequencer.StateFile{Path: c.LogState}, Holder: host + "/" + uuid.NewString(), Nudges: db.EntryNudges(ctx),
	}
	for _, ref := range c.LogKeys {
		key, err := keys.Open(ctx, ref, vault.Transit{})
		if err != nil {
			return err
		}
		signer, err := keys.NoteSigner(ctx, c.LogOrigin, key)
		if err != nil {
			return err
		}
		verifier, err := keys.NoteVerifierKey(c.LogOrigin, key.Public())
		if err != nil {
			return err
		}
		s.Signers, s.Verifiers = append(s.Signers, signer), append(s.Verifiers, verifier)
	}
	sinks, err := loadSinks(c.Sinks)
	if err != nil {
		return err
	}
	if sinks != nil {
		s.WhileLeading = func(ctx context.Context) { feed(ctx, db, sinks) }
	}
	hide, err := showLag(db)
	if err != nil {
		return err
	}
	defer hide()
	s.Run(ctx)
	return nil
}
