package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"finobs/internal/export"
	"finobs/internal/progress"

	"github.com/spf13/cobra"
)

// exportWait is how often the command asks how far an export is.
const exportWait = 500 * time.Millisecond

func exportCommand() *cobra.Command {
	var o struct {
		format, compression, destination, reason, dir string
		filters                                       []string
		renew                                         bool
	}
	var names []string
	for _, d := range export.Datasets() {
		names = append(names, d.Name)
	}
	cmd := &cobra.Command{
		Use:   "export DATASET",
		Short: "Ask for an export, wait until it is approved and made, and download its bundle",
		Long: "Ask for an export, wait until other people have approved it and it is made, and download its bundle, which\nfinaudit export verifies. Stop it and start it again: the same export is the same request.\n\nDatasets: " +
			strings.Join(names, ", ") + ".",
		Example: "  finobs export transactions --format parquet --filter desk=EQ --filter from=2026-11-01 --dir bundles",
		Args:    cobra.ExactArgs(1),
	}
	call := apiFlags(cmd, "analyst")
	cmd.Flags().StringVar(&o.format, "format", "csv", "csv, ndjson or parquet")
	cmd.Flags().StringVar(&o.compression, "compression", "none", "none, gzip or zstd")
	cmd.Flags().StringVar(&o.destination, "destination", "", "name of a configured destination (default: the configured default)")
	cmd.Flags().StringVar(&o.reason, "reason", "", "told to the approvers")
	cmd.Flags().StringArrayVar(&o.filters, "filter", nil, "NAME=VALUE, a filter of the dataset's list; may be repeated")
	cmd.Flags().BoolVar(&o.renew, "renew", false, "ask for a new export although the same was decided before")
	cmd.Flags().StringVar(&o.dir, "dir", ".", "folder for the bundle")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		filters := map[string]string{}
		for _, f := range o.filters {
			name, value, found := strings.Cut(f, "=")
			if !found {
				return fmt.Errorf("filter %q is not of the form NAME=VALUE", f)
			}
			filters[name] = value
		}
		c, err := call(cmd.Context())
		if err != nil {
			return err
		}
		a, err := c.expect(cmd.Context(), http.MethodPost, "/exports/", map[string]any{
			"dataset": args[0], "format": o.format, "compression": o.compression, "destination": o.destination, "filters": filters,
			"reason": o.reason, "renew": o.renew,
		}, http.StatusAccepted)
		if err != nil {
			return err
		}
		var asked struct {
			ID int64 `json:"approval_request_id"`
		}
		if err := json.Unmarshal(a.Body, &asked); err != nil {
			return fmt.Errorf("reading the API's answer: %w", err)
		}
		return c.exportTo(cmd.Context(), asked.ID, o.dir, cmd.OutOrStdout())
	}
	return cmd
}

// exportTo follows an export until it is done and downloads its bundle.
func (c caller) exportTo(ctx context.Context, approvalID int64, dir string, out io.Writer) error {
	bar := progress.New("exporting")
	defer bar.End()
	said := ""
	for {
		var p struct {
			export.Progress
			ExportID int64  `json:"export_id"`
			Status   string `json:"approval_status"`
		}
		if err := c.get(ctx, fmt.Sprintf("/approval/%d/progress", approvalID), &p); err != nil {
			return err
		}
		if now := p.Phase + " " + p.Status; now != said {
			bar.End()
			fmt.Fprintf(out, "approval %d is %s: %s\n", approvalID, p.Status, p.Phase)
			said = now
		}
		bar.Show(p.Rows, p.Total)
		switch p.Phase {
		case export.PhaseFailed:
			return fmt.Errorf("approval %d is %s, and nothing is exported; --renew asks again", approvalID, p.Status)
		case export.PhaseDone:
			return c.downloadBundle(ctx, p.ExportID, dir, out)
		}
		select {
		case <-time.After(exportWait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c caller) downloadBundle(ctx context.Context, exportID int64, dir string, out io.Writer) error {
	var x struct {
		Hash         string `json:"hash"`
		Delivery     string `json:"delivery_status"`
		Verification string `json:"verification_status"`
		Destination  string `json:"destination"`
		Seal         struct {
			Rows int64 `json:"rows"`
		} `json:"seal"`
	}
	if err := c.get(ctx, fmt.Sprintf("/exports/%d", exportID), &x); err != nil {
		return err
	}
	fmt.Fprintf(out, "export %d: %d rows, SHA-256 %s; %s: %s, %s\n", exportID, x.Seal.Rows, x.Hash, x.Destination, x.Delivery, x.Verification)
	path := filepath.Join(dir, fmt.Sprintf("export-%d.tar", exportID))
	if err := c.download(ctx, fmt.Sprintf("/exports/%d/bundle", exportID), path); err != nil {
		return err
	}
	fmt.Fprintf(out, "its bundle is %s\n", path)
	return nil
}

// download writes an answer into a file, which is there only when it is whole.
func (c caller) download(ctx context.Context, path, file string) (err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return fmt.Errorf("calling the API: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("calling the API: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10)) // an answer that breaks off says less
		return fmt.Errorf("%s answered %d to GET %s: %s", c.base, res.StatusCode, path, answer{Body: text}.field("detail"))
	}
	out, err := os.Create(file + ".part")
	if err != nil {
		return fmt.Errorf("keeping the bundle: %w", err)
	}
	_, err = io.Copy(out, res.Body)
	if err = errors.Join(err, out.Close()); err == nil {
		err = os.Rename(file+".part", file)
	}
	if err != nil {
		return fmt.Errorf("keeping the bundle: %w", errors.Join(err, os.Remove(file+".part")))
	}
	return nil
}
