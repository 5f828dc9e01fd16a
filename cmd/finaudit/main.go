// Command finaudit verifies, offline, what finobs recorded. It needs a public key
// and files; it talks to no server.
//
// Exit codes are listed in docs/verify.md.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"finobs/internal/audit"
	"finobs/internal/fault"

	"github.com/spf13/cobra"
)

func main() {
	root := &cobra.Command{
		Use: "finaudit", Short: "Verify offline what finobs recorded",
		SilenceUsage: true, SilenceErrors: true,
	}
	root.AddCommand(exportCommand(), unguardCommand(), receiptCommand(), fetchCommand(), verifyCommand(), proofCommand(), consistencyCommand(), monitorCommand(),
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
		{audit.ErrSignature, 2}, {audit.ErrInclusion, 3}, {audit.ErrFork, 4}, {audit.ErrProjection, 5}, {audit.ErrGap, 6},
	} {
		if errors.Is(err, found.err) {
			return found.code
		}
	}
	if bad, ok := errors.AsType[*badBundle](err); ok {
		return bad.exitCode()
	}
	if fault.KindOf(err) == fault.Forbidden {
		return 2
	}
	return 1
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
