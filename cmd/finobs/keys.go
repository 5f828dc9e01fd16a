package main

import (
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"finobs/internal/keys"

	"github.com/spf13/cobra"
)

// purposes are the signing keys of a deployment, one a purpose.
var purposes = []string{"decision", "identity", "log", "manifest"}

func keysCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "keys", Short: "Make the keys and secrets of a deployment"}
	cmd.AddCommand(keysMakeCommand(), keysEnvCommand())
	return cmd
}

func keysMakeCommand() *cobra.Command {
	var dir, origin string
	var copies []string
	cmd := &cobra.Command{
		Use:   "make",
		Short: "Make the keys that are missing, each in a folder of its own",
		Long: `Make the keys that are missing: DIR/decision, DIR/identity, DIR/log and DIR/manifest hold a
signing key each (mode 0600), so that a process can be given its own and no other;
DIR/session the key that seals sessions; DIR/public the public halves, and log.trust, the
file of who signs the log. Keys that are there stay as they are.`,
		Example: "  finobs keys make --dir /etc/finobs/keys --log-origin finobs.example.com/desk",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := makeKeys(dir, origin, cmd.OutOrStdout()); err != nil {
				return err
			}
			return copySecrets(dir, copies)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "keys", "folder of the keys")
	cmd.Flags().StringVar(&origin, "log-origin", "finobs", "name of the log, as FINOBS_LOG_ORIGIN; it never changes")
	cmd.Flags().StringArrayVar(&copies, "write", nil, "PATH=VARIABLE: also put an environment variable into a file below the folder, mode 0600; may be repeated")
	return cmd
}

func makeKeys(dir, origin string, out io.Writer) error {
	public := filepath.Join(dir, "public")
	if err := os.MkdirAll(public, 0o755); err != nil {
		return fmt.Errorf("making the folder of public keys: %w", err)
	}
	for _, purpose := range purposes {
		key, err := keys.LoadOrCreate(filepath.Join(dir, purpose, purpose+".pem"))
		if err != nil {
			return err
		}
		half, err := os.ReadFile(filepath.Join(dir, purpose, purpose+".pub"))
		if err != nil {
			return fmt.Errorf("reading the public half of the key for %s: %w", purpose, err)
		}
		if block, _ := pem.Decode(half); block == nil {
			return fmt.Errorf("%s is no public key; remove it and its private half to begin anew", filepath.Join(dir, purpose, purpose+".pub"))
		}
		if err := os.WriteFile(filepath.Join(public, purpose+".pub"), half, 0o644); err != nil {
			return fmt.Errorf("publishing a public key: %w", err)
		}
		fmt.Fprintf(out, "%s  %s\n", keys.ID(key.Public()), purpose)
		if purpose != "log" {
			continue
		}
		if err := writeTrust(filepath.Join(public, "log.trust"), origin, key); err != nil {
			return err
		}
	}
	return makeSessionKey(filepath.Join(dir, "session", "session.key"))
}

// writeTrust writes who signs the log, unless that is known already: whoever rotates
// keys has added to it.
func writeTrust(path, origin string, key *keys.File) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	vkey, err := keys.NoteVerifierKey(origin, key.Public())
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(vkey+" 0 -\n"), 0o644); err != nil {
		return fmt.Errorf("writing trust file: %w", err)
	}
	return nil
}

// sessionKeySize is that of AES-256.
const sessionKeySize = 32 // bytes

func makeSessionKey(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	key := make([]byte, sessionKeySize)
	_, _ = rand.Read(key) // it never fails
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("making the folder of the session key: %w", err)
	}
	if err := os.WriteFile(path, key, 0o600); err != nil {
		return fmt.Errorf("writing the session key: %w", err)
	}
	return nil
}

// copySecrets writes values of the environment to files, for programs that read
// secrets from files only.
func copySecrets(dir string, copies []string) error {
	for _, c := range copies {
		path, variable, ok := strings.Cut(c, "=")
		if !ok || !filepath.IsLocal(path) {
			return fmt.Errorf("--write %s: want PATH=VARIABLE, with a path below --dir", c)
		}
		value := os.Getenv(variable)
		if value == "" {
			return fmt.Errorf("--write %s: %s is empty; set it", c, variable)
		}
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("making the folder of a secret: %w", err)
		}
		if err := os.WriteFile(path, []byte(value+"\n"), 0o600); err != nil {
			return fmt.Errorf("writing a secret: %w", err)
		}
	}
	return nil
}

func keysEnvCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Make up the passwords of docker-compose.temporal.yml, in a file for each service",
		Long: `Make up the passwords of docker-compose.temporal.yml, in a file of environment variables for
each service, so that each knows its own and no other. When all files are there nothing
happens; when some are missing it is refused, because the others fit them.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return makeEnv(dir, cmd.OutOrStdout()) },
	}
	cmd.Flags().StringVar(&dir, "dir", "deploy/compose/secrets", "folder of the files")
	return cmd
}

// composeEnv makes up the variables of each file: names and values in turn.
func composeEnv() map[string][]string {
	secret := func() string { return strings.ToLower(rand.Text()) }
	url := func(role, password string) string {
		// The network is the compose file's own, and nobody else is on it.
		return fmt.Sprintf("postgres://%s:%s@postgres:5432/finobs?sslmode=disable", role, password)
	}
	admin, temporal, access, s3 := secret(), secret(), secret(), secret()
	roles := map[string]string{}
	files := map[string][]string{
		"postgres.env":          {"POSTGRES_USER", "finobs_admin", "POSTGRES_PASSWORD", admin, "POSTGRES_DB", "finobs"},
		"temporal-postgres.env": {"POSTGRES_USER", "temporal", "POSTGRES_PASSWORD", temporal},
		"temporal.env":          {"POSTGRES_USER", "temporal", "POSTGRES_PWD", temporal, "SQL_USER", "temporal", "SQL_PASSWORD", temporal},
		"grafana.env":           {"GF_SECURITY_ADMIN_USER", "admin", "GF_SECURITY_ADMIN_PASSWORD", secret()},
		"s3.env":                {"ROOT_ACCESS_KEY_ID", access, "ROOT_SECRET_ACCESS_KEY", s3},
		"s3-client.env":         {"AWS_ACCESS_KEY_ID", access, "AWS_SECRET_ACCESS_KEY", s3},
		"bootstrap.env":         {"FINOBS_DATABASE_URL", url("finobs_admin", admin)},
	}
	for _, role := range []string{"api", "worker", "sequencer", "migrate"} {
		roles[role] = url("finobs_"+role, secret())
		name := "FINOBS_" + strings.ToUpper(role) + "_DATABASE_URL"
		files[role+".env"] = []string{name, roles[role]}
		files["bootstrap.env"] = append(files["bootstrap.env"], name, roles[role])
	}
	return files
}

func makeEnv(dir string, out io.Writer) error {
	files := composeEnv()
	var there, missing []string
	for name := range files {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			there = append(there, name)
		} else if errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, name)
		} else {
			return err
		}
	}
	slices.Sort(missing)
	switch {
	case len(missing) == 0:
		fmt.Fprintf(out, "%s has the passwords already\n", dir)
		return nil
	case len(there) > 0:
		return fmt.Errorf("%s lacks %s, and the others fit them: restore them, or remove the folder and the volumes of the databases to begin anew",
			dir, strings.Join(missing, ", "))
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the folder of passwords: %w", err)
	}
	for name, pairs := range files {
		var text strings.Builder
		for pair := range slices.Chunk(pairs, 2) {
			fmt.Fprintf(&text, "%s=%s\n", pair[0], pair[1])
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text.String()), 0o600); err != nil {
			return fmt.Errorf("writing passwords: %w", err)
		}
	}
	fmt.Fprintf(out, "made up passwords in %s; keep them with the volumes\n", dir)
	return nil
}
