package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"finobs/internal/approval"
	"finobs/internal/canonical"
	"finobs/internal/client"

	"github.com/gowebpki/jcs"
	"github.com/spf13/cobra"
)

// decideOptions are the flags of approvals approve and reject.
type decideOptions struct {
	reason, digest string
	yes            bool
}

func decideCommand(verdict, short string) *cobra.Command {
	var o decideOptions
	cmd := &cobra.Command{
		Use: verdict + " ID...", Short: short, Args: cobra.MinimumNArgs(1), ValidArgsFunction: approvalIDs("pending"),
		Long: short + ".\n\nWhat is shown is what the decision is over: its digest goes with the decision, and the API refuses when the\n" +
			"request is over another action by then. On a terminal the command asks for confirmation. Elsewhere give --yes,\n" +
			"and --digest of what was seen.",
		Example: fmt.Sprintf("  finobs approvals %s 42 --reason 'month-end review'\n  finobs approvals %s 42 --yes --digest sha256:…", verdict, verdict),
	}
	cmd.Flags().StringVar(&o.reason, "reason", "", "told to everybody, and kept on record")
	cmd.Flags().StringVar(&o.digest, "digest", "", "digest of the action that you saw, from approvals show")
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask for confirmation")
	return callCommand(cmd, "analyst", func(ctx context.Context, c *conversation) error {
		return c.decide(ctx, verdict, o)
	})
}

func (c *conversation) decide(ctx context.Context, verdict string, o decideOptions) error {
	if o.digest != "" && len(c.args) != 1 {
		return usage("--digest is of one request; decide on each by itself")
	}
	if !o.yes && !c.interactive() {
		return usage("to %s asks for confirmation, and the standard input is no terminal: look with approvals show, then give --yes, and --digest of what you saw", verdict)
	}
	body := client.BatchInputBody{Decision: verdict, Reason: o.reason}
	for n := range c.args {
		item, err := c.shown(ctx, n, o.digest)
		if err != nil {
			return err
		}
		body.Items = append(body.Items, item)
	}
	if !o.yes {
		if err := c.ask(verdict, &body); err != nil {
			return err
		}
	}
	a, err := c.PostApprovalBatchDecision(ctx, body)
	if err != nil {
		return err
	}
	if err := c.show(a.JSON, func() { c.outcomes(a.Body.Items) }); err != nil {
		return err
	}
	return refusedOf(a.Body)
}

// shown shows what would be decided on, and binds the decision to it.
func (c *conversation) shown(ctx context.Context, n int, digest string) (client.BatchItem, error) {
	id, err := c.id(n, "approval")
	if err != nil {
		return client.BatchItem{}, err
	}
	got, err := c.GetApprovalID(ctx, id)
	if err != nil {
		return client.BatchItem{}, err
	}
	a := got.Body
	if digest != "" && digest != a.ActionDigest {
		return client.BatchItem{}, exitError{exitRefused, fmt.Errorf("approval %d is over %s, not over %s; look at it again", id, a.ActionDigest, digest)}
	}
	text, same := digested(a.Action, a.ActionDigest)
	if !same {
		return client.BatchItem{}, exitError{exitRefused, fmt.Errorf("the action that the API shows of approval %d does not have the digest %s; do not decide on it", id, a.ActionDigest)}
	}
	to := c.aside
	to.say("approval %d is %s, %s risk, asked for by %s, due %s", id, a.Status, a.RiskTier, who(a.Requester), until(a.ExpiresAt, time.Now()))
	to.lines(a.Summary)
	to.lines(text)
	to.say("  digest %s\n", a.ActionDigest)
	return client.BatchItem{ApprovalRequestID: id, ActionDigest: a.ActionDigest}, nil
}

// ask asks whoever sits there for a reason, where none was given, and for
// confirmation.
func (c *conversation) ask(verdict string, body *client.BatchInputBody) error {
	if body.Reason == "" {
		fmt.Fprint(c.aside.out, "reason (may be empty): ")
		var err error
		if body.Reason, err = readLine(c.in); err != nil {
			return err
		}
	}
	question := fmt.Sprintf("%s approval %d?", verdict, body.Items[0].ApprovalRequestID)
	if n := len(body.Items); n > 1 {
		question = fmt.Sprintf("%s these %d requests?", verdict, n)
	}
	return c.confirm(strings.ToUpper(question[:1]) + question[1:])
}

func (c *conversation) outcomes(items []client.BatchOutcome) {
	for _, i := range items {
		switch {
		case i.Problem != nil:
			c.say("approval %d: refused: %s", i.ApprovalRequestID, i.Problem.Detail)
		case i.Decision.Recorded:
			c.say("approval %d: %s; the request is %s", i.ApprovalRequestID, i.Decision.Detail, i.Decision.Status)
		default:
			c.say("approval %d: %s", i.ApprovalRequestID, i.Decision.Detail)
		}
	}
}

// refusedOf is an error when some of a batch were refused.
func refusedOf(b client.BatchView) error {
	if b.Refused == 0 {
		return nil
	}
	code := exitRefused
	if len(b.Items) == 1 {
		code = exitCodeOf(int(b.Items[0].HTTPStatus))
	}
	return exitError{code, fmt.Errorf("%d decided, %d refused", b.Decided, b.Refused)}
}

// digested is the text of an action that its digest is over, and whether it has that
// digest.
func digested(action json.RawMessage, digest string) (text string, same bool) {
	canon, err := jcs.Transform(action)
	if err != nil {
		return string(action), false
	}
	return string(canon), canonical.DigestBytes(approval.ActionDigestDomain, canon) == digest
}
