package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"finobs/internal/attest"
	"finobs/internal/config"
	"finobs/internal/devstack"
	"finobs/internal/doctor"
	"finobs/internal/store"

	"github.com/spf13/cobra"
)

func doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look whether every promise holds on the whole record, and between it and Temporal",
		Long: `Look whether every promise holds on the whole record, and between it and Temporal. It
reads and changes nothing. Settings are those of finobs api and
FINOBS_DECISION_PUBLIC_KEY; --state, or no settings at all, takes those of a running
development stack.

Exit codes: 0 everything holds, 1 the checks could not be made, 2 something does not
hold.`,
		Args: cobra.NoArgs,
	}
	state := stateFlag(cmd)
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	histories := cmd.Flags().Int("histories", 200, "how many histories of closed workflows to read, and of running ones; 0 for none")
	settle := cmd.Flags().Duration("settle", time.Minute, "left to rows and workflows to catch up with each other")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *histories < 0 || *settle < 0 {
			return errors.New("--histories and --settle must not be negative")
		}
		c, err := doctorConfig(*state, cmd.Flags().Changed("state"))
		if err != nil {
			return err
		}
		checks, err := examine(cmd.Context(), c, *histories, *settle)
		if err != nil {
			return err
		}
		return reportChecks(cmd.OutOrStdout(), checks, *asJSON)
	}
	return cmd
}

// doctorConfig reads the settings of a stack when its folder is given, else the
// environment, else the stack of the default folder.
func doctorConfig(state string, given bool) (config.Doctor, error) {
	var fromEnvironment error
	if !given {
		c, err := config.Load[config.Doctor]()
		if err == nil {
			return c, nil
		}
		fromEnvironment = err
	}
	settings, err := devstack.ReadSettings(state)
	if err != nil {
		return config.Doctor{}, errors.Join(fromEnvironment, err)
	}
	return config.Parse[config.Doctor](settings)
}

// reachTimeout is how long Temporal may take to answer at all.
const reachTimeout = 10 * time.Second

func examine(ctx context.Context, c config.Doctor, histories int, settle time.Duration) (checks []doctor.Check, err error) {
	var opened closers
	defer func() { err = errors.Join(err, opened.close()) }()
	trusted, err := loadPublic(c.DecisionPublic)
	if err != nil {
		return nil, err
	}
	reader, err := store.OpenReader(ctx, c.DatabaseURL)
	if err != nil {
		return nil, err
	}
	opened = append(opened, reader.Close)
	t, err := connectTemporal(c.Temporal)
	if err != nil {
		return nil, err
	}
	opened = append(opened, func() error { t.Close(); return nil })
	reach, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	if _, err := t.CheckHealth(reach, nil); err != nil {
		return nil, fmt.Errorf("reaching Temporal at %s: %w", c.Address, err)
	}
	return doctor.Doctor{
		Records: reader, Temporal: gatedWorkflows{t, c.Namespace}, Verifier: attest.NewVerifier(trusted...), Settle: settle, Histories: histories,
	}.Run(ctx)
}

func reportChecks(out io.Writer, checks []doctor.Check, asJSON bool) error {
	found := 0
	for _, c := range checks {
		found += len(c.Findings)
	}
	if asJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(map[string]any{"holds": found == 0, "checks": checks}); err != nil {
			return fmt.Errorf("printing: %w", err)
		}
	} else {
		printChecks(out, checks)
	}
	if found > 0 {
		return exitError{2, fmt.Errorf("%d findings: something does not hold", found)}
	}
	return nil
}

func printChecks(out io.Writer, checks []doctor.Check) {
	for _, c := range checks {
		outcome := "ok"
		if n := len(c.Findings); n > 0 {
			outcome = fmt.Sprintf("%d findings", n)
		}
		if c.Note != "" {
			outcome += " (" + c.Note + ")"
		}
		fmt.Fprintf(out, "%s  %s: %s, %d looked at\n", c.ID, c.Promise, outcome, c.Looked)
		for _, f := range c.Findings {
			fmt.Fprintf(out, "    %s: %s\n", whereFound(f), f.Why)
		}
	}
}

func whereFound(f doctor.Finding) string {
	var parts []string
	if f.ApprovalID != 0 {
		parts = append(parts, fmt.Sprintf("approval %d", f.ApprovalID))
	}
	if f.ExportID != 0 {
		parts = append(parts, fmt.Sprintf("export %d", f.ExportID))
	}
	if f.Other != "" {
		parts = append(parts, f.Other)
	}
	if f.WorkflowID != "" {
		parts = append(parts, "workflow "+f.WorkflowID)
	}
	return strings.Join(parts, ", ")
}
