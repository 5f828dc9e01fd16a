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
		Short: "Install or build what a development stack needs: Postgres and the Temporal CLI",
		Args:  cobra.NoArgs,
	}
	state := stateFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		out := cmd.OutOrStdout()
		postgres, err := devstack.EnsurePostgres(cmd.Context(), out)
		if err != nil {
			return err
		}
		temporal, err := devstack.EnsureTemporal(cmd.Context(), filepath.Join(*state, "bin"), out)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "Postgres in %s, Temporal CLI %s\n", postgres, temporal)
		return nil
	}
	return cmd
}
