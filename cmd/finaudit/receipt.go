package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/evidence"
	"finobs/internal/keys"

	"github.com/spf13/cobra"
)

func receiptCommand() *cobra.Command {
	var receipt, key string
	cmd := &cobra.Command{
		Use:   "receipt --receipt FILE --key PUBLIC_KEY",
		Short: "Verify who decided what on a request, and what they were shown",
		Long: `Verify a decision receipt: the API vouches for the request and for every decision, each
approver was shown the recorded summary of exactly this action, and under the policy
that was frozen with the request the decisions amount to its status. FILE is what
GET /approval/{id}/receipt answers, PUBLIC_KEY the public half of the decision key.

Not covered: whether somebody lost a role after deciding; the effect checks that
against the roster and records it in the ledger.

Exit codes: 0 everything holds, 1 the check could not be made, 2 something does not
hold.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return verifyReceipt(cmd.OutOrStdout(), receipt, key)
		},
	}
	requireFiles(cmd, map[string]*string{"receipt": &receipt, "key": &key})
	return cmd
}

func verifyReceipt(out io.Writer, path, keyPath string) error {
	public, err := keys.LoadPublic(keyPath)
	if err != nil {
		return err
	}
	var r approval.Receipt
	if err := readJSON(path, &r); err != nil {
		return err
	}
	if _, err := evidence.Receipt(attest.NewVerifier(public), r); err != nil {
		return err
	}
	fmt.Fprintf(out, "ok  approval %d is %s; its action has digest %s\n", r.Request.ID, r.Request.Status, r.Request.ActionDigest)
	for _, d := range r.Statement.Deciders {
		whose := ""
		if d.OnBehalfOf != nil {
			whose = " in the place of " + approval.Printable(d.OnBehalfOf.Subject)
		}
		fmt.Fprintf(out, "ok  %s%s said %s at %s, shown summary %s, signed by key %s\n", approval.Printable(d.Reviewer.Subject), whose,
			d.Verdict, d.DecidedAt.Format(time.RFC3339), d.SummarySHA256, d.KeyID)
	}
	fmt.Fprintf(out, "what they were shown:\n  %s\n", strings.ReplaceAll(strings.TrimSpace(r.Request.Summary), "\n", "\n  "))
	return nil
}
