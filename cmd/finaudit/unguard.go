package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

func unguardCommand() *cobra.Command {
	return &cobra.Command{
		Use: "unguard FILE.csv", Short: "Take the formula guard off a CSV export", Args: cobra.ExactArgs(1),
		Long: `Take the formula guard off a CSV export and write it to standard output: cells of text that
could begin a formula were given an apostrophe, which is removed; nothing else changes.
Verify the export first, and do not open the result in a spreadsheet. FILE - is standard
input, such as: zcat FILE.csv.gz | finaudit unguard -`,
		RunE: func(cmd *cobra.Command, args []string) error {
			in := cmd.InOrStdin()
			if args[0] != "-" {
				file, err := os.Open(args[0])
				if err != nil {
					return fmt.Errorf("reading export: %w", err)
				}
				defer file.Close()
				in = file
			}
			return unguard(cmd.OutOrStdout(), in)
		},
	}
}

// unguard leaves out the apostrophe with which a cell begins. It works on bytes, for
// readers of CSV do not tell an absent value from an empty one.
func unguard(out io.Writer, in io.Reader) error {
	r, w := bufio.NewReader(in), bufio.NewWriter(out)
	begins, quoted := true, false
	for {
		c, err := r.ReadByte()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("reading export: %w", err)
		}
		if begins && c == '\'' {
			begins = false
			continue
		}
		opens := begins && !quoted && c == '"' // the cell still begins behind it
		if c == '"' {
			quoted = !quoted
		}
		begins = opens || !quoted && (c == ',' || c == '\n')
		if err := w.WriteByte(c); err != nil {
			return fmt.Errorf("writing: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	return nil
}
