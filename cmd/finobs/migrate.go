package main

import (
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"finobs/internal/config"
	"finobs/internal/schema"
	"finobs/worker"

	"github.com/spf13/cobra"
)

func migrateCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "migrate", Short: "Change the database's schema"}
	up := &cobra.Command{
		Use: "up", Short: "Apply the migrations that wait, and register the search attributes", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load[config.Migrate]()
			if err != nil {
				return err
			}
			n, err := schema.Up(cmd.Context(), c.DatabaseURL)
			if err != nil {
				return err
			}
			fmt.Printf("%d migrations applied\n", n)
			t, err := connectTemporal(c.Temporal)
			if err != nil {
				return err
			}
			defer t.Close()
			return worker.RegisterSearchAttributes(cmd.Context(), t, c.Namespace)
		},
	}
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
			return schema.Bootstrap(cmd.Context(), url)
		},
	}
	cmd.AddCommand(up, down, status, bootstrap)
	return cmd
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
