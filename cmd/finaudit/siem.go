package main

import (
	"fmt"
	"io"
	"os"

	"finobs/internal/siem/seen"

	"github.com/spf13/cobra"
)

// Exit codes of siem-check beside 0 and 1.
const (
	exitConflict = 5
	exitGap      = 6
)

// shownRanges bounds how many gaps and conflicts are printed.
const shownRanges = 1000

func siemCheckCommand() *cobra.Command {
	var path string
	var from, to int64
	cmd := &cobra.Command{
		Use:   "siem-check --seen FILE [--from N] [--to N]",
		Short: "Find ledger entries that did not reach a SIEM",
		Long: `Find ledger entries that did not reach a SIEM: their index has no gaps, so an index that
is missing is an entry that was lost. FILE is what the SIEM received, as it came: syslog
messages with octet counting or one a line, CEF one a line, or the lines of the HTTPS
sink. Lines of other programs are skipped and counted.

Without --from and --to the entries between the smallest and the greatest index that
came are checked; entries lost before or after need --from 0 and, as --to, one less than
the size of the log.

Not covered: that an entry arrived unchanged, beyond its digest; compare the digests with
the ledger's.

Exit codes: 0 nothing is missing, 1 the check could not be made, 5 an index came with two
different digests (and perhaps others are missing), 6 an index is missing.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			code, err := siemCheck(cmd.OutOrStdout(), path, from, to)
			if err == nil && code != 0 {
				os.Exit(code)
			}
			return err
		},
	}
	requireFiles(cmd, map[string]*string{"seen": &path})
	cmd.Flags().Int64Var(&from, "from", -1, "first index that must be there (the smallest that came)")
	cmd.Flags().Int64Var(&to, "to", -1, "last index that must be there (the greatest that came)")
	return cmd
}

func siemCheck(out io.Writer, path string, from, to int64) (code int, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("reading what was received: %w", err)
	}
	defer file.Close()
	report, err := seen.Check(file)
	if err != nil {
		return 0, err
	}
	if report.Distinct == 0 && (from < 0 || to < 0) {
		return 0, fmt.Errorf("%s holds no entry of finobs; say with --from and --to which are expected", path)
	}
	if from < 0 {
		from = report.Min
	}
	if to < 0 {
		to = report.Max
	}
	if from > to || to > seen.MaxIndex {
		return 0, fmt.Errorf("cannot check from %d to %d: want a range of indexes up to %d", from, to, int64(seen.MaxIndex))
	}
	fmt.Fprintf(out, "%d messages with %d entries, index %d to %d; %d came more than once\n",
		report.Count, report.Distinct, report.Min, report.Max, report.Duplicates)
	if report.Skipped > 0 {
		fmt.Fprintf(out, "%d lines are not of finobs or cut off, first the %d. message\n", report.Skipped, report.FirstSkipped)
	}
	for _, index := range first(report.Conflicts) {
		fmt.Fprintf(out, "CONFLICT  %d came with different digests\n", index)
	}
	missing := report.Missing(from, to)
	total := int64(0)
	for _, gap := range missing {
		total += gap.Last - gap.First + 1
	}
	for _, gap := range first(missing) {
		fmt.Fprintf(out, "MISSING   %d to %d\n", gap.First, gap.Last)
	}
	switch {
	case len(report.Conflicts) > 0:
		fmt.Fprintf(out, "%d entries came with different digests, and %d of %d to %d are missing\n", len(report.Conflicts), total, from, to)
		return exitConflict, nil
	case total > 0:
		fmt.Fprintf(out, "%d of %d to %d are missing, in %d gaps\n", total, from, to, len(missing))
		return exitGap, nil
	}
	fmt.Fprintf(out, "ok  nothing is missing from %d to %d\n", from, to)
	return 0, nil
}

// first returns what is printed of a long list.
func first[T any](list []T) []T { return list[:min(len(list), shownRanges)] }
