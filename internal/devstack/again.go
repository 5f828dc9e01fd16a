package devstack

import (
	"context"
	"fmt"
	"syscall"
)

// PID is the process id of the server.
func (g *Versitygw) PID() int { return g.process.PID() }

// PID is the process id of the server.
func (m *Mailpit) PID() int { return m.process.PID() }

// Kill ends the server as a crash does.
func (g *Versitygw) Kill() error { return g.process.Kill() }

// Kill ends the server as a crash does.
func (m *Mailpit) Kill() error { return m.process.Kill() }

// PostgresPID is the process id of the stack's own Postgres; tests stop it with it.
func (s *Stack) PostgresPID() int { return s.postgres.PID() }

// TemporalPID is the process id of the stack's own Temporal server.
func (s *Stack) TemporalPID() int { return s.temporal.PID() }

// KillPostgres ends the stack's own Postgres as a crash does; StartPostgresAgain
// lets it recover, on the same port.
func (s *Stack) KillPostgres() error {
	return s.postgres.process.stop(syscall.SIGKILL, syscall.SIGKILL)
}

// StartPostgresAgain starts the stack's own Postgres after KillPostgres.
func (s *Stack) StartPostgresAgain(ctx context.Context) error {
	bin, err := EnsurePostgres(ctx, s.Out)
	if err != nil {
		return err
	}
	again, err := StartPostgres(ctx, PostgresConfig{
		Bin: bin, Data: s.Path("postgres"), Port: s.postgres.port, Durable: s.Durable, Log: s.Path("logs", "postgres.log"),
	})
	if err != nil {
		return fmt.Errorf("starting Postgres again: %w", err)
	}
	s.postgres = again
	return nil
}

// StartTemporalAgain starts the stack's own Temporal server after StopTemporal.
func (s *Stack) StartTemporalAgain(ctx context.Context) error {
	again, err := StartTemporal(ctx, s.temporal.config)
	if err != nil {
		return fmt.Errorf("starting Temporal again: %w", err)
	}
	s.temporal = again
	return nil
}
