package main

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"finobs/api"
	"finobs/internal/config"
	"finobs/internal/devstack"
	"finobs/internal/identity"
	"finobs/internal/session"

	"github.com/spf13/cobra"
)

// signInDeps fills in whose tokens the API trusts, and what keeps people signed in.
func signInDeps(c config.API, d *api.Deps) error {
	if len(c.IdentityKeys) == 0 && c.OIDCFile == "" {
		return errors.New("nobody's tokens are trusted: set FINOBS_OIDC_FILE to the file of identity providers, or FINOBS_IDENTITY_KEYS on a development database")
	}
	trusted, err := loadPublic(c.IdentityKeys)
	if err != nil {
		return err
	}
	d.Identity = identity.NewVerifier(trusted...)
	if c.OIDCFile != "" {
		if d.Issuers, err = identity.LoadIssuers(c.OIDCFile); err != nil {
			return err
		}
	}
	u, err := url.Parse(c.PublicURL)
	if err != nil {
		return fmt.Errorf("FINOBS_PUBLIC_URL: %w", err)
	}
	if len(d.Issuers.SignIn()) > 0 && (!identity.SafeURL(u) || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil) {
		return fmt.Errorf("people sign in with a browser at a provider that FINOBS_OIDC_FILE names, and it sends them back to FINOBS_PUBLIC_URL, which is %q: set it to where they reach the API, an https URL without a path (http only on this machine)", c.PublicURL)
	}
	d.PublicURL = c.PublicURL
	options := session.Options{Idle: c.SessionIdle, Max: c.SessionMax, Secure: u.Scheme == "https"}
	for _, path := range c.SessionKeys {
		key, err := session.LoadKey(path)
		if err != nil {
			return err
		}
		options.Keys = append(options.Keys, key)
	}
	d.Sessions, err = session.NewKeeper(options)
	return err
}

func signInCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "sign-in", Short: "Check how people and machines sign in"}
	cmd.AddCommand(&cobra.Command{
		Use:   "lint FILE",
		Short: "Check a file of identity providers and show what its map gives",
		Long: `Check a file of identity providers (FINOBS_OIDC_FILE) as the API does when it starts, and
show which values of claims give which roles. No provider is reached.`,
		Example: "  finobs sign-in lint oidc.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			issuers, err := identity.LoadIssuers(args[0])
			if err != nil {
				return err
			}
			for _, line := range issuers.Describe() {
				fmt.Fprintln(cmd.OutOrStdout(), line)
			}
			return nil
		},
	})
	return cmd
}

func openCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "open NAME",
		Short: "Print an address that signs a person in to the console of a development stack",
		Long: `Print an address of the console's sign-in page that brings a token along. The token stands
behind the #, which a browser sends to nobody; the page puts it into its form. Whoever
sees the address can sign in with it while the token is valid.`,
		Example: "  finobs open alice",
		Args:    cobra.ExactArgs(1),
	}
	state := stateFlag(cmd)
	roles := cmd.Flags().StringSlice("role", nil, "roles of the person (default: those of the development stack's people)")
	desk := cmd.Flags().String("desk", "", "desk of the person")
	ttl := cmd.Flags().Duration("ttl", 12*time.Hour, "how long the token is valid, 24h at most")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		who := person(args[0], *desk, *roles...)
		var names []string
		for _, p := range cast {
			names = append(names, p.name)
			if p.name == args[0] && len(*roles) == 0 {
				who = person(p.name, p.desk, p.role)
			}
		}
		if len(who.Roles) == 0 {
			return fmt.Errorf("%s is none of %s; say --role, such as --role analyst", args[0], strings.Join(names, ", "))
		}
		token, err := mint(cmd.Context(), identityKey(*state), who, *ttl)
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "http://%s/login#token=%s\n", devstack.ReadAddress(*state), token)
		return nil
	}
	return cmd
}
