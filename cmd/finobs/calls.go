package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"finobs/internal/client"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// conversation is one run of a command that calls the API.
type conversation struct {
	*client.Client
	screen
	aside screen // for people alone: what is asked, and what goes on
	in    io.Reader
	base  string
	args  []string
	json  bool
}

// callCommand makes a command that calls the API. A token that is minted for it in a
// development stack has the given role.
func callCommand(cmd *cobra.Command, role string, run func(context.Context, *conversation) error) *cobra.Command {
	connect := apiFlags(cmd, role)
	asSent := cmd.Flags().Bool("json", false, "print the API's answer as it was sent")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := connect(cmd.Context())
		if err != nil {
			return err
		}
		return run(cmd.Context(), &conversation{
			Client: c.client(), screen: newScreen(cmd.OutOrStdout()), aside: newScreen(cmd.ErrOrStderr()), in: cmd.InOrStdin(),
			base: c.base, args: args, json: *asSent,
		})
	}
	return cmd
}

// show prints an answer: as it was sent, or for people.
func (c *conversation) show(sent json.RawMessage, people func()) error {
	if !c.json {
		people()
		return nil
	}
	_, err := fmt.Fprintf(c.out, "%s\n", strings.TrimRight(string(sent), "\n"))
	return err
}

// id reads the n-th argument as the number of a thing.
func (c *conversation) id(n int, what string) (int64, error) { return readID(c.args[n], what) }

func readID(arg, what string) (int64, error) {
	id, err := strconv.ParseInt(arg, 10, 64)
	if err != nil || id < 1 {
		return 0, usage("%q is no %s id; give its number, such as 42", arg, what)
	}
	return id, nil
}

// interactive reports whether somebody sits at the standard input.
func (c *conversation) interactive() bool {
	f, ok := c.in.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// confirm asks whoever sits there; without a person it refuses.
func (c *conversation) confirm(question string) error {
	if !c.interactive() {
		return usage("this asks for confirmation, and the standard input is no terminal: look first, then give --yes")
	}
	fmt.Fprint(c.aside.out, question+" [y/N] ")
	answer, err := readLine(c.in)
	if err != nil {
		return err
	}
	if a := strings.ToLower(answer); a != "y" && a != "yes" {
		return errors.New("not confirmed; nothing was sent")
	}
	return nil
}

// readLine reads byte by byte, so that the next question finds its own answer.
func readLine(in io.Reader) (string, error) {
	var line []byte
	for one := make([]byte, 1); ; {
		n, err := in.Read(one)
		switch {
		case n == 1 && one[0] == '\n', errors.Is(err, io.EOF):
			return strings.TrimSpace(string(line)), nil
		case err != nil:
			return "", fmt.Errorf("reading the answer: %w", err)
		}
		line = append(line, one[:n]...)
	}
}
