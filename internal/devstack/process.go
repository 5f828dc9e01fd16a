package devstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// stopTimeout is how long a server may take to stop before it is made to.
const stopTimeout = 20 * time.Second

// Process is a supervised server or a process of finobs. It is a process group of its own, so that
// Ctrl-C in a terminal reaches finobs alone, which then stops its servers in
// order; and it ends when finobs dies.
type Process struct {
	name string
	cmd  *exec.Cmd
	log  string
	done chan struct{}
	err  error // of Wait; read after done
}

// start runs a server with its output appended to a log file.
func start(name string, cmd *exec.Cmd, logPath string, onDeath syscall.Signal) (*Process, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening log of %s: %w", name, err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	endWithParent(cmd.SysProcAttr, onDeath)
	p := &Process{name: name, cmd: cmd, log: logPath, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel ends the child with the thread that started it, so that
		// thread must live as long.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer log.Close()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	return p, nil
}

// errEnded is wrapped by the failure of a server that ended by itself.
var errEnded = errors.New("ended")

// failure describes a server that ended by itself.
func (p *Process) failure() error {
	return fmt.Errorf("%s %w (%w); the end of %s says:\n%s", p.name, errEnded, p.err, p.log, lastLines(p.log))
}

// await waits until a server is ready. One that ends instead is a failure.
func (p *Process) await(ctx context.Context, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return p.failure()
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", p.name, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Stop ends the process in order.
func (p *Process) Stop() error { return p.stop(syscall.SIGTERM, syscall.SIGKILL) }

// Kill ends the process as a crash does, and waits until it has.
func (p *Process) Kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("killing %s: %w", p.name, err)
	}
	<-p.done
	return nil
}

// stop asks with one signal and, when that takes too long, insists with another.
func (p *Process) stop(ask, insist syscall.Signal) error {
	for _, signal := range []syscall.Signal{ask, insist} {
		select {
		case <-p.done:
			return nil
		default:
		}
		if err := p.cmd.Process.Signal(signal); err != nil {
			break // it ended in the meantime
		}
		select {
		case <-p.done:
			return nil
		case <-time.After(stopTimeout):
		}
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(time.Second):
		return fmt.Errorf("stopping %s: process %d does not end", p.name, p.cmd.Process.Pid)
	}
}

// unprivileged returns whom a server that refuses to run as root runs as; nil
// when this process is not root.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if uidErr == nil && gidErr == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, fmt.Errorf("Postgres refuses to run as root, and there is neither a user postgres nor a user nobody; run finobs as an ordinary user")
}

// reachable reports whether everybody may pass through every folder above path.
func reachable(path string) bool {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}
