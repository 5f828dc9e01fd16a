package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"finobs/internal/audit"
	"finobs/internal/keys"
	"finobs/internal/ledger"
	"finobs/internal/logclient"
	"finobs/internal/progress"

	"github.com/spf13/cobra"
)

const exitCodes = `
Exit codes: 0 everything holds, 1 the check could not be made, 2 a signature does not
hold, 3 an entry is not in the tree that was signed, 4 the log forked or was put back,
5 columns differ from the entry, 6 an entry is missing.`

// source is where a log is, and who may sign it.
type source struct{ keys, token string }

func (s *source) flags(cmd *cobra.Command, online bool) {
	cmd.Flags().StringVar(&s.keys, "keys", "", "trust file: lines of VKEY FIRST LAST (required)")
	if err := cmd.MarkFlagRequired("keys"); err != nil {
		panic(err) // the flag was just defined
	}
	if online {
		cmd.Flags().StringVar(&s.token, "token", os.Getenv("FINOBS_TOKEN"), "bearer token of somebody who may read the log (default: FINOBS_TOKEN)")
	}
}

func (s *source) open(files fs.FS) (audit.Copy, error) {
	file, err := os.Open(s.keys)
	if err != nil {
		return audit.Copy{}, fmt.Errorf("reading trust file: %w", err)
	}
	defer file.Close()
	verifiers, err := keys.LoadVerifiers(file)
	if err != nil {
		return audit.Copy{}, err
	}
	return audit.Copy{Files: files, Origin: verifiers.Origin(), Keys: verifiers.For}, nil
}

func isURL(s string) bool { return strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://") }

func fetchCommand() *cobra.Command {
	var s source
	cmd := &cobra.Command{
		Use: "fetch URL DIR", Short: "Download a log, to verify it offline", Args: cobra.ExactArgs(2),
		Long: "Download a log: checkpoint, entries, tiles of hashes and columns. Full tiles that DIR has are\nnot downloaded again.",
		RunE: func(cmd *cobra.Command, args []string) error { return s.fetch(cmd.Context(), args[0], args[1]) },
	}
	cmd.Flags().StringVar(&s.token, "token", os.Getenv("FINOBS_TOKEN"), "bearer token of somebody who may read the log (default: FINOBS_TOKEN)")
	return cmd
}

func (s *source) fetch(ctx context.Context, url, dir string) error {
	client, err := logclient.New(url, s.token)
	if err != nil {
		return err
	}
	bar := progress.New("downloading")
	defer bar.End()
	return client.Fetch(ctx, dir, bar.Show)
}

func verifyCommand() *cobra.Command {
	var s source
	var older string
	cmd := &cobra.Command{
		Use:   "verify DIR|URL --keys FILE [--older CHECKPOINT]",
		Short: "Verify a whole log: signature, every entry, every column, and that it only grew",
		Long: `Verify a whole log, downloaded with finaudit fetch or live: the newest checkpoint is
signed by a trusted key, the entries make up exactly the tree that was signed, the older
checkpoint is its beginning, and the columns that people are shown say what the entries
say. Keep a checkpoint somewhere the operator cannot reach, and give it as --older.
` + exitCodes,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.verify(cmd.Context(), cmd.OutOrStdout(), args[0], older)
		},
	}
	s.flags(cmd, true)
	cmd.Flags().StringVar(&older, "older", "", "path of a checkpoint that was kept before")
	return cmd
}

func (s *source) verify(ctx context.Context, out io.Writer, where, olderPath string) error {
	dir := where
	if isURL(where) {
		temporary, err := os.MkdirTemp("", "finaudit-")
		if err != nil {
			return fmt.Errorf("making a folder for the log: %w", err)
		}
		defer os.RemoveAll(temporary) //nolint:errcheck // what is left behind is a folder of temporary files
		if err := s.fetch(ctx, where, temporary); err != nil {
			return err
		}
		dir = temporary
	}
	c, err := s.open(os.DirFS(dir))
	if err != nil {
		return err
	}
	var older ledger.Tree
	if olderPath != "" {
		if older, err = openFile(c, olderPath); err != nil {
			return fmt.Errorf("the older checkpoint: %w", err)
		}
	}
	tree, err := c.Checkpoint()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "ok  checkpoint: %d entries, root %v, signed by a trusted key\n", tree.Size, tree.Root)
	bar := progress.New("verifying")
	report, err := c.Verify(older, bar.Show)
	bar.End()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "ok  entries: all %d make up that tree\n", report.Size)
	if older.Size > 0 {
		fmt.Fprintf(out, "ok  growth: the first %d are those of the older checkpoint\n", older.Size)
	}
	if report.Projections < report.Size {
		fmt.Fprintf(out, "--  columns: only %d of %d entries came with columns; the others were not compared\n", report.Projections, report.Size)
		return nil
	}
	fmt.Fprintf(out, "ok  columns: those of all %d entries say what the entries say\n", report.Projections)
	return nil
}

func openFile(c audit.Copy, path string) (ledger.Tree, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return ledger.Tree{}, fmt.Errorf("reading checkpoint: %w", err)
	}
	return c.Open(text)
}

func proofCommand() *cobra.Command {
	var s source
	var leaf, proofPath string
	cmd := &cobra.Command{
		Use:   "proof --leaf FILE --proof FILE --keys FILE",
		Short: "Verify that one entry is in the log",
		Long: `Verify that one entry is in the log. FILEs are what GET /audit/{index}/leaf and
GET /audit/{index}/proof answer (C2SP tlog-proof).
` + exitCodes,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.open(nil)
			if err != nil {
				return err
			}
			return verifyProof(cmd.OutOrStdout(), c, leaf, proofPath)
		},
	}
	s.flags(cmd, false)
	requireFiles(cmd, map[string]*string{"leaf": &leaf, "proof": &proofPath})
	return cmd
}

func verifyProof(out io.Writer, c audit.Copy, leafPath, proofPath string) error {
	leaf, err := os.ReadFile(leafPath)
	if err != nil {
		return fmt.Errorf("reading entry: %w", err)
	}
	text, err := os.ReadFile(proofPath)
	if err != nil {
		return fmt.Errorf("reading proof: %w", err)
	}
	index, tree, err := c.Included(leaf, text)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "ok  entry %d is in the log of %d entries that a trusted key has signed\n", index, tree.Size)
	return nil
}

func consistencyCommand() *cobra.Command {
	var s source
	var older, answer string
	cmd := &cobra.Command{
		Use:   "consistency --older CHECKPOINT --proof FILE --keys FILE",
		Short: "Verify that the log only grew since an older checkpoint",
		Long: `Verify that the log only grew since an older checkpoint. FILE is what
GET /log/consistency?from=SIZE answers.
` + exitCodes,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.open(nil)
			if err != nil {
				return err
			}
			then, err := openFile(c, older)
			if err != nil {
				return fmt.Errorf("the older checkpoint: %w", err)
			}
			var g logclient.Growth
			text, err := os.ReadFile(answer)
			if err == nil {
				err = json.Unmarshal(text, &g)
			}
			if err != nil {
				return fmt.Errorf("reading proof: %w", err)
			}
			return grew(cmd.OutOrStdout(), c, then, g)
		},
	}
	s.flags(cmd, false)
	requireFiles(cmd, map[string]*string{"older": &older, "proof": &answer})
	return cmd
}

func grew(out io.Writer, c audit.Copy, then ledger.Tree, g logclient.Growth) error {
	now, err := c.Open([]byte(g.Checkpoint))
	if err != nil {
		return err
	}
	if now.Size < then.Size {
		return fmt.Errorf("%w: it has %d entries, it had %d", audit.ErrFork, now.Size, then.Size)
	}
	if err := g.Check(then, now); err != nil {
		return err
	}
	fmt.Fprintf(out, "ok  the log of %d entries begins with the %d of the older checkpoint\n", now.Size, then.Size)
	return nil
}

func monitorCommand() *cobra.Command {
	var s source
	var state string
	cmd := &cobra.Command{
		Use:   "monitor URL --keys FILE --state CHECKPOINT",
		Short: "Look at a log once, check that it only grew since the last look, and keep what was seen",
		Long: `Look at a log once; run it from cron. The checkpoint that was seen last is kept in
--state, and the new one must continue it. The first look has nothing to compare with.
` + exitCodes,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.monitor(cmd.Context(), cmd.OutOrStdout(), args[0], state)
		},
	}
	s.flags(cmd, true)
	requireFiles(cmd, map[string]*string{"state": &state})
	return cmd
}

func (s *source) monitor(ctx context.Context, out io.Writer, url, state string) error {
	c, err := s.open(nil)
	if err != nil {
		return err
	}
	client, err := logclient.New(url, s.token)
	if err != nil {
		return err
	}
	text, err := client.Get(ctx, "/log/checkpoint")
	if err != nil {
		return err
	}
	now, err := c.Open(text)
	if err != nil {
		return err
	}
	then, err := openFile(c, state)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		fmt.Fprintf(out, "--  first look: %d entries; there is nothing to compare with yet\n", now.Size)
		return keepCheckpoint(state, text)
	case err != nil:
		return fmt.Errorf("the checkpoint that was seen last: %w", err)
	case now.Size < then.Size, now.Size == then.Size && now.Root != then.Root:
		return fmt.Errorf("%w: it has %d entries with root %v, seen were %d with %v", audit.ErrFork, now.Size, now.Root, then.Size, then.Root)
	case now.Size == then.Size || then.Size == 0:
		fmt.Fprintf(out, "ok  %d entries, as before\n", now.Size)
		return keepCheckpoint(state, text)
	}
	g, err := client.Growth(ctx, then.Size)
	if err != nil {
		return err
	}
	if err := grew(out, c, then, g); err != nil {
		return err
	}
	return keepCheckpoint(state, []byte(g.Checkpoint))
}

func keepCheckpoint(path string, text []byte) error {
	if err := os.WriteFile(path+".part", text, 0o644); err != nil {
		return fmt.Errorf("keeping checkpoint: %w", err)
	}
	if err := os.Rename(path+".part", path); err != nil {
		return fmt.Errorf("keeping checkpoint: %w", err)
	}
	return nil
}
