package devstack

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/lib/pq"
)

// startTimeout bounds how long a server may take to answer, crash recovery
// included.
const startTimeout = 90 * time.Second

// PostgresConfig says how to run a private Postgres.
type PostgresConfig struct {
	Bin     string // folder with initdb and postgres, see EnsurePostgres
	Data    string // data folder; made on first use
	Port    int    // on 127.0.0.1
	Durable bool   // false trades safety in a power cut for speed: tests only
	Log     string // file
}

// Postgres is a running private Postgres.
type Postgres struct {
	process  *Process
	port     int
	password string // of the superuser
}

// StartPostgres starts a private Postgres, makes its data folder on first use,
// and waits until it answers. It listens on 127.0.0.1 only, and every connection
// needs a password.
func StartPostgres(ctx context.Context, c PostgresConfig) (*Postgres, error) {
	as, err := unprivileged()
	if err != nil {
		return nil, err
	}
	data, err := place(c.Data, as)
	if err != nil {
		return nil, err
	}
	password, err := initialise(ctx, c, data, as)
	if err != nil {
		return nil, err
	}
	if err := endOrphan(data); err != nil {
		return nil, err
	}
	args := []string{
		"-D", data, "-p", strconv.Itoa(c.Port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		"-c", "max_connections=300", "-c", "timezone=UTC", "-c", "log_timezone=UTC",
	}
	if !c.Durable {
		args = append(args, "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
	}
	cmd := exec.Command(filepath.Join(c.Bin, "postgres"), args...) //nolint:noctx // Stop ends it, in order
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	proc, err := start("Postgres", cmd, c.Log, syscall.SIGINT)
	if err != nil {
		return nil, err
	}
	p := &Postgres{process: proc, port: c.Port, password: password}
	if err := p.await(ctx); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

// place returns where the data really lies. The user that Postgres runs as must
// reach it; where he cannot, it lies elsewhere and a link leads there.
func place(data string, as *syscall.Credential) (string, error) {
	data, err := filepath.Abs(data)
	if err != nil {
		return "", fmt.Errorf("placing Postgres data: %w", err)
	}
	if real, err := filepath.EvalSymlinks(data); err == nil {
		return real, nil
	}
	if as == nil || reachable(data) {
		return data, os.MkdirAll(filepath.Dir(data), 0o755)
	}
	if err := os.MkdirAll("/var/lib/finobs", 0o755); err != nil {
		return "", fmt.Errorf("placing Postgres data: %w", err)
	}
	real := filepath.Join("/var/lib/finobs", strings.ToLower(rand.Text()[:12]))
	if err := os.Mkdir(real, 0o700); err != nil {
		return "", fmt.Errorf("placing Postgres data: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(data), 0o755); err != nil {
		return "", fmt.Errorf("placing Postgres data: %w", err)
	}
	if err := os.Symlink(real, data); err != nil {
		return "", fmt.Errorf("placing Postgres data: %w", err)
	}
	return real, nil
}

// RemovePostgresData deletes a data folder, wherever place put it.
func RemovePostgresData(data string) error {
	real, err := filepath.EvalSymlinks(data)
	if errors.Is(err, fs.ErrNotExist) {
		return os.RemoveAll(data)
	}
	if err != nil {
		return fmt.Errorf("removing Postgres data: %w", err)
	}
	return errors.Join(os.RemoveAll(real), os.RemoveAll(data))
}

// passwordFile keeps the superuser's password beside the data, and says that
// initdb went through.
func passwordFile(c PostgresConfig) string { return c.Data + ".password" }

func initialise(ctx context.Context, c PostgresConfig, data string, as *syscall.Credential) (string, error) {
	known, err := os.ReadFile(passwordFile(c))
	if err == nil {
		return strings.TrimSpace(string(known)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("reading the superuser's password: %w", err)
	}
	if err := os.RemoveAll(data); err != nil { // an initdb that was cut off
		return "", fmt.Errorf("clearing Postgres data: %w", err)
	}
	if err := os.Mkdir(data, 0o700); err != nil {
		return "", fmt.Errorf("making Postgres data: %w", err)
	}
	if as != nil {
		if err := os.Chown(data, int(as.Uid), int(as.Gid)); err != nil {
			return "", fmt.Errorf("giving Postgres its data: %w", err)
		}
	}
	password := rand.Text()
	handover, err := handOver(password, as)
	if err != nil {
		return "", err
	}
	defer os.Remove(handover)
	cmd := exec.CommandContext(ctx, filepath.Join(c.Bin, "initdb"), "-D", data, "-U", "postgres", "-E", "UTF8", "--locale=C",
		"-A", "scram-sha-256", "--pwfile="+handover, "--data-checksums", "--no-instructions")
	cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Credential: as}
	if !c.Durable {
		cmd.Args = append(cmd.Args, "--no-sync")
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("making Postgres data in %s: %w\n%s", data, err, out)
	}
	if err := os.WriteFile(passwordFile(c), []byte(password+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keeping the superuser's password: %w", err)
	}
	return password, nil
}

// handOver puts the password into a file that only initdb can read; on a command
// line everybody could.
func handOver(password string, as *syscall.Credential) (string, error) {
	file, err := os.CreateTemp("", "finobs-password-")
	if err != nil {
		return "", fmt.Errorf("handing over the password: %w", err)
	}
	_, err = file.WriteString(password + "\n")
	if as != nil {
		err = errors.Join(err, file.Chown(int(as.Uid), int(as.Gid)))
	}
	if err := errors.Join(err, file.Close()); err != nil {
		os.Remove(file.Name())
		return "", fmt.Errorf("handing over the password: %w", err)
	}
	return file.Name(), nil
}

// endOrphan waits for the server of a finobs that was killed, which is stopping
// or has to be told.
func endOrphan(data string) error {
	text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for another Postgres: %w", err)
	}
	lines := strings.Split(string(text), "\n")
	pid, notNumber := strconv.Atoi(strings.TrimSpace(lines[0]))
	if notNumber != nil || len(lines) < 2 || lines[1] != data {
		return nil //nolint:nilerr // not a file of a server of this folder; Postgres will say more
	}
	for deadline := time.Now().Add(stopTimeout); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if !isPostgres(pid) {
			return nil
		}
		if err := syscall.Kill(pid, syscall.SIGINT); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stopping another Postgres (process %d): %w", pid, err)
		}
	}
	return fmt.Errorf("another Postgres (process %d) still uses %s; stop it first", pid, data)
}

// isPostgres keeps a reused process id from being mistaken for a server.
func isPostgres(pid int) bool {
	out, err := exec.CommandContext(context.Background(), "ps", "-o", "comm=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.Contains(string(out), "postgres")
}

func (p *Postgres) await(ctx context.Context) error {
	db, err := sql.Open("postgres", p.AdminURL("postgres"))
	if err != nil {
		return fmt.Errorf("opening Postgres: %w", err)
	}
	defer db.Close()
	return p.process.await(ctx, db.PingContext)
}

// AdminURL is the connection URL of the superuser.
func (p *Postgres) AdminURL(database string) string { return p.URL("postgres", p.password, database) }

// URL is the connection URL of a role.
func (p *Postgres) URL(role, password, database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(role, password), Host: "127.0.0.1:" + strconv.Itoa(p.port), Path: database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// PID is the process id of the server.
func (p *Postgres) PID() int { return p.process.cmd.Process.Pid }

// Done is closed when the server has ended.
func (p *Postgres) Done() <-chan struct{} { return p.process.done }

// Stop ends the server in order: open transactions are rolled back.
func (p *Postgres) Stop() error { return p.process.stop(syscall.SIGINT, syscall.SIGQUIT) }

// createDatabase makes a database unless it is there.
func createDatabase(ctx context.Context, p *Postgres, name string) error {
	db, err := sql.Open("postgres", p.AdminURL("postgres"))
	if err != nil {
		return fmt.Errorf("opening Postgres: %w", err)
	}
	defer db.Close()
	var there bool
	if err := db.QueryRowContext(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&there); err != nil {
		return fmt.Errorf("looking for database %s: %w", name, err)
	}
	if there {
		return nil
	}
	if _, err := db.ExecContext(ctx, "CREATE DATABASE "+pq.QuoteIdentifier(name)); err != nil {
		return fmt.Errorf("creating database %s: %w", name, err)
	}
	return nil
}
