package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"finobs/internal/config"
	"finobs/internal/schema"
	"finobs/worker"

	"github.com/spf13/cobra"
)

func migrateCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "migrate", Short: "Change the database's schema"}
	var dev, passwords bool
	up := &cobra.Command{
		Use: "up", Short: "Apply the migrations that wait, and register the search attributes", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load[config.Migrate]()
			if err != nil {
				return err
			}
			before, err := schema.List(cmd.Context(), c.DatabaseURL)
			if err != nil {
				return err
			}
			n, err := schema.Up(cmd.Context(), c.DatabaseURL)
			if err != nil {
				return err
			}
			fmt.Printf("%d migrations applied\n", n)
			if err := markDev(cmd.Context(), c.DatabaseURL, dev && n == len(before)); err != nil {
				return err
			}
			t, err := connectTemporal(c.Temporal)
			if err != nil {
				return err
			}
			defer t.Close()
			return worker.RegisterSearchAttributes(cmd.Context(), t, c.Namespace)
		},
	}
	up.Flags().BoolVar(&dev, "mark-dev", false, "mark a database that was empty as one for development, where local tokens count")
	var steps int
	down := &cobra.Command{
		Use: "down", Short: "Take back migrations, and the data of their tables with them", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load[config.Migrate]()
			if err != nil {
				return err
			}
			if steps < 1 {
				return fmt.Errorf("--steps is %d; it must be at least 1", steps)
			}
			n, err := schema.Down(cmd.Context(), c.DatabaseURL, steps)
			fmt.Printf("%d migrations taken back\n", n)
			return err
		},
	}
	down.Flags().IntVar(&steps, "steps", 1, "how many")
	status := &cobra.Command{
		Use: "status", Short: "List migrations and when they were applied", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load[config.Migrate]()
			if err != nil {
				return err
			}
			return printStatus(cmd, c.DatabaseURL)
		},
	}
	bootstrap := &cobra.Command{
		Use:   "bootstrap",
		Short: "Make the roles in the database that FINOBS_DATABASE_URL names as administrator",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			url := os.Getenv("FINOBS_DATABASE_URL")
			if url == "" {
				return fmt.Errorf("set FINOBS_DATABASE_URL to an administrator's URL of the database")
			}
			if err := schema.Bootstrap(cmd.Context(), url); err != nil || !passwords {
				return err
			}
			return setPasswords(cmd.Context(), url)
		},
	}
	bootstrap.Flags().BoolVar(&passwords, "passwords", false, "also give the login roles the passwords that FINOBS_API_DATABASE_URL and its kin have")
	cmd.AddCommand(up, down, status, bootstrap)
	return cmd
}

// markDev marks a database whose schema was just made.
func markDev(ctx context.Context, databaseURL string, fresh bool) error {
	if !fresh {
		return nil // one that was there before may serve more than a developer
	}
	return schema.MarkEnvironment(ctx, databaseURL, "dev")
}

// setPasswords gives the login roles the passwords of the URLs that their processes
// will use.
func setPasswords(ctx context.Context, adminURL string) error {
	for _, role := range schema.LoginRoles() {
		name := strings.ToUpper(role) + "_DATABASE_URL"
		u, err := url.Parse(os.Getenv(name))
		if err != nil {
			return fmt.Errorf("%s is no URL", name) // which would quote a password
		}
		password, has := u.User.Password()
		if !has || u.User.Username() != role {
			return fmt.Errorf("%s must be a URL with the user %s and a password", name, role)
		}
		if err := schema.SetPassword(ctx, adminURL, role, password); err != nil {
			return err
		}
	}
	return nil
}

func printStatus(cmd *cobra.Command, databaseURL string) error {
	list, err := schema.List(cmd.Context(), databaseURL)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	for _, m := range list {
		applied := "waits"
		if !m.AppliedAt.IsZero() {
			applied = m.AppliedAt.Format(time.RFC3339)
		}
		fmt.Fprintf(w, "%s\t%s\n", m.ID, applied)
	}
	return w.Flush()
}
