package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"finobs/internal/devstack"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
)

// server is a Temporal server over a Postgres of its own, as production has it.
type server struct {
	address  string
	postgres *devstack.Postgres
	process  *exec.Cmd
	profiles *profiles
}

// newServer builds the server, which takes minutes the first time, and starts it.
func (b *bench) newServer(ctx context.Context) (s *server, err error) {
	bin := filepath.Join(b.dir, "temporalserver")
	build := exec.CommandContext(ctx, "go", "build", "-C", "bench/temporalserver", "-o", bin, ".")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the Temporal server: %w\n%s", err, out)
	}
	programs, err := devstack.EnsurePostgres(ctx, io.Discard)
	if err != nil {
		return nil, err
	}
	postgresPort, err := devstack.FreePort(0)
	if err != nil {
		return nil, err
	}
	port, err := devstack.FreePort(0)
	if err != nil {
		return nil, err
	}
	s = &server{address: fmt.Sprintf("127.0.0.1:%d", port), profiles: newProfiles(b.profile, "gate-postgres")}
	profiled, err := s.profiles.of("temporal")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	s.postgres, err = devstack.StartPostgres(ctx, devstack.PostgresConfig{
		Bin: programs, Data: filepath.Join(b.dir, "temporal-postgres"), Port: postgresPort, Durable: true, Log: filepath.Join(b.dir, "temporal-postgres.log"),
	})
	if err != nil {
		return s, err
	}
	//nolint:noctx // stop ends it, in order
	s.process = exec.Command(bin, "-database", s.postgres.AdminURL("postgres"), "-port", fmt.Sprint(port))
	s.process.Env = append(os.Environ(), profiled...)
	said := &bytes.Buffer{}
	s.process.Stdout, s.process.Stderr = said, said
	if err := s.process.Start(); err != nil {
		return s, err
	}
	if err := s.await(ctx); err != nil {
		text := said.Bytes()
		return s, fmt.Errorf("%w\n…%s", err, text[max(0, len(text)-2000):])
	}
	return s, s.profiles.start(ctx)
}

func (s *server) await(ctx context.Context) error {
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		c, err := client.DialContext(ctx, client.Options{HostPort: s.address, Logger: quiet{}})
		if err == nil {
			_, err = c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: "default"})
			c.Close()
		}
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the Temporal server does not answer: %w", err)
		}
	}
}

func (s *server) stop() error {
	errs := []error{s.profiles.stop()}
	if s.process != nil {
		errs = append(errs, s.process.Process.Signal(syscall.SIGTERM), s.process.Wait())
	}
	if s.postgres != nil {
		errs = append(errs, s.postgres.Stop())
	}
	return errors.Join(errs...)
}
