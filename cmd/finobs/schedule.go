package main

import (
	"fmt"
	"time"

	"finobs/internal/schedule"

	"github.com/spf13/cobra"
)

func scheduleCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "schedule", Short: "Work with cron expressions"}
	var zone string
	var count int
	preview := &cobra.Command{
		Use:     "preview EXPRESSION",
		Short:   "Check a cron expression and show when it falls due",
		Example: "  finobs schedule preview '0 18 * * 1-5' --zone America/New_York",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := schedule.Parse(args[0], zone)
			if err != nil {
				return err
			}
			times := s.Next(time.Now(), count)
			if len(times) == 0 {
				return fmt.Errorf("%q never falls due", args[0])
			}
			for _, at := range times {
				fmt.Fprintln(cmd.OutOrStdout(), at.Format("Mon 2006-01-02 15:04 MST")+"  "+at.UTC().Format(time.RFC3339))
			}
			return nil
		},
	}
	preview.Flags().StringVar(&zone, "zone", "UTC", "time zone of the IANA database")
	preview.Flags().IntVarP(&count, "count", "n", 5, "how many times to show")
	cmd.AddCommand(preview)
	return cmd
}
