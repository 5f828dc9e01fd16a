package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"

	"finobs/internal/approval"

	"github.com/spf13/cobra"
)

func policyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "policy", Short: "Check, try out, explain and activate approval policies"}
	cmd.AddCommand(policyLintCommand(), policyTestCommand(), policyExplainCommand(), policyActivateCommand(), policyShowCommand())
	return cmd
}

func policyLintCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lint FILE",
		Short: "Look for requests that the people on the roster could never approve",
		Long: `Look for requests that the people on the roster could never approve, and for policies
and rungs without effect. The roster is that of the running API, or a file. Ends with
an error when somebody's requests could never be approved; warnings are only shown.`,
		Example: "  finobs policy lint policies/strict.yaml --roster roster.yaml",
		Args:    cobra.ExactArgs(1),
	}
	call := apiFlags(cmd, "analyst")
	roster := cmd.Flags().String("roster", "", "roster file (default: the roster of the running API)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		policies, err := loadPolicyFile(args[0])
		if err != nil {
			return err
		}
		var people approval.Roster
		if *roster != "" {
			people, err = loadRosterFile(*roster)
		} else {
			var c caller
			if c, err = call(cmd.Context()); err == nil {
				people, err = c.roster(cmd.Context())
			}
		}
		if err != nil {
			return err
		}
		return reportLint(cmd.OutOrStdout(), args[0], approval.Lint(policies, people), people)
	}
	return cmd
}

func loadPolicyFile(path string) (*approval.Policies, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading policies: %w", err)
	}
	defer file.Close()
	policies, err := approval.LoadPolicies(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return policies, nil
}

func loadRosterFile(path string) (approval.Roster, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading roster: %w", err)
	}
	defer file.Close()
	roster, err := approval.LoadRoster(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return roster, nil
}

// roster reads everybody on the roster, page by page.
func (c caller) roster(ctx context.Context) (approval.Roster, error) {
	var out approval.Roster
	for after := ""; ; {
		var page struct {
			Items []struct {
				Issuer  string             `json:"iss"`
				Subject string             `json:"sub"`
				Kind    approval.ActorKind `json:"kind"`
				Roles   []string           `json:"roles"`
				Desk    string             `json:"desk"`
				Active  bool               `json:"active"`
			} `json:"items"`
			NextAfter string `json:"next_after"`
		}
		query := url.Values{"limit": {"500"}}
		if after != "" {
			query.Set("after", after)
		}
		if err := c.get(ctx, "/users?"+query.Encode(), &page); err != nil {
			return nil, err
		}
		for _, p := range page.Items {
			out = append(out, approval.Member{
				Person: approval.Person{Issuer: p.Issuer, Subject: p.Subject}, Kind: p.Kind, Roles: p.Roles, Desk: p.Desk, Active: p.Active,
			})
		}
		if after = page.NextAfter; after == "" {
			return out, nil
		}
	}
}

func reportLint(out io.Writer, path string, findings []approval.Finding, roster approval.Roster) error {
	bad, people := 0, 0
	for _, m := range roster {
		if m.Active && m.Kind == approval.Human {
			people++
		}
	}
	if len(findings) == 0 {
		fmt.Fprintf(out, "every policy can be satisfied by the %d people on the roster\n", people)
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, f := range findings {
		if f.Severity == approval.LintError {
			bad++
		}
		where := f.Policy
		if where == "" {
			where = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", f.Severity, where, f.Problem)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("printing findings: %w", err)
	}
	if bad > 0 {
		return fmt.Errorf("%s has %d findings of severity error with the %d people on the roster; change the policies or the roster", path, bad, people)
	}
	fmt.Fprintf(out, "no errors with the %d people on the roster, %d warnings\n", people, len(findings))
	return nil
}

func policyTestCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "test FILE CASES",
		Short:   "Try a policy file on cases that say what it is to do",
		Example: "  finobs policy test policies/desk.yaml policies/desk.cases.yaml",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			policies, err := loadPolicyFile(args[0])
			if err != nil {
				return err
			}
			file, err := os.Open(args[1])
			if err != nil {
				return fmt.Errorf("reading cases: %w", err)
			}
			defer file.Close()
			cases, err := approval.LoadCases(file)
			if err != nil {
				return fmt.Errorf("%s: %w", args[1], err)
			}
			return runCases(cmd.OutOrStdout(), policies, cases)
		},
	}
}

func runCases(out io.Writer, policies *approval.Policies, cases []approval.Case) error {
	failed := 0
	for _, c := range cases {
		differences := c.Check(policies)
		if len(differences) == 0 {
			fmt.Fprintf(out, "ok      %s\n", c.Name)
			continue
		}
		failed++
		fmt.Fprintf(out, "FAILED  %s: %s\n", c.Name, strings.Join(differences, "; "))
	}
	fmt.Fprintf(out, "%d cases, %d failed\n", len(cases), failed)
	if failed > 0 {
		return errors.New("the policies do otherwise than the cases say; mend the policies or the cases")
	}
	return nil
}
