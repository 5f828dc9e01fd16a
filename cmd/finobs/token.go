package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"finobs/internal/approval"
	"finobs/internal/identity"
	"finobs/internal/keys"

	"github.com/spf13/cobra"
)

func tokenCommand() *cobra.Command {
	var (
		p    approval.Principal
		kind string
		ttl  time.Duration
		key  string
	)
	cmd := &cobra.Command{
		Use:     "token",
		Short:   "Mint a bearer token, for development",
		Example: "  finobs token --sub alice --role analyst --desk EQ",
		Args:    cobra.NoArgs,
	}
	state := stateFlag(cmd)
	cmd.Flags().StringVar(&p.Subject, "sub", "", "who the token speaks for (required)")
	cmd.Flags().StringSliceVar(&p.Roles, "role", nil, "admin, compliance, analyst, auditor or viewer; may be repeated")
	cmd.Flags().StringVar(&p.Desk, "desk", "", "desk of the person, such as EQ")
	cmd.Flags().StringVar(&kind, "kind", string(approval.Human), "human, agent or system; only humans approve")
	cmd.Flags().DurationVar(&ttl, "ttl", 12*time.Hour, "how long the token is valid, 24h at most")
	cmd.Flags().StringVar(&key, "key", "", "private key that the API trusts (default: the one in --state)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if key == "" {
			key = identityKey(*state)
		}
		p.Issuer, p.Kind = identity.DevIssuer, approval.ActorKind(kind)
		token, err := mint(cmd.Context(), key, p, ttl)
		if err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout(), token)
		return nil
	}
	return cmd
}

func identityKey(state string) string { return filepath.Join(state, "keys", "identity.pem") }

func mint(ctx context.Context, keyPath string, p approval.Principal, ttl time.Duration) (string, error) {
	signer, err := keys.Load(keyPath)
	if err != nil {
		return "", err
	}
	return identity.Mint(ctx, signer, p, time.Now(), ttl)
}

// person is a principal of the development issuer.
func person(name, desk string, roles ...string) approval.Principal {
	return approval.Principal{
		Person: approval.Person{Issuer: identity.DevIssuer, Subject: name}, Kind: approval.Human, Roles: roles, Desk: desk,
	}
}
