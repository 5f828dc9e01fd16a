package main

import (
	"context"
	"fmt"
	"time"

	"finobs/internal/client"
	"finobs/internal/export"
	"finobs/internal/progress"

	"github.com/spf13/cobra"
)

// verifyPause is how often exports verify asks how far the verification is.
const verifyPause = 500 * time.Millisecond

func exportsVerifyCommand() *cobra.Command {
	var all bool
	var filter client.ExportSelection
	cmd := &cobra.Command{
		Use: "verify [ID...]", Short: "Read exports back from where they were delivered, and give a verdict on each",
		Long: "Read exports back from where they were delivered, and give a verdict on each: ids, or a filter, or --all.\n" +
			"Exit code 3 when one does not verify.",
		Example:           "  finobs exports verify 7 8\n  finobs exports verify --dataset incidents",
		ValidArgsFunction: exportIDs(),
	}
	cmd.Flags().BoolVar(&all, "all", false, "all sealed exports")
	choice(cmd, &filter.Dataset, "dataset", "", "what was exported", datasets())
	choice(cmd, &filter.VerificationStatus, "verification", "", "newest verdict", verdicts)
	cmd.Flags().StringVar(&filter.Destination, "destination", "", "name of a destination")
	return callCommand(cmd, "analyst", func(ctx context.Context, c *conversation) error {
		var body client.VerifyBatchInputBody
		for n := range c.args {
			id, err := c.id(n, "export")
			if err != nil {
				return err
			}
			body.Ids = append(body.Ids, id)
		}
		filtered := filter != client.ExportSelection{}
		if given := count(len(body.Ids) > 0, filtered, all); given != 1 {
			return usage("give ids, or a filter, or --all")
		}
		if filtered {
			body.Filter = &filter
		}
		return c.verify(ctx, body)
	})
}

func count(these ...bool) (n int) {
	for _, yes := range these {
		if yes {
			n++
		}
	}
	return n
}

func (c *conversation) verify(ctx context.Context, body client.VerifyBatchInputBody) error {
	v, err := c.PostExportsBatchVerify(ctx, body)
	bar := progress.New("verifying")
	defer bar.End()
	for err == nil && v.Body.Status != "done" {
		bar.Show(v.Body.Done, v.Body.Total)
		select {
		case <-time.After(verifyPause):
		case <-ctx.Done():
			return ctx.Err()
		}
		v, err = c.GetExportsBatchVerifyID(ctx, v.Body.VerificationID)
	}
	if err != nil {
		return err
	}
	bar.End()
	bad := 0
	for _, x := range v.Body.Verdicts {
		if x.Verdict != string(export.Verified) {
			bad++
		}
	}
	if err := c.show(v.JSON, func() { c.verdicts(v.Body.Verdicts) }); err != nil {
		return err
	}
	if bad > 0 {
		return exitError{exitFound, fmt.Errorf("%d of %d exports are not verified", bad, len(v.Body.Verdicts))}
	}
	return nil
}

func (c *conversation) verdicts(list []client.ExportVerdict) {
	var rows [][]string
	for _, x := range list {
		if len(x.Places) == 0 {
			rows = append(rows, []string{fmt.Sprint(x.ExportID), x.Verdict, "-", "it was delivered nowhere"})
		}
		for _, p := range x.Places {
			rows = append(rows, []string{fmt.Sprint(x.ExportID), p.Verdict, p.Destination, named(p.Detail)})
		}
	}
	c.table([]string{"EXPORT", "VERDICT", "DESTINATION", "DETAIL"}, rows)
}
