package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"finobs/internal/approval"
	"finobs/internal/devstack"
	"finobs/internal/identity"
	"finobs/internal/keys"

	_ "github.com/lib/pq" // the driver that finobs uses
	"go.temporal.io/sdk/client"
)

// stack is finobs as it runs in production, each process its own, over a private
// Postgres that keeps what it acknowledges, and a Temporal server.
type stack struct {
	*devstack.Stack
	processes []*devstack.Process
	temporal  client.Client
	server    *server // nil: the development server
	admin     *sql.DB // superuser
	http      *http.Client
	tokens    map[string]string
	profiles  *profiles
}

// roles are the processes of finobs, in the order in which they start.
var roles = []string{"sequencer", "worker", "api"}

// people of the stack by name.
var people = map[string]string{"alice": "analyst", "bob": "compliance"}

// newStack builds finobs, with a build tag where one is given, and starts it all.
func (b *bench) newStack(ctx context.Context, name string, tags string) (s *stack, err error) {
	bin := filepath.Join(b.dir, "bin-"+name)
	build := exec.CommandContext(ctx, "go", "build", "-tags", tags, "-o", bin+"/", "./cmd/finobs", "./cmd/finaudit")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building: %w\n%s", err, out)
	}
	port, err := devstack.FreePort(0)
	if err != nil {
		return nil, err
	}
	base, err := devstack.Start(ctx, devstack.Options{
		Dir: filepath.Join(b.dir, name), BinDir: ".finobs/bin", APIPort: port, Out: io.Discard, Durable: true,
	})
	if err != nil {
		return nil, err
	}
	s = &stack{Stack: base, tokens: map[string]string{}, profiles: newProfiles(b.profile, name), http: &http.Client{
		Timeout: 3 * time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 1000, MaxIdleConns: 1000},
	}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	if s.admin, err = sql.Open("postgres", s.AdminURL); err != nil {
		return s, err
	}
	if s.temporal, err = client.Dial(client.Options{HostPort: s.Settings()["TEMPORAL_ADDRESS"], Logger: quiet{}}); err != nil {
		return s, err
	}
	finobs := filepath.Join(bin, "finobs")
	migrate := exec.CommandContext(ctx, finobs, "migrate", "up")
	migrate.Env = os.Environ()
	for name, value := range s.Settings() {
		migrate.Env = append(migrate.Env, name+"="+value)
	}
	if out, err := migrate.CombinedOutput(); err != nil {
		return s, fmt.Errorf("migrating: %w\n%s", err, out)
	}
	for _, role := range roles {
		profiled, err := s.profiles.of(role)
		if err != nil {
			return s, err
		}
		// Under 500 flows at once nobody is to give up waiting for the record.
		p, err := s.Launch(role, append(profiled, "FINOBS_ANSWER_WAIT=2m"), finobs, role)
		if err != nil {
			return s, err
		}
		s.processes = append(s.processes, p)
	}
	if err := s.signIn(ctx); err != nil {
		return s, err
	}
	return s, s.profiles.start(ctx)
}

// signIn mints tokens and waits until the API answers them.
func (s *stack) signIn(ctx context.Context) error {
	key, err := keys.Load(s.Path("keys", "identity.pem"))
	if err != nil {
		return err
	}
	for name, role := range people {
		p := approval.Principal{Person: approval.Person{Issuer: identity.DevIssuer, Subject: name}, Kind: approval.Human, Roles: []string{role}, Desk: "EQ"}
		if s.tokens[name], err = identity.Mint(ctx, key, p, time.Now(), 12*time.Hour); err != nil {
			return err
		}
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		_, status, err := s.call(ctx, "alice", http.MethodGet, "/policies", nil)
		if err == nil && status == http.StatusOK {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the API does not answer (%d, %w); see %s", status, err, s.Path("logs"))
		}
	}
}

// call makes a request as one of the people.
func (s *stack) call(ctx context.Context, who, method, path string, body any) ([]byte, int, error) {
	var payload io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, 0, err
		}
		payload = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+s.APIAddress+path, payload)
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Authorization", "Bearer "+s.tokens[who])
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := s.http.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return text, res.StatusCode, err
}

// overloaded is how long a caller waits after 503, as the answer asks him to.
const overloaded = 250 * time.Millisecond

// expect is call that reads a JSON answer and takes no status but the given one. A
// server that is overloaded says 503, and is asked again.
func (s *stack) expect(ctx context.Context, who, method, path string, body any, status int, into any) error {
	for deadline := time.Now().Add(2 * time.Minute); ; {
		text, got, err := s.call(ctx, who, method, path, body)
		switch {
		case err != nil:
			return err
		case got == status:
			return json.Unmarshal(text, into)
		case got != http.StatusServiceUnavailable || time.Now().After(deadline):
			return fmt.Errorf("%s %s answered %d: %s", method, path, got, text)
		}
		time.Sleep(overloaded)
	}
}

func (s *stack) stop() error {
	errs := []error{s.profiles.stop()}
	for _, p := range s.processes {
		errs = append(errs, p.Stop())
	}
	if s.temporal != nil {
		s.temporal.Close()
	}
	if s.admin != nil {
		errs = append(errs, s.admin.Close())
	}
	return errors.Join(append(errs, s.Stop())...)
}

// quiet drops what the SDK says.
type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}
