package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"finobs/internal/config"
	"finobs/internal/devstack"
	"finobs/internal/identity"
	"finobs/worker"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

func devCommand() *cobra.Command {
	var reset, insecure bool
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run everything on this machine: Postgres, Temporal, API and worker",
		Long: `Run everything on this machine, with its state in one folder. Stop it with Ctrl-C and
start it again: running workflows resume. FINOBS_DATABASE_URL uses a Postgres that
runs already, TEMPORAL_ADDRESS a Temporal cluster.`,
		Args: cobra.NoArgs,
	}
	state := stateFlag(cmd)
	cmd.Flags().BoolVar(&reset, "reset", false, "delete all state in the folder first; nothing else deletes")
	cmd.Flags().BoolVar(&insecure, "dev-insecure", false, "authenticate nobody")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if reset {
			if err := devstack.Reset(*state); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "state deleted")
		}
		return runDev(cmd.Context(), *state, insecure, cmd.OutOrStdout())
	}
	return cmd
}

func runDev(ctx context.Context, state string, insecure bool, out io.Writer) (err error) {
	t, err := startDevTelemetry(ctx)
	if err != nil {
		return err
	}
	defer t.Stop()
	s, err := startStack(ctx, state, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	apiConfig, apiErr := config.Parse[config.API](s.Settings())
	workerConfig, workerErr := config.Parse[config.Worker](s.Settings())
	sequencerConfig, sequencerErr := config.Parse[config.Sequencer](s.Settings())
	if err := errors.Join(apiErr, workerErr, sequencerErr); err != nil {
		return err
	}
	apiConfig.DevInsecure = insecure
	if apiConfig.TemporalUI == "" {
		apiConfig.TemporalUI = s.UIURL
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return runAPI(ctx, apiConfig, t) })
	group.Go(func() error { return runWorker(ctx, workerConfig, false) })
	group.Go(func() error { return runSequencer(ctx, sequencerConfig) })
	group.Go(func() error {
		select {
		case err := <-s.Failed():
			return err
		case <-ctx.Done():
			return nil
		}
	})
	if err := printWelcome(ctx, s, t.Address(), out); err != nil {
		return err
	}
	err = group.Wait()
	fmt.Fprintln(out, "stopping; everything resumes at the next start")
	return err
}

// startStack brings up the servers and tells Temporal about the search
// attributes.
func startStack(ctx context.Context, state string, out io.Writer) (*devstack.Stack, error) {
	s, err := devstack.Start(ctx, devstack.Options{Dir: state, Out: out, Durable: true})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(registerSearchAttributes(ctx, s.Settings()), writeRoster(s)); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// writeRoster puts the people of a development stack into a file, with which a
// new database starts.
func writeRoster(s *devstack.Stack) error {
	if s.Settings()["FINOBS_ROSTER"] != "" {
		return nil
	}
	var b strings.Builder
	b.WriteString("version: 1\npeople:\n")
	for _, p := range cast {
		fmt.Fprintf(&b, "  - {iss: %s, sub: %s, roles: [%s], desk: %q, email: %s@example.com}\n", identity.DevIssuer, p.name, p.role, p.desk, p.name)
	}
	path := s.Path("roster.yaml")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		return fmt.Errorf("writing roster: %w", err)
	}
	s.Settings()["FINOBS_ROSTER"] = path
	return nil
}

func registerSearchAttributes(ctx context.Context, settings map[string]string) error {
	c, err := config.Parse[config.Temporal](settings)
	if err != nil {
		return err
	}
	t, err := connectTemporal(c)
	if err != nil {
		return err
	}
	defer t.Close()
	return worker.RegisterSearchAttributes(ctx, t, c.Namespace)
}

// cast are the people of a development stack.
var cast = []struct{ name, desk, role string }{
	{"alice", "EQ", "analyst"}, {"bob", "EQ", "analyst"}, {"carol", "", "compliance"}, {"dave", "", "admin"}, {"eve", "", "auditor"},
}

func printWelcome(ctx context.Context, s *devstack.Stack, metrics string, out io.Writer) error {
	fmt.Fprintf(out, "\nconsole           http://%s/   (finobs open alice signs in)\nAPI               http://%s\nAPI documentation http://%s/docs/\n",
		s.APIAddress, s.APIAddress, s.APIAddress)
	if metrics != "" {
		fmt.Fprintf(out, "metrics           http://%s/metrics\n", metrics)
	}
	if s.UIURL != "" {
		fmt.Fprintf(out, "Temporal Web UI   %s\n", s.UIURL)
	}
	fmt.Fprintf(out, "state             %s\n\ntokens, valid for 12 hours:\n", s.Dir)
	for _, p := range cast {
		token, err := mint(ctx, identityKey(s.Dir), person(p.name, p.desk, p.role), 12*time.Hour)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "export %s=%s   # %s\n", p.name, token, p.role)
	}
	fmt.Fprintf(out, "\ntry: curl -H \"Authorization: Bearer $alice\" http://%s/incidents\nstop with Ctrl-C\n", s.APIAddress)
	return nil
}
