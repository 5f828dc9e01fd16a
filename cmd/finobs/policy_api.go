package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func policyExplainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain ID",
		Short: "Say in words what an approval asks for, who decided, and what is missing",
		Args:  cobra.ExactArgs(1),
	}
	call := apiFlags(cmd, "viewer")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := strconv.ParseInt(args[0], 10, 64)
		if err != nil || id < 1 {
			return fmt.Errorf("%q is no approval id; give its number, such as 42", args[0])
		}
		c, err := call(cmd.Context())
		if err != nil {
			return err
		}
		return c.explain(cmd.Context(), id, cmd.OutOrStdout())
	}
	return cmd
}

type explainedPerson struct {
	Subject string `json:"sub"`
}

// explained is what the command needs of GET /approval/{id}.
type explained struct {
	ID           int64            `json:"approval_request_id"`
	Status       string           `json:"status"`
	StatusReason string           `json:"status_reason"`
	Reason       string           `json:"reason"`
	Summary      string           `json:"summary"`
	Stage        int              `json:"stage"`
	Assignee     *explainedPerson `json:"assignee"`
	Escalations  int              `json:"escalation_level"`
	Fallback     bool             `json:"fallback"`
	CreatedAt    time.Time        `json:"created_at"`
	ExpiresAt    time.Time        `json:"expires_at"`
	ClosedAt     *time.Time       `json:"closed_at"`
	UseBy        *time.Time       `json:"use_by"`
	ConsumedAt   *time.Time       `json:"consumed_at"`
	Explanation  []string         `json:"explanation"`
	FiredRungs   []string         `json:"fired_rungs"`
	Decisions    []struct {
		Verdict    string           `json:"verdict"`
		Approver   explainedPerson  `json:"approver"`
		OnBehalfOf *explainedPerson `json:"on_behalf_of"`
		Reason     string           `json:"reason"`
		Outcome    string           `json:"outcome"`
		Why        string           `json:"outcome_reason"`
		DecidedAt  time.Time        `json:"decided_at"`
	} `json:"decisions"`
}

func (c caller) explain(ctx context.Context, id int64, out io.Writer) error {
	a, err := c.expect(ctx, http.MethodGet, "/approval/"+strconv.FormatInt(id, 10), nil, http.StatusOK, http.StatusNotFound)
	if err != nil {
		return err
	}
	if a.Status == http.StatusNotFound {
		return fmt.Errorf("there is no approval %d at %s; GET /approval/ lists those that there are", id, c.base)
	}
	var e explained
	if err := json.Unmarshal(a.Body, &e); err != nil {
		return fmt.Errorf("reading the API's answer about approval %d: %w", id, err)
	}
	e.print(out, time.Now())
	return nil
}

func (e explained) print(out io.Writer, now time.Time) {
	fmt.Fprintf(out, "approval %d is %s\n", e.ID, e.Status)
	if e.StatusReason != "" {
		fmt.Fprintf(out, "  because: %q\n", e.StatusReason)
	}
	fmt.Fprintln(out, "\nwhat is asked")
	printIndented(out, strings.Split(strings.TrimRight(e.Summary, "\n"), "\n"))
	if e.Reason != "" {
		fmt.Fprintf(out, "  reason given: %q\n", e.Reason)
	}
	fmt.Fprintln(out, "\nwho decided")
	printIndented(out, e.deciders())
	fmt.Fprintln(out, "\nhow it stands")
	printIndented(out, e.Explanation)
	fmt.Fprintln(out, "\nwhen")
	printIndented(out, e.times(now))
	fmt.Fprintln(out, "\nladder")
	printIndented(out, e.ladder())
}

func printIndented(out io.Writer, lines []string) {
	for _, line := range lines {
		fmt.Fprintln(out, "  "+line)
	}
}

func (e explained) deciders() []string {
	if len(e.Decisions) == 0 {
		return []string{"nobody"}
	}
	var lines []string
	for _, d := range e.Decisions {
		line := fmt.Sprintf("%s: %q", d.Verdict, d.Approver.Subject)
		if d.OnBehalfOf != nil {
			line += fmt.Sprintf(" for %q", d.OnBehalfOf.Subject)
		}
		line += " at " + d.DecidedAt.UTC().Format(time.RFC3339) + ", " + d.Outcome
		if d.Why != "" {
			line += ": " + d.Why
		}
		if d.Reason != "" {
			line += fmt.Sprintf(" (reason given: %q)", d.Reason)
		}
		lines = append(lines, line)
	}
	return lines
}

func (e explained) times(now time.Time) []string {
	lines := []string{"asked for at " + e.CreatedAt.UTC().Format(time.RFC3339)}
	deadline := "deadline " + e.ExpiresAt.UTC().Format(time.RFC3339)
	if left := e.ExpiresAt.Sub(now).Round(time.Second); e.Status == "pending" {
		switch {
		case left > 0:
			deadline += ", in " + left.String()
		default:
			deadline += ", which has passed"
		}
	}
	lines = append(lines, deadline)
	if e.Status == "pending" && e.Stage > 0 {
		lines = append(lines, fmt.Sprintf("stage %d is open", e.Stage))
	}
	for _, at := range []struct {
		what string
		when *time.Time
	}{{"decided or closed at", e.ClosedAt}, {"may be used until", e.UseBy}, {"used at", e.ConsumedAt}} {
		if at.when != nil {
			lines = append(lines, at.what+" "+at.when.UTC().Format(time.RFC3339))
		}
	}
	return lines
}

func (e explained) ladder() []string {
	fired := "no reminder and no escalation has fired"
	if len(e.FiredRungs) > 0 {
		fired = "fired: " + strings.Join(e.FiredRungs, ", ")
	}
	lines := []string{fired}
	if e.Escalations > 0 {
		lines = append(lines, fmt.Sprintf("escalation level %d", e.Escalations))
	}
	if e.Fallback {
		lines = append(lines, "the policy's fallback list is admitted")
	}
	if e.Assignee != nil {
		lines = append(lines, fmt.Sprintf("assigned to %q", e.Assignee.Subject))
	}
	return lines
}

func policyActivateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "activate FILE",
		Short: "Ask to put a policy file in force, once approved",
		Args:  cobra.ExactArgs(1),
	}
	call := apiFlags(cmd, "admin")
	reason := cmd.Flags().String("reason", "", "told to the approvers")
	force := cmd.Flags().Bool("force", false, "ask although the roster cannot satisfy every policy")
	renew := cmd.Flags().Bool("renew", false, "ask again although the same file was decided on before")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if _, err := loadPolicyFile(args[0]); err != nil {
			return err
		}
		content, err := os.ReadFile(args[0])
		if err != nil {
			return fmt.Errorf("reading policies: %w", err)
		}
		c, err := call(cmd.Context())
		if err != nil {
			return err
		}
		body := map[string]any{"content": string(content), "reason": *reason, "force": *force, "renew": *renew}
		return c.activate(cmd.Context(), body, cmd.OutOrStdout())
	}
	return cmd
}

func (c caller) activate(ctx context.Context, body map[string]any, out io.Writer) error {
	a, err := c.expect(ctx, http.MethodPost, "/policies", body, http.StatusOK, http.StatusAccepted)
	if err != nil {
		return err
	}
	if a.Status == http.StatusOK {
		fmt.Fprintln(out, "these policies are in force")
		return nil
	}
	var asked struct {
		Detail string `json:"detail"`
		ID     int64  `json:"approval_request_id"`
		Status string `json:"status"`
	}
	if err := json.Unmarshal(a.Body, &asked); err != nil {
		return fmt.Errorf("reading the API's answer: %w", err)
	}
	fmt.Fprintf(out, "%s: approval %d is %s\n", asked.Detail, asked.ID, asked.Status)
	if asked.Status != "pending" {
		fmt.Fprintln(out, "nobody has to decide any more; finobs policy show says when the policies are in force")
		return nil
	}
	fmt.Fprintf(out, `
finobs policy explain %d says whose approval is missing. Somebody else approves with
  curl -X POST -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \
    -d '{"decision":"approve","reason":"read"}' %s/approval/%d/decision
`, asked.ID, c.base, asked.ID)
	return nil
}

func policyShowCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "show", Short: "Say in words which policies are in force", Args: cobra.NoArgs}
	call := apiFlags(cmd, "viewer")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := call(cmd.Context())
		if err != nil {
			return err
		}
		return c.showPolicies(cmd.Context(), cmd.OutOrStdout())
	}
	return cmd
}

func (c caller) showPolicies(ctx context.Context, out io.Writer) error {
	var set struct {
		ID          int64           `json:"policy_set_id"`
		SHA256      string          `json:"sha256"`
		ApprovalID  *int64          `json:"approval_request_id"`
		ActivatedBy explainedPerson `json:"activated_by"`
		ActivatedAt time.Time       `json:"activated_at"`
		Policies    []struct {
			ID    string   `json:"id"`
			Words []string `json:"words"`
		} `json:"policies"`
	}
	if err := c.get(ctx, "/policies", &set); err != nil {
		return err
	}
	by := "by the first start on this database"
	if set.ApprovalID != nil {
		by = fmt.Sprintf("asked for by %q, approval %d", set.ActivatedBy.Subject, *set.ApprovalID)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "policy set %d, in force since %s, %s\nSHA-256 %s\nthe first policy that matches an action governs it\n",
		set.ID, set.ActivatedAt.UTC().Format(time.RFC3339), by, set.SHA256)
	for _, p := range set.Policies {
		fmt.Fprintf(&b, "\n%s\n", p.ID)
		printIndented(&b, p.Words)
	}
	_, err := out.Write(b.Bytes())
	return err
}
