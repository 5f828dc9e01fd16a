// Command finobs is the one program of finobs; its subcommands are its
// processes.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"finobs/internal/agent"
	"finobs/internal/fault"
	"finobs/internal/plaintext"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := rootCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "finobs:", plaintext.Lines(message(err)))
		os.Exit(exitCode(err))
	}
}

// message is what a person reads. What he did wrong needs no cause; what broke
// does.
func message(err error) string {
	if fault.KindOf(err).Retryable() {
		return err.Error()
	}
	return fault.MessageOf(err)
}

func rootCommand() *cobra.Command {
	var level slog.Level
	root := &cobra.Command{
		Use:           "finobs",
		Short:         "Trading operations: incidents, approvals, exports, and a record of all of it",
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})))
			if !agent.Contained && cmd.Name() != "redteam" {
				return errors.New("this build has the tag uncontained: nothing that an agent says is checked, so it runs redteam alone; build finobs without the tag")
			}
			if err := cmd.ValidateRequiredFlags(); err != nil {
				return exitError{exitUsage, err}
			}
			return nil
		},
	}
	root.PersistentFlags().TextVar(&level, "log-level", slog.LevelInfo, "debug, info, warn or error")
	root.AddCommand(setupCommand(), devCommand(), demoCommand(), apiCommand(), workerCommand(), sequencerCommand(), migrateCommand(),
		tokenCommand(), importCommand(), reconCommand(), exportCommand(), scheduleCommand(), policyCommand(), doctorCommand(),
		approvalsCommand(), incidentsCommand(), exportsCommand(), tailCommand(),
		actionsCommand(), sandboxCommand(), evalCommand(), agentCommand(), redteamCommand(), signInCommand(), openCommand(),
		keysCommand(), healthcheckCommand())
	strict(root)
	return root
}

// stateFlag adds --state, the folder of a development stack.
func stateFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("state", ".finobs", "folder that holds the state of a development stack")
}
