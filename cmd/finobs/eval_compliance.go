package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"finobs/internal/compliance"
	"finobs/internal/compliance/labelled"
	"finobs/rulebooks"

	"github.com/spf13/cobra"
)

// evalComplianceCommand is finobs eval compliance.
func evalComplianceCommand() *cobra.Command {
	var rulesFile string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "compliance FILE...",
		Short: "Measure what the compliance rules find in files whose suspicious rows are known",
		Long: `Measure what the compliance rules find in files whose suspicious rows are known: PaySim,
AMLSim (tx.csv, with accounts.csv and, where they are there, alerts.csv and cash_tx.csv
in its folder) and aml_transactions, each known by its header. Prints precision, recall
and F1 over all rows, the even and the odd ones, what simple rules would get, and what
each rule adds. Such files are simulated: read the cautions.`,
		Example: "  finobs eval compliance paysim.csv amlsim/tx.csv --json",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			rules, err := complianceRules(rulesFile)
			if err != nil {
				return err
			}
			results := []labelled.Result{}
			for _, path := range args {
				set, err := readLabelled(path)
				if err != nil {
					return err
				}
				result, err := labelled.Measure(cmd.Context(), path, set, rules)
				if err != nil {
					return err
				}
				results = append(results, result)
			}
			if asJSON {
				out := json.NewEncoder(cmd.OutOrStdout())
				out.SetIndent("", "  ")
				return out.Encode(map[string]any{"rules": rules.Name, "rules_sha256": rules.Digest, "files": results})
			}
			return printLabelled(cmd.OutOrStdout(), rules, results)
		},
	}
	cmd.Flags().StringVar(&rulesFile, "rules", "", "file of rules (default: the rules that finobs ships)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print everything as JSON")
	return cmd
}

func complianceRules(path string) (*compliance.Rules, error) {
	if path == "" {
		return compliance.LoadRules(strings.NewReader(rulebooks.Compliance))
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading rules: %w", err)
	}
	defer file.Close()
	rules, err := compliance.LoadRules(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return rules, nil
}

func readLabelled(path string) (*labelled.Set, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading transactions: %w", err)
	}
	defer file.Close()
	return labelled.Read(path, file, os.DirFS(filepath.Dir(path)))
}

func printLabelled(out io.Writer, rules *compliance.Rules, results []labelled.Result) error {
	fmt.Fprintf(out, "rules %s, sha256 %s\n", rules.Name, rules.Digest)
	for _, r := range results {
		fmt.Fprintf(out, "\n%s: layout %s, %d rows, %d records, %d findings; labels are of each %s\n", r.File, r.Layout, r.Rows, r.Records, r.Findings, r.Unit)
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "\t"+r.Unit+"s\tpositive\tbase rate\tflagged\tright\tprecision\trecall\tF1")
		for _, s := range r.Suspicion {
			printScore(w, "suspicion rules, "+s.Name, s)
		}
		for _, s := range r.AllRules {
			printScore(w, "rules of any purpose, "+s.Name, s)
		}
		for _, s := range r.Trivial {
			printScore(w, "trivial: "+s.Name, s)
		}
		for _, s := range r.Rules {
			if s.Findings > 0 {
				printScore(w, fmt.Sprintf("%s (%s), %d findings", s.Rule, s.Purpose, s.Findings), s.Score)
			}
		}
		if err := w.Flush(); err != nil {
			return fmt.Errorf("printing results: %w", err)
		}
		for _, k := range r.Kinds {
			fmt.Fprintf(out, "  of kind %s: %d of %d found\n", k.Kind, k.Found, k.Positives)
		}
		for _, s := range r.Rules {
			if n := r.Stats.NoLimit[s.Rule]; n > 0 {
				fmt.Fprintf(out, "  %s did not judge %d of %d records: their currency has no limit\n", s.Rule, n, r.Stats.Taken[s.Rule])
			}
			if why := r.Stats.NotRun[s.Rule]; why != "" {
				fmt.Fprintf(out, "  %s did not run: %s\n", s.Rule, why)
			}
		}
		fmt.Fprintf(out, "  caution: %s\n", r.Caution)
	}
	return nil
}

func printScore(w io.Writer, name string, s labelled.Score) {
	fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%d\t%d\t%s\t%s\t%s\n", name, s.Units, s.Positives, cmp.Or(s.BaseRate, "-"), s.Flagged, s.TruePositives,
		cmp.Or(s.Precision, "-"), cmp.Or(s.Recall, "-"), cmp.Or(s.F1, "-"))
}
