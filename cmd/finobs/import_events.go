package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"

	"finobs/internal/alert"

	"github.com/spf13/cobra"
)

func importEventsCommand(use, short, defaultSource string) *cobra.Command {
	var origin, source string
	cmd := &cobra.Command{Use: use + " FILE|-", Short: short, Args: cobra.ExactArgs(1)}
	call := apiFlags(cmd, "analyst")
	cmd.Flags().StringVar(&origin, "origin", "live", "live or demo")
	cmd.Flags().StringVar(&source, "source", defaultSource, "the source that the body is of; GET /sources lists them")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if source == "" {
			return fmt.Errorf("name the source: --source alertmanager, grafana, … (GET /sources lists them)")
		}
		c, err := call(cmd.Context())
		if err != nil {
			return err
		}
		body, err := readEvents(args[0])
		if err != nil {
			return err
		}
		return c.importEvents(cmd.Context(), source, origin, body, cmd.OutOrStdout())
	}
	return cmd
}

// readEvents reads a body; one that is too large is left to the API to refuse.
func readEvents(path string) ([]byte, error) {
	file := os.Stdin
	if path != "-" {
		var err error
		if file, err = os.Open(path); err != nil {
			return nil, fmt.Errorf("opening file: %w", err)
		}
		defer file.Close()
	}
	body, err := io.ReadAll(io.LimitReader(file, alert.MaxBody+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return body, nil
}

func (c caller) importEvents(ctx context.Context, source, origin string, body []byte, out io.Writer) error {
	a, err := c.do(ctx, http.MethodPost, "/ingest/"+url.PathEscape(source)+"?"+url.Values{"origin": {origin}}.Encode(), "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	if a.Status != http.StatusOK && a.Status != http.StatusAccepted {
		return fmt.Errorf("the API answered %d: %s", a.Status, a.field("detail"))
	}
	var v struct {
		Status                       string
		Events, Repeated, Heartbeats int
		Incidents                    []struct {
			IncidentID int64 `json:"incident_id"`
			Folding    string
		}
		Notes []string
	}
	if err := json.Unmarshal(a.Body, &v); err != nil {
		return fmt.Errorf("reading the API's answer: %w", err)
	}
	fmt.Fprintf(out, "%s: %d events are new, %d were on record; %d heartbeats\n", v.Status, v.Events, v.Repeated, v.Heartbeats)
	for _, i := range v.Incidents {
		if i.IncidentID != 0 {
			fmt.Fprintf(out, "incident %d %s\n", i.IncidentID, i.Folding)
		}
	}
	for _, n := range v.Notes {
		fmt.Fprintln(out, "note:", n)
	}
	return nil
}
