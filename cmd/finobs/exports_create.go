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

	"finobs/internal/client"
	"finobs/internal/export"
	"finobs/internal/progress"

	"github.com/spf13/cobra"
)

// exportWait is how often the command asks how far an export is.
const exportWait = 500 * time.Millisecond

// exportCommand is exports create with the download, in one word.
func exportCommand() *cobra.Command { return exportsCreateCommand("export DATASET", ".", true) }

// exportsCreateCommand makes the command that asks for an export. The bundle is
// written to dir, unless that is "".
func exportsCreateCommand(use, dir string, alone bool) *cobra.Command {
	var body client.CreateExportInputBody
	var filters []string
	var renew, detach bool
	cmd := &cobra.Command{
		Use: use, Short: "Ask for an export, and wait until it is approved and made",
		Long: "Ask for an export, and wait until other people have approved it and it is made. With --dir its bundle is\n" +
			"downloaded, which finaudit export verifies. Stop it and start it again: the same export is the same request.\n\nDatasets: " +
			strings.Join(datasets(), ", ") + ".",
		Example: "  finobs " + strings.Replace(map[bool]string{true: "", false: "exports "}[alone]+use, "DATASET", "transactions", 1) +
			" --format parquet --filter desk=EQ --filter from=2026-11-01 --dir bundles",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.FixedCompletions(datasets(), cobra.ShellCompDirectiveNoFileComp),
	}
	f := cmd.Flags()
	choice(cmd, &body.Format, "format", "csv", "form of the file", formats)
	choice(cmd, &body.Compression, "compression", "none", "of the file", compressions)
	f.StringVar(&body.Destination, "destination", "", "name of a configured destination (default: the configured default)")
	f.StringVar(&body.Reason, "reason", "", "told to the approvers")
	f.StringArrayVar(&filters, "filter", nil, "NAME=VALUE, a filter of the dataset's list; may be repeated")
	f.BoolVar(&renew, "renew", false, "ask for a new export although the same was decided before")
	f.StringVar(&dir, "dir", dir, "folder for the bundle")
	f.BoolVar(&detach, "no-wait", false, "ask, and wait for nothing")
	return callCommand(cmd, "analyst", func(ctx context.Context, c *conversation) error {
		body.Dataset, body.Renew, body.Filters = c.args[0], &renew, map[string]string{}
		for _, f := range filters {
			name, value, found := strings.Cut(f, "=")
			if !found {
				return usage("filter %q is not of the form NAME=VALUE", f)
			}
			body.Filters[name] = value
		}
		asked, err := c.PostExports(ctx, body)
		if err != nil {
			return err
		}
		if detach {
			return c.show(asked.JSON, func() {
				c.say("%s: approval %d is %s", asked.Body.Detail, asked.Body.ApprovalRequestID, asked.Body.Status)
			})
		}
		id, err := c.follow(ctx, asked.Body.ApprovalRequestID)
		if err != nil {
			return err
		}
		return c.made(ctx, id, dir)
	})
}

// follow waits until an export is made, and returns its id.
func (c *conversation) follow(ctx context.Context, approvalID int64) (int64, error) {
	bar := progress.New("exporting")
	defer bar.End()
	to := c.screen
	if c.json {
		to = c.aside
	}
	said := ""
	for {
		p, err := c.GetApprovalIDProgress(ctx, approvalID)
		if err != nil {
			return 0, err
		}
		if now := p.Body.Phase + " " + p.Body.ApprovalStatus; now != said {
			bar.End()
			to.say("approval %d is %s: %s", approvalID, p.Body.ApprovalStatus, p.Body.Phase)
			said = now
		}
		bar.Show(p.Body.Rows, p.Body.Total)
		switch p.Body.Phase {
		case export.PhaseFailed:
			return 0, fmt.Errorf("approval %d is %s, and nothing is exported; --renew asks again", approvalID, p.Body.ApprovalStatus)
		case export.PhaseDone:
			return deref(p.Body.ExportID), nil
		}
		select {
		case <-time.After(exportWait):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// made says what was exported, and downloads it when there is a folder for it.
func (c *conversation) made(ctx context.Context, id int64, dir string) error {
	x, err := c.GetExportsID(ctx, id)
	if err != nil {
		return err
	}
	file := ""
	if dir != "" {
		file = filepath.Join(dir, fmt.Sprintf("export-%d.tar", id))
		if err := c.bundle(ctx, id, file); err != nil {
			return err
		}
	}
	return c.show(x.JSON, func() {
		c.say("export %d: %d rows, SHA-256 %s; %s: %s, %s", id, deref(x.Body.Seal).Rows, x.Body.Hash, x.Body.Destination, x.Body.DeliveryStatus,
			x.Body.VerificationStatus)
		if file != "" {
			c.say("its bundle is %s", file)
		}
	})
}

func exportsDownloadCommand() *cobra.Command {
	var output string
	var content bool
	cmd := &cobra.Command{
		Use: "download ID", Short: "Download the bundle of an export, which finaudit export verifies", Args: cobra.ExactArgs(1),
		ValidArgsFunction: exportIDs(), Example: "  finobs exports download 7 -o q3.tar && finaudit export q3.tar\n  finobs exports download 7 --content -o q3.csv",
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "file to write (default: export-ID.tar, or the file's own name)")
	cmd.Flags().BoolVar(&content, "content", false, "the exported file alone")
	return callCommand(cmd, "analyst", func(ctx context.Context, c *conversation) error {
		id, err := c.id(0, "export")
		if err != nil {
			return err
		}
		x, err := c.GetExportsID(ctx, id)
		if err != nil {
			return err
		}
		file := output
		if file == "" {
			file = fmt.Sprintf("export-%d.tar", id)
			if content && x.Body.Seal != nil {
				file = filepath.Base(x.Body.Seal.FileName)
			}
		}
		if content {
			err = c.download(file, func() (*http.Response, error) { return c.GetExportsIDContent(ctx, id) })
		} else {
			err = c.bundle(ctx, id, file)
		}
		if err != nil {
			return err
		}
		said, err := json.Marshal(map[string]any{"export_id": id, "file": file})
		if err != nil {
			return fmt.Errorf("printing: %w", err)
		}
		return c.show(said, func() { c.say("export %d is in %s", id, file) })
	})
}

func (c *conversation) bundle(ctx context.Context, id int64, file string) error {
	return c.download(file, func() (*http.Response, error) { return c.GetExportsIDBundle(ctx, id) })
}

// download writes an answer into a file, which is there only when it is whole.
func (c *conversation) download(file string, open func() (*http.Response, error)) (err error) {
	res, err := open()
	if err != nil {
		return err
	}
	defer res.Body.Close()
	out, err := os.Create(file + ".part")
	if err != nil {
		return fmt.Errorf("keeping the download: %w", err)
	}
	bar := progress.Bytes("downloading")
	_, err = io.Copy(out, bar.Reader(res.Body, max(res.ContentLength, 0)))
	bar.End()
	if err = errors.Join(err, out.Close()); err == nil {
		err = os.Rename(file+".part", file)
	}
	if err != nil {
		return fmt.Errorf("keeping the download: %w", errors.Join(err, os.Remove(file+".part")))
	}
	return nil
}
