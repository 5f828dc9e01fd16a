package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"finobs/internal/plaintext"
	"finobs/internal/redteam"

	"github.com/spf13/cobra"
)

func redteamCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "redteam [FILE...]",
		Short: "Attack the agents of this build, offline, and show what is contained",
		Long: `Attack the agents of this build, offline and in seconds: a model that answers in every hostile
way, adversarial texts wherever somebody's words reach an agent, and canaries that must not be
found. It ends with an error when a single case escapes. Nothing is sent to anybody.

  answer    a hostile answer, through the client, the decoder and the check of production
  text      a text in a place: proposals, targets, parameters and plans must not change by a byte
  obeyed    a model that does what a text says: nothing of it may be kept that is not in evidence
  prompt    a text in a prompt: the instructions and the fences around evidence must hold
  canary    the model's key, another desk's evidence, refused answers, and live links

suspected counts the attempts that are recognised and shown to people. Nothing depends on it.

Each FILE has more texts: .csv with a column prompt or text, .json whose strings are the texts,
.jsonl with a string or an object a line, or any other file with a text a line.`,
		Example: "  finobs redteam\n  finobs redteam --json our-tickets.csv",
	}
	var options redteam.Options
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	cmd.Flags().BoolVar(&options.Full, "full", false, "put every text in every wrapping into every place: minutes in the place of seconds")
	rules := cmd.Flags().String("rulebook", "", "file of the rulebook (default: the shipped one)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		for _, path := range args {
			texts, err := readTexts(path)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			options.More = append(options.More, texts...)
		}
		book, err := loadRulebook(*rules)
		if err != nil {
			return err
		}
		report, err := redteam.Run(cmd.Context(), book, options)
		if err != nil {
			return err
		}
		if *asJSON {
			out := json.NewEncoder(cmd.OutOrStdout())
			out.SetIndent("", "  ")
			err = out.Encode(report)
		} else {
			err = printRedteam(cmd.OutOrStdout(), report)
		}
		if err == nil && report.Escaped > 0 {
			err = fmt.Errorf("%d of %d cases escaped", report.Escaped, report.Cases)
		}
		return err
	}
	return cmd
}

func readTexts(path string) ([]redteam.Text, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return redteam.ReadTexts(file, path, "yours")
}

// mostShownEscapes bounds what is printed for people.
const mostShownEscapes = 50

func printRedteam(out io.Writer, r redteam.Report) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "class\tcases\tcontained\tescaped\tsuspected")
	for _, c := range r.Classes {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\n", c.Name, c.Cases, c.Contained, c.Escaped, c.Suspected)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("printing report: %w", err)
	}
	fmt.Fprintf(out, "\n%d texts, %d cases, %d escaped\n", r.Texts, r.Cases, r.Escaped)
	for _, e := range r.Escapes[:min(len(r.Escapes), mostShownEscapes)] {
		fmt.Fprintf(out, "ESCAPED %s: %s: %s\n", e.Class, plaintext.Line(e.Case, 200), plaintext.Line(e.What, 200))
	}
	if n := r.Escaped - mostShownEscapes; n > 0 {
		fmt.Fprintf(out, "and %d more; --json names up to 1000\n", n)
	}
	return nil
}
