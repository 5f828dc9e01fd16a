package main

import (
	"context"
	"strings"

	"finobs/internal/client"

	"github.com/spf13/cobra"
)

// incidentAct does something to an incident; text is the second argument.
type incidentAct func(ctx context.Context, c *conversation, id int64, text string) (client.Answer[client.IncidentActedView], error)

// incidentsActCommand makes a command of an act that takes words, which may be left
// out when use has them in brackets.
func incidentsActCommand(use, short string, do incidentAct) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.ExactArgs(2), ValidArgsFunction: incidentIDs()}
	if strings.HasSuffix(use, "]") {
		cmd.Args = cobra.RangeArgs(1, 2)
	}
	return callCommand(cmd, "analyst", func(ctx context.Context, c *conversation) error { return c.actOnIncident(ctx, do) })
}

func (c *conversation) actOnIncident(ctx context.Context, do incidentAct) error {
	id, err := c.id(0, "incident")
	if err != nil {
		return err
	}
	text := ""
	if len(c.args) > 1 {
		text = c.args[1]
	}
	a, err := do(ctx, c, id, text)
	if err != nil {
		return err
	}
	return c.show(a.JSON, func() { c.say("incident %d: %s", id, sayActed(a.Body.Status, a.Body.Detail)) })
}

func incidentsAssignCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "assign ID [SUB]", Short: "Say who has an incident; without SUB, nobody", Args: cobra.RangeArgs(1, 2), ValidArgsFunction: incidentIDs(),
	}
	reason := cmd.Flags().String("reason", "", "why")
	return callCommand(cmd, "analyst", func(ctx context.Context, c *conversation) error {
		return c.actOnIncident(ctx, func(ctx context.Context, c *conversation, id int64, sub string) (client.Answer[client.IncidentActedView], error) {
			body := client.IncidentAssignInputBody{Reason: *reason}
			if sub != "" {
				body.To = &client.Somebody{Sub: sub}
			}
			return c.PostIncidentsIDAssign(ctx, id, body)
		})
	})
}

func incidentsRateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "severity ID SEVERITY", Short: "Give an incident a severity that no machine changes", Args: cobra.ExactArgs(2),
		ValidArgsFunction: incidentIDs(incidentSeverities...),
	}
	reason := cmd.Flags().String("reason", "", "why")
	must(cmd.MarkFlagRequired("reason"))
	return callCommand(cmd, "analyst", func(ctx context.Context, c *conversation) error {
		return c.actOnIncident(ctx, func(ctx context.Context, c *conversation, id int64, severity string) (client.Answer[client.IncidentActedView], error) {
			return c.PostIncidentsIDSeverity(ctx, id, client.IncidentRateInputBody{Severity: severity, Reason: *reason})
		})
	})
}
