package devstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
)

// TemporalConfig says how to run a private Temporal development server.
type TemporalConfig struct {
	Bin       string // the Temporal CLI, see EnsureTemporal
	DBFile    string // where it keeps its state
	Namespace string
	Log       string // file
	Port      int    // gRPC, on 127.0.0.1
	UIPort    int    // Web UI, on 127.0.0.1
}

// Temporal is a running development server.
type Temporal struct {
	process *Process
	config  TemporalConfig
}

// StartTemporal starts a development server and waits until its namespace is
// there.
func StartTemporal(ctx context.Context, c TemporalConfig) (*Temporal, error) {
	// Left to itself the server would take fixed or neighbouring ports, which
	// another stack may have.
	httpPort, err := FreePort(0)
	if err != nil {
		return nil, err
	}
	metricsPort, err := FreePort(0)
	if err != nil {
		return nil, err
	}
	held, err := holdAlone(ctx, c.DBFile)
	if err != nil {
		return nil, err
	}
	defer held.Close() // the server has it by then
	//nolint:noctx // Stop ends it, in order
	cmd := exec.Command(c.Bin, "server", "start-dev", "--ip", "127.0.0.1", "--port", strconv.Itoa(c.Port),
		"--ui-port", strconv.Itoa(c.UIPort), "--http-port", strconv.Itoa(httpPort), "--metrics-port", strconv.Itoa(metricsPort),
		"--db-filename", c.DBFile, "--namespace", c.Namespace, "--log-level", "warn",
		"--dynamic-config-value", "system.forceSearchAttributesCacheRefreshOnRead=true")
	cmd.ExtraFiles = []*os.File{held}
	proc, err := start("Temporal", cmd, c.Log, syscall.SIGTERM)
	if err != nil {
		return nil, err
	}
	t := &Temporal{process: proc, config: c}
	if err := t.await(ctx); err != nil {
		return nil, errors.Join(err, t.Stop())
	}
	return t, nil
}

// holdAlone waits until no server uses a database file. Whoever inherits what it
// returns holds the file until its process has ended: a server whose parent was
// killed goes on for a moment, and two on one file would spoil each other's tasks.
func holdAlone(ctx context.Context, dbFile string) (*os.File, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		file, err := lockFile(dbFile + ".lock")
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return file, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("another Temporal server still uses %s; end it, or use another folder with --state", dbFile)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (t *Temporal) await(ctx context.Context) error {
	c, err := client.NewLazyClient(client.Options{HostPort: t.Address(), Namespace: t.config.Namespace, Logger: silent{}})
	if err != nil {
		return fmt.Errorf("opening Temporal: %w", err)
	}
	defer c.Close()
	return t.process.await(ctx, func(ctx context.Context) error { return t.describe(ctx, c) })
}

func (t *Temporal) describe(ctx context.Context, c client.Client) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err := c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: t.config.Namespace})
	return err
}

// Address is where clients and workers connect.
func (t *Temporal) Address() string { return "127.0.0.1:" + strconv.Itoa(t.config.Port) }

// UIURL is the address of the Web UI.
func (t *Temporal) UIURL() string { return "http://127.0.0.1:" + strconv.Itoa(t.config.UIPort) }

// PID is the process id of the server.
func (t *Temporal) PID() int { return t.process.cmd.Process.Pid }

// Done is closed when the server has ended.
func (t *Temporal) Done() <-chan struct{} { return t.process.done }

// Stop ends the server in order.
func (t *Temporal) Stop() error { return t.process.stop(syscall.SIGTERM, syscall.SIGKILL) }

// silent drops what the SDK says while the server is not up yet.
type silent struct{}

var _ log.Logger = silent{}

func (silent) Debug(string, ...any) {}
func (silent) Info(string, ...any)  {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}
