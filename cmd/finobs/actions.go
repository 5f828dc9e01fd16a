package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"finobs/internal/action"

	"github.com/spf13/cobra"
)

func actionsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "actions",
		Short: "List the catalogue of remediation actions",
		Long: `List what finobs may do to a desk's systems: every action with its target, parameters,
risk tier and caps. Nothing else can be proposed, approved or sent.`,
		Example: "  finobs actions\n  finobs actions --json\n  finobs actions lint",
		Args:    cobra.NoArgs,
	}
	asJSON := cmd.Flags().Bool("json", false, "write JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *asJSON {
			return printActionsJSON(cmd.OutOrStdout(), action.Catalogue())
		}
		return printActions(cmd.OutOrStdout(), action.Catalogue())
	}
	cmd.AddCommand(actionsLintCommand(action.Catalogue))
	return cmd
}

func actionsLintCommand(catalogue func() []action.Type) *cobra.Command {
	return &cobra.Command{
		Use:   "lint",
		Short: "Look for actions with a missing part; ends with an error when there is one",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all := catalogue()
			problems := action.Lint(all)
			for _, problem := range problems {
				fmt.Fprintln(cmd.OutOrStdout(), problem)
			}
			if len(problems) > 0 {
				return exitError{1, fmt.Errorf("the catalogue has %d problems", len(problems))}
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d actions, each with schema, precondition, plan, verification, caps and its way back or none\n", len(all))
			return nil
		},
	}
}

func printActions(out io.Writer, catalogue []action.Type) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ACTION\tTARGET\tPARAMETERS\tRISK\tUNDO\tPER HOUR\tMAX USD\tMAX QUANTITY")
	for _, t := range catalogue {
		fmt.Fprintln(w, strings.Join([]string{
			t.Name, t.TargetKind, parametersOf(t), string(t.Risk), string(t.Reversibility),
			strconv.Itoa(t.Caps.PerHour), dashFor(t.Caps.MaxAmountUSD.String()), dashFor(t.Caps.MaxQuantity.String()),
		}, "\t"))
	}
	return w.Flush()
}

// parametersOf lists parameters; those that may be left out are in brackets.
func parametersOf(t action.Type) string {
	var names []string
	for _, p := range t.Parameters {
		name := p.Name
		if !p.Required {
			name = "[" + name + "]"
		}
		names = append(names, name)
	}
	return dashFor(strings.Join(names, " "))
}

// dashFor shows what is not there as a dash.
func dashFor(text string) string {
	if text == "" || text == "0" {
		return "-"
	}
	return text
}

// actionJSON is an action as --json writes it. Numbers that could be large are text.
type actionJSON struct {
	Name          string             `json:"name"`
	Version       int                `json:"version"`
	Title         string             `json:"title"`
	Doc           string             `json:"doc"`
	TargetKind    string             `json:"target_kind"`
	Parameters    []action.Parameter `json:"parameters"`
	Risk          string             `json:"risk"`
	Reversibility string             `json:"reversibility"`
	Restores      []string           `json:"restores"`
	PerHour       int                `json:"per_hour"`
	MaxAmountUSD  string             `json:"max_amount_usd,omitempty"`
	MaxQuantity   string             `json:"max_quantity,omitempty"`
}

func printActionsJSON(out io.Writer, catalogue []action.Type) error {
	rows := make([]actionJSON, 0, len(catalogue))
	for _, t := range catalogue {
		row := actionJSON{
			Name: t.Name, Version: t.Version, Title: t.Title, Doc: t.Doc, TargetKind: t.TargetKind,
			Parameters: append([]action.Parameter{}, t.Parameters...), Risk: string(t.Risk),
			Reversibility: string(t.Reversibility), Restores: append([]string{}, t.Restores...), PerHour: t.Caps.PerHour,
		}
		if t.Caps.MaxAmountUSD.IsPositive() {
			row.MaxAmountUSD = t.Caps.MaxAmountUSD.String()
		}
		if t.Caps.MaxQuantity.IsPositive() {
			row.MaxQuantity = t.Caps.MaxQuantity.String()
		}
		rows = append(rows, row)
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(map[string]any{"actions": rows})
}
