package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"finobs/internal/intake"

	"github.com/spf13/cobra"
)

func importCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "import", Short: "Send files to the API"}
	cmd.AddCommand(importFailsCommand(), importTransactionsCommand(), importFIXCommand(),
		importEventsCommand("alerts", "Send the body of a monitoring webhook", ""),
		importEventsCommand("heartbeats", "Send heartbeats", "heartbeat"),
		importMappedCommand("trades", "Load trades in the form that a profile describes"),
		importMappedCommand("confirmations", "Load confirmations, the other side's word for trades"))
	return cmd
}

func importFailsCommand() *cobra.Command {
	var strict bool
	var origin string
	cmd := &cobra.Command{
		Use:   "fails FILE|-",
		Short: "Import an SEC fails-to-deliver file",
		Args:  cobra.ExactArgs(1),
	}
	call := apiFlags(cmd, "analyst")
	cmd.Flags().BoolVar(&strict, "strict", false, "refuse the whole file when one line is bad or the trailer does not agree")
	cmd.Flags().StringVar(&origin, "origin", "live", "live or demo")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := call(cmd.Context())
		if err != nil {
			return err
		}
		return c.importFails(cmd.Context(), args[0], origin, strict, cmd.OutOrStdout())
	}
	return cmd
}

func (c caller) importFails(ctx context.Context, path, origin string, strict bool, out io.Writer) error {
	query := url.Values{"origin": {origin}, "strict": {fmt.Sprint(strict)}}
	a, err := c.importFile(ctx, path, "/ingest/fails", "application/octet-stream", query)
	if err != nil {
		return err
	}
	return printImport(a, out)
}

// importWait is how long the command waits for a worker to finish.
const importWait = 10 * time.Minute

// importFile sends a file, - for the standard input, and waits until it is
// imported.
func (c caller) importFile(ctx context.Context, path, route, contentType string, query url.Values) (answer, error) {
	file := os.Stdin
	if path != "-" {
		var err error
		if file, err = os.Open(path); err != nil {
			return answer{}, fmt.Errorf("opening file: %w", err)
		}
		defer file.Close()
		if info, err := file.Stat(); err != nil || info.IsDir() {
			return answer{}, errors.Join(fmt.Errorf("%s is not a file", path), err)
		}
		query.Set("file_name", filepath.Base(path))
	}
	a, err := c.do(ctx, http.MethodPost, route+"?"+query.Encode(), contentType, file)
	for deadline := time.Now().Add(importWait); err == nil && a.Status == http.StatusAccepted && time.Now().Before(deadline); {
		a, err = c.do(ctx, http.MethodGet, "/imports/"+a.field("content_sha256")+"?"+url.Values{"source": {a.field("source")}}.Encode(), "", nil)
	}
	if err == nil && a.Status != http.StatusOK {
		err = fmt.Errorf("the API answered %d: %s", a.Status, a.field("detail"))
	}
	return a, err
}

func printImport(a answer, out io.Writer) error {
	var v struct {
		Repeated bool                `json:"repeated"`
		Report   intake.ImportReport `json:"report"`
		Detected *struct {
			Securities, Opened, Updated int
		} `json:"detected"`
	}
	if err := json.NewDecoder(bytes.NewReader(a.Body)).Decode(&v); err != nil {
		return fmt.Errorf("reading the API's answer: %w", err)
	}
	if v.Repeated {
		fmt.Fprintln(out, "this file was imported before; nothing was changed")
	}
	r := v.Report
	fmt.Fprintf(out, "%d rows read, %d bad lines, trailer %s\n", r.Rows, r.BadLines, r.TrailerStatus)
	fmt.Fprintf(out, "%d balances added, %d corrected, %d unchanged\n", r.Changes.Added, r.Changes.Corrected, r.Changes.Unchanged)
	if v.Detected != nil {
		fmt.Fprintf(out, "%d securities fail the share test: %d incidents opened, %d updated\n",
			v.Detected.Securities, v.Detected.Opened, v.Detected.Updated)
	}
	printLines(r.LineReport, out)
	return nil
}

// printLines lists what is wrong with a file, line by line.
func printLines(r intake.LineReport, out io.Writer) {
	for _, list := range []struct {
		name  string
		lines []intake.LineError
		more  int
	}{{"error", r.Errors, r.ErrorsOmitted}, {"warning", r.Warnings, r.WarningsOmitted}} {
		for _, e := range list.lines {
			where := "the file"
			if e.Line > 0 {
				where = strings.TrimSpace(fmt.Sprintf("line %d %s", e.Line, e.Column))
			}
			fmt.Fprintf(out, "%s: %s: %s\n", list.name, where, e.Problem)
		}
		if list.more > 0 {
			fmt.Fprintf(out, "%s: … and %d more\n", list.name, list.more)
		}
	}
}
