package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"finobs/internal/client"
	"finobs/internal/recon"

	"github.com/spf13/cobra"
)

func reconCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "recon", Short: "Compare two sides of trades and show the breaks"}
	cmd.AddCommand(reconRunCommand(), reconProfilesCommand(), reconLintCommand())
	return cmd
}

// reconOptions are the flags of finobs recon run.
type reconOptions struct {
	profile, leftAllocations, rightAllocations, from, to, origin, breaks, idempotency string
	strict, json                                                                      bool
}

func reconRunCommand() *cobra.Command {
	var o reconOptions
	cmd := &cobra.Command{
		Use:   "run [LEFT] [RIGHT]",
		Short: "Compare two files, or what is on record; exit code 3 when there are breaks",
		Long: "Compare two files by a profile. A side that the profile takes from the record has no file: then give one file, or none.\n" +
			"Exit code 0: no breaks; 3: breaks; 2: a file or a flag is not what the profile takes; 1: the run failed.",
		Example: "  finobs recon run oms.csv broker.csv --profile oms-vs-broker\n  finobs recon run --profile dropcopy-vs-broker --from 2026-06-12 --to 2026-06-12",
		Args:    cobra.MaximumNArgs(2),
	}
	call := apiFlags(cmd, "analyst")
	f := cmd.Flags()
	f.StringVar(&o.profile, "profile", "", "name of a profile, or path of a profile file (*.yaml)")
	f.StringVar(&o.leftAllocations, "left-allocations", "", "file of the left side's allocations")
	f.StringVar(&o.rightAllocations, "right-allocations", "", "file of the right side's allocations")
	f.StringVar(&o.from, "from", "", "first trade date, YYYY-MM-DD")
	f.StringVar(&o.to, "to", "", "last trade date, YYYY-MM-DD")
	f.StringVar(&o.origin, "origin", "live", "live or demo")
	f.BoolVar(&o.strict, "strict", false, "refuse the run when one line is bad")
	f.BoolVar(&o.json, "json", false, "print the run and its breaks as JSON")
	f.StringVar(&o.breaks, "breaks", "20", "how many breaks to print: a number, or all")
	f.StringVar(&o.idempotency, "idempotency-key", "", "of a profile that reads the record: the same key makes one run")
	if err := cmd.MarkFlagRequired("profile"); err != nil {
		panic(err) // the flag is defined above
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		most, err := mostBreaks(o.breaks)
		if err != nil {
			return err
		}
		c, err := call(cmd.Context())
		if err != nil {
			return err
		}
		run, err := c.reconcile(cmd.Context(), args, o)
		if err != nil {
			return err
		}
		breaks, sent, err := c.breaksOf(cmd.Context(), run, most)
		if err != nil {
			return err
		}
		if o.json {
			err = printJSON(cmd.OutOrStdout(), run, sent)
		} else {
			printRecon(newScreen(cmd.OutOrStdout()), run, breaks)
		}
		if err == nil && run.Report.Breaks > 0 {
			err = exitError{exitFound, fmt.Errorf("%d breaks", run.Report.Breaks)}
		}
		return err
	}
	return cmd
}

func mostBreaks(text string) (int, error) {
	if text == "all" {
		return int(^uint(0) >> 1), nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, usage("--breaks %q must be a number or all", text)
	}
	return n, nil
}

// reconRun is a run as the API answers with it.
type reconRun struct {
	ID       string          `json:"run_id"`
	State    string          `json:"state"`
	Reason   string          `json:"reason"`
	Repeated bool            `json:"repeated"`
	Profile  string          `json:"profile"`
	Progress *recon.Progress `json:"progress"`
	Report   recon.Report    `json:"report"`

	raw json.RawMessage
}

func readRun(sent json.RawMessage) (reconRun, error) {
	run := reconRun{raw: sent}
	if err := json.Unmarshal(sent, &run); err != nil {
		return run, fmt.Errorf("reading the API's answer: %w", err)
	}
	return run, nil
}

// reconPause is how long to wait between two looks at a run that goes on; the API
// itself waits a while before it answers.
const reconPause = 200 * time.Millisecond

// reconcile sends the files, starts the run and waits for it.
func (c caller) reconcile(ctx context.Context, args []string, o reconOptions) (reconRun, error) {
	request, err := c.reconRequest(ctx, args, o)
	if err != nil {
		return reconRun{}, err
	}
	a, err := c.client().PostReconRuns(ctx, client.PostReconRunsParams{IdempotencyKey: o.idempotency}, request)
	show := newPhases(os.Stderr)
	defer show.end()
	for {
		if err != nil {
			return reconRun{}, err
		}
		run, err2 := readRun(a.JSON)
		switch {
		case err2 != nil:
			return run, err2
		case run.State == "failed":
			return run, fmt.Errorf("the run failed: %s", run.Reason)
		case run.State == "done":
			return run, nil
		}
		show.at(run.Progress)
		select {
		case <-time.After(reconPause):
		case <-ctx.Done():
			return run, ctx.Err()
		}
		a, err = c.client().GetReconRunsID(ctx, run.ID)
	}
}

// reconRequest sends the files and makes the body that names them.
func (c caller) reconRequest(ctx context.Context, args []string, o reconOptions) (client.StartReconInputBody, error) {
	reads, request, err := c.profileOf(ctx, o.profile)
	if err != nil {
		return request, err
	}
	request.From, request.To, request.Origin, request.Strict = o.from, o.to, o.origin, &o.strict
	sides := [2]**client.ReconFile{recon.Left: &request.Left, recon.Right: &request.Right}
	for _, h := range []recon.Hand{recon.Left, recon.Right} {
		if !reads[h] {
			continue
		}
		if len(args) == 0 {
			return request, usage("profile %s reads the %s side from a file; give one", o.profile, h)
		}
		if *sides[h], err = c.sendReconFile(ctx, args[0]); err != nil {
			return request, err
		}
		args = args[1:]
	}
	if len(args) > 0 {
		return request, usage("profile %s takes a side from the record; %s is one file too many", o.profile, args[0])
	}
	if request.LeftAllocations, err = c.sendReconFile(ctx, o.leftAllocations); err == nil {
		request.RightAllocations, err = c.sendReconFile(ctx, o.rightAllocations)
	}
	return request, err
}

// profileOf finds out which sides a profile reads from files, and how a request
// names it.
func (c caller) profileOf(ctx context.Context, name string) (files [2]bool, request client.StartReconInputBody, err error) {
	if strings.ContainsAny(name, "/.") {
		text, err := os.ReadFile(name)
		if err != nil {
			return files, request, fmt.Errorf("reading profile: %w", err)
		}
		p, err := recon.LoadProfile(bytes.NewReader(text))
		if err != nil {
			return files, request, fmt.Errorf("%s: %w", name, err)
		}
		request.ProfileText = string(text)
		return [2]bool{p.Files(recon.Left), p.Files(recon.Right)}, request, nil
	}
	list, err := c.client().GetReconProfiles(ctx)
	if err != nil {
		return files, request, err
	}
	var names []string
	for _, p := range list.Body.Items {
		if p.Name == name {
			request.Profile = name
			return [2]bool{p.Left.Book == "", p.Right.Book == ""}, request, nil
		}
		names = append(names, p.Name)
	}
	return files, request, usage("there is no profile %q; known are %s (or give the path of a file)", name, strings.Join(names, ", "))
}

// sendReconFile sends a file, and returns how a request names it; nil for no path.
func (c caller) sendReconFile(ctx context.Context, path string) (*client.ReconFile, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // no file is what was asked for
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening file: %w", err)
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || info.IsDir() {
		return nil, errors.Join(fmt.Errorf("%s is not a file", path), err)
	}
	res, err := c.client().PostReconFiles(ctx, "application/octet-stream", file)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	kept := client.ReconFile{}
	if err := json.NewDecoder(res.Body).Decode(&kept); err != nil {
		return nil, fmt.Errorf("reading the API's answer to %s: %w", path, err)
	}
	kept.FileName = filepath.Base(path)
	return &kept, nil
}

func reconProfilesCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "profiles", Short: "List the profiles that the API knows", Args: cobra.NoArgs}
	return callCommand(cmd, "analyst", func(ctx context.Context, c *conversation) error {
		list, err := c.GetReconProfiles(ctx)
		if err != nil {
			return err
		}
		return c.show(list.JSON, func() {
			var rows [][]string
			for _, p := range list.Body.Items {
				rows = append(rows, []string{p.Name, sideText(p.Left.Label, p.Left.Book), sideText(p.Right.Label, p.Right.Book), p.Schedule, p.Title})
			}
			c.table([]string{"PROFILE", "LEFT", "RIGHT", "SCHEDULE", "TITLE"}, rows)
		})
	})
}

func sideText(label, book string) string {
	if book != "" {
		return label + " (on record: " + book + ")"
	}
	return label + " (file)"
}

func reconLintCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "lint FILE...",
		Short: "Check profile files; nothing is connected to",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, path := range args {
				if err := lintProfile(path, cmd.OutOrStdout()); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func lintProfile(path string, out io.Writer) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("opening profile: %w", err)
	}
	defer file.Close()
	p, err := recon.LoadProfile(file)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	fmt.Fprintf(out, "%s: ok, profile %s, SHA-256 %s\n", path, p.Name, p.Digest)
	return nil
}
