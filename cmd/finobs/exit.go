package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"finobs/internal/client"

	"github.com/spf13/cobra"
)

// Exit codes; docs/cli.md explains them.
const (
	exitFailed  = 1 // it did not work
	exitUsage   = 2 // it was called wrongly
	exitFound   = 3 // it looked, and found what should not be: breaks, exports that do not verify
	exitRefused = 4 // the API does not let the caller, or not any more
	exitNothing = 5 // there is no such thing
)

// exitError ends the program with another code than 1.
type exitError struct {
	code int
	error
}

// Unwrap gives the reason.
func (e exitError) Unwrap() error { return e.error }

// usage says what is wrong with how a command was called.
func usage(format string, args ...any) error {
	return exitError{exitUsage, fmt.Errorf(format, args...)}
}

// exitCode says how the program ends.
func exitCode(err error) int {
	var coded exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &coded):
		return coded.code
	}
	return exitCodeOf(client.StatusOf(err))
}

// exitCodeOf says how the program ends when the API answers so.
func exitCodeOf(status int) int {
	switch status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return exitUsage
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusConflict, http.StatusGone:
		return exitRefused
	case http.StatusNotFound:
		return exitNothing
	}
	return exitFailed
}

// strict makes wrong calls of a command, and of all below it, errors of usage. Of
// itself, cobra answers an unknown subcommand with help, and with success.
func strict(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return exitError{exitUsage, err} })
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return exitError{exitUsage, fmt.Errorf("%w; the form is: %s", err, cmd.UseLine())}
			}
			return nil
		}
	}
	if !cmd.Runnable() {
		cmd.Args = cobra.ArbitraryArgs
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			meant := "it has: "
			like := cmd.SuggestionsFor(args[0])
			if len(like) > 0 {
				meant = "did you mean: "
			} else {
				for _, c := range cmd.Commands() {
					like = append(like, c.Name())
				}
			}
			return usage("%s has no command %q; %s", cmd.CommandPath(), args[0], meant+strings.Join(like, ", "))
		}
	}
	for _, c := range cmd.Commands() {
		strict(c)
	}
}
