// Package devstack runs the servers that finobs needs on one machine: a private
// Postgres and a Temporal development server, both reachable from this machine
// only, with their state in one folder. It is for development, demonstrations and
// tests.
package devstack

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Ports from which FreePort chooses: none that systems give to outgoing
// connections, which would take one between the choice and its use; and none that
// Temporal's server could not keep, in 16 bits with a sign.
const (
	firstPort = 12_000
	lastPort  = 32_000
)

// FreePort returns preferred when nobody listens on it on 127.0.0.1, and
// otherwise any free port.
func FreePort(preferred int) (int, error) {
	const attempts = 200
	port := preferred
	for range attempts {
		if port != 0 {
			l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
			if err == nil {
				return port, l.Close()
			}
		}
		port = firstPort + rand.IntN(lastPort-firstPort) //nolint:gosec // any will do
	}
	return 0, fmt.Errorf("finding a free port: none of %d between %d and %d is", attempts, firstPort, lastPort)
}

// Lock makes sure that one stack at a time uses a folder. The lock ends with its
// process, however that ends.
func Lock(dir string) (release func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("making state folder: %w", err)
	}
	path := filepath.Join(dir, "lock")
	file, err := lockFile(path)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		holder, readErr := os.ReadFile(path)
		if readErr != nil || len(holder) == 0 {
			holder = []byte("unknown")
		}
		return nil, fmt.Errorf("%s is in use by process %s; stop it, or use another folder with --state", dir, strings.TrimSpace(string(holder)))
	}
	if err != nil {
		return nil, err
	}
	if err := errors.Join(file.Truncate(0), writePID(file)); err != nil {
		file.Close()
		return nil, fmt.Errorf("writing lock: %w", err)
	}
	return func() { file.Close() }, nil
}

// lockFile opens a file and locks it for whoever holds what it returns; the error
// wraps EWOULDBLOCK when somebody else does.
func lockFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening lock: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", path, err), file.Close())
	}
	return file, nil
}

func writePID(file *os.File) error {
	_, err := file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// lastLines returns the end of a log, for messages to people.
func lastLines(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}
