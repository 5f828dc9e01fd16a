package main

import (
	"context"
	"errors"
	"time"

	"finobs/internal/client"

	"github.com/spf13/cobra"
)

func tailCommand() *cobra.Command {
	var f client.Following
	streams := []string{client.StreamIncidents, client.StreamApprovals, client.StreamCompliance}
	cmd := &cobra.Command{
		Use: "tail [incidents|approvals|compliance]", Short: "Follow what happens, as it happens",
		Long: "Follow what happens, as it happens: one stream, or all that you may read. A lost connection is made again, and\n" +
			"nothing is missed or shown twice. --after goes on where an earlier run stopped: each event has a cursor.",
		Example: "  finobs tail approvals\n  finobs tail --after 1234 --json | jq .type",
		Args:    cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs), ValidArgs: streams,
	}
	cmd.Flags().StringVar(&f.After, "after", "", "cursor of the last event that you saw (default: from now on)")
	return callCommand(cmd, "analyst", func(ctx context.Context, c *conversation) error {
		stream := client.StreamAll
		if len(c.args) == 1 {
			stream = c.args[0]
		}
		f.Broken = func(why error, again time.Duration) {
			c.aside.say("finobs: %s; trying again in %s", why.Error(), again.Round(time.Millisecond))
		}
		err := c.Follow(ctx, stream, f, c.event)
		if errors.Is(err, context.Canceled) {
			return nil // interrupted, as is meant
		}
		return err
	})
}

// event prints one event on a line.
func (c *conversation) event(e client.Event) error {
	return c.show(e.JSON, func() {
		about := named(e.Subject.Type) + " " + e.Subject.ID
		if e.IsSimulation {
			about += " (simulation)"
		}
		// The widths are those of most events; longer texts move what follows.
		c.say("%8s  %s  %-10s  %-24s  %-20s  %-6s  %s %s", e.Cursor, e.At.UTC().Format(time.DateTime), e.Stream, e.Type, about,
			named(e.Desk), e.Actor.Type, e.Actor.Sub)
	})
}
