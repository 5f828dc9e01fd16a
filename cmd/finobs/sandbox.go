package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"finobs/internal/approval"
	"finobs/internal/outbound"
	"finobs/internal/sandbox"

	"github.com/spf13/cobra"
)

// Timeouts of the sandbox's server. Answers have none: it may be told to be slow.
const (
	sandboxHeaderTimeout = 5 * time.Second
	sandboxReadTimeout   = 30 * time.Second
	sandboxGrace         = time.Second
)

// sandboxSettings are the flags of finobs sandbox.
type sandboxSettings struct {
	listen, tokenFile, state, seed, mode string
	recovery                             time.Duration
}

func sandboxCommand() *cobra.Command {
	var s sandboxSettings
	cmd := &cobra.Command{
		Use:   "sandbox",
		Short: "Play a desk's systems, for demonstrations and simulation",
		Long: `Play a desk's systems behind the finobs connector protocol (docs/connectors.md): orders,
settlements, feeds, gateways and so on, on a bad morning. Every object is labelled
origin=demo. With --state, what was done survives kill -9.`,
		Example: "  openssl rand -hex 32 > sandbox-token; chmod 600 sandbox-token\n  finobs sandbox --token-file sandbox-token --state sandbox.jsonl",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runSandbox(cmd.Context(), s, cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&s.listen, "listen", "127.0.0.1:8479", "address to listen on; the port 0 takes a free one")
	flags.StringVar(&s.tokenFile, "token-file", "", "file of mode 0600 with the token that requests must bring (needed)")
	flags.StringVar(&s.state, "state", "", "file that keeps the state (default: it is lost at the end)")
	flags.StringVar(&s.seed, "seed", "", "file with the objects of an empty state (default: a desk on a bad morning)")
	flags.StringVar(&s.mode, "mode", string(approval.Simulation), "live or simulation: requests for the other are refused")
	flags.DurationVar(&s.recovery, "recovery", 3*time.Second, "how long a restart, a switch, a settlement and so on take")
	return cmd
}

func runSandbox(ctx context.Context, s sandboxSettings, out io.Writer) error {
	if s.tokenFile == "" {
		return errors.New("--token-file is missing; make one: openssl rand -hex 32 > sandbox-token; chmod 600 sandbox-token")
	}
	token, err := outbound.ReadSecret(s.tokenFile)
	if err != nil {
		return fmt.Errorf("--token-file: %w", err)
	}
	seed, err := sandboxSeed(s.seed)
	if err != nil {
		return err
	}
	desk, err := sandbox.Open(sandbox.Config{Token: token, Mode: s.mode, State: s.state, Seed: seed, Recovery: s.recovery, Now: time.Now})
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.listen)
	if err != nil {
		return errors.Join(fmt.Errorf("--listen: %w", err), desk.Close())
	}
	fmt.Fprintf(out, "sandbox of mode %s at http://%s\n", s.mode, listener.Addr())
	server := &http.Server{Handler: desk, ReadHeaderTimeout: sandboxHeaderTimeout, ReadTimeout: sandboxReadTimeout}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		err = stopSandbox(context.WithoutCancel(ctx), server)
	}
	return errors.Join(err, desk.Close())
}

// stopSandbox lets requests end, but not those that were told to hang.
func stopSandbox(ctx context.Context, server *http.Server) error {
	ctx, cancel := context.WithTimeout(ctx, sandboxGrace)
	defer cancel()
	if err := server.Shutdown(ctx); errors.Is(err, context.DeadlineExceeded) {
		return server.Close()
	} else if err != nil {
		return err
	}
	return nil
}

func sandboxSeed(path string) ([]sandbox.Object, error) {
	if path == "" {
		return sandbox.DefaultSeed()
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--seed: %w", err)
	}
	defer file.Close()
	seed, err := sandbox.LoadSeed(file)
	if err != nil {
		return nil, fmt.Errorf("--seed: %s: %w", path, err)
	}
	return seed, nil
}
