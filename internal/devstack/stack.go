package devstack

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"finobs/internal/keys"
	"finobs/internal/schema"
	"finobs/internal/session"
)

// Preferred ports, on 127.0.0.1.
const (
	apiPort      = 8080
	temporalPort = 7233
	uiPort       = 8233
	postgresPort = 54329
)

// Options say how to run a stack.
type Options struct {
	Dir     string    // state folder
	BinDir  string    // where programs are built; empty: bin in Dir
	APIPort int       // 0: 8080, or a free one when it is taken
	Out     io.Writer // told what happens
	Durable bool      // false: tests only, see PostgresConfig
}

// Stack is everything that finobs needs to run: servers, schema, roles and keys.
// The processes of finobs themselves are the caller's.
type Stack struct {
	Options
	APIAddress string // where the API is to listen
	UIURL      string // Temporal Web UI; empty on a cluster of somebody else's
	AdminURL   string // superuser of the database

	postgres  *Postgres // nil when FINOBS_DATABASE_URL names a server
	temporal  *Temporal // nil when TEMPORAL_ADDRESS names a cluster
	settings  map[string]string
	passwords map[string]string
	release   func()
	failed    chan error
	stopOnce  sync.Once
	stopErr   error
}

// Start brings the stack up in its folder, or resumes the one that is there.
// Stop ends it and keeps all state.
func Start(ctx context.Context, o Options) (*Stack, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("starting stack: %w", err)
	}
	o.Dir = dir
	if o.BinDir == "" {
		o.BinDir = filepath.Join(dir, "bin")
	}
	release, err := Lock(dir)
	if err != nil {
		return nil, err
	}
	s := &Stack{Options: o, release: release, settings: map[string]string{}, failed: make(chan error, 2)}
	for _, step := range []func(context.Context) error{
		s.makeFolders, s.startDatabase, s.migrate, s.startTemporal, s.makeKeys, s.chooseAddress, s.keepSettings,
	} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, s.Stop())
		}
	}
	return s, nil
}

// Path is a path in the state folder.
func (s *Stack) Path(parts ...string) string {
	return filepath.Join(append([]string{s.Dir}, parts...)...)
}

func (s *Stack) makeFolders(context.Context) error {
	for _, name := range []string{"logs", "keys", "artefacts", "archive", "spool"} {
		if err := os.MkdirAll(s.Path(name), 0o700); err != nil {
			return fmt.Errorf("making state folder: %w", err)
		}
	}
	s.settings["FINOBS_ARTEFACT_DIR"] = s.Path("artefacts")
	s.settings["FINOBS_SPOOL_DIR"] = s.Path("spool")
	return nil
}

func (s *Stack) say(format string, args ...any) { fmt.Fprintf(s.Out, format+"\n", args...) }

// port takes the preferred port or says which other it took.
func (s *Stack) port(what string, preferred int) (int, error) {
	port, err := FreePort(preferred)
	if err == nil && port != preferred {
		s.say("port %d is taken; %s uses %d", preferred, what, port)
	}
	return port, err
}

// starts is how often a server that ends at once is started.
const starts = 3

// startAgain starts a server again that ended at once: between the look for a free
// port and its use, somebody else may have taken it.
func startAgain(start func() error) (err error) {
	for range starts {
		if err = start(); !errors.Is(err, errEnded) {
			return err
		}
	}
	return err
}

func (s *Stack) startDatabase(ctx context.Context) error {
	if given := os.Getenv("FINOBS_DATABASE_URL"); given != "" {
		s.say("using the database of FINOBS_DATABASE_URL")
		s.AdminURL = given
		return nil
	}
	bin, err := EnsurePostgres(ctx, s.Out)
	if err != nil {
		return err
	}
	err = startAgain(func() error {
		port, err := s.port("Postgres", postgresPort)
		if err != nil {
			return err
		}
		s.postgres, err = StartPostgres(ctx, PostgresConfig{
			Bin: bin, Data: s.Path("postgres"), Port: port, Durable: s.Durable, Log: s.Path("logs", "postgres.log"),
		})
		return err
	})
	if err != nil {
		return err
	}
	s.watch(s.postgres.process)
	s.AdminURL = s.postgres.AdminURL("finobs")
	return createDatabase(ctx, s.postgres, "finobs")
}

func (s *Stack) watch(p *Process) {
	go func() {
		<-p.done
		s.failed <- p.failure()
	}()
}

// Failed delivers an error when one of the servers ends by itself.
func (s *Stack) Failed() <-chan error { return s.failed }

func (s *Stack) migrate(ctx context.Context) error {
	if err := schema.Bootstrap(ctx, s.AdminURL); err != nil {
		return err
	}
	if err := s.setPasswords(ctx); err != nil {
		return err
	}
	migrateURL := s.roleURL("finobs_migrate")
	before, err := schema.List(ctx, migrateURL)
	if err != nil {
		return err
	}
	n, err := schema.Up(ctx, migrateURL)
	if err != nil {
		return err
	}
	// A database that was there before may serve more than a developer.
	if len(before) > 0 && before[0].AppliedAt.IsZero() {
		if err := schema.MarkEnvironment(ctx, migrateURL, "dev"); err != nil {
			return err
		}
	}
	s.settings["FINOBS_API_DATABASE_URL"] = s.roleURL("finobs_api")
	s.settings["FINOBS_WORKER_DATABASE_URL"] = s.roleURL("finobs_worker")
	s.settings["FINOBS_SEQUENCER_DATABASE_URL"] = s.roleURL("finobs_sequencer")
	s.settings["FINOBS_MIGRATE_DATABASE_URL"] = migrateURL
	s.say("database ready, %d migrations applied", n)
	return nil
}

// setPasswords gives the login roles their passwords, which stay the same from
// start to start.
func (s *Stack) setPasswords(ctx context.Context) error {
	path := s.Path("keys", "passwords.json")
	s.passwords = map[string]string{}
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &s.passwords)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading passwords: %w", err)
	}
	for _, role := range schema.LoginRoles() {
		if s.passwords[role] == "" {
			s.passwords[role] = rand.Text()
		}
		if err := schema.SetPassword(ctx, s.AdminURL, role, s.passwords[role]); err != nil {
			return err
		}
	}
	text, err = json.Marshal(s.passwords)
	if err != nil {
		return fmt.Errorf("keeping passwords: %w", err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return fmt.Errorf("keeping passwords: %w", err)
	}
	return nil
}

func (s *Stack) roleURL(role string) string {
	u, err := url.Parse(s.AdminURL)
	if err != nil {
		return s.AdminURL // connecting with it says what is wrong
	}
	u.User = url.UserPassword(role, s.passwords[role])
	return u.String()
}

func (s *Stack) startTemporal(ctx context.Context) error {
	if given := os.Getenv("TEMPORAL_ADDRESS"); given != "" {
		s.say("using the Temporal cluster of TEMPORAL_ADDRESS, %s", given)
		s.settings["TEMPORAL_ADDRESS"] = given
		if namespace := os.Getenv("TEMPORAL_NAMESPACE"); namespace != "" {
			s.settings["TEMPORAL_NAMESPACE"] = namespace
		}
		return nil
	}
	bin, err := EnsureTemporal(ctx, s.BinDir, s.Out)
	if err != nil {
		return err
	}
	err = startAgain(func() error {
		port, err := s.port("Temporal", temporalPort)
		if err != nil {
			return err
		}
		webPort, err := s.port("the Temporal Web UI", uiPort)
		if err != nil {
			return err
		}
		s.temporal, err = StartTemporal(ctx, TemporalConfig{
			Bin: bin, DBFile: s.Path("temporal.db"), Namespace: "default", Log: s.Path("logs", "temporal.log"), Port: port, UIPort: webPort,
		})
		return err
	})
	if err != nil {
		return err
	}
	s.watch(s.temporal.process)
	s.settings["TEMPORAL_ADDRESS"] = s.temporal.Address()
	s.UIURL = s.temporal.UIURL()
	s.say("Temporal ready")
	return nil
}

// trustLog writes who signs this stack's log, for whoever verifies.
func (s *Stack) trustLog() error {
	public, err := keys.LoadPublic(s.Path("keys", "log.pub"))
	if err != nil {
		return err
	}
	vkey, err := keys.NoteVerifierKey(LogOrigin, public)
	if err != nil {
		return err
	}
	s.settings["FINOBS_LOG_TRUST"] = s.Path("keys", "log.trust")
	if err := os.WriteFile(s.settings["FINOBS_LOG_TRUST"], []byte(vkey+" 0 -\n"), 0o644); err != nil {
		return fmt.Errorf("writing trust file: %w", err)
	}
	return nil
}

// makeDestinations gives exports a place to go: a folder beside the state, unless
// the environment names a destination file.
func (s *Stack) makeDestinations() error {
	if given := os.Getenv("FINOBS_DESTINATIONS"); given != "" {
		s.settings["FINOBS_DESTINATIONS"] = given
		return nil
	}
	path := s.Path("destinations.yaml")
	s.settings["FINOBS_DESTINATIONS"] = path
	if _, err := os.Stat(path); err == nil {
		return nil // the developer's own by now
	}
	text := fmt.Sprintf("# Where exports go; docs/destinations.md says what else there is.\nversion: 1\ndefault: archive\ndestinations:\n  - name: archive\n    file: {dir: %q}\n", s.Path("archive"))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return fmt.Errorf("writing destinations: %w", err)
	}
	return nil
}

func (s *Stack) makeKeys(context.Context) error {
	for _, name := range []string{"decision", "identity", "log", "manifest"} {
		if _, err := keys.LoadOrCreate(s.Path("keys", name+".pem")); err != nil {
			return err
		}
	}
	if err := session.MakeKey(s.Path("keys", "session.key")); err != nil {
		return err
	}
	s.settings["FINOBS_SESSION_KEY"] = s.Path("keys", "session.key")
	s.settings["FINOBS_DECISION_KEY"] = s.Path("keys", "decision.pem")
	s.settings["FINOBS_DECISION_PUBLIC_KEY"] = s.Path("keys", "decision.pub")
	s.settings["FINOBS_IDENTITY_KEYS"] = s.Path("keys", "identity.pub")
	s.settings["FINOBS_LOG_KEYS"] = s.Path("keys", "log.pem")
	s.settings["FINOBS_LOG_STATE"] = s.Path("log-state.json")
	s.settings["FINOBS_LOG_ORIGIN"] = LogOrigin
	s.settings["FINOBS_MANIFEST_KEY"] = s.Path("keys", "manifest.pem")
	s.settings["FINOBS_MANIFEST_PUBLIC_KEY"] = s.Path("keys", "manifest.pub")
	return errors.Join(s.trustLog(), s.makeDestinations())
}

func (s *Stack) chooseAddress(context.Context) error {
	port := s.APIPort
	if port == 0 {
		var err error
		if port, err = s.port("the API", apiPort); err != nil {
			return err
		}
	}
	s.APIAddress = "127.0.0.1:" + strconv.Itoa(port)
	s.settings["FINOBS_LISTEN"] = s.APIAddress
	s.settings["FINOBS_PUBLIC_URL"] = "http://" + s.APIAddress
	for _, name := range []string{"FINOBS_POLICIES", "FINOBS_ROSTER", "FINOBS_CHANNELS", "FINOBS_SINKS", "FINOBS_OIDC_FILE"} {
		if path := os.Getenv(name); path != "" {
			s.settings[name] = path
		}
	}
	return writeAddress(s.Dir, s.APIAddress)
}

// LogOrigin names the log of a development stack.
const LogOrigin = "finobs.dev"

// Settings are the environment variables that the processes of finobs need to
// use this stack.
func (s *Stack) Settings() map[string]string { return s.settings }

// Launch runs a program as a process of its own that uses this stack; more are
// environment variables on top. Its output goes to logs/NAME.log. The caller
// stops it before the stack.
func (s *Stack) Launch(name string, more []string, program string, args ...string) (*Process, error) {
	cmd := exec.Command(program, args...) //nolint:noctx // the caller ends it
	cmd.Env = os.Environ()
	for setting, value := range s.settings {
		cmd.Env = append(cmd.Env, setting+"="+value)
	}
	cmd.Env = append(cmd.Env, more...)
	return start(name, cmd, s.Path("logs", name+".log"), syscall.SIGKILL)
}

// StopTemporal stops the Temporal server alone; tests use it to see what
// happens without it.
func (s *Stack) StopTemporal() error { return s.temporal.Stop() }

// Stop ends the servers and keeps their state. It may be called twice.
func (s *Stack) Stop() error {
	s.stopOnce.Do(func() {
		if s.temporal != nil {
			s.stopErr = errors.Join(s.stopErr, s.temporal.Stop())
		}
		if s.postgres != nil {
			s.stopErr = errors.Join(s.stopErr, s.postgres.Stop())
		}
		s.release()
	})
	return s.stopErr
}

// Reset deletes all state in a folder but the programs in bin. Nothing else in
// finobs deletes.
func Reset(dir string) error {
	release, err := Lock(dir)
	if err != nil {
		return err
	}
	defer release()
	if err := RemovePostgresData(filepath.Join(dir, "postgres")); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("resetting %s: %w", dir, err)
	}
	for _, e := range entries {
		// Somebody may still hold a lock: a server that is about to end.
		if e.Name() == "bin" || strings.HasSuffix(e.Name(), "lock") {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("resetting %s: %w", dir, err)
		}
	}
	return nil
}
