package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"text/tabwriter"

	"finobs/internal/fix"
	"finobs/internal/intake"

	"github.com/spf13/cobra"
)

func importFIXCommand() *cobra.Command {
	var strict bool
	var origin, source, currency string
	cmd := &cobra.Command{
		Use:   "fix FILE|-",
		Short: "Read a FIX log or drop copy: rejects, gaps and disconnects become events, fills transactions",
		Args:  cobra.ExactArgs(1),
	}
	call := apiFlags(cmd, "analyst")
	cmd.Flags().BoolVar(&strict, "strict", false, "refuse the whole log when a message is garbled or a fill is no transaction")
	cmd.Flags().StringVar(&origin, "origin", "live", "live or demo")
	cmd.Flags().StringVar(&source, "source", "fix", "the source that the log is of")
	cmd.Flags().StringVar(&currency, "currency", "", "ISO 4217 code of fills that name none (default: that of the source)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := call(cmd.Context())
		if err != nil {
			return err
		}
		query := url.Values{"origin": {origin}, "strict": {fmt.Sprint(strict)}}
		if currency != "" {
			query.Set("currency", currency)
		}
		a, err := c.importFile(cmd.Context(), args[0], "/ingest/"+url.PathEscape(source), "application/octet-stream", query)
		if err != nil {
			return err
		}
		return printFIX(a, cmd.OutOrStdout())
	}
	return cmd
}

func printFIX(a answer, out io.Writer) error {
	var v struct {
		Repeated bool             `json:"repeated"`
		Report   intake.FIXReport `json:"report"`
	}
	if err := json.Unmarshal(a.Body, &v); err != nil {
		return fmt.Errorf("reading the API's answer: %w", err)
	}
	if v.Repeated {
		fmt.Fprintln(out, "this log was imported before; nothing was changed")
	}
	r := v.Report
	fmt.Fprintf(out, "%d messages on %d lines, %d garbled, %d lines of junk, %d sessions\n", r.Messages, r.Lines, r.BadMessages, r.JunkLines, len(r.Sessions))
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, kind := range slices.Sorted(maps.Keys(r.Events)) {
		fmt.Fprintf(table, "%s\t%d\t\n", kind, r.Events[kind])
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("printing the report: %w", err)
	}
	fmt.Fprintf(out, "%d events are new, %d were on record; %d gaps, %d of them not filled\n", r.EventsAdded, r.EventsRepeated, len(r.Gaps), r.GapsUnfilled)
	fmt.Fprintf(out, "%d fills: %d transactions added, %d corrected, %d unchanged, %d busted; %d are no transaction\n",
		r.Trades, r.Changes.Added, r.Changes.Corrected, r.Changes.Unchanged, r.Busted, r.BadTrades)
	fmt.Fprintf(out, "%d incidents opened, %d resolved\n", r.IncidentsOpened, r.IncidentsResolved)
	printFIXLines("error", r.Errors, r.ErrorsOmitted, out)
	printLines(intake.LineReport{Errors: r.TradeErrors, ErrorsOmitted: r.BadTrades - len(r.TradeErrors)}, out)
	printFIXLines("warning", r.Warnings, r.WarningsOmitted, out)
	return nil
}

func printFIXLines(name string, lines []fix.LineError, more int, out io.Writer) {
	for _, e := range lines {
		where := "the log"
		if e.Line > 0 {
			where = fmt.Sprintf("line %d", e.Line)
		}
		if e.Tag > 0 {
			where += fmt.Sprintf(" tag %d", e.Tag)
		}
		fmt.Fprintf(out, "%s: %s: %s", name, where, e.Problem.Problem)
		if e.Expected != "" {
			fmt.Fprintf(out, " (expected %s)", e.Expected)
		}
		fmt.Fprintln(out)
	}
	if more > 0 {
		fmt.Fprintf(out, "%s: … and %d more\n", name, more)
	}
}
