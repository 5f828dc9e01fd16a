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

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := rootCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "finobs:", message(err))
		code := 1
		var coded exitError
		if errors.As(err, &coded) {
			code = coded.code
		}
		os.Exit(code)
	}
}

// exitError ends the program with another code than 1.
type exitError struct {
	code int
	error
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
			return nil
		},
	}
	root.PersistentFlags().TextVar(&level, "log-level", slog.LevelInfo, "debug, info, warn or error")
	root.AddCommand(setupCommand(), devCommand(), demoCommand(), apiCommand(), workerCommand(), sequencerCommand(), migrateCommand(),
		tokenCommand(), importCommand(), reconCommand(), exportCommand(), scheduleCommand(), incidentCommand(), policyCommand(), doctorCommand(),
		actionsCommand(), sandboxCommand(), evalCommand(), agentCommand(), redteamCommand(),
		keysCommand(), healthcheckCommand())
	return root
}

// stateFlag adds --state, the folder of a development stack.
func stateFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("state", ".finobs", "folder that holds the state of a development stack")
}
