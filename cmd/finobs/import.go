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
	var strict bool
	var origin string
	fails := &cobra.Command{
		Use:   "fails FILE",
		Short: "Import an SEC fails-to-deliver file",
		Args:  cobra.ExactArgs(1),
	}
	call := apiFlags(fails, "analyst")
	fails.Flags().BoolVar(&strict, "strict", false, "refuse the whole file when one line is bad or the trailer does not agree")
	fails.Flags().StringVar(&origin, "origin", "live", "live or demo")
	fails.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := call(cmd.Context())
		if err != nil {
			return err
		}
		return c.importFails(cmd.Context(), args[0], origin, strict, cmd.OutOrStdout())
	}
	cmd.AddCommand(fails)
	return cmd
}

// importWait is how long the command waits for a worker to finish.
const importWait = 10 * time.Minute

func (c caller) importFails(ctx context.Context, path, origin string, strict bool, out io.Writer) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("opening file: %w", err)
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || info.IsDir() {
		return errors.Join(fmt.Errorf("%s is not a file", path), err)
	}
	query := url.Values{"file_name": {filepath.Base(path)}, "origin": {origin}, "strict": {fmt.Sprint(strict)}}
	a, err := c.do(ctx, http.MethodPost, "/ingest/fails?"+query.Encode(), "application/octet-stream", file)
	for deadline := time.Now().Add(importWait); err == nil && a.Status == http.StatusAccepted && time.Now().Before(deadline); {
		a, err = c.do(ctx, http.MethodGet, "/imports/"+a.field("content_sha256"), "", nil)
	}
	if err != nil {
		return err
	}
	if a.Status != http.StatusOK {
		return fmt.Errorf("the API answered %d: %s", a.Status, a.field("detail"))
	}
	return printImport(a, out)
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
	return nil
}
