package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// VersitygwVersion is the release of the Versity S3 Gateway that is built when
// there is none.
const VersitygwVersion = "v1.8.0"

// EnsureVersitygw returns the path of the Versity S3 Gateway, an S3 server that
// keeps its objects as files. Where it is neither on PATH nor in binDir, it is
// built into binDir, which takes a minute or two the first time.
func EnsureVersitygw(ctx context.Context, binDir string, progress io.Writer) (string, error) {
	return tool{
		name: "versitygw", module: "github.com/versity/versitygw/cmd/versitygw@" + VersitygwVersion, takes: "about 2 minutes",
		elsewhere: "install it from https://github.com/versity/versitygw/releases and put it on PATH", runs: runs,
	}.ensure(ctx, binDir, progress)
}

// VersitygwConfig says how to run a private S3 server.
type VersitygwConfig struct {
	Bin  string // see EnsureVersitygw
	Log  string // file
	Port int    // on 127.0.0.1

	// Root is the folder of the buckets, each a folder in it. Its file system must
	// keep extended attributes.
	Root string
	// Versions is where older versions of objects are kept, outside Root; empty:
	// buckets cannot be versioned, nor objects locked.
	Versions string

	Access, Secret string // of the only account, which may do everything
}

// Versitygw is a running S3 server for tests and demonstrations.
type Versitygw struct {
	process *Process
	config  VersitygwConfig
	client  *http.Client
}

// StartVersitygw starts an S3 server and waits until it answers.
func StartVersitygw(ctx context.Context, c VersitygwConfig) (*Versitygw, error) {
	g := &Versitygw{config: c, client: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}}
	args := []string{"--port", strings.TrimPrefix(g.URL(), "http://"), "--health", "/health", "posix"}
	if c.Versions != "" {
		args = append(args, "--versioning-dir", c.Versions)
	}
	cmd := exec.Command(c.Bin, append(args, c.Root)...) //nolint:noctx // Stop ends it, in order
	for _, setting := range os.Environ() {
		// Its settings come from here alone.
		if !strings.HasPrefix(setting, "VGW_") && !strings.HasPrefix(setting, "ROOT_") {
			cmd.Env = append(cmd.Env, setting)
		}
	}
	// Not as arguments, which everybody on the machine can read.
	cmd.Env = append(cmd.Env, "ROOT_ACCESS_KEY_ID="+c.Access, "ROOT_SECRET_ACCESS_KEY="+c.Secret)
	proc, err := start("Versity S3 Gateway", cmd, c.Log, syscall.SIGTERM)
	if err != nil {
		return nil, err
	}
	g.process = proc
	if err := proc.await(ctx, g.ready); err != nil {
		return nil, errors.Join(err, g.Stop())
	}
	return g, nil
}

func (g *Versitygw) ready(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.URL()+"/health", nil)
	if err != nil {
		return err
	}
	resp, err := g.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("/health answers %s", resp.Status)
	}
	return nil
}

// URL is the endpoint of the server.
func (g *Versitygw) URL() string { return "http://127.0.0.1:" + strconv.Itoa(g.config.Port) }

// Done is closed when the server has ended.
func (g *Versitygw) Done() <-chan struct{} { return g.process.done }

// Stop ends the server in order.
func (g *Versitygw) Stop() error { return g.process.stop(syscall.SIGTERM, syscall.SIGKILL) }
