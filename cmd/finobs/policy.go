package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

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
	var rows [][]string
	for _, f := range findings {
		if f.Severity == approval.LintError {
			bad++
		}
		rows = append(rows, []string{string(f.Severity), named(f.Policy), f.Problem})
	}
	newScreen(out).table([]string{"SEVERITY", "POLICY", "FINDING"}, rows)
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
