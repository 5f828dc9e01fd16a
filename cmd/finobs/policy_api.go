package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"finobs/internal/approval"
	"finobs/internal/client"

	"github.com/spf13/cobra"
)

func policyExplainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "explain ID", Short: "Say in words what an approval asks for, who decided, and what is missing",
		Args: cobra.ExactArgs(1), ValidArgsFunction: approvalIDs(""),
	}
	return callCommand(cmd, "auditor", func(ctx context.Context, c *conversation) error {
		id, err := c.id(0, "approval")
		if err != nil {
			return err
		}
		a, err := c.GetApprovalID(ctx, id)
		if err != nil {
			return err
		}
		return c.show(a.JSON, func() { explain(c.screen, a.Body, time.Now()) })
	})
}

func policyActivateCommand() *cobra.Command {
	var body client.ActivateInputBody
	var force, renew bool
	cmd := &cobra.Command{Use: "activate FILE", Short: "Ask to put a policy file in force, once approved", Args: cobra.ExactArgs(1)}
	cmd.Flags().StringVar(&body.Reason, "reason", "", "told to the approvers")
	cmd.Flags().BoolVar(&force, "force", false, "ask although the roster cannot satisfy every policy")
	cmd.Flags().BoolVar(&renew, "renew", false, "ask again although the same file was decided on before")
	return callCommand(cmd, "admin", func(ctx context.Context, c *conversation) error {
		if _, err := loadPolicyFile(c.args[0]); err != nil {
			return err
		}
		content, err := os.ReadFile(c.args[0])
		if err != nil {
			return fmt.Errorf("reading policies: %w", err)
		}
		body.Content, body.Force, body.Renew = string(content), &force, &renew
		a, err := c.PostPolicies(ctx, body)
		if err != nil {
			return err
		}
		return c.show(a.JSON, func() { c.activated(a) })
	})
}

func (c *conversation) activated(a client.Answer[client.ChangeView]) {
	if a.Status == http.StatusOK {
		c.say("these policies are in force")
		return
	}
	id := deref(a.Body.ApprovalRequestID)
	c.say("%s: approval %d is %s", a.Body.Detail, id, a.Body.Status)
	if a.Body.Status != string(approval.Pending) {
		c.say("nobody has to decide any more; finobs policy show says when the policies are in force")
		return
	}
	c.say("\nfinobs policy explain %d says whose approval is missing. Somebody else approves with\n  finobs approvals approve %d", id, id)
}

func policyShowCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "show", Short: "Say in words which policies are in force", Args: cobra.NoArgs}
	return callCommand(cmd, "auditor", func(ctx context.Context, c *conversation) error {
		set, err := c.GetPolicies(ctx)
		if err != nil {
			return err
		}
		return c.show(set.JSON, func() { c.policies(set.Body) })
	})
}

func (c *conversation) policies(set client.PolicySetView) {
	by := "by the first start on this database"
	if set.ApprovalRequestID != nil {
		by = fmt.Sprintf("asked for by %q, approval %d", set.ActivatedBy.Sub, *set.ApprovalRequestID)
	}
	c.say("policy set %d, in force since %s, %s\nSHA-256 %s\nthe first policy that matches an action governs it",
		set.PolicySetID, set.ActivatedAt.UTC().Format(time.RFC3339), by, set.Sha256)
	for _, p := range set.Policies {
		c.say("\n%s", p.ID)
		for _, line := range p.Words {
			c.lines(line)
		}
	}
}

// roster reads everybody on the roster, page by page.
func (c caller) roster(ctx context.Context) (approval.Roster, error) {
	var out approval.Roster
	for p := (client.GetUsersParams{Limit: 500}); ; {
		page, err := c.client().GetUsers(ctx, p)
		if err != nil {
			return nil, err
		}
		for _, u := range page.Body.Items {
			out = append(out, approval.Member{
				Person: approval.Person{Issuer: u.Iss, Subject: u.Sub}, Kind: approval.ActorKind(u.Kind), Roles: u.Roles, Desk: u.Desk, Active: u.Active,
			})
		}
		if p.After = page.Body.NextAfter; p.After == "" {
			return out, nil
		}
	}
}
