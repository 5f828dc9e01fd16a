package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"finobs/internal/approval"
	"finobs/internal/client"

	"github.com/spf13/cobra"
)

func approvalsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "approvals", Aliases: []string{"approval"}, Short: "Look at requests for approval, and decide on them"}
	cmd.AddCommand(approvalsListCommand(), approvalsShowCommand(), approvalsHistoryCommand(), approvalsReceiptCommand(),
		decideCommand("approve", "Approve requests, each over exactly the action that is shown"),
		decideCommand("reject", "Reject requests, each over exactly the action that is shown"),
		approvalsActCommand("comment ID TEXT", "Say something about a request", cobra.ExactArgs(2), comment),
		approvalsActCommand("assign ID [SUB]", "Say who is to look at a request; without SUB, nobody", cobra.RangeArgs(1, 2), assign),
		approvalsActCommand("escalate ID", "Fire the next escalation of the ladder now", cobra.ExactArgs(1), escalate),
		approvalsActCommand("cancel ID", "Withdraw your own request", cobra.ExactArgs(1), cancelRequest),
		approvalsActCommand("revoke ID", "Take back an approval that is not used yet", cobra.ExactArgs(1), revoke),
		approvalsDelegateCommand())
	return cmd
}

// watchEvery is how often --watch looks.
const watchEvery = 2 * time.Second

func approvalsListCommand() *cobra.Command {
	var p client.GetApprovalParams
	var watch, escalated bool
	var every time.Duration
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Args: cobra.NoArgs,
		Short:   "List requests, those that wait by deadline",
		Example: "  finobs approvals ls --risk high\n  finobs approvals ls --status all --requester alice\n  finobs approvals ls --watch",
	}
	f := cmd.Flags()
	choice(cmd, &p.Status, "status", string(approval.Pending), "of requests, or all", append(approvalStatuses, "all"))
	choice(cmd, &p.RiskTier, "risk", "", "of the action", []string{"low", "medium", "high"})
	choice(cmd, &p.Sort, "sort", "", "default: deadline for those that wait, newest for others", []string{"newest", "deadline"})
	f.StringVar(&p.Kind, "kind", "", "kind of action, such as export.incidents")
	f.StringVar(&p.Desk, "desk", "", "desk")
	f.StringVar(&p.Requester, "requester", "", "sub of the requester")
	f.StringVar(&p.Assignee, "assignee", "", "sub of who is to look at it")
	f.BoolVar(&escalated, "escalated", false, "only those that an escalation was fired for")
	f.Int64VarP(&p.Limit, "limit", "n", 50, "how many, 500 at most")
	f.BoolVarP(&watch, "watch", "w", false, "look again and again, until interrupted")
	f.DurationVar(&every, "every", watchEvery, "how often --watch looks")
	return callCommand(cmd, "auditor", func(ctx context.Context, c *conversation) error {
		p.Sort = cmp.Or(p.Sort, map[bool]string{true: "deadline", false: "newest"}[p.Status == string(approval.Pending)])
		if p.Status == "all" {
			p.Status = ""
		}
		if escalated {
			p.Escalated = "true"
		}
		if watch {
			return c.watch(ctx, every, func(to *conversation) error { return to.listApprovals(ctx, p) })
		}
		return c.listApprovals(ctx, p)
	})
}

var approvalStatuses = []string{"pending", "approved", "consumed", "rejected", "expired", "cancelled", "superseded"}

func (c *conversation) listApprovals(ctx context.Context, p client.GetApprovalParams) error {
	page, err := c.GetApproval(ctx, p)
	if err != nil {
		return err
	}
	return c.show(page.JSON, func() {
		now := time.Now()
		var rows [][]string
		for _, a := range page.Body.Items {
			when := "closed " + until(deref(a.ClosedAt), now)
			if a.ClosedAt == nil {
				when = "due " + until(a.ExpiresAt, now)
			}
			rows = append(rows, []string{
				fmt.Sprint(a.ApprovalRequestID), a.Status, a.RiskTier, a.Kind, named(a.Desk), who(a.Requester), who(a.Assignee), when,
				named(strings.Join(a.Missing, "; ")),
			})
		}
		c.table([]string{"ID", "STATUS", "RISK", "ACTION", "DESK", "REQUESTER", "ASSIGNEE", "WHEN", "MISSING"}, rows)
		c.more(page.Body.NextBefore, len(rows))
	})
}

// more says that a list goes on.
func (c *conversation) more(next int64, shown int) {
	if next != 0 {
		c.aside.say("the first %d are shown; --limit shows more", shown)
	}
}

// deref is a value or, where there is none, the zero one.
func deref[T any](v *T) T {
	if v == nil {
		return *new(T)
	}
	return *v
}

// clear moves a terminal's cursor to the top and empties it.
const clear = "\x1b[H\x1b[2J"

// watch runs look again and again: on a terminal in place, elsewhere whenever what it
// prints has changed.
func (c *conversation) watch(ctx context.Context, every time.Duration, look func(*conversation) error) error {
	if every <= 0 {
		return usage("--every %s must be more than 0", every)
	}
	said := ""
	for {
		var page strings.Builder
		to := *c
		to.out = &page
		if err := look(&to); err != nil {
			return err
		}
		if c.width > 0 {
			page.WriteString("\n" + time.Now().Format(time.TimeOnly) + "\n")
		}
		if now := page.String(); now != said {
			if c.width > 0 {
				now = clear + now
			}
			if _, err := io.WriteString(c.out, now); err != nil {
				return fmt.Errorf("printing: %w", err)
			}
			said = page.String()
		}
		select {
		case <-time.After(every):
		case <-ctx.Done():
			return nil // interrupted, as is meant
		}
	}
}

func approvalsShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show exactly what is asked for, who decided, and what is missing",
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
		return c.show(a.JSON, func() {
			explain(c.screen, a.Body, time.Now())
			text, same := digested(a.Body.Action, a.Body.ActionDigest)
			c.say("\nthe action, in canonical JSON")
			c.lines(text)
			c.say("  digest %s", a.Body.ActionDigest)
			if !same {
				c.say("  the action does NOT have this digest; do not decide on it")
			}
			for _, said := range a.Body.Comments {
				c.say("\n%s said at %s", who(said.Author), minuteOf(said.CreatedAt))
				c.lines(said.Text)
			}
			c.say("\nyou may: %s", named(strings.Join(a.Body.AllowedActions, ", ")))
		})
	})
}

func approvalsHistoryCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "history ID", Short: "Show the ledger entries about a request",
		Args: cobra.ExactArgs(1), ValidArgsFunction: approvalIDs(""),
	}
	return callCommand(cmd, "auditor", func(ctx context.Context, c *conversation) error {
		id, err := c.id(0, "approval")
		if err != nil {
			return err
		}
		h, err := c.GetApprovalIDHistory(ctx, id)
		if err != nil {
			return err
		}
		return c.show(h.JSON, func() { c.history(h.Body) })
	})
}

// history prints ledger entries.
func (c *conversation) history(h client.HistoryView) {
	var rows [][]string
	for _, e := range h.Entries {
		rows = append(rows, []string{e.RecordedAt.UTC().Format(time.DateTime), e.Type, e.ActorType, who(e.Actor), named(e.Outcome), e.Reason})
	}
	c.table([]string{"AT", "ENTRY", "ACTOR", "WHO", "OUTCOME", "REASON"}, rows)
}

func approvalsReceiptCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "receipt ID", Short: "Print all that finaudit receipt needs to verify the decisions offline", Args: cobra.ExactArgs(1),
		ValidArgsFunction: approvalIDs(""), Example: "  finobs approvals receipt 42 -o 42.json && finaudit receipt --receipt 42.json --key decision.pub",
	}
	file := cmd.Flags().StringP("output", "o", "", "file to write (default: the standard output)")
	return callCommand(cmd, "analyst", func(ctx context.Context, c *conversation) error {
		id, err := c.id(0, "approval")
		if err != nil {
			return err
		}
		r, err := c.GetApprovalIDReceipt(ctx, id)
		if err != nil || *file == "" {
			return errors.Join(err, c.printed(r.JSON))
		}
		if err := os.WriteFile(*file, r.JSON, 0o644); err != nil {
			return fmt.Errorf("keeping the receipt: %w", err)
		}
		return nil
	})
}

// printed prints an answer as it was sent.
func (c *conversation) printed(sent json.RawMessage) error {
	if len(sent) == 0 {
		return nil
	}
	_, err := fmt.Fprintf(c.out, "%s\n", sent)
	return err
}

// choice adds a flag that takes one of some words.
func choice(cmd *cobra.Command, into *string, name, usual, about string, words []string) {
	cmd.Flags().StringVar(into, name, usual, strings.Join(words, ", ")+": "+about)
	must(cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(slices.Clone(words), cobra.ShellCompDirectiveNoFileComp)))
}

// must is for what only a mistake in a command's own code makes fail.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
