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

	"finobs/internal/config"
	"finobs/internal/store"

	"github.com/spf13/cobra"
)

const (
	healthTimeout = 3 * time.Second
	// healthSilence is after what silence a process is taken for dead; it gives signs
	// of life every 2 s or more often.
	healthSilence = 15 * time.Second
)

// healthcheckCommand is for container images that hold no other program. Each check
// looks at what the process does, not at whether it is there.
func healthcheckCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "healthcheck", Short: "Report by the exit code whether a process works: 0 it does, 1 it does not"}
	check := func(use, short string, look func(context.Context) error) *cobra.Command {
		return &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), healthTimeout)
			defer cancel()
			return look(ctx)
		}}
	}
	url := &cobra.Command{
		Use: "url URL", Short: "Whether a URL is answered with a status of 200 to 299", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), healthTimeout)
			defer cancel()
			return answers(ctx, args[0])
		},
	}
	cmd.AddCommand(
		check("api", "Whether the API of FINOBS_LISTEN answers", func(ctx context.Context) error { return apiAnswers(ctx, os.Getenv("FINOBS_LISTEN")) }),
		check("worker", "Whether the worker of this host gives signs of life, with the worker's settings", workerLives),
		check("sequencer", "Whether a sequencer gives signs of life and signs, with the sequencer's settings", sequencerLives),
		url,
	)
	return cmd
}

func apiAnswers(ctx context.Context, listen string) error {
	if listen == "" {
		listen = "127.0.0.1:8080"
	}
	_, port, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("FINOBS_LISTEN: %w", err)
	}
	return answers(ctx, "http://"+net.JoinHostPort("127.0.0.1", port)+"/healthz")
}

func answers(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	client := &http.Client{Timeout: healthTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // the status is the answer
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return nil
}

func workerLives(ctx context.Context) (err error) {
	c, err := config.Load[config.Worker]()
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("naming this host: %w", err)
	}
	db, err := store.OpenWriter(ctx, c.DatabaseURL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	alive, err := db.Alive(ctx, host, healthSilence)
	if err == nil && !alive {
		err = fmt.Errorf("no worker of %s gave a sign of life for %s", host, healthSilence)
	}
	return err
}

func sequencerLives(ctx context.Context) (err error) {
	c, err := config.Load[config.Sequencer]()
	if err != nil {
		return err
	}
	db, err := store.OpenSequencer(ctx, c.DatabaseURL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	alive, refused, err := db.Alive(ctx, healthSilence)
	switch {
	case err != nil:
		return err
	case refused != "":
		return fmt.Errorf("the log is not signed: %s", refused)
	case !alive:
		return fmt.Errorf("no sequencer gave a sign of life for %s", healthSilence)
	}
	return nil
}
