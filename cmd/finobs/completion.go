package main

import (
	"context"
	"fmt"
	"time"

	"finobs/internal/client"

	"github.com/spf13/cobra"
)

// completionWait is how long a shell waits for the API before it offers nothing.
const completionWait = 2 * time.Second

// completionMost is how many ids are offered.
const completionMost = 50

// completions asks the API what the first argument of a command may be, and offers
// then as the second one.
func completions(ask func(context.Context, *client.Client) ([]string, error), then ...string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		switch len(args) {
		case 0:
		case 1:
			return then, cobra.ShellCompDirectiveNoFileComp
		default:
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(context.Background(), completionWait)
		defer cancel()
		c, err := callerOf(ctx, cmd)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		found, err := ask(ctx, c.client())
		if err != nil { // the shell has no place for an error
			cobra.CompDebugln(err.Error(), false)
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return found, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

// approvalIDs completes ids of requests of a status, "" for any.
func approvalIDs(status string) cobra.CompletionFunc {
	return completions(func(ctx context.Context, c *client.Client) (out []string, err error) {
		page, err := c.GetApproval(ctx, client.GetApprovalParams{Status: status, Limit: completionMost})
		for _, a := range page.Body.Items {
			out = append(out, described(a.ApprovalRequestID, a.Status+", "+a.Kind+", by "+who(a.Requester)))
		}
		return out, err
	})
}

// incidentIDs completes ids of incidents, and then as the second argument.
func incidentIDs(then ...string) cobra.CompletionFunc {
	return completions(func(ctx context.Context, c *client.Client) (out []string, err error) {
		page, err := c.GetIncidents(ctx, client.GetIncidentsParams{Limit: completionMost})
		for _, i := range page.Body.Items {
			out = append(out, described(i.IncidentID, i.Status+", "+i.Severity+": "+i.Title))
		}
		return out, err
	}, then...)
}

// exportIDs completes ids of exports.
func exportIDs() cobra.CompletionFunc {
	return completions(func(ctx context.Context, c *client.Client) (out []string, err error) {
		page, err := c.GetExports(ctx, client.GetExportsParams{Limit: completionMost})
		for _, x := range page.Body.Items {
			out = append(out, described(x.ExportID, x.Status+", "+x.Dataset+" as "+x.Format))
		}
		return out, err
	})
}

// described is an id with words that the shell shows beside it.
func described(id int64, words string) string {
	return cobra.CompletionWithDesc(fmt.Sprint(id), quiet(words))
}
