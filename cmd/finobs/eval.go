package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"finobs/internal/fault"
	"finobs/internal/rulebook"
	"finobs/rulebooks"

	"github.com/spf13/cobra"
)

func evalCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "eval", Short: "Measure rules and analysts against files whose answers are known"}
	cmd.AddCommand(evalTriageCommand(), evalComplianceCommand())
	return cmd
}

func evalTriageCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "triage FILE",
		Short: "Measure a rulebook on labelled tickets",
		Long: `Measure a rulebook on labelled tickets: accuracy, precision and recall of each class, and how
far its confidence can be relied on. The header of the CSV file says what it is:

  Document, Topic_group          topics of an IT service desk              rulebook tickets
  number, impact, urgency,       event log of ServiceNow; one ticket for   rulebook tickets
  priority                       each number, as its last row has it
  Impact, Urgency, Priority      incidents of an ITSM tool, five grades    rulebook tickets
  product, issue                 complaints of the CFPB; the text is the   rulebook complaints
                                 issue and the narrative, not the product
  any other                      --text and --label name two columns       rulebook triage

A label is right when it is the label of the class that the rulebook finds, whatever the case;
classes without a label have the name of their category. Priorities are compared by their number.`,
		Example: "  finobs eval triage tickets.csv\n  finobs eval triage mine.csv --text summary --label team --rulebook mine.yaml",
		Args:    cobra.ExactArgs(1),
	}
	var options rulebook.EvalOptions
	cmd.Flags().StringVar(&options.Text, "text", "", "column of the text, of a file of another layout")
	cmd.Flags().StringVar(&options.Label, "label", "", "column of the label, of a file of another layout")
	cmd.Flags().Var(&halfFlag{&options.Half}, "half", "of the tickets measure only the even or the odd ones")
	path := cmd.Flags().String("rulebook", "", "rulebook file, or triage, tickets or complaints (default: by the layout)")
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		file, err := os.Open(args[0])
		if err != nil {
			return fmt.Errorf("reading tickets: %w", err)
		}
		defer file.Close()
		cases, err := rulebook.ReadCases(file, options)
		if err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
		name := *path
		if name == "" {
			name = cases.Rulebook
		}
		book, err := openRulebook(name)
		if err != nil {
			return err
		}
		report, err := book.Evaluate(cases)
		if err != nil {
			return err
		}
		if *asJSON {
			out := json.NewEncoder(cmd.OutOrStdout())
			out.SetIndent("", "  ")
			return out.Encode(report)
		}
		return printEvaluation(cmd.OutOrStdout(), report)
	}
	return cmd
}

// halfFlag is --half.
type halfFlag struct{ half *rulebook.Half }

func (f *halfFlag) String() string { return string(*f.half) }
func (f *halfFlag) Type() string   { return "even|odd" }
func (f *halfFlag) Set(s string) error {
	if s != string(rulebook.Even) && s != string(rulebook.Odd) {
		return fmt.Errorf("%q must be even or odd", s)
	}
	*f.half = rulebook.Half(s)
	return nil
}

// openRulebook reads one of the shipped rulebooks by its name, or a file.
func openRulebook(name string) (*rulebook.Rulebook, error) {
	shipped, found := rulebooks.All()[name]
	if found {
		return rulebook.LoadBytes(shipped)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, fault.Wrap(err, fault.NotFound, "no-rulebook", "there is no rulebook %q: it is none of those that are shipped, and no file that can be read", name)
	}
	defer file.Close()
	book, err := rulebook.Load(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return book, nil
}

func printEvaluation(out io.Writer, r rulebook.Evaluation) error {
	fmt.Fprintf(out, "%s by %s\n", r.Layout, r.Version)
	fmt.Fprintf(out, "tickets %d, right %d\n", r.Cases, r.Right)
	fmt.Fprintf(out, "accuracy             %.3f\n", r.Accuracy)
	fmt.Fprintf(out, "majority class       %.3f (%s)\n", r.Majority, r.MajorityLabel)
	fmt.Fprintf(out, "Brier score          %.3f\n", r.Brier)
	fmt.Fprintf(out, "calibration error    %.3f (ECE, 10 bins)\n", r.CalibrationError)
	fmt.Fprintf(out, "no rule spoke        %d\n", r.Inconclusive)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nclass\ttickets\tfound\tright\tprecision\trecall")
	for _, c := range r.Classes {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%.3f\t%.3f\n", c.Label, c.Cases, c.Found, c.Right, c.Precision, c.Recall)
	}
	fmt.Fprintln(w, "\nconfidence\ttickets\tmean\taccuracy")
	for _, b := range r.Bins {
		if b.Cases > 0 {
			fmt.Fprintf(w, "%.1f to %.1f\t%d\t%.3f\t%.3f\n", b.From, b.To, b.Cases, b.Confidence, b.Accuracy)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("printing evaluation: %w", err)
	}
	for _, label := range r.Unknown {
		fmt.Fprintf(out, "label %q is none of the rulebook's, so that it is always wrong\n", label)
	}
	return nil
}
