package main

import (
	"fmt"
	"path/filepath"

	"finobs/internal/devstack"

	"github.com/spf13/cobra"
)

func setupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Install or build what a development stack and the tests need: Postgres, the Temporal CLI and Mailpit",
		Args:  cobra.NoArgs,
	}
	state := stateFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		out := cmd.OutOrStdout()
		postgres, err := devstack.EnsurePostgres(cmd.Context(), out)
		if err != nil {
			return err
		}
		bin := filepath.Join(*state, "bin")
		temporal, err := devstack.EnsureTemporal(cmd.Context(), bin, out)
		if err != nil {
			return err
		}
		mailpit, err := devstack.EnsureMailpit(cmd.Context(), bin, out)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "Postgres in %s, Temporal CLI %s, Mailpit %s\n", postgres, temporal, mailpit)
		return nil
	}
	return cmd
}
