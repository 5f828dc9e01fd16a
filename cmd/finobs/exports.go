package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"finobs/internal/client"
	"finobs/internal/export"

	"github.com/spf13/cobra"
)

func exportsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "exports", Short: "Look at exports; make, verify, download them, and deliver them again"}
	cmd.AddCommand(exportsListCommand(), exportsShowCommand(), exportsCreateCommand("create DATASET", "", false), exportsVerifyCommand(),
		exportsRedeliverCommand(), exportsDownloadCommand(), exportsHistoryCommand())
	return cmd
}

var (
	exportStatuses   = []string{"intended", "sealed", "failed"}
	deliveryStatuses = []string{
		string(export.Undelivered), string(export.Delivering), string(export.Delivered), string(export.NotDelivered), string(export.DeliveryUnknown),
	}
	verdicts = []string{
		string(export.Unverified), string(export.Verified), string(export.Tampered), string(export.Missing), string(export.SignatureInvalid),
		string(export.KeyUnknown), string(export.Unreachable), string(export.Unreadable),
	}
	formats      = []string{"csv", "ndjson", "parquet"}
	compressions = []string{"none", "gzip", "zstd"}
)

func datasets() (names []string) {
	for _, d := range export.Datasets() {
		names = append(names, d.Name)
	}
	return names
}

func exportsListCommand() *cobra.Command {
	var p client.GetExportsParams
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List exports, newest first", Args: cobra.NoArgs,
		Example: "  finobs exports ls --dataset incidents --verification tampered",
	}
	f := cmd.Flags()
	choice(cmd, &p.Dataset, "dataset", "", "what was exported", datasets())
	choice(cmd, &p.Format, "format", "", "form of the file", formats)
	choice(cmd, &p.Status, "status", "", "how far it is", exportStatuses)
	choice(cmd, &p.VerificationStatus, "verification", "", "newest verdict", verdicts)
	choice(cmd, &p.DeliveryStatus, "delivery", "", "whether it arrived", deliveryStatuses)
	f.StringVar(&p.Destination, "destination", "", "name of a destination")
	f.StringVar(&p.Requester, "requester", "", "sub of the requester")
	f.Int64Var(&p.ScheduleID, "schedule", 0, "id of a schedule")
	f.Int64VarP(&p.Limit, "limit", "n", 50, "how many, 500 at most")
	return callCommand(cmd, "analyst", func(ctx context.Context, c *conversation) error {
		page, err := c.GetExports(ctx, p)
		if err != nil {
			return err
		}
		return c.show(page.JSON, func() {
			var rows [][]string
			for _, x := range page.Body.Items {
				count := "-"
				if x.Seal != nil {
					count = fmt.Sprint(x.Seal.Rows)
				}
				rows = append(rows, []string{
					fmt.Sprint(x.ExportID), x.Dataset, x.Format, x.Status, count, x.DeliveryStatus, x.VerificationStatus, who(x.Requester),
					minuteOf(x.CreatedAt), x.Destination,
				})
			}
			c.table([]string{"ID", "DATASET", "FORMAT", "STATUS", "ROWS", "DELIVERY", "VERDICT", "REQUESTER", "CREATED", "DESTINATION"}, rows)
			c.more(page.Body.NextBefore, len(rows))
		})
	})
}

func exportsShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show what is known of an export, and each delivery", Args: cobra.ExactArgs(1), ValidArgsFunction: exportIDs(),
	}
	return callCommand(cmd, "analyst", func(ctx context.Context, c *conversation) error {
		id, err := c.id(0, "export")
		if err != nil {
			return err
		}
		x, err := c.GetExportsID(ctx, id)
		if err != nil {
			return err
		}
		return c.show(x.JSON, func() { c.export(x.Body) })
	})
}

func (c *conversation) export(x client.ExportView) {
	c.say("Export %d of %s as %s, compression %s: %s", x.ExportID, x.Dataset, x.Format, x.Compression, x.Status)
	var filters []string
	for _, name := range slices.Sorted(maps.Keys(x.Filters)) {
		filters = append(filters, name+"="+x.Filters[name])
	}
	c.say("asked for by %s at %s, approval %d; filters: %s", who(x.Requester), minuteOf(x.CreatedAt), x.ApprovalRequestID, named(strings.Join(filters, ", ")))
	if s := x.Seal; s != nil {
		c.say("%d rows, %d bytes, sealed at %s as number %d of the chain\nSHA-256 of the content %s\nSHA-256 of the manifest %s, signed by %s",
			s.Rows, s.FileBytes, minuteOf(s.SealedAt), s.Number, s.ContentSha256, s.ManifestSha256, s.KeyID)
	}
	c.say("destination %s: %s, %s", named(x.Destination), x.DeliveryStatus, x.VerificationStatus)
	if len(x.Deliveries) == 0 {
		return
	}
	c.say("")
	var rows [][]string
	for _, d := range x.Deliveries {
		rows = append(rows, []string{
			fmt.Sprint(d.Attempt), d.Destination, d.Status, named(d.Verification.Verdict), minuteOf(d.StartedAt),
			named(cmp.Or(d.Detail, d.Verification.Detail)),
		})
	}
	c.table([]string{"ATTEMPT", "DESTINATION", "STATUS", "VERDICT", "STARTED", "DETAIL"}, rows)
}

func exportsHistoryCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "history ID", Short: "Show the ledger entries about an export", Args: cobra.ExactArgs(1), ValidArgsFunction: exportIDs(),
	}
	return callCommand(cmd, "analyst", func(ctx context.Context, c *conversation) error {
		id, err := c.id(0, "export")
		if err != nil {
			return err
		}
		h, err := c.GetExportsIDHistory(ctx, id)
		if err != nil {
			return err
		}
		return c.show(h.JSON, func() { c.history(h.Body) })
	})
}

func exportsRedeliverCommand() *cobra.Command {
	var body client.RedeliverInputBody
	var key string
	var renew bool
	cmd := &cobra.Command{
		Use: "redeliver ID", Short: "Deliver the same bytes again; elsewhere than approved, once that is approved",
		Args: cobra.ExactArgs(1), ValidArgsFunction: exportIDs(),
	}
	cmd.Flags().StringVar(&body.Destination, "destination", "", "default: the one that the export was approved for")
	cmd.Flags().StringVar(&body.Reason, "reason", "", "why, for the record")
	cmd.Flags().BoolVar(&renew, "renew", false, "ask again although the same was decided before")
	cmd.Flags().StringVar(&key, "idempotency-key", "", "the same key delivers once, however often it is sent")
	return callCommand(cmd, "analyst", func(ctx context.Context, c *conversation) error {
		id, err := c.id(0, "export")
		if err != nil {
			return err
		}
		body.Renew = &renew
		a, err := c.PostExportsIDRedeliver(ctx, id, client.PostExportsIDRedeliverParams{IdempotencyKey: key}, body)
		if err != nil {
			return err
		}
		if err := c.show(a.JSON, func() { c.redelivered(a.Body) }); err != nil {
			return err
		}
		return failedDelivery(a.Body)
	})
}

func (c *conversation) redelivered(r client.RedeliveredView) {
	if r.ApprovalRequestID != nil {
		c.say("export %d to %s: %s: approval %d is %s", r.ExportID, r.Destination, r.Detail, *r.ApprovalRequestID, r.Status)
		return
	}
	c.say("export %d to %s: %s%s", r.ExportID, r.Destination, r.Detail, strings.TrimRight(" "+r.DeliveryStatus+" "+r.Verdict, " "))
}

// failedDelivery is an error when a delivery has ended, and not well.
func failedDelivery(r client.RedeliveredView) error {
	if r.DeliveryStatus == "" || r.DeliveryStatus == string(export.Delivered) {
		return nil
	}
	return fmt.Errorf("the delivery of export %d to %s is %s; finobs exports show %d says why", r.ExportID, r.Destination, r.DeliveryStatus, r.ExportID)
}
