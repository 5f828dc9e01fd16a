package main

import (
	"context"
	"time"

	"finobs/internal/client"

	"github.com/spf13/cobra"
)

// act does something to a request; more are the arguments after its id.
type act func(ctx context.Context, c *conversation, id int64, more []string, reason string) (client.Answer[client.ActedView], error)

func comment(ctx context.Context, c *conversation, id int64, more []string, _ string) (client.Answer[client.ActedView], error) {
	return c.PostApprovalIDComment(ctx, id, client.CommentInputBody{Text: more[0]})
}

func assign(ctx context.Context, c *conversation, id int64, more []string, reason string) (client.Answer[client.ActedView], error) {
	body := client.AssignInputBody{Reason: reason}
	if len(more) > 0 {
		body.To = &client.Somebody{Sub: more[0]}
	}
	return c.PostApprovalIDAssign(ctx, id, body)
}

func escalate(ctx context.Context, c *conversation, id int64, _ []string, reason string) (client.Answer[client.ActedView], error) {
	return c.PostApprovalIDEscalate(ctx, id, client.ReasonBody{Reason: reason})
}

func cancelRequest(ctx context.Context, c *conversation, id int64, _ []string, reason string) (client.Answer[client.ActedView], error) {
	return c.PostApprovalIDCancel(ctx, id, client.ReasonBody{Reason: reason})
}

func revoke(ctx context.Context, c *conversation, id int64, _ []string, reason string) (client.Answer[client.ActedView], error) {
	return c.PostApprovalIDRevoke(ctx, id, client.ReasonBody{Reason: reason})
}

func approvalsActCommand(use, short string, args cobra.PositionalArgs, do act) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: args, ValidArgsFunction: approvalIDs("")}
	reason := cmd.Flags().String("reason", "", "why, for the record")
	return callCommand(cmd, "analyst", func(ctx context.Context, c *conversation) error {
		return c.actOnApproval(ctx, *reason, do)
	})
}

func (c *conversation) actOnApproval(ctx context.Context, reason string, do act) error {
	id, err := c.id(0, "approval")
	if err != nil {
		return err
	}
	a, err := do(ctx, c, id, c.args[1:], reason)
	if err != nil {
		return err
	}
	return c.show(a.JSON, func() { c.say("approval %d: %s", id, sayActed(a.Body.Status, a.Body.Detail)) })
}

// sayActed says what became of an act: the status it led to, or that it is accepted.
func sayActed(status, detail string) string {
	if status == "" {
		return detail
	}
	return status
}

// delegation is how long a delegation lasts that gives no length.
const delegation = 8 * time.Hour

func approvalsDelegateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "delegate ID SUB", Short: "Let somebody decide on a request in your place, for a while", Args: cobra.ExactArgs(2),
		ValidArgsFunction: approvalIDs("pending"), Example: "  finobs approvals delegate 42 carol --for 2h --reason 'I am in a meeting'",
	}
	reason := cmd.Flags().String("reason", "", "why, for the record")
	length := cmd.Flags().Duration("for", delegation, "how long")
	must(cmd.MarkFlagRequired("reason"))
	return callCommand(cmd, "analyst", func(ctx context.Context, c *conversation) error {
		if *length <= 0 {
			return usage("--for %s must be more than 0", *length)
		}
		return c.actOnApproval(ctx, *reason, func(ctx context.Context, c *conversation, id int64, more []string, reason string) (client.Answer[client.ActedView], error) {
			return c.PostApprovalIDDelegate(ctx, id, client.Term{To: client.Somebody{Sub: more[0]}, EndsAt: time.Now().Add(*length), Reason: reason})
		})
	})
}
