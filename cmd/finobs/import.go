package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"finobs/internal/devstack"
	"finobs/internal/intake"

	"github.com/spf13/cobra"
)

func importCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "import", Short: "Send files to the API"}
	var strict bool
	var origin, apiURL, token string
	fails := &cobra.Command{
		Use:   "fails FILE",
		Short: "Import an SEC fails-to-deliver file",
		Args:  cobra.ExactArgs(1),
	}
	state := stateFlag(fails)
	fails.Flags().BoolVar(&strict, "strict", false, "refuse the whole file when one line is bad or the trailer does not agree")
	fails.Flags().StringVar(&origin, "origin", "live", "live or demo")
	fails.Flags().StringVar(&apiURL, "url", "", "address of the API (default: that of the stack in --state)")
	fails.Flags().StringVar(&token, "token", os.Getenv("FINOBS_TOKEN"), "bearer token (default: FINOBS_TOKEN, or one of the stack in --state)")
	fails.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := newCaller(cmd.Context(), *state, apiURL, token)
		if err != nil {
			return err
		}
		return c.importFails(cmd.Context(), args[0], origin, strict, cmd.OutOrStdout())
	}
	cmd.AddCommand(fails)
	return cmd
}

// caller calls the API on a person's behalf.
type caller struct{ base, token string }

// newCaller fills in what was not given from a development stack's folder.
func newCaller(ctx context.Context, state, apiURL, token string) (caller, error) {
	if apiURL == "" {
		apiURL = "http://" + devstack.ReadAddress(state)
	}
	if token == "" {
		name := "operator"
		if u, err := user.Current(); err == nil && u.Username != "" {
			name = u.Username
		}
		var err error
		if token, err = mint(ctx, identityKey(state), person(name, "", "analyst"), time.Hour); err != nil {
			return caller{}, fmt.Errorf("no token was given and %s holds no stack: %w", state, err)
		}
	}
	return caller{apiURL, token}, nil
}

// answer is an HTTP answer in full.
type answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// field reads one member of a JSON answer as text; "" when there is none.
func (a answer) field(name string) string {
	var members map[string]any
	if json.Unmarshal(a.Body, &members) != nil || members[name] == nil {
		return ""
	}
	return fmt.Sprint(members[name])
}

func (c caller) do(ctx context.Context, method, path, contentType string, body io.Reader) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return answer{}, fmt.Errorf("calling the API: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, fmt.Errorf("calling the API: %w (is it running? finobs dev starts it)", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{}, fmt.Errorf("reading the API's answer: %w", err)
	}
	return answer{res.StatusCode, res.Header, text}, nil
}

// importWait is how long the command waits for a worker to finish.
const importWait = 10 * time.Minute

func (c caller) importFails(ctx context.Context, path, origin string, strict bool, out io.Writer) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("opening file: %w", err)
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || info.IsDir() {
		return errors.Join(fmt.Errorf("%s is not a file", path), err)
	}
	query := url.Values{"file_name": {filepath.Base(path)}, "origin": {origin}, "strict": {fmt.Sprint(strict)}}
	a, err := c.do(ctx, http.MethodPost, "/ingest/fails?"+query.Encode(), "application/octet-stream", file)
	for deadline := time.Now().Add(importWait); err == nil && a.Status == http.StatusAccepted && time.Now().Before(deadline); {
		a, err = c.do(ctx, http.MethodGet, "/imports/"+a.field("content_sha256"), "", nil)
	}
	if err != nil {
		return err
	}
	if a.Status != http.StatusOK {
		return fmt.Errorf("the API answered %d: %s", a.Status, a.field("detail"))
	}
	return printImport(a, out)
}

func printImport(a answer, out io.Writer) error {
	var v struct {
		Repeated bool                `json:"repeated"`
		Report   intake.ImportReport `json:"report"`
		Detected *struct {
			Securities, Opened, Updated int
		} `json:"detected"`
	}
	if err := json.NewDecoder(bytes.NewReader(a.Body)).Decode(&v); err != nil {
		return fmt.Errorf("reading the API's answer: %w", err)
	}
	if v.Repeated {
		fmt.Fprintln(out, "this file was imported before; nothing was changed")
	}
	r := v.Report
	fmt.Fprintf(out, "%d rows read, %d bad lines, trailer %s\n", r.Rows, r.BadLines, r.TrailerStatus)
	fmt.Fprintf(out, "%d balances added, %d corrected, %d unchanged\n", r.Changes.Added, r.Changes.Corrected, r.Changes.Unchanged)
	if v.Detected != nil {
		fmt.Fprintf(out, "%d securities fail the share test: %d incidents opened, %d updated\n",
			v.Detected.Securities, v.Detected.Opened, v.Detected.Updated)
	}
	for _, list := range []struct {
		name  string
		lines []intake.LineError
		more  int
	}{{"error", r.Errors, r.ErrorsOmitted}, {"warning", r.Warnings, r.WarningsOmitted}} {
		for _, e := range list.lines {
			where := "the file"
			if e.Line > 0 {
				where = strings.TrimSpace(fmt.Sprintf("line %d %s", e.Line, e.Column))
			}
			fmt.Fprintf(out, "%s: %s: %s\n", list.name, where, e.Problem)
		}
		if list.more > 0 {
			fmt.Fprintf(out, "%s: … and %d more\n", list.name, list.more)
		}
	}
	return nil
}
