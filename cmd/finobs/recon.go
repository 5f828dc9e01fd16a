package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"finobs/internal/recon"

	"github.com/spf13/cobra"
)

func reconCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "recon", Short: "Compare two sides of trades and show the breaks"}
	cmd.AddCommand(reconRunCommand(), reconProfilesCommand(), reconLintCommand())
	return cmd
}

// exitBreaks is the exit code of a run that found breaks.
const exitBreaks = 3

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
			"Exit code 0: no breaks; 3: breaks; 1: the run failed.",
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
		breaks, err := c.breaksOf(cmd.Context(), run, most)
		if err != nil {
			return err
		}
		if o.json {
			err = printJSON(cmd.OutOrStdout(), run, breaks)
		} else {
			err = printRecon(cmd.OutOrStdout(), run, breaks)
		}
		if err == nil && run.Report.Breaks > 0 {
			err = exitError{exitBreaks, fmt.Errorf("%d breaks", run.Report.Breaks)}
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
		return 0, fmt.Errorf("--breaks %q must be a number or all", text)
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

func readRun(a answer) (reconRun, error) {
	run := reconRun{raw: a.Body}
	if err := json.Unmarshal(a.Body, &run); err != nil {
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
	text, err := json.Marshal(request)
	if err != nil {
		return reconRun{}, fmt.Errorf("encoding request: %w", err)
	}
	a, err := c.do(ctx, http.MethodPost, "/recon/runs", "application/json", bytes.NewReader(text), "Idempotency-Key", o.idempotency)
	show := newPhases(os.Stderr)
	defer show.end()
	for {
		if err != nil {
			return reconRun{}, err
		}
		if a.Status != http.StatusOK && a.Status != http.StatusAccepted {
			return reconRun{}, fmt.Errorf("%s answered %d to the run: %s", c.base, a.Status, a.field("detail"))
		}
		run, err := readRun(a)
		switch {
		case err != nil:
			return run, err
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
		a, err = c.do(ctx, http.MethodGet, "/recon/runs/"+run.ID, "", nil)
		if err != nil {
			return run, err
		}
	}
}

// reconRequest sends the files and makes the body that names them.
func (c caller) reconRequest(ctx context.Context, args []string, o reconOptions) (map[string]any, error) {
	p, request, err := c.profileOf(ctx, o.profile)
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{"from": o.from, "to": o.to, "origin": o.origin} {
		if value != "" {
			request[name] = value
		}
	}
	request["strict"] = o.strict
	files := map[string]string{"left_allocations": o.leftAllocations, "right_allocations": o.rightAllocations}
	for _, h := range []recon.Hand{recon.Left, recon.Right} {
		if p[h] {
			if len(args) == 0 {
				return nil, fmt.Errorf("profile %s reads the %s side from a file; give one", o.profile, h)
			}
			files[h.String()], args = args[0], args[1:]
		}
	}
	if len(args) > 0 {
		return nil, fmt.Errorf("profile %s takes a side from the record; %s is one file too many", o.profile, args[0])
	}
	for name, path := range files {
		if path == "" {
			continue
		}
		sha, err := c.sendReconFile(ctx, path)
		if err != nil {
			return nil, err
		}
		request[name] = map[string]string{"sha256": sha, "file_name": filepath.Base(path)}
	}
	return request, nil
}

// profileOf finds out which sides a profile reads from files, and how a request
// names it.
func (c caller) profileOf(ctx context.Context, name string) (files [2]bool, request map[string]any, err error) {
	if strings.ContainsAny(name, "/.") {
		text, err := os.ReadFile(name)
		if err != nil {
			return files, nil, fmt.Errorf("reading profile: %w", err)
		}
		p, err := recon.LoadProfile(bytes.NewReader(text))
		if err != nil {
			return files, nil, fmt.Errorf("%s: %w", name, err)
		}
		return [2]bool{p.Files(recon.Left), p.Files(recon.Right)}, map[string]any{"profile_text": string(text)}, nil
	}
	list, err := c.profiles(ctx)
	if err != nil {
		return files, nil, err
	}
	var names []string
	for _, p := range list {
		if p.Name == name {
			return [2]bool{p.Left.Book == "", p.Right.Book == ""}, map[string]any{"profile": name}, nil
		}
		names = append(names, p.Name)
	}
	return files, nil, fmt.Errorf("there is no profile %q; known are %s (or give the path of a file)", name, strings.Join(names, ", "))
}

func (c caller) sendReconFile(ctx context.Context, path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("opening file: %w", err)
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || info.IsDir() {
		return "", errors.Join(fmt.Errorf("%s is not a file", path), err)
	}
	a, err := c.do(ctx, http.MethodPost, "/recon/files", "application/octet-stream", file)
	if err == nil && a.Status != http.StatusOK {
		err = fmt.Errorf("%s answered %d to %s: %s", c.base, a.Status, path, a.field("detail"))
	}
	return a.field("sha256"), err
}

// reconProfile is a profile as the API lists it.
type reconProfile struct {
	Name, Title, Schedule string
	Left, Right           struct {
		Label, Book string
		Columns     []string
		Allocations bool
	}
}

func (c caller) profiles(ctx context.Context) ([]reconProfile, error) {
	var list struct{ Items []reconProfile }
	err := c.get(ctx, "/recon/profiles", &list)
	return list.Items, err
}

func reconProfilesCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "profiles", Short: "List the profiles that the API knows", Args: cobra.NoArgs}
	call := apiFlags(cmd, "analyst")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := call(cmd.Context())
		if err != nil {
			return err
		}
		list, err := c.profiles(cmd.Context())
		if err != nil {
			return err
		}
		table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "PROFILE\tLEFT\tRIGHT\tSCHEDULE\tTITLE")
		for _, p := range list {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", p.Name, sideText(p.Left.Label, p.Left.Book), sideText(p.Right.Label, p.Right.Book), p.Schedule, p.Title)
		}
		return table.Flush()
	}
	return cmd
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
