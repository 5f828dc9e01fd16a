// Command finaudit verifies, offline, what finobs recorded. It needs a public key
// and files; it talks to no server.
//
// Exit codes: 0 everything holds, 1 the check could not be made, 2 something does
// not hold.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"finobs/internal/attest"
	"finobs/internal/audit"
	"finobs/internal/evidence"
	"finobs/internal/export"
	"finobs/internal/fault"
	"finobs/internal/keys"

	"github.com/spf13/cobra"
)

func main() {
	root := &cobra.Command{
		Use: "finaudit", Short: "Verify offline what finobs recorded",
		SilenceUsage: true, SilenceErrors: true,
	}
	root.AddCommand(exportCommand(), receiptCommand(), fetchCommand(), verifyCommand(), proofCommand(), consistencyCommand(), monitorCommand(),
		siemCheckCommand())
	err := root.Execute()
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "finaudit:", err)
	os.Exit(exitCode(err))
}

// exitCode tells what kind of thing was found; docs/verify.md lists the codes.
func exitCode(err error) int {
	for _, found := range []struct {
		err  error
		code int
	}{
		{audit.ErrSignature, 2}, {export.ErrMismatch, 2}, {audit.ErrInclusion, 3}, {audit.ErrFork, 4}, {audit.ErrProjection, 5}, {audit.ErrGap, 6},
	} {
		if errors.Is(err, found.err) {
			return found.code
		}
	}
	if fault.KindOf(err) == fault.Forbidden {
		return 2
	}
	return 1
}

func exportCommand() *cobra.Command {
	var record, artefact, key string
	cmd := &cobra.Command{
		Use:   "export --record RECORD --artefact FILE --key PUBLIC_KEY",
		Short: "Verify one export",
		Long: `Verify one export: people other than the requester approved exactly this export, under
the policy that was frozen with the request; the artefact has every byte that was
sealed and no other; and the ledger entries have their digests and tell the same
story. RECORD is what GET /exports/{id}/record answers, FILE what
GET /exports/{id}/content sends, PUBLIC_KEY the public half of the decision key.

Not covered: that the entries are in the ledger's log, in order and without gaps.

Exit codes: 0 everything holds, 1 the check could not be made, 2 something does not
hold.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return verifyExport(cmd.OutOrStdout(), record, artefact, key)
		},
	}
	requireFiles(cmd, map[string]*string{"record": &record, "artefact": &artefact, "key": &key})
	return cmd
}

// requireFiles defines flags that name files.
func requireFiles(cmd *cobra.Command, flags map[string]*string) {
	for name, into := range flags {
		cmd.Flags().StringVar(into, name, "", "path of a file (required)")
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the flag was just defined
		}
	}
}

// readJSON reads a file that the API answered with.
func readJSON(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading record: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("reading record: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading record: %s holds more than one document", path)
	}
	return nil
}

func verifyExport(out io.Writer, recordPath, artefactPath, keyPath string) error {
	public, err := keys.LoadPublic(keyPath)
	if err != nil {
		return err
	}
	var r export.Record
	if err := readJSON(recordPath, &r); err != nil {
		return err
	}
	action, err := evidence.Approved(attest.NewVerifier(public), r.Approval, r.Decisions, nil)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "ok  approval %d: %s asked for %s, and enough other people approved exactly that\n",
		r.Approval.ID, action.Requester.Subject, action.Kind)
	if err := export.VerifyRecord(r, action); err != nil {
		return err
	}
	fmt.Fprintf(out, "ok  record: export %d is what was approved, and %d ledger entries say so\n", r.Export.ID, len(r.Entries))
	file, err := os.Open(artefactPath)
	if err != nil {
		return fmt.Errorf("reading artefact: %w", err)
	}
	defer file.Close()
	if err := export.VerifyArtefact(file, r.Export.Format, *r.Export.Seal); err != nil {
		return err
	}
	fmt.Fprintf(out, "ok  artefact: %d rows, %d bytes, SHA-256 %s\n", r.Export.Seal.Rows, r.Export.Seal.Bytes, r.Export.Seal.ContentSHA256)
	return nil
}
