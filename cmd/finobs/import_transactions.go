package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"finobs/internal/intake"

	"github.com/spf13/cobra"
)

// contentTypes of files of transactions, by the ends of their names.
var contentTypes = map[string]string{
	".csv": "text/csv", ".ndjson": "application/x-ndjson", ".jsonl": "application/x-ndjson", ".json": "application/json",
}

func importTransactionsCommand() *cobra.Command {
	var strict bool
	var origin, source, format string
	cmd := &cobra.Command{
		Use:   "transactions FILE|-",
		Short: "Load a file of transactions: CSV with a header, or NDJSON",
		Args:  cobra.ExactArgs(1),
	}
	call := apiFlags(cmd, "analyst")
	cmd.Flags().BoolVar(&strict, "strict", false, "refuse the whole file when one line is bad")
	cmd.Flags().StringVar(&origin, "origin", "live", "live or demo")
	cmd.Flags().StringVar(&source, "source", "", "whose books these are (default: you)")
	cmd.Flags().StringVar(&format, "format", "", "csv, ndjson or json (default: by the end of the file's name, else csv)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		end := strings.ToLower(filepath.Ext(args[0]))
		if format != "" {
			end = "." + format
		}
		contentType := contentTypes[end]
		if contentType == "" && format != "" {
			return fmt.Errorf("--format %q must be csv, ndjson or json", format)
		}
		if contentType == "" {
			contentType = contentTypes[".csv"]
		}
		c, err := call(cmd.Context())
		if err != nil {
			return err
		}
		query := url.Values{"origin": {origin}, "strict": {fmt.Sprint(strict)}}
		if source != "" {
			query.Set("source", source)
		}
		a, err := c.importFile(cmd.Context(), args[0], "/transactions", contentType, query)
		if err != nil {
			return err
		}
		return printTransactions(a, cmd.OutOrStdout())
	}
	return cmd
}

func printTransactions(a answer, out io.Writer) error {
	var v struct {
		Source   string                   `json:"source"`
		Repeated bool                     `json:"repeated"`
		Report   intake.TransactionReport `json:"report"`
	}
	if err := json.Unmarshal(a.Body, &v); err != nil {
		return fmt.Errorf("reading the API's answer: %w", err)
	}
	if v.Repeated {
		fmt.Fprintln(out, "this file was imported before; nothing was changed")
	}
	r := v.Report
	fmt.Fprintf(out, "source %s\n", v.Source)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "lines\tgood\tbad\tadded\tcorrected\tunchanged\trepeated\t")
	fmt.Fprintf(table, "%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", r.Lines, r.Rows, r.BadLines, r.Changes.Added, r.Changes.Corrected, r.Changes.Unchanged, r.Changes.Repeated)
	if err := table.Flush(); err != nil {
		return fmt.Errorf("printing the report: %w", err)
	}
	printLines(r.LineReport, out)
	return nil
}
