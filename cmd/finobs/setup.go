package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"finobs/internal/devstack"

	"github.com/spf13/cobra"
)

func setupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Install or build what a development stack and the tests need: Postgres, the Temporal CLI, Mailpit, an S3 server, Tessera's fsck, rsyslog and Chromium",
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
		versitygw, err := devstack.EnsureVersitygw(cmd.Context(), bin, out)
		if err != nil {
			return err
		}
		fsck, err := devstack.EnsureFsck(cmd.Context(), bin, out)
		if err != nil {
			return err
		}
		if err := devstack.EnsureOpenSSH(cmd.Context(), out); errors.Is(err, devstack.ErrNoOpenSSH) {
			fmt.Fprintf(out, "skipped: %v\n", err)
		} else if err != nil {
			return err
		}
		rsyslog, err := devstack.EnsureRsyslog(cmd.Context(), out)
		switch {
		case errors.Is(err, devstack.ErrNoRsyslog):
			fmt.Fprintf(out, "skipped: %v\n", err)
		case err != nil:
			return err
		default:
			fmt.Fprintf(out, "rsyslog in %s, with TLS by %s\n", rsyslog.Bin, rsyslog.Driver)
		}
		chromium, err := devstack.EnsureChromium(cmd.Context(), out)
		switch {
		case errors.Is(err, devstack.ErrNoChromium):
			fmt.Fprintf(out, "skipped: %v\n", err)
		case err != nil:
			return err
		default:
			fmt.Fprintf(out, "Chromium %s\n", chromium)
		}
		fmt.Fprintf(out, "Postgres in %s, Temporal CLI %s, Mailpit %s, Versity S3 Gateway %s, fsck %s\n", postgres, temporal, mailpit, versitygw, fsck)
		return nil
	}
	return cmd
}
