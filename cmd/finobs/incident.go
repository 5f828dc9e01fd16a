package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"finobs/internal/plaintext"

	"github.com/spf13/cobra"
)

func incidentCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "incident", Short: "Look at incidents, and say that one deals with them"}
	cmd.AddCommand(incidentListCommand(), incidentShowCommand(),
		incidentActCommand("ack", "acknowledge", "note", "Say that you deal with an incident; nobody else is paged", false),
		incidentActCommand("comment", "comment", "text", "Say something about an incident", true),
		incidentActCommand("resolve", "resolve", "resolution", "Say what ended an incident", true),
		incidentActCommand("close", "close", "note", "Close an incident that is resolved", false),
		incidentActCommand("reopen", "reopen", "reason", "Say that an incident is not over", true),
		incidentAssignCommand())
	return cmd
}

// listedIncident is what the commands need of an incident.
type listedIncident struct {
	ID          int64             `json:"incident_id"`
	Kind        string            `json:"kind"`
	Severity    string            `json:"severity"`
	Priority    string            `json:"priority"`
	Status      string            `json:"status"`
	Title       string            `json:"title"`
	Description string            `json:"description"`
	Desk        string            `json:"desk"`
	Owner       string            `json:"owner"`
	System      string            `json:"system"`
	Assignee    *explainedPerson  `json:"assignee"`
	Details     map[string]string `json:"details"`
	Occurrences int64             `json:"occurrences"`
	Version     int64             `json:"version"`
	OpenedAt    time.Time         `json:"opened_at"`
	AckDueAt    *time.Time        `json:"ack_due_at"`
	ResolveDue  *time.Time        `json:"resolve_due_at"`
	Resolution  string            `json:"resolution"`
	Allowed     []string          `json:"allowed_actions"`
}

func (i listedIncident) assignee() string {
	if i.Assignee == nil {
		return "-"
	}
	return i.Assignee.Subject
}

func incidentListCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List incidents, newest first", Args: cobra.NoArgs}
	call := apiFlags(cmd, "viewer")
	filters := map[string]*string{}
	for name, about := range map[string]string{
		"status": "open, acknowledged, resolved or closed", "severity": "low, medium, high or critical", "priority": "p1, p2, p3 or p4",
		"kind": "trade_break, failed_settlement, system_outage or other", "desk": "desk", "owner": "queue", "system": "system", "assignee": "sub of who has it",
	} {
		filters[name] = cmd.Flags().String(name, "", about)
	}
	overdue := cmd.Flags().Bool("overdue", false, "only those later than was promised")
	limit := cmd.Flags().IntP("limit", "n", 50, "how many")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := call(cmd.Context())
		if err != nil {
			return err
		}
		query := url.Values{"limit": {strconv.Itoa(*limit)}}
		for name, value := range filters {
			if *value != "" {
				query.Set(name, *value)
			}
		}
		if *overdue {
			query.Set("overdue", "true")
		}
		var page struct{ Items []listedIncident }
		if err := c.get(cmd.Context(), "/incidents?"+query.Encode(), &page); err != nil {
			return err
		}
		out := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		fmt.Fprintln(out, "ID\tPRIORITY\tSEVERITY\tSTATUS\tASSIGNEE\tREPORTED\tOPENED\tTITLE")
		for _, i := range page.Items {
			fmt.Fprintf(out, "%d\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", i.ID, i.Priority, i.Severity, i.Status, quiet(i.assignee()), i.Occurrences,
				i.OpenedAt.UTC().Format("2006-01-02 15:04"), quiet(i.Title))
		}
		return out.Flush()
	}
	return cmd
}

func incidentShowCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "show ID", Short: "Show an incident and what happened in it", Args: cobra.ExactArgs(1)}
	call := apiFlags(cmd, "analyst")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := incidentID(args[0])
		if err != nil {
			return err
		}
		c, err := call(cmd.Context())
		if err != nil {
			return err
		}
		return c.showIncident(cmd.Context(), id, cmd.OutOrStdout())
	}
	return cmd
}

func (c caller) showIncident(ctx context.Context, id string, out io.Writer) error {
	var i listedIncident
	if err := c.get(ctx, "/incidents/"+id, &i); err != nil {
		return err
	}
	fmt.Fprintf(out, "Incident %d, %s: %s\n%s, %s, %s; desk %s, queue %s, system %s; reported %d times since %s\n", i.ID, i.Status, quiet(i.Title),
		i.Kind, i.Severity, i.Priority, named(i.Desk), named(i.Owner), named(i.System), i.Occurrences, i.OpenedAt.UTC().Format(time.RFC3339))
	for _, line := range strings.Split(i.Description, "\n") {
		if line != "" {
			fmt.Fprintln(out, "  "+quiet(line))
		}
	}
	fmt.Fprintln(out, "assigned to "+quiet(i.assignee()))
	for _, t := range []struct {
		what string
		at   *time.Time
	}{{"to be acknowledged by", i.AckDueAt}, {"to be resolved by", i.ResolveDue}} {
		if t.at != nil {
			fmt.Fprintln(out, t.what+" "+t.at.UTC().Format(time.RFC3339))
		}
	}
	if i.Resolution != "" {
		fmt.Fprintln(out, "resolved: "+quiet(i.Resolution))
	}
	var timeline struct {
		Items []struct {
			At    time.Time
			Kind  string
			Actor *explainedPerson
			Text  string
			Data  struct {
				Type, Status, Channel string
				Count                 int64
			}
		}
	}
	if err := c.get(ctx, "/incidents/"+id+"/timeline?limit=50", &timeline); err != nil {
		return err
	}
	fmt.Fprintln(out)
	for _, m := range timeline.Items {
		what := map[string]string{
			"comment": "said", "entry": m.Data.Type, "notification": "notification " + m.Data.Status + " over " + m.Data.Channel,
			"occurrences": fmt.Sprintf("reported %d times", m.Data.Count),
		}[m.Kind]
		if m.Actor != nil {
			what += " by " + m.Actor.Subject
		}
		fmt.Fprintln(out, strings.TrimRight(m.At.UTC().Format("2006-01-02 15:04:05")+"  "+quiet(what)+"  "+quiet(m.Text), " "))
	}
	fmt.Fprintln(out, "\nyou may: "+strings.Join(i.Allowed, ", "))
	return nil
}

// incidentActCommand does an act that takes words.
func incidentActCommand(name, route, member, short string, needed bool) *cobra.Command {
	cmd := &cobra.Command{Use: name + " ID [" + strings.ToUpper(member) + "]", Short: short, Args: cobra.RangeArgs(1, 2)}
	if needed {
		cmd.Use, cmd.Args = name+" ID "+strings.ToUpper(member), cobra.ExactArgs(2)
	}
	call := apiFlags(cmd, "analyst")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		body := map[string]any{}
		if len(args) == 2 {
			body[member] = args[1]
		}
		return actOnIncident(cmd, call, args[0], route, body)
	}
	return cmd
}

func incidentAssignCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "assign ID [SUB]", Short: "Say who has an incident; without SUB, nobody", Args: cobra.RangeArgs(1, 2)}
	call := apiFlags(cmd, "analyst")
	reason := cmd.Flags().String("reason", "", "why")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		body := map[string]any{"reason": *reason}
		if len(args) == 2 {
			body["to"] = map[string]string{"sub": args[1]}
		}
		return actOnIncident(cmd, call, args[0], "assign", body)
	}
	return cmd
}

func actOnIncident(cmd *cobra.Command, call func(context.Context) (caller, error), arg, route string, body map[string]any) error {
	id, err := incidentID(arg)
	if err != nil {
		return err
	}
	c, err := call(cmd.Context())
	if err != nil {
		return err
	}
	a, err := c.expect(cmd.Context(), http.MethodPost, "/incidents/"+id+"/"+route, body, http.StatusOK, http.StatusAccepted)
	if err != nil {
		return err
	}
	what := a.field("status")
	if what == "" {
		what = a.field("detail")
	}
	fmt.Fprintf(cmd.OutOrStdout(), "incident %s: %s\n", id, what)
	return nil
}

// quiet shows text from outside so that it stays on its line of the terminal.
func quiet(text string) string { return plaintext.Line(text, 200) }

// named is quiet, with a dash for no name.
func named(text string) string {
	if text == "" {
		return "-"
	}
	return quiet(text)
}

func incidentID(arg string) (string, error) {
	if n, err := strconv.ParseInt(arg, 10, 64); err != nil || n < 1 {
		return "", fmt.Errorf("%q is no incident id; give its number, such as 42", arg)
	}
	return arg, nil
}
