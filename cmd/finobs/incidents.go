package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"finobs/internal/client"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
)

var (
	incidentStatuses   = []string{"open", "acknowledged", "resolved", "closed"}
	incidentSeverities = []string{"low", "medium", "high", "critical"}
	incidentPriorities = []string{"p1", "p2", "p3", "p4"}
	incidentKinds      = []string{"trade_break", "failed_settlement", "system_outage", "other"}
	origins            = []string{"live", "demo"}
)

func incidentsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "incidents", Aliases: []string{"incident"}, Short: "Look at incidents, and deal with them"}
	cmd.AddCommand(incidentsListCommand(), incidentsShowCommand(), incidentsOpenCommand(), incidentsHistoryCommand(),
		incidentsActCommand("ack ID [NOTE]", "Say that you deal with an incident; nobody else is paged",
			func(ctx context.Context, c *conversation, id int64, note string) (client.Answer[client.IncidentActedView], error) {
				return c.PostIncidentsIDAcknowledge(ctx, id, client.NotedInputBody{Note: note})
			}),
		incidentsActCommand("unack ID [NOTE]", "Take an acknowledgement back; the ladder begins anew",
			func(ctx context.Context, c *conversation, id int64, note string) (client.Answer[client.IncidentActedView], error) {
				return c.PostIncidentsIDUnacknowledge(ctx, id, client.NotedInputBody{Note: note})
			}),
		incidentsActCommand("comment ID TEXT", "Say something about an incident",
			func(ctx context.Context, c *conversation, id int64, text string) (client.Answer[client.IncidentActedView], error) {
				return c.PostIncidentsIDComment(ctx, id, client.IncidentCommentInputBody{Text: text})
			}),
		incidentsActCommand("resolve ID RESOLUTION", "Say what ended an incident",
			func(ctx context.Context, c *conversation, id int64, text string) (client.Answer[client.IncidentActedView], error) {
				return c.PostIncidentsIDResolve(ctx, id, client.IncidentResolveInputBody{Resolution: text})
			}),
		incidentsActCommand("close ID [NOTE]", "Close an incident that is resolved",
			func(ctx context.Context, c *conversation, id int64, note string) (client.Answer[client.IncidentActedView], error) {
				return c.PostIncidentsIDClose(ctx, id, client.NotedInputBody{Note: note})
			}),
		incidentsActCommand("reopen ID REASON", "Say that an incident is not over",
			func(ctx context.Context, c *conversation, id int64, reason string) (client.Answer[client.IncidentActedView], error) {
				return c.PostIncidentsIDReopen(ctx, id, client.IncidentReopenInputBody{Reason: reason})
			}),
		incidentsAssignCommand(), incidentsRateCommand())
	return cmd
}

func incidentsListCommand() *cobra.Command {
	var p client.GetIncidentsParams
	var watch bool
	var every time.Duration
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List incidents, newest first", Args: cobra.NoArgs,
		Example: "  finobs incidents ls --status open --severity high\n  finobs incidents ls --overdue --watch",
	}
	f := cmd.Flags()
	choice(cmd, &p.Status, "status", "", "how far it is", incidentStatuses)
	choice(cmd, &p.Severity, "severity", "", "how bad it is", incidentSeverities)
	choice(cmd, &p.Priority, "priority", "", "how urgent it is", incidentPriorities)
	choice(cmd, &p.Kind, "kind", "", "what is wrong", incidentKinds)
	choice(cmd, &p.Origin, "origin", "", "default: both", origins)
	f.StringVar(&p.Desk, "desk", "", "desk")
	f.StringVar(&p.Owner, "owner", "", "queue")
	f.StringVar(&p.System, "system", "", "system")
	f.StringVar(&p.Assignee, "assignee", "", "sub of who has it")
	f.BoolVar(&p.Overdue, "overdue", false, "only those later than was promised")
	f.Int64VarP(&p.Limit, "limit", "n", 50, "how many, 500 at most")
	f.BoolVarP(&watch, "watch", "w", false, "look again and again, until interrupted")
	f.DurationVar(&every, "every", watchEvery, "how often --watch looks")
	return callCommand(cmd, "auditor", func(ctx context.Context, c *conversation) error {
		if watch {
			return c.watch(ctx, every, func(to *conversation) error { return to.listIncidents(ctx, p) })
		}
		return c.listIncidents(ctx, p)
	})
}

func (c *conversation) listIncidents(ctx context.Context, p client.GetIncidentsParams) error {
	page, err := c.GetIncidents(ctx, p)
	if err != nil {
		return err
	}
	return c.show(page.JSON, func() {
		var rows [][]string
		for _, i := range page.Body.Items {
			rows = append(rows, []string{
				fmt.Sprint(i.IncidentID), i.Priority, i.Severity, i.Status, who(i.Assignee), fmt.Sprint(i.Occurrences), minuteOf(i.OpenedAt), i.Title,
			})
		}
		c.table([]string{"ID", "PRIORITY", "SEVERITY", "STATUS", "ASSIGNEE", "REPORTED", "OPENED", "TITLE"}, rows)
		c.more(page.Body.NextBefore, len(rows))
	})
}

func incidentsShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show an incident and what happened in it", Args: cobra.ExactArgs(1), ValidArgsFunction: incidentIDs(),
	}
	return callCommand(cmd, "analyst", func(ctx context.Context, c *conversation) error {
		id, err := c.id(0, "incident")
		if err != nil {
			return err
		}
		i, err := c.GetIncidentsID(ctx, id)
		if err != nil || c.json {
			return errorOr(err, func() error { return c.printed(i.JSON) })
		}
		timeline, err := c.GetIncidentsIDTimeline(ctx, id, client.GetIncidentsIDTimelineParams{Limit: 50})
		if err != nil {
			return err
		}
		c.incident(i.Body)
		c.say("")
		for _, m := range timeline.Body.Items {
			c.moment(m)
		}
		c.say("\nyou may: %s", strings.Join(i.Body.AllowedActions, ", "))
		return nil
	})
}

func errorOr(err error, next func() error) error {
	if err != nil {
		return err
	}
	return next()
}

func (c *conversation) incident(i client.IncidentView) {
	c.say("Incident %d, %s: %s", i.IncidentID, i.Status, i.Title)
	c.say("%s, %s, %s; desk %s, queue %s, system %s; reported %d times since %s",
		i.Kind, i.Severity, i.Priority, named(i.Desk), named(i.Owner), named(i.System), i.Occurrences, i.OpenedAt.UTC().Format(time.RFC3339))
	for line := range strings.Lines(i.Description) {
		c.say("  %s", line)
	}
	c.say("assigned to %s", who(i.Assignee))
	for _, t := range []struct {
		what string
		at   *time.Time
	}{{"to be acknowledged by", i.AckDueAt}, {"to be resolved by", i.ResolveDueAt}} {
		if t.at != nil {
			c.say("%s %s", t.what, t.at.UTC().Format(time.RFC3339))
		}
	}
	if i.Resolution != "" {
		c.say("resolved: %s", i.Resolution)
	}
}

// moment prints what happened once in an incident.
func (c *conversation) moment(m client.MomentView) {
	var data struct {
		Type, Status, Channel string
		Count                 int64
	}
	if json.Unmarshal(m.Data, &data) != nil { // a kind that this program does not know
		data.Type = m.Kind
	}
	what := cmp.Or(map[string]string{
		"comment": "said", "entry": data.Type, "notification": "notification " + data.Status + " over " + data.Channel,
		"occurrences": fmt.Sprintf("reported %d times", data.Count),
	}[m.Kind], m.Kind)
	if m.Actor.Sub != "" {
		what += " by " + m.Actor.Sub
	}
	line := m.At.UTC().Format(time.DateTime) + "  " + quiet(what)
	if m.Text != "" {
		line += "  " + quiet(m.Text)
	}
	fmt.Fprintln(c.out, line)
}

func incidentsOpenCommand() *cobra.Command {
	var body client.OpenIncidentInputBody
	var key string
	cmd := &cobra.Command{
		Use: "open TITLE", Short: "Open an incident", Args: cobra.ExactArgs(1),
		Example: "  finobs incidents open 'fix-gateway-1 is down' --kind system_outage --severity high --system fix-gateway-1",
	}
	f := cmd.Flags()
	choice(cmd, &body.Kind, "kind", "other", "what is wrong", incidentKinds)
	choice(cmd, &body.Severity, "severity", "medium", "how bad it is", incidentSeverities)
	choice(cmd, &body.Origin, "origin", "live", "demo ones are kept apart", origins)
	f.StringVar(&body.Description, "description", "", "all that is known")
	f.StringVar(&body.System, "system", "", "where it is wrong")
	f.StringVar(&body.Owner, "owner", "", "the queue that has to deal with it")
	f.StringVar(&body.DedupKey, "dedup-key", "", "at most one open incident has it")
	f.StringVar(&key, "idempotency-key", "", "the same key opens one incident, however often it is sent")
	return callCommand(cmd, "analyst", func(ctx context.Context, c *conversation) error {
		body.Title = c.args[0]
		a, err := c.PostIncidents(ctx, client.PostIncidentsParams{IdempotencyKey: cmp.Or(key, uuid.NewString())}, body)
		if err != nil {
			return err
		}
		return c.show(a.JSON, func() {
			if id := a.Body.Incident.IncidentID; id != 0 {
				c.say("incident %d: %s", id, a.Body.Detail)
				return
			}
			c.say("%s", a.Body.Detail)
		})
	})
}

func incidentsHistoryCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "history ID", Short: "Show the ledger entries about an incident", Args: cobra.ExactArgs(1), ValidArgsFunction: incidentIDs(),
	}
	return callCommand(cmd, "auditor", func(ctx context.Context, c *conversation) error {
		id, err := c.id(0, "incident")
		if err != nil {
			return err
		}
		h, err := c.GetIncidentsIDHistory(ctx, id)
		if err != nil {
			return err
		}
		return c.show(h.JSON, func() { c.history(h.Body) })
	})
}
