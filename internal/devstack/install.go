package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// TemporalVersion is the release of the Temporal CLI that is built when there is
// none.
const TemporalVersion = "v1.5.1"

// minPostgres is the oldest major version that the migrations are written for.
const minPostgres = 14

// EnsurePostgres returns the folder that holds initdb and postgres, of the newest
// version installed. Where there is none it installs the system's package, and
// shows what it does on progress.
func EnsurePostgres(ctx context.Context, progress io.Writer) (bin string, err error) {
	if bin := findPostgres(ctx); bin != "" {
		return bin, nil
	}
	if err := installPostgres(ctx, progress); err != nil {
		return "", err
	}
	if bin := findPostgres(ctx); bin != "" {
		return bin, nil
	}
	return "", errors.New("Postgres was installed, but initdb is in none of the usual folders; put it on PATH")
}

func findPostgres(ctx context.Context) string {
	var folders []string
	if path, err := exec.LookPath("initdb"); err == nil {
		folders = append(folders, filepath.Dir(path))
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin",
		"/usr/bin", "/usr/local/pgsql/bin",
	} {
		found, _ := filepath.Glob(pattern) // the patterns are constant and well-formed
		folders = append(folders, found...)
	}
	best, newest := "", minPostgres-1
	for _, folder := range folders {
		if major := postgresMajor(ctx, folder); major > newest {
			best, newest = folder, major
		}
	}
	return best
}

// postgresMajor is the major version in a folder, 0 when it holds no server.
func postgresMajor(ctx context.Context, folder string) int {
	if _, err := os.Stat(filepath.Join(folder, "initdb")); err != nil {
		return 0
	}
	out, err := exec.CommandContext(ctx, filepath.Join(folder, "postgres"), "--version").Output()
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(out)) // postgres (PostgreSQL) 15.8 (Debian …)
	if len(fields) < 3 {
		return 0
	}
	major, err := strconv.Atoi(strings.SplitN(fields[2], ".", 2)[0])
	if err != nil {
		return 0
	}
	return major
}

const mendPostgres = "install Postgres 14 or later and put its bin folder on PATH, or set FINOBS_DATABASE_URL to an administrator's URL of a server that runs"

func installPostgres(ctx context.Context, progress io.Writer) error {
	var steps [][]string
	switch {
	case onPath("apt-get"):
		// The package would start a server of its own.
		quiet := `mkdir -p /etc/postgresql-common/createcluster.d && echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.d/finobs.conf`
		steps = [][]string{
			{"sh", "-c", quiet}, {"apt-get", "update"},
			{"env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "--no-install-recommends", "postgresql"},
		}
	case onPath("dnf"):
		steps = [][]string{{"dnf", "install", "-y", "postgresql-server"}}
	case onPath("brew"):
		steps = [][]string{{"brew", "install", "postgresql@17"}}
	default:
		return errors.New("Postgres is missing and this system has no apt-get, dnf or brew: " + mendPostgres)
	}
	if os.Geteuid() != 0 && !onPath("brew") {
		if err := exec.CommandContext(ctx, "sudo", "-n", "true").Run(); err != nil {
			return errors.New("Postgres is missing and installing it needs root, but sudo asks for a password: " + mendPostgres)
		}
		for i := range steps {
			steps[i] = append([]string{"sudo", "-n"}, steps[i]...)
		}
	}
	for _, step := range steps {
		if err := show(ctx, progress, nil, step...); err != nil {
			return fmt.Errorf("installing Postgres: %w; %s", err, mendPostgres)
		}
	}
	return nil
}

func onPath(name string) bool {
	_, err := exec.LookPath(name)
	return err == nil
}

// show runs a command that may take long, and says every few seconds that it is
// still running. What it printed is shown when it fails.
func show(ctx context.Context, progress io.Writer, env []string, command ...string) error {
	fmt.Fprintf(progress, "  $ %s\n", strings.Join(command, " "))
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), env...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	began := time.Now()
	for {
		select {
		case err := <-done:
			if err != nil {
				return fmt.Errorf("%s: %w\n%s", command[0], err, tail(out.String()))
			}
			return nil
		case <-time.After(10 * time.Second):
			fmt.Fprintf(progress, "    … still running after %s\n", time.Since(began).Round(time.Second))
		}
	}
}

func tail(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

// EnsureTemporal returns the path of the Temporal CLI. Where it is neither on
// PATH nor in binDir, it is built into binDir, which takes some minutes the first
// time.
func EnsureTemporal(ctx context.Context, binDir string, progress io.Writer) (string, error) {
	return tool{
		name: "temporal", module: "github.com/temporalio/cli/cmd/temporal@" + TemporalVersion, takes: "about 5 minutes",
		elsewhere: "install it from https://temporal.io/setup, or set TEMPORAL_ADDRESS to a cluster that runs", runs: runs,
	}.ensure(ctx, binDir, progress)
}

// fsckVersion is the release of Tessera whose fsck is built when there is none.
const fsckVersion = "v1.0.4"

// EnsureFsck returns the path of Tessera's fsck, which checks logs in the format
// of C2SP tlog-tiles: a second opinion on ours.
func EnsureFsck(ctx context.Context, binDir string, progress io.Writer) (string, error) {
	return tool{
		name: "fsck", module: "github.com/transparency-dev/tessera/cmd/fsck@" + fsckVersion, takes: "about 1 minute",
		elsewhere: "install it with go install",
		// It has no flag that does nothing, and /usr/sbin has another fsck.
		runs: func(ctx context.Context, path string) bool {
			out, err := exec.CommandContext(ctx, path, "--help").CombinedOutput()
			return strings.Contains(string(out), "tlog-tiles") || err == nil && strings.Contains(string(out), "storage_url")
		},
	}.ensure(ctx, binDir, progress)
}

// tool is a program that is built where it is missing.
type tool struct {
	name      string
	module    string // path and version, as go install takes them
	takes     string // how long building takes the first time, on 2 cores
	elsewhere string // what to do where there is no Go
	runs      func(ctx context.Context, path string) bool
}

func (t tool) ensure(ctx context.Context, binDir string, progress io.Writer) (string, error) {
	if path, err := exec.LookPath(t.name); err == nil && t.runs(ctx, path) {
		return path, nil
	}
	binDir, err := filepath.Abs(binDir)
	if err != nil {
		return "", fmt.Errorf("building %s: %w", t.name, err)
	}
	path := filepath.Join(binDir, t.name)
	if t.runs(ctx, path) {
		return path, nil
	}
	if !onPath("go") {
		return "", fmt.Errorf("%s is missing and there is no Go to build it with; %s", t.name, t.elsewhere)
	}
	fmt.Fprintf(progress, "building %s into %s, once (%s on 2 cores)\n", t.module, binDir, t.takes)
	env := []string{"GOBIN=" + binDir, "GOFLAGS=-mod=mod", "GOOS=" + runtime.GOOS, "GOARCH=" + runtime.GOARCH}
	if err := show(ctx, progress, env, "go", "install", t.module); err != nil {
		return "", fmt.Errorf("building %s: %w", t.name, err)
	}
	return path, nil
}

func runs(ctx context.Context, path string) bool {
	return exec.CommandContext(ctx, path, "--version").Run() == nil
}
