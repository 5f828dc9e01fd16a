package main

import (
	"fmt"
	"net/url"

	"github.com/spf13/cobra"
)

// importMappedCommand loads files in the form of a profile's side; name is that of
// the command and of its route.
func importMappedCommand(name, short string) *cobra.Command {
	var strict bool
	var origin, source, profile, side string
	cmd := &cobra.Command{Use: name + " FILE|-", Short: short, Args: cobra.ExactArgs(1)}
	call := apiFlags(cmd, "analyst")
	cmd.Flags().BoolVar(&strict, "strict", false, "refuse the whole file when one line is bad")
	cmd.Flags().StringVar(&origin, "origin", "live", "live or demo")
	cmd.Flags().StringVar(&source, "source", "", "whose books these are (default: you)")
	cmd.Flags().StringVar(&profile, "profile", "", "reconciliation profile that says which columns hold what")
	cmd.Flags().StringVar(&side, "side", "", "side of the profile: left or right")
	for _, flag := range []string{"profile", "side"} {
		if err := cmd.MarkFlagRequired(flag); err != nil {
			panic(err) // the flag is defined above
		}
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := call(cmd.Context())
		if err != nil {
			return err
		}
		query := url.Values{"origin": {origin}, "strict": {fmt.Sprint(strict)}, "profile": {profile}, "side": {side}}
		if source != "" {
			query.Set("source", source)
		}
		a, err := c.importFile(cmd.Context(), args[0], "/ingest/"+name, "application/octet-stream", query)
		if err != nil {
			return err
		}
		return printTransactions(a, cmd.OutOrStdout())
	}
	return cmd
}
